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


@dataclasses.dataclass(frozen=True)
class Tally:
    """What the curves need of one subject's lesions, of all there are: a few bytes each.

    uncertainty, matched, touched [p]: of each lesion of the prediction.  first_match, first_touch [l]: of each of the label.
    missed [m]: the uncertainty of those of the label that nothing matches.
    """

    uncertainty: NDArray[np.float64]
    matched: NDArray[np.bool_]
    touched: NDArray[np.bool_]
    first_match: NDArray[np.float64]
    first_touch: NDArray[np.float64]
    missed: NDArray[np.float64]

    @classmethod
    def of(cls, found: Sequence[Lesion]) -> Tally:
        """That of a subject's `lesions`."""
        predicted = [one for one in found if one.source == "prediction"]
        true = [one for one in found if one.source == "label"]
        return cls(
            np.array([one.uncertainty for one in predicted], np.float64),
            np.array([one.outcome == "tp" for one in predicted], bool),
            np.array([one.detected for one in predicted], bool),
            np.array([one.first_match for one in true], np.float64),
            np.array([one.first_touch for one in true], np.float64),
            np.array([one.uncertainty for one in true if one.outcome == "fn"], np.float64),
        )

    @property
    def f1(self) -> Retention:
        """The lesion-wise F1 as uncertain false positives are taken away and missed lesions added; see `retention`.

        A missed lesion's uncertainty is its mean in the map, as that of any other.
        """
        outcomes = [*np.where(self.matched, "tp", "fp"), *["fn"] * len(self.missed)]
        return lesion_f1_retention(np.concatenate([self.uncertainty, self.missed]), outcomes)


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


def detection(subjects: Sequence[Tally], by: Literal["match", "touch"] = "match") -> Detection:
    """The `Detection` of a set.  by: whether to find a lesion is to match or to touch it. Raises `MapError` for no subjects."""
    if not subjects:
        raise MapError("expected lesions of subjects, found no subject")
    score = np.concatenate([one.uncertainty for one in subjects])
    right = np.concatenate([one.matched if by == "match" else one.touched for one in subjects])
    first_found = np.concatenate([one.first_match if by == "match" else one.first_touch for one in subjects])
    threshold = np.unique(score)
    kept, wrong, hit = (_up_to(values, threshold) for values in (score, score[~right], first_found))
    sensitivity = hit / len(first_found) if len(first_found) else np.full(len(threshold), np.nan)
    return Detection(threshold, kept, sensitivity, wrong / len(subjects), wrong / kept)


def f1_retention(subjects: Sequence[Tally]) -> Retention:
    """The mean over subjects of their `Tally.f1`. NaN where there are no subjects."""
    curves = [one.f1.values for one in subjects]
    return Retention(FRACTIONS, np.mean(curves, axis=0) if curves else np.full(len(FRACTIONS), np.nan))


def _up_to(values, thresholds):
    """[n] how many values are at most each threshold; NaN is above all."""
    return np.searchsorted(np.sort(values), thresholds, side="right")
