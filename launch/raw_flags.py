"""Flags that say which raw data are meant and how they are read: of `prepare`, and of `check`, which looks at them beforehand."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import msgspec
from absl import flags

from data_prep import datasets, tasks
from data_prep.base.errors import UserError
from data_prep.readers import folders, labels, photographs
from launch import ceilings

FLAGS = flags.FLAGS


def define() -> None:
    """--dataset, --raw_dir, and whatever says how subjects are divided and read."""
    _define_data()
    _define_reading()


def _define_data():
    flags.DEFINE_string(
        "dataset",
        None,
        f"What the raw data are: {', '.join(tasks.TASKS)}, or a folder that says it itself (docs/howto/own_data.md).",
    )
    flags.DEFINE_string("raw_dir", None, "Folder, or URL, of the raw data, where --dataset is a name.")
    flags.DEFINE_list(
        "split_file",
        [],
        "Split files (JSON), comma separated, at most one of each form: flat lists; an ensemble's lists of lists; "
        "cross-validation's lists of lists. Default: the official split, or one by --seed.",
    )
    flags.DEFINE_integer(
        "split_fold",
        None,
        "Where a cross-validation file stands alone: the fold to use; default 0.",
        lower_bound=0,
        upper_bound=ceilings.PASSES,
    )
    flags.DEFINE_boolean("follow_links", False, "Read what links in the raw data lead to outside of their folder.")
    flags.DEFINE_boolean("allow_missing", False, "Leave out subjects of the split files that the data do not have.")
    flags.DEFINE_string(
        "patients",
        None,
        "Table (CSV) of subject and patient: splits keep a patient's subjects together. Default: by name.",
    )
    flags.DEFINE_list(
        "ratio",
        None,
        "train,valid,test: how subjects are divided, where neither a file nor the layout says it; as 14,10,16.",
    )
    flags.DEFINE_integer(
        "seed",
        100,
        "Seed of the split, where neither a file nor the layout says it.",
        upper_bound=ceilings.SEED,
    )


def _define_reading():
    flags.DEFINE_string("image_size", None, "Photographs: height,width to resize to; isic's default 192,256.")
    flags.DEFINE_enum(
        "intensity",
        None,
        ["unit", "minmax"],
        "Photographs: divide by 255 (unit, the default) or stretch each image (minmax).",
    )
    flags.DEFINE_string(
        "label_map",
        None,
        "brats: what is tumour, as 1:1,2:1,4:1; default any known label but 0. brats_regions: its classes by number.",
    )
    flags.DEFINE_boolean(
        "allow_negative", None, "brats: take volumes that look normalised, with negative voxels, as they are."
    )
    flags.DEFINE_integer(
        "workers",
        min(8, os.cpu_count() or 1),
        "Subjects converted at the same time.",
        lower_bound=1,
        upper_bound=ceilings.PROCESSES,
    )


def task() -> tuple[tasks.Task, pathlib.Path]:
    """(what is segmented, the folder of the raw data), as the flags say; raises `UserError`."""
    if not FLAGS.dataset:
        raise UserError("--dataset", expected="a value", found="none", do="see --helpshort")
    with folders.kept_within(FLAGS.raw_dir or FLAGS.dataset, FLAGS.follow_links):
        found, raw_dir = datasets.find(FLAGS.dataset, FLAGS.raw_dir)
    if FLAGS.ratio is not None:
        found = msgspec.structs.replace(found, ratio=parse_ratio(FLAGS.ratio))
    return found, raw_dir


def chosen(task: tasks.Task) -> dict[str, Any]:
    """`options` of the flags."""
    return options(task, FLAGS.image_size, FLAGS.intensity, FLAGS.label_map, FLAGS.allow_negative)


def split() -> dict[str, Any]:
    """How subjects are divided, as `splits.assign` has it."""
    return {
        "seed": FLAGS.seed,
        "split_files": FLAGS.split_file,
        "split_fold": FLAGS.split_fold,
        "allow_missing": FLAGS.allow_missing,
    }


def options(
    task: tasks.Task,
    image_size: str | None,
    intensity: tasks.Normalise | None,
    label_map: str | None,
    allow_negative: bool | None = None,
) -> dict[str, Any]:
    """What the task's reader is given, from flags (None where not given).

    Which flags a task takes follows from its form; raises `UserError` for one of the other's.
    """
    given = {"image_size": image_size, "intensity": intensity, "label_map": label_map, "allow_negative": allow_negative}
    for name, value in given.items():
        if value is not None and name not in tasks.options(task):
            found = f"--dataset={task.name}"
            raise UserError(f"--{name}", expected="another dataset", found=found, do="leave it out")
    if not task.is_photograph:
        more = {"allow_negative": True} if allow_negative else {}  # folders from before the flag have no such entry
        return {"label_map": labels.parse_map(label_map, classes=len(task.classes)), **more}
    frame = None if image_size is None else parse_size(image_size)
    return tasks.load_options(tasks.resolved(task, normalise=intensity, frame=frame))


def parse_ratio(parts: Sequence[str]) -> tuple[int, int, int]:
    """(train, valid, test) of --ratio; raises `UserError` for anything but three whole numbers above 0."""
    train, valid, test = _whole(parts, 3, f"--ratio={','.join(parts)}", "three whole numbers above 0: train,valid,test")
    return train, valid, test


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of `192,256`."""
    height, width = _whole(text.split(","), 2, f"--image_size={text}", "height,width as 192,256")
    if height * width > photographs.MAX_PIXELS:
        raise UserError(f"--image_size={text}", expected=f"at most {photographs.MAX_PIXELS} pixels")
    return height, width


def _whole(parts, count, where, expected):
    """So many whole numbers above 0; raises `UserError` for others, and for any that no data set comes near."""
    if len(parts) != count or not all(part.strip().isdecimal() and part.strip(" 0") for part in parts):
        raise UserError(where, expected=expected)
    if any(len(part.strip()) > len(str(ceilings.SIDE)) or int(part) > ceilings.SIDE for part in parts):
        raise UserError(where[:80], expected=f"{expected}, each at most {ceilings.SIDE}")
    return [int(part) for part in parts]
