"""A map of foreground probabilities as a histogram of its log-odds: what a temperature, a threshold and a curve are fitted on.

16,384 cells of equal width in log-odds between those of 2^-24 and 1 - 2^-24, each with its voxels and the sum of their log-odds
by label. A cell is 0.002 wide and known by its mean, so a temperature comes out as of the voxels themselves within 1e-5, while
memory is half a megabyte however many voxels and subjects there are. NumPy and SciPy only.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray
from scipy import special

from tfunc.kinds import CLIP
from tfunc.scoring.temperature import BLOCK, Fitted, logit, of_margins

CELLS = 1 << 14
_LIMIT = float(special.logit(1 - CLIP))
_WIDTH = 2 * _LIMIT / CELLS


@dataclasses.dataclass(frozen=True)
class Odds:
    """voxels: int64 [CELLS, 2] by cell and label.  sums: float64 [CELLS, 2] of their log-odds. `a + b` pools them."""

    voxels: NDArray[np.int64]
    sums: NDArray[np.float64]

    def __add__(self, other: Odds) -> Odds:
        return Odds(self.voxels + other.voxels, self.sums + other.sums)

    def fitted(self) -> Fitted | None:
        """The temperature of these voxels; None where there are none."""
        cell, label = np.nonzero(self.voxels)
        if not cell.size:
            return None
        weights = self.voxels[cell, label].astype(np.float64)
        return of_margins(np.where(label, 1.0, -1.0) * self.sums[cell, label] / weights, weights)


def empty() -> Odds:
    """`Odds` of no voxels, the neutral element of addition."""
    return Odds(np.zeros((CELLS, 2), np.int64), np.zeros((CELLS, 2)))


def count(probability: NDArray, label: NDArray) -> Odds:
    """`Odds` of a map. probability: of the foreground, in [0, 1]; label: the same shape, non-zero is foreground."""
    values, target = np.asarray(probability).reshape(-1), np.asarray(label).reshape(-1)
    voxels, sums = np.zeros(2 * CELLS, np.int64), np.zeros(2 * CELLS)
    for start in range(0, values.size, BLOCK):
        own = logit(values[start : start + BLOCK])
        index = 2 * _cell(own) + (target[start : start + BLOCK] != 0)
        voxels += np.bincount(index, minlength=2 * CELLS)
        sums += np.bincount(index, weights=own, minlength=2 * CELLS)
    return Odds(voxels.reshape(CELLS, 2), sums.reshape(CELLS, 2))


def _cell(own):
    return np.minimum(((own + _LIMIT) * (1 / _WIDTH)).astype(np.intp), CELLS - 1)


def cells(probability: NDArray) -> NDArray[np.intp]:
    """The cell of each probability in [0, 1]; 0 to CELLS - 1, the array's shape."""
    return _cell(logit(probability))


@functools.cache
def thresholds() -> NDArray[np.float32]:
    """[CELLS] rising probabilities: `p >= thresholds()[k]` holds in cell k and above, 0 being the first; to be read only.

    Each is a float32 step below its cell's edge, so that no voxel of the cell is lost by rounding.
    """
    edges = special.expit(-_LIMIT + _WIDTH * np.arange(CELLS)).astype(np.float32)
    found = np.nextafter(edges, np.float32(0))
    found[0] = 0
    found.flags.writeable = False
    return found


def missed(probability: NDArray) -> NDArray[np.float64] | None:
    """[CELLS] the share of a lesion's voxels that lie below each of `thresholds()`; rising from 0. None without a voxel.

    probability: of the lesion's voxels, in [0, 1]. It is counted by cell, which is never less than the true share.
    """
    values = np.asarray(probability).reshape(-1)
    if not values.size:
        return None
    voxels = np.bincount(cells(values), minlength=CELLS)
    return np.concatenate([[0], voxels.cumsum()[:-1]]) / values.size
