"""Subjects to shards: each is converted in a worker into a part, parts are joined into shards, the manifest comes last.

What lies in the folder, and what a kill at any moment leaves:
    prepare.json                    what was asked for, once a subject is converted, so that no other command mixes in
    parts/<subject>.part            a converted subject, or several small ones; checksums say whether it is whole
    <split>-00000-of-00004.tfrecord  a shard: the slices of its subjects, byte after byte
    parts/<shard>.json              written when the shard is whole; only then are its parts deleted
    dataset.json                    the manifest; only then are parts/ and prepare.json deleted
A second run redoes no part or shard that is whole and vouches for its sources, by size, time and checksum, and the options.
If the raw folder has changed meanwhile (a broken subject was taken away, say), shards that no longer fit are taken apart
into parts again. Subjects that cannot be converted are all said at the end, and nothing is claimed by a refused command.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_prep import datasets, planner, preparation, records, splits, tasks, work
from data_prep import patients as people
from data_prep.base import locks, notices, pool, remedies
from data_prep.readers import finding, folders
from data_prep.shards import PARTS


def convert(
    dataset: str | tasks.Task,
    raw_dir: pathlib.Path | str,
    data_dir: pathlib.Path | str,
    options: Mapping[str, Any] | None = None,
    *,
    seed: int = 100,
    split_files: Sequence[pathlib.Path | str] = (),
    split_fold: int | None = None,
    allow_missing: bool = False,
    patients: pathlib.Path | str | None = None,
    skip_bad: bool = False,
    follow_links: bool = False,
    executor: concurrent.futures.Executor | None = None,
    workers: int = 1,
    say: Callable[[str], object] = print,
) -> records.Manifest:
    """Converts raw data into sharded records with a manifest; continues where a killed run stopped.

    dataset: a name of `tasks.TASKS`, or a task as `datasets.find` has it. options: handed to the reader's `load`; those of
    `tasks.OPTIONS`. seed, split_files, split_fold and allow_missing: see `splits.assign`. patients: see `patients.known`.
    skip_bad: leave out subjects that cannot be converted, and say which in the manifest; without it all are said and refused.
    follow_links: whether links may lead out of raw_dir. executor: None for this process. workers: how many it has; at most twice
    as many subjects are under way. Returns the manifest, without stamps. Raises `UserError` for what is to be mended.
    """
    options, data_dir = dict(options or {}), pathlib.Path(data_dir)
    with folders.kept_within(raw_dir, follow_links):
        task = tasks.resolved(
            datasets.find(dataset, raw_dir)[0] if isinstance(dataset, str) else dataset,
            normalise=options.get("intensity"),
            frame=options.get("image_size"),
            label_map=options.get("label_map"),
        )
    split = {"seed": seed, "split_files": split_files, "split_fold": split_fold, "allow_missing": allow_missing}
    asked = preparation.asked(task, raw_dir, options, {**split, "patients": patients})
    finished = (data_dir / records.MANIFEST).exists()
    if finished and not pathlib.Path(raw_dir).is_dir():  # the raw data may go once they are converted
        return _as_asked(records.read_manifest(data_dir), asked, say)
    with notices.gathered() as noticed, folders.kept_within(raw_dir, follow_links):
        sources, faults = finding.in_folder(task.load_reader(), raw_dir)
    for line in noticed.lines():
        say(line)
    plan = planner.Planner(task, split, raw_dir, patients)
    if finished:
        return _already(data_dir, sources, asked, plan, say)
    conversion = work.Work(task, options, raw_dir, data_dir, asked, plan, skip_bad, say)
    with _explained(data_dir), locks.held(data_dir / PARTS, "records"):
        conversion.run(sources, faults, executor or pool.Serial(), workers)
    del conversion, plan, sources, faults  # of many thousand subjects, for which the manifest needs the room
    return records.read_manifest(data_dir, stamped=False)


def _as_asked(manifest, asked, say):
    """A finished folder of the configuration that is asked for."""
    preparation.require_same(manifest, asked)
    work.tidy(manifest.path.parent)
    say(f"{manifest.path} is finished, with the same configuration: nothing to do")
    return manifest


def _already(data_dir, sources, asked, plan, say):
    """A finished folder: refuses another configuration and other raw data, else there is nothing to do."""
    manifest = records.read_manifest(data_dir)
    skipped = preparation.still_skipped(manifest, sources, plan.raw_dir)
    sources = [source for source in sources if source.name not in skipped]
    by_patient = preparation.UNIT in manifest.configuration
    assignment, planned, patients = plan.plan(sources, by_patient)
    now = {**asked, "subjects": preparation.fingerprint(planned, assignment)}
    if by_patient and plan.patients is None and now["subjects"] != manifest.configuration.get("subjects"):
        read_then = {source.name: manifest.patients.get(source.name, source.name) for source in sources}
        assignment, planned, _ = plan.plan(sources, patients=read_then)
        now["subjects"] = preparation.fingerprint(planned, assignment)
    preparation.require_same(manifest, now)
    preparation.refuse_changed(manifest, sources, plan.raw_dir)
    _as_asked(manifest, now, say)
    if skipped:
        say(f"left out when it was made: {', '.join(sorted(skipped))}")
    if not by_patient and (described := people.described(patients)):
        say(f"warning: prepared by an earlier version, which split subjects and not patients: {described}")
    elif by_patient and patients != {name: manifest.patients.get(name, name) for name in patients}:
        told = people.described(patients) or f"{len(patients)} subjects of as many patients"
        say(f"warning: prepared where other patients were told apart, and kept; today they are read as {told}")
    return manifest


def summary(manifest: records.Manifest) -> list[str]:
    """Lines that say what a folder holds: subjects and slices of each split, and the size of all shards."""
    lines: list[str] = []
    size = sum(shard.bytes for shard in manifest.shards)
    count: collections.Counter[str]
    count = collections.Counter(split for subject in manifest.subjects for split in subject.splits)
    for split in (*splits.NAMES, *sorted(set(count) - {*splits.NAMES})):
        if count[split]:
            members = manifest.split(split)
            slices = sum(subject.slices for subject in members)
            trained = f", {sum(s.training_slices for s in members)} trained on" if split == "train" else ""
            lines.append(f"{split:8}{count[split]:6} subjects {slices:8} slices{trained}")
    patients = {entry.name: entry.patient or entry.name for entry in manifest.subjects}
    subjects = people.described(patients) or f"{len(patients)} subjects"
    return [*lines, f"{subjects} in {len(manifest.shards)} shards, {size / 2**20:.1f} MiB"]


# Trouble


@contextlib.contextmanager
def _explained(data_dir):
    """Turns a full or read-only disk into what the user can do about it."""
    try:
        yield
    except OSError as error:
        if (told := remedies.of_error(error, data_dir)) is None:
            raise
        raise told from None
