"""The voxels near a target: its foreground, grown by a margin. NumPy only.

Where nothing says inside what calibration is measured, background that every network is sure of hides all else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tfunc.scoring.foreground import box

VOXELS = 5  # of the margin, along every axis that has more than one


def near(target: NDArray, voxels: int = VOXELS) -> NDArray[np.bool_]:
    """bool: the voxels at most `voxels` from the foreground along each axis, itself included; a box around each of them.

    target: [depth, height, width], non-zero is foreground. A photograph, of depth 1, is grown in its plane. An empty target
    has nothing near it.
    """
    foreground = np.asarray(target) != 0
    out = np.zeros_like(foreground)
    held = box(foreground, voxels)
    if held is None:
        return out
    grown = foreground[held]
    for axis in range(foreground.ndim):
        grown = _grown(grown, axis, voxels)
    out[held] = grown
    return out


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
