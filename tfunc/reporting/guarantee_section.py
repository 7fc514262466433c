"""The report's section on recalibration: what one temperature mends, and what is certified of a mask and a volume; HTML."""

from __future__ import annotations

import contextlib
import math
import pathlib
from collections.abc import Iterator, Sequence
from html import escape

from data_prep.base.errors import NotReady, UserError
from tfunc import methods, runs
from tfunc.methods import RECALIBRATED
from tfunc.reporting.table1 import title
from tfunc.scoring import metrics, recalibration
from tfunc.scoring.evaluate import Evaluated
from tfunc.scoring.recalibration import Guarantees, Recalibration
from tfunc.scoring.sources import Maps

HEADING = "Recalibration and guarantees"


def stored(run_dir: pathlib.Path, dataset: str, all_maps: Sequence[Maps]) -> list[Recalibration]:
    """The recalibrations of the evaluated methods, of those whose networks made these maps; others are left out."""
    found = []
    for maps in all_maps:
        if methods.recalibrated_of(maps.method) is None and recalibration.path(run_dir, maps.method).exists():
            with contextlib.suppress(NotReady, UserError):
                made = runs.read_predictions(maps.folder) or {}
                found.append(recalibration.require(run_dir, maps.method, dataset, made))
    return found


def section(fitted: Sequence[Recalibration], evaluated: Evaluated) -> str:
    """The section as HTML; empty where nothing was recalibrated. evaluated: of the test subjects."""
    if not fitted:
        return ""
    return (
        f'<section id="guarantees" aria-labelledby="guarantees-title"><h2 id="guarantees-title">{HEADING}</h2>'
        f"{_calibration(fitted, evaluated)}{_guarantees(fitted)}</section>"
    )


def _calibration(fitted, evaluated):
    """ECE of the set that calibrates and of the test subjects, each as one data set and as the mean of subjects."""
    head = (
        '<tr><th scope="col" rowspan="2">Method</th><th scope="col" rowspan="2">Temperature</th>'
        '<th scope="colgroup" colspan="2">Calibrating set, ECE %</th><th scope="colgroup" colspan="2">Test, ECE %</th></tr>'
        "<tr>" + '<th scope="col">data set</th><th scope="col">subjects</th>' * 2 + "</tr>"
    )
    body = []
    for one in fitted:
        before, after = one.calibration["before"], one.calibration["temperature"]
        on_test = [evaluated.scores.get(name) for name in (one.method, one.method + RECALIBRATED)]
        pooled = [None if found is None else metrics.calibration_error(found.pooled) for found in on_test]
        means = [None if found is None else found.mean("ece") for found in on_test]
        cells = (
            _pair(before.dataset, after.dataset),
            _pair(before.subjects, after.subjects),
            _pair(*pooled),
            _pair(*means),
        )
        doubt = " (at its bound)" if one.temperature.at_bound else " (any fits)" if one.temperature.undefined else ""
        body.append(
            f'<tr><th scope="row">{escape(title(one.method))}</th><td>{one.temperature.temperature:.3f}{doubt}</td>'
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    first = fitted[0]
    key = (
        f"Before → after one temperature, fitted on {escape(first.fitted_on)}. A set can be calibrated as a whole while its "
        "subjects are not: one temperature mends the first more than the second. Test columns need <code>evaluate "
        "--recalibrated</code>."
    )
    return _table("Calibration before and after", head, body) + f'<p class="key">{key}</p>'


def _guarantees(fitted):
    """Thresholds of outer masks and the factor of the volume, by method and region."""
    alphas = sorted({alpha for one in fitted for alpha in one.alphas})
    several = len(fitted[0].guarantees) > 1
    head = '<tr><th scope="col">Method</th>' + '<th scope="col">Region</th>' * several
    head += "".join(f'<th scope="col">Outer mask, α = {alpha:g}</th>' for alpha in alphas)
    head += '<th scope="col">Volume, 90 %</th></tr>'
    body = []
    for one in fitted:
        for name, of in one.guarantees.items():
            region = f"<td>{escape(name)}</td>" if several else ""
            cells = "".join(f"<td>{text}</td>" for text in _certified(of, alphas))
            body.append(f'<tr><th scope="row">{escape(title(one.method))}</th>{region}{cells}</tr>')
    approximate = any(one.approximate for one in fitted)
    key = (
        "The voxels with a probability of at least the threshold miss at most the share α of a lesion's voxels, in expectation "
        "over patients; the true volume lies within the factor of the segmented one in at least 90 % of them. "
        f"Assumed: {escape(fitted[0].assumed)}. "
    )
    key += "Approximate: these subjects also chose the networks' epochs. " if approximate else ""
    return _table("What is certified", head, body) + f'<p class="key">{key}</p>'


def _certified(of: Guarantees, alphas: Sequence[float]) -> Iterator[str]:
    by = {one.alpha: one for one in of.thresholds}
    for alpha in alphas:
        one = by.get(alpha)
        if one is None:
            yield "–"
        elif one.threshold is None:
            yield f'<span class="small">needs {one.needed} subjects with a lesion, there are {of.lesions}</span>'
        else:
            yield f"p ≥ {one.threshold:.3g}"
    width = of.volume.width
    yield '<span class="small">too few subjects</span>' if width is None else f"÷ or × {math.exp(width):.2f}"


def _pair(before, after):
    texts = ["–" if value is None or math.isnan(value) else f"{100 * value:.2f}" for value in (before, after)]
    return " → ".join(texts)


def _table(label, head, body):
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label, quote=True)}"><table><thead>{head}</thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )
