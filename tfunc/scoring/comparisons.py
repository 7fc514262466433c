"""Whether one method differs from another by more than chance: differences over the same subjects, two by two. NumPy, SciPy.

Of each pair of methods the mean difference with its paired bootstrap interval, in which every resample draws the same subjects
for all methods, and the p of Wilcoxon's signed-rank test, which asks whether the differences lie symmetrically around 0. Many
pairs are tried, so p is also given as Holm (1979) adjusts it over the pairs of one measure. Neither interval nor p knows of
another training's networks, and none of them says that a difference matters.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfunc.scoring import bootstrap
from tfunc.scoring.bootstrap import RESAMPLES, SEED
from tfunc.scoring.risk_coverage import ranks
from tfunc.scoring.statistics import mean

EXACT = 50  # differences
DIGITS = 12  # differences that agree so far are ties: what rounding adds to them is no rank


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One pair of methods by one measure: a row of comparisons.csv.

    subjects: pairs of values.  skipped: subjects of which one of them is undefined.  difference: the mean of the method's value
    minus the other's.  low, high: its 95 % interval.  p: of Wilcoxon's test, two-sided, 1 where no difference is left.
    adjusted: by Holm, over the pairs of the measure. NaN where there is no pair of values.
    """

    method: str
    other: str
    subjects: int
    skipped: int
    difference: float
    low: float
    high: float
    p: float
    adjusted: float


def compare(values: Mapping[str, ArrayLike], resamples: int = RESAMPLES, seed: int = SEED) -> list[Comparison]:
    """A `Comparison` of each pair of methods by one measure, in their order.

    values: {method: [subjects]}, of the same subjects in one order, with NaN where undefined.
    """
    arrays = {method: np.asarray(one, np.float64) for method, one in values.items()}
    pairs = list(itertools.combinations(arrays, 2))
    if not pairs:
        return []
    differences = np.stack([arrays[one] - arrays[other] for one, other in pairs])
    low, high = intervals(differences, resamples, seed)
    p = np.array([signed_rank(row) for row in differences])
    adjusted = holm(p)
    found = []
    for index, (one, other) in enumerate(pairs):
        defined = int(np.count_nonzero(~np.isnan(differences[index])))
        numbers = mean(differences[index]), low[index], high[index], p[index], adjusted[index]
        found.append(Comparison(one, other, defined, differences.shape[1] - defined, *map(float, numbers)))
    return found


def intervals(
    differences: NDArray[np.float64], resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(low, high) [pairs] of `statistics.interval` of each row of differences [pairs, subjects], by the same resamples."""
    times = _times(differences.shape[1], resamples, seed)
    defined = ~np.isnan(differences)
    numbers = np.vstack([np.where(defined, differences, 0), defined]).T
    step = max(bootstrap.BLOCK // max(len(numbers), 1), 1)
    blocks = (times[start : start + step].astype(np.float64) for start in range(0, resamples, step))
    total, number = np.split(np.vstack([block @ numbers for block in blocks]), 2, axis=1)
    means = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    ends = np.full((2, len(differences)), np.nan)
    some = defined.any(axis=1)
    ends[:, some] = np.nanpercentile(means[:, some], (2.5, 97.5), axis=0)
    return ends[0], ends[1]


def _times(count, resamples, seed):
    """uint16 [resamples, subjects]: how often each is drawn."""
    times = np.zeros((resamples, count), np.uint16)
    sets = np.arange(resamples)
    for block in bootstrap.by_draw(count, None, resamples, seed):
        for drawn in block:  # each set draws one
            times[sets, drawn] += 1
    return times


def signed_rank(differences: NDArray[np.float64]) -> float:
    """The two-sided p of Wilcoxon's signed-rank test; differences of 0 are left out, and NaN. NaN where there is no other.

    Up to `EXACT` differences it is that of all ways to give them signs, with ties too, which SciPy knows of thirteen at most;
    beyond, SciPy's by the normal distribution.
    """
    defined = differences[~np.isnan(differences)]
    rounded = np.round(defined, DIGITS)
    left = rounded[rounded != 0]
    if not left.size:
        return 1.0 if defined.size else float("nan")
    if left.size > EXACT:
        from scipy import stats  # takes half a second to import

        return float(stats.wilcoxon(left).pvalue)
    twice = np.rint(2 * ranks(np.abs(left))).astype(np.int64)  # ranks of ties are halves
    ways = np.zeros(twice.sum() + 1)  # to have each sum of the ranks with a positive sign
    ways[0] = 1
    for rank in twice:
        ways[rank:] += ways[:-rank].copy()
    found = twice[left > 0].sum()
    return float(min(2 * min(ways[: found + 1].sum(), ways[found:].sum()) / 2.0**left.size, 1))


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """[tests] p as Holm's step-down procedure adjusts them, at most 1; NaN stays and counts as no test."""
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p, kind="stable")[: np.count_nonzero(~np.isnan(p))]  # NaN is sorted last
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted
