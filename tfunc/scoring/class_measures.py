"""The table of measures of a class map, beside that of a region in `measures`: all methods are compared in them.

A measure here is a function of `ClassMap`. An error is a voxel of a wrong class.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tfunc.scoring import metrics
from tfunc.scoring.classes import ClassMap
from tfunc.scoring.measures import Measure


def top_label_error(found: ClassMap) -> np.float64:
    """ECE of the top label: its probability, or 1 - u/2 of an uncertainty u, against its being right."""
    return metrics.calibration_error(found.overall)


def class_wise_error(found: ClassMap) -> np.float64:
    """Mean over the classes, absent ones included, of the ECE of the class's probability; NaN of what is no probability."""
    errors = [metrics.calibration_error(counts) for counts in found.by_class]
    return np.float64(np.mean(errors) if errors else np.nan)


def mean_dice(found: ClassMap) -> np.float64:
    """Mean over the regions of their Dice."""
    return np.float64(np.mean(found.dice) if found.dice else np.nan)


def error_overlap(found: ClassMap) -> NDArray[np.float64]:
    """[11] U-E: Dice of the voxels of a wrong class and the uncertain voxels; NaN where there are neither."""
    return metrics.error_overlap(found.overall)


def error_precision(found: ClassMap) -> NDArray[np.float64]:
    """[11] Share of the uncertain voxels that are of a wrong class; NaN where none is uncertain."""
    return metrics.error_precision(found.overall)


def error_recall(found: ClassMap) -> NDArray[np.float64]:
    """[11] Share of the voxels of a wrong class that are uncertain; NaN where there is none."""
    return metrics.error_recall(found.overall)


def accuracy(found: ClassMap) -> np.float64:
    """Share of voxels of the right class, over the whole volume."""
    return metrics.accuracy(found.overall)


def confidence_gap(found: ClassMap) -> np.float64:
    """Unweighted mean of the signed gaps of the top label over non-empty bins; positive is under-confident."""
    return metrics.confidence_gap(found.overall)


CLASS_MEASURES = {
    measure.name: measure
    for measure in (
        Measure(
            "ece_top",
            "top-label ECE %",
            top_label_error,
            "calibration error of the highest probability against its class being right, mean over subjects",
            direction="lower",
            scale=100,
            table1=True,
            column="ece",
            note="inside the mask, as all calibration; of an uncertainty u the confidence is 1 - u/2",
        ),
        Measure(
            "ece_class",
            "class-wise ECE %",
            class_wise_error,
            "calibration error of each class's probability, mean over classes and subjects",
            direction="lower",
            scale=100,
            table1=True,
            note="of probabilities only; classes that a subject lacks are included",
        ),
        Measure(
            "ue",
            "U-E",
            error_overlap,
            "overlap (Dice) of the voxels of a wrong class and the uncertain voxels, mean over subjects",
            by_threshold=True,
            table1=True,
            curve="U-E, uncertainty-error overlap",
        ),
        Measure("dice", "mean Dice", mean_dice, "Dice of the regions, mean over regions and subjects", table1=True),
        Measure("accuracy", "accuracy", accuracy, "share of voxels of the right class"),
        Measure(
            "confidence_gap",
            "confidence gap",
            confidence_gap,
            "mean signed calibration gap of the top label; above 0 is under-confident",
            direction="zero",
        ),
        Measure(
            "error_precision",
            "error precision",
            error_precision,
            "share of the uncertain voxels that are of a wrong class, mean over subjects",
            by_threshold=True,
            curve="error precision",
            undefined=1.0,
        ),
        Measure(
            "error_recall",
            "error recall",
            error_recall,
            "share of the voxels of a wrong class that are uncertain, mean over subjects",
            by_threshold=True,
            curve="error recall",
            undefined=1.0,
        ),
    )
}
