"""Evaluations and recalibrations: whether their files are as they were written, and of the maps that are there now."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from data_prep.base import artefacts
from data_prep.base.errors import Command, UserError, command
from data_prep.base.findings import Finding, finding
from data_prep.records import Manifest
from tfunc import __version__, methods, runs, shapes
from tfunc.check.networks import other_records, unsealed
from tfunc.reporting import finished
from tfunc.scoring import recalibration

DAMAGED, OLD = "damaged evaluation", "out of date"


def check(folder: pathlib.Path, dataset: str, manifest: Manifest | None = None) -> Iterator[Finding]:
    """The findings on an evaluation's folder. dataset: for commands. manifest: of the records that it should be of."""
    path = folder / runs.EVALUATED
    if not path.exists():
        if any(not file.name.startswith(".") for file in folder.iterdir()):
            again = command("evaluate", dataset=dataset)
            yield finding("note", "unfinished", folder, found="an evaluation that was stopped", do=again)
        return
    try:
        stored = finished.read(path, shapes.Asked)
    except UserError as error:
        yield Finding("error", DAMAGED, error)
        return
    again = evaluate_command(stored, dataset)
    yield from unsealed(path)
    for name in finished.damaged(folder, stored):
        seen = "another file" if (folder / name).exists() else "no file"
        yield finding("error", DAMAGED, folder / name, expected="what the evaluation wrote", found=seen, do=again)
    if lacking := [name for name in finished.missing_tables(folder) if name not in stored.get("files", {})]:
        seen = f"none of {', '.join(lacking)}, as those of earlier versions"
        yield finding("note", "earlier version", folder, found=seen, do=again)
    if (version := stored.get("version")) != __version__:
        seen = f"an evaluation by version {version or 'unknown'} of the toolkit; this is {__version__}"
        yield finding("note", "earlier version", path, found=seen, do=again)
    inputs = stored.get("inputs", {})
    if (
        manifest is not None
        and inputs.get("records") not in (None, "")
        and not manifest.is_same(str(inputs["records"]))
    ):
        yield other_records(path, manifest, "give the --data_dir of its own, or evaluate these in another --run_dir")
    yield from _current(folder, inputs, again)


def _current(folder, inputs, again):
    """Whether it is of the predictions and recalibrations that there are now."""
    run_dir = folder.parent
    known = {
        run_dir / "predictions" / name / runs.PREDICTED: sha for name, sha in inputs.get("predictions", {}).items()
    }
    known |= {recalibration.path(run_dir, name): sha for name, sha in inputs.get("recalibrations", {}).items()}
    for path, checksum in known.items():
        if path.exists() and artefacts.sha256(path) != checksum:
            expected = f"an evaluation of {path} as it is now"
            where = folder / runs.EVALUATED
            yield finding("warning", OLD, where, expected=expected, found="one of what it was before", do=again)


def evaluate_command(stored: runs.Document, dataset: str) -> Command:
    """The command that makes an evaluation again, by what its summary.json says of its settings."""
    settings = stored["settings"]
    split, threshold = settings.get("split", "test"), settings.get("threshold_split", "test")
    rows = [name for name in stored["methods"] if methods.recalibrated_of(name) is None]
    distances = settings.get("distances") or {}
    return command(
        "evaluate",
        dataset=dataset,
        methods=",".join(rows),
        split=None if split == "test" else split,
        subjects=",".join(settings.get("subjects", ())) or None,
        figure_subjects=",".join(settings.get("figure_subjects", ())) or None,
        threshold_split=None if threshold == "test" else threshold,
        failure_dice=settings.get("failure"),
        surfaces=None if distances.get("measured", True) else "false",
        surface_tolerance=distances.get("tolerance"),
        recalibrated="true" if len(rows) < len(stored["methods"]) else None,
    )


def of_recalibration(path: pathlib.Path, dataset: str, manifest: Manifest | None = None) -> Iterator[Finding]:
    """The findings on a method's recalibration, `path` its file."""
    run_dir, method = path.parents[1], path.stem
    try:
        found = recalibration.stored(run_dir, method)
    except UserError as error:
        yield Finding("error", "damaged recalibration", error)
        return
    if found is None:
        return
    yield from unsealed(path)
    if found.version != __version__:
        seen = f"one by version {found.version} of the toolkit; this is {__version__}"
        yield finding("note", "earlier version", path, found=seen)
    if manifest is not None and not manifest.is_same(found.records):
        yield other_records(path, manifest, "give the --data_dir of its own")
    index = runs.predictions_dir(run_dir, method, found.split) / runs.PREDICTED
    if index.exists() and artefacts.sha256(index) != found.predictions:
        expected = f"one fitted on {index} as it is now"
        yield finding("warning", OLD, path, expected=expected, found="one of former maps", do=found.command())
