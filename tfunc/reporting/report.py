"""report.html: one evaluation as one file that a browser opens from a disk, without network.

Python writes the words, Table 1 and the numbers; report.js draws the curves and sorts the subjects; viewer.js shows the
voxels of `tfunc/viewer.py`. Nothing is loaded from elsewhere, which the page's own content security policy enforces.
"""

import base64
import hashlib
import importlib.resources
import json
import pathlib
import string
from html import escape

import numpy as np

from data_prep.base import artefacts
from tfunc import __version__
from tfunc.methods import METHODS
from tfunc.reporting import figures, viewer
from tfunc.scoring import metrics
from tfunc.scoring import statistics as tables

NAME = "report.html"
KINDS = {
    "probability": "normalised entropy of the foreground probability",
    "confidence": "error probability, rescaled by each subject's own range",
    "sigma": "sigma of the predicted class, rescaled by its range over the whole set",
}
MEASURES = {  # of the curves: name -> (title, mean over subjects [11] of a method's `Scores`)
    "ue": ("U-E, uncertainty-error overlap", lambda of: tables.mean(of.ue)),
    "bnf": ("BnF, share of benefiting subjects", lambda of: tables.mean(of.benefit)),
    "corrected_dice": ("corrected Dice", lambda of: tables.mean(of.corrected_dice)),
    "error_precision": ("error precision", lambda of: tables.precision_recall(of)[0]),
    "error_recall": ("error recall", lambda of: tables.precision_recall(of)[1]),
}


def write(folder, evaluated, rows, notes, summary, pictures, truth, image_of=None):
    """Writes `folder/report.html` atomically -> its path.

    evaluated: `evaluation.Evaluated`.  rows, notes: Table 1 and its notes.  summary: what summary.json says.
    pictures: paths of the figures; the PNG ones are shown.  truth: where labels come from.  image_of: name ->
    `Subject`, for the picture under the maps, or None where there are labels and maps only.
    """
    images = _images(pictures)
    chosen = viewer.choose(evaluated.scores, summary["figure1_subjects"], _reasons(summary))
    room = max(viewer.MOST_BYTES - sum(map(len, images.values())), 0)
    packed = viewer.pack_all(evaluated, truth, image_of, chosen, room)
    path = pathlib.Path(folder) / NAME
    artefacts.write_text(path, page(evaluated, rows, notes, summary, images, packed))
    return path


def page(evaluated, rows, notes, summary, images, packed):
    """The whole file as text. images: {stem: data URL} of the figures.  packed: list of `viewer.Packed`."""
    style, script = _package("report.css"), _package("report.js") + _package("viewer.js")
    name = figures.NAMES.get(summary["dataset"], summary["dataset"])
    title = "Voxel-wise uncertainty" + (f" on {name}" if name else "")
    voxels = [
        f'<script type="application/octet-stream" id="voxels-{index}-{key}">{text}</script>'
        for index, one in enumerate(packed)
        for key, text in one.arrays.items()
    ]
    missing = len(evaluated.maps[0].subjects) - len(packed)
    note = f"{len(packed)} of {len(packed) + missing} subjects are in this file; more would make it too large." * (
        missing > 0
    )
    return string.Template(_package("report.html")).substitute(
        title=escape(title),
        facts=_facts(rows, summary),
        table1=_table1(rows, evaluated.maps),
        legend="Best in bold. Dots and lines: means and intervals on the column's own scale"
        + ("; rings: the paper's values." if any(_published(row) for row in rows) else "."),
        table_notes="".join(f'<p class="key">{escape(note)}</p>' for note in notes),
        viewer_note=note,
        figures=_figures(images, summary) or "<p>None were drawn.</p>",
        notes=_notes(summary, evaluated.maps),
        footer=f"tfunc {escape(__version__)}. Beside this file: subjects.csv, calibration.csv, thresholds.csv, "
        "summary.json and Table 1 as CSV, Markdown and LaTeX.",
        data=script_json(data(evaluated, rows, packed)),
        voxels="\n".join(voxels),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def data(evaluated, rows, packed):
    """What the scripts read, as plain JSON: the curves, every subject's numbers, and what is inline of whom."""
    look = figures.styles(evaluated.scores)
    dashes = {"-": "", "--": "5 3"}
    position = {maps.method: index for index, maps in enumerate(evaluated.maps)}
    methods = []
    for row in rows:
        of = evaluated.scores[row.method]
        best = {name: metrics.THRESHOLDS.index(row.cells[name].threshold) for name in ("ue", "bnf")}
        values = {
            "dice": of.dice,
            "ece": of.ece,
            "ue": of.ue[:, best["ue"]],
            "corrected": of.corrected_dice[:, best["bnf"]],
        }
        methods.append(
            {
                "name": row.method,
                "title": row.title,
                "color": look[row.method]["color"],
                "dash": dashes[look[row.method]["linestyle"]],
                "map": position[row.method],
                "best": best,
                "curves": {name: _plain(mean(of)) for name, (_, mean) in MEASURES.items()},
                "subjects": {name: _plain(column) for name, column in values.items()},
            }
        )
    return {
        "thresholds": [f"{t:.2f}" for t in metrics.THRESHOLDS],
        "measures": {name: title for name, (title, _) in MEASURES.items()},
        "methods": methods,
        "subjects": list(evaluated.maps[0].subjects),
        "viewer": [one.about for one in packed],
        "foreground": viewer.FOREGROUND,
    }


def script_json(value):
    """JSON that may stand inside a script element: no `<` that could end it."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _plain(values):
    return [None if np.isnan(value) else float(value) for value in values]


def _package(name):
    return importlib.resources.files("tfunc.reporting").joinpath("page", name).read_text(encoding="utf-8")


def _hash(text):
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _images(pictures):
    png = [path for path in pictures if path.suffix == ".png"]
    return {path.stem: "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode() for path in png}


# ---------------------------------------------------------------------------------------------------------------- words


def _facts(rows, summary):
    number = rows[0].subjects
    complete = "the whole test set" if summary["complete"] else "test set" if summary["dataset"] else ""
    facts = [
        f"{number} subject{'s' * (number != 1)}" + (f" ({complete})" if complete else ""),
        f"{len(rows)} method{'s' * (len(rows) != 1)}",
        f"thresholds chosen on the {summary['threshold_split']} set",
    ]
    return escape(" · ".join(facts))


def _term(text, definition, name):
    """A word that explains itself when it is pointed at or focused."""
    return (
        f'<span class="term" tabindex="0" aria-describedby="tip-{escape(name)}">{escape(text)}'
        f'<span class="tip" role="tooltip" id="tip-{escape(name)}">{escape(definition)}</span></span>'
    )


def _published(row):
    return any(cell.published is not None for cell in row.cells.values())


def _table1(rows, all_maps):
    kinds = {maps.method: maps.kind for maps in all_maps}
    head = [
        f'<th scope="col">{_term(f"{m.title} {tables.arrow(m)}", _definition(m), m.name)}</th>' for m in tables.METRICS
    ]
    body = []
    for index, row in enumerate(rows):
        later = index and rows[index - 1].ranked and not row.ranked
        about = METHODS[row.method].help + "; uncertainty: " if row.method in METHODS else "uncertainty: "
        title = _term(row.title, about + KINDS[kinds[row.method]], f"method-{index}")
        cells = [_cell(m, row.cells[m.name], [other.cells[m.name] for other in rows]) for m in tables.METRICS]
        note = '<span class="small">not in the paper, unranked</span>' if not row.ranked and rows[0].ranked else ""
        body.append(f'<tr{" class=first-later" * bool(later)}><th scope="row">{title}{note}</th>{"".join(cells)}</tr>')
    return (
        f'<table><thead><tr><th scope="col">Method</th>{"".join(head)}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _definition(metric):
    return f"{metric.definition}; {'lower' if metric.lower_is_better else 'higher'} is better"


def _cell(metric, cell, column):
    if np.isnan(cell.mean):
        return '<td><span class="value">–</span><span class="small">undefined everywhere</span></td>'
    value = f"{metric.printed(cell.mean):.{metric.digits}f}"
    value = f"<strong>{value}</strong>" if cell.rank == 1 else f'<span class="value">{value}</span>'
    rank = f' <span class="rank">({cell.rank})</span>' if cell.rank else ""
    at = "" if cell.threshold is None else f" · at {cell.threshold:.2f}"
    below = [tables.interval_text(metric, cell).strip("[]").replace(", ", " – ") + at]
    if cell.published is not None:
        below.append(f"paper {cell.published:.{metric.digits}f} ({cell.published_rank})")
    return f"<td>{value}{rank}{_interval(metric, cell, column)}" + (
        "".join(f'<span class="small">{text}</span>' for text in below) + "</td>"
    )


def _interval(metric, cell, column):
    """A small picture of the mean, its interval and the paper's value, on the column's own scale."""
    every = [value for other in column for value in (other.low, other.high, other.mean) if not np.isnan(value)]
    every += [other.published / metric.scale for other in column if other.published is not None]
    low, high = min(every), max(every)

    def x(value):
        return f"{4 + 96 * (value - low) / ((high - low) or 1):.1f}"

    mark = ""
    if cell.published is not None:
        place = x(cell.published / metric.scale)
        mark = f'<circle cx="{place}" cy="4.5" r="3" fill="none" stroke="currentColor"/>'
    return (
        '<svg class="interval" viewBox="0 0 104 9" aria-hidden="true">'
        f'<path d="M{x(cell.low)} 4.5H{x(cell.high)}" stroke="currentColor" stroke-width="1.3" opacity="0.55"/>'
        f'<circle cx="{x(cell.mean)}" cy="4.5" r="2.6" fill="currentColor"/>{mark}</svg>'
    )


def _reasons(summary):
    return () if summary["settings"]["figure_subjects"] else figures.EXAMPLES


def _percent(share):
    return "–" if share is None else f"{100 * share:.0f} %"


def _figures(images, summary):
    reasons = [*_reasons(summary), "", "", ""]
    who = "; ".join(
        f"{label} {subject}" + f" ({reason})" * bool(reason)
        for (label, subject), reason in zip(summary["figure1_subjects"].items(), reasons, strict=False)
    )
    shares = summary["miscalibration"]
    captions = {
        "figure1": f"Figure 1. Reliability diagrams of the data set, all subjects pooled (D), and of single subjects: "
        f"{who}. Above the diagonal is under-confident, below it over-confident. Below: voxels in each of the ten "
        "bins, on a logarithmic scale.",
        "thresholds": "U-E and BnF over the eleven uncertainty thresholds, and error recall against error precision; "
        "means over subjects.",
        "calibration": "Left: ECE of all voxels pooled against the mean of the subjects' ECE; a data set can look "
        "calibrated while its subjects are not. Right: each subject's mean signed calibration gap; "
        f"{_percent(shares['under'])} of subjects are under-confident, {_percent(shares['over'])} over-confident.",
        "overlay": "Uncertainty maps of the subjects of Figure 1, in the slice with most ground truth. All maps share "
        "the scale from 0 to 1.",
    }
    parts = []
    for stem, url in images.items():
        caption = escape(captions.get(stem, stem))
        picture = f'<div class="wide" tabindex="0"><img src="{url}" alt="{escape(stem)}"></div>'
        parts.append(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>")
    return "\n".join(parts)


def _notes(summary, all_maps):
    split = summary["threshold_split"]
    choice = {
        "test": "The thresholds of U-E and BnF are each method's best on these very subjects, as in the paper. That "
        "favours every method a little; --threshold_split=valid chooses them on the validation set.",
    }.get(split, "The thresholds of U-E and BnF are each method's best on the validation set; the test set chose none.")
    columns = "".join(f"<dt>{escape(m.title)}</dt><dd>{escape(_definition(m))}.</dd>" for m in tables.METRICS)
    titles = {m.name: m.title.removesuffix(" %") for m in tables.METRICS}
    policy = "".join(
        f"<dt>{escape(titles.get(name, name.capitalize()))}</dt><dd>{escape(text)}.</dd>"
        for name, text in summary["policy"].items()
    )
    undefined = []
    for name, of in summary["methods"].items():
        if number := max(of["undefined_ue"]):
            undefined.append(f"{tables.title(name)} (up to {number} subjects at a threshold)")
    by_meaning = {}
    for maps in all_maps:
        limits = f", {maps.sigma_range[0]:.4g} to {maps.sigma_range[1]:.4g}" if maps.sigma_range else ""
        by_meaning.setdefault(KINDS[maps.kind] + limits, []).append(tables.title(maps.method))
    uncertainty = "".join(
        f"<dt>{escape(', '.join(titles))}</dt><dd>{escape(meaning)}.</dd>" for meaning, titles in by_meaning.items()
    )
    return (
        f"<h3>Columns</h3><dl>{columns}</dl><h3>Thresholds</h3><p>{choice}</p>"
        f"<h3>Empty masks and undefined values</h3><dl>{policy}</dl>"
        + (f"<p>U-E is undefined in places for {escape('; '.join(undefined))}.</p>" if undefined else "")
        + f"<h3>What counts as uncertainty</h3><dl>{uncertainty}</dl>"
        "<h3>The viewer's numbers</h3><p>Each map is kept as its level, how many of the eleven thresholds lie strictly "
        "below the uncertainty. Dice, corrected Dice and U-E depend on nothing finer, so they are exact. The picture "
        "under the maps is for looking only: its contrast is stretched, in 64 steps. Volumes are cropped to what is not "
        "empty; what was cropped away is counted. Slices are shown with the patient's right on the left where the "
        "file's affine says which side that is.</p>"
    )
