"""What is foreground in given arrays, which are of one shape and have a spacing, and the box that holds it. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfunc.kinds import MapError

Box = tuple[slice, ...]
Spacing = Sequence[float] | NDArray[np.floating]


def mask_of(values: ArrayLike) -> NDArray:
    """An array whose numbers that are not zero are foreground; raises `MapError` for what can't say so: NaN, text, None."""
    found = np.asarray(values)
    if found.dtype.kind not in "biuf" or (found.dtype.kind == "f" and np.isnan(found).any()):
        what = "NaN" if found.dtype.kind == "f" else f"values of {found.dtype}"
        raise MapError(f"expected a mask of numbers, found {what}")
    return found


def foregrounds(*arrays: ArrayLike) -> list[NDArray[np.bool_]]:
    """Where each array is not zero. Raises `MapError` unless they all have one shape, of two or three axes."""
    found = [mask_of(array) for array in arrays]
    same_shape(*found)
    if found[0].ndim not in (2, 3):
        raise MapError(f"expected arrays of two or three axes, found shape {found[0].shape}")
    return [array if array.dtype == bool else array != 0 for array in found]


def same_shape(*arrays: NDArray) -> None:
    """Raises `MapError` where shapes differ: nothing is broadcast."""
    if len({array.shape for array in arrays}) > 1:
        raise MapError(f"shapes that differ: {', '.join(str(array.shape) for array in arrays)}")


def spacing_of(spacing: Spacing, axes: int) -> NDArray[np.float64]:
    """[axes] the distance of neighbouring voxels along each axis of the array, float64; raises `MapError` for any other."""
    found = np.asarray(spacing, np.float64)
    if found.shape != (axes,) or not (np.isfinite(found) & (found > 0)).all():
        raise MapError(f"expected a spacing of {axes} positive numbers, found {np.asarray(spacing).tolist()}")
    return found


def measured(
    prediction: ArrayLike, label: ArrayLike, spacing: Spacing
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    """Two masks and their spacing, without the axis of length 1 of a flat volume: a photograph [1, height, width] is an image.

    Raises `MapError` as `foregrounds` and `spacing_of` do.
    """
    one, other = foregrounds(prediction, label)
    voxel = spacing_of(spacing, one.ndim)
    if one.ndim == 3 and one.shape.count(1) == 1:
        flat = one.shape.index(1)
        one, other, voxel = one.squeeze(flat), other.squeeze(flat), np.delete(voxel, flat)
    return one, other, voxel


def box(foreground: NDArray[np.bool_], margin: int = 0) -> Box | None:
    """The smallest box that holds all foreground, grown by `margin` voxels within the array; None where there is none."""
    used = []
    for axis in range(foreground.ndim):
        at = np.flatnonzero(foreground.any(axis=tuple(other for other in range(foreground.ndim) if other != axis)))
        if not at.size:
            return None
        used.append(slice(max(int(at[0]) - margin, 0), min(int(at[-1]) + 1 + margin, foreground.shape[axis])))
    return tuple(used)
