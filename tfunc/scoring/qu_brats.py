"""The QU-BraTS score of an uncertainty map: what filtering by it does to Dice, and what it takes away that was right.

Mehta et al., MELBA 2022:026; RagMeh11/QU-BraTS. At a threshold the voxels that are less sure, *strictly*, are filtered: set to
background in prediction and label. Dice is of the whole volume; the shares of filtered true positives and true negatives
are of the voxels in the mask. Areas are under these curves by trapezoids, over thresholds in equal steps from 0 to 1.

The challenge's maps hold 0 to 100 and its thresholds are 100 k / levels. Ours hold 0 to 1. Thresholds are k / levels, rounded to
the map's own dtype, so that a challenge's map over 100 lies on the same side of each: both are the rounded value of one
fraction, in float32 as in float64. NumPy only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tfunc.kinds import MapError
from tfunc.scoring import area
from tfunc.scoring.counts import BLOCK, block, flat, outcome_codes, within_unit

LEVELS = 40


def qu_brats(
    uncertainty: ArrayLike, prediction: ArrayLike, label: ArrayLike, mask: ArrayLike | None = None, levels: int = LEVELS
) -> dict[str, Any]:
    """The score of one region of one subject, its three areas, and their curves.

    uncertainty: in [0, 1], float32 or float64 (other types become float32), any shape.  prediction, label: the same shape,
    non-zero is foreground.  mask: the same shape, non-zero is where true positives and negatives are counted (the brain);
    None: everywhere.  levels: steps between the thresholds 0 and 1.

    Returns score, (dice_auc + 1 - ftp_auc + 1 - ftn_auc) / 3; dice_auc, ftp_auc, ftn_auc; float64 [levels + 1] each:
    thresholds, dice (1 where both are empty), ftp, ftn (0 where there are none to filter). All in [0, 1]. Raises `MapError` for
    shapes that differ, NaN, and values outside [0, 1].

    >>> found = qu_brats([0.9, 0.1, 0.1, 0.1], [1, 1, 0, 0], [0, 1, 0, 0])  # the one error is unsure
    >>> round(found["dice_auc"], 4), found["ftp_auc"] < 0.15
    (0.9625, True)
    """
    if not isinstance(levels, (int, np.integer)) or levels < 1:
        raise MapError(f"expected levels from 1 on, found {levels!r}")
    values, found, truth, inside = flat(uncertainty, prediction, label, mask)
    if values.size:
        values = within_unit(values)
    thresholds = np.arange(levels + 1) / levels
    voxels = np.zeros((levels + 1) * 8, np.int64)
    for start in range(0, values.size, BLOCK):
        value, *others = block([values, found, truth, inside], start)
        codes = outcome_codes(*others)
        counted = np.flatnonzero(codes)  # not the true negatives outside the mask, which are most of a volume
        filtered = np.searchsorted(
            thresholds.astype(values.dtype), value[counted], side="left"
        )  # by how many thresholds
        voxels += np.bincount(filtered * 8 + codes[counted], minlength=len(voxels))
    kept = voxels.reshape(-1, 2, 2, 2).cumsum(axis=0)  # threshold, inside, prediction, label
    both = 2 * kept[:, :, 1, 1].sum(axis=1)
    curves = {
        "dice": _ratio(both, both + kept[:, :, 0, 1].sum(axis=1) + kept[:, :, 1, 0].sum(axis=1), 1),
        "ftp": _filtered(kept[:, 1, 1, 1]),
        "ftn": _filtered(kept[:, 1, 0, 0]),
    }
    areas = {f"{name}_auc": float(area.under(curve, thresholds)) for name, curve in curves.items()}
    score = (areas["dice_auc"] + 1 - areas["ftp_auc"] + 1 - areas["ftn_auc"]) / 3
    return {"score": score, **areas, "thresholds": thresholds, **curves}


def _filtered(kept):
    """The share that is filtered at each threshold. Of all voxels, not of those kept at 1, which are all too."""
    return _ratio(kept[-1] - kept, np.broadcast_to(kept[-1], kept.shape), 0)


def _ratio(above, below, otherwise):
    return np.divide(above, below, out=np.full(len(above), float(otherwise)), where=below > 0)
