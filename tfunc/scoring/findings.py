"""What is found of one region of one subject beside its counts: its scores, and the companions of its Dice. NumPy and SciPy.

Scores look at nothing but the maps, so a new patient without a label has the same ones. Voxels whose label says that they count
nowhere are background that the map is sure of.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from data_prep.readers.nifti import Space
from tfunc import kinds
from tfunc.kinds import Limits
from tfunc.scoring import aggregate, companions, lesions, statistics
from tfunc.scoring.aggregate import AGGREGATORS
from tfunc.scoring.companions import COMPANIONS, TOLERANCE, RegionMaps
from tfunc.scoring.counts import BLOCK
from tfunc.scoring.lesion_curves import Tally
from tfunc.scoring.lesions import NO_MORE, Lesion, Rest
from tfunc.scoring.spread import Spread
from tfunc.scoring.truth import Truth


@dataclasses.dataclass(frozen=True)
class Findings:
    """One region of one subject by one method.

    scores: {a name of `aggregate.AGGREGATORS`: value}, NaN for those of samples where it has none.
    companions: {a name of `companions.COMPANIONS`: value}, NaN where undefined.
    has_penalty: whether its distance is the penalty of an empty mask.
    voxel: its volume in ml, of a photograph's pixel 1.
    worst_slice: from 0, the one with most uncertainty.
    lesions: of its label and its prediction, undilated, without the `rest`, the smaller ones of a prediction that has many;
    none of a mean over regions.  tally: of all, for curves.
    """

    scores: Mapping[str, float]
    companions: Mapping[str, float]
    has_penalty: bool = False
    voxel: float = 1.0
    worst_slice: int = 0
    lesions: tuple[Lesion, ...] = ()
    rest: Rest = NO_MORE
    tally: Tally | None = None


@dataclasses.dataclass(frozen=True)
class Region:
    """The truth of one region of one subject, [depth, height, width]: label and mask, bool; where voxels lie; which count.

    mask, counted: None is everywhere.  tolerance, surfaces: of the surface distances, and whether they are asked for.
    """

    label: NDArray[np.bool_]
    mask: NDArray | None
    space: Space
    counted: NDArray[np.bool_] | None = None
    tolerance: float = TOLERANCE
    surfaces: bool = True


@dataclasses.dataclass(frozen=True)
class Distances:
    """What is asked for of the distances of surfaces: whether they are measured, and the tolerance of the surface Dice."""

    measured: bool = True
    tolerance: float = TOLERANCE

    def of(self, truth: Truth, label: NDArray[np.bool_]) -> Region:
        """A region's truth with them."""
        return Region(label, truth.mask, truth.space, truth.counted, self.tolerance, self.measured)


def spacing_of(space: Space) -> tuple[float, ...] | None:
    """(mm along depth, height, width) of where an array lies; None of a photograph."""
    if space.affine is None:
        return None
    columns = np.linalg.norm(np.asarray(space.affine, np.float64)[:3, :3], axis=0)
    return tuple(float(side) for side in columns[::-1])


def find(
    score: NDArray,
    kind: str,
    prediction: NDArray,
    region: Region,
    set_range: Limits | None = None,
    samples: Spread | None = None,
) -> Findings:
    """The `Findings` of a raw map, as `binary.count` takes it, whole arrays [depth, height, width].

    prediction: non-zero is foreground. samples: of the method's samples or members. Raises `MapError` as `binary.count`.
    """
    what, counted = kinds.get(kind), region.counted
    limits = what.limits(score if counted is None else score[counted], set_range)
    values, inside = kinds.floating(score), prediction != 0
    if limits is not None:
        values = np.clip(kinds.rescaled(values, *limits), 0, 1)
    elif values.min() < 0 or values.max() > 1:
        values = np.clip(values, 0, 1)
    uncertainty = _by_blocks(what.uncertainty, values)
    probability = what.foreground(values, inside)
    if counted is not None:
        uncertainty, probability = (np.where(counted, one, one.dtype.type(0)) for one in (uncertainty, probability))
        inside = inside & counted
    worst = int(np.argmax(uncertainty.sum(axis=(1, 2), dtype=np.float64)))
    spacing = spacing_of(region.space)
    sides, voxel = spacing or (1.0,) * inside.ndim, 1.0 if spacing is None else math.prod(spacing) / 1000
    label, mask = region.label, _both(region.mask, counted)
    if len(inside) == 1:  # a slice by itself has no third axis that windows or surfaces could lie along
        uncertainty, probability, inside, label = uncertainty[0], probability[0], inside[0], label[0]
        mask = None if mask is None else mask[0]
        sides = sides[1:]
    scores = aggregate.of_arrays(uncertainty, probability, inside, sides, samples)
    maps = RegionMaps(uncertainty, probability, inside, label, mask, sides, voxel, region.tolerance)
    of = companions.of_maps(maps, region.surfaces)
    return Findings(scores, of, maps.has_penalty, voxel, worst, *lesions.listed(maps.lesions), maps.tally)


def _by_blocks(function, values):
    """A function of every value, whose results are clipped to [0, 1]; by blocks, whose arrays stay in the cache."""
    flat, out = values.reshape(-1), np.empty(0)
    for start in range(0, flat.size, BLOCK):
        part = np.clip(function(flat[start : start + BLOCK]), 0, 1)
        out = np.empty(flat.size, part.dtype) if start == 0 else out
        out[start : start + BLOCK] = part
    return out.reshape(values.shape)


def _both(mask, counted):
    """Where a voxel is inside the mask and counts; None is everywhere."""
    if mask is None or counted is None:
        return counted if mask is None else mask != 0
    return (mask != 0) & counted


def companion_means(found: Mapping[str, Findings]) -> dict[str, tuple[float, float, float]]:
    """{companion: (mean over subjects, its 95 % bootstrap interval)} of those that have a mean; undefined values are skipped."""
    every = companion_values(found).items()
    return {name: (float(statistics.mean(values)), *statistics.interval(values)) for name, values in every}


def companion_values(found: Mapping[str, Findings]) -> dict[str, NDArray[np.float64]]:
    """{companion: [subjects]} of those that have a mean over subjects; NaN where undefined."""
    names = [name for name, row in COMPANIONS.items() if row.has_mean]
    rows = np.array([[one.companions[name] for name in names] for one in found.values()], np.float64)
    return dict(zip(names, rows.reshape(-1, len(names)).T, strict=True))


def mean(found: Sequence[Findings]) -> Findings:
    """Of several regions of one subject: the means of their scores and companions, undefined companions skipped; no volumes."""
    scores = {name: float(np.mean([one.scores[name] for one in found])) for name in AGGREGATORS}
    values = {
        name: float(statistics.mean(np.array([one.companions[name] for one in found]))) if row.has_mean else math.nan
        for name, row in COMPANIONS.items()
    }
    first = found[0]
    return Findings(scores, values, any(one.has_penalty for one in found), first.voxel, first.worst_slice)
