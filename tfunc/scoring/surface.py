"""How far two surfaces are from each other: HD95, surface Dice, and the distance that BraTS 2023 takes. NumPy and SciPy.

Two definitions of a surface. `hd95` takes the voxels that one erosion with the direct neighbours removes, from centre to
centre, all alike (Metrics Reloaded, MONAI). `surface_dice` and `robust_hausdorff` take elements at the corners of voxels,
weighted by their areas (google-deepmind/surface-distance; Nikolov et al., 2021): `surfels`. Outside of the array is background.

Empty masks: both empty, nothing to find and nothing found, HD95 0 and surface Dice 1; one of them, no distance exists, HD95 the
penalty, surface Dice 0. An axis of length 1 has no surfaces across it: a photograph [1, height, width] is an image.

Distances are exact. They are asked for only at the surface, of a k-d tree: a distance transform of the box around both masks,
which has the same values, costs 25 times as much where a few voxels of noise spread that box over the volume.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, spatial

from tfunc.kinds import MapError
from tfunc.scoring.foreground import Spacing, box, measured
from tfunc.scoring.surfels import surfels

Points = NDArray[np.int64]


def hd95(prediction: ArrayLike, label: ArrayLike, spacing: Spacing, penalty: float | None = None) -> float:
    """The larger of the two directed 95th percentiles of the distances between the surfaces, in mm; linear interpolation.

    prediction, label: [depth, height, width] or [height, width], non-zero is foreground.  spacing: of the voxels along each
    axis of the arrays, in mm (ones for a photograph: the result is in pixels).  penalty: what it is where one of them is
    empty; None: the image's diagonal. Raises `MapError` for shapes that differ and for what is no spacing.

    >>> hd95([[0, 1, 0, 0]], [[0, 0, 0, 1]], spacing=(1, 2))  # two voxels of 2 mm apart
    4.0
    """
    one, other, voxel = measured(prediction, label, spacing)
    if (settled := _empty(one, other, voxel, penalty)) is not None:
        return settled
    here, there = _border(one), _border(other)
    directed = _distances(here, there, voxel), _distances(there, here, voxel)
    return max(float(np.percentile(distances, 95)) for distances in directed)


def robust_hausdorff(
    prediction: ArrayLike, label: ArrayLike, spacing: Spacing, percent: float = 95, penalty: float | None = None
) -> float:
    """The larger of the two directed percentiles, in mm, weighted by area: the distance below which `percent` of it lies.

    It is the distance of one element, without interpolation. Arguments and errors as of `hd95`.
    """
    return apart(*measured(prediction, label, spacing), percent, penalty)


def apart(
    one: NDArray[np.bool_],
    other: NDArray[np.bool_],
    spacing: NDArray[np.float64],
    percent: float,
    penalty: float | None,
) -> float:
    """`robust_hausdorff` of masks as they are: an axis of length 1 may be that of a box in a larger array."""
    if (settled := _empty(one, other, spacing, penalty)) is not None:
        return settled
    return max(_percentile(distances, area, percent) for distances, area in _weighted(one, other, spacing))


def surface_dice(prediction: ArrayLike, label: ArrayLike, spacing: Spacing, tolerance: float) -> float:
    """The share of both surfaces' area that lies within `tolerance` mm of the other surface, in [0, 1].

    Arguments and errors as of `hd95`; a distance of exactly the tolerance is within it.

    >>> surface_dice([[0, 1, 0, 0]], [[0, 0, 1, 0]], spacing=(1, 1), tolerance=1)
    1.0
    """
    if not (isinstance(tolerance, numbers.Real) and math.isfinite(tolerance) and tolerance >= 0):
        raise MapError(f"expected a tolerance in mm, found {tolerance!r}")
    one, other, voxel = measured(prediction, label, spacing)
    if not (one.any() and other.any()):
        return float(one.any() == other.any())
    directed = _weighted(one, other, voxel)
    within = sum(area[distances <= tolerance].sum() for distances, area in directed)
    return float(within / sum(area.sum() for _, area in directed))


def diagonal(shape: Sequence[int], spacing: Spacing) -> float:
    """Of the whole image, in mm: as far as two of its points can be from each other."""
    return float(np.linalg.norm(np.multiply(shape, spacing)))


def _empty(one, other, spacing, penalty):
    """The distance where a mask is empty, None where none is."""
    if one.any() and other.any():
        return None
    if not (one.any() or other.any()):
        return 0.0
    return diagonal(one.shape, spacing) if penalty is None else float(penalty)


def _border(foreground: NDArray[np.bool_]) -> Points:
    """[n, d] indices of the voxels of the surface."""
    held = box(foreground)
    assert held is not None
    inside = foreground[held]
    shell = inside & ~ndimage.binary_erosion(inside)
    return _indices(shell) + [edge.start for edge in held]


def _indices(mask):
    """`np.argwhere`, several times sooner."""
    return np.stack(np.unravel_index(np.flatnonzero(mask), mask.shape), axis=1)


def _weighted(one, other, spacing):
    """((distances, areas), (distances, areas)): of the elements of each surface from the other."""
    (here, area), (there, other_area) = surfels(one, spacing), surfels(other, spacing)
    return (_distances(here, there, spacing), area), (_distances(there, here, spacing), other_area)


def _percentile(distances, area, percent):
    order = np.lexsort((area, distances))
    share = np.cumsum(area[order]) / np.sum(area[order])
    return float(distances[order[min(np.searchsorted(share, percent / 100), len(order) - 1)]])


def _distances(points: Points, others: Points, spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n] the distance of each point from the nearest of the others, in mm.

    Computed from the indices of both, so that whole steps of the spacing stay exact, whichever of equals the tree names.
    """
    tree = spatial.cKDTree(others * spacing, balanced_tree=False, compact_nodes=False)
    _, nearest = tree.query(points * spacing)
    steps = (points - others[nearest]) * spacing
    return np.sqrt(np.square(steps).sum(axis=1))
