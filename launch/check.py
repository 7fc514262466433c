"""Looks at raw data, records or a run, and says what is wrong, odd or unfinished in them, and how to mend it.

    python launch/check.py --dataset=brats --raw_dir=DIR                   # before preparing: what it would refuse, and more
    python launch/check.py --data_dir=data/brats                           # every checksum, count and slice of the records
    python launch/check.py --data_dir=data/brats --run_dir=runs/brats      # the run too, and whether it is of these records

Reads everything once: about a second a BraTS subject and process, a hundredth of one a small photograph. Writes nothing. Ends
with 0 where there is nothing but warnings and notes, with 2 where there are errors, with --strict also where there are warnings.
"""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from launch import early

early.settle(__name__)

from absl import flags

from data_prep import tasks
from data_prep.base import pool
from data_prep.base.errors import UserError
from data_prep.base.findings import Finding, finding
from data_prep.check import raw, records, report
from data_prep.manifest import Manifest
from launch import program, raw_flags, settings
from tfunc import __version__
from tfunc.check import run

FLAGS = flags.FLAGS
raw_flags.define()
flags.adopt_module_key_flags(raw_flags)
flags.DEFINE_string("data_dir", None, "Folder of records to look at.")
flags.DEFINE_string("run_dir", None, "Folder of a run to look at; with --data_dir also whether it is of those records.")
flags.DEFINE_enum("format", "text", ["text", "json"], "How findings are printed: for people, or as one JSON document.")
flags.DEFINE_boolean("strict", False, "End with 2 where there are warnings, too.")


def main() -> None:
    checked = {name: str(FLAGS[name].value) for name in ("raw_dir", "data_dir", "run_dir") if FLAGS[name].value}
    if "raw_dir" not in checked and not {"data_dir", "run_dir"} & set(checked):
        if FLAGS.dataset is None or FLAGS.dataset in tasks.TASKS:
            raise UserError(
                "--raw_dir, --data_dir or --run_dir", expected="a value", found="none", do="see --helpshort"
            )
        checked = {"raw_dir": FLAGS.dataset}
    for name, folder in checked.items():
        if not pathlib.Path(folder).is_dir():
            raise UserError(f"--{name}={folder}", expected="a folder", found="none there", do="correct the path")
    found: list[Finding] = []
    counts: dict[str, int] = {}
    manifest = None
    if "data_dir" in checked:
        manifest = _records(found, counts)
    if "raw_dir" in checked:
        _raw(found, counts, manifest)
    if "run_dir" in checked:
        _run(found, counts, manifest)
    made = report.report(found, __version__, checked, counts, program.typed)
    print(made.json() if FLAGS.format == "json" else "\n".join(report.lines(made)), flush=True)
    if made.counts["error"] or (FLAGS.strict and made.counts["warning"]):
        where = ", ".join(checked.values())
        raise UserError(where, expected="nothing to mend", found=report.counted(made), do="mend what is said above")


def _raw(found: list[Finding], counts: dict[str, int], manifest: Manifest | None) -> None:
    try:
        task, raw_dir = raw_flags.task()
    except UserError as error:
        if error.arguments[0].startswith("--"):  # a flag, and not the data
            raise
        found.append(Finding("error", raw.UNUSABLE, error))
        return
    asked = raw.Raw(
        task, raw_dir, raw_flags.chosen(task), raw_flags.split(), FLAGS.patients, follow_links=FLAGS.follow_links
    )
    with pool.executor(FLAGS.workers, tensorflow=False) as executor:
        mine, counts["raw_subjects"] = raw.check(asked, executor, FLAGS.workers, manifest)
    found += mine


def _records(found: list[Finding], counts: dict[str, int]) -> Manifest | None:
    size = sum(path.stat().st_size for path in pathlib.Path(FLAGS.data_dir).glob("*.tfrecord"))
    with settings.counting_pool(size, _workers(), None) as executor:
        mine, manifest = records.check(FLAGS.data_dir, executor, FLAGS.workers)
    found += mine
    if manifest is None:
        return None
    counts["prepared_subjects"] = len(manifest.subjects)
    if FLAGS.dataset and manifest.task.name != pathlib.Path(FLAGS.dataset).resolve().name:
        expected, do = f"records of {FLAGS.dataset}", "give its --data_dir, or the --dataset of these"
        found.append(
            finding("error", "other data set", manifest.path, expected=expected, found=manifest.task.name, do=do)
        )
    return manifest


def _run(found: list[Finding], counts: dict[str, int], manifest: Manifest | None) -> None:
    size = sum(path.stat().st_size for path in pathlib.Path(FLAGS.run_dir).glob("predictions/*/*.nii.gz"))
    with settings.counting_pool(size, _workers(), None) as executor:
        mine, own = run.check(FLAGS.run_dir, executor, FLAGS.workers, manifest)
    found += mine
    counts.update(own)


def _workers() -> int | None:
    """How many processes were asked for; None leaves it to what there is to do."""
    return FLAGS.workers if FLAGS["workers"].present else None


if __name__ == "__main__":
    program.run(main)
