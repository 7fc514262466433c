"""Tries everything on made-up patients: phantoms, records, all methods, maps, Table 1 and a report to open.

    tfunc demo
    tfunc demo --folder=organs --organs   # three organs and a tumour in CT, in nnU-Net's form

About ten minutes on two cores. It runs the other programs and prints each command, so that
you can run it by yourself. Killed at any moment, the same command continues.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from launch import early

early.settle(__name__)

from absl import flags

from launch import program

FLAGS = flags.FLAGS
flags.DEFINE_string("folder", "demo", "where all of it goes")
flags.DEFINE_bool("organs", False, "organs in CT, several classes, in place of a tumour in MR")

NAMED = "Dataset900_Organs"
# small enough for a laptop, large enough that the uncertainty means something
TUMOUR = {
    "phantom": ["--dataset=brats", "--subjects=40", "--shape=16,64,64"],
    "prepare": ["--ratio=14,10,16"],
    "study": [
        "--ensemble_size=2", "--folds=2", "--epochs=8", "--start_filters=16", "--depth=3", "--batch_size=16",
        "--learning_rate=2e-3", "--samples=10", "--jobs_per_machine=2", "--recalibrate",
    ],
}  # fmt: skip
ORGANS = {
    "phantom": ["--dataset=organs", "--subjects=24", "--shape=16,48,48"],
    "prepare": [],
    "study": [
        "--methods=baseline,baseline_mc,ensemble,auxiliary_feat,aleatoric,tta", "--ensemble_size=2", "--epochs=10",
        "--start_filters=16", "--depth=3", "--batch_size=8", "--learning_rate=2e-3", "--samples=5", "--jobs_per_machine=2",
    ],
}  # fmt: skip


def main() -> None:
    for name, arguments in steps(pathlib.Path(FLAGS.folder), FLAGS.organs):
        print(f"\n$ {' '.join([program.start_of(name), *map(program.quoted, arguments)])}", flush=True)
        run(name, arguments)


def steps(folder: pathlib.Path, organs: bool) -> list[tuple[str, list[str]]]:
    """(program, its flags) in order, of what is made up in `folder`."""
    given, raw, data = ORGANS if organs else TUMOUR, folder / "raw", f"--data_dir={folder / 'data'}"
    named, prepare = "--dataset=brats", ["--dataset=brats", f"--raw_dir={raw}"]
    if organs:
        raw = raw / NAMED
        named, prepare = f"--dataset={NAMED}", [f"--dataset={raw}"]
    run_dir = f"--run_dir={folder / 'run'}"
    found = [
        ("phantom", [*given["phantom"], f"--raw_dir={raw}"]),
        ("prepare", [*prepare, data, *given["prepare"]]),
        ("study", [named, data, run_dir, *given["study"]]),
    ]
    if organs:
        maps = f"--out_dir={folder / 'maps'}"
        found.append(
            ("predict", ["--method=ensemble", named, data, run_dir, "--input=imagesTs", maps, "--names=nnunet"])
        )
    return found


def run(name: str, arguments: list[str]) -> None:
    """Runs one of the programs to its end; its failure is ours, and a signal that stops us stops it too."""
    process = subprocess.Popen([*program.argv(name), *arguments])
    try:
        code = process.wait()
    except BaseException:  # a signal: the program saves its state and says so
        process.terminate()
        process.wait()
        raise
    if code:
        sys.exit(code if code > 0 else 128 - code)


if __name__ == "__main__":
    program.run(main)
