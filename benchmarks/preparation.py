"""What preparing costs, beside nibabel's mere reading of the same files; and photographs a second.

    python benchmarks/preparation.py [--raw_dir=BRATS --split_file=JSON] [--subjects=6] [--photographs=2000] [--quick]
        [--json=FILE]

Without --raw_dir subjects are made up in BraTS' layout, whose compressed noise reads more slowly than a patient's images.
Preparing is a conversion in this process with start-up left out, on one worker and then on two processes, in processor seconds
of all of them for "per core". Prints each claim and whether it holds. About two minutes; --quick takes some seconds.
"""

import argparse
import pathlib
import resource
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

import nibabel
import numpy as np

from benchmarks import measured
from data_prep import convert
from data_prep.base import pool
from data_prep.phantom import write as phantom

TIMES, PHOTOGRAPHS = 1.3, 400  # of nibabel's reading; a second on two cores
DRAWN = 100  # photographs that are made up, the others are copies of them


def cpu():
    """Processor seconds of this process and of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def timed(function):
    """(seconds on the clock, processor seconds)."""
    start, before = time.perf_counter(), cpu()
    function()
    return time.perf_counter() - start, cpu() - before


def read(raw_dir):
    """Every volume as nibabel has it, and nothing done with it."""
    for path in sorted(pathlib.Path(raw_dir).rglob("*.nii.gz")):
        np.asanyarray(nibabel.load(path).dataobj)


def prepare(dataset, raw_dir, workers, options=None, split_files=()):
    """Converts into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder, pool.executor(workers, tensorflow=False) as executor:
        convert.convert(
            dataset, raw_dir, folder, options, split_files=split_files, executor=executor, workers=workers,
            say=lambda _: None,
        )  # fmt: skip


def photographed(raw_dir, count):
    """Photographs of 256x256 in ISIC's layout; of many most are copies, as making them up takes longer than preparing them."""
    phantom.write("isic", raw_dir, min(count, DRAWN), (256, 256))
    made = [phantom.subject_id("isic", index) for index in range(min(count, DRAWN))]
    for index in range(DRAWN, count):
        like, name = made[index % DRAWN], phantom.subject_id("isic", index)
        for path in pathlib.Path(raw_dir).rglob(f"{like}*"):
            shutil.copy(path, path.with_name(path.name.replace(like, name)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw_dir", help="BraTS, in place of made-up subjects")
    parser.add_argument("--split_file", help="of --raw_dir")
    parser.add_argument("--subjects", type=int, default=6)
    parser.add_argument("--photographs", type=int, default=2000, help="as many as ISIC 2017 has to train on")
    parser.add_argument("--quick", action="store_true", help="tiny: shows that it runs")
    parser.add_argument("--json")
    flags = parser.parse_args()
    subjects, photographs = (3, 12) if flags.quick else (flags.subjects, flags.photographs)
    claims, series = [], []
    with tempfile.TemporaryDirectory() as folder:
        raw_dir = flags.raw_dir or folder + "/brats"
        if not flags.raw_dir:
            phantom.write("brats", raw_dir, subjects, (16, 48, 48) if flags.quick else (155, 240, 240))
        read(raw_dir)  # once, so that the files are in memory for both
        _, reading = timed(lambda: read(raw_dir))
        points = []
        for workers in (1, 2):
            splits = [flags.split_file] if flags.split_file else []
            seconds, used = timed(
                lambda workers=workers, splits=splits: prepare("brats", raw_dir, workers, None, splits)
            )
            points.append((workers, seconds))
            print(
                f"{workers} workers: {seconds:.2f} s, {used:.2f} s of the processor; nibabel reads in {reading:.2f} s"
            )
            if workers == 1:
                claims.append(
                    measured.at_most("preparing volumes over nibabel's reading, a core", used / reading, TIMES)
                )
        series.append(measured.Series("Preparing volumes", "workers", "seconds", tuple(points)))
        raw_dir = folder + "/isic"
        photographed(raw_dir, photographs)
        for size, what in (((256, 256), "256x256"), ((192, 256), "256x256, made 192x256")):
            seconds, used = timed(lambda size=size: prepare("isic", raw_dir, 2, {"image_size": size}))
            rate = photographs / seconds
            print(f"{what}: {rate:.0f} photographs a second, {1000 * used / photographs:.1f} ms of the processor each")
            if size == (256, 256):
                claims.append(measured.at_least(f"photographs a second, {what}, two workers", rate, PHOTOGRAPHS))
    found = measured.here("preparation", measured.versions("numpy", "nibabel", "pillow"), claims, series)
    measured.report(found, flags.json)


if __name__ == "__main__":
    main()
