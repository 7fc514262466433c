"""What an evaluation of one BraTS-sized subject costs with everything that is found of it beside the counts of its voxels.

    python benchmarks/evaluation.py [--repetitions=5] [--shape=155,240,240]

One method, one thread, files of label, mask, segmentation and probability as NIfTI. Each case runs in a process of its own.
Prints the medians of the processor's seconds (and of those on the clock) and the peak memory of: the files read (`read`), read
and counted, which is all that an evaluation did before (`counts`), with scores, companions of Dice and lesions (`findings`;
claim: at most 3 times `counts`, and twice its memory), and with distances of surfaces too (`distances`).
About a minute.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

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


def processor():
    """Its name."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--shape", default="155,240,240")
    parser.add_argument("--one", nargs=2, metavar=("FOLDER", "CASE"), help="measure here, in this process")
    flags = parser.parse_args()
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
    print(f"{flags.shape}, one method, one thread; {processor()}")
    for case, one in found.items():
        times = one["cpu"] / found["counts"]["cpu"]
        print(f"{case:10} {one['cpu']:6.2f} s ({one['seconds']:.2f}), {times:4.2f} of counts, peak {one['MiB']:5} MiB")
    print(f"the segmentation has {found['findings']['lesions']} components")
    if found["findings"]["cpu"] > CLAIM * found["counts"]["cpu"]:
        raise SystemExit(f"findings took more than {CLAIM} times as long as the counts")
    if found["distances"]["MiB"] > MEMORY * found["counts"]["MiB"]:
        raise SystemExit(f"findings took more than {MEMORY} times the memory of the counts")


if __name__ == "__main__":
    main()
