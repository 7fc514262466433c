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


def measure(samples, shape, start_filters):
    """Predicts a subject of noise with an untrained network; prints seconds and peak memory in MiB as JSON."""
    import numpy as np

    from data_prep.base.processes import start_tensorflow
    from data_prep.subject import Subject

    start_tensorflow()
    from tfunc.maps.options import Options
    from tfunc.maps.predictor import Predictor
    from tfunc.maps.sampled import MonteCarlo
    from tfunc.nets.unet import unet

    options = Options(samples=samples)
    model = unet(4, start_filters, seed=1)
    predictor = Predictor(lambda: MonteCarlo([model], options), 4, 2**4, options)
    image = np.random.default_rng(0).integers(0, 1000, (*shape, 4), np.int16)
    subject = Subject("noise", image, np.full(4, 500, np.float32), np.full(4, 300, np.float32))
    start = time.perf_counter()
    ((_, maps),) = predictor.subjects([subject])
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"samples": samples, "seconds": round(seconds, 1), "MiB": round(peak)}))
    if not np.isfinite(maps["probability"]).all():
        raise SystemExit("probabilities that are not finite")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--shape", default="155,240,240")
    parser.add_argument("--start_filters", type=int, default=32)
    parser.add_argument("--one", action="store_true", help="measure here, in this process")
    flags = parser.parse_args()
    shape = tuple(map(int, flags.shape.split(",")))
    if flags.one:
        measure(flags.samples, shape, flags.start_filters)
        return
    results = []
    for samples in (1, flags.samples):
        command = [sys.executable, __file__, "--one", f"--samples={samples}", f"--shape={flags.shape}"]
        command.append(f"--start_filters={flags.start_filters}")
        line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        print(line, flush=True)
        results.append(json.loads(line))
    print(f"memory of T={flags.samples} / memory of T=1: {results[1]['MiB'] / results[0]['MiB']:.3f}")


if __name__ == "__main__":
    main()
