"""What is detected over a set of subjects as the prediction's surest lesions are kept: FROC, and the F1 of lesions. NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tfunc.kinds import MapError
from tfunc.scoring.lesions import Lesion
from tfunc.scoring.retention import FRACTIONS, Retention, lesion_f1_retention

Subjects = Sequence[Sequence[Lesion]]


@dataclasses.dataclass(frozen=True)
class Detection:
    """By each distinct uncertainty of the prediction's lesions, rising: what it is to keep those up to it. All [n].

    threshold: that uncertainty.  kept: lesions of the prediction.  sensitivity: the share of the label's lesions, of all
    subjects together, that a kept one finds; NaN where the labels have none.  false_positives: kept ones that find nothing, a
    subject.  false_discovery: their share of the kept.
    """

    threshold: NDArray[np.float64]
    kept: NDArray[np.int64]
    sensitivity: NDArray[np.float64]
    false_positives: NDArray[np.float64]
    false_discovery: NDArray[np.float64]


def detection(subjects: Subjects, by: Literal["match", "touch"] = "match") -> Detection:
    """The `Detection` of a set. subjects: the `lesions` of each.  by: whether to find a lesion is to match or to touch it."""
    if not subjects:
        raise MapError("expected lesions of subjects, found no subject")
    every = [lesion for subject in subjects for lesion in subject]
    found = [lesion for lesion in every if lesion.source == "prediction"]
    score = np.array([lesion.uncertainty for lesion in found])
    right = np.array([lesion.outcome == "tp" if by == "match" else lesion.detected for lesion in found], bool)
    first = "first_match" if by == "match" else "first_touch"
    first_found = np.array([getattr(lesion, first) for lesion in every if lesion.source == "label"])
    threshold = np.unique(score)
    kept, wrong, hit = (_up_to(values, threshold) for values in (score, score[~right], first_found))
    sensitivity = hit / len(first_found) if len(first_found) else np.full(len(threshold), np.nan)
    return Detection(threshold, kept, sensitivity, wrong / len(subjects), wrong / kept)


def f1_retention(subjects: Subjects) -> Retention:
    """The mean over subjects of their lesion-wise F1 as uncertain false positives are taken away and missed lesions added.

    A missed lesion's uncertainty is its mean in the map, as that of any other. NaN where there are no subjects.
    """
    curves = []
    for subject in subjects:
        counted = [lesion for lesion in subject if lesion.source == "prediction" or lesion.outcome == "fn"]
        score, outcomes = [lesion.uncertainty for lesion in counted], [lesion.outcome for lesion in counted]
        curves.append(lesion_f1_retention(score, outcomes).values)
    return Retention(FRACTIONS, np.mean(curves, axis=0) if curves else np.full(len(FRACTIONS), np.nan))


def _up_to(values, thresholds):
    """[n] how many values are at most each threshold; NaN is above all."""
    return np.searchsorted(np.sort(values), thresholds, side="right")
