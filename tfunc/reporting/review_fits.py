"""What an evaluation keeps for new patients: the fits of its choosing set, by method and region, for `scoring.triage`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.tasks import Task
from tfunc.reporting.parts import Part
from tfunc.scoring import patients, triage
from tfunc.scoring.evaluate import Evaluated
from tfunc.scoring.patients import Patients
from tfunc.scoring.triage import Fits, OfMethod


def of_parts(
    parts: Sequence[Part],
    found: Sequence[Patients | None],
    choosing: Evaluated | None,
    made_by: Mapping[str, Mapping[str, Any]],
    failure: float,
    task: Task | None,
) -> Fits:
    """The fits of all parts that are regions. choosing: the evaluation of the choosing set. made_by: of each method there."""
    methods: dict[str, OfMethod] = {}
    for part, one in zip(parts, found, strict=True):
        if one is None or choosing is None or (name := _region(part, task)) is None:
            continue
        scores = patients.table(choosing if part.region is None else choosing.regions[part.region.name])
        for method, chosen in one.chosen.items():
            if chosen is not None and method in made_by:
                of = methods.setdefault(method, OfMethod(made_by=dict(made_by[method]), regions={}))
                of.regions[name] = triage.fit_of(chosen, scores[method])
    return Fits(failure=failure, methods=methods)


def _region(part, task):
    """The region's name in the task, of two classes the only one's; None of a mean over regions."""
    if part.region is not None:
        return part.region.name
    return task.regions[0].name if task is not None and not part.name else None
