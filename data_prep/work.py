"""One conversion under way: subjects to parts, parts to shards, the manifest last; `convert.py` says what it leaves behind."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from data_prep import forecast, grid, parts, planner, preparation, records, shards, splits, tasks, voxel_order, windows
from data_prep import patients as people
from data_prep.base import artefacts, json_text, made_up, notices, pool, stamps
from data_prep.base.errors import UserError
from data_prep.base.progress import Progress
from data_prep.readers import labels, nifti


@dataclasses.dataclass(frozen=True)
class Work:
    """One conversion into a folder that is locked."""

    task: tasks.Task
    options: Mapping[str, Any]
    raw_dir: pathlib.Path | str
    data_dir: pathlib.Path
    asked: Mapping[str, Any]
    planner: planner.Planner
    skip_bad: bool
    say: Callable[[str], object]

    def run(
        self,
        sources: Sequence[splits.Source],
        faults: Mapping[str, UserError],
        executor: concurrent.futures.Executor,
        workers: int,
    ) -> None:
        """Converts all that can be; refuses, or with skip_bad leaves out, the rest; writes the manifest.

        faults: {name: what is wrong} of subjects that are known to be bad already.
        """
        preparation.check(self.data_dir, self.asked)
        task, note = found_from(self.task, sources)
        assignment, planned, patients = self.planner.plan(sources)
        for line in filter(None, (*assignment.notes, people.described(patients), note)):
            self.say(line)
        forecast.require_room(self.data_dir, task, sources)
        request = self._request(task, sources, assignment, executor, workers)
        bad = self._make(planned, request, executor, workers)
        skipped = self._sorted_out(sources, {**faults, **bad})
        if skipped:
            sources = [source for source in sources if source.name not in bad]
            task, _ = found_from(self.task, sources)  # who is left out has no say in the grid
            assignment, planned, patients = self.planner.plan(sources)
            request = self._request(task, sources, assignment, executor, workers)
            self._make(planned, request, executor, workers)
        task = request.task
        made = shards.made(planned, self.data_dir, assignment.parts["train"])
        self._say_noticed(made.noticed)
        if not _as_ever(task):
            self._require_classes(task, made)
        asked = {**self.asked, "subjects": preparation.fingerprint(planned, assignment)}
        subjects = json_text.Each(lambda: _subjects(task, planned, assignment, patients, self.data_dir))
        content = _manifest(task, self.options, made, assignment, asked, subjects)
        more: dict[str, Any] = {"skipped": skipped} if skipped else {}
        if made_up.is_marked(self.raw_dir):
            more["made_up"] = True
        _finish(self.data_dir, {**content, **more})

    def _request(self, task, sources, assignment, executor, workers):
        """What parts depend on: the task with what is measured of the subjects that are trained on."""
        options = {**self.options, "order": task.order} if task.order else dict(self.options)
        names = set(assignment.parts["train"])
        train = [source for source in sources if source.name in names]
        task = windows.measured(task, train, options, executor, workers)
        return shards.Request(task, options, str(pathlib.Path(self.raw_dir).absolute()))

    def _make(self, planned, request, executor, workers):
        """Makes every shard that isn't there, each as soon as its last subject is converted.

        Returns {subject: what is wrong with it}; their shards are not made.
        """
        stale, places = shards.take_apart(planned, self.data_dir, request)
        self._say_stale(stale)
        planned = [shard for shard in planned if not shards.shard_done(shard, self.data_dir)]
        waiting = {shard.name: {s.name for s in shard.sources} - places.keys() for shard in planned}
        owner = {source.name: shard for shard in planned for source in shard.sources}
        todo = [source for shard in planned for source in shard.sources if source.name in waiting[shard.name]]
        claimed = shards.any_made(self.data_dir)
        if claimed:
            preparation.claim(self.data_dir, self.asked)
        if claimed and todo:
            self.say(f"continuing in {self.data_dir}: {len(todo)} subjects are left to convert")
        for shard in planned:
            if not waiting[shard.name]:
                shards.join(shard, self.data_dir, places)
        bad: dict[str, UserError] = {}
        if not todo:
            return bad
        part = functools.partial(
            shards.convert_subjects, self.task.load_reader().load, request, str(self.data_dir / shards.PARTS)
        )
        groups = parts.together(todo, alone=not self.task.is_photograph)
        with Progress("converting", len(todo), " subjects") as progress:
            for converted, refused in pool.unordered(executor, part, groups, ahead=2 * workers):
                for name in (*converted, *refused):
                    progress.advance(note=name)
                bad |= refused
                if converted and not claimed:
                    preparation.claim(self.data_dir, self.asked)
                    claimed = True
                places |= converted
                for shard in {owner[name].name: owner[name] for name in converted}.values():
                    waiting[shard.name] -= converted.keys()
                    if not waiting[shard.name]:
                        shards.join(shard, self.data_dir, places)
        return bad

    def _say_stale(self, stale):
        by_reason: dict[str, list[str]] = {}
        for name, why in sorted(stale.items()):
            by_reason.setdefault(why, []).append(name)
        for why, names in by_reason.items():
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            self.say(f"{shown}: {why}; converted again")

    def _say_noticed(self, noticed):
        """What readers noticed, and which numbers the labels hold."""
        rule = labels.Rule(self.options.get("label_map"), dataset=self.task.name)
        said = (line for what in noticed.found for line in labels.said(noticed, what, rule=rule))
        for line in (*noticed.lines(), *said):
            self.say(line)

    def _sorted_out(self, sources, bad):
        """The manifest's entries of the subjects left out; without skip_bad, raises for them."""
        if not bad:
            return []
        if not self.skip_bad:
            self._refuse(sources, bad)
        for name, error in sorted(bad.items()):
            self.say(f"left out: {name}: {error}")
        files = {source.name: source.paths for source in sources}
        return [
            {"name": name, "reason": str(error), "files": stamps.taken(files.get(name, ()), self.raw_dir)}
            for name, error in sorted(bad.items())
        ]

    def _require_classes(self, task, made):
        """Raises `UserError` for classes that no training subject has: a network cannot learn them, nor can anyone judge it."""
        if (error := without_class(task, made.voxels, self.raw_dir)) is not None:
            preparation.release(self.data_dir)  # what it advises must not be refused for being another configuration
            raise error

    def _refuse(self, sources, bad):
        """Raises for all bad subjects, each of which is said; another command is free to take the folder over."""
        preparation.release(self.data_dir)
        if not shards.any_made(self.data_dir):  # nothing was converted: nothing is left behind
            artefacts.remove_tree(self.data_dir / shards.PARTS)
            with contextlib.suppress(OSError):
                self.data_dir.rmdir()
        if len(bad) == 1:
            raise next(iter(bad.values()))
        for name, error in sorted(bad.items()):
            self.say(f"{name}: {error}")
        names = ", ".join(sorted(bad)[:5]) + (", …" if len(bad) > 5 else "")
        raise UserError(
            self.raw_dir,
            expected=f"{len({*bad, *(source.name for source in sources)})} subjects that can be converted",
            found=f"{len(bad)} that cannot ({names}), each with its reason above",
            do="mend them and run the same command, or give --skip_bad to leave them out",
        )


def without_class(task: tasks.Task, counts: Sequence[Sequence[int]], where: object) -> UserError | None:
    """The error naming `where` for classes that no training subject has. counts: voxels by class of each; none: no error."""
    if not len(counts):
        return None
    missing = [one for one, count in zip(task.classes[1:], np.sum(counts, axis=0)[1:], strict=True) if not count]
    if not missing:
        return None
    named = ", ".join(f"{one.name} ({'/'.join(map(str, one.labels))})" for one in missing)
    do = "take the class out of the data set's labels, or give --split_file with subjects that have it in train"
    return UserError(where, expected="each class in a training subject", found=f"{named} in none", do=do)


def found_from(task: tasks.Task, sources: Sequence[splits.Source]) -> tuple[tasks.Task, str]:
    """(the task with the grid that the subjects' images ask for, the line for the user that says it; empty for nothing).

    Tasks of the table keep the voxel order that most subjects lie in; of others everything follows from all subjects.
    """
    if task.is_photograph:
        return task, ""
    if not task.is_known:
        return _fitted(task, sources)
    if (own := getattr(task.load_reader(), "fitted", None)) is not None:
        task = own(task, sources)
    orders = {}
    for source in sources:
        with contextlib.suppress(UserError), notices.gathered():  # said when it is converted
            if own := voxel_order.of_affine(nifti.read_header(source.image).affine):
                orders[source.name] = own
    order = voxel_order.common(orders)
    return tasks.resolved(task, order=order), voxel_order.permuted_note(orders, order)


def _fitted(task, sources):
    places = {}
    for source in sources:
        with contextlib.suppress(UserError), notices.gathered():  # said when it is converted
            header = nifti.read_header(source.image, dimensions=(3, 4))
            places[source.name] = grid.Place(header.shape[-3:], header.affine)
    if not places:
        return task, ""
    task = grid.fitted(task, places)
    spacing = "their own spacing" if task.spacing is None else "a spacing of {:g} x {:g} mm".format(*task.spacing)
    axis = ("left to right", "front to back", "up and down")[task.axis or 0]
    height, width = task.frame
    return task, f"slices along the axis that runs {axis}, with {spacing}, in a frame of {height} x {width}"


# The manifest


def _as_ever(task):
    """Whether manifests of the task stay what they were before voxels were counted."""
    return task.is_binary and task.is_known


def _subjects(task, planned, assignment, patients, data_dir):
    """Yields the manifest's entries of all subjects, of which only a shard's are in memory."""
    belongs = assignment.splits()
    for shard in planned:  # their JSON was looked at by `shards.made`, in the same command
        content = json.loads((data_dir / shards.PARTS / f"{shard.name}.json").read_text(encoding="utf-8"))
        for source, subject in zip(shard.sources, content["subjects"], strict=True):
            where = {"shard": shard.name, "first_record": subject["first_record"]}
            mine = {"name": source.name, "splits": belongs[source.name], "grade": source.grade}
            if patients[source.name] != source.name:
                mine["patient"] = patients[source.name]
            entry = dict(subject["entry"])
            if _as_ever(task):
                entry.pop("voxels", None)
            yield {**mine, **where, **entry}


def _manifest(task, options, made, assignment, configuration, subjects):
    height, width = (_common(shape[axis] for shape in made.shapes) for axis in (1, 2))
    return {
        "schema_version": records.version(task),
        "dataset": task.name,
        "channels": [channel.name for channel in task.channels],
        "label_map": options.get("label_map"),
        "intensity": task.normalise,
        "height": height,
        "width": width,
        "members": assignment.members,
        "folds": assignment.folds,
        "configuration": configuration,
        "shards": made.entries,
        "subjects": subjects,
        "task": task.document(),
    }


def _common(values):
    values = set(values)
    return values.pop() if len(values) == 1 else None


def _finish(data_dir, content):
    planned = {shard["name"] for shard in content["shards"]}
    for path in data_dir.glob("*-of-*.tfrecord"):
        if path.name not in planned:  # of an earlier plan, or what a kill was writing; its JSON was not written
            artefacts.remove(path, missing_ok=True)
    artefacts.write_document(data_dir / records.MANIFEST, content)
    tidy(data_dir)


def tidy(data_dir: pathlib.Path) -> None:
    """Removes from a finished folder what only its making needed."""
    artefacts.remove_tree(data_dir / shards.PARTS)
    preparation.release(data_dir)
