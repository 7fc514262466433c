"""The one table of companions of Dice: numbers of one region of one subject that are no function of its counts. NumPy, SciPy.

A companion is a function of `RegionMaps`; a new one is a function here and a row of `COMPANIONS`. Distances are in mm, those of
photographs in pixels. Empty masks: both empty is a distance of 0 and a surface Dice of 1; one empty, the distance is the image's
diagonal, and the surface Dice 0.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tfunc.scoring import lesion_wise, lesions, qu_brats, surface
from tfunc.scoring.lesion_curves import Tally
from tfunc.scoring.lesions import Lesion
from tfunc.scoring.volume_difference import volume_difference

TOLERANCE = 1.0  # mm, or pixels: surfaces that are no further from each other agree


@dataclasses.dataclass(frozen=True)
class RegionMaps:
    """One region of one subject, arrays [depth, height, width], or [height, width] of one slice.

    uncertainty, probability: in [0, 1], on the scale that is evaluated.  prediction, label: bool; without the voxels that count
    nowhere.  mask: bool, which voxels count where calibration is measured; None: all.  sides: of a voxel along each axis in
    mm, 1 of a photograph's pixel.  voxel: its volume in ml, 1 of a pixel.  tolerance: of the surface Dice.
    """

    uncertainty: NDArray[np.floating]
    probability: NDArray[np.floating]
    prediction: NDArray[np.bool_]
    label: NDArray[np.bool_]
    mask: NDArray[np.bool_] | None
    sides: tuple[float, ...]
    voxel: float = 1.0
    tolerance: float = TOLERANCE

    @property
    def has_penalty(self) -> bool:
        """Whether one of label and prediction is empty and the other is not: there is no distance between them."""
        return bool(self.label.any()) != bool(self.prediction.any())

    @functools.cached_property
    def filtered(self) -> dict[str, Any]:
        """See `qu_brats.qu_brats`, once for the companions that are parts of it."""
        return qu_brats.qu_brats(self.uncertainty, self.prediction, self.label, self.mask)

    @functools.cached_property
    def lesions(self) -> tuple[Lesion, ...]:
        """See `lesions.lesions`."""
        return lesions.lesions(self.prediction, self.label, self.uncertainty, self.sides)

    @functools.cached_property
    def tally(self) -> Tally:
        """Of its lesions."""
        return Tally.of(self.lesions)

    @functools.cached_property
    def challenge(self) -> dict[str, Any]:
        """See `lesion_wise.lesion_scores`; undefined in a plane, where volumes in mm^3 leave nothing out."""
        if self.prediction.ndim < 3:
            return {"dice": math.nan, "hd95": math.nan}
        return lesion_wise.lesion_scores(self.prediction, self.label, self.sides)


@dataclasses.dataclass(frozen=True)
class Companion:
    """A row of `COMPANIONS`.

    name: of its column in subjects.csv.  title: for people, with its unit for volumes.  definition: half a sentence.  direction:
    which values are better, or none.  digits: as printed.  is_surface: whether it takes distances, which are the slow part.
    has_mean: whether its mean over subjects or regions says something, and is a column of companions.csv.
    """

    name: str
    title: str
    function: Callable[[RegionMaps], float]
    definition: str
    direction: Literal["higher", "lower", "zero", ""] = ""
    digits: int = 3
    is_surface: bool = False
    has_mean: bool = True


def hd95(maps: RegionMaps) -> float:
    """See `surface.hd95`."""
    return surface.hd95(maps.prediction, maps.label, maps.sides)


def surface_dice(maps: RegionMaps) -> float:
    """See `surface.surface_dice`."""
    return surface.surface_dice(maps.prediction, maps.label, maps.sides, maps.tolerance)


def volume(maps: RegionMaps) -> float:
    """Of the segmentation, in ml; of a photograph in pixels."""
    return float(np.count_nonzero(maps.prediction) * maps.voxel)


def true_volume(maps: RegionMaps) -> float:
    """Of the label, in ml; of a photograph in pixels."""
    return float(np.count_nonzero(maps.label) * maps.voxel)


def relative_difference(maps: RegionMaps) -> float:
    """See `volume_difference.VolumeDifference.relative`."""
    return volume_difference(maps.prediction, maps.label, maps.sides).relative


def expected_volume(maps: RegionMaps) -> float:
    """The sum of the probabilities, in ml; of a photograph in pixels."""
    return float(maps.probability.sum(dtype=np.float64) * maps.voxel)


COMPANIONS = {
    row.name: row
    for row in (
        Companion(
            "hd95",
            "HD95",
            hd95,
            "the larger of the two directed 95th percentiles of the distances between surfaces, in mm (photographs: pixels)",
            direction="lower",
            digits=2,
            is_surface=True,
        ),
        Companion(
            "surface_dice",
            "surface Dice",
            surface_dice,
            f"share of both surfaces' area within a tolerance of the other, {TOLERANCE:g} mm or what --surface_tolerance says "
            "(photographs: pixels)",
            direction="higher",
            is_surface=True,
        ),
        Companion(
            "volume_difference",
            "volume difference",
            lambda maps: volume(maps) - true_volume(maps),
            "segmented minus true volume, in ml (photographs: pixels)",
            direction="zero",
        ),
        Companion(
            "volume_relative",
            "relative difference",
            relative_difference,
            "volume difference over the true volume; undefined where that is 0",
            direction="zero",
        ),
        Companion(
            "qu_brats",
            "QU-BraTS",
            lambda maps: maps.filtered["score"],
            "mean of the area under the Dice of the voxels that are sure enough and of one minus the areas under the shares of "
            "true positives and true negatives that are filtered, over thresholds from 0 to 1",
            direction="higher",
        ),
        Companion(
            "qu_dice_auc",
            "QU-BraTS Dice",
            lambda maps: maps.filtered["dice_auc"],
            "area under the Dice of the voxels whose uncertainty is at most a threshold, over thresholds from 0 to 1",
            direction="higher",
        ),
        Companion(
            "qu_ftp_auc",
            "QU-BraTS FTP",
            lambda maps: maps.filtered["ftp_auc"],
            "area under the share of true positives that are filtered, over the same thresholds",
            direction="lower",
        ),
        Companion(
            "qu_ftn_auc",
            "QU-BraTS FTN",
            lambda maps: maps.filtered["ftn_auc"],
            "area under the share of true negatives that are filtered, inside what calibration is measured of",
            direction="lower",
        ),
        Companion(
            "lesion_f1",
            "lesion F1",
            lambda maps: float(maps.tally.f1.values[-1]),
            f"F1 of lesions, found where two of an IoU of {lesions.MATCH:g} or more match; 1 where there are none",
            direction="higher",
        ),
        Companion(
            "lesion_f1_auc",
            "lesion F1 retention",
            lambda maps: maps.tally.f1.under,
            "area under the lesion F1 as the most uncertain lesions are corrected, over the share that is not",
            direction="higher",
        ),
        Companion(
            "lesion_dice",
            "lesion-wise Dice",
            lambda maps: maps.challenge["dice"],
            "mean Dice of lesions as BraTS 2023 counts them (GLI), missed and false ones 0; volumes only",
            direction="higher",
            is_surface=True,
        ),
        Companion(
            "lesion_hd95",
            "lesion-wise HD95",
            lambda maps: maps.challenge["hd95"],
            f"mean HD95 of the same lesions in mm, missed and false ones {lesion_wise.PENALTY:g}; volumes only",
            direction="lower",
            digits=2,
            is_surface=True,
        ),
        Companion("volume", "volume", volume, "segmented volume in ml (photographs: pixels)", has_mean=False),
        Companion("true_volume", "true volume", true_volume, "the label's", has_mean=False),
        Companion(
            "expected_volume",
            "expected volume",
            expected_volume,
            "the sum of the probabilities, also of what a floor in the background adds up to",
            has_mean=False,
        ),
    )
}


def of_maps(maps: RegionMaps, surfaces: bool = True) -> dict[str, float]:
    """{companion: value}, NaN where undefined or, of distances, not asked for (surfaces)."""
    return {
        name: row.function(maps) if surfaces or not row.is_surface else math.nan for name, row in COMPANIONS.items()
    }
