"""What an evaluation of one BraTS-sized subject costs with everything that is found of it beside the counts of its voxels.

    python benchmarks/evaluation.py [--repetitions=5] [--shape=155,240,240] [--quick] [--json=FILE]

One method, one thread, files of label, mask, segmentation and probability as NIfTI. Each case runs in a process of its own.
Prints the medians of the processor's seconds (and of those on the clock) and the peak memory of: the files read (`read`), read
and counted, which is all that an evaluation did before (`counts`), with scores, companions of Dice and lesions (`findings`;
claim: at most 3 times `counts`), and with distances of surfaces too (`distances`; claim: at most twice the memory of `counts`).
Then the seconds of whole evaluations by how many subjects they have, and by workers, whose start is in them. About two minutes;
--quick takes half a minute.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from benchmarks import measured
from data_prep.base import pool

CASES = ("read", "counts", "findings", "distances")
MAKE = "make"  # in a process of its own too, since a child's peak memory begins with its parent's
CLAIM, MEMORY = 3, 2


def make(folder, shape):
    """Writes a head with a tumour of three parts, some of it false, some missed, as networks are wrong."""
    import nibabel
    import numpy as np
    from scipy import ndimage

    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[tuple(slice(-1, 1, count * 1j) for count in shape)]
    head = np.sqrt(z * z + y * y + x * x) < 0.8
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), 1.5)
    noise /= noise.std()
    depth = np.full(shape, -1, np.float32)
    for (one, two, three), radius in (((0.2, -0.1, 0.3), 0.28), ((-0.3, 0.3, 0.1), 0.08), ((0.1, 0.4, -0.3), 0.05)):
        depth = np.maximum(depth, radius - np.sqrt((z - one) ** 2 + (y - two) ** 2 + (x - three) ** 2))
    label = depth > 0
    logits = 40 * depth + 1.2 * noise + 0.5 * rng.standard_normal(shape, np.float32) - 0.5
    probability = np.where(head, 1 / (1 + np.exp(-logits)), 1e-7).astype(np.float32)
    for name, array in (
        ("labels/one", label.astype(np.uint8)),
        ("masks/one", head.astype(np.uint8)),
        ("maps/one_prediction", (probability > 0.5).astype(np.uint8)),
        ("maps/one_probability", probability),
    ):
        path = folder / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(array.T, np.eye(4)), path)


def measure(folder, case, repetitions):
    """Evaluates the subject; prints seconds, peak memory in MiB and how many components the segmentation has, as JSON."""
    from tfunc.scoring import evaluate, sources
    from tfunc.scoring.findings import Distances
    from tfunc.scoring.truth import FolderTruth

    truth = FolderTruth(str(folder / "labels"), str(folder / "masks"))
    maps = sources.folder_maps(folder / "maps", "probability")
    if case in ("read", "counts"):
        evaluate.findings.find = lambda *_: None
    if case == "read":
        evaluate.binary.count = lambda *_: None
    item = truth, maps, "one", Distances(measured=case == "distances")
    times, cpu, found = [], [], {}
    for _ in range(repetitions):
        start, before = time.perf_counter(), time.process_time()
        found, _ = evaluate.count_subject(item)
        times.append(time.perf_counter() - start)
        cpu.append(time.process_time() - before)
    (one,) = found.values()
    lesions = 0 if one.findings[""] is None else len(one.findings[""].tally.uncertainty)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = {"seconds": statistics.median(times), "cpu": statistics.median(cpu)}
    print(json.dumps({**seconds, "MiB": round(peak), "lesions": lesions}))


def whole(folder, subjects, workers):
    """Seconds of evaluating the subject under so many names, with its counts, findings and the workers' start."""
    from tfunc.scoring import evaluate, sources
    from tfunc.scoring.truth import FolderTruth

    with tempfile.TemporaryDirectory(dir=folder) as own:
        for path in sorted(folder.glob("*/one*.nii.gz")):
            target = pathlib.Path(own) / path.parent.name
            target.mkdir(exist_ok=True)
            for index in range(subjects):
                (target / path.name.replace("one", f"s{index}", 1)).symlink_to(path)
        truth = FolderTruth(f"{own}/labels", f"{own}/masks")
        maps = sources.folder_maps(pathlib.Path(own) / "maps", "probability")
        start = time.perf_counter()
        with pool.executor(workers, tensorflow=False) as executor:
            evaluate.evaluate(maps, truth, executor, say=lambda _: None)
        return time.perf_counter() - start


def grown(folder, quick):
    """The curves of whole evaluations: against subjects, and against workers."""
    counts, most = ((1, 2), 2) if quick else ((1, 2, 4, 8), 8)
    by_subjects = tuple((count, whole(folder, count, 1)) for count in counts)
    by_workers = ((1, dict(by_subjects)[most]), (2, whole(folder, most, 2)))
    return (
        measured.Series("Evaluating volumes, one worker", "subjects", "seconds", by_subjects),
        measured.Series(f"Evaluating {most} volumes", "workers", "seconds", by_workers),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--shape", default="155,240,240")
    parser.add_argument("--quick", action="store_true", help="tiny: shows that it runs")
    parser.add_argument("--json")
    parser.add_argument("--one", nargs=2, metavar=("FOLDER", "CASE"), help="measure here, in this process")
    flags = parser.parse_args()
    if flags.quick:
        flags.repetitions, flags.shape = 1, "24,64,64"
    if flags.one:
        folder, case = pathlib.Path(flags.one[0]), flags.one[1]
        if case == MAKE:
            make(folder, tuple(map(int, flags.shape.split(","))))
        else:
            measure(folder, case, flags.repetitions)
        return
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        given = [f"--repetitions={flags.repetitions}", f"--shape={flags.shape}"]
        for case in (MAKE, *CASES):
            command = [sys.executable, __file__, *given, "--one", folder, case]
            ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            if case != MAKE:
                found[case] = json.loads(ended.stdout.splitlines()[-1])
        series = grown(pathlib.Path(folder), flags.quick)
    print(f"{flags.shape}, one method, one thread")
    for case, one in found.items():
        times = one["cpu"] / found["counts"]["cpu"]
        print(f"{case:10} {one['cpu']:6.2f} s ({one['seconds']:.2f}), {times:4.2f} of counts, peak {one['MiB']:5} MiB")
    print(f"the segmentation has {found['findings']['lesions']} components")
    for one in series:
        print(f"{one.title}: " + ", ".join(f"{x} {one.x} {y:.2f} s" for x, y in one.points))
    claims = (
        measured.at_most("findings over the counts, time", found["findings"]["cpu"] / found["counts"]["cpu"], CLAIM),
        measured.at_most(
            "findings over the counts, memory", found["distances"]["MiB"] / found["counts"]["MiB"], MEMORY
        ),
    )
    versions = measured.versions("numpy", "scipy", "nibabel")
    rows = [{"case": case, **one} for case, one in found.items()]
    measured.report(measured.here("evaluation", versions, claims, series, rows), flags.json)
    if not all(claim.holds for claim in claims) and not flags.quick:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
