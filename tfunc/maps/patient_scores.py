"""The scores of a new patient: those that an evaluation has in subjects.csv, of the maps as they are written, without a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from data_prep import map_files, place
from data_prep.readers.nifti import Space
from data_prep.tasks import Task
from tfunc.kinds import KINDS, MapError
from tfunc.scoring import classes, findings
from tfunc.scoring.spread import Spread

Scores = dict[str, dict[str, float | None]]


class Lying(Protocol):
    """What is asked of a subject here. header: of its file, 348 bytes, None of a photograph. source: for errors."""

    @property
    def header(self) -> bytes | None: ...

    @property
    def source(self) -> str: ...


def of_maps(
    kind: str, subject: Lying, maps: Mapping[str, Any], task: Task, samples: Mapping[str, Spread] | None
) -> Scores | None:
    """{region: {score: value}} of maps as they were written, NaN as None; None where a score needs more than this subject.

    maps: `prediction` in raw labels. samples: {region: Spread} where the method has them. A sigma is scaled over a whole set,
    so one subject has no uncertainty of its own; nor has a map of one value everywhere.
    """
    what = KINDS[kind]
    if what.scale == "set":
        return None
    affine = None if subject.header is None else place.of_block(subject.header, subject.source)
    values, predicted = map_files.labels_of(task), maps["prediction"]
    space = Space(subject.source, predicted.shape, affine)
    nothing = findings.Region(np.zeros(predicted.shape, bool), None, space, surfaces=False)
    found: Scores = {}
    for region in task.regions:
        inside = np.isin(predicted, values[list(region.classes)])
        score = maps[what.entry]
        if score.ndim == 4:
            score = classes.region_probability([score[..., index] for index in range(score.shape[-1])], region.classes)
        try:
            scores = findings.find(score, what.name, inside, nothing, samples=(samples or {}).get(region.name)).scores
        except MapError:
            return None
        found[region.name] = {name: value if np.isfinite(value) else None for name, value in scores.items()}
    return found
