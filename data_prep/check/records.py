"""Prepared records against what their manifest says: every checksum, count and slice, and what else lies in the folder."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from google.protobuf.message import DecodeError

from data_prep import doubts, preparation, records, shards, splits
from data_prep.base import artefacts, leftovers, pool
from data_prep.base.errors import UserError, command
from data_prep.base.findings import Finding, finding, guarded
from data_prep.base.progress import Progress
from data_prep.check import left_behind
from data_prep.check.raw import of_splits
from data_prep.manifest import Manifest, ShardEntry, SubjectEntry, damaged, read_alone, wrong_size
from data_prep.readers import labels
from data_prep.subject import Subject
from data_prep.tasks import IGNORED, Task

DAMAGED = "damaged records"


def check(
    data_dir: pathlib.Path | str, executor: concurrent.futures.Executor, workers: int = 1
) -> tuple[list[Finding], Manifest | None]:
    """(findings, the manifest where it can be read). executor, workers: shards are read in; they need TensorFlow."""
    folder = pathlib.Path(data_dir)
    found = left_behind.find(folder)
    try:
        manifest = read_alone(folder)
    except UserError as error:
        return [Finding("error", DAMAGED, error), *found], None
    except (AttributeError, TypeError) as error:  # an entry without a seal, of another type
        where = folder / records.MANIFEST
        return [Finding("error", DAMAGED, damaged(where, "every entry of the manifest", f"{error}")), *found], None
    found += guarded(manifest.path, functools.partial(_of_manifest, manifest))
    found += _of_folder(manifest)
    whole = []
    for shard in manifest.shards:
        if (wrong := wrong_size(manifest, shard)) is not None:
            found.append(Finding("error", DAMAGED, wrong))
        else:
            whole.append(shard)
    look = functools.partial(_look, folder)
    with Progress("checking", len(whole), " shards") as progress:
        for name, mine in pool.unordered(
            executor, look, [_alone(manifest, shard) for shard in whole], ahead=2 * workers
        ):
            found += mine
            progress.advance(note=name)
    return found, manifest


# The manifest


def _of_manifest(manifest: Manifest) -> Iterator[Finding]:
    """What it says of itself, and of who is where."""
    if not artefacts.is_sealed(manifest.path):
        seen = "no seal: an earlier version wrote it, so it does not vouch for itself"
        yield finding("note", "earlier version", manifest.path, found=seen)
    for skipped in manifest.skipped:
        do = "mend it and prepare into another --data_dir, if it shall not be missing"
        yield finding(
            "note", "left out", manifest.path, found=f"{skipped.name}, by --skip_bad: {skipped.reason}", do=do
        )
    yield from _of_places(manifest)
    names = {entry.name: entry.patient or entry.name for entry in manifest.subjects}
    parts: dict[str, list[str]] = {}
    for entry in manifest.subjects:
        for split in entry.splits:
            parts.setdefault(split, []).append(entry.name)
    assignment = splits.Assignment(
        {split: tuple(named) for split, named in parts.items()}, manifest.members, manifest.folds
    )
    listed = {name for member in manifest.members or () for name in member}
    listed |= {name for fold in manifest.folds or () for named in fold.values() for name in named}
    if strange := sorted(listed - set(names)):
        error = damaged(manifest.path, "folds and members of its own subjects", strange[0])
        yield Finding("error", DAMAGED, error)
    yield from of_splits(assignment, names, manifest.path)


def _of_places(manifest: Manifest) -> Iterator[Finding]:
    """Whether the subjects' records fill the shards, each record of one subject."""
    for shard in manifest.shards:
        at = 0
        for entry in sorted((e for e in manifest.subjects if e.shard == shard.name), key=lambda e: e.first_record):
            if entry.first_record != at:
                break
            at += entry.slices
        if at != shard.records:
            seen = f"subjects of {at} in a row"
            error = damaged(manifest.path, f"subjects of all {shard.records} records of {shard.name}", seen)
            yield Finding("error", DAMAGED, error)


def _of_folder(manifest: Manifest) -> Iterator[Finding]:
    """What lies beside the shards and is none of theirs."""
    folder, listed = manifest.path.parent, {shard.name for shard in manifest.shards}
    for path in leftovers.finished(folder, "*.tfrecord"):
        if path.name not in listed:
            yield finding(
                "warning", "not listed", path, expected=f"shards that {manifest.path.name} lists", do="remove it"
            )
    for path in (folder / shards.PARTS, folder / preparation.PREPARE):
        if path.is_dir() and not any(file.name != ".lock" for file in path.iterdir()):
            continue
        if path.exists():
            again = command("prepare", dataset="…", raw_dir="…", data_dir=folder)
            do = ("remove it, or repeat its own ", again)
            yield finding("note", "left behind", path, found="what only the making of the records needed", do=do)


# The shards


def _alone(manifest: Manifest, shard: ShardEntry) -> Manifest:
    """A manifest of one shard only, so that little travels to a worker."""
    own = tuple(entry for entry in manifest.subjects if entry.shard == shard.name)
    return dataclasses.replace(manifest, shards=(shard,), subjects=own, members=None, folds=None, skipped=())


def _look(data_dir: pathlib.Path, alone: Manifest) -> tuple[str, list[Finding]]:
    """(the shard's name, findings on it), in a worker."""
    name = alone.shards[0].name
    return name, guarded(data_dir / name, functools.partial(_of_shard, data_dir, alone))


def _of_shard(data_dir: pathlib.Path, alone: Manifest) -> Iterator[Finding]:
    """Checksum and count, then every subject, read as training and prediction read it."""
    path = data_dir / alone.shards[0].name
    try:
        records.verify_shard(data_dir, alone.shards[0])
        entries = sorted(alone.subjects, key=lambda entry: entry.first_record)
        read = records.read_subjects(data_dir, alone, [entry.name for entry in entries])
        for entry, subject in zip(entries, read, strict=True):
            yield from _of_subject(path, subject, entry, alone.task)
    except UserError as error:
        yield Finding("error", DAMAGED, error)
    except (DecodeError, LookupError, ValueError) as error:  # bytes that vouch for themselves and are no records
        yield Finding("error", DAMAGED, damaged(path, "records of this schema", f"{type(error).__name__}: {error}"))


def _of_subject(path: pathlib.Path, subject: Subject, entry: SubjectEntry, task: Task) -> Iterator[Finding]:
    where = f"{path}, subject {entry.name}"
    voxels = None if subject.label is None else labels.of_classes(subject.label, task)
    for expected, seen in _differences(subject, entry, task, voxels):
        yield Finding("error", DAMAGED, damaged(where, expected, seen))
    yield from doubts.of_subject(subject, task, where, voxels)


def _differences(
    subject: Subject, entry: SubjectEntry, task: Task, voxels: Sequence[int] | None
) -> Iterator[tuple[str, str]]:
    """(what the manifest says, what the records hold), where they are not the same."""
    numbers = [subject.mean, subject.std] + ([subject.image] if subject.image.dtype.kind == "f" else [])
    if not all(np.isfinite(each).all() for each in numbers) or not (subject.std > 0).all():
        yield "finite voxels, and deviations above 0", "others"
    if (voxels is not None) != entry.labelled:
        yield ("a label", "none") if entry.labelled else ("no label", "one")
    if subject.image.shape[-1] != len(task.channels):
        yield f"{len(task.channels)} channels", str(subject.image.shape[-1])
        return
    if voxels is not None and subject.label is not None:
        ignored = int(np.count_nonzero(subject.label == IGNORED)) if task.ignore is not None else 0
        if sum(voxels) + ignored != subject.label.size:
            yield f"classes 0 to {len(task.classes) - 1}", "others"
        if entry.voxels and tuple(voxels) != entry.voxels:
            yield f"{list(entry.voxels)} voxels by class", str(voxels)
    if (trained := int(subject.training_slices(task).sum())) != entry.training_slices:
        yield f"{entry.training_slices} slices to train on", str(trained)
