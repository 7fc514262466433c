"""The scores of a new patient: those that an evaluation has in subjects.csv, of the maps as they are written, without a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from data_prep import map_files, place
from data_prep.readers.nifti import Space
from data_prep.subject import Subject
from data_prep.tasks import Task
from tfunc.kinds import KINDS, MapError
from tfunc.methods import Method
from tfunc.scoring import classes, failure, findings
from tfunc.scoring.review import DEFAULT
from tfunc.scoring.spread import Spread

Scores = dict[str, dict[str, float | None]]


def of_maps(
    method: Method, subject: Subject, maps: Mapping[str, Any], task: Task, samples: Mapping[str, Spread] | None
) -> Scores | None:
    """{region: {score: value}} of maps as they were written, NaN as None; None where a score needs more than this subject.

    maps: `prediction` in raw labels. samples: {region: Spread} where the method has them. A sigma is scaled over a whole set,
    so one subject has no uncertainty of its own; nor has a map of one value everywhere.
    """
    kind = KINDS[method.kind]
    if kind.scale == "set":
        return None
    affine = None if subject.header is None else place.of_block(subject.header, subject.source)
    values, predicted = map_files.labels_of(task), maps["prediction"]
    space = Space(subject.source, predicted.shape, affine)
    nothing = findings.Region(np.zeros(predicted.shape, bool), None, space, surfaces=False)
    found: Scores = {}
    for region in task.regions:
        inside = np.isin(predicted, values[list(region.classes)])
        score = maps[kind.entry]
        if score.ndim == 4:
            score = classes.region_probability([score[..., index] for index in range(score.shape[-1])], region.classes)
        try:
            scores = findings.find(score, kind.name, inside, nothing, samples=(samples or {}).get(region.name)).scores
        except MapError:
            return None
        found[region.name] = {name: value if np.isfinite(value) else None for name, value in scores.items()}
    return found


def line(scores: Scores | None) -> str:
    """What is printed of them: the score that ranks unless another was chosen, of each region."""
    if scores is None:
        return "no score: its uncertainty is scaled over a whole set"
    title = failure.title(DEFAULT)
    if len(scores) == 1:
        (only,) = scores.values()
        return f"uncertainty, {title}: {only[DEFAULT]:.3f}"
    return f"uncertainty, {title}: " + ", ".join(f"{name} {one[DEFAULT]:.3f}" for name, one in scores.items())
