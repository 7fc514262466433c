"""The one table of scores of a subject: an uncertainty map comes down to one number, higher is less sure. NumPy only.

A score is a function of (uncertainty, probability, prediction, spacing) of one region; a new one is a function here and a row of
`AGGREGATORS`. `samples` of a method that has them give two more. None looks at a label, so a new patient has them all.

Nothing segmented: what is a mean over the segmentation is the mean over the whole volume, as segfail has it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import scipy.ndimage
from numpy.typing import ArrayLike, NDArray

from data_prep.base.errors import UserError
from tfunc.scoring import spread as of_samples
from tfunc.scoring.foreground import box
from tfunc.scoring.spread import Spread

BORDER = 4  # voxels: two on each side of the surface
TOP = 0.01  # of all voxels
PATCH = 10  # voxels along each axis
SAMPLED = 10_000  # voxels that suggest where the most uncertain ones begin

Array = NDArray[np.floating]
Function = Callable[[Array, Array, NDArray, Sequence[float]], float]


@dataclasses.dataclass(frozen=True)
class Aggregator:
    """A row of `AGGREGATORS`.

    name: of its column in subjects.csv, after `score_`.  title: for people.  function: see the module; None: of samples.
    definition: half a sentence.  of_samples: `Spread` of a method's samples or members -> the score, where that is what it needs.
    """

    name: str
    title: str
    definition: str
    function: Function | None = None
    of_samples: Callable[[Spread], float] | None = None

    @property
    def column(self) -> str:
        """Its column in subjects.csv."""
        return f"score_{self.name}"


def mean_all(uncertainty: Array, probability: Array, prediction: NDArray, spacing: Sequence[float]) -> float:
    """Mean uncertainty over the whole volume, in [0, 1]."""
    return float(uncertainty.mean(dtype=np.float64))


def mean_inside(uncertainty: Array, probability: Array, prediction: NDArray, spacing: Sequence[float]) -> float:
    """Mean uncertainty in the segmentation, in [0, 1]."""
    inside = uncertainty[prediction != 0]
    return float((inside if inside.size else uncertainty).mean(dtype=np.float64))


def mean_core(
    uncertainty: Array, probability: Array, prediction: NDArray, spacing: Sequence[float], border: int = BORDER
) -> float:
    """Mean uncertainty in the segmentation without its border; where that is all there is, over the whole volume."""
    inside = uncertainty[core(prediction, border)]
    return float((inside if inside.size else uncertainty).mean(dtype=np.float64))


def core(prediction: NDArray, border: int = BORDER) -> NDArray[np.bool_]:
    """The foreground without a border that is `border` voxels wide, an even number, half of it on each side of the surface.

    The border are the voxels with another label among their 6 neighbours (4 in a plane), and what lies at most border / 2 - 1
    from one of them. Where the foreground meets the edge of the volume there is no border.
    """
    found, held = np.zeros(prediction.shape, bool), box(prediction != 0, border + 1)
    if held is None:
        return found
    part = prediction[held]
    edge = np.zeros(part.shape, bool)
    for axis in range(part.ndim):
        first, last = _pairs(part.ndim, axis)
        other = part[first] != part[last]
        edge[first] |= other
        edge[last] |= other
    reach = border // 2 - 1
    if reach:
        offsets = np.indices((2 * reach + 1,) * part.ndim) - reach
        edge = scipy.ndimage.binary_dilation(edge, (offsets**2).sum(axis=0) <= reach**2)
    found[held] = (part != 0) & ~edge
    return found


def per_voxel(uncertainty: Array, probability: Array, prediction: NDArray, spacing: Sequence[float]) -> float:
    """All uncertainty, in voxels, over the voxels of the segmentation (1 where there are none)."""
    return float(uncertainty.sum(dtype=np.float64) / max(np.count_nonzero(prediction), 1))


def top(uncertainty: Array, probability: Array, prediction: NDArray, spacing: Sequence[float]) -> float:
    """Mean of the most uncertain hundredth of all voxels, one at least."""
    values = uncertainty.reshape(-1)
    count = max(round(TOP * values.size), 1)
    above = values
    if values.size > SAMPLED * 100:  # the few above a bound that a sample suggests, instead of all, are put in order
        sample = values[:: values.size // SAMPLED]
        bound = np.partition(sample, place := int(sample.size * (1 - 2 * TOP)))[place]
        above = values[values > bound]
        if above.size < count <= above.size + np.count_nonzero(values == bound):
            return float((above.sum(dtype=np.float64) + float(bound) * (count - above.size)) / count)
        above = above if above.size >= count else values
    return float(np.partition(above, above.size - count)[above.size - count :].mean(dtype=np.float64))


def patch(
    uncertainty: Array, probability: Array, prediction: NDArray, spacing: Sequence[float], side: int = PATCH
) -> float:
    """Highest mean in a window of 10 voxels along each axis; along a shorter axis the window is as long as that.

    Only where the highest can lie are sums made window by window: blocks of that side bound those of the windows in them.
    """
    total = uncertainty = uncertainty[_promising(uncertainty, side)]
    size = 1
    for axis, length in enumerate(uncertainty.shape):
        window = min(side, length)
        size *= window
        if window > 1:
            sums = np.cumsum(total, axis=axis, dtype=np.float64)
            starts, ends = _at(axis, slice(None, -window), total.ndim), _at(axis, slice(window, None), total.ndim)
            first = sums[_at(axis, slice(window - 1, window), total.ndim)]
            total = np.concatenate([first, sums[ends] - sums[starts]], axis=axis)
    return float(total.max() / size)


def _promising(uncertainty, side):
    """The box around all blocks of `side` voxels, and the next ones, in which the window with the highest sum may begin."""
    sums = uncertainty
    for axis, length in enumerate(uncertainty.shape):
        sums = np.add.reduceat(sums, np.arange(0, length, side), axis=axis, dtype=np.float64)
    bound = sums
    for axis in range(sums.ndim):  # a window lies in a block and the next one along each axis
        bound = bound.copy()
        here, following = _pairs(sums.ndim, axis)
        bound[here] += bound[following].copy()
    whole = tuple(slice(max(length // side, 1)) for length in uncertainty.shape)
    best = np.argwhere(bound >= sums[whole].max() * (1 - 1e-9))
    first, last = best.min(axis=0) * side, (best.max(axis=0) + 2) * side
    last = np.minimum(last, uncertainty.shape)
    first = np.maximum(np.minimum(first, last - side), 0)  # a last block may be shorter than a window
    return tuple(slice(int(start), int(stop)) for start, stop in zip(first, last, strict=True))


def expected_dice(uncertainty: Array, probability: Array, prediction: NDArray, spacing: Sequence[float]) -> float:
    """1 - the Dice that the probabilities predict, 2 sum(p y) / (sum(p) + sum(y)); 0 where all of them are 0.

    It only ranks until it is recalibrated: a floor of 0.02 in the background dominates a sum over a volume.
    """
    inside = probability[prediction != 0]
    total = probability.sum(dtype=np.float64) + inside.size
    return float(1 - 2 * inside.sum(dtype=np.float64) / total) if total else 0.0


AGGREGATORS = {
    row.name: row
    for row in (
        Aggregator("mean_inside", "mean inside", "mean uncertainty in the segmentation", mean_inside),
        Aggregator("mean_all", "mean", "mean uncertainty over the whole volume", mean_all),
        Aggregator(
            "mean_core",
            "mean without border",
            f"mean uncertainty in the segmentation without its border of {BORDER} voxels",
            mean_core,
        ),
        Aggregator("per_voxel", "sum over volume", "sum of the uncertainty over the segmentation's volume", per_voxel),
        Aggregator("top", "top 1 %", "mean of the most uncertain hundredth of all voxels", top),
        Aggregator("patch", "highest patch", f"highest mean in a window of {PATCH} voxels along each axis", patch),
        Aggregator(
            "expected_dice",
            "1 - predicted Dice",
            "1 - the Dice between the segmentation and the probabilities",
            expected_dice,
        ),
        Aggregator(
            "volume_variation",
            "variation of volume",
            "coefficient of variation of the volume over samples or members",
            of_samples=lambda found: found.variation,
        ),
        Aggregator(
            "pairwise_dice",
            "1 - pairwise Dice",
            "1 - mean Dice over all pairs of samples or members",
            of_samples=lambda found: 1 - found.pairwise_dice,
        ),
    )
}


def of_arrays(
    uncertainty: Array, probability: Array, prediction: NDArray, spacing: Sequence[float], samples: Spread | None = None
) -> dict[str, float]:
    """{score: value} of arrays of one shape that were checked; NaN for those of samples where there are none."""
    found = {}
    for name, row in AGGREGATORS.items():
        if row.function is not None:
            found[name] = row.function(uncertainty, probability, prediction, spacing)
        else:
            assert row.of_samples is not None
            found[name] = float("nan") if samples is None else row.of_samples(samples)
    return found


def subject_scores(
    uncertainty: ArrayLike,
    probability: ArrayLike,
    prediction: ArrayLike,
    spacing: Sequence[float] = (1, 1, 1),
    samples: ArrayLike | None = None,
) -> dict[str, float]:
    """{score: value} of one region of one subject, by the names of `AGGREGATORS`; higher is less sure.

    uncertainty: in [0, 1]; probability: of the region, in [0, 1]; prediction: non-zero is foreground; [depth, height, width] or
    [height, width], all of one shape. spacing: mm along each axis of a volume. samples: [T, …] segmentations, T two or more,
    for the scores of samples, which are left out without them. Raises `UserError` for other shapes, values outside [0, 1], NaN.

    >>> found = subject_scores([[0.2, 0.4], [0.0, 0.0]], [[0.9, 0.8], [0.1, 0.1]], [[1, 1], [0, 0]], spacing=(1, 1))
    >>> round(found["mean_inside"], 4), round(found["mean_all"], 4), round(found["expected_dice"], 4)
    (0.3, 0.15, 0.1282)
    """
    u, p, y = np.asarray(uncertainty), np.asarray(probability), np.asarray(prediction)
    if not (u.shape == p.shape == y.shape and u.ndim in (2, 3) and u.size):
        found = f"shapes {u.shape}, {p.shape} and {y.shape}"
        raise UserError("uncertainty, probability and prediction", expected="one shape of 2 or 3 axes", found=found)
    for name, values in (("uncertainty", u), ("probability", p)):
        if not (values.min() >= 0 and values.max() <= 1):  # also true for NaN
            raise UserError(name, expected="numbers in [0, 1]", found=f"from {values.min():g} to {values.max():g}")
    for name, values in (("prediction", y), ("samples", np.zeros(0) if samples is None else np.asarray(samples))):
        if values.dtype.kind not in "biuf" or (values.dtype.kind == "f" and np.isnan(values).any()):
            raise UserError(name, expected="masks of numbers", found=f"NaN, or no numbers, in {values.dtype}")
    spread = None
    if samples is not None:
        drawn = np.asarray(samples) != 0
        if drawn.shape[1:] != u.shape or len(drawn) < 2:
            raise UserError("samples", expected=f"two or more of shape {u.shape}", found=f"shape {drawn.shape}")
        spread = of_samples.of_overlaps(of_samples.shared(drawn.reshape(len(drawn), -1)))
    u, p = (values if values.dtype.kind == "f" else values.astype(np.float64) for values in (u, p))
    scores = of_arrays(u, p, y, spacing, spread)
    return {name: value for name, value in scores.items() if spread is not None or AGGREGATORS[name].function}


def _pairs(dimensions, axis):
    """Indices of all voxels that have a next one along an axis, and of those next ones."""
    return _at(axis, slice(None, -1), dimensions), _at(axis, slice(1, None), dimensions)


def _at(axis, part, dimensions):
    return tuple(part if index == axis else slice(None) for index in range(dimensions))
