"""From the files of patients to their written maps: where the time goes, and whether the networks are kept busy.

    python benchmarks/one_subject.py --input=FOLDER [--subjects=3] [--samples=20] [--precision=bfloat16] [--trace=FILE.png]

FOLDER holds BraTS patients, as `prepare` takes them; the paper's network, untrained, MC dropout. Reading, networks and writing
overlap as in `predict --split`: the next patient is read and the last one written while the networks are at work. Prints the
seconds of each part and the share of the wall time in which the networks were (claim: 85 %); `--trace` draws them one above the
other.
"""

import argparse
import concurrent.futures
import contextlib
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

import measured
import ours

from data_prep import tasks
from data_prep.base import pool, processes
from data_prep.base.ahead import one_ahead

CLAIM = 0.85
PARTS = ("read", "networks", "write")


class Trace:
    """When each part worked: [(part, begin, end)], seconds since the trace began."""

    def __init__(self):
        self.begin, self.spans = time.perf_counter(), []

    @contextlib.contextmanager
    def part(self, name):
        start = time.perf_counter()
        yield
        self.spans.append((name, start - self.begin, time.perf_counter() - self.begin))

    def seconds(self, name):
        return sum(end - start for part, start, end in self.spans if part == name)


def predict(folder, flags, trace, out):
    """Predicts the patients as `predict` does; returns the wall time."""
    from tfunc.maps import predict as prediction
    from tfunc.maps import writing

    task = tasks.find("brats")
    reader = task.load_reader()
    sources = reader.find_new(folder, None, task)[: flags.subjects]
    size = ours.Size(batch=flags.batch, filters=flags.start_filters, depth=flags.depth, channels=4)
    made = ours.predictor(size, flags.precision, flags.samples)
    run = made.run

    def timed(*batch):
        with trace.part("networks"):
            return run(*batch)

    made.run = timed

    def read():
        for source in sources:
            with trace.part("read"):
                subject = reader.load(source, {}, task)
            yield subject

    def write(found):
        with trace.part("write"):
            writing.write_maps(out, *found)

    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(prediction.WRITERS) as writers:
        done = list(pool.results(writers, write, made.subjects(one_ahead(read())), ahead=prediction.WRITERS))
    print(f"{len(done)} patients, {flags.samples} samples, {flags.precision}")
    return time.perf_counter() - start


def draw(trace, path):
    """A row a part, a bar a piece of work."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.8), layout="constrained")
    axes = figure.subplots()
    for row, name in enumerate(PARTS):
        bars = [(start, end - start) for part, start, end in trace.spans if part == name]
        axes.broken_barh(bars, (row - 0.4, 0.8), linewidth=0)
    axes.set(yticks=range(len(PARTS)), yticklabels=PARTS, xlabel="seconds")
    axes.invert_yaxis()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True)
    parser.add_argument("--subjects", type=int, default=3)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--start_filters", type=int, default=32)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--json")
    parser.add_argument("--trace")
    flags = parser.parse_args()
    processes.start_tensorflow()
    with tempfile.TemporaryDirectory() as out:
        trace = Trace()
        wall = predict(flags.input, flags, trace, pathlib.Path(out))
    for name in PARTS:
        print(f"{name:9} {trace.seconds(name):7.2f} s of {wall:.2f}")
    claim = measured.at_least("networks, share of the wall time", trace.seconds("networks") / wall, CLAIM)
    rows = [{"part": name, "seconds": trace.seconds(name)} for name in PARTS]
    found = measured.here("one_subject", measured.versions("tensorflow"), [claim], rows=rows)
    measured.report(found, flags.json)
    if flags.trace:
        draw(trace, flags.trace)


if __name__ == "__main__":
    main()
