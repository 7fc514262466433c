"""Measures of segmentations and of their uncertainty, for anyone's arrays: NumPy in, floats or dicts out.

    from tfunc import metrics
    metrics.hd95(prediction, label, spacing=(5, 1, 1))

Arrays are anything that NumPy reads as one, [depth, height, width] or [height, width] where there is a spacing, else of any
shape. Masks are non-zero in the foreground. Uncertainties and probabilities lie in [0, 1]. A spacing is in mm along each axis of
the arrays; of a photograph it is (1, 1), and distances are in pixels. Nothing is broadcast: shapes that differ, and values
that are none of a measure, raise a `ValueError` or a `data_prep.base.errors.UserError` of one line.
"""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfunc.kinds import MapError
from tfunc.scoring import counts, metrics
from tfunc.scoring import lesion_wise as _lesion_wise
from tfunc.scoring import volume_difference as _volume_difference
from tfunc.scoring.counts import Counts
from tfunc.scoring.foreground import Spacing
from tfunc.scoring.ged import ged
from tfunc.scoring.qu_brats import qu_brats
from tfunc.scoring.risk_coverage import risk_coverage
from tfunc.scoring.surface import hd95, surface_dice

__all__ = [
    "dice",
    "ece",
    "ged",
    "hd95",
    "lesion_wise",
    "qu_brats",
    "reliability",
    "risk_coverage",
    "surface_dice",
    "uncertainty_error",
    "volume_difference",
]


def dice(prediction: ArrayLike, label: ArrayLike) -> float:
    """2 TP / (2 TP + FP + FN) of two masks of one shape, in [0, 1]; 1 where both are empty.

    >>> round(dice([1, 1, 0, 0], [1, 0, 0, 0]), 4)  # one right, one too many
    0.6667
    """
    sure = np.broadcast_to(np.float32(0), np.shape(prediction))
    return float(metrics.dice(_counts(counts.uncertainty_counts(sure, prediction, label, thresholds=()))))


def ece(probability: ArrayLike, label: ArrayLike, mask: ArrayLike | None = None, bins: int = counts.BINS) -> float:
    """The expected calibration error of a foreground probability, in [0, 1], as a share (not per cent).

    The mean over voxels of |mean probability - share of foreground| of their bin. probability: in [0, 1].  label: the same
    shape, non-zero is foreground.  mask: likewise, which voxels count; None: all.  bins: of equal width, left-closed, 1
    in the last. NaN where no voxel counts.

    >>> round(ece([0.9, 0.9, 0.2, 0.2], [1, 0, 0, 0]), 4)  # half of |0.9 - 0.5| and half of |0.2 - 0|
    0.3
    """
    return float(metrics.calibration_error(_calibration(probability, label, mask, bins)))


def reliability(
    probability: ArrayLike, label: ArrayLike, mask: ArrayLike | None = None, bins: int = counts.BINS
) -> dict[str, Any]:
    """The reliability diagram that `ece` is of, by bin: lower and upper edge, count of voxels, mean_probability,
    positive_fraction, the share of them that are foreground; the last two NaN in empty bins. Arrays [bins]; arguments as there.

    >>> found = reliability([0.9, 0.9, 0.2, 0.2], [1, 0, 0, 0], bins=2)
    >>> found["count"].tolist(), found["mean_probability"].tolist(), found["positive_fraction"].tolist()
    ([2, 2], [0.2, 0.9], [0.0, 0.5])
    """
    found = metrics.calibration(_calibration(probability, label, mask, bins))
    edges = counts.edges(bins)
    return {"lower": edges[:-1], "upper": edges[1:], **dataclasses.asdict(found)}


def uncertainty_error(uncertainty: ArrayLike, prediction: ArrayLike, label: ArrayLike, threshold: float) -> float:
    """The uncertainty-error overlap U-E: Dice of the voxels that are wrong and of those whose uncertainty is > threshold.

    uncertainty: in [0, 1].  prediction, label: the same shape, non-zero is foreground.  NaN where nothing is wrong and nothing
    uncertain.

    >>> uncertainty_error([0.9, 0.2, 0.8, 0.1], [1, 1, 0, 0], [1, 0, 1, 0], threshold=0.5)  # two wrong, two unsure, one both
    0.5
    """
    if not (isinstance(threshold, numbers.Real) and 0 <= threshold <= 1):
        raise MapError(f"expected a threshold in [0, 1], found {threshold!r}")
    found = counts.uncertainty_counts(uncertainty, prediction, label, thresholds=(threshold,))
    return float(metrics.error_overlap(_counts(found))[0])


def lesion_wise(prediction: ArrayLike, label: ArrayLike, spacing: Spacing, challenge: str = "GLI") -> dict[str, Any]:
    """Lesion-wise dice and hd95 of one region as BraTS 2023 scores them, and the counts and lesions that they are of.

    `tfunc.scoring.lesion_wise` says what each entry is and how it is counted; here `lesions` is a list of dicts.

    >>> cube = np.zeros((8, 8, 8))
    >>> cube[2:6, 2:6, 2:6] = 1
    >>> found = lesion_wise(cube, cube, (1, 1, 1))
    >>> found["dice"], found["true_positives"], found["false_positives"]
    (1.0, 1, 0)
    """
    found = _lesion_wise.lesion_wise(prediction, label, spacing, challenge)
    return {**found, "lesions": [dataclasses.asdict(lesion) for lesion in found["lesions"]]}


def volume_difference(prediction: ArrayLike, label: ArrayLike, spacing: Spacing) -> dict[str, float]:
    """By how much more was segmented than there is: ml of a volume, and relative to the label's volume.

    relative is 0 where both are empty and NaN, undefined, where only the label is. Of an image, ml is mm^2 over 1000.

    >>> volume_difference([[[1, 1]], [[1, 1]]], [[[1, 1]], [[0, 0]]], spacing=(10, 10, 10))  # 4 ml where there are 2
    {'ml': 2.0, 'relative': 1.0}
    """
    found = _volume_difference.volume_difference(prediction, label, spacing)
    return {"ml": found.ml, "relative": found.relative}


def _counts(uncertainty: NDArray[np.int64]) -> Counts:
    return dataclasses.replace(counts.empty_counts(), uncertainty=uncertainty)


def _calibration(probability: ArrayLike, label: ArrayLike, mask: ArrayLike | None, bins: int) -> Counts:
    if not isinstance(bins, (int, np.integer)) or isinstance(bins, bool) or bins < 1:
        raise MapError(f"expected bins from 1 on, found {bins!r}")
    voxels, sums = counts.calibration_counts(probability, label, mask, bins)
    return dataclasses.replace(counts.empty_counts(), calibration=voxels, probability=sums)
