"""How Table 1's measures settle with the number of samples T, and of members K, on the maps of a run's own networks.

    python benchmarks/settling.py --dataset=brats --methods=baseline_mc,ensemble [--run_dir=…] [--data_dir=…] [--out_dir=settling]

Samples: for each T of --samples, --draws predictions from seeds of their own. Nothing is the beginning of another: some methods
stratify their draws, so T samples are not the first T of more. Members (ensemble, cv_ensemble, checkpoints): for each K up to all
of them, up to --subsets different subsets. Writes settling.csv, a row a prediction (ECE as a fraction, U-E at its best threshold,
Dice, and the mean entropy where calibration is measured, each a mean over subjects), and settling.png. Two classes. It costs the
sum of --samples times --draws passes over the split: minutes on a small run, an hour or more of a GPU on the paper's.
"""

import argparse
import csv
import itertools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

import numpy as np

from data_prep import records
from data_prep.base.errors import UserError
from data_prep.base.processes import start_tensorflow
from tfunc import methods, runs
from tfunc.kinds import normalised_entropy
from tfunc.reporting import drawing
from tfunc.scoring import binary, statistics

MEASURES = {"ece": "ECE %", "ue": "U-E", "dice": "Dice", "entropy": "mean entropy"}
COLUMNS = ("method", "of", "number", "draw", *MEASURES)


class Tally:
    """The numbers of one prediction, subject by subject."""

    def __init__(self):
        self.counts, self.entropies = {}, []

    def add(self, subject, probability, inside):
        """probability: float32 [depth, height, width]. inside: where calibration is measured, None is everywhere."""
        found = binary.count(probability, "probability", probability > 0.5, subject.label, inside)
        self.counts[subject.name] = found
        entropy = normalised_entropy(probability)
        self.entropies.append(entropy.mean() if inside is None else entropy[inside != 0].mean())

    def row(self):
        scores = statistics.scores(self.counts)
        ue = scores.mean("ue")[statistics.thresholds(scores)["ue"]]
        return [float(scores.mean("ece")), float(ue), float(scores.mean("dice")), float(np.mean(self.entropies))]


def of_samples(method, flags, read, task):
    """A row for each number of samples and draw."""
    from tfunc.maps import predictor
    from tfunc.maps.options import Options

    for number, draw in itertools.product(flags.samples, range(flags.draws)):
        options = Options(samples=number, seed=flags.seed + 1000 * number + draw)
        made, _ = predictor.of_method(method, flags.run_dir, flags.dataset, options)
        tally = Tally()
        for subject, maps in made.subjects(read()):
            tally.add(subject, maps["probability"], subject.inside(task))
        yield [method.name, "samples", number, draw, *tally.row()]


def subsets(count, most, seed):
    """{number: different subsets of that many of `count` members}, all where there are at most `most`."""
    random, found = np.random.default_rng(seed), {}
    for number in range(1, count + 1):
        every = list(itertools.islice(itertools.combinations(range(count), number), 100_000))
        chosen = random.choice(len(every), min(most, len(every)), replace=False)
        found[number] = [every[index] for index in sorted(chosen)]
    return found


def of_members(method, flags, read, task):
    """A row for each number of members and subset; every member predicts once."""
    from tfunc.maps import predictor
    from tfunc.maps.options import Options
    from tfunc.maps.predictives import Softmax
    from tfunc.nets import trained

    loaded, options = trained.load_all(flags.run_dir, method.networks, flags.dataset), Options()
    chosen = subsets(len(loaded), flags.subsets, flags.seed)
    tallies = {(number, draw): Tally() for number, every in chosen.items() for draw in range(len(every))}
    config = loaded[0].config

    def made(one):
        make = lambda: Softmax([one.model], options)  # noqa: E731
        return predictor.Predictor(make, config.channels, config.smallest, options, task=config.task)

    for together in zip(*(made(one).subjects(read()) for one in loaded), strict=True):
        subject, inside = together[0][0], together[0][0].inside(task)
        every = [maps["probability"] for _, maps in together]
        for (number, draw), tally in tallies.items():
            tally.add(subject, np.mean([every[index] for index in chosen[number][draw]], axis=0), inside)
    for (number, draw), tally in tallies.items():
        yield [method.name, "members", number, draw, *tally.row()]


def draw(rows):
    """A panel a measure, a line a method: the mean over draws, and their range as a band."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(9, 5.6), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(2, 2).flat, MEASURES.items(), strict=True):
        for method in dict.fromkeys(row[0] for row in rows):
            own = [row for row in rows if row[0] == method]
            numbers = sorted({row[2] for row in own})
            scale, column = 100 if name == "ece" else 1, COLUMNS.index(name)
            values = [[scale * row[column] for row in own if row[2] == number] for number in numbers]
            (line,) = axes.plot(numbers, [np.mean(v) for v in values], marker="o", markersize=3, label=method)
            band = [min(v) for v in values], [max(v) for v in values]
            axes.fill_between(numbers, *band, color=line.get_color(), alpha=0.2)
        axes.set(title=title, xscale="log", xlabel="samples or members")
        axes.xaxis.set_major_formatter(ScalarFormatter())
    figure.axes[0].legend(fontsize="small")
    return figure


def numbers(text):
    return sorted({int(part) for part in text.split(",")})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--methods", required=True)
    parser.add_argument("--run_dir")
    parser.add_argument("--data_dir")
    parser.add_argument("--out_dir", default="settling")
    parser.add_argument("--split", default="test")
    parser.add_argument("--samples", type=numbers, default=[1, 2, 5, 10, 20, 50])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--subsets", type=int, default=10)
    parser.add_argument("--seed", type=int, default=20)
    flags = parser.parse_args()
    flags.run_dir = flags.run_dir or f"runs/{flags.dataset}"
    data_dir, out = flags.data_dir or f"data/{flags.dataset}", pathlib.Path(flags.out_dir)
    manifest = runs.read_records(data_dir, flags.dataset)
    if not manifest.task.is_binary:
        raise UserError(f"--dataset={flags.dataset}", expected="two classes", found=str(len(manifest.task.classes)))
    names = [entry.name for entry in manifest.split(flags.split)]
    chosen = [methods.get(name) for name in flags.methods.split(",")]
    for method in chosen:
        if method.kind != "probability" or not (method.sampled or method.coherent):
            raise UserError("--methods", expected="methods that average samples or members", found=method.name)
    start_tensorflow()
    rows = []
    for method in chosen:
        found = of_samples if method.sampled else of_members
        for row in found(method, flags, lambda: records.read_subjects(data_dir, manifest, names), manifest.task):
            print("{} {} {} {}: ECE {:.4f}, U-E {:.4f}, Dice {:.4f}, entropy {:.4f}".format(*row), flush=True)
            rows.append(row)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "settling.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    drawing.save(out, "settling", draw, rows, endings=("png",))
    print(f"{out / 'settling.csv'}, {out / 'settling.png'}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
