"""By how much the segmented volume differs from the true one. NumPy only."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike

from tfunc.scoring.foreground import Spacing, foregrounds, spacing_of


@dataclasses.dataclass(frozen=True)
class VolumeDifference:
    """Prediction minus label: above 0 too much was segmented.

    size: in mm^3 of a volume; in mm^2 of an image, which are pixels where the spacing is 1.
    relative: size over the label's, from -1 on; 0 where both are empty, NaN, undefined, where only the label is.
    """

    size: float
    relative: float

    @property
    def ml(self) -> float:
        """The size of a volume in millilitres."""
        return self.size / 1000


def volume_difference(prediction: ArrayLike, label: ArrayLike, spacing: Spacing) -> VolumeDifference:
    """`VolumeDifference` of two masks, non-zero is foreground; arguments and errors as of `surface.hd95`."""
    found, truth = foregrounds(prediction, label)
    voxel = float(np.prod(spacing_of(spacing, found.ndim)))
    segmented, true = int(np.count_nonzero(found)), int(np.count_nonzero(truth))
    if true:
        relative = (segmented - true) / true
    else:
        relative = math.nan if segmented else 0.0
    return VolumeDifference((segmented - true) * voxel, relative)
