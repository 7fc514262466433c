"""Every number of the evaluation, as a pure function of `Counts`. NumPy only.

Nothing to find and nothing found: Dice and corrected Dice are 1; uncertainty-error overlap, error precision and error recall
with a zero denominator are undefined (NaN), as is the calibration error of no voxels; averages skip them.

A function here becomes a column by a row in `measures.py`; docs/howto/new_metric.md shows it.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tfunc.scoring.counts import Counts

Weighting = Literal["proportion", "log_proportion", "power_proportion", "mean_proportion"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Voxels by outcome: int64 scalars tp, fp, tn, fn and, above each threshold, arrays [11] tpu, fpu, tnu, fnu."""

    tp: np.int64
    fp: np.int64
    tn: np.int64
    fn: np.int64
    tpu: NDArray[np.int64]
    fpu: NDArray[np.int64]
    tnu: NDArray[np.int64]
    fnu: NDArray[np.int64]


def outcome(counts: Counts, masked: bool = False) -> Outcome:
    """The `Outcome` over the whole volume (the paper's and the default) or inside the mask only."""
    table = counts.uncertainty[:, 1] if masked else counts.uncertainty.sum(axis=1)  # level, prediction, target
    above = table[::-1].cumsum(axis=0)[::-1]  # level >= k, that is, uncertainty > threshold k - 1
    (tn, fn), (fp, tp) = above[0]
    (tnu, fnu), (fpu, tpu) = np.moveaxis(above[1:], 0, -1)
    return Outcome(tp=tp, fp=fp, tn=tn, fn=fn, tpu=tpu, fpu=fpu, tnu=tnu, fnu=fnu)


def _ratio(above, below, otherwise):
    """above / below as float64, `otherwise` where below is 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    out = np.full(np.broadcast(above, below).shape, float(otherwise))
    return np.divide(above, below, out=out, where=below != 0)[()]


def dice(counts: Counts) -> np.float64:
    """2 TP / (2 TP + FP + FN), unsmoothed; 1 where target and prediction are both empty."""
    o = outcome(counts)
    return _ratio(2 * o.tp, 2 * o.tp + o.fp + o.fn, 1)


def accuracy(counts: Counts) -> np.float64:
    """(TP + TN) / voxels over the whole volume, in [0, 1]."""
    o = outcome(counts)
    return _ratio(o.tp + o.tn, o.tp + o.tn + o.fp + o.fn, np.nan)


def corrected_dice(counts: Counts) -> NDArray[np.float64]:
    """[11] Dice after setting the uncertain voxels to background; 1 where target and what is left are both empty."""
    o = outcome(counts)
    return _ratio(2 * (o.tp - o.tpu), 2 * (o.tp - o.tpu) + (o.fp - o.fpu) + (o.fn + o.tpu), 1)


def corrected_accuracy(counts: Counts) -> NDArray[np.float64]:
    """[11] Accuracy after setting the uncertain voxels to background."""
    o = outcome(counts)
    return _ratio(o.tp - o.tpu + o.tn + o.fpu, o.tp + o.tn + o.fp + o.fn, np.nan)


def added_dice(counts: Counts) -> NDArray[np.float64]:
    """[11] Dice after setting the uncertain voxels to foreground; 1 where all is empty."""
    o = outcome(counts)
    return _ratio(2 * (o.tp + o.fnu), 2 * (o.tp + o.fnu) + (o.fp + o.tnu) + (o.fn - o.fnu), 1)


def added_accuracy(counts: Counts) -> NDArray[np.float64]:
    """[11] Accuracy after setting the uncertain voxels to foreground."""
    o = outcome(counts)
    return _ratio(o.tp + o.fnu + o.tn - o.tnu, o.tp + o.tn + o.fp + o.fn, np.nan)


def benefits(counts: Counts) -> NDArray[np.bool_]:
    """[11] bool: the corrected Dice is higher than the Dice. The BnF of Table 1 is this, averaged over subjects."""
    return corrected_dice(counts) > dice(counts)


def benefits_inequality(counts: Counts) -> NDArray[np.bool_]:
    """[11] bool: FPU TP > TPU (TP + FP + FN), the paper's condition; false for empty targets, unlike `benefits`."""
    o = outcome(counts)
    return o.fpu * o.tp > o.tpu * (o.tp + o.fp + o.fn)


def accuracy_benefits(counts: Counts) -> NDArray[np.bool_]:
    """[11] bool: FPU > TPU, the paper's condition for a better accuracy."""
    o = outcome(counts)
    return o.fpu > o.tpu


def error_overlap(counts: Counts) -> NDArray[np.float64]:
    """[11] U-E: Dice of the errors and the uncertain voxels; NaN where there are neither."""
    o = outcome(counts)
    both = o.fpu + o.fnu
    return _ratio(2 * both, o.fp + o.fn + both + o.tpu + o.tnu, np.nan)


def error_precision(counts: Counts, undefined: float = np.nan) -> NDArray[np.float64]:
    """[11] Share of the uncertain voxels that are errors; `undefined` where none is uncertain."""
    o = outcome(counts)
    return _ratio(o.fpu + o.fnu, o.fpu + o.fnu + o.tpu + o.tnu, undefined)


def error_recall(counts: Counts, undefined: float = np.nan) -> NDArray[np.float64]:
    """[11] Share of the errors that are uncertain; `undefined` where there are no errors."""
    o = outcome(counts)
    return _ratio(o.fpu + o.fnu, o.fp + o.fn, undefined)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """By calibration bin: count int64 [10]; mean_probability, positive_fraction float64 [10], NaN in empty bins."""

    count: NDArray[np.int64]
    mean_probability: NDArray[np.float64]
    positive_fraction: NDArray[np.float64]

    @property
    def gap(self) -> NDArray[np.float64]:
        """[non-empty bins] positive fraction minus mean probability: above 0 is under-confident."""
        return (self.positive_fraction - self.mean_probability)[self.count > 0]


def calibration(counts: Counts, masked: bool = True) -> Calibration:
    """The reliability diagram inside the mask (the paper's and the default) or of the whole volume."""
    table, sums = counts.calibration, counts.probability
    table, sums = (table[:, 1], sums[:, 1]) if masked else (table.sum(axis=1), sums.sum(axis=1))
    voxels = table.sum(axis=-1)
    return Calibration(voxels, _ratio(sums, voxels, np.nan), _ratio(table[:, 1], voxels, np.nan))


def calibration_error(
    counts: Counts, masked: bool = True, weighting: Weighting = "proportion", dimensions: int = 3
) -> np.float64:
    """ECE: gaps between mean probability and positive fraction, weighted; NaN where there are no voxels.

    `weighting`: `proportion` is by voxels, the paper's; `log_proportion`, `power_proportion` (root of order
    `dimensions`) and `mean_proportion` are the reference code's other ways, from voxels to equal weights.
    """
    curve = calibration(counts, masked)
    voxels = curve.count[curve.count > 0].astype(np.float64)
    if not voxels.size:
        return np.float64(np.nan)
    weight = {
        "proportion": lambda: voxels,
        "log_proportion": lambda: np.log(voxels),
        "power_proportion": lambda: voxels ** (1 / dimensions),
        "mean_proportion": lambda: np.ones_like(voxels),
    }[weighting]()
    return (np.abs(curve.gap) * _ratio(weight, weight.sum(), np.nan)).sum()


def near_calibration_error(counts: Counts) -> np.float64:
    """ECE of the voxels near the target, weighted by voxels; NaN where there are none, as where the target is empty."""
    voxels = counts.near.sum(axis=-1)
    gaps = np.abs(counts.near_probability - counts.near[:, 1])  # of the sums: each is its bin's gap times its voxels
    return _ratio(gaps.sum(), voxels.sum(), np.nan)


def confidence_gap(counts: Counts) -> np.float64:
    """Unweighted mean of the signed gaps over non-empty bins; positive is under-confident (reference, section 7)."""
    gap = calibration(counts).gap
    return gap.mean() if gap.size else np.float64(np.nan)
