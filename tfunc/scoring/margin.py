"""The voxels near a target: its foreground, grown by a margin. NumPy only.

Where nothing says inside what calibration is measured, background that every network is sure of hides all else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VOXELS = 5  # of the margin, along every axis that has more than one


def near(target: NDArray, voxels: int = VOXELS) -> NDArray[np.bool_]:
    """bool: the voxels at most `voxels` from the foreground along each axis, itself included; a box around each of them.

    target: [depth, height, width], non-zero is foreground. A photograph, of depth 1, is grown in its plane. An empty target
    has nothing near it.
    """
    foreground = np.asarray(target) != 0
    out = np.zeros_like(foreground)
    used = [np.flatnonzero(foreground.any(axis=_but(axis, foreground.ndim))) for axis in range(foreground.ndim)]
    if not used[0].size:
        return out
    box = tuple(slice(max(int(at[0]) - voxels, 0), int(at[-1]) + 1 + voxels) for at in used)
    grown = foreground[box]
    for axis in range(foreground.ndim):
        grown = _grown(grown, axis, voxels)
    out[box] = grown
    return out


def _but(axis, count):
    return tuple(other for other in range(count) if other != axis)


def _grown(array, axis, voxels):
    """Along one axis, in steps that double: a run of 2k + 1 voxels is a run of k, moved and joined."""
    array, reach = np.moveaxis(array, axis, 0), 0
    while reach < voxels:
        step = min(reach + 1, voxels - reach)
        moved = array.copy()
        moved[step:] |= array[:-step]
        moved[:-step] |= array[step:]
        array, reach = moved, reach + step
    return np.moveaxis(array, 0, axis)
