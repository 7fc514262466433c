"""Maps with an axis more than space has: of one channel, or of a softmax's two. NumPy only."""

from __future__ import annotations

import pathlib

import numpy as np
from numpy.typing import NDArray

from data_prep.base.errors import UserError

DIMENSIONS = (1, 2, 3, 4, 5, 6, 7)  # all that NIfTI has: what of them is a map is decided here
SUM_TOLERANCE = 1e-2  # by which a softmax's channels may miss 1: float16 and 8 bits are coarser than rounding


def spatial(path: pathlib.Path, array: NDArray, softmax: bool = False) -> NDArray:
    """The map [depth, height, width] of a file's array, whose axes are the file's reversed.

    Axes of size 1 go, the file's last first, until three are left; an image of two gets a depth of 1. softmax: whether a
    first or last axis of two channels that add up to 1 may stand for a probability, which is the second channel, the
    foreground's. Raises `UserError` for anything else, with what to write instead.
    """
    found = _squeezed(array)
    if found.ndim == 2:
        return found[None]
    if found.ndim == 3:
        return found
    axis = softmax_axis(array.shape) if softmax else None
    if axis is None:
        raise UserError(path, expected=_expected(softmax), found=_xyz(array), do=_do(softmax))
    background, foreground = np.moveaxis(found, axis, 0)
    with np.errstate(invalid="ignore"):
        gap = np.abs(background.astype(np.float64) + foreground - 1)
    if (gap > SUM_TOLERANCE).any():  # NaN is somebody else's to judge
        found = (
            f"two that add up to {1 + gap[np.isfinite(gap)].max():g} or {1 - gap[np.isfinite(gap)].max():g} somewhere"
        )
        raise UserError(path, expected="two channels of a softmax, which add up to 1", found=found, do=_do(softmax))
    return np.ascontiguousarray(foreground)


def softmax_axis(shape: tuple[int, ...]) -> int | None:
    """The axis of two channels, 0 or 3, of a map whose array has this shape, or None: axes of size 1 are not counted."""
    sizes = _sizes(shape)
    ends = [axis for axis in (0, 3) if len(sizes) == 4 and sizes[axis] == 2]
    return ends[0] if len(ends) == 1 else None


def _sizes(shape):
    sizes = list(shape)
    while len(sizes) > 3 and 1 in sizes:
        sizes.remove(1)
    return sizes


def _squeezed(array):
    return array.reshape(_sizes(array.shape))


def _expected(softmax):
    one = "one map in space: 2 or 3 dimensions, beside channels of size 1"
    return f"{one}, or a softmax of 2 channels in the first or last" if softmax else one


def _do(softmax):
    what = "the foreground's channel" if softmax else "the one channel that is meant"
    return f"write {what} alone into the file"


def _xyz(array):
    return f"{array.ndim}: {'x'.join(map(str, array.shape[::-1]))}"
