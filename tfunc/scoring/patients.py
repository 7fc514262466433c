"""An evaluation by patients: how well each score finds the failures, and whom to review first. NumPy only.

The score that ranks is chosen, and the Dice that is predicted fitted, on subjects that are not ranked here, where there are any.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tfunc.scoring import failure, review
from tfunc.scoring.aggregate import AGGREGATORS
from tfunc.scoring.evaluate import Evaluated
from tfunc.scoring.failure import COMBINATION, Detection
from tfunc.scoring.review import Chosen, Reviewed

Scores = dict[str, dict[str, NDArray[np.float64]]]


@dataclasses.dataclass(frozen=True)
class Patients:
    """Of one region, or of two classes the one there is.

    detections: of each method and score.  chosen: {method: what the choosing set says}, None without one.  reviews: {method:
    the list}.  first: the method whose list is shown first: the one with the best AURC where it was chosen.  threshold: a
    lower Dice has failed.  choosing: subjects of the choosing set.
    """

    detections: tuple[Detection, ...]
    chosen: Mapping[str, Chosen | None]
    reviews: Mapping[str, list[Reviewed]]
    first: str
    threshold: float
    choosing: int

    def of(self, method: str) -> list[Detection]:
        """The detections of a method."""
        return [one for one in self.detections if one.method == method]


def table(evaluated: Evaluated) -> Scores:
    """{method: {score: [subjects]}} of an evaluation of one region, float64 with NaN where a method has none."""
    found = {}
    for method, of in evaluated.findings.items():
        rows = np.array([[one.scores[name] for name in AGGREGATORS] for one in of.values()], np.float64)
        found[method] = dict(zip(AGGREGATORS, rows.reshape(-1, len(AGGREGATORS)).T, strict=True))
    return found


def patients(
    evaluated: Evaluated, choosing: Evaluated | None = None, threshold: float = failure.FAILURE
) -> Patients | None:
    """`Patients` of one region; None where nothing was found of it, as of a class map.

    choosing: the same of other subjects, of some of the methods.
    """
    if not evaluated.findings:
        return None
    scores, dice = table(evaluated), {name: found["dice"] for name, found in evaluated.scores.items()}
    other = table(choosing) if choosing is not None else {}
    chosen: dict[str, Chosen | None] = {}
    reviews = {}
    for method, of in scores.items():
        chosen[method] = None
        if choosing is not None and method in other:
            true, segmented, _ = _volumes(choosing.findings[method])
            chosen[method] = review.choose(other[method], choosing.scores[method]["dice"], true, segmented)
        _, voxels, sizes = _volumes(evaluated.findings[method])
        reviews[method] = review.review(evaluated.subjects, chosen[method], of, dice[method], voxels, sizes)
    with_fits = {method: {**of, **_together(chosen[method], of)} for method, of in scores.items()}
    detections = tuple(failure.detections(with_fits, dice, threshold))
    count = max((one.subjects for one in chosen.values() if one), default=0)
    return Patients(detections, chosen, reviews, _first(chosen, scores), threshold, count)


def _volumes(found):
    """Of each subject the label's and the segmentation's volume in voxels, and a voxel's in ml, each [subjects]."""
    rows = [
        (one.companions["true_volume"] / one.voxel, one.companions["volume"] / one.voxel, one.voxel)
        for one in found.values()
    ]
    return np.array(rows, np.float64).reshape(-1, 3).T


def _together(chosen, scores):
    """The combination of scores that was fitted on the choosing set, on these subjects."""
    if chosen is None or chosen.together is None:
        return {}
    return {COMBINATION: 1 - chosen.together(scores)}


def _first(chosen, scores):
    """The method that closes most of the way to the oracle where its score was chosen; without that the first there is."""
    closed = {
        method: float(failure.closed(np.asarray(one.aurc[one.score]), np.asarray(one.random), np.asarray(one.oracle)))
        for method, one in chosen.items()
        if one is not None
    }
    closed = {method: value for method, value in closed.items() if np.isfinite(value)}
    return max(closed, key=lambda method: closed[method]) if closed else next(iter(scores))
