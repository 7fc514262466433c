"""report.html: one evaluation as one file that a browser opens from a disk, without network.

Python writes the words (`words.py`), Table 1 and the numbers; report.js draws the curves and sorts the subjects; viewer.js
shows the voxels of `viewer.py`. Nothing is loaded from elsewhere, which the page's own content security policy enforces.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import pathlib
import string
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from data_prep.base import artefacts
from data_prep.tasks import Task
from tfunc import __version__
from tfunc.reporting import figures, html_table, viewer, words
from tfunc.reporting.table1 import Row
from tfunc.reporting.viewer import Packed
from tfunc.scoring import measures
from tfunc.scoring.counts import THRESHOLDS
from tfunc.scoring.evaluate import Evaluated
from tfunc.scoring.truth import AnyTruth

NAME = "report.html"


def write(
    folder: pathlib.Path,
    evaluated: Evaluated,
    rows: Sequence[Row],
    notes: Sequence[str],
    summary: Mapping[str, Any],
    pictures: Iterable[pathlib.Path],
    truth: AnyTruth,
    task: Task | None = None,
) -> pathlib.Path:
    """Writes `folder/report.html` atomically -> its path.

    rows, notes: Table 1 and its notes.  summary: what summary.json says.  pictures: paths of the figures; the PNG ones are
    shown.  truth: where labels come from, and images where it is records.  task: for its title.
    """
    images = _images(pictures)
    chosen = viewer.choose(evaluated.scores, summary["figure1_subjects"], words.reasons(summary))
    room = max(viewer.MOST_BYTES - sum(map(len, images.values())), 0)
    packed = viewer.pack_all(evaluated, truth, chosen, room)
    path = pathlib.Path(folder) / NAME
    artefacts.write_text(path, page(evaluated, rows, notes, summary, images, packed, task))
    return path


def page(
    evaluated: Evaluated,
    rows: Sequence[Row],
    notes: Sequence[str],
    summary: Mapping[str, Any],
    images: Mapping[str, str],
    packed: Sequence[Packed],
    task: Task | None = None,
) -> str:
    """The whole file as text. images: {stem: data URL} of the figures.  packed: the subjects to look at."""
    style, script = _package("report.css"), _package("report.js") + _package("viewer.js")
    name = task.title if task else summary["dataset"]
    title = "Voxel-wise uncertainty" + (f" on {name}" if name else "")
    voxels = [
        f'<script type="application/octet-stream" id="voxels-{index}-{key}">{text}</script>'
        for index, subject in enumerate(packed)
        for key, text in subject.arrays.items()
    ]
    number = len(evaluated.subjects)
    note = f"{len(packed)} of {number} subjects are in this file; more would make it too large."
    return string.Template(_package("report.html")).substitute(
        title=escape(title),
        facts=words.heading(rows, summary),
        table1=html_table.table(rows, evaluated.maps),
        legend=html_table.legend(rows),
        table_notes="".join(f'<p class="key">{escape(note)}</p>' for note in notes),
        viewer_note=note if number > len(packed) else "",
        figures=words.pictures(images, summary) or "<p>None were drawn.</p>",
        notes=words.notes(summary, evaluated.maps),
        footer=f"tfunc {escape(__version__)}. Beside this file: subjects.csv, calibration.csv, thresholds.csv, "
        "summary.json and Table 1 as CSV, Markdown and LaTeX.",
        data=script_json(data(evaluated, rows, packed)),
        voxels="\n".join(voxels),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def data(evaluated: Evaluated, rows: Sequence[Row], packed: Sequence[Packed]) -> dict[str, Any]:
    """What the scripts read, as plain JSON: the curves, every subject's numbers, and what is inline of whom."""
    look = figures.styles(evaluated.scores)
    dashes = {"-": "", "--": "5 3"}
    position = {maps.method: index for index, maps in enumerate(evaluated.maps)}
    curves = measures.curves()
    methods = []
    for row in rows:
        scores = evaluated.scores[row.method]
        best = {m.name: THRESHOLDS.index(row.cells[m.name].threshold) for m in measures.table1() if m.by_threshold}
        values = {
            "dice": scores["dice"],
            "ece": scores["ece"],
            "ue": scores["ue"][:, best["ue"]],
            "corrected": scores["corrected_dice"][:, best["bnf"]],
        }
        methods.append(
            {
                "name": row.method,
                "title": row.title,
                "color": look[row.method]["color"],
                "dash": dashes[look[row.method]["linestyle"]],
                "map": position[row.method],
                "best": best,
                "curves": {measure.name: _plain(scores.mean(measure.name)) for measure in curves},
                "subjects": {name: _plain(column) for name, column in values.items()},
            }
        )
    return {
        "thresholds": [f"{t:.2f}" for t in THRESHOLDS],
        "measures": {measure.name: measure.curve for measure in curves},
        "lower": [measure.name for measure in curves if measure.direction == "lower"],
        "methods": methods,
        "subjects": list(evaluated.subjects),
        "viewer": [subject.entry for subject in packed],
        "foreground": viewer.FOREGROUND,
    }


def script_json(value: Any) -> str:
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
