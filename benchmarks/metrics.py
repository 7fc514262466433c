"""All metrics of one BraTS-sized subject in memory, ours beside a straightforward NumPy peer.

    python benchmarks/metrics.py [--json=FILE]

One thread, 155x240x240, float64 (and float32), with a brain mask. The peer does what the reference code does: the
entropy of every voxel, digitised bins, and four counts at each of the eleven thresholds. Prints the best and the median
of several repetitions and checks that both agree. About 40 seconds; claim: in float32 ten times the peer.
"""

import argparse
import os
import pathlib
import statistics
import sys
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

import numpy as np

from benchmarks import measured
from tfunc import kinds
from tfunc.scoring import binary, metrics
from tfunc.scoring.counts import EDGES, THRESHOLDS

SHAPE = (155, 240, 240)


def subject(seed=0):
    """(probability float64, prediction, target, mask) of a ball-shaped head with a tumour and noise at its border."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[-1:1:155j, -1:1:240j, -1:1:240j]
    head = np.sqrt(z * z + y * y + x * x) < 0.8
    radius = np.sqrt((z - 0.2) ** 2 + (y + 0.1) ** 2 + (x - 0.3) ** 2)
    probability = 1 / (1 + np.exp(25 * (radius - 0.3) + rng.normal(0, 0.8, SHAPE)))
    probability = np.where(head, probability, 1e-9).astype(np.float32).astype(np.float64)
    return probability, (probability > 0.5).astype(np.uint8), (radius < 0.28).astype(np.uint8), head


def ours(probability, prediction, target, mask):
    counts = binary.count(probability, "probability", prediction, target, mask)
    return (
        metrics.dice(counts),
        metrics.accuracy(counts),
        metrics.calibration_error(counts),
        metrics.error_overlap(counts),
        metrics.error_precision(counts),
        metrics.error_recall(counts),
        metrics.corrected_dice(counts),
        metrics.corrected_accuracy(counts),
        metrics.benefits(counts),
        metrics.benefits_inequality(counts),
    )


def peer(probability, prediction, target, mask):
    """The same by plain NumPy, one pass a threshold."""
    prediction, target = prediction.astype(bool), target.astype(bool)
    uncertainty = kinds.normalised_entropy(probability)
    tp, fp = (prediction & target).sum(), (prediction & ~target).sum()
    fn, tn = (~prediction & target).sum(), (~prediction & ~target).sum()
    p, y = probability[mask], target[mask]
    index = np.digitize(p, EDGES) - 1
    number, sums = np.bincount(index, minlength=10), np.bincount(index, weights=p, minlength=10)
    with np.errstate(invalid="ignore"):
        gap = np.abs(sums / number - np.bincount(index, weights=y, minlength=10) / number)
    ece = np.nansum(gap * number) / number.sum()
    rows = []
    for threshold in THRESHOLDS:
        uncertain = uncertainty > threshold
        tpu, fpu = (prediction & target & uncertain).sum(), (prediction & ~target & uncertain).sum()
        fnu, tnu = (~prediction & target & uncertain).sum(), (~prediction & ~target & uncertain).sum()
        dice = 2 * (tp - tpu) / (2 * (tp - tpu) + fp - fpu + fn + tpu)
        both, size = fpu + fnu, tpu + fpu + fnu + tnu
        accuracy = (tp - tpu + tn + fpu) / target.size
        rows.append(
            (
                2 * both / (fn + fp + size),
                both / size,
                both / (fn + fp),
                dice,
                accuracy,
                fpu * tp > tpu * (tp + fp + fn),
            )
        )
    ue, precision, recall, corrected, accuracies, inequality = np.array(rows).T
    dice = 2 * tp / (2 * tp + fp + fn)
    return (
        dice,
        (tp + tn) / target.size,
        ece,
        ue,
        precision,
        recall,
        corrected,
        accuracies,
        corrected > dice,
        inequality,
    )


def seconds(function, arguments, repetitions):
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        result = function(*arguments)
        times.append(time.perf_counter() - start)
    return min(times), statistics.median(times), result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json")
    flags = parser.parse_args()
    made = subject()
    print(f"{'x'.join(map(str, SHAPE))}, one thread, NumPy {np.__version__}; seconds, best (median)")
    for dtype in (np.float64, np.float32):
        arguments = (made[0].astype(dtype), *made[1:])
        best, median, found = seconds(ours, arguments, 9)
        best_peer, median_peer, expected = seconds(peer, arguments, 3)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9)
        print(
            f"{np.dtype(dtype).name}: ours {best:.3f} ({median:.3f}), peer {best_peer:.2f} ({median_peer:.2f}), "
            f"{median_peer / median:.0f} times"
        )
    claim = measured.at_least("counting a subject in float32 over NumPy, one thread", median_peer / median, 10)
    measured.report(measured.here("metrics", measured.versions("numpy"), [claim]), flags.json)


if __name__ == "__main__":
    main()
