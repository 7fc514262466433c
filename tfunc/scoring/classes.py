"""One subject of several classes to counts: each region as a binary problem, and the class map once. NumPy only.

A region's probability is the sum of its classes' probabilities in float32, in their order; its segmentation and its label are
where the class is one of its own. Nothing here holds more than one region's probability at a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.tasks import Region, Task
from tfunc import kinds
from tfunc.kinds import KINDS, Limits
from tfunc.scoring import binary, counts, metrics
from tfunc.scoring.counts import Counts


@dataclasses.dataclass(frozen=True)
class ClassMap:
    """What is counted of the class map of one subject, or of many together.

    overall: `Counts` in which a voxel of a wrong class is a false positive and all else a true negative; its calibration is
        that of the top label, whose confidence is the probability and whose being right is the target, inside the mask only.
    by_class: calibration of each class's own probability against its label; none, where the map is no probability.
    dice: each region's Dice.
    """

    overall: Counts
    by_class: tuple[Counts, ...] = ()
    dice: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Parts:
    """All counts of one subject and method.

    regions: {name: its `Counts`}.  classes: of the class map; None, where the map knows regions only.
    """

    regions: dict[str, Counts]
    classes: ClassMap | None


@dataclasses.dataclass(frozen=True)
class Voxels:
    """A method's maps of one subject.

    kind: a name of `kinds.KINDS`.  prediction: index of the class.  channels: the probability of each class, or, where
    `of_regions`, of each region of the task; float32.  score: the uncertainty map of another kind.  All of one shape.
    """

    kind: str
    prediction: NDArray
    channels: tuple[NDArray[np.float32], ...] = ()
    of_regions: bool = False
    score: NDArray | None = None

    def each(self, change: Callable[[NDArray], NDArray]) -> Voxels:
        """The same maps with `change` applied to every array."""
        score = None if self.score is None else change(self.score)
        channels = tuple(change(one) for one in self.channels)
        return dataclasses.replace(self, prediction=change(self.prediction), channels=channels, score=score)


@dataclasses.dataclass(frozen=True)
class Target:
    """The truth of one subject: index of the class, what is inside the mask (None: all), and for each region where its
    foreground is and, if asked for, what is near it. All of one shape, voxels that count only."""

    label: NDArray
    mask: NDArray | None
    regions: tuple[NDArray[np.bool_], ...]
    near: tuple[NDArray[np.bool_] | None, ...]


def region_probability(channels: Sequence[NDArray], classes: Sequence[int]) -> NDArray[np.float32]:
    """A region's probability, float32: the sum of its classes' in their order, what rounding puts above 1 clipped.

    channels: the probability of each class.
    """
    first, *rest = classes
    total = np.asarray(channels[first], np.float32)
    if not rest:
        return total
    total = total + np.asarray(channels[rest[0]], np.float32)
    for index in rest[1:]:
        total += np.asarray(channels[index], np.float32)
    return np.minimum(total, 1, out=total)


def among(classes: NDArray, region: Region) -> NDArray[np.bool_]:
    """Where the class is one of the region's. classes: uint8 indices, any shape."""
    table = np.zeros(256, bool)
    table[list(region.classes)] = True
    return table[classes]


def count(voxels: Voxels, task: Task, target: Target, set_range: Limits | None = None) -> Parts:
    """The `Parts` of one subject; set_range and errors as `binary.count` has them."""
    regions = {}
    for index, region in enumerate(task.regions):
        score = score_of(voxels, index, region)
        found = among(voxels.prediction, region)
        truth, near = target.regions[index], target.near[index]
        regions[region.name] = binary.count(score, voxels.kind, found, truth, target.mask, set_range, near)
    if voxels.of_regions:
        return Parts(regions, None)
    dice = tuple(float(metrics.dice(found)) for found in regions.values())
    if KINDS[voxels.kind].segments:
        of_map = class_map(voxels.channels, voxels.prediction, target.label, target.mask)
        return Parts(regions, dataclasses.replace(of_map, dice=dice))
    right = voxels.prediction == target.label
    assert voxels.score is not None
    overall = _errors(voxels.score, KINDS[voxels.kind], right, target.mask, set_range)
    return Parts(regions, ClassMap(overall, (), dice))


def class_map(
    channels: Sequence[NDArray[np.float32]], prediction: NDArray, label: NDArray, mask: NDArray | None = None
) -> ClassMap:
    """The `ClassMap` of a softmax, without Dice: its entropy over log C, its top label, and each class by itself.

    channels: the probability of each class.  prediction, label: uint8 index of the class; mask: non-zero is inside; all of
    one shape, any. Raises `MapError` as `counts.uncertainty_counts` does.
    """
    first, *arrays = counts.flat(channels[0], *channels[1:], prediction, label, mask)
    total, nothing = counts.empty_counts(), np.zeros(counts.BLOCK, bool)
    nowhere = total.uncertainty
    each = [counts.empty_counts() for _ in channels]
    for start in range(0, first.size, counts.BLOCK):
        *values, found, truth, inside = counts.block([first, *arrays], start)
        values = [counts.within_unit(kinds.floating(one)) for one in values]
        confidence, top = top_label(values)
        uncertainty = np.clip(kinds.softmax_entropy(values), 0, 1)
        zeros = nothing[: len(found)]
        level = counts.by_level(counts.levels(uncertainty), counts.outcome_codes(found != truth, zeros, inside))
        total += Counts(level, *_calibrated(confidence, top == truth, inside))
        for index, one in enumerate(values):
            each[index] += Counts(nowhere, *_calibrated(one, truth == index, inside))
    return ClassMap(total, tuple(each))


def top_label(values: Sequence[NDArray]) -> tuple[NDArray, NDArray[np.uint8]]:
    """(highest probability, index of the class that has it), ties to the lower class. values: of each class, one shape."""
    highest, index = values[0].copy(), np.zeros(values[0].shape, np.uint8)
    for number, one in enumerate(values[1:], 1):
        index[one > highest] = number
        np.maximum(highest, one, out=highest)
    return highest, index


def score_of(voxels: Voxels, index: int, region: Region) -> Any:
    """What is scored of a region, the `index`th of the task: its probability, or the method's one map."""
    if not KINDS[voxels.kind].segments:
        return voxels.score
    return voxels.channels[index] if voxels.of_regions else region_probability(voxels.channels, region.classes)


def _calibrated(probability, target, inside):
    """`Counts.calibration` and `Counts.probability` inside the mask, by tenths; what lies outside is not counted."""
    if inside is not None:
        kept = np.flatnonzero(inside)
        probability, target = probability[kept], target[kept]
    voxels, sums = np.zeros((counts.BINS, 2, 2), np.int64), np.zeros((counts.BINS, 2))
    likely = np.flatnonzero(probability >= probability.dtype.type(counts.TENTHS[1]))
    if 2 * likely.size < probability.size:  # of most classes most voxels are in the first bin, and need no search
        total, positive = probability.sum(dtype=np.float64), np.count_nonzero(target)
        rest = probability.size - likely.size
        probability, target = probability[likely], target[likely]
        positive -= np.count_nonzero(target)
        voxels[0, 1] += rest - positive, positive
        sums[0, 1] += total - probability.sum(dtype=np.float64)
    bins = counts.tenths(probability)
    voxels[:, 1] += np.bincount(bins * 2 + target, minlength=counts.BINS * 2).reshape(counts.BINS, 2)
    sums[:, 1] += np.bincount(bins, weights=probability, minlength=counts.BINS)
    return voxels, sums


def _errors(score, kind, right, mask, set_range):
    """`ClassMap.overall` of an uncertainty map: 1 - u/2 is the confidence."""
    limits = kind.limits(score, set_range)
    holder = "[0, 1]" if limits is None else "the given range"
    arrays, total, nothing = counts.flat(score, right, mask), counts.empty_counts(), np.zeros(counts.BLOCK, bool)
    for start in range(0, arrays[0].size, counts.BLOCK):
        values, truth, inside = counts.block(arrays, start)
        values = counts.within_unit(values if limits is None else kinds.rescaled(values, *limits), holder)
        zeros, uncertainty = nothing[: len(values)], kind.uncertainty(values)
        level = counts.by_level(counts.levels(uncertainty), counts.outcome_codes(~truth, zeros, inside))
        confidence = kinds.error_probability(uncertainty, np.ones_like(truth))
        total += Counts(level, *_calibrated(confidence, truth, inside))
    return total
