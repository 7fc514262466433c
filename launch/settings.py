"""Flags that several launchers share, and what they mean."""

from __future__ import annotations

import contextlib
import math
import pathlib
from collections.abc import Sequence
from concurrent.futures import Executor

from absl import flags

from data_prep import tasks
from data_prep.base import pool
from data_prep.base.errors import UserError, command
from launch import ceilings
from tfunc import runs
from tfunc.learning.settings import SETTINGS, Settings

FLAGS = flags.FLAGS
SMALL = 32 << 20  # bytes of maps that one process scores before others have even started
TRAINING = tuple(row.name for row in SETTINGS)  # a row there is a flag here, of the study too


def define_dataset() -> None:
    """--dataset, --data_dir, --run_dir and --devices."""
    flags.DEFINE_string("dataset", None, "which data set: the name that it was prepared under", required=True)
    flags.DEFINE_string("data_dir", None, "folder, or URL, of the records (default data/<dataset>)")
    flags.DEFINE_string("run_dir", None, "folder, or URL, of the run (default runs/<dataset>)")
    flags.DEFINE_list("devices", None, "such as GPU:0,GPU:1 (default: all GPUs, else the CPU)")


def define_training() -> None:
    """A flag for each row of the trainings' settings; their values are checked where a training is planned or begun."""
    for row in SETTINGS:
        _define(row)


def _define(row):
    if row.read is not None:
        flags.DEFINE_string(row.name, row.default, row.help)
        flags.register_validator(row.name, lambda value: (row.read(value), True)[1])  # which raises, in one line
    elif row.choices:
        flags.DEFINE_enum(row.name, row.default, row.choices, row.help)
    else:
        kinds = {
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            bool: flags.DEFINE_bool,
            str: flags.DEFINE_string,
        }
        bounds = {"lower_bound": row.lowest, "upper_bound": ceilings.TRAINING[row.name]} if row.kind is int else {}
        kinds[row.kind](row.name, row.default, row.help, **bounds)


def training() -> Settings:
    """The user's part of a training's configuration."""
    return {name: FLAGS[name].value for name in TRAINING}


def dataset() -> str:
    """The data set's name; a folder that was given in its place, as `prepare` takes it, stands for its own name.

    Raises `UserError` for a name that neither the table has nor a folder where data or runs lie by default.
    """
    if FLAGS.dataset in tasks.TASKS:
        return str(FLAGS.dataset)
    name = pathlib.Path(FLAGS.dataset).resolve().name
    if not (FLAGS.data_dir or FLAGS.run_dir) and not any(pathlib.Path(top, name).is_dir() for top in ("data", "runs")):
        expected = f"one of {', '.join(tasks.TASKS)}, or a data set that was prepared, in data/{name}"
        do = ("prepare it: ", command("prepare", dataset="FOLDER"))
        raise UserError(f"--dataset={FLAGS.dataset}", expected=expected, found="no such folder", do=do)
    return name


def data_dir() -> pathlib.Path:
    """The folder of the records."""
    return pathlib.Path(FLAGS.data_dir or f"data/{dataset()}")


def task() -> tasks.Task:
    """What is segmented: of a run, where it has a network, else of the records; raises `NotReady` where there is neither."""
    if dataset() in tasks.TASKS:
        return tasks.find(dataset())
    for config in sorted((run_dir() / "networks").glob(f"*/{runs.CONFIG}")):
        return runs.read_config(config.parent).task
    return runs.read_records(data_dir(), dataset()).task


def run_dir() -> pathlib.Path:
    """The folder of the run."""
    return pathlib.Path(FLAGS.run_dir or f"runs/{dataset()}")


def counting_pool(size: int, workers: int | None, scheduler: str | None) -> contextlib.AbstractContextManager[Executor]:
    """Where maps of so many bytes are counted, asked for where there is something to count; no TensorFlow is needed there."""
    return pool.executor(workers or (1 if size <= SMALL else pool.cpus()), scheduler, tensorflow=False)


def sigma_range(values: Sequence[str] | None) -> tuple[float, float] | None:
    """(lowest, highest) of --sigma_range=MIN,MAX, or None where it isn't given."""
    if values is None:
        return None
    try:
        low, high = (float(value) for value in values)
    except ValueError:
        low, high = 0.0, 0.0
    if not (low < high and math.isfinite(high - low)):
        raise UserError(f"--sigma_range={','.join(values)}", expected="MIN,MAX with MIN below MAX")
    return low, high
