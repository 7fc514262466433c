"""report.html: one evaluation as one file that a browser opens from a disk, without network.

Python writes the words (`words.py`), Table 1 and the numbers; report.js draws the curves and sorts the subjects; viewer.js and
the files before it show the voxels of `viewer.py`. Nothing is loaded from elsewhere, which the page's own content security policy
enforces.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from markupsafe import Markup

from data_prep.base import artefacts, made_up
from data_prep.tasks import Task
from tfunc import __version__
from tfunc.reporting import (
    benefits,
    by_part,
    calibration_section,
    coarse_maps,
    companion_table,
    guarantee_section,
    html_table,
    in_short,
    part_data,
    provenance,
    review_section,
    thumbnails,
    viewer,
    words,
)
from tfunc.reporting.parts import Part
from tfunc.reporting.templates import pieces
from tfunc.scoring.counts import THRESHOLDS
from tfunc.scoring.patients import Patients
from tfunc.scoring.recalibration import Recalibration
from tfunc.scoring.truth import AnyTruth

NAME = "report.html"
SCRIPTS = ("report.js", *(f"viewer_{part}.js" for part in ("voxels", "planes", "layers", "numbers")), "viewer.js")


def write(
    folder: pathlib.Path,
    parts: Sequence[Part],
    notes: Mapping[str, Sequence[str]],
    summary: Mapping[str, Any],
    pictures: Iterable[pathlib.Path],
    truth: AnyTruth,
    task: Task | None = None,
    patients: Sequence[Patients | None] = (),
    fitted: Sequence[Recalibration] = (),
) -> pathlib.Path:
    """Writes `folder/report.html` atomically -> its path.

    parts: the tables, the first of them shown first.  notes: {name of a part: sentences below its table}.
    summary: what summary.json says.  pictures: paths of the figures; the PNG ones are shown.  truth: where labels come from,
    and images where it is records.  task: for its title.  patients: of each part; None or none of it: no list.  fitted: the
    methods' recalibrations.
    """
    images, evaluated = _images(pictures), parts[0].evaluated
    chosen = viewer.choose(evaluated.scores, summary["figure1_subjects"], words.reasons(summary))
    room = max(viewer.MOST_BYTES - sum(map(len, images.values())), 0)
    path = pathlib.Path(folder) / NAME
    small = _thumbnails(evaluated, truth, patients[0]) if patients and patients[0] else {}
    certified = guarantee_section.section(fitted, evaluated)
    # the voxels are many, and stand behind what names them
    with artefacts.naming(path), tempfile.TemporaryFile("w+", encoding="ascii", dir=folder) as voxels:
        entries: list[dict[str, Any]] = []
        for subject in viewer.pack_all(evaluated, truth, chosen, room):
            voxels.writelines(_voxels(len(entries), subject))
            entries.append(subject.entry)
        voxels.seek(0)
        text = page(parts, notes, summary, images, entries, voxels, task, patients, small, certified)
        artefacts.write_pieces(path, text)
    return path


def _thumbnails(evaluated, truth, patients):
    """{subject: data URL of its worst slice} of the head of the first list."""
    (maps,) = [one for one in evaluated.maps if one.method == patients.first]
    findings = evaluated.findings[patients.first]
    return {
        one.subject: thumbnails.data_url(maps, truth, one.subject, findings[one.subject].worst_slice)
        for one in patients.reviews[patients.first][: review_section.PICTURES]
    }


def page(
    parts: Sequence[Part],
    notes: Mapping[str, Sequence[str]],
    summary: Mapping[str, Any],
    images: Mapping[str, str],
    entries: Sequence[dict[str, Any]],
    voxels: Iterable[str],
    task: Task | None = None,
    patients: Sequence[Patients | None] = (),
    small: Mapping[str, str] | None = None,
    certified: str = "",
) -> Iterator[str]:
    """The whole file as text, piece by piece. images: {stem: data URL} of the figures.  entries: of the subjects to look at, see
    `viewer.Packed`.  voxels: the elements that hold their arrays.

    patients: of each part.  small: {subject: data URL} of worst slices, of the first list.  certified: the section on guarantees.
    """
    style = _package("report.css") + _package("viewer.css")
    script = "".join(map(_package, SCRIPTS))
    name = task.title if task else summary["dataset"]
    evaluated, rows = parts[0].evaluated, parts[0].rows
    numbers = data(parts, entries)
    written = dict(  # HTML already; what strangers wrote was escaped when it was put into it
        facts=words.heading(rows, summary),
        **_tables(parts, notes),
        parts_row=f'<div class="controls scripted">{by_part.choice(parts)}</div>' if len(parts) > 1 else "",
        parts=by_part.choice(parts),
        **review_section.sections(parts, patients, images, small or {}, [one["name"] for one in entries], task),
        guarantees=certified,
        **_figures(images, summary),
        notes=words.notes(summary, evaluated.maps, parts),
        data=script_json(numbers),
        style=style,
        script=script,
    )
    return pieces(
        "report.html",
        title=_title(name, summary),
        in_short=in_short.section(parts, patients[0] if patients else None, summary, name or ""),
        calibration=calibration_section.table(parts),
        provenance=provenance.section(summary),
        first=_first(numbers),
        legend=html_table.legend(rows),
        viewer_note=_left_out(len(entries), len(evaluated.subjects)),
        version=__version__,
        style_hash=_hash(style),
        script_hash=_hash(script),
        voxels=map(Markup, voxels),
        **{name: Markup(text) for name, text in written.items()},
    )


def _left_out(shown, subjects):
    """Why the viewer has not all subjects; nothing where it has."""
    most = f"{viewer.MOST_BYTES // 10**6} MB"
    note = f"{shown} of {subjects} subjects are in this file; more would make it larger than {most}."
    return note if shown < subjects else ""


def _title(name, summary):
    drawn = f" ({made_up.WORDS})" if summary.get("made_up") else ""
    return "Voxel-wise uncertainty" + (f" on {name}" if name else "") + drawn


def _tables(parts, notes):
    """Of each part: Table 1, what stands below it, and whom corrections help and harm."""
    all_maps = parts[0].evaluated.maps
    return dict(
        table1=by_part.of_each((part, [html_table.table(part.rows, all_maps, part.name)]) for part in parts),
        table_notes=by_part.of_each(
            (part, [*(f'<p class="key">{escape(note)}</p>' for note in notes[part.name]), companion_table.table(part)])
            for part in parts
        ),
        benefits=by_part.of_each((part, [benefits.table(part)]) for part in parts),
    )


def _figures(images, summary):
    """The figures of each section, those of review and failures left out: they stand in theirs."""
    found: dict[str, dict[str, str]] = {"calibration_figures": {}, "threshold_figures": {}, "figures": {}}
    for stem, url in images.items():
        if stem not in review_section.PICTURED:
            kind = "calibration" if stem.startswith(("figure1", "calibration")) else "threshold"
            found[f"{kind}_figures" if kind == "calibration" or stem == "thresholds" else "figures"][stem] = url
    return {section: words.pictures(of, summary) for section, of in found.items()}


def _first(numbers):
    """The first method's subjects, lowest Dice first, which the script sorts anew: what a reader without scripts sees."""
    method = numbers["methods"][0]
    columns = [numbers["subjects"], *(method["subjects"][name] for name in ("dice", "ece", "ue", "corrected"))]
    rows = []
    for name, dice, ece, ue, corrected in zip(*columns, strict=True):
        change = None if None in (dice, corrected) else corrected - dice
        percent = None if ece is None else 100 * ece
        rows.append({"name": name, "dice": dice, "ece": percent, "ue": ue, "corrected": corrected, "change": change})
    rows.sort(key=lambda row: 2 if row["dice"] is None else row["dice"])
    return {"title": method["title"], "subjects": rows}


def _voxels(index, subject):
    """The packed arrays of a subject, a line and an element each, as they are decoded one by one."""
    for key, text in subject.arrays.items():
        yield f'<script type="application/octet-stream" id="voxels-{index}-{key}">{text}</script>\n'


def data(parts: Sequence[Part], entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the scripts read, as plain JSON: the curves, every subject's numbers, and what is inline of whom.

    Of several classes `parts` has the curves and numbers of each part, and `regions` what a region is and its colour.
    """
    order = [row.method for row in parts[0].rows]
    every = [part_data.part(part, order, parts[0].evaluated) for part in parts]
    return {
        "thresholds": [f"{t:.2f}" for t in THRESHOLDS],
        **every[0],
        "subjects": list(parts[0].evaluated.subjects),
        "viewer": entries,
        "foreground": viewer.FOREGROUND,
        "halves": coarse_maps.bounds(),
        "mutual_steps": coarse_maps.STEPS,
        "classes": [one.name for one in parts[0].evaluated.task.classes] if parts[0].evaluated.task else [],
        "parts": every,
        "regions": part_data.regions(parts),
    }


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element: no `<` that could end it."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _package(name):
    return importlib.resources.files("tfunc.reporting").joinpath("page", name).read_text(encoding="utf-8")


def _hash(text):
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _images(pictures):
    png = [path for path in pictures if path.suffix == ".png"]
    return {path.stem: "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode() for path in png}
