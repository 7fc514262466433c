"""Failure detection: which score of which method tells the subjects that somebody should look at. NumPy only.

The risk of a subject is 1 - Dice. A score is measured between two bounds: no order at all, whose AURC is the mean risk, and the
best order of these very subjects, the oracle. It may lie outside of them: one that ranks backwards is worse than no order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tfunc.scoring import bootstrap, risk_coverage
from tfunc.scoring.aggregate import AGGREGATORS
from tfunc.scoring.risk_coverage import FAILURE, Curve

COMBINATION = "combination"  # of scores, fitted on subjects that are not ranked here
NUMBERS = ("aurc", "eaurc", "augrc", "auroc", "spearman", "random", "oracle", "closed")
WITH_INTERVAL = ("aurc", "augrc", "auroc", "spearman", "closed")


@dataclasses.dataclass(frozen=True)
class Detection:
    """How well one score of one method ranks the subjects of one region: a row of failures.csv.

    score: a name of `aggregate.AGGREGATORS`, or `combination`.  subjects, failed: how many there are, and whose Dice is below
    the threshold.  values: {a name of `NUMBERS`: value}, NaN where undefined.  low, high: {a name of `WITH_INTERVAL`: end of
    the 95 % bootstrap interval}.  curve: for a picture.
    """

    method: str
    score: str
    subjects: int
    failed: int
    values: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]
    curve: Curve

    @property
    def title(self) -> str:
        """Of the score, for people."""
        return title(self.score)

    @property
    def backwards(self) -> bool:
        """Whether it ranks worse than no order at all, with more certainty than chance: the whole interval says so."""
        return self.high["closed"] < 0


def title(score: str) -> str:
    """How tables and pictures name a score."""
    return AGGREGATORS[score].title if score in AGGREGATORS else "combination of scores"


def detections(
    scores: Mapping[str, Mapping[str, NDArray[np.float64]]],
    dice: Mapping[str, NDArray[np.float64]],
    failure: float = FAILURE,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = bootstrap.SEED,
) -> list[Detection]:
    """A `Detection` for each method and score, in their order.

    scores: {method: {score: [subjects]}}, a score with NaN anywhere is left out.  dice: {method: [subjects]}.  failure: a lower
    Dice has failed.  All are resampled alike, and the oracle is computed anew of each resampled set.
    """
    found = []
    for method, of in scores.items():
        count = len(dice[method])
        for name, values in of.items():
            if np.isfinite(values).all() and count:
                sets = bootstrap.by_set(count, resamples, seed)
                found.append(_detection(method, name, values, dice[method], failure, sets))
    return found


def _detection(method, name, values, dice, failure, sets):
    risks, failed = 1 - dice, dice < failure
    whole = risk_coverage.risk_coverage(values, risks)
    numbers = {key: float(whole[key]) for key in NUMBERS if key in whole}
    numbers["auroc"] = risk_coverage.auroc(values, failed)
    numbers["closed"] = float(closed(whole["aurc"], whole["random"], whole["oracle"]))
    parts = [risk_coverage.resampled(values, risks, indices, failed) for indices in sets]
    many = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    many["closed"] = closed(many["aurc"], many["random"], many["oracle"])
    ends = {key: _interval(many[key]) for key in WITH_INTERVAL}
    low, high = ({key: pair[index] for key, pair in ends.items()} for index in (0, 1))
    curve = risk_coverage.curve(values, risks)
    return Detection(method, name, len(dice), int(failed.sum()), numbers, low, high, curve)


def closed(aurc: NDArray, random: NDArray, oracle: NDArray) -> NDArray[np.float64]:
    """The share of the way from no order to the best that an AURC has come: 1 is the oracle, below 0 ranks backwards.

    NaN where there is no way, as where all subjects have one risk.
    """
    way = np.asarray(random, np.float64) - oracle
    return np.divide(random - np.asarray(aurc), way, out=np.full(np.shape(way), np.nan), where=way > 1e-12)


def _interval(values):
    values = values[np.isfinite(values)]
    if not values.size:
        return float("nan"), float("nan")
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def best(found: Sequence[Detection]) -> Detection | None:
    """The one with the lowest AURC, the first of equals; None where there is none."""
    return min(found, key=lambda one: one.values["aurc"], default=None)


def left_unreviewed(order: NDArray[np.intp], dice: NDArray[np.float64]) -> NDArray[np.float64]:
    """[subjects] mean Dice of those that are left after none, one, … of them were looked at. order: whom first."""
    kept = dice[order][::-1]
    return (np.cumsum(kept) / np.arange(1, len(kept) + 1))[::-1]
