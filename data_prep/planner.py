"""Who is where, and in which shard: a preparation's splits, patients, folds and files, from the sources that were found."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from data_prep import patients as people
from data_prep import shards, splits, tasks
from data_prep.base import notices


@dataclasses.dataclass(frozen=True)
class Planner:
    """Sources -> who is where, and in which shard.

    split: the arguments of `splits.assign`. patients: a table, or None.
    """

    task: tasks.Task
    split: Mapping[str, Any]
    raw_dir: pathlib.Path | str
    patients: pathlib.Path | str | None

    def plan(
        self, sources: Sequence[splits.Source], by_patient: bool = True, patients: Mapping[str, str] | None = None
    ) -> tuple[splits.Assignment, list[shards.Shard], Mapping[str, str]]:
        """(assignment, shards, {subject: patient}). by_patient: whether splits made here keep patients together.

        patients: {subject: patient} as they were read before, None to read them anew. The assignment's notes say first
        what was noticed of them.
        """
        with notices.gathered() as noticed:
            patients = patients or people.known([source.name for source in sources], self.raw_dir, self.patients)
        assignment = splits.assign(sources, self.task.ratio, **self.split, patients=patients if by_patient else None)
        with notices.gathered() as more:
            assignment = self._with_own_folds(assignment)
        assignment = dataclasses.replace(assignment, notes=(*noticed.lines(), *assignment.notes, *more.lines()))
        return assignment, shards.plan(sources, assignment, self.task.per_shard), patients

    def _with_own_folds(self, assignment):
        """With the folds that lie beside the data, of those who are trained on, where no split file has said others."""
        own = getattr(self.task.load_reader(), "folds", None)
        folds = own(self.raw_dir) if own is not None and assignment.folds is None else None
        if not folds:
            return assignment
        train = set(assignment.parts["train"])
        found = tuple(
            {part: tuple(name for name in names if name in train) for part, names in fold.items()} for fold in folds
        )
        held_out = {name for fold in found for name in fold["valid"]}
        if held_out != train or not all(fold["valid"] and fold["train"] for fold in found):
            why = "some training subject is held out by no fold, or a fold holds out none"
            notices.once("folds", f"{self.raw_dir}: its folds are not used: {why}")
            return assignment
        notices.once("folds", f"{self.raw_dir}: its {len(found)} folds, as far as their subjects are trained on")
        return dataclasses.replace(assignment, folds=found)
