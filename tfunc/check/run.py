"""A whole run: its networks, maps, recalibrations and evaluations, those of its further seeds too."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import pathlib

from data_prep.base import leftovers, pool
from data_prep.base.errors import UserError
from data_prep.base.findings import Finding, guarded
from data_prep.base.progress import Progress
from data_prep.check import left_behind
from data_prep.manifest import Manifest
from tfunc import runs
from tfunc.check import evaluations, networks, predictions
from tfunc.scoring import recalibration
from tfunc.study import seeds

HOLDS = ("networks", "predictions", recalibration.FOLDER, "evaluation")  # one of them makes a folder a run


def check(
    run_dir: pathlib.Path | str,
    executor: concurrent.futures.Executor,
    workers: int = 1,
    manifest: Manifest | None = None,
) -> tuple[list[Finding], dict[str, int]]:
    """(findings, how many networks, maps and evaluations were looked at). executor, workers: subjects' maps are read in.

    manifest: of the records that the run should be made from. Raises `UserError` for a folder that is no run.
    """
    top = pathlib.Path(run_dir)
    if not any((top / name).is_dir() for name in HOLDS):
        found = "no such folder" if not top.is_dir() else f"none of {', '.join(HOLDS)}"
        raise UserError(top, expected="the folder of a run", found=found, do="see --helpshort")
    findings = left_behind.find(top)
    counts = {"networks": 0, "predicted_subjects": 0, "evaluations": 0}
    places: list[predictions.Place] = []
    for run in (top, *_seeds(top)):
        mine, own = _of_run(run, manifest, counts)
        findings += mine
        places += own
    counts["predicted_subjects"] = len(places)
    with Progress("checking", len(places), " subjects' maps") as progress:
        for name, mine in pool.unordered(executor, predictions.look, places, ahead=2 * workers):
            findings += mine
            progress.advance(note=name)
    return findings, counts


def _seeds(top):
    """The runs of a study's further seeds, which lie inside the first."""
    return [path for path in sorted((top / seeds.FOLDER).glob("*")) if (path / "networks").is_dir()]


def _of_run(run, manifest, counts):
    """(findings on all but the maps, where those lie)."""
    task = _task(run, manifest)
    dataset = "…" if task is None else task.name
    findings, places = [], []
    for folder in _folders(run / "networks"):
        counts["networks"] += 1
        findings += guarded(folder, functools.partial(networks.check, folder, dataset, manifest))
    for folder in _folders(run / "predictions"):
        findings += guarded(folder, functools.partial(predictions.check, folder, dataset, manifest))
        with contextlib.suppress(AttributeError, LookupError, TypeError, ValueError):  # said just now
            places += predictions.places(folder, dataset, task, manifest)
    for path in leftovers.finished(run / recalibration.FOLDER, "*.json"):
        findings += guarded(path, functools.partial(evaluations.of_recalibration, path, dataset, manifest))
    for folder in (path for path in _folders(run) if path.name.partition("@")[0] == "evaluation"):
        counts["evaluations"] += 1
        findings += guarded(folder, functools.partial(evaluations.check, folder, dataset, manifest))
    return findings, places


def _folders(top):
    hidden = sorted(top.iterdir()) if top.is_dir() else []
    return [path for path in hidden if path.is_dir() and not path.name.startswith(".")]


def _task(run, manifest):
    """What is segmented: of the records, else as a network of the run says it."""
    if manifest is not None:
        return manifest.task
    for path in sorted((run / "networks").glob(f"*/{runs.CONFIG}")):
        try:
            return runs.read_config(path.parent).task
        except UserError:  # said of that network
            continue
    return None
