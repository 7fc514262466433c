"""The way in: evaluates a run's predictions or anyone's folders and writes every file of it, summary.json last.

An evaluation that is there and of the same inputs is recognised and not made again. Neither TensorFlow nor matplotlib is
imported before something is read from records or drawn.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from data_prep.base import artefacts, locks, made_up, room
from data_prep.base.errors import NotReady, UserError
from data_prep.tasks import Task
from tfunc import methods, paper, runs
from tfunc.kinds import KINDS
from tfunc.reporting import (
    comparison_files,
    drawing,
    figures,
    files,
    finished,
    forms,
    guarantee_section,
    lesion_figures,
    lesion_files,
    overlays,
    patient_figures,
    patient_files,
    provenance,
    report,
    review_fits,
)
from tfunc.reporting import parts as tables
from tfunc.reporting.finished import NOTHING, Finished, Request, is_done
from tfunc.reporting.summary import summary
from tfunc.scoring import overlap, recalibration, sources, statistics, triage, volumes
from tfunc.scoring.evaluate import Evaluated, evaluate
from tfunc.scoring.findings import Distances
from tfunc.scoring.overlap import Shared
from tfunc.scoring.patients import patients
from tfunc.scoring.recalibration import Recalibration
from tfunc.scoring.sources import Maps
from tfunc.scoring.truth import AnyTruth, FolderTruth, RecordsTruth

REVIEW = "valid"  # the split on which the score that ranks patients is chosen
MOST_FIGURES = 12  # a Figure 1 of each region and the class map; of more regions the class map's only
__all__ = ["Finished", "Request", "evaluate_folders", "evaluate_run", "is_done"]
MakePool = Callable[[int], contextlib.AbstractContextManager[Executor]]  # bytes of all maps -> where counting runs


def evaluate_run(
    request: Request, run_dir: pathlib.Path, data_dir: pathlib.Path, names: Sequence[str], make_pool: MakePool
) -> Finished:
    """Evaluates a run's methods `names` on its test split, or what is asked for, and writes `request.out_dir`.

    Raises `NotReady` naming the command to run first, and `UserError`, before anything is counted.
    """
    truth, request = RecordsTruth(str(data_dir)), dataclasses.replace(request, run_dir=run_dir)
    where = run_dir, request.dataset or truth.task.name
    all_maps = [sources.run_maps(*where, name, request.split, truth, request.subjects) for name in names]
    others = [sources.run_maps(*where, name, request.choosing, truth) for name in names] if request.choosing else []
    rankings = others if request.choosing == REVIEW else _rankings(request, where, names, truth)
    more = others if rankings is others else [*others, *rankings]
    inputs = finished.inputs([*all_maps, *more])
    inputs["records"] = truth.manifest.identity
    fitted = guarantee_section.stored(*where, all_maps)
    if fitted:  # the report shows them
        inputs["recalibrations"] = {
            one.method: artefacts.sha256(recalibration.path(run_dir, one.method)) for one in fitted
        }
    indexes = [pathlib.Path(maps.folder) / runs.PREDICTED for maps in (*all_maps, *more)]
    inputs["predictions"] = {index.parent.name: artefacts.sha256(index) for index in indexes}
    choosing = others[0].subjects if others else None
    shared = overlap.shared(truth.manifest, run_dir, names, all_maps[0].subjects, choosing)
    former = functools.partial(finished.inputs, [*all_maps, *more], volumes.former_state)
    finished.require_folder(request.out_dir)
    with locks.held(request.out_dir, "an evaluation"):
        if (found := finished.find(request, names, inputs, truth, shared, former)) is not None:
            return found
        room.require_place(request.out_dir / "summary.json")
        with make_pool(finished.size(all_maps)) as pool:
            evaluated = evaluate(all_maps, truth, pool, distances=request.distances)
            without = Distances(measured=False)
            other = evaluate(others, truth, pool, distances=without) if others else None
            of_ranking = other
            if rankings and rankings is not others:
                of_ranking = evaluate(rankings, truth, pool, distances=without)
        thresholds = tables.thresholds(other) if other else None
        made_by = {maps.method: recalibration.made_by(runs.read_predictions(maps.folder) or {}) for maps in rankings}
        return _write(request, evaluated, inputs, thresholds, truth, truth.task, shared, of_ranking, fitted, made_by)


def _rankings(request, where, names, truth):
    """Maps of the subjects on whom the score that ranks is chosen: of the methods that have whole ones by present networks.

    They are left out where other networks made them than the evaluated maps, or none is there yet.
    """
    found = []
    for name in names:
        method = methods.recalibrated_of(name) or name
        made, evaluated = (
            runs.read_predictions(runs.predictions_dir(where[0], method, split)) or {}
            for split in (REVIEW, request.split)
        )
        begun = made and made.get("subjects") != [] and made.get("networks") == evaluated.get("networks")
        if request.split != REVIEW and begun:
            with contextlib.suppress(NotReady):
                found.append(sources.run_maps(*where, name, REVIEW, truth))
    return found


def evaluate_folders(
    request: Request, all_maps: Sequence[Maps], truth: FolderTruth, make_pool: MakePool, task: Task | None = None
) -> Finished:
    """Evaluates maps from anywhere against labels from anywhere and writes `request.out_dir`; raises `UserError`.

    task: what is segmented, for titles, where the user said it.
    """
    _check_range(request.sigma_range, all_maps)
    inputs = finished.inputs(all_maps)
    inputs["truth"] = truth.state(all_maps[0].subjects)
    inputs["unpredicted"] = 0 if request.subjects else truth.unpredicted(all_maps[0].subjects)
    inputs |= truth.document()
    if truth.classes is not None:
        inputs["activation"] = all_maps[0].activation
    names = [maps.method for maps in all_maps]
    finished.require_folder(request.out_dir)
    with locks.held(request.out_dir, "an evaluation"):
        if (found := finished.find(request, names, inputs, truth)) is not None:
            return found
        room.require_place(request.out_dir / "summary.json")
        with make_pool(finished.size(all_maps)) as pool:
            evaluated = evaluate(all_maps, truth, pool, request.sigma_range, distances=request.distances)
        return _write(request, evaluated, inputs, None, truth, task)


def _check_range(sigma_range, all_maps):
    if sigma_range is None:
        return
    if not np.isfinite(sigma_range).all():
        found = ",".join(f"{limit:g}" for limit in sigma_range)
        raise UserError("--sigma_range", expected="two finite numbers", found=found)
    used = sorted({maps.kind for maps in all_maps})
    scaled = [kind.name for kind in KINDS.values() if kind.scale == "set"]
    if not set(used) & set(scaled):
        raise UserError("--sigma_range", expected=f"maps of --kind={'|'.join(scaled)}", found=" and ".join(used))


def _write(
    request: Request,
    evaluated: Evaluated,
    inputs: dict[str, Any],
    chosen: Mapping[str, Mapping[str, Mapping[str, int]]] | None,
    truth: AnyTruth,
    task: Task | None,
    shared: Shared = NOTHING,
    choosing: Evaluated | None = None,
    fitted: Sequence[Recalibration] = (),
    made_by: Mapping[str, Mapping[str, Any]] | None = None,
) -> Finished:
    """Writes every file, each atomically and summary.json last.

    choosing: of those on whom the score that ranks is chosen.  fitted: the methods' recalibrations.  made_by: {method: what made
    the maps of the choosing set}.
    """
    whole = request.split == "test" and not request.subjects
    folder, complete = request.out_dir, whole and paper.complete(request.dataset, len(evaluated.subjects))
    examples, by_rule = _examples(request.figure_subjects, evaluated)  # before anything is replaced
    parts = tables.parts(evaluated, chosen, request.dataset if complete else None)
    asked = {
        "dataset": request.dataset,
        "subjects": len(evaluated.subjects),
        "complete": complete,
        "unpredicted": inputs.get("unpredicted", 0),
        "split": request.split,
        "threshold_split": request.threshold_split,
        "settings": request.settings,
        "inputs": inputs,
        "shared": dataclasses.asdict(shared),
        "gaps": evaluated.gaps,
        **_about(request, evaluated, truth),
    }
    notes = {part.name: forms.notes(part.rows, asked, part.about, part.of) for part in parts}
    artefacts.remove(folder / runs.EVALUATED, missing_ok=True)  # from here on the old files are being replaced
    with artefacts.written() as paths:
        markdown = files.write_all(folder, parts, notes)
        found = [_patients(part, choosing, request.failure) for part in parts]
        patient_files.write_all(folder, parts, found)
        curves = lesion_files.write_all(folder, parts)
        comparison_files.write_all(folder, parts)
        triage.write(folder, review_fits.of_parts(parts, found, choosing, made_by or {}, request.failure, task))
        pictures = _headed_pictures(asked["made_up"], folder, parts, truth, task, (examples, by_rule), found[0], curves)
        content = summary(parts, asked, examples, task)
        report.write(folder, parts, notes, content, pictures, truth, task, found, fitted)
    content["pictures"] = [picture.name for picture in pictures]
    content["files"] = {str(path.relative_to(folder)): artefacts.sha256(path) for path in dict.fromkeys(paths)}
    artefacts.write_document(folder / runs.EVALUATED, content)
    return Finished(folder, markdown, tuple(pictures), content, fresh=True)


def _about(request, evaluated, truth):
    """What the data are, and where everything comes from."""
    if isinstance(truth, RecordsTruth):
        belongs = truth.manifest.patients
        patients = None if truth.task.is_photograph else len({belongs.get(name, name) for name in evaluated.subjects})
        drawn = truth.manifest.made_up
    else:
        patients, drawn = None, made_up.is_marked(truth.labels)
    found = provenance.provenance(evaluated.maps, request.command, request.run_dir)
    return {"made_up": drawn, "patients": patients, "provenance": found}


def _headed_pictures(drawn, *arguments):
    """`_pictures`, with the word above each of them where the data are made up."""
    with drawing.headed(made_up.WORDS if drawn else ""):
        return _pictures(*arguments)


def _pictures(folder, parts, truth, task, chosen, listed, curves):
    """Draws every figure -> paths. chosen: (example subjects, whether by rule).  listed: the patients of the first part.

    curves: {name of a part: its lesions' curves}.
    """
    (examples, by_rule), evaluated = chosen, parts[0].evaluated
    others = [(part.suffix, part.title if part.region else "top label", part.evaluated) for part in parts[1:]]
    others = others if len(others) <= MOST_FIGURES else others[-1:]
    pictures = figures.write_all(folder, evaluated, examples, by_rule, task, others)
    if isinstance(truth, RecordsTruth) or truth.images is not None:
        pictures = (*pictures, *overlays.write(folder, evaluated, truth, examples))
    if listed is not None:
        pictures = (*pictures, *patient_figures.write(folder, listed))
        pictures = (*pictures, *lesion_figures.write(folder, parts, curves, MOST_FIGURES))
    return pictures


def _patients(part, choosing, failure):
    """An evaluation of a part by patients. choosing: of all parts together."""
    if choosing is not None and part.region is not None:
        choosing = choosing.regions[part.region.name]
    return patients(part.evaluated, choosing, failure)


def _examples(names, evaluated):
    """({"S1": name, ...}, whether a rule chose them) of --figure_subjects; raises `UserError` for one that wasn't evaluated."""
    for name in names:
        if name not in evaluated.subjects:
            raise UserError("--figure_subjects", expected="evaluated subjects", found=repr(name))
    if names:
        return {f"S{index}": name for index, name in enumerate(names, 1)}, False
    return dict(zip(("S1", "S2", "S3"), statistics.example_subjects(evaluated.scores), strict=False)), True
