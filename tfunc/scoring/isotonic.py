"""Isotonic regression of labels on probabilities: the best rising curve there is, a reference for what a temperature leaves.

It has as many free numbers as it likes and may make one of several probabilities, so it is no way to predict here. NumPy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfunc.scoring.odds import Odds


def rising(values: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """The rising [n] that is closest to `values` in weighted squares, by pooling adjacent violators. weights: above 0."""
    means: list[float] = []
    masses: list[float] = []
    sizes: list[int] = []
    for value, weight in zip(np.asarray(values, np.float64), np.asarray(weights, np.float64), strict=True):
        mean, mass, size = float(value), float(weight), 1
        while means and means[-1] >= mean:
            before = masses.pop()
            mean = (means.pop() * before + mean * mass) / (before + mass)
            mass, size = mass + before, size + sizes.pop()
        means.append(mean)
        masses.append(mass)
        sizes.append(size)
    return np.repeat(np.array(means, np.float64), sizes)


def of_odds(odds: Odds) -> NDArray[np.float32]:
    """[odds.CELLS] the calibrated probability of each cell; between cells without voxels, a straight line in the cells."""
    count = odds.voxels.sum(axis=1)
    used = np.flatnonzero(count)
    if not used.size:
        return np.full(len(count), 0.5, np.float32)
    fitted = rising(odds.voxels[used, 1] / count[used], count[used])
    return np.interp(np.arange(len(count)), used, fitted).astype(np.float32)
