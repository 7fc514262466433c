"""Flags that several launchers share, and what they mean."""

import math
import pathlib

from absl import flags

from data_prep.base.errors import UserError

FLAGS = flags.FLAGS
TRAINING = [
    "epochs",
    "max_steps",
    "batch_size",
    "start_filters",
    "depth",
    "learning_rate",
    "average_weights",
    "patience",
    "seed",
    "precision",
    "augment",
    "deterministic",
    "reference_quirks",
    "folds",
]


def define_dataset():
    flags.DEFINE_enum("dataset", None, ["brats", "isic"], "which dataset", required=True)
    flags.DEFINE_string("data_dir", None, "folder of the records (default data/<dataset>)")
    flags.DEFINE_string("run_dir", None, "folder of the run (default runs/<dataset>)")
    flags.DEFINE_list("devices", None, "such as GPU:0,GPU:1 (default: all GPUs, else the CPU)")


def define_training():
    flags.DEFINE_integer("epochs", None, "passes over the training slices (default: the reference's, 50 or 100)")
    flags.DEFINE_integer("max_steps", None, "stop after that many steps, however many epochs they are")
    flags.DEFINE_integer("batch_size", 32, "slices a step, over all devices together")
    flags.DEFINE_integer("start_filters", 32, "channels of the outermost level")
    flags.DEFINE_integer("depth", 4, "number of poolings")
    flags.DEFINE_float("learning_rate", 1e-4, "Adam's")
    flags.DEFINE_bool(
        "average_weights",
        False,
        "validate and keep the exponential moving average of the weights, with a decay of 0.99",
    )
    flags.DEFINE_integer("patience", None, "stop after that many epochs without a better Dice (default: never)")
    flags.DEFINE_integer("seed", 20, "of weights, order and dropout; member k of the ensemble adds k")
    flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "of the convolutions; losses stay float32")
    flags.DEFINE_enum(
        "augment", "none", ["none", "light", "strong"], "random changes of the training slices; the paper has none"
    )
    flags.DEFINE_bool("deterministic", False, "the same result to the bit, at some cost of speed")
    flags.DEFINE_integer("ensemble_size", 10, "members of the ensemble", lower_bound=1)
    flags.DEFINE_integer("folds", 5, "of the cross-validation behind auxiliary_segm", lower_bound=2)
    flags.DEFINE_bool(
        "reference_quirks", False, "epochs, selection and subsets as in the reference code, leaks included"
    )


def training():
    """The user's part of a training's configuration."""
    return {name: FLAGS[name].value for name in TRAINING}


def data_dir():
    return pathlib.Path(FLAGS.data_dir or f"data/{FLAGS.dataset}")


def run_dir():
    return pathlib.Path(FLAGS.run_dir or f"runs/{FLAGS.dataset}")


def given(names=("data_dir", "run_dir")):
    """` --name=value` for those of the flags that were given, to print the next command as it must be typed."""
    return "".join(f" --{name}={FLAGS[name].value}" for name in names if FLAGS[name].present)


def sigma_range(values):
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
