"""How counting one volume grows with the thresholds of uncertainty, and with the regions of several classes.

    python benchmarks/counting.py [--repetitions=3] [--quick] [--json=FILE]

One thread, 155x240x240, float32, in memory. Thresholds: `counts.uncertainty_counts` with 11 to 352 of them, whose search takes
longer with their logarithm. Regions: `classes.count` of a softmax over nine classes, with one to eight of them as regions of
their own; the class map is counted once, whatever the number. About a minute; --quick takes a few seconds.
"""

import argparse
import functools
import os
import pathlib
import statistics
import sys
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

import msgspec
import numpy as np

from benchmarks import measured
from tfunc.scoring import asked, classes, counts

SHAPE, QUICK = (155, 240, 240), (16, 48, 48)
THRESHOLDS, REGIONS = (11, 22, 44, 88, 176, 352), (1, 2, 4, 8)
CLASSES = max(REGIONS) + 1
TIMES = 3  # what 32 times the thresholds may cost


def seconds(function, repetitions):
    """The median of several calls."""
    found = []
    for _ in range(repetitions):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def by_thresholds(shape, repetitions):
    """((thresholds, seconds), …) of counting the uncertainty of one volume."""
    rng = np.random.default_rng(0)
    uncertainty = rng.beta(0.3, 2, shape).astype(np.float32)
    prediction, target = (rng.random(shape) < share for share in (0.1, 0.1))
    found = []
    for number in THRESHOLDS:
        own = tuple(np.linspace(0, 1, number + 2)[1:-1])
        count = functools.partial(counts.uncertainty_counts, uncertainty, prediction, target, None, own)
        found.append((number, seconds(count, repetitions)))
    return tuple(found)


def by_regions(shape, repetitions):
    """((regions, seconds), …) of counting one volume's softmax, class map included."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((CLASSES, *shape), np.float32)
    logits[0] += 4  # most of a body is background
    channels = np.exp(logits, out=logits)
    channels /= channels.sum(axis=0)
    prediction = channels.argmax(axis=0).astype(np.uint8)
    label = np.where(rng.random(shape) < 0.02, 0, prediction).astype(np.uint8)
    voxels, found = classes.Voxels("probability", prediction, tuple(channels)), []
    for number in REGIONS:
        names = ";".join(f"r{index}:{index}" for index in range(1, CLASSES))
        task = asked.task_of_regions(names)
        task = msgspec.structs.replace(task, regions=task.regions[:number])
        regions = tuple(classes.among(label, one) for one in task.regions)
        target = classes.Target(label, None, regions, (None,) * number)
        found.append(
            (number, seconds(lambda task=task, target=target: classes.count(voxels, task, target), repetitions))
        )
    return tuple(found)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny: shows that it runs")
    parser.add_argument("--json")
    flags = parser.parse_args()
    shape, repetitions = (QUICK, 1) if flags.quick else (SHAPE, flags.repetitions)
    series = (
        measured.Series("Counting a volume's uncertainty", "thresholds", "seconds", by_thresholds(shape, repetitions)),
        measured.Series("Counting a volume of nine classes", "regions", "seconds", by_regions(shape, repetitions)),
    )
    for one in series:
        print(f"{one.title}: " + ", ".join(f"{x} {one.x} {y:.3f} s" for x, y in one.points))
    (_, few), *_, (_, many) = series[0].points
    (_, one), *_, (most, all_of_them) = series[1].points
    claims = (
        measured.at_most(f"counting, {THRESHOLDS[-1]} thresholds over {THRESHOLDS[0]}, time", many / few, TIMES),
        measured.at_most(f"counting, {most} regions over 1, time", all_of_them / one, most),
    )
    measured.report(measured.here("counting", measured.versions("numpy"), claims, series), flags.json)


if __name__ == "__main__":
    main()
