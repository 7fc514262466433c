"""Maps with an axis more than space has: of one channel, or of a softmax's two. NumPy only."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data_prep.base.errors import UserError

DIMENSIONS = (1, 2, 3, 4, 5, 6, 7)  # all that NIfTI has: what of them is a map is decided here
SUM_TOLERANCE = 1e-2  # by which a softmax's channels may miss 1: float16 and 8 bits are coarser than rounding
_BLOCK = 1 << 15  # voxels whose sums are held at a time


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


def class_first(path: pathlib.Path, array: NDArray, space: tuple[int, ...], counts: Sequence[int]) -> NDArray:
    """A view [class, depth, height, width] of a file's array, whose axes are the file's reversed.

    space: (depth, height, width) of the label.  counts: how many channels there may be. The classes are the file's last axis,
    or its first; axes of size 1 are not counted. Where both ends fit, the one along which the channels add up to 1 is meant.
    Raises `UserError` for anything else.
    """
    sizes = [size for size in space if size > 1]
    squeezed = array.reshape([size for size in array.shape if size > 1])
    found = [
        np.moveaxis(squeezed, axis, 0)
        for axis in (0, -1)
        if squeezed.ndim == len(sizes) + 1
        and squeezed.shape[axis] in counts
        and list(np.moveaxis(squeezed, axis, 0).shape[1:]) == sizes
    ]
    if not found:
        wanted = " or ".join(map(str, dict.fromkeys(counts)))
        expected = f"{wanted} channels, the last axis or the first, of the label's {'x'.join(map(str, space[::-1]))}"
        do = "write the probability of every class, the background first"
        raise UserError(path, expected=expected, found="x".join(map(str, array.shape[::-1])), do=do)
    chosen = found[0] if len(found) == 1 or sum_gap(found[0]) <= SUM_TOLERANCE else found[1]
    return chosen.reshape(len(chosen), *space)


def sum_gap(channels: NDArray) -> float:
    """By how much the channels, the first axis, miss 1 at most; NaN is left out. Computed in blocks."""
    if not channels.flags.c_contiguous:
        return max(_gap(channels[:, index]) for index in range(channels.shape[1]))
    flat = channels.reshape(len(channels), -1)
    return max(_gap(flat[:, start : start + _BLOCK]) for start in range(0, flat.shape[1], _BLOCK))


def _gap(channels):
    total = channels.sum(axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.abs(total - 1)
    return float(np.nanmax(gap, initial=0))


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
