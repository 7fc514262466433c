"""How time and memory grow: predicting with samples T and members K, training with replicas.

    python benchmarks/growth.py [--quick] [--json=FILE]

Each case is a process of its own, which predicts made-up subjects with untrained networks, or takes optimizer steps on logical
CPU devices. Claims: time grows no faster than the number (ten times as many samples, at most 11.5 times the seconds), memory
stays flat (at most 1.1 times). Replicas get the same slices each, so that on the cores they share their step may take as many
times longer as there are of them. `--quick` is a minute, the default four.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import measured
import prediction_memory

SLACK = 1.15  # above the line, for what two runs of the same differ by
FLAT = 1.1
COPIES = 2  # of a network's weights that a prediction holds: the trained ones and those folded
SHARE = 4  # slices of each replica


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured. samples, members, replicas: the numbers, the first the least; shape: of the subject, in voxels."""

    samples: tuple[int, ...] = (1, 5, 20, 50)
    members: tuple[int, ...] = (1, 2, 5, 10)
    replicas: tuple[int, ...] = (1, 2, 4)
    shape: tuple[int, int, int] = (32, 128, 160)
    filters: int = 16
    repeats: int = 3


QUICK = Plan((1, 5), (1, 4), (1, 2), (16, 64, 80), 8, 3)


def times_longer(what, numbers, seconds, least):
    """Seconds of the largest number over those of the `least`, at most as many times as the numbers are, and the slack."""
    low, high = numbers.index(least), len(numbers) - 1
    text = f"{what}: seconds of {numbers[high]} over {numbers[low]}"
    return measured.at_most(text, seconds[high] / seconds[low], SLACK * numbers[high] / numbers[low])


def flat(what, numbers, sizes):
    """Memory of the largest number over that of the first."""
    return measured.at_most(f"{what}: memory of {numbers[-1]} over {numbers[0]}", sizes[-1] / sizes[0], FLAT)


def prediction(plan):
    """(claims, series, rows) of samples and members."""
    claims, series, rows = [], [], []
    for what, axis, numbers in (
        ("MC dropout", "samples T", plan.samples),
        ("ensemble", "members K", plan.members),
    ):
        name = "samples" if axis.startswith("samples") else "members"
        found = [prediction_memory.alone(plan.shape, plan.filters, repeats=plan.repeats, **{name: n}) for n in numbers]
        seconds, sizes = [one["seconds"] for one in found], [one["MiB"] for one in found]
        own = [one["MiB"] - COPIES * (one["weights_MiB"] - found[0]["weights_MiB"]) for one in found]
        # a first number of 1 is mostly what every subject costs: the slope is looked for above it
        claims.append(times_longer(f"predicting, {what}", numbers, seconds, numbers[1 if len(numbers) > 2 else 0]))
        apart = ", weights of more members not counted" if name == "members" else ""
        claims.append(flat(f"predicting, {what}{apart}", numbers, own))
        series.append(measured.Series(f"predicting, {what}", axis, "seconds a subject", pairs(numbers, seconds)))
        series.append(measured.Series(f"predicting, {what}", axis, "peak memory, MiB", pairs(numbers, sizes)))
        rows += [
            {"what": f"predicting, {what}", axis: n, "seconds": one["seconds"], "MiB": one["MiB"]}
            for n, one in zip(numbers, found, strict=True)
        ]
    return claims, series, rows


def training(plan):
    """(claims, series, rows) of replicas."""
    command = [sys.executable, __file__, f"--filters={plan.filters}", f"--size={plan.shape[1]},{plan.shape[2]}"]
    seconds = []
    for count in plan.replicas:
        ended = subprocess.run([*command, f"--one={count}"], check=True, stdout=subprocess.PIPE, text=True)
        print(ended.stdout.strip(), flush=True)
        seconds.append(json.loads(ended.stdout)["seconds"])
    what = f"training, {SHARE} slices a replica"
    claims = [times_longer(what, plan.replicas, seconds, plan.replicas[0])]
    series = [measured.Series(what, "replicas", "seconds a step", pairs(plan.replicas, seconds))]
    rows = [{"what": what, "replicas": n, "seconds": s} for n, s in zip(plan.replicas, seconds, strict=True)]
    return claims, series, rows


def pairs(numbers, values):
    """The points of a curve."""
    return tuple((float(x), float(y)) for x, y in zip(numbers, values, strict=True))


def steps(replicas, height, width, filters):
    """Takes steps on that many logical CPU devices; prints the median of their seconds as JSON."""
    import statistics

    from data_prep.base import processes

    processes.start_tensorflow()
    import ours

    from tfunc.nets import devices

    strategy = devices.strategy([f"CPU:{index}" for index in range(replicas)] if replicas > 1 else None)
    step = ours.training(ours.Size(SHARE * replicas, height, width, filters), "float32", strategy)
    step()
    times = []
    while len(times) < 5 or sum(times) < 1:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    print(json.dumps({"replicas": replicas, "seconds": round(statistics.median(times), 4)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", help="write the results there")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--size", help=argparse.SUPPRESS)
    parser.add_argument("--filters", type=int, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.one:
        steps(flags.one, *map(int, flags.size.split(",")), flags.filters)
        return
    plan = QUICK if flags.quick else Plan()
    parts = [prediction(plan), training(plan)]
    claims, series, rows = ([entry for part in column for entry in part] for column in zip(*parts, strict=True))
    versions = measured.versions("tensorflow", "keras", "numpy")
    measured.report(measured.here("growth", versions, claims, series, rows), flags.json)


if __name__ == "__main__":
    main()
