"""Writes made-up subjects in the official raw layout of BraTS 2018 or ISIC 2017.

    python launch/phantom.py --dataset=brats --raw_dir=raw/brats
    python launch/phantom.py --dataset=isic --raw_dir=raw/isic --subjects=100 --shape=192,256

Takes about 3 s (20 BraTS subjects) or 1 s (40 ISIC photographs) on one core. The same seed gives the same files; a
folder that was interrupted is continued, and a finished one can be grown with a larger --subjects.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from absl import flags

from data_prep.base.errors import UserError, command
from data_prep.phantom import write as phantom
from launch import program

FLAGS = flags.FLAGS
flags.DEFINE_enum("dataset", None, phantom.DATASETS, "Which data set to imitate.", required=True)
flags.DEFINE_string("raw_dir", None, "Folder to write to: new, empty or an earlier phantom.", required=True)
flags.DEFINE_integer("subjects", None, "How many subjects, at least 3; default 20 (brats) or 40 (isic).")
flags.DEFINE_string("shape", None, "depth,height,width (brats, 24,64,64) or height,width (isic, 96,128); each >= 16.")
flags.DEFINE_integer("seed", 0, "Another seed gives other subjects.")


def main() -> None:
    written = phantom.write(FLAGS.dataset, FLAGS.raw_dir, FLAGS.subjects, _shape(FLAGS.shape), FLAGS.seed)
    size = "x".join(map(str, written.shape))
    print(
        f"{written.new + written.kept} made-up {FLAGS.dataset} subjects ({written.new} new, {written.kept} kept), "
        f"{size}, seed {FLAGS.seed}, in {written.raw_dir}"
    )
    print(f"next: {program.typed(command('prepare', dataset=FLAGS.dataset, raw_dir=written.raw_dir))}")


def _shape(text):
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError("--shape", expected="whole numbers between commas", found=repr(text)) from None


if __name__ == "__main__":
    program.run(main)
