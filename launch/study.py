"""The whole study with one command: trains, predicts and evaluates what is not done yet.

    python launch/study.py --dataset=isic
    python launch/study.py --dataset=isic --dry_run        # only prints the plan
    python launch/study.py --dataset=isic --job_index=$I   # one job of the plan, for array jobs of a cluster
    python launch/study.py --dataset=isic --scheduler=tcp://host:8786   # on the workers of a Dask cluster

Each job is a process of its own with a log in `<run_dir>/study/logs`. Kill it at any moment; the same command continues.
With the paper's settings it is days of one GPU. Ends with Table 1.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from launch import early

early.settle(__name__)

from absl import flags

from data_prep.base.errors import UserError
from launch import ceilings, program, settings, workers
from tfunc import methods, runs
from tfunc.learning import settings as trainings
from tfunc.nets import precision
from tfunc.study import seeds
from tfunc.study.run import Study

FLAGS = flags.FLAGS
settings.define_dataset()
settings.define_training()
flags.adopt_module_key_flags(settings)
flags.DEFINE_list("methods", ["all"], f"all, or some of {', '.join(methods.METHODS)}")
flags.DEFINE_integer("samples", 20, "passes of the sampled methods", lower_bound=1, upper_bound=ceilings.PASSES)
flags.DEFINE_integer(
    "seeds",
    1,
    "train that many times, from --seed on, and tell how much Table 1 differs: seeds.csv",
    lower_bound=1,
    upper_bound=ceilings.PASSES,
)
flags.DEFINE_enum("threshold_split", "test", ["test", "valid"], "who chooses the thresholds of U-E and BnF")
flags.DEFINE_bool(
    "recalibrate", False,
    "also predict the validation set, on which methods are recalibrated and the score that ranks patients is chosen",
)  # fmt: skip
flags.DEFINE_bool("dry_run", False, "print the plan and stop")
flags.DEFINE_string("job", None, "run this one job of the plan")
flags.DEFINE_integer("job_index", None, "run the job of this number, from 0", lower_bound=0, upper_bound=ceilings.JOBS)
workers.define_scheduler()
flags.adopt_module_key_flags(workers)
flags.DEFINE_integer(
    "jobs_per_machine",
    1,
    "jobs at a time; each sees one GPU, shared where they are fewer",
    lower_bound=1,
    upper_bound=ceilings.PROCESSES,
)


def main() -> None:
    trainings.check(settings.training())
    if FLAGS.job is not None and FLAGS.job_index is not None:
        raise UserError("--job and --job_index", expected="one of them")
    if FLAGS.scheduler and FLAGS.jobs_per_machine > 1:
        expected = "no --scheduler beside it, whose workers run as many jobs as they have threads"
        raise UserError(f"--jobs_per_machine={FLAGS.jobs_per_machine}", expected=expected)
    manifest = runs.read_records(settings.data_dir(), settings.dataset())
    chosen = methods.parse(FLAGS.methods)
    of = seeds.of(settings.training(), FLAGS.seeds)
    jobs = seeds.jobs(
        manifest, chosen, settings.training(), of, FLAGS.samples, FLAGS.threshold_split, FLAGS.recalibrate
    )
    study = Study(jobs, settings.run_dir(), program.argv, _shared(), scheduler=FLAGS.scheduler)
    if FLAGS.dry_run:
        print(*study.describe(), sep="\n")
        return
    if FLAGS.job is not None or FLAGS.job_index is not None:
        study.run_one(_chosen(study))
        return
    study.run(FLAGS.jobs_per_machine)
    folder = runs.evaluation_dir(settings.run_dir())
    print(f"\n{(folder / 'table1.md').read_text(encoding='utf-8')}")
    if len(of) > 1:
        found = seeds.write(settings.run_dir(), [method.name for method in chosen], of)
        print(f"Over seeds, in {found['csv']}:\n\n{found['md'].read_text(encoding='utf-8')}")
    print("Pictures:")
    print(*(f"  {path}" for path in sorted(folder.glob("*.png"))), sep="\n")
    print(f"Tables and counts: {folder}\nReport: open {program.quoted(folder / 'report.html')}")


def _shared() -> dict[str, list[str]]:
    """The flags that every job of a program gets: what was given here and what that program knows."""
    where = ["dataset", "data_dir", "run_dir", "devices"]
    known = {
        "train": [*where, *settings.TRAINING],
        "predict": [*where, "samples", "precision"],
        "evaluate": ["dataset", "data_dir", "run_dir", "threshold_split"],
        "recalibrate": ["dataset", "data_dir", "run_dir"],
    }
    if FLAGS.precision not in precision.OF_MAPS:  # maps choose their own, then
        known["predict"].remove("precision")
    return {name: [FLAGS[flag].serialize() for flag in wanted if FLAGS[flag].present] for name, wanted in known.items()}


def _chosen(study: Study) -> str:
    names = list(study.jobs)
    if FLAGS.job is not None:
        if FLAGS.job not in names:
            raise UserError(f"--job={FLAGS.job}", expected=f"one of {', '.join(names)}")
        return FLAGS.job
    if not 0 <= FLAGS.job_index < len(names):
        raise UserError(f"--job_index={FLAGS.job_index}", expected=f"0 to {len(names) - 1}")
    return names[FLAGS.job_index]


if __name__ == "__main__":
    program.run(main)
