"""Peak memory of predicting one subject with T samples beside one sample: sampling must not cost memory.

    python benchmarks/prediction_memory.py [--samples=20] [--shape=155,240,240] [--start_filters=32]

Each case runs in a process of its own; prints the peak resident size of both and their ratio (claim: at most 1.3).
With the paper's network, T=20 on a whole patient takes some minutes on two cores.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

ENOUGH = 5.0  # seconds, after which nothing is repeated


def measure(samples, members, shape, start_filters, repeats):
    """Predicts a subject of noise with untrained networks; prints seconds and peak memory in MiB as JSON.

    The seconds are the least of `repeats` predictions, fewer where they are long, after a batch that traced the graph.
    weights_MiB: of the networks.
    """
    import numpy as np

    from data_prep.base.processes import start_tensorflow
    from data_prep.subject import Subject

    start_tensorflow()
    from tfunc.maps.options import Options
    from tfunc.maps.predictor import Predictor
    from tfunc.maps.sampled import Ensemble, MonteCarlo
    from tfunc.nets.unet import unet

    options = Options(samples=samples)
    models = [unet(4, start_filters, seed=1 + index) for index in range(members or 1)]
    predictor = Predictor(lambda: (Ensemble if members else MonteCarlo)(models, options), 4, 2**4, options)
    image = np.random.default_rng(0).integers(0, 1000, (*shape, 4), np.int16)
    levels = np.full(4, 500, np.float32), np.full(4, 300, np.float32)
    list(predictor.subjects([Subject("first", image[: options.batch_size], *levels)]))
    seconds = []
    while len(seconds) < repeats and sum(seconds) < ENOUGH:
        start = time.perf_counter()
        ((_, maps),) = predictor.subjects([Subject("noise", image, *levels)])
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    weights = sum(model.count_params() for model in models) * 4 / 2**20
    found = {"samples": samples, "members": members, "seconds": round(min(seconds), 3), "MiB": round(peak)}
    print(json.dumps({**found, "weights_MiB": round(weights, 1)}))
    if not np.isfinite(maps["probability"]).all():
        raise SystemExit("probabilities that are not finite")


def alone(shape, start_filters, samples=1, members=0, repeats=1):
    """What `measure` prints, of a process of its own. members: of an ensemble; 0 is MC dropout. shape: of the subject."""
    command = [
        sys.executable,
        __file__,
        "--one",
        f"--samples={samples}",
        f"--members={members}",
        f"--repeats={repeats}",
    ]
    command += [f"--shape={','.join(map(str, shape))}", f"--start_filters={start_filters}"]
    line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    print(line, flush=True)
    return json.loads(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--shape", default="155,240,240")
    parser.add_argument("--start_filters", type=int, default=32)
    parser.add_argument("--members", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help="measure here, in this process")
    flags = parser.parse_args()
    shape = tuple(map(int, flags.shape.split(",")))
    if flags.one:
        measure(flags.samples, flags.members, shape, flags.start_filters, flags.repeats)
        return
    results = [alone(shape, flags.start_filters, samples) for samples in (1, flags.samples)]
    print(f"memory of T={flags.samples} / memory of T=1: {results[1]['MiB'] / results[0]['MiB']:.3f}")


if __name__ == "__main__":
    main()
