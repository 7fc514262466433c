"""Subjects to shards: each is converted in a worker into a part, parts are joined into shards, the manifest comes last.

What lies in the folder, and what a kill at any moment leaves:
    prepare.json                    what was asked for; written first, so that another command does not mix in
    parts/<subject>.tfrecord, .json  a converted subject; the JSON is written second and says that the part is whole
    <split>-00000-of-00004.tfrecord  a shard: the parts of its subjects, byte after byte
    parts/<shard>.json              written when the shard is whole; only then are its parts deleted
    dataset.json                    the manifest; only then are parts/ and prepare.json deleted
A second run redoes no part or shard that its JSON vouches for. If the raw folder has changed meanwhile (a broken
subject was taken away, say), shards that no longer fit are taken apart into parts again.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import errno
import functools
import hashlib
import json
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_prep import records, shards, splits, tasks
from data_prep.base import artefacts, locks, pool
from data_prep.base.errors import UserError
from data_prep.base.progress import Progress

PREPARE = "prepare.json"
# what a disk or a folder says that the user can mend
MENDABLE = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "ENOENT", "ENOTDIR", "EEXIST")}


def convert(
    dataset: str,
    raw_dir: pathlib.Path | str,
    data_dir: pathlib.Path | str,
    options: Mapping[str, Any] | None = None,
    *,
    seed: int = 100,
    split_files: Sequence[pathlib.Path | str] = (),
    split_fold: int | None = None,
    allow_missing: bool = False,
    executor: concurrent.futures.Executor | None = None,
    workers: int = 1,
    say: Callable[[str], object] = print,
) -> records.Manifest:
    """Converts raw data into sharded records with a manifest; continues where a killed run stopped.

    dataset: a name of `tasks.TASKS`. options: handed to the reader's `load`; those of `tasks.OPTIONS`. seed,
    split_files, split_fold and allow_missing: see `splits.assign`. executor: None to work in this process. workers: how
    many the executor has; at most twice as many subjects are under way, which bounds memory. say: called with each line
    for the user. Raises `UserError` for raw data, split files or folders that the user must mend.
    """
    options, data_dir = dict(options or {}), pathlib.Path(data_dir)
    task = tasks.resolved(
        tasks.find(dataset),
        normalise=options.get("intensity"),
        frame=options.get("image_size"),
        label_map=options.get("label_map"),
    )
    reader = task.load_reader()
    asked = _configuration(dataset, raw_dir, options, seed, split_files, split_fold, allow_missing)
    finished = (data_dir / records.MANIFEST).exists()
    if finished and not pathlib.Path(raw_dir).is_dir():  # the raw data may go once they are converted
        return _already(data_dir, asked, say)
    sources = _found(reader, raw_dir)
    assignment = splits.assign(sources, task.ratio, seed, split_files, split_fold, allow_missing)
    planned = shards.plan(sources, assignment, task.per_shard)
    asked_and_found = {**asked, "subjects": _fingerprint(planned, assignment)}
    if finished:
        return _already(data_dir, asked_and_found, say)
    for note in assignment.notes:
        say(note)
    with _explained(data_dir), _locked(data_dir):
        _begin(data_dir, asked)
        part = functools.partial(shards.convert_subject, reader.load, task, options, str(data_dir / shards.PARTS))
        _make(planned, part, data_dir, executor or pool.Serial(), workers, say)
        _finish(data_dir, _manifest(task, options, planned, assignment, data_dir, asked_and_found))
    return records.read_manifest(data_dir)


# What is asked for


def _configuration(dataset, raw_dir, options, seed, split_files, split_fold, allow_missing):
    def checksum(path):
        content = json.dumps(artefacts.read_json(path), sort_keys=True)
        return f"{pathlib.Path(path).name} ({hashlib.sha256(content.encode()).hexdigest()[:12]})"

    asked = {
        "schema_version": records.SCHEMA_VERSION,
        "dataset": dataset,
        "raw_dir": str(pathlib.Path(raw_dir).resolve()),
        **options,
        "seed": seed,
        "split_file": ", ".join(map(checksum, split_files)),
        "split_fold": split_fold,
        "allow_missing": allow_missing,
    }
    return json.loads(json.dumps(asked))  # as it comes back from a file: lists for tuples, text for integer keys


def _fingerprint(planned, assignment):
    """Short text that changes with the subjects, their order and their splits."""
    belongs = assignment.splits()
    names = [(source.name, belongs[source.name], source.labelled) for shard in planned for source in shard.sources]
    return f"{len(names)} ({hashlib.sha256(repr(names).encode()).hexdigest()[:12]})"


def _found(reader, raw_dir):
    sources = reader.find(raw_dir)
    by_name = {}
    for source in sources:
        other = by_name.setdefault(source.name, source)
        if other is not source:
            found = f"{source.name} at {other.image} too"
            raise UserError(source.image, expected="a name of its own for each subject", found=found, do="rename one")
    if not sources:
        raise UserError(raw_dir, expected="raw subjects", found="none")
    return sources


def _already(data_dir, configuration, say):
    """A finished folder: refuses another configuration, else there is nothing to do."""
    manifest = records.read_manifest(data_dir)
    stored = {name: manifest.configuration.get(name) for name in {*manifest.configuration, *configuration}}
    if "subjects" not in configuration:
        del stored["subjects"]
    _refuse_difference(data_dir / records.MANIFEST, stored, configuration)
    _tidy(data_dir)
    say(f"{manifest.path} is finished, with the same configuration: nothing to do")
    return manifest


def _refuse_difference(path, stored, asked):
    difference = artefacts.difference(stored, asked)
    if difference:
        do = "choose another --data_dir, or remove this folder"
        raise UserError(path, expected="the configuration asked for", found=f"another: {difference}", do=do)


# The work


def _begin(data_dir, asked):
    prepare = data_dir / PREPARE
    if prepare.exists():
        _refuse_difference(prepare, artefacts.read_json(prepare), asked)
        for folder in (data_dir, data_dir / shards.PARTS):
            for leftover in folder.glob(".partial-*"):  # of a killed run; the lock says that none is under way
                leftover.unlink()
    else:
        artefacts.write_json(prepare, asked)


def _make(planned, part, data_dir, executor, workers, say):
    """Makes every shard that isn't there, each as soon as its last subject is converted. part: makes a source's part."""
    parts = data_dir / shards.PARTS
    shards.take_apart(planned, data_dir)
    planned = [shard for shard in planned if not shards.shard_done(shard, data_dir)]
    waiting = {shard.name: {s.name for s in shard.sources if not shards.part_done(s, parts)} for shard in planned}
    owner = {source.name: shard for shard in planned for source in shard.sources}
    todo = [source for shard in planned for source in shard.sources if source.name in waiting[shard.name]]
    for shard in planned:
        if not waiting[shard.name]:
            shards.join(shard, data_dir)
    if any(parts.glob("*.json")):
        say(f"continuing in {data_dir}: {len(todo)} subjects are left to convert")
    if not todo:
        return
    with Progress("converting", len(todo), " subjects") as progress:
        for name in pool.unordered(executor, part, todo, ahead=2 * workers):
            shard = owner[name]
            waiting[shard.name].remove(name)
            if not waiting[shard.name]:
                shards.join(shard, data_dir)
            progress.advance(note=name)


# The manifest


def _manifest(task, options, planned, assignment, data_dir, configuration):
    belongs, shard_entries, subjects = assignment.splits(), [], []
    for shard in planned:
        content = artefacts.read_json(data_dir / shards.PARTS / f"{shard.name}.json")
        shard_entries.append(content["shard"])
        for source, subject in zip(shard.sources, content["subjects"], strict=True):
            where = {"shard": shard.name, "first_record": subject["first_record"]}
            mine = {"name": source.name, "splits": belongs[source.name], "grade": source.grade}
            subjects.append({**mine, **where, **subject["entry"]})
    height, width = (_common(subject["shape"][axis] for subject in subjects) for axis in (1, 2))
    return {
        "schema_version": records.SCHEMA_VERSION,
        "dataset": task.name,
        "channels": [channel.name for channel in task.channels],
        "label_map": options.get("label_map"),
        "intensity": task.normalise,
        "height": height,
        "width": width,
        "members": assignment.members,
        "folds": assignment.folds,
        "configuration": configuration,
        "shards": shard_entries,
        "subjects": subjects,
        "task": task.document(),
    }


def _common(values):
    values = set(values)
    return values.pop() if len(values) == 1 else None


def _finish(data_dir, content):
    planned = {shard["name"] for shard in content["shards"]}
    for path in data_dir.glob("*-of-*.tfrecord"):
        if path.name not in planned:  # of an earlier plan, killed before its JSON was written
            path.unlink()
    artefacts.write_json(data_dir / records.MANIFEST, content)
    _tidy(data_dir)


def _tidy(data_dir):
    shutil.rmtree(data_dir / shards.PARTS, ignore_errors=True)
    if (data_dir / PREPARE).exists():  # a disk that can't be written refuses even to remove what isn't there
        (data_dir / PREPARE).unlink()


def summary(manifest: records.Manifest) -> list[str]:
    """Lines that say what a folder holds: subjects and slices of each split, and the size of all shards."""
    lines: list[str] = []
    size = sum(shard.bytes for shard in manifest.shards)
    count: collections.Counter[str]
    count = collections.Counter(split for subject in manifest.subjects for split in subject.splits)
    for split in splits.NAMES:
        if count[split]:
            members = manifest.split(split)
            slices = sum(subject.slices for subject in members)
            trained = f", {sum(s.training_slices for s in members)} trained on" if split == "train" else ""
            lines.append(f"{split:8}{count[split]:6} subjects {slices:8} slices{trained}")
    return [*lines, f"{len(manifest.subjects)} subjects in {len(manifest.shards)} shards, {size / 2**20:.1f} MiB"]


# Trouble


@contextlib.contextmanager
def _locked(data_dir):
    """One preparation at a time in a folder."""
    file = locks.taken(data_dir / shards.PARTS / ".lock")
    if file is None:
        found = "another prepare at work in it"
        raise UserError(data_dir, expected="a folder of its own", found=found, do="wait for it to end")
    with file:
        yield


@contextlib.contextmanager
def _explained(data_dir):
    """Turns a full or read-only disk into what the user can do about it."""
    try:
        yield
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        where = error.filename or data_dir
        do = "mend it; the same command continues where it stopped"
        raise UserError(where, expected="a place to read and write", found=error.strerror, do=do) from None
