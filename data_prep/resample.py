"""Slices at another size in their plane: numbers linearly, whole numbers (labels, classes) by the nearest voxel. NumPy only.

The picture's outer edges stay where they are: voxel i of n, whose centre lies at (i + 1/2) / n of the extent, is looked up at
that place. So an image that is brought to another grid and back stays in place, whatever rounding made of its size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PIECE = 8  # slices at a time, which bounds what float64 copies take


def in_plane(array: NDArray, size: tuple[int, int]) -> NDArray:
    """An array [depth, height, width, …] with slices of the (height, width) `size`, in its own dtype.

    Floating-point numbers are interpolated linearly between the voxels' centres, and keep the value of the outermost beyond
    them; all others are those of the nearest voxel. The same array where the size is the same.
    """
    if array.shape[1:3] == tuple(size):
        return array
    if array.dtype.kind != "f":
        rows, columns = (_nearest(old, new) for old, new in zip(array.shape[1:3], size, strict=True))
        return array[:, rows[:, None], columns[None, :]]
    out = np.empty((len(array), *size, *array.shape[3:]), array.dtype)
    for start in range(0, len(array), PIECE):
        piece = array[start : start + PIECE]
        for axis, new in ((1, size[0]), (2, size[1])):
            piece = _linear(piece, axis, new)
        out[start : start + PIECE] = piece
    return out


def _places(old, new):
    """Where the centres of `new` voxels lie among those of `old` voxels of the same extent."""
    return (np.arange(new) + 0.5) * (old / new) - 0.5


def _nearest(old, new):
    return np.clip(np.floor(_places(old, new) + 0.5).astype(np.intp), 0, old - 1)


def _linear(array, axis, new):
    old = array.shape[axis]
    if old == new:
        return array
    places = np.clip(_places(old, new), 0, old - 1)
    low = np.minimum(np.floor(places).astype(np.intp), max(old - 2, 0))
    weight = (places - low).reshape([-1 if at == axis else 1 for at in range(array.ndim)])
    below, above = array.take(low, axis), array.take(np.minimum(low + 1, old - 1), axis)
    return below + (above - below) * weight.astype(array.dtype)
