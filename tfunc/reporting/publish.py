"""The way in: evaluates a run's predictions or anyone's folders and writes every file of it, summary.json last.

An evaluation that is there and of the same inputs is recognised and not made again. Neither TensorFlow nor matplotlib is
imported before something is read from records or drawn.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from data_prep.base import artefacts, leftovers
from data_prep.base.errors import UserError
from data_prep.tasks import Task
from tfunc import __version__, paper, runs
from tfunc.kinds import KINDS, Limits
from tfunc.reporting import figures, files, forms, overlays, report
from tfunc.reporting import parts as tables
from tfunc.reporting.summary import summary, upgrade
from tfunc.scoring import overlap, sources, statistics, volumes
from tfunc.scoring.evaluate import Evaluated, evaluate
from tfunc.scoring.overlap import Shared
from tfunc.scoring.sources import Maps
from tfunc.scoring.truth import AnyTruth, FolderTruth, RecordsTruth

NEEDED = ("methods", "settings", "inputs", "version", "pictures")  # of a summary.json that may be found finished
NOTHING = Shared()
MOST_FIGURES = 12  # a Figure 1 of each region and the class map; of more regions the class map's only
MakePool = Callable[[int], contextlib.AbstractContextManager[Executor]]  # bytes of all maps -> where counting runs


@dataclasses.dataclass(frozen=True)
class Request:
    """What the user asked for.

    out_dir: the folder to write to.  dataset: whose published values may stand beside ours, or None.  threshold_split:
    `test`, the evaluated subjects themselves, or `valid`: who chooses the thresholds.  figure_subjects: of Figure 1, chosen
    by rule where there are none.  sigma_range: (lowest, highest) that become 0 and 1, in place of the range found.
    split: of a run, whose subjects are evaluated.  subjects: some of them by name; all where there are none.
    """

    out_dir: pathlib.Path
    dataset: str | None = None
    threshold_split: str = "test"
    figure_subjects: tuple[str, ...] = ()
    sigma_range: Limits | None = None
    split: str = "test"
    subjects: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """What another evaluation in the same folder may not differ in, as plain JSON types."""
        names = ["dataset", "threshold_split", "figure_subjects", "sigma_range"]
        names += [name for name in ("split", "subjects") if getattr(self, name) != getattr(Request, name)]
        return json.loads(json.dumps({name: getattr(self, name) for name in names}))

    @property
    def choosing(self) -> str | None:
        """The split that chooses the thresholds, or None where the evaluated subjects do."""
        return None if self.threshold_split in ("test", self.split) else self.threshold_split


@dataclasses.dataclass(frozen=True)
class Finished:
    """An evaluation on disk.

    markdown: Table 1.  pictures: paths.  summary: what summary.json says.  fresh: whether this call had anything to do.
    doubt: why it may not be of the files that are there now, where it could not be made anew.
    """

    folder: pathlib.Path
    markdown: str
    pictures: tuple[pathlib.Path, ...]
    summary: dict[str, Any]
    fresh: bool
    doubt: str = ""

    @property
    def report(self) -> pathlib.Path:
        """The file to open in a browser."""
        return self.folder / report.NAME


def evaluate_run(
    request: Request, run_dir: pathlib.Path, data_dir: pathlib.Path, names: Sequence[str], make_pool: MakePool
) -> Finished:
    """Evaluates a run's methods `names` on its test split, or what is asked for, and writes `request.out_dir`.

    Raises `NotReady` naming the command to run first, and `UserError`, before anything is counted.
    """
    truth = RecordsTruth(str(data_dir))
    where = run_dir, request.dataset or truth.task.name
    all_maps = [sources.run_maps(*where, name, request.split, truth, request.subjects) for name in names]
    others = [sources.run_maps(*where, name, request.choosing, truth) for name in names] if request.choosing else []
    inputs = _inputs([*all_maps, *others])
    inputs["records"] = truth.manifest.identity
    indexes = [pathlib.Path(maps.folder) / runs.PREDICTED for maps in (*all_maps, *others)]
    inputs["predictions"] = {index.parent.name: artefacts.sha256(index) for index in indexes}
    choosing = others[0].subjects if others else None
    shared = overlap.shared(truth.manifest, run_dir, names, all_maps[0].subjects, choosing)
    former = functools.partial(_inputs, [*all_maps, *others], volumes.former_state)
    if (found := _find_finished(request, names, inputs, truth, shared, former)) is not None:
        return found
    with make_pool(_size(all_maps)) as pool:
        evaluated = evaluate(all_maps, truth, pool)
        chosen = None
        if others:
            other = evaluate(others, truth, pool)
            chosen = tables.thresholds(other)
    return _write(request, evaluated, inputs, chosen, truth, truth.task, shared)


def evaluate_folders(
    request: Request, all_maps: Sequence[Maps], truth: FolderTruth, make_pool: MakePool, task: Task | None = None
) -> Finished:
    """Evaluates maps from anywhere against labels from anywhere and writes `request.out_dir`; raises `UserError`.

    task: what is segmented, for titles, where the user said it.
    """
    _check_range(request.sigma_range, all_maps)
    inputs = _inputs(all_maps)
    inputs["truth"] = truth.state(all_maps[0].subjects)
    inputs["unpredicted"] = 0 if request.subjects else truth.unpredicted(all_maps[0].subjects)
    inputs |= truth.document()
    if truth.classes is not None:
        inputs["activation"] = all_maps[0].activation
    names = [maps.method for maps in all_maps]
    if (found := _find_finished(request, names, inputs, truth)) is not None:
        return found
    with make_pool(_size(all_maps)) as pool:
        evaluated = evaluate(all_maps, truth, pool, request.sigma_range)
    return _write(request, evaluated, inputs, None, truth, task)


def is_done(
    evaluation_dir: pathlib.Path, methods: Sequence[str], threshold_split: str, predictions: Sequence[pathlib.Path]
) -> bool:
    """Whether an evaluation is of at least these methods, with that threshold split, and of these predictions.

    predictions: the predictions.json it rests on, which must all exist. This is what a study asks before it starts the
    command, which then compares the maps themselves. Raises `UserError` for a summary.json that can't be read.
    """
    path = pathlib.Path(evaluation_dir) / runs.EVALUATED
    if not path.exists():
        return False
    found = artefacts.read_document(path, "methods", "settings")
    known, written = found.get("inputs", {}).get("predictions"), path.stat().st_mtime
    for index in map(pathlib.Path, predictions):
        if not index.exists():
            return False
        if known is None and index.stat().st_mtime > written:  # an earlier version kept no checksums
            return False
        if known is not None and known.get(index.parent.name) != artefacts.sha256(index):
            return False
    return set(found["methods"]) >= set(methods) and found["settings"]["threshold_split"] == threshold_split


# What is there already


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


def _size(all_maps):
    return sum(maps.path(name).stat().st_size for maps in all_maps for name in maps.subjects)


def _inputs(all_maps, state=volumes.state):
    """{folder and kind: digest of its files, segmentations included}: what an evaluation was computed from."""
    found: dict[str, Any] = {}
    for maps in all_maps:
        files = [path for name in maps.subjects for path in maps.files(name)]
        found[f"{pathlib.Path(maps.folder).absolute()} {maps.kind}"] = state(files)
    scaled = {maps.method: [maps.temperature, maps.fitted_on] for maps in all_maps if maps.temperature is not None}
    return {**found, "recalibrated": scaled} if scaled else found


def _find_finished(request, names, inputs, truth, shared=NOTHING, former=dict):
    """The evaluation that is there, if it is of the same inputs; raises `UserError` for other settings.

    Other inputs (a method more, maps predicted again) make it out of date, and it is computed anew, unless its folder can
    only be read: then it is shown, with the doubt. Fewer methods would throw rows away, and are refused, as is a file where
    the folder should be: all before anything is counted.
    """
    folder = request.out_dir
    _require_folder(folder)
    leftovers.sweep_once(folder)
    if not (folder / runs.EVALUATED).exists():
        return None
    stored = upgrade(artefacts.read_document(folder / runs.EVALUATED, *NEEDED))
    do = f"use another --out_dir, or remove {folder}"
    if difference := artefacts.difference(stored["settings"], request.settings):
        raise UserError(folder, expected="an evaluation with the same settings", found=difference, do=do)
    if missing := [name for name in stored["methods"] if name not in names]:
        raise UserError(folder, expected=f"{', '.join(missing)} among the methods, as evaluated before", do=do)
    doubt = "" if stored["version"] == __version__ else f"it was made by version {stored['version']} of the toolkit"
    if not _same_inputs(stored["inputs"], inputs, truth, former):
        doubt = "the files that it was computed from lay elsewhere or were others"
    if stored.get("shared", dataclasses.asdict(NOTHING)) != dataclasses.asdict(shared):
        doubt = "its notes do not say which subjects had a part in the thresholds or networks"
    if doubt and (os.access(folder, os.W_OK) or {*names} != {*stored["methods"]}):
        return None
    pictures = tuple(folder / name for name in stored["pictures"])
    if not all(
        path.exists() for path in (folder / "table1.md", folder / "subjects.csv", folder / report.NAME, *pictures)
    ):
        return None
    return Finished(folder, (folder / "table1.md").read_text(encoding="utf-8"), pictures, stored, False, doubt)


def _require_folder(folder):
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        expected = "a folder to write to, or nothing"
        raise UserError(nearest, expected=expected, found="a file", do="use another --out_dir")


def _same_inputs(stored, inputs, truth, former):
    """Equal; of a run and an earlier version, by the digests and the name of records that it had. former: -> these digests."""
    if not isinstance(truth, RecordsTruth):
        return stored == inputs
    if truth.manifest.is_same(stored.get("records")):
        stored = {**stored, "records": inputs["records"]}
    if "predictions" in stored:
        return stored == inputs
    return stored == {**former(), "records": inputs["records"]}


# Writing


def _write(
    request: Request,
    evaluated: Evaluated,
    inputs: dict[str, Any],
    chosen: Mapping[str, Mapping[str, Mapping[str, int]]] | None,
    truth: AnyTruth,
    task: Task | None,
    shared: Shared = NOTHING,
) -> Finished:
    """Writes every file, each atomically and summary.json last."""
    whole = request.split == "test" and not request.subjects
    folder, complete = request.out_dir, whole and paper.complete(request.dataset, len(evaluated.subjects))
    examples = _named_examples(request.figure_subjects, evaluated.subjects)  # before anything is replaced
    by_rule = not examples
    if by_rule:
        examples = dict(zip(("S1", "S2", "S3"), statistics.example_subjects(evaluated.scores), strict=False))
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
    }
    notes = {part.name: forms.notes(part.rows, asked, part.about, part.of) for part in parts}
    (folder / runs.EVALUATED).unlink(missing_ok=True)  # from here on the old files are being replaced
    markdown = files.write_all(folder, parts, notes)
    others = [(part.suffix, part.title if part.region else "top label", part.evaluated) for part in parts[1:]]
    others = others if len(others) <= MOST_FIGURES else others[-1:]
    pictures = figures.write_all(folder, evaluated, examples, by_rule, task, others)
    if isinstance(truth, RecordsTruth):  # only they hold images
        pictures = (*pictures, *overlays.write(folder, evaluated, truth, examples))
    content = summary(parts, asked, examples, task)
    report.write(folder, parts, notes, content, pictures, truth, task)
    content["pictures"] = [picture.name for picture in pictures]
    artefacts.write_json(folder / runs.EVALUATED, content)
    return Finished(folder, markdown, tuple(pictures), content, fresh=True)


def _named_examples(names, subjects):
    """{"S1": name, ...} for --figure_subjects; raises `UserError` for a subject that wasn't evaluated."""
    for name in names:
        if name not in subjects:
            raise UserError("--figure_subjects", expected="evaluated subjects", found=repr(name))
    return {f"S{index}": name for index, name in enumerate(names, 1)}
