"""Flags that several launchers share, and what they mean."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence

from absl import flags

from data_prep import tasks
from data_prep.base.errors import UserError
from tfunc.learning.settings import SETTINGS, Settings

FLAGS = flags.FLAGS
TRAINING = tuple(row.name for row in SETTINGS)  # a row there is a flag here, of the study too


def define_dataset() -> None:
    """--dataset, --data_dir, --run_dir and --devices."""
    flags.DEFINE_enum("dataset", None, list(tasks.TASKS), "which dataset", required=True)
    flags.DEFINE_string("data_dir", None, "folder of the records (default data/<dataset>)")
    flags.DEFINE_string("run_dir", None, "folder of the run (default runs/<dataset>)")
    flags.DEFINE_list("devices", None, "such as GPU:0,GPU:1 (default: all GPUs, else the CPU)")


def define_training() -> None:
    """A flag for each row of the trainings' settings; their values are checked where a training is planned or begun."""
    for row in SETTINGS:
        _define(row)


def _define(row):
    if row.choices:
        flags.DEFINE_enum(row.name, row.default, row.choices, row.help)
    else:
        kinds = {int: flags.DEFINE_integer, float: flags.DEFINE_float, bool: flags.DEFINE_bool, str: flags.DEFINE_string}
        kinds[row.kind](row.name, row.default, row.help)


def training() -> Settings:
    """The user's part of a training's configuration."""
    return {name: FLAGS[name].value for name in TRAINING}


def data_dir() -> pathlib.Path:
    """The folder of the records."""
    return pathlib.Path(FLAGS.data_dir or f"data/{FLAGS.dataset}")


def run_dir() -> pathlib.Path:
    """The folder of the run."""
    return pathlib.Path(FLAGS.run_dir or f"runs/{FLAGS.dataset}")


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
