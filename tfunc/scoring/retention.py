"""What is gained by correcting the most uncertain first: voxels, lesions, patients. NumPy only.

A curve over the share that is retained: what is more uncertain is replaced by the truth. Sorting is stable, so of equally
uncertain ones those that come later are corrected first, and a result does not depend on the machine. The definitions are
Molchanova's (MS_WML_uncs; lesion-wise F1 with FN is of its revision of 2023) and, for nDSC, Shifts' (Raina et al., 2023).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfunc.kinds import MapError
from tfunc.scoring import area
from tfunc.scoring.foreground import same_shape

FRACTIONS = np.linspace(0, 1, 400)
RATIO = 0.001  # the share of foreground that nDSC makes every subject comparable at


@dataclasses.dataclass(frozen=True)
class Retention:
    """values [n] by the retained fractions [n], which rise from 0 to 1."""

    fractions: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def under(self) -> float:
        """The area under the curve, by trapezoids; for a Dice, higher is better."""
        return float(area.under(self.values, self.fractions))

    @property
    def above(self) -> float:
        """One minus the area under the curve, as peers give it (AAC); for a Dice, lower is better."""
        return 1 - self.under


def voxel_retention(
    uncertainty: ArrayLike,
    prediction: ArrayLike,
    label: ArrayLike,
    mask: ArrayLike | None = None,
    normalised: bool = False,
) -> Retention:
    """Dice over 400 fractions, the int(N x fraction) most certain voxels keeping the prediction; 1 where nothing is left.

    uncertainty: any real scale.  prediction, label: the same shape, non-zero is foreground.  mask: which voxels there are;
    None: all.  normalised: false positives are weighted as if `RATIO` of the voxels were foreground (nDSC); where none or
    all are, they count once. Raises `MapError` for shapes that differ and for NaN.
    """
    given = [np.asarray(array) for array in (uncertainty, prediction, label, *(() if mask is None else (mask,)))]
    same_shape(*given)
    score, found, truth, *inside = (array.reshape(-1) for array in given)
    if inside:
        score, found, truth = (array[inside[0] != 0] for array in (score, found, truth))
    order = _order(score)
    found, truth = found[order] != 0, truth[order] != 0
    positive, voxels = int(np.count_nonzero(truth)), len(truth)
    weight = (1 - RATIO) * positive / (RATIO * (voxels - positive)) if normalised and 0 < positive < voxels else 1.0
    kept = (voxels * FRACTIONS).astype(np.int64)
    wrong, missed = (np.append(0, np.cumsum(errors))[kept] for errors in (found & ~truth, truth & ~found))
    hit = 2 * (positive - missed)
    size = weight * wrong + hit + missed
    return Retention(FRACTIONS, np.divide(hit, size, out=np.ones(len(kept)), where=size > 0))


def lesion_precision_retention(uncertainty: ArrayLike, outcomes: Sequence[str]) -> Retention:
    """LPPV, TP / (TP + FP), over 400 fractions of the prediction's lesions: an uncertain FP is taken away, a TP stays.

    uncertainty: [n] of each lesion.  outcomes: [n] `tp` or `fp`. No lesion left is 0; without any, all is NaN: undefined.
    """
    right, wrong = _retained(uncertainty, outcomes, ("tp", "fp"))
    if len(right) == 1:
        return Retention(FRACTIONS, np.full(len(FRACTIONS), np.nan))
    return _between(_share(np.full(len(right), right[-1]), wrong))


def lesion_f1_retention(uncertainty: ArrayLike, outcomes: Sequence[str], missed: int | None = None) -> Retention:
    """F1, TP / (TP + (FP + FN) / 2), over 400 fractions of the lesions: an uncertain FP is taken away, a FN becomes a TP.

    uncertainty: [n] of each lesion.  outcomes: [n] `tp`, `fp` or `fn`.  missed: None, or how many lesions were missed, which
    then stay so and are no part of the others. Nothing left is 0. Without any lesion the curve is flat: 1, or 0 where some
    were missed.
    """
    if missed is None:
        hit, wrong, lost = _retained(uncertainty, outcomes, ("tp", "fp", "fn"))
    else:
        hit, wrong = _retained(uncertainty, outcomes, ("tp", "fp"))
        lost = np.zeros(len(hit))
    if len(hit) == 1:
        return Retention(FRACTIONS, np.full(len(FRACTIONS), 0.0 if missed else 1.0))
    found = hit[-1] + lost[-1] - lost
    return _between(_share(found, (wrong + lost + (missed or 0)) / 2))


def patient_retention(uncertainty: ArrayLike, metric: ArrayLike, corrected: float = 1) -> Retention:
    """The mean of a metric over patients, at each number of patients retained, the others being `corrected`.

    uncertainty, metric: [n], n at least 1; the curve has n + 1 points. For a risk, `corrected` is 0.
    """
    score, values = np.asarray(uncertainty), np.asarray(metric, np.float64)
    same_shape(score, values)
    if not values.size:
        raise MapError("expected patients, found none")
    retained = np.append(0, np.cumsum(values[_order(score)]))
    patients = np.arange(len(values) + 1)
    return Retention(patients / len(values), (retained + corrected * (len(values) - patients)) / len(values))


def _order(score):
    if np.isnan(score).any():
        raise MapError("NaN where an uncertainty is expected")
    return np.argsort(score, kind="stable")


def _retained(uncertainty, outcomes, names):
    """For each name how many lesions of that outcome are retained, float64 [n + 1], of no lesions to all."""
    score, given = np.asarray(uncertainty, np.float64), np.asarray(outcomes, str)
    same_shape(score, given)
    if (other := set(given) - set(names)) or given.ndim != 1:
        raise MapError(
            f"expected a row of outcomes {', '.join(names)}, found {', '.join(sorted(other)) or given.shape}"
        )
    order = _order(score)
    return [np.append(0.0, np.cumsum(given[order] == name)) for name in names]


def _share(right, against):
    total = right + against
    return np.divide(right, total, out=np.zeros(len(total)), where=total > 0)


def _between(values):
    """A curve of 0 to n lesions, at the fractions, straight between them."""
    return Retention(FRACTIONS, np.interp(FRACTIONS, np.linspace(0, 1, len(values)), values))
