"""What it costs to set uncertain voxels to background: the change of Dice at each threshold, over all subjects. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfunc.scoring import statistics
from tfunc.scoring.statistics import Scores


def removal(scores: Scores | None) -> dict[str, Any] | None:
    """At each threshold the mean over subjects of corrected minus plain Dice, and in how many it rises and falls; `dice`, their
    mean before. None where nothing is corrected, as of a class map.
    """
    if scores is None or "corrected_dice" not in scores.values:
        return None
    dice, corrected = scores["dice"], scores["corrected_dice"]
    change = corrected - dice[:, np.newaxis]
    if np.isnan(statistics.mean(change)).any():
        return None
    return {
        "dice": float(statistics.mean(dice)),
        "change": statistics.mean(change).tolist(),
        "rises": (change > 0).sum(axis=0).tolist(),
        "falls": (change < 0).sum(axis=0).tolist(),
    }
