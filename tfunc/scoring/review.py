"""Whom to review first: from the scores of subjects that chose nothing to be tested on, to an order and a predicted Dice. NumPy.

On a *choosing* set, such as the validation subjects, the score of a method with the lowest AURC is chosen, and a straight line
from it to the Dice is fitted; of several scores together a small ridge regression is tried. Whatever has the lowest AURC, each
subject predicted by a fit without it, ranks and predicts. What remains between predicted and true Dice gives the interval.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tfunc.scoring import conformal, ridge, risk_coverage
from tfunc.scoring.failure import COMBINATION
from tfunc.scoring.ridge import Ridge

LEAST = 8  # subjects, below which nothing is chosen and nothing fitted
PENALTY = (
    1.0  # of the ridge regression on standardised scores, a subject: as much as the data say, since scores are alike
)
NEXT_TO_NOTHING = 1e-9  # the penalty of one score, which may be the same for all but the one that is left out
ALPHA = 0.1  # intervals hold 90 %
DEFAULT = "mean_inside"  # the score where there is no choosing set

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Line:
    """Predicted Dice from the scores `names`. ridge: the regression that it is, longer: see `_fit`."""

    names: tuple[str, ...]
    ridge: Ridge

    def __call__(self, scores: Mapping[str, Floats]) -> Floats:
        """{score: [subjects]} -> [subjects]; not clipped, so that it ranks."""
        return self.ridge.along(_table(scores, self.names))


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What a choosing set says of one region of one method.

    score: the name of what ranks, of `AGGREGATORS` or `combination`.  line: predicts the Dice.  aurc: of every score on the
    choosing set, those of the fits leaving each subject out; random, oracle: the bounds there.  dice_width, volume_width: half
    the interval of the predicted Dice, and of the logarithm of the volume, see `conformal`; infinite where subjects are too
    few.  subjects: of the choosing set.  coverage: what the intervals cover in expectation.  together: the fit of several scores,
    whether it ranks or not.
    """

    score: str
    line: Line
    aurc: Mapping[str, float]
    random: float
    oracle: float
    dice_width: float
    volume_width: float
    subjects: int
    coverage: float
    together: Line | None = None


@dataclasses.dataclass(frozen=True)
class Reviewed:
    """One subject of the list, a row of review.csv. rank: from 1, whom to look at first.

    value: of the score.  predicted, low, high: Dice with its interval; NaN without a choosing set.  volume, volume_low,
    volume_high: in ml, of a photograph in pixels; infinite and 0 where no interval is known.
    """

    subject: str
    rank: int
    score: str
    value: float
    predicted: float
    low: float
    high: float
    volume: float
    volume_low: float
    volume_high: float
    dice: float


def _table(scores, names):
    """[subjects, names]"""
    return np.stack([scores[name] for name in names], axis=1)


def _fit(table: Floats, dice: Floats) -> Ridge:
    """A ridge regression's direction with the length of least squares, which the penalty shortens as well as turning it.

    table: [subjects, scores]. Of one score it is least squares.
    """
    found = ridge.fit(table, dice, PENALTY * len(dice) if table.shape[1] > 1 else NEXT_TO_NOTHING)
    along, target = found.along(table) - found.intercept, dice - dice.mean()
    length = float(along @ target) / max(float(along @ along), 1e-300)
    return dataclasses.replace(found, weights=found.weights * length)


def _left_out(table: Floats, dice: Floats) -> Floats:
    """[subjects] the Dice that a fit without each subject predicts of it."""
    others = ~np.eye(len(dice), dtype=bool)
    return np.array([_fit(table[row], dice[row]).along(one) for row, one in zip(others, table, strict=True)])


def choose(
    scores: Mapping[str, Floats], dice: Floats, true_voxels: Floats, voxels: Floats, combine: bool = True
) -> Chosen | None:
    """What a choosing set says; None where it has fewer than `LEAST` subjects or no score that varies.

    scores: {score: [subjects]}; one with NaN is left out.  dice: [subjects].  true_voxels, voxels: true and segmented volumes.
    combine: whether several scores together are tried.
    """
    usable = {name: one for name, one in scores.items() if np.isfinite(one).all() and np.ptp(one) > 0}
    if len(dice) < LEAST or not usable:
        return None
    risks = 1 - dice
    aurc = {name: risk_coverage.curve(one, risks).aurc for name, one in usable.items()}
    best = min(aurc, key=lambda name: aurc[name])
    names: tuple[str, ...] = (best,)
    score, together = best, None
    if combine and len(usable) > 1:
        every = _table(usable, usable)
        together = Line(tuple(usable), _fit(every, dice))
        aurc[COMBINATION] = risk_coverage.curve(-_left_out(every, dice), risks).aurc
        if aurc[COMBINATION] < aurc[best]:
            score, names = COMBINATION, tuple(usable)
    table = _table(usable, names)
    residuals = np.abs(np.clip(_left_out(table, dice), 0, 1) - dice)
    return Chosen(
        score=score,
        line=Line(names, _fit(table, dice)),
        aurc=aurc,
        random=float(risks.mean()),
        oracle=risk_coverage.oracle(risks),
        dice_width=conformal.interval(residuals, ALPHA),
        volume_width=_volume_width(true_voxels, voxels),
        subjects=len(dice),
        coverage=conformal.coverage(len(dice), ALPHA),
        together=together,
    )


def _volume_width(true, found):
    """Of means over regions there are no volumes, and no interval."""
    residuals = conformal.volume_residuals(true, found)
    return conformal.interval(residuals, ALPHA) if np.isfinite(residuals).all() else math.inf


def ranking(chosen: Chosen | None, scores: Mapping[str, Floats]) -> tuple[str, Floats]:
    """(name of the score that ranks, its values [subjects], higher is less sure)."""
    if chosen is None:
        return DEFAULT, scores[DEFAULT]
    if chosen.score == COMBINATION:
        return COMBINATION, 1 - chosen.line(scores)
    return chosen.score, scores[chosen.score]


def review(
    subjects: Sequence[str],
    chosen: Chosen | None,
    scores: Mapping[str, Floats],
    dice: Floats,
    voxels: Floats,
    sizes: Floats,
) -> list[Reviewed]:
    """The list, whom to look at first at its head; equals in the order of `subjects`.

    chosen: on other subjects; None: there are none, and `DEFAULT` ranks.  voxels, sizes: [subjects] segmented volume in voxels,
    and that of a voxel in ml.
    """
    name, values = ranking(chosen, scores)
    predicted = np.full(len(subjects), np.nan)
    width = volume_width = math.inf
    if chosen is not None:
        predicted = np.clip(chosen.line(scores), 0, 1)
        width, volume_width = chosen.dice_width, chosen.volume_width
    found = []
    for rank, index in enumerate(np.argsort(-values, kind="stable"), 1):
        low, high = conformal.volume_interval(float(voxels[index]), volume_width)
        found.append(
            Reviewed(
                subjects[index],
                rank,
                name,
                float(values[index]),
                float(predicted[index]),
                float(max(predicted[index] - width, 0)) if chosen else math.nan,
                float(min(predicted[index] + width, 1)) if chosen else math.nan,
                float(voxels[index] * sizes[index]),
                low * float(sizes[index]),
                high * float(sizes[index]),
                float(dice[index]),
            )
        )
    return found
