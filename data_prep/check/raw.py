"""Raw data, looked at as `prepare` would read them: what it refuses, what it would say, and what it takes without a word."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from data_prep import planner, preparation, splits, tasks, windows, work
from data_prep.base import notices, pool
from data_prep.base.errors import Faults, UserError
from data_prep.base.findings import Finding, finding
from data_prep.base.progress import Progress
from data_prep.check import alike, subjects
from data_prep.manifest import Manifest
from data_prep.readers import finding as of_readers
from data_prep.readers import folders, labels

UNUSABLE = "cannot be converted"


@dataclasses.dataclass(frozen=True)
class Raw:
    """Raw data, and what `prepare` would be told of them: its flags, as `convert.convert` has them.

    options: of the reader. split: seed, split_files, split_fold and allow_missing. patients: a table, or None.
    """

    task: tasks.Task
    raw_dir: pathlib.Path
    options: Mapping[str, Any]
    split: Mapping[str, Any]
    patients: pathlib.Path | str | None = None
    follow_links: bool = False


def check(
    raw: Raw, executor: concurrent.futures.Executor, workers: int = 1, manifest: Manifest | None = None
) -> tuple[list[Finding], int]:
    """(findings, how many subjects were looked at). executor, workers: as `convert.convert` has them.

    manifest: of records that were made from these data, which are then compared with them. Raises nothing that the user can
    mend in the data.
    """
    own = raw.options
    task = tasks.resolved(
        raw.task, normalise=own.get("intensity"), frame=own.get("image_size"), label_map=own.get("label_map")
    )
    with notices.gathered() as noticed, folders.kept_within(raw.raw_dir, raw.follow_links):
        try:
            sources, faults = of_readers.in_folder(task.load_reader(), raw.raw_dir)
        except Faults as error:
            return [Finding("error", UNUSABLE, fault) for fault in error.faults.values()], len(error.faults)
        except UserError as error:
            return [Finding("error", UNUSABLE, error)], 0
    found = [Finding("error", UNUSABLE, fault) for fault in faults.values()]
    try:
        task, note = work.found_from(task, sources)
    except UserError as error:  # of the grid that all of them shall have
        found.append(Finding("error", UNUSABLE, error))
        note = ""
    assignment, of_split = _split(raw, task, sources)
    options = {**raw.options, "order": task.order} if task.order else dict(raw.options)
    seen = _look(task, options, sources, executor, workers)
    found += [Finding("error", UNUSABLE, one.error) for one in seen if one.error is not None]
    found += [each for one in seen for each in one.findings]
    belongs = assignment.splits() if assignment is not None else {}
    found += [*of_split, *alike.find(seen, belongs), *_of_training(raw, task, seen, belongs)]
    found += _noticed(raw, noticed, seen, note)
    if manifest is not None:
        found += _of_records(manifest, sources, raw.raw_dir)
    return found, len(sources) + len(faults)


def _look(task, options, sources, executor, workers):
    """What was seen of all subjects, in their order."""
    look, seen = functools.partial(subjects.look, task, options), {}
    with Progress("checking", len(sources), " subjects") as progress:
        for one in pool.unordered(executor, look, sources, ahead=2 * workers):
            seen[one.name] = one
            progress.advance(note=one.name)
    return [seen[source.name] for source in sources]


def _split(raw, task, sources):
    """(the assignment, or None; findings): what `prepare` would refuse of the splits, and who is on both sides of one."""
    where = ", ".join(map(str, raw.split["split_files"])) or raw.raw_dir
    try:
        assignment, _, patients = planner.Planner(task, raw.split, raw.raw_dir, raw.patients).plan(sources)
    except UserError as error:
        return None, [Finding("error", "split", error)]
    found = of_splits(assignment, patients, where)
    notes = [line for line in assignment.notes if not line.startswith("warning: ")]  # those are the findings
    return assignment, [*found, *(finding("note", "split", where, found=line) for line in notes)]


def of_splits(assignment: splits.Assignment, patients: Mapping[str, str], where: object) -> list[Finding]:
    """A warning for each patient whose subjects lie in two sets, one of which learns from the other, and for shared subjects."""
    found = []
    for title, both in splits.divided(assignment, patients).items():
        for patient in both:
            names = sorted(name for name, own in patients.items() if own == patient)
            found.append(
                finding(
                    "warning",
                    "patient in two splits",
                    where,
                    expected="all time points of a patient in one set",
                    found=f"patient {patient} in both {title}: {', '.join(names[:6])}{', …' if len(names) > 6 else ''}",
                    do="move them to one set of --split_file: scores of a patient who was trained on look too good",
                )
            )
    if line := splits.shared(assignment):
        do = "name other subjects for validation in --split_file, unless the comparison asks for these"
        found.append(finding("warning", "subject in two splits", where, found=line, do=do))
    return found


def _of_training(raw, task, seen, belongs):
    """What `prepare` refuses of the training subjects together: a class that none of them has, intensities without extent."""
    train = [one for one in seen if "train" in belongs.get(one.name, ())]
    if (error := work.without_class(task, [one.voxels for one in train if one.voxels], raw.raw_dir)) is not None:
        return [Finding("error", UNUSABLE, error)]
    if windows.needed(task) and train:
        try:
            samples = {one.name: one.sample for one in train if one.sample is not None}
            windows.of_samples(task, samples, {one.name: one.error for one in train if one.error is not None})
        except UserError as error:
            return [Finding("error", UNUSABLE, error)]
    return []


def _noticed(raw, noticed, seen, note):
    """Notes of what the readers went on with, of which numbers the labels hold, and of the grid."""
    for one in seen:
        if one.error is None:  # of others nothing comes into the records
            noticed.add(one.noticed)
    rule = labels.Rule(raw.options.get("label_map"), dataset=raw.task.name)
    said = [("reader", line) for line in noticed.lines()]
    said += [("labels", line) for what in noticed.found for line in labels.said(noticed, what, rule=rule)]
    said += [("grid", note)] if note else []
    return [finding("note", kind, raw.raw_dir, found=line) for kind, line in said]


def _of_records(manifest: Manifest, sources: Sequence[splits.Source], raw_dir: pathlib.Path) -> list[Finding]:
    """Whether records are still those of the raw data."""
    found = []
    try:
        preparation.refuse_changed(manifest, sources, raw_dir)
    except UserError as error:
        found.append(Finding("warning", "records of other files", error))
    known = {entry.name for entry in manifest.subjects} | {skipped.name for skipped in manifest.skipped}
    if new := sorted(source.name for source in sources if source.name not in known):
        seen = f"{len(new)} subjects that the records do not have, as {', '.join(new[:3])}"
        found.append(finding("note", "not in the records", manifest.path, found=seen, do=preparation.ELSEWHERE))
    return found
