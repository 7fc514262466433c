"""The lesions of one region of one subject, those of its segmentation and those of its label, one beside the other.

A lesion is a component, undilated: 26 neighbours in a volume, 8 in an image. Two rules say whether two lesions are of each
other. They *touch* where they share a voxel: that is detection. They *match* where their IoU is at least 0.25, with which a
lesion of the prediction is a TP or else a FP, and one of the label a TP or else a FN (Shifts' rule for the lesion-wise F1;
in it no lesion is neither). Everything is counted in one pass over the foreground, so noise of thousands of lesions costs
little. NumPy and SciPy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfunc import kinds
from tfunc.scoring.components import Components, components, overlaps
from tfunc.scoring.counts import within_unit
from tfunc.scoring.foreground import Spacing, foregrounds, same_shape, spacing_of

MATCH = 0.25  # IoU; Shifts' and Molchanova's
LISTED = 200  # of the prediction's lesions of a subject, the largest


@dataclasses.dataclass(frozen=True)
class Lesion:
    """One lesion of a prediction or of a label; `others` are those of the other mask.

    source: `prediction` or `label`.  number: from 1 within its source, in the order of first voxels.
    voxels, volume: its size, in mm^3 (mm^2 of an image).  centre: mean index of its voxels along each axis.
    uncertainty: their mean: the lesion's score.
    touches: how many others it shares a voxel with.  dice: against the union of these; 0 without any.
    iou: the highest with any one of them.  outcome: `tp` where that is enough to match, else `fp` or `fn` by its source.
    first_touch, first_match: the lowest uncertainty among the others that it touches, that it matches; NaN without any.
    """

    source: str
    number: int
    voxels: int
    volume: float
    centre: tuple[float, ...]
    uncertainty: float
    touches: int
    dice: float
    iou: float
    outcome: str
    first_touch: float
    first_match: float

    @property
    def detected(self) -> bool:
        """Whether any other shares a voxel with it."""
        return self.touches > 0


@dataclasses.dataclass(frozen=True)
class Rest:
    """The lesions of a prediction that are not listed one by one: how many, and how many voxels they have together."""

    lesions: int = 0
    voxels: int = 0


NO_MORE = Rest()


def listed(found: Sequence[Lesion], most: int = LISTED) -> tuple[tuple[Lesion, ...], Rest]:
    """(every lesion of the label and the `most` largest of the prediction in their order, the `Rest`); of equals the first."""
    predicted = [one for one in found if one.source == "prediction"]
    largest = sorted(predicted, key=lambda one: -one.voxels)
    out = {one.number for one in largest[most:]}
    kept = tuple(one for one in found if one.source != "prediction" or one.number not in out)
    return kept, Rest(len(out), sum(one.voxels for one in largest[most:]))


def lesions(
    prediction: ArrayLike,
    label: ArrayLike,
    uncertainty: ArrayLike,
    spacing: Spacing,
    match: float = MATCH,
    connectivity: int | None = None,
) -> tuple[Lesion, ...]:
    """Every `Lesion` of the prediction, then every one of the label, each in the order of its first voxel.

    prediction, label: [depth, height, width] or [height, width], non-zero is foreground.  uncertainty: the same shape, in
    [0, 1].  spacing: in mm along each axis of the arrays.  match: the IoU that two lesions match with, above 0.
    connectivity: as of `components`. Raises `MapError` for shapes that differ, for what is no spacing, and for NaN and values
    outside [0, 1].
    """
    found, truth = foregrounds(prediction, label)
    values = kinds.floating(uncertainty)
    same_shape(found, truth, values)
    voxel = float(np.prod(spacing_of(spacing, found.ndim)))
    if values.size:
        values = within_unit(values)
    if not 0 < match <= 1:
        raise kinds.MapError(f"expected an IoU above 0 and up to 1, found {match!r}")
    one, other = (_Side(components(mask, connectivity), values) for mask in (found, truth))
    pairs, shared = overlaps(one.parts.index, other.parts.within(one.parts.box))
    predicted = _table("prediction", "fp", one, other, pairs - 1, shared, voxel, match)
    return predicted + _table("label", "fn", other, one, pairs[:, ::-1] - 1, shared, voxel, match)


class _Side:
    """The components of one mask with their sizes [n], mean uncertainties [n] and centres [n, d]."""

    def __init__(self, parts: Components, values: NDArray[np.floating]):
        inside = np.flatnonzero(parts.index)
        of = parts.index.reshape(-1)[inside]
        self.parts = parts
        self.sizes = np.bincount(of, minlength=parts.count + 1)[1:]
        means = [
            np.bincount(of, at, parts.count + 1)[1:] / self.sizes for at in np.unravel_index(inside, parts.index.shape)
        ]
        self.centres = np.stack(means, axis=1) + [edge.start for edge in parts.box]
        self.uncertainty = np.bincount(of, values[parts.box].reshape(-1)[inside], parts.count + 1)[1:] / self.sizes


def _table(
    source: str,
    wrong: str,
    these: _Side,
    others: _Side,
    pairs: NDArray[np.int64],
    shared: NDArray[np.int64],
    voxel: float,
    match: float,
) -> tuple[Lesion, ...]:
    """The lesions of one side. pairs [n, 2]: which of these, from 0, shares voxels [n] with which of the others."""
    count, (own, other) = these.parts.count, pairs.T
    iou = shared / (these.sizes[own] + others.sizes[other] - shared)
    within = np.bincount(own, shared, count)
    union = np.bincount(own, others.sizes[other], count)
    best = np.zeros(count)
    np.maximum.at(best, own, iou)
    columns: dict[str, list[Any]] = {
        "number": list(range(1, count + 1)),
        "voxels": these.sizes.tolist(),
        "volume": (these.sizes * voxel).tolist(),
        "centre": list(map(tuple, these.centres.tolist())),
        "uncertainty": these.uncertainty.tolist(),
        "touches": np.bincount(own, minlength=count).tolist(),
        "dice": (2 * within / (these.sizes + union)).tolist(),
        "iou": best.tolist(),
        "outcome": np.where(best >= match, "tp", wrong).tolist(),
        "first_touch": _lowest(count, own, others.uncertainty[other]),
        "first_match": _lowest(count, own[iou >= match], others.uncertainty[other[iou >= match]]),
    }
    return tuple(Lesion(source, **dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))


def _lowest(count: int, own: NDArray[np.int64], values: NDArray[np.float64]) -> list[float]:
    out = np.full(count, np.inf)
    np.minimum.at(out, own, values)
    return np.where(np.isinf(out), np.nan, out).tolist()
