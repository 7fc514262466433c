"""Folders of predictions: whether they are complete, by the networks that are there, and each map finite and where it belongs."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import nibabel
import numpy as np

from data_prep import map_files, place, splits
from data_prep.base import artefacts
from data_prep.base.errors import Command, NotReady, UserError, command
from data_prep.base.findings import Finding, finding, guarded
from data_prep.manifest import Manifest
from data_prep.readers import nifti
from data_prep.tasks import Task
from tfunc import kinds, methods, runs
from tfunc.check.networks import instead, other_records, unsealed
from tfunc.scoring import channels, sources, spread

DAMAGED = "damaged maps"


@dataclasses.dataclass(frozen=True)
class Place:
    """The maps of one subject, as a worker is handed them.

    kind: of the uncertainty.  task: what is segmented, None where nobody knows.  header: of the subject's source, None for a
    photograph and where it is not known.  predict: the command that makes them again.
    """

    folder: str
    subject: str
    kind: str
    task: Task | None
    header: bytes | None
    predict: Command


def split_of(folder: pathlib.Path) -> tuple[str, str]:
    """(method or network, split) of a folder of predictions."""
    method, _, split = folder.name.partition("@")
    return method, split or "test"


def predict_command(folder: pathlib.Path, dataset: str, index: Mapping[str, Any] | None = None) -> Command:
    """The command that makes a folder of predictions. index: what predictions.json says, which it must be finished with."""
    method, split = split_of(folder)
    base, index = methods.recalibrated_of(method), index or {}
    where: dict[str, object] = {"dataset": dataset, "split": None if split == "test" else split}
    if base is not None:
        outer = (index.get("recalibrated") or {}).get("alpha")
        return command("predict", method=base, **where, recalibrated="true", outer=outer)
    kind = "network" if split == runs.HELD_OUT else "method"
    return command("predict", **{kind: method}, **where, **sources.begun_with(index))


def check(folder: pathlib.Path, dataset: str, manifest: Manifest | None = None) -> Iterator[Finding]:
    """The findings on what a folder says of itself. dataset: for commands. manifest: of the records that it should be of."""
    predict, path = predict_command(folder, dataset), folder / runs.PREDICTED
    try:
        index = runs.read_predictions(folder)
    except UserError as error:
        yield Finding("error", DAMAGED, instead(error, ("remove ", str(path), ", then run ", predict)))
        return
    if index is None:
        begun = bool(map_files.all_written(folder)) or (folder / runs.CONFIG).exists()
        seen = f"{len(map_files.all_written(folder))} maps of predictions that were stopped"
        if begun:
            yield finding("note", "unfinished", folder, found=seen, do=predict)
        return
    if not _is_usable(index):
        yield finding(
            "error", DAMAGED, path, expected="the kind and the subjects of predictions", found="none", do=predict
        )
        return
    predict = predict_command(folder, dataset, index)
    yield from unsealed(path)
    if index.get("complete") is False:
        seen = f"{len(index['subjects'])} subjects of a split that has more"
        yield finding("note", "unfinished", path, found=seen, do=predict)
    yield from _current(folder, index, predict)
    yield from _of_records(folder, index, manifest)
    yield from _strays(folder, index)


def _is_usable(index):
    return index.get("kind") in list(kinds.KINDS) and isinstance(index.get("subjects"), list)


def places(folder: pathlib.Path, dataset: str, task: Task | None, manifest: Manifest | None = None) -> list[Place]:
    """The maps of each subject that a folder lists; none where `check` finds that it can't be used."""
    try:
        index = runs.read_predictions(folder)
    except UserError:
        return []
    if index is None or not _is_usable(index):
        return []
    same = manifest is not None and manifest.is_same(str(index.get("records")))
    headers = {entry.name: entry.header for entry in manifest.subjects} if same and manifest is not None else {}
    predict = predict_command(folder, dataset, index)
    return [Place(str(folder), name, index["kind"], task, headers.get(name), predict) for name in index["subjects"]]


def _current(folder, index, predict):
    """Whether the networks, or the maps that these were made from, are still those that made them."""
    method, split = split_of(folder)
    try:
        runs.require_current(folder.parents[1], folder, predict)
    except NotReady as error:
        yield Finding("warning", "out of date", error)
    except UserError:  # said of that network
        pass
    base = methods.recalibrated_of(method)
    if base is not None and "made_from" in index:
        source = runs.predictions_dir(folder.parents[1], base, split) / runs.PREDICTED
        if source.exists() and artefacts.sha256(source) != index["made_from"]:
            expected = f"maps made from those of {base} as they are now"
            where = folder / runs.PREDICTED
            yield finding("warning", "out of date", where, expected=expected, found="those of others", do=predict)


def _of_records(folder, index, manifest):
    if manifest is None:
        return
    path, stored = folder / runs.PREDICTED, index.get("records")
    if stored is not None and not manifest.is_same(str(stored)) and index.get("split") != splits.PREDICT:
        do = "give the --data_dir of its own, or predict these into another --run_dir"
        yield other_records(path, manifest, do)
        return
    known = {entry.name for entry in manifest.subjects}
    if stored is not None and manifest.is_same(str(stored)) and (strange := sorted({*index["subjects"]} - known)):
        expected = f"subjects of {manifest.path}"
        do = "remove the folder and predict again"
        yield finding("error", DAMAGED, path, expected=expected, found=strange[0], do=do)


def _strays(folder, index):
    """Maps of subjects that predictions.json does not list."""
    listed = {map_files.path(folder, name, kind, ending) for name in index["subjects"] for kind in map_files.MAPS
              for ending in ("nii.gz", "png")}  # fmt: skip
    if others := sorted({*map_files.all_written(folder)} - listed):
        seen = f"{len(others)} maps of subjects that {runs.PREDICTED} does not list, as {others[0].name}"
        yield finding("note", "not listed", folder, found=seen, do="remove them, or predict those subjects again")


def look(one: Place) -> tuple[str, list[Finding]]:
    """(the subject, findings on its maps), in a worker: every file read, its checksum with it, its numbers and its place."""
    return one.subject, guarded(f"{one.folder}, subject {one.subject}", functools.partial(_of_maps, one))


def _of_maps(one: Place) -> Iterator[Finding]:
    folder = pathlib.Path(one.folder)
    spaces = []
    for name in map_files.MAPS:
        path = map_files.path(folder, one.subject, name)
        if not path.exists():
            yield finding("error", DAMAGED, path, expected="a map", found="no file", do=one.predict)
            continue
        try:
            dimensions = channels.DIMENSIONS if name == "probability" else (2, 3)
            header = nifti.read_header(path, dimensions)
            values = nifti.read_array(header)
        except UserError as error:
            yield Finding("error", DAMAGED, instead(error, ("remove it, then run ", one.predict)))
            continue
        spaces.append(nifti.Space(str(path), _space(header.shape, one.task), header.affine))
        if wrong := _wrong(name, values, one):
            do = ("remove it, then run ", one.predict)
            yield finding("error", "map out of range", path, expected=_expected(name, one), found=wrong, do=do)
    try:
        reference = _of_subject(one, spaces)
        for space in spaces:
            nifti.require_same_space(reference, space)
        spread.read(folder, one.subject)
    except UserError as error:
        yield Finding("error", DAMAGED, instead(error, ("remove the subject's maps, then run ", one.predict)))


def _space(shape, task):
    """The axes of a map that space has: those of a probability of several classes have one more, the file's last."""
    classes = 0 if task is None or task.is_binary else len(task.classes)
    return shape[1:] if len(shape) == 4 and classes and shape[0] == classes else shape


def _of_subject(one, spaces):
    """Where the maps should lie: in the subject's own space, else in that of the first of them."""
    if one.header is None or not spaces:
        return spaces[0] if spaces else None
    sizes = nibabel.Nifti1Header(one.header, "<", check=False)["dim"][3:0:-1]
    return nifti.Space(one.subject, tuple(map(int, sizes)), place.of_block(one.header, one.subject))


def _wrong(name, values, one):
    """What of a map's numbers can't be, in words; empty where all can."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return f"{np.count_nonzero(~np.isfinite(values))} voxels that are NaN or infinite"
    lowest, highest = float(values.min()), float(values.max())
    if name == "prediction":
        numbers = None if one.task is None else {int(value) for value in map_files.labels_of(one.task)}
        strange = set() if numbers is None else {float(value) for value in np.unique(values)} - numbers
        return f"{min(strange):g}" if strange else ""
    unbounded = name == "uncertainty" and kinds.KINDS[one.kind].scale == "set"
    within = lowest >= -kinds.TOLERANCE and (unbounded or highest <= 1 + kinds.TOLERANCE)
    return "" if within else f"{lowest:g} to {highest:g}"


def _expected(name, one):
    if name == "prediction":
        return "the task's labels" if one.task is not None else "labels"
    return "finite numbers from 0 on" if kinds.KINDS[one.kind].scale == "set" else "numbers in [0, 1]"
