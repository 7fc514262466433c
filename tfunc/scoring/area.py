"""The area under a curve. NumPy only: `scipy.integrate`, which has the same, imports all of SciPy's optimizers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def under(values: ArrayLike, places: ArrayLike) -> Any:
    """By trapezoids, over the last axis: float64, without that axis.

    values: [..., points] at places: [points] or [..., points], which rise.
    """
    heights = np.asarray(values, np.float64)
    return ((heights[..., 1:] + heights[..., :-1]) / 2 * np.diff(places)).sum(axis=-1)
