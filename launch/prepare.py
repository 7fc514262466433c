"""Converts raw data into sharded TFRecords: BraTS, ISIC, nnU-Net's and the Decathlon's form, images with masks.

    python launch/prepare.py --dataset=brats --raw_dir=DIR
    python launch/prepare.py --dataset=/data/nnUNet_raw/Dataset004_Hippocampus

BraTS: 33 MB a subject, so 9.5 GB for 285; half a second a subject. ISIC: 0.2 MB an image, 0.5 GB for 2750;
some tens of images a second and worker if they are small, far fewer if they are photographs of full size.
A killed run is continued by the same command. Result: the folder --data_dir with dataset.json, which names every shard
and subject; training and prediction read it.
"""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from launch import early

early.settle(__name__)

import msgspec
from absl import flags

from data_prep import convert, datasets, splits, tasks
from data_prep.base import pool
from data_prep.base.errors import UserError, command
from data_prep.readers import folders, labels, photographs
from launch import ceilings, program

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "dataset",
    None,
    f"What the raw data are: {', '.join(tasks.TASKS)}, or a folder that says it itself (docs/howto/own_data.md).",
)
flags.DEFINE_string("raw_dir", None, "Folder of the raw data, where --dataset is a name.")
flags.DEFINE_string("data_dir", None, "Folder for the records; default data/<name of the data set>.")
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
    "patients", None, "Table (CSV) of subject and patient: splits keep a patient's subjects together. Default: by name."
)
flags.DEFINE_boolean("skip_bad", False, "Leave out subjects that cannot be converted, and list them in the manifest.")
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


def main() -> None:
    if not FLAGS.dataset:
        raise UserError("--dataset", expected="a value", found="none", do="see --helpshort")
    with folders.kept_within(FLAGS.raw_dir or FLAGS.dataset, FLAGS.follow_links):
        task, raw_dir = datasets.find(FLAGS.dataset, FLAGS.raw_dir)
    if FLAGS.ratio is not None:
        task = msgspec.structs.replace(task, ratio=parse_ratio(FLAGS.ratio))
    data_dir = FLAGS.data_dir or f"data/{task.name}"
    with pool.executor(FLAGS.workers, tensorflow=False) as executor:
        manifest = convert.convert(
            task,
            raw_dir,
            data_dir,
            options(task, FLAGS.image_size, FLAGS.intensity, FLAGS.label_map, FLAGS.allow_negative),
            seed=FLAGS.seed,
            split_files=FLAGS.split_file,
            split_fold=FLAGS.split_fold,
            allow_missing=FLAGS.allow_missing,
            patients=FLAGS.patients,
            skip_bad=FLAGS.skip_bad,
            follow_links=FLAGS.follow_links,
            executor=executor,
            workers=FLAGS.workers,
        )
    for line in convert.summary(manifest):
        print(line)
    print(f"manifest: {manifest.path}")
    if any(subject.labelled for subject in manifest.subjects):
        follows = command("train", method="baseline", dataset=task.name)
    else:  # nothing to learn from: a cohort for networks that are trained already
        follows = command("predict", method="baseline", dataset=task.name, split=splits.PREDICT, data_dir=data_dir)
    print(f"next: {program.typed(follows)}")


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


if __name__ == "__main__":
    program.run(main)
