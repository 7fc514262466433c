"""Slices a second out of the training pipeline: plain, and with each level of augmentation, on this stack.

    python benchmarks/augmentation.py [--size=192,256] [--images=64] [--rounds=5]

Made-up photographs are prepared once in a temporary folder; the levels then take turns, an epoch each, so that a machine
whose speed drifts treats them alike. Medians are printed with the ratio to the plain pipeline. Run it with the Python of
each environment to compare the stacks.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from data_prep.base import processes

BATCH = 16


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="192,256", help="height,width")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    size = tuple(map(int, options.size.split(",")))

    processes.start_tensorflow()
    from tfunc.learning import augmentation
    from tfunc.nets import stack

    with tempfile.TemporaryDirectory() as folder:
        slices = made_up(pathlib.Path(folder), options.images, size)
        rates = {level: [] for level in augmentation.LEVELS}
        for turn in range(options.rounds + 1):
            for level, found in rates.items():
                rate = epoch(slices, turn, level)
                if turn:  # the first is for warming up
                    found.append(rate)
    print(f"{stack.versions()}, {options.images} slices of {size[0]}x{size[1]}, {options.rounds} rounds")
    plain = statistics.median(rates["none"])
    for level, found in rates.items():
        middle = statistics.median(found)
        print(
            f"{level:7} {middle:8.1f} slices/s   {middle / plain:.2f} of plain   ({min(found):.1f} to {max(found):.1f})"
        )


def made_up(folder, images, size):
    """`Slices` of made-up photographs (height, width), prepared in a folder."""
    from data_prep import convert, records
    from data_prep.phantom import write as phantom
    from tfunc.learning.slices import Slices

    phantom.write("isic", folder / "raw", subjects=images, shape=size, seed=0)
    convert.convert("isic", folder / "raw", folder / "data", {"image_size": size, "intensity": "unit"}, say=len)
    manifest = records.read_manifest(folder / "data")
    return Slices(folder / "data", manifest, [entry.name for entry in manifest.subjects if entry.labelled])


def epoch(slices, number, level):
    """Slices a second of one epoch, after its first batch: building the pipeline is not timed."""
    batches = iter(slices.training(BATCH, 20, number, augment=level))
    next(batches)
    start, count = time.perf_counter(), 0
    for batch in batches:
        count += int(batch["image"].shape[0])
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
