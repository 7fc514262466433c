"""Recalibrates a method on subjects it never saw: a temperature, thresholds of outer masks, intervals of volumes.

    python launch/predict.py     --method=baseline --dataset=brats --split=valid
    python launch/recalibrate.py --method=baseline --dataset=brats

Reads the written probabilities and the labels of --calibration_split, never of the test split, and runs no network. With the
validation set, which chose the epoch, guarantees are approximate; a split file may name a set that chose nothing
(docs/howto/data.md).
Writes <run_dir>/recalibration/<method>.json, which `predict`, `evaluate` and `export` use with --recalibrated.
"""

import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from launch import early

early.settle(__name__)

from absl import flags

from data_prep.base.errors import UserError, command
from launch import program, settings, workers
from tfunc import methods
from tfunc.scoring import recalibrate
from tfunc.scoring.recalibration import Guarantees, Recalibration

FLAGS = flags.FLAGS
flags.DEFINE_enum("method", None, list(methods.METHODS), "which method; one whose map is a probability", required=True)
flags.DEFINE_string("dataset", None, "which data set: the name that it was prepared under", required=True)
flags.DEFINE_string("data_dir", None, "folder of the records (default data/<dataset>)")
flags.DEFINE_string("run_dir", None, "folder of the run (default runs/<dataset>)")
flags.DEFINE_string("calibration_split", "valid", "whose predictions it is fitted on: any split but train and test")
flags.DEFINE_list(
    "alphas",
    [f"{alpha:g}" for alpha in recalibrate.ALPHAS],
    "shares of a lesion that an outer mask may miss, in expectation over patients",
)
workers.define()
flags.adopt_module_key_flags(workers)
WAYS = {
    "before": "as written",
    "temperature": "one temperature",
    "by_subject": "one a subject, left out",
    "isotonic": "isotonic, on its own",
}


def main() -> None:
    dataset = settings.dataset()
    where = settings.run_dir(), settings.data_dir(), dataset, FLAGS.method
    done = recalibrate.recalibrate(*where, _pool, FLAGS.calibration_split, _alphas())
    if not done.fresh:
        print(f"{done.path}: finished already")
    print(*lines(done.found), sep="\n")
    print(f"written: {done.path}")
    print(f"next: {program.typed(command('evaluate', dataset=dataset))} --recalibrated")


def _alphas() -> list[float]:
    try:
        return [float(alpha) for alpha in FLAGS.alphas]
    except ValueError:
        expected = "numbers between 0 and 1, as 0.05,0.1"
        raise UserError("--alphas", expected=expected, found=",".join(FLAGS.alphas)) from None


def _pool(size):
    return settings.counting_pool(size, FLAGS.workers, FLAGS.scheduler)


def lines(found: Recalibration) -> list[str]:
    """What a recalibration comes to, for people."""
    fitted, count = found.temperature, len(found.subjects)
    doubt = ", at the bound: no temperature within it fits" if fitted.at_bound else ""
    doubt = ", undefined: any fits as well" if fitted.undefined else doubt
    said = [
        f"{found.method}: temperature {fitted.temperature:.4g}{doubt}; NLL {fitted.before:.4g} before, "
        f"{fitted.likelihood:.4g} after; {count} subject{'s' * (count != 1)} of {found.split}",
        f"{'ECE %':24} {'dataset':>8} {'subjects':>9}",
    ]
    for way, one in found.calibration.items():
        said.append(f"  {WAYS[way]:22} {_percent(one.dataset):>8} {_percent(one.subjects):>9}")
    if found.by_subject is not None:
        own = found.by_subject
        said.append(
            f"error of log T, each subject left out: {own.error:.3f} from its map, {own.constant_error:.3f} from the others' mean"
        )
    for name, region in found.guarantees.items():
        said += _guaranteed(name, region)
    said.append(f"in expectation over patients; assumed: {found.assumed}")
    if found.approximate:
        said.append(f"approximate: {found.split} chose the networks' best epoch, so these subjects chose something")
    return said


def _guaranteed(name: str, region: Guarantees) -> list[str]:
    """What is guaranteed of a region, or how many subjects that would take."""
    said = []
    for one in region.thresholds:
        if one.threshold is None:
            what = f"can't be certified: {one.needed} subjects with a lesion are needed, there are {region.lesions}"
        else:
            what = f"the mask p >= {one.threshold:.4g} misses at most that share of a lesion"
        said.append(f"{name}, alpha {one.alpha:g}: {what}")
    volume = region.volume
    what = "any: too few subjects" if volume.width is None else f"within a factor of {math.exp(volume.width):.3g}"
    return [*said, f"{name}, volume: {what}, in {volume.coverage:.1%} of patients"]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3f}"


if __name__ == "__main__":
    program.run(main)
