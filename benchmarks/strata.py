"""How far the mean probability of MC dropout lies from where it settles, with T independent and with T stratified samples.

    python benchmarks/strata.py --dataset=isic --run_dir=… --data_dir=… [--method=baseline_mc] [--subjects=8] [--out=strata.png]

For each T of --samples, --repetitions predictions of the first test subjects from seeds of their own; printed is the standard
deviation of a voxel's probability over them, root mean square over voxels (float32).
"""

import argparse
import itertools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

import numpy as np

from data_prep import records
from data_prep.base.processes import start_tensorflow
from tfunc import methods, runs


def spread(method, flags, subjects, samples, stratified):
    """The root mean square over voxels of the deviation over repetitions."""
    from tfunc.maps import predictor
    from tfunc.maps.options import Options

    every = []
    for repetition in range(flags.repetitions):
        options = Options(samples=samples, seed=1000 * samples + repetition, stratified=stratified)
        made, _ = predictor.of_method(method, flags.run_dir, flags.dataset, options)
        every.append(np.concatenate([maps["probability"].ravel() for _, maps in made.subjects(subjects)]))
    return float(np.sqrt(np.mean(np.var(every, axis=0, ddof=1))))


def draw(found, path):
    """Both curves on logarithmic axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    for label, points in found.items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label)
    axes.set(xscale="log", yscale="log", xlabel="samples T", ylabel="deviation of p over repetitions")
    axes.legend()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--method", default="baseline_mc")
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--samples", default="5,10,20,40")
    parser.add_argument("--repetitions", type=int, default=6)
    parser.add_argument("--out")
    flags = parser.parse_args()
    manifest = runs.read_records(flags.data_dir, flags.dataset)
    names = [entry.name for entry in manifest.split("test")][: flags.subjects]
    start_tensorflow()
    subjects = list(records.read_subjects(flags.data_dir, manifest, names))
    found = {"independent": [], "stratified": []}
    for samples, label in itertools.product(map(int, flags.samples.split(",")), found):
        value = spread(methods.get(flags.method), flags, subjects, samples, label == "stratified")
        found[label].append((samples, value))
        print(f"T={samples:3} {label:11} {value:.5f}", flush=True)
    if flags.out:
        draw(found, flags.out)


if __name__ == "__main__":
    main()
