"""From subjects' counts to a method's numbers: means, chosen thresholds, intervals, ranks, shares of subjects.

The rules are the reference code's (section 6 of its description): means over subjects that skip undefined values;
thresholds of U-E and BnF chosen separately, the lowest of equals; values rounded first, then ranked densely.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tfunc.methods import METHODS
from tfunc.scoring import bootstrap, metrics
from tfunc.scoring.bootstrap import RESAMPLES, SEED
from tfunc.scoring.class_measures import CLASS_MEASURES
from tfunc.scoring.classes import ClassMap
from tfunc.scoring.counts import Counts, empty_counts
from tfunc.scoring.measures import MEASURES, Measure, table1


@dataclasses.dataclass(frozen=True)
class Scores:
    """One method on one set of subjects.

    subjects: their names, in order.  values: {measure: [S], or [S, 11] by subject and threshold}, float64 with NaN for
    undefined, or bool where the mean is a share; `scores[name]` for short.  pooled: `Counts` of all subjects together.
    measures: the table that the values are of.
    """

    subjects: tuple[str, ...]
    values: Mapping[str, NDArray]
    pooled: Counts
    measures: Mapping[str, Measure] = dataclasses.field(default_factory=lambda: MEASURES, repr=False)

    def __getitem__(self, measure: str) -> NDArray:
        return self.values[measure]

    def mean(self, measure: str) -> NDArray[np.float64]:
        """The mean over subjects, a float64 or [11] of them; NaN where nothing is defined."""
        return mean(self.defined(measure))

    def defined(self, measure: str) -> NDArray:
        """The values that the mean is taken of: what is undefined replaced where the measure says by what."""
        values, undefined = self.values[measure], self.measures[measure].undefined
        return values if undefined is None else np.where(np.isnan(values), undefined, values)


def scores(counts: Mapping[str, Counts]) -> Scores:
    """{subject: Counts} -> `Scores` of every measure of the table, in the order of the dictionary."""
    values, pooled = _over_subjects(counts, MEASURES, lambda found: found)
    return Scores(tuple(counts), values, pooled)


def over_regions(every: Sequence[Scores]) -> Scores:
    """Means over the regions of each subject's values, undefined ones skipped or replaced as in means over subjects.

    every: the `Scores` of each region. pooled: `Counts` of all of them together.
    """
    values = {name: mean(np.stack([found.defined(name) for found in every])) for name in every[0].values}
    return Scores(every[0].subjects, values, sum((found.pooled for found in every), empty_counts()))


def class_scores(found: Mapping[str, ClassMap]) -> Scores:
    """{subject: ClassMap} -> `Scores` of every measure of a class map."""
    values, pooled = _over_subjects(found, CLASS_MEASURES, lambda one: one.overall)
    return Scores(tuple(found), values, pooled, CLASS_MEASURES)


def _over_subjects(found, measures, counts_of):
    """({measure: an array of its values}, `Counts` of all together); each subject is looked at once."""
    columns, pooled = {name: [] for name in measures}, empty_counts()
    for one in found.values():
        for name, measure in measures.items():
            columns[name].append(measure.function(one))
        pooled = pooled + counts_of(one)
    return {name: np.array(column) for name, column in columns.items()}, pooled


def mean(values: NDArray) -> NDArray[np.float64]:
    """Mean over axis 0 of what is defined; NaN where nothing is."""
    values = np.asarray(values, np.float64)
    defined = ~np.isnan(values)
    number = defined.sum(axis=0)
    total = np.where(defined, values, 0).sum(axis=0)
    return np.divide(total, number, out=np.full(np.shape(total), np.nan), where=number > 0)[()]


def best_threshold(values: NDArray, measure: Measure) -> int:
    """Index of the threshold with the best mean over subjects, the lowest of equals. values: [S, 11] of the measure."""
    costs = measure.cost(mean(values))
    return int(np.argmin(np.where(np.isnan(costs), np.inf, costs)))


def thresholds(found: Scores) -> dict[str, int]:
    """{column of Table 1: index of its best threshold}, of those that have one."""
    return {m.name: best_threshold(found.defined(m.name), m) for m in table1(found.measures) if m.by_threshold}


def interval(values: NDArray, resamples: int = RESAMPLES, seed: int = SEED) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean over subjects, undefined values skipped: (low, high), or NaN twice.

    values: [S].
    """
    means = bootstrap.means(np.asarray(values, np.float64), None, resamples, seed)
    means = means[~np.isnan(means)]
    if not means.size:
        return float("nan"), float("nan")
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def dense_ranks(values: Sequence[float], measure: Measure) -> list[int | None]:
    """Ranks 1, 2, ... in which equal values share one and none is left out; None for NaN."""
    costs = [float(measure.cost(value)) for value in values]
    distinct = sorted({cost for cost in costs if not np.isnan(cost)})
    return [None if np.isnan(cost) else distinct.index(cost) + 1 for cost in costs]


def ranked(methods: Iterable[str]) -> list[str]:
    """Those of `methods` that Table 1 ranks: the paper's in their table's order; all, where none is the paper's."""
    methods = list(methods)
    return [name for name, method in METHODS.items() if method.in_paper and name in methods] or methods


def in_order(methods: Iterable[str]) -> list[str]:
    """The methods as Table 1 and every figure list them: the ranked ones, then the others as they come."""
    methods = list(methods)
    first = ranked(methods)
    return first + [name for name in methods if name not in first]


@dataclasses.dataclass(frozen=True)
class Miscalibration:
    """Shares of subjects by the sign of their mean calibration gap, averaged over methods.

    gaps: {subject: gap}.  threshold: beyond it a subject counts as under- (above) or over-confident (below).
    """

    threshold: float
    under: float
    over: float
    gaps: dict[str, float]


def miscalibration(by_method: Mapping[str, Scores]) -> Miscalibration:
    """Under- and over-confident subjects as the reference counts them (section 7 of its description).

    The threshold is the 90th percentile, over methods, of the data set's signed gap; a negative one, with which the two
    classes would overlap, is taken as 0. Only the ranked methods count.
    """
    among = ranked(by_method)
    chosen = [found for name, found in by_method.items() if name in among]
    pooled = [gap for gap in (metrics.confidence_gap(found.pooled) for found in chosen) if not np.isnan(gap)]
    threshold = max(float(np.percentile(pooled, 90)), 0.0) if pooled else float("nan")
    gaps = mean(np.stack([found["confidence_gap"] for found in chosen]))
    defined = gaps[~np.isnan(gaps)]
    return Miscalibration(
        threshold,
        float(np.mean(defined > threshold)) if defined.size else float("nan"),
        float(np.mean(defined < -threshold)) if defined.size else float("nan"),
        dict(zip(chosen[0].subjects, (float(gap) for gap in gaps), strict=True)),
    )


def example_subjects(by_method: Mapping[str, Scores]) -> tuple[str, ...]:
    """(most under-confident, most over-confident, best calibrated) subject names, by averages over methods.

    The first two have the highest and lowest mean gap, the third the lowest mean ECE of the subjects that are left;
    with fewer than three subjects, fewer names.
    """
    every = list(by_method.values())
    gaps = mean(np.stack([found["confidence_gap"] for found in every]))
    error = mean(np.stack([found["ece"] for found in every]))
    left = [index for index in range(len(gaps)) if not (np.isnan(gaps[index]) or np.isnan(error[index]))]
    chosen = []
    for key in (lambda i: -gaps[i], lambda i: gaps[i], lambda i: error[i]):
        if left:
            chosen.append(min(left, key=key))
            left.remove(chosen[-1])
    return tuple(every[0].subjects[index] for index in chosen)
