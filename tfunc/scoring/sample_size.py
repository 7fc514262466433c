"""How many subjects one needs for an interval of a given width, from the subjects that there are. NumPy only.

It assumes that further subjects would be like these: drawn independently from the same scanners, sites and patients, with the
spread that these have. The spread is itself an estimate: from n subjects it is off by about 1 / sqrt(2 n) of itself, 16 % of
20, and twice that in the number that is needed. A mean of few, skewed values has intervals that are too narrow. Thresholds
stay as they were chosen. It says nothing of another training's networks, and a difference between two methods needs fewer
subjects than each method by itself, since their values on a subject rise and fall together.
"""

from __future__ import annotations

import math
import statistics

import numpy as np
from numpy.typing import NDArray

from tfunc.scoring import bootstrap
from tfunc.scoring.bootstrap import RESAMPLES, SEED

SIZES = (10, 20, 40, 80, 160, 320, 640)
WIDTHS = 0.02, 0.05
NORMAL = 2 * statistics.NormalDist().inv_cdf(0.975)  # width of a 95 % interval in standard errors


def width(values: NDArray, size: int, resamples: int = RESAMPLES, seed: int = SEED) -> float:
    """Of the 95 % interval of the mean of `size` subjects like these; NaN where fewer than two values are defined.

    values: [S] of a measure, NaN where undefined, which is left out. Up to as many subjects as there are, `size` of them are
    drawn with replacement, as in a bootstrap; beyond, the width is that of a normal mean, 2 x 1.96 deviations / sqrt(size).
    """
    known = defined(values)
    if len(known) < 2:
        return math.nan
    if size > len(known):
        return NORMAL * deviation(known) / math.sqrt(size)
    means = bootstrap.means(known, size, resamples, seed)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(high - low)


def needed(values: NDArray, wanted: float) -> float:
    """Subjects from which on a normal mean's 95 % interval is at most `wanted` wide, a whole number; NaN as of `width`."""
    known = defined(values)
    return math.nan if len(known) < 2 else float(max(math.ceil((NORMAL * deviation(known) / wanted) ** 2), 1))


def deviation(values: NDArray) -> float:
    """Standard deviation over subjects, with n - 1; NaN as of `width`."""
    known = defined(values)
    return float(known.std(ddof=1)) if len(known) > 1 else math.nan


def defined(values: NDArray) -> NDArray[np.float64]:
    """Those that are not NaN."""
    values = np.asarray(values, np.float64)
    return values[~np.isnan(values)]
