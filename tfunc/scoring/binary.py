"""The fast way to count a subject of two classes: uncertainty and calibration in one pass over the voxels. NumPy only.

With two classes both are functions of one number, so a voxel only has to find its cell, [i, i + 1) / 1024 of that number: all
values of a cell share level and bin, but for the few cells that a threshold cuts, whose voxels are decided one by one. The
result is that of `counts.uncertainty_counts` and `counts.calibration_counts`, several times sooner.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfunc import kinds
from tfunc.kinds import Kind, Limits
from tfunc.scoring import counts
from tfunc.scoring.counts import Counts

_CELLS = 1024  # a power of two: value * _CELLS is exact, so floor() finds the cell without a rounding question


def count(
    score: ArrayLike,
    kind: str,
    prediction: ArrayLike,
    target: ArrayLike,
    mask: ArrayLike | None = None,
    set_range: Limits | None = None,
    near: ArrayLike | None = None,
) -> Counts:
    """`Counts` of one subject.

    score: the raw map, float32 or float64 (other types become float32), any shape.  kind: what it is, a name of
    `kinds.KINDS`.  prediction, target: the same shape, non-zero is foreground.  mask: the same shape, non-zero is inside;
    None is all.  set_range: (lowest, highest) of the whole set, for a kind that is scaled by it.  near: bool, the same
    shape, the voxels near the target, whose calibration is counted beside that of all; None: it is not.

    Raises `MapError` for NaN, infinity, values outside [0, 1] by more than `kinds.TOLERANCE`, and for a map or a range of one
    value where it is to be rescaled; the reference would score NaN.
    """
    what = kinds.get(kind)
    arrays = counts.flat(score, prediction, target, mask)
    values = arrays[0]
    limits = what.limits(values, set_range)
    holder = "[0, 1]" if limits is None else "the given range"
    tables = _tables(what.name, values.dtype.char)
    voxels, sums = np.zeros(len(tables.exact) * 8, np.int64), np.zeros(len(tables.exact) * 8)
    edge = counts.empty_counts()
    empty = 4 if mask is None else 0  # the key of what lies around a head: a value near 0, no foreground, no mask
    for start in range(0, values.size, counts.BLOCK):
        values, *others = counts.block(arrays, start)
        values = counts.within_unit(values if limits is None else kinds.rescaled(values, *limits), holder)
        keys = (values * values.dtype.type(_CELLS)).astype(np.int32).astype(np.uint16)
        keys <<= 3
        keys += counts.outcome_codes(*others)
        probability = what.foreground(values, others[0])
        rest = np.flatnonzero(keys != empty)
        voxels[empty] += len(keys) - len(rest)
        sums[empty] += _in_turn(probability, keys == empty if len(rest) else None)
        if len(rest):
            cells, probability = keys[rest].astype(np.intp), probability[rest]
            voxels += np.bincount(cells, minlength=len(voxels))
            sums += np.bincount(cells, weights=probability, minlength=len(sums))
            cut = np.flatnonzero(tables.exact[cells >> 3])
            if cut.size:
                edge += _exactly(what, values[rest[cut]], probability[cut], cells[cut] & 7)
    total = _summed(tables, voxels, sums) + edge
    return total if near is None else _with_near(total, what, arrays, np.asarray(near).reshape(-1), limits)


def _in_turn(values, chosen):
    """The float64 sum of the chosen values, one after another, as `np.bincount` adds them; None: of all.

    Most voxels are of one cell, and there `np.bincount` waits for each addition to be stored before the next can begin.
    """
    values = values if chosen is None else values[chosen]
    if not values.size:
        return 0.0
    if values.dtype == np.float32 and values.max() <= values.min() * 2**13:
        # 24 bits each, 2**15 values at most, within 13 bits of another: no sum needs more than float64's 53, in any order
        return values.sum(dtype=np.float64)
    return np.cumsum(values, dtype=np.float64)[-1]


def _with_near(total, kind, arrays, near, limits):
    """The counts with the calibration of the voxels of `near`, few beside all, each in its own bin."""
    values, prediction, target, _ = (None if array is None else array[near] for array in arrays)
    if not values.size:
        return total
    values = np.clip(values, 0, 1) if limits is None else np.clip(kinds.rescaled(values, *limits), 0, 1)
    voxels, sums = counts.by_bin(kind.foreground(values, prediction), counts.outcome_codes(target, target, None))
    return dataclasses.replace(total, near=voxels[:, 1], near_probability=sums[:, 1])


def _exactly(kind, values, probability, codes):
    """Counts of a few voxels, each decided by its own value."""
    return Counts(counts.by_level(counts.levels(kind.uncertainty(values)), codes), *counts.by_bin(probability, codes))


@dataclasses.dataclass(frozen=True)
class _Tables:
    """level [cells], bin [cells, prediction] of every value in a cell; exact [cells]: values there need `_exactly`."""

    level: NDArray
    bin: NDArray
    exact: NDArray


@functools.cache
def _tables(name, dtype):
    """What cell [i, i + 1) / 1024 of a value in [0, 1] decides, by the values at its two ends.

    Both ends agree and the functions are monotone between them (0.5 is an end), so all values within agree. That holds of
    the true uncertainty; a computed one differs from it by less than the kind's `rounding`, so cells whose ends disagree
    under that much are left to `_exactly`.
    """
    kind: Kind = kinds.get(name)
    dtype = np.dtype(dtype)
    first = (np.arange(_CELLS + 1) / _CELLS).astype(dtype)
    last = np.append(np.nextafter(first[1:], dtype.type(0)), first[-1:])
    ends = np.stack([kind.uncertainty(end.astype(np.float64)) for end in (first, last)])
    low, high = counts.levels(ends.min(axis=0) - kind.rounding), counts.levels(ends.max(axis=0) + kind.rounding)
    label = np.broadcast_to(np.arange(2), (_CELLS + 1, 2))
    values = (np.broadcast_to(kind.foreground(end[:, None], label), label.shape) for end in (first, last))
    bins = [counts.calibration_bins(value) for value in values]
    return _Tables(low, bins[0], (low != high) | (bins[0] != bins[1]).any(axis=-1))


def _summed(tables, voxels, sums):
    """Cell histograms -> Counts, without the cells that `_exactly` took care of."""
    total = counts.empty_counts()
    keep = ~tables.exact
    voxels = voxels.reshape(-1, 2, 2, 2)[keep]  # cell, inside, prediction, target
    sums = sums.reshape(-1, 2, 2, 2)[keep]
    np.add.at(total.uncertainty, tables.level[keep], voxels)
    for prediction in range(2):
        bins = tables.bin[keep, prediction]
        np.add.at(total.calibration, bins, voxels[:, :, prediction])
        np.add.at(total.probability, bins, sums[:, :, prediction].sum(axis=-1))
    return total
