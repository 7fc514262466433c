"""What one subject, or a whole data set, comes down to: voxels by uncertainty, by outcome and by probability. NumPy only.

`uncertainty_counts` and `calibration_counts` know nothing of each other and count any map in [0, 1]; `binary.count` takes
both of a subject of two classes in one pass. Counts of several subjects add up, which gives the level of the data set.

Rules (the reference code's evaluation, sections 5 and 6 of its description; the paper, section 2.4):
- uncertainty is compared strictly, `uncertainty > t`, at the eleven thresholds;
- calibration has ten bins, left-closed, edges linspace(0, 1 + 1e-8, 11), so that 1 is in the last; they lie 1e-8 higher than
  tenths, which puts a probability of exactly a tenth below its edge. The class map's are tenths, with 1 in the last;
- comparisons happen in the map's own dtype, so float32 and float64 files are each treated as the reference treats them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfunc.kinds import TOLERANCE, MapError, floating
from tfunc.scoring.foreground import mask_of

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
LEVELS = len(THRESHOLDS) + 1
BINS = 10
EDGES = np.linspace(0, 1 + 1e-8, BINS + 1)
TENTHS = np.linspace(0, 1, BINS + 1)
BLOCK = 1 << 15  # voxels a block: all of its arrays stay in the second-level cache


@dataclasses.dataclass(frozen=True)
class Counts:
    """Voxels of one subject, or of many: `a + b` pools them. Counts are int64, sums float64.

    uncertainty: [12, 2, 2, 2] voxels by level (how many thresholds lie below the uncertainty), inside the mask,
        prediction, target; of `uncertainty_counts`.
    calibration: [10, 2, 2] voxels by calibration bin, inside the mask, target; of `calibration_counts`.
    probability: [10, 2] sum of the foreground probability by calibration bin, inside the mask; likewise.
    near, near_probability: [10, 2] voxels by calibration bin and target, [10] sum of the foreground probability, of the
        voxels near the target only; 0 where nobody asked for them.
    """

    uncertainty: NDArray[np.int64]
    calibration: NDArray[np.int64]
    probability: NDArray[np.float64]
    near: NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.zeros((BINS, 2), np.int64))
    near_probability: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.zeros(BINS))

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.uncertainty + other.uncertainty,
            self.calibration + other.calibration,
            self.probability + other.probability,
            self.near + other.near,
            self.near_probability + other.near_probability,
        )


def empty_counts() -> Counts:
    """`Counts` of no voxels, the neutral element of addition."""
    return Counts(np.zeros((LEVELS, 2, 2, 2), np.int64), np.zeros((BINS, 2, 2), np.int64), np.zeros((BINS, 2)))


def uncertainty_counts(
    uncertainty: ArrayLike,
    prediction: ArrayLike,
    target: ArrayLike,
    mask: ArrayLike | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> NDArray[np.int64]:
    """Voxels by how many thresholds their uncertainty exceeds and by outcome: `Counts.uncertainty`, int64 [12, 2, 2, 2].

    uncertainty: in [0, 1], float32 or float64 (other types become float32), any shape.  prediction, target: the same
    shape, non-zero is foreground; where several classes are compared, one is enough to mark what is wrong.  mask: the same
    shape, non-zero is inside; None is all.  thresholds: others than the eleven, rising; the result has one level more.
    Raises `MapError` for shapes that differ, NaN, and values outside [0, 1].
    """
    count = len(thresholds) + 1
    total = np.zeros((count, 2, 2, 2), np.int64)
    for values, codes in _blocks(uncertainty, prediction, target, mask):
        total += by_level(levels(values, thresholds), codes, count)
    return total


def calibration_counts(
    probability: ArrayLike, target: ArrayLike, mask: ArrayLike | None = None, bins: int = BINS
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Voxels and sums of probability by bin: `Counts.calibration`, int64 [10, 2, 2], and `.probability`, float64 [10, 2].

    probability: of the foreground, in [0, 1]; as `uncertainty` in `uncertainty_counts`, whose shapes and errors hold here too.
    bins: other than ten.
    """
    voxels, sums = np.zeros((bins, 2, 2), np.int64), np.zeros((bins, 2))
    for values, codes in _blocks(probability, target, target, mask):
        found = by_bin(values, codes, bins)
        voxels += found[0]
        sums += found[1]
    return voxels, sums


def levels(uncertainty: NDArray[np.floating], thresholds: Sequence[float] = THRESHOLDS) -> NDArray[np.intp]:
    """For each voxel how many of the thresholds, eleven, its uncertainty exceeds, strictly; 0 to 11, the array's shape.

    The comparison is made in the array's dtype, as `uncertainty > 0.1` would.
    """
    return np.searchsorted(np.asarray(thresholds, uncertainty.dtype), uncertainty, side="left")


def edges(bins: int = BINS) -> NDArray[np.float64]:
    """[bins + 1] of calibration bins of equal width; `EDGES` are those of ten."""
    return np.linspace(0, 1 + 1e-8, bins + 1)


def calibration_bins(probability: NDArray[np.floating], bins: int = BINS) -> NDArray[np.intp]:
    """The calibration bin of each foreground probability in [0, 1]; 0 to 9; p = 0 is in bin 0 and p = 1 in the last."""
    return np.searchsorted(EDGES if bins == BINS else edges(bins), probability, side="right") - 1


# What both ways of counting share


def flat(score: ArrayLike, *others: ArrayLike | None) -> list[Any]:
    """The map as floats and the other arrays, each as one row of voxels; raises `MapError` for shapes that differ."""
    arrays = [floating(score), *(None if other is None else mask_of(other) for other in others)]
    shapes = [array.shape for array in arrays if array is not None]
    if len(set(shapes)) > 1:
        raise MapError(f"shapes that differ: {', '.join(map(str, shapes))}")
    return [None if array is None else array.reshape(-1) for array in arrays]


def block(arrays: list[Any], start: int) -> list[Any]:
    """BLOCK voxels of each array of `flat`, from `start` on."""
    return [None if array is None else array[start : start + BLOCK] for array in arrays]


def within_unit(values: NDArray[np.floating], holder: str = "[0, 1]") -> NDArray[np.floating]:
    """The values, what rounding put outside [0, 1] clipped; raises `MapError` for NaN and for what lies further out.

    holder: the range that should hold them, for the message.
    """
    lowest, highest = values.min(), values.max()
    if not (lowest >= -TOLERANCE and highest <= 1 + TOLERANCE):  # also true for NaN
        found = "NaN" if np.isnan(lowest) else f"values from {lowest:g} to {highest:g}"
        raise MapError(f"{found} where {holder} should hold them")
    return np.clip(values, 0, 1) if lowest < 0 or highest > 1 else values


def outcome_codes(prediction: NDArray, target: NDArray, mask: NDArray | None) -> NDArray[np.uint8]:
    """uint8: inside the mask * 4 + prediction * 2 + target, each 0 or 1."""
    if prediction is None or target is None:  # NumPy would call that foreground
        raise MapError("expected a prediction and a label, found None")
    codes = np.ones(prediction.shape, np.uint8) if mask is None else _marks(mask)
    codes = codes + codes  # adding is sooner done than multiplying
    codes += _marks(prediction)
    codes += codes
    codes += _marks(target)
    return codes


def _marks(values: NDArray) -> NDArray[np.uint8]:
    """1 where a value is not 0."""
    return (values if values.dtype == bool else np.not_equal(values, 0)).view(np.uint8)


def by_level(level: NDArray[np.intp], codes: NDArray, count: int = LEVELS) -> NDArray[np.int64]:
    """`Counts.uncertainty` of voxels with these levels and `outcome_codes`."""
    return np.bincount(level * 8 + codes, minlength=count * 8).reshape(count, 2, 2, 2)


def tenths(probability: NDArray[np.floating]) -> NDArray[np.intp]:
    """The calibration bin of each probability in [0, 1] of a class map; 0 to 9; left-closed, 1 in bin 9.

    By its exact value: the float32 next to 0.7 lies just below seven tenths, in bin 6, the float64 0.7 in bin 7.
    """
    if probability.dtype == np.float32:  # ten times one is exact in float64, so its whole part needs no search
        return np.minimum((probability.astype(np.float64) * BINS).astype(np.intp), BINS - 1)
    return np.searchsorted(TENTHS[1:-1], probability, side="right")


def by_bin(
    probability: NDArray[np.floating], codes: NDArray, bins: int = BINS
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """`Counts.calibration` and `Counts.probability` of voxels with these foreground probabilities and `outcome_codes`."""
    cells = calibration_bins(probability, bins) * 4 + (codes >> 2) * 2 + (codes & 1)
    voxels = np.bincount(cells, minlength=bins * 4)
    sums: NDArray[Any] = np.bincount(cells >> 1, weights=probability, minlength=bins * 2)
    return voxels.reshape(bins, 2, 2), sums.reshape(bins, 2)


def _blocks(
    score: ArrayLike, prediction: ArrayLike, target: ArrayLike, mask: ArrayLike | None
) -> Iterator[tuple[NDArray, NDArray]]:
    arrays = flat(score, prediction, target, mask)
    for start in range(0, arrays[0].size, BLOCK):
        values, *others = block(arrays, start)
        yield within_unit(values), outcome_codes(*others)
