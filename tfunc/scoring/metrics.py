"""Every number of the evaluation, as a pure function of integer counts taken in one pass over the voxels.

`count` reads one subject's maps once and returns `Counts`; each metric below takes `Counts` and nothing else. Counts of
several subjects add up, which gives the dataset level. NumPy only.

Rules (the reference code's evaluation, sections 5 and 6 of its description; the paper, section 2.4):
- uncertainty is compared strictly, `uncertainty > t`, at the eleven thresholds, over the whole volume;
- calibration has ten bins, left-closed, edges linspace(0, 1 + 1e-8, 11), over the voxels inside the mask;
- comparisons happen in the map's own dtype, so float32 and float64 files are each treated as the reference treats them;
- nothing to find and nothing found: Dice and corrected Dice are 1; uncertainty-error overlap, error precision and error
  recall with a zero denominator are undefined (NaN), as is the calibration error of no voxels; averages skip them.
"""

import dataclasses
import functools

import numpy as np

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
LEVELS = len(THRESHOLDS) + 1
BINS = 10
EDGES = np.linspace(0, 1 + 1e-8, BINS + 1)
EPSILON = 1e-5  # rescaled maps lie in [EPSILON, 1 - EPSILON], as in the reference
TOLERANCE = 1e-6  # how far outside [0, 1] a value may be by rounding; it is then clipped
KINDS = ("probability", "confidence", "sigma")

_CELLS = 1024  # a power of two: value * _CELLS is exact, so floor() finds the cell without a rounding question
_BLOCK = 1 << 15  # voxels a block: all of its arrays stay in the second-level cache
_ENTROPY_ERROR = 1e-6  # bounds the rounding of a float32 entropy (analysis: 3.6e-7; see `_tables`)


class MapError(ValueError):
    """A map that can't be scored: the message says what is wrong with its values, the caller names the file."""


@dataclasses.dataclass(frozen=True)
class Counts:
    """What one subject, or a whole dataset, comes down to. Counts int64, sums float64; `a + b` pools voxels.

    uncertainty: [12, 2, 2, 2] voxels by level (how many thresholds lie below the uncertainty), inside the mask,
        prediction, target.
    calibration: [10, 2, 2] voxels by calibration bin, inside the mask, target.
    probability: [10, 2] sum of the foreground probability by calibration bin, inside the mask.
    """

    uncertainty: np.ndarray
    calibration: np.ndarray
    probability: np.ndarray

    def __add__(self, other):
        return Counts(
            self.uncertainty + other.uncertainty,
            self.calibration + other.calibration,
            self.probability + other.probability,
        )


def empty_counts():
    """`Counts` of no voxels, the neutral element of addition."""
    return Counts(np.zeros((LEVELS, 2, 2, 2), np.int64), np.zeros((BINS, 2, 2), np.int64), np.zeros((BINS, 2)))


# ---------------------------------------------------------------------------------------------------------------- maps


def normalised_entropy(probability):
    """Entropy of a two-class distribution over log 2, float64, in [0, 1] up to 3e-9, computed as the reference does.

    Products are taken in the array's own dtype (float32 or float64), their sum in float64; 0 * log 0 is 0.
    """
    total = np.zeros(np.shape(probability))
    with np.errstate(divide="ignore", invalid="ignore"):
        for p in (1 - probability, probability):
            total -= np.where(p > 0, p * np.log(p), 0).astype(np.float64)
    return total / np.log(2)


def rescaled(score, lowest, highest):
    """`score` mapped linearly from [lowest, highest] to [EPSILON, 1 - EPSILON], in its own dtype."""
    return (score - lowest) / (highest - lowest) * (1 - 2 * EPSILON) + EPSILON


def confidence_probability(uncertainty, prediction):
    """Foreground probability y(1 - q/2) + (1 - y)q/2 of a segmentation y with uncertainty q (paper, section 2.4)."""
    half = 0.5 * uncertainty
    return np.where(prediction != 0, 1 - half, half)


def value_range(score):
    """(lowest, highest) of a map as scalars of its dtype; raises `MapError` for NaN, infinity or no voxels."""
    score = _floating(score)
    if not score.size:
        raise MapError("no voxels")
    lowest, highest = score.min(), score.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise MapError("values that are NaN or infinite")
    return lowest, highest


def common_range(ranges):
    """(lowest, highest) over the ranges of several maps, as floats: the `sigma_range` of a whole set.

    Each is the shortest decimal that reads back as the float32 or float64 found: the reference passes its range
    through a CSV file, and rounding the float64 of that decimal is what reproduces its rescaled maps bit for bit.
    """
    lowest, highest = zip(*ranges, strict=True)
    return float(str(min(lowest))), float(str(max(highest)))


def uncertainty_map(score, kind, sigma_range=None):
    """The uncertainty in [0, 1] that a raw map of `kind` stands for (see `count`); float64 for probabilities."""
    score = _floating(score)
    if kind == "probability":
        return normalised_entropy(np.clip(score, 0, 1))
    return rescaled(score, *_limits(score, kind, sigma_range))


def levels(uncertainty):
    """For each voxel how many of the eleven thresholds its uncertainty exceeds, strictly; int64, 0 to 11.

    The comparison is made in the array's dtype, as `uncertainty > 0.1` would.
    """
    return np.searchsorted(np.asarray(THRESHOLDS, uncertainty.dtype), uncertainty, side="left")


def calibration_bins(probability):
    """The calibration bin of each foreground probability in [0, 1]; int64, 0 to 9; p = 0 is in 0 and p = 1 in 9."""
    return np.searchsorted(EDGES, probability, side="right") - 1


# ------------------------------------------------------------------------------------------------------------ counting


def count(score, kind, prediction, target, mask=None, sigma_range=None):
    """Counts of one subject, in one pass.

    score: the raw map, float32 or float64 (other types become float32), any shape. By `kind`: `probability`, of the
        foreground, in [0, 1], uncertainty is its normalised entropy; `confidence`, an error probability, made [0, 1] by
        its own minimum and maximum; `sigma`, made [0, 1] by `sigma_range` = (lowest, highest) of the whole set.
    prediction, target: same shape, non-zero is foreground.  mask: same shape, non-zero is inside; None is all.

    Raises `MapError` for NaN, infinity, values outside [0, 1] by more than TOLERANCE, and a constant confidence or
    sigma range, where the reference would score NaN.
    """
    arrays = [_floating(score), np.asarray(prediction), np.asarray(target)]
    arrays += [] if mask is None else [np.asarray(mask)]
    if any(array.shape != arrays[0].shape for array in arrays):
        raise MapError(f"shapes that differ: {', '.join(str(array.shape) for array in arrays)}")
    score, *others = (array.reshape(-1) for array in arrays)
    entropy = kind == "probability"
    limits = None if entropy else _limits(score, kind, sigma_range)
    tables = _tables(entropy, score.dtype.char)
    total = np.zeros(len(tables.exact) * 8, np.int64), np.zeros(len(tables.exact) * 8)
    edge = empty_counts()
    for start in range(0, score.size, _BLOCK):
        values, codes, *outcome = _block(start, score, others, limits)
        probability = values if entropy else confidence_probability(values, outcome[0])
        total[0][:] += np.bincount(codes, minlength=len(total[0]))
        total[1][:] += np.bincount(codes, weights=probability, minlength=len(total[1]))
        near = np.flatnonzero(tables.exact[codes >> 3])
        if near.size:
            edge += _exactly(values[near], probability[near], codes[near] & 7, entropy)
    return _summed(tables, *total) + edge


def _floating(score):
    """The map as native float32 or float64."""
    score = np.asarray(score)
    return np.asarray(score, np.float64 if score.dtype.kind == "f" and score.dtype.itemsize >= 8 else np.float32)


def _limits(score, kind, sigma_range):
    if kind == "confidence":
        lowest, highest = value_range(score)
    elif kind == "sigma" and sigma_range is not None:
        lowest, highest = (float(limit) for limit in sigma_range)
    else:
        raise ValueError(f"kind {kind!r} with sigma_range {sigma_range}")
    if not highest > lowest:
        raise MapError(f"one value everywhere, {lowest:g}, which can't be rescaled to [0, 1]")
    return lowest, highest


def _block(start, score, others, limits):
    """One block: values in [0, 1], codes (cell * 8 + inside * 4 + prediction * 2 + target), prediction."""
    values = score[start : start + _BLOCK]
    values = values if limits is None else rescaled(values, *limits)
    lowest, highest = values.min(), values.max()
    if not (lowest >= -TOLERANCE and highest <= 1 + TOLERANCE):  # also true for NaN
        found = "NaN" if np.isnan(lowest) else f"values from {lowest:g} to {highest:g}"
        raise MapError(f"{found} where {'[0, 1]' if limits is None else 'the given range'} should hold them")
    if lowest < 0 or highest > 1:
        values = np.clip(values, 0, 1)
    prediction, target, *mask = (np.not_equal(array[start : start + _BLOCK], 0).view(np.uint8) for array in others)
    outcome = prediction * np.uint8(2) + target + (mask[0] * np.uint8(4) if mask else np.uint8(4))
    codes = (values * values.dtype.type(_CELLS)).astype(np.int64)
    codes <<= 3
    codes += outcome
    return values, codes, prediction


@dataclasses.dataclass(frozen=True)
class _Tables:
    """level [cells], bin [cells, prediction] of every value in a cell; exact [cells]: values there need `_exactly`."""

    level: np.ndarray
    bin: np.ndarray
    exact: np.ndarray


@functools.cache
def _tables(entropy, dtype):
    """What cell [i, i + 1) / 1024 of a value in [0, 1] decides, by the values at its two ends.

    Both ends agree and the functions are monotone between them (0.5 is an end), so all values within agree. For the
    entropy, that holds of the true entropy H; the computed one differs from it by less than _ENTROPY_ERROR: in float32
    each of p log p, (1 - p) log(1 - p) is at most 0.37 and off by at most 4 ulp of log and 1 of the product (1.1e-7),
    rounding 1 - p adds 3e-8, so H is off by 3.6e-7. Cells whose ends disagree under H -+ 1e-6 go to `_exactly`.
    """
    dtype = np.dtype(dtype)
    first = (np.arange(_CELLS + 1) / _CELLS).astype(dtype)
    last = np.append(np.nextafter(first[1:], dtype.type(0)), first[-1:])
    if entropy:
        ends = np.stack([normalised_entropy(end.astype(np.float64)) for end in (first, last)])
        low, high = levels(ends.min(axis=0) - _ENTROPY_ERROR), levels(ends.max(axis=0) + _ENTROPY_ERROR)
        bins = [np.stack([calibration_bins(end)] * 2, axis=-1) for end in (first, last)]
    else:
        low, high = levels(first), levels(last)
        label = np.broadcast_to(np.arange(2), (_CELLS + 1, 2))
        bins = [calibration_bins(confidence_probability(end[:, None], label)) for end in (first, last)]
    return _Tables(low, bins[0], (low != high) | (bins[0] != bins[1]).any(axis=-1))


def _exactly(values, probability, outcome, entropy):
    """Counts of a few voxels, each decided by its own value. outcome: inside * 4 + prediction * 2 + target."""
    level = levels(normalised_entropy(values) if entropy else values)
    bins = calibration_bins(probability)
    by_bin = bins * 4 + (outcome >> 2) * 2 + (outcome & 1)
    return Counts(
        np.bincount(level * 8 + outcome, minlength=LEVELS * 8).reshape(LEVELS, 2, 2, 2),
        np.bincount(by_bin, minlength=BINS * 4).reshape(BINS, 2, 2),
        np.bincount(by_bin >> 1, weights=probability, minlength=BINS * 2).reshape(BINS, 2),
    )


def _summed(tables, voxels, sums):
    """Cell histograms -> Counts, without the cells that `_exactly` took care of."""
    counts = empty_counts()
    keep = ~tables.exact
    voxels = voxels.reshape(-1, 2, 2, 2)[keep]  # cell, inside, prediction, target
    sums = sums.reshape(-1, 2, 2, 2)[keep]
    np.add.at(counts.uncertainty, tables.level[keep], voxels)
    for prediction in range(2):
        bins = tables.bin[keep, prediction]
        np.add.at(counts.calibration, bins, voxels[:, :, prediction])
        np.add.at(counts.probability, bins, sums[:, :, prediction].sum(axis=-1))
    return counts


# ------------------------------------------------------------------------------------------------------------- metrics


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Voxels by outcome: int64 scalars tp, fp, tn, fn and, above each threshold, arrays [11] tpu, fpu, tnu, fnu."""

    tp: np.ndarray
    fp: np.ndarray
    tn: np.ndarray
    fn: np.ndarray
    tpu: np.ndarray
    fpu: np.ndarray
    tnu: np.ndarray
    fnu: np.ndarray


def outcome(counts, masked=False):
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


def dice(counts):
    """2 TP / (2 TP + FP + FN), unsmoothed; 1 where target and prediction are both empty."""
    o = outcome(counts)
    return _ratio(2 * o.tp, 2 * o.tp + o.fp + o.fn, 1)


def accuracy(counts):
    """(TP + TN) / voxels over the whole volume."""
    o = outcome(counts)
    return _ratio(o.tp + o.tn, o.tp + o.tn + o.fp + o.fn, np.nan)


def corrected_dice(counts):
    """[11] Dice after setting the uncertain voxels to background; 1 where target and what is left are both empty."""
    o = outcome(counts)
    return _ratio(2 * (o.tp - o.tpu), 2 * (o.tp - o.tpu) + (o.fp - o.fpu) + (o.fn + o.tpu), 1)


def corrected_accuracy(counts):
    """[11] Accuracy after setting the uncertain voxels to background."""
    o = outcome(counts)
    return _ratio(o.tp - o.tpu + o.tn + o.fpu, o.tp + o.tn + o.fp + o.fn, np.nan)


def added_dice(counts):
    """[11] Dice after setting the uncertain voxels to foreground; 1 where all is empty."""
    o = outcome(counts)
    return _ratio(2 * (o.tp + o.fnu), 2 * (o.tp + o.fnu) + (o.fp + o.tnu) + (o.fn - o.fnu), 1)


def added_accuracy(counts):
    """[11] Accuracy after setting the uncertain voxels to foreground."""
    o = outcome(counts)
    return _ratio(o.tp + o.fnu + o.tn - o.tnu, o.tp + o.tn + o.fp + o.fn, np.nan)


def benefits(counts):
    """[11] bool: the corrected Dice is higher than the Dice. The BnF of Table 1 is this, averaged over subjects."""
    return corrected_dice(counts) > dice(counts)


def benefits_inequality(counts):
    """[11] bool: FPU TP > TPU (TP + FP + FN), the paper's condition; false for empty targets, unlike `benefits`."""
    o = outcome(counts)
    return o.fpu * o.tp > o.tpu * (o.tp + o.fp + o.fn)


def accuracy_benefits(counts):
    """[11] bool: FPU > TPU, the paper's condition for a better accuracy."""
    o = outcome(counts)
    return o.fpu > o.tpu


def error_overlap(counts):
    """[11] U-E: Dice of the errors and the uncertain voxels; NaN where there are neither."""
    o = outcome(counts)
    both = o.fpu + o.fnu
    return _ratio(2 * both, o.fp + o.fn + both + o.tpu + o.tnu, np.nan)


def error_precision(counts, undefined=np.nan):
    """[11] Share of the uncertain voxels that are errors; `undefined` where none is uncertain."""
    o = outcome(counts)
    return _ratio(o.fpu + o.fnu, o.fpu + o.fnu + o.tpu + o.tnu, undefined)


def error_recall(counts, undefined=np.nan):
    """[11] Share of the errors that are uncertain; `undefined` where there are no errors."""
    o = outcome(counts)
    return _ratio(o.fpu + o.fnu, o.fp + o.fn, undefined)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """By calibration bin: count int64 [10]; mean_probability, positive_fraction float64 [10], NaN in empty bins."""

    count: np.ndarray
    mean_probability: np.ndarray
    positive_fraction: np.ndarray

    @property
    def gap(self):
        """[non-empty bins] positive fraction minus mean probability: above 0 is under-confident."""
        return (self.positive_fraction - self.mean_probability)[self.count > 0]


def calibration(counts, masked=True):
    """The reliability diagram inside the mask (the paper's and the default) or of the whole volume."""
    table, sums = counts.calibration, counts.probability
    table, sums = (table[:, 1], sums[:, 1]) if masked else (table.sum(axis=1), sums.sum(axis=1))
    voxels = table.sum(axis=-1)
    return Calibration(voxels, _ratio(sums, voxels, np.nan), _ratio(table[:, 1], voxels, np.nan))


def calibration_error(counts, masked=True, weighting="proportion", dimensions=3):
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


def confidence_gap(counts):
    """Unweighted mean of the signed gaps over non-empty bins; positive is under-confident (reference, section 7)."""
    gap = calibration(counts).gap
    return gap.mean() if gap.size else np.float64(np.nan)
