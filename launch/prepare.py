"""Converts raw data into sharded TFRecords: BraTS, ISIC, nnU-Net's and the Decathlon's form, images with masks.

    python launch/prepare.py --dataset=brats --raw_dir=DIR
    python launch/prepare.py --dataset=/data/nnUNet_raw/Dataset004_Hippocampus

BraTS: 33 MB a subject, so 9.5 GB for 285; half a second a subject. ISIC: 0.2 MB an image, 0.5 GB for 2750;
some tens of images a second and worker if they are small, far fewer if they are photographs of full size.
A killed run is continued by the same command. Result: the folder --data_dir with dataset.json, which names every shard
and subject; training and prediction read it.
"""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from launch import early

early.settle(__name__)

from absl import flags

from data_prep import convert, splits
from data_prep.base import pool
from data_prep.base.errors import command
from launch import program, raw_flags, workers

FLAGS = flags.FLAGS
raw_flags.define()
flags.adopt_module_key_flags(raw_flags)
flags.DEFINE_string("data_dir", None, "Folder for the records; default data/<name of the data set>.")
workers.define_scheduler()
flags.adopt_module_key_flags(workers)
flags.DEFINE_boolean("skip_bad", False, "Leave out subjects that cannot be converted, and list them in the manifest.")


def main() -> None:
    task, raw_dir = raw_flags.task()
    data_dir = FLAGS.data_dir or f"data/{task.name}"
    with pool.executor(FLAGS.workers, FLAGS.scheduler, tensorflow=False) as executor:
        manifest = convert.convert(
            task,
            raw_dir,
            data_dir,
            raw_flags.chosen(task),
            **raw_flags.split(),
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


if __name__ == "__main__":
    program.run(main)
