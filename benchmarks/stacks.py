"""The same work on both stacks, in turns: images a second of a training step and of inference, and their ratio.

    make .venv/installed .venv-addons/installed
    python benchmarks/stacks.py [--size=192,256] [--batch=4] [--start_filters=32] [--precision=float32] [--rounds=7]

Any Python runs it; each environment is one process that prepares everything once and then waits for its turn, so that a
machine whose speed drifts treats both alike, and neither works while the other is timed. It takes some minutes.
"""

import argparse
import pathlib
import sys

import turns

ROOT = pathlib.Path(__file__).resolve().parents[1]


def worker(flags):
    """One training step and one inference of the paper's U-Net, in this environment."""
    sys.path[:0] = [str(ROOT)]
    from data_prep.base import processes

    processes.start_tensorflow()
    import ours

    from tfunc.nets import stack

    height, width = map(int, flags.size.split(","))
    size = ours.Size(flags.batch, height, width, flags.start_filters)
    parts = {"training": ours.training(size, flags.precision), "inference": ours.probability(size, flags.precision)}
    turns.serve({name: (call, flags.batch) for name, call in parts.items()}, stack.versions())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="192,256", help="height,width")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--start_filters", type=int, default=32)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--rounds", type=int, default=7, help=f"turns of {turns.SECONDS} s")
    parser.add_argument("--current", default=str(ROOT / ".venv/bin/python"), help="Python of the current stack")
    parser.add_argument("--addons", default=str(ROOT / ".venv-addons/bin/python"), help="Python of the addons stack")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.worker:
        worker(flags)
        return
    for python in (flags.current, flags.addons):
        if not pathlib.Path(python).exists():
            sys.exit(f"error: {python}: not found; run `make .venv/installed .venv-addons/installed`")
    workers = [turns.Worker(python, __file__, ["--worker", *sys.argv[1:]]) for python in (flags.current, flags.addons)]
    for one in workers:
        print(*(f"{name} {value}" for name, value in one.versions.items()), sep=", ")
    rates = turns.measure(workers, flags.rounds)
    print(f"{flags.size}, batch {flags.batch}, {flags.start_filters} filters, {flags.precision}, XLA off; images/s")
    for part, (current, addons) in rates.items():
        print(f"{part:12} current {current:8.2f}  addons {addons:8.2f}  addons/current {addons / current:.2f}")


if __name__ == "__main__":
    main()
