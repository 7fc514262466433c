"""What is detected over a set of subjects as the prediction's surest lesions are kept: FROC, and the F1 of lesions. NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tfunc.kinds import MapError
from tfunc.scoring.lesions import Lesion
from tfunc.scoring.retention import FRACTIONS, Retention, lesion_f1_retention

POINTS = 200  # of a curve that is written or drawn
FLAGS = ("matched", "touched")  # of `Tally`, what is bool


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


def detection(subjects: Iterable[Tally], by: Literal["match", "touch"] = "match") -> Detection:
    """The `Detection` of a set.  by: whether to find a lesion is to match or to touch it. Raises `MapError` for no subjects."""
    every = _Together()
    for one in subjects:
        every.add(one)
    return every.detection(by)


class _Together:
    """The lesions of many subjects, one after the other, packed: an array of each subject would weigh more than its numbers."""

    def __init__(self) -> None:
        self.subjects = 0
        self._packed = {field.name: bytearray() for field in dataclasses.fields(Tally)}

    def add(self, one: Tally) -> None:
        self.subjects += 1
        for name, packed in self._packed.items():
            packed += getattr(one, name).tobytes()

    def all(self, name: str) -> NDArray:
        return np.frombuffer(self._packed[name], bool if name in FLAGS else np.float64)

    def detection(self, by: str) -> Detection:
        if not self.subjects:
            raise MapError("expected lesions of subjects, found no subject")
        score, right = self.all("uncertainty"), self.all("matched" if by == "match" else "touched")
        first_found = self.all("first_match" if by == "match" else "first_touch")
        threshold = np.unique(score)
        kept, wrong, hit = (_up_to(values, threshold) for values in (score, score[~right], first_found))
        sensitivity = hit / len(first_found) if len(first_found) else np.full(len(threshold), np.nan)
        return Detection(threshold, kept, sensitivity, wrong / self.subjects, wrong / kept)


def f1_retention(subjects: Iterable[Tally]) -> Retention:
    """The mean over subjects of their `Tally.f1`. NaN where there are no subjects."""
    total, number = np.zeros(len(FRACTIONS)), 0
    for one in subjects:
        total, number = total + one.f1.values, number + 1
    return Retention(FRACTIONS, total / number if number else np.full(len(FRACTIONS), np.nan))


@dataclasses.dataclass(frozen=True)
class Curves:
    """Of one method over a set of subjects: detection by either rule, the retention of the F1, how many lesions labels have."""

    by_match: Detection
    by_touch: Detection
    f1: Retention
    lesions: int


def curves(subjects: Iterable[Tally]) -> Curves:
    """The `Curves` of a set, each of whose subjects is asked for once; raises `MapError` for no subjects."""
    every = _Together()

    def each():
        for one in subjects:
            every.add(one)
            yield one

    f1 = f1_retention(each())
    return Curves(every.detection("match"), every.detection("touch"), f1, len(every.all("first_touch")))


def thinned(found: Detection, most: int = POINTS) -> Detection:
    """At most `most` of its points, in equal steps of the lesions that are kept; the first and the last among them."""
    if len(found.threshold) <= most:
        return found
    wanted = np.linspace(found.kept[0], found.kept[-1], most)
    at = np.unique(np.searchsorted(found.kept, wanted))
    return Detection(**{field.name: getattr(found, field.name)[at] for field in dataclasses.fields(found)})


def _up_to(values, thresholds):
    """[n] how many values are at most each threshold; NaN is above all."""
    return np.searchsorted(np.sort(values), thresholds, side="right")
