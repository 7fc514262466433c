"""Writes made-up subjects in the official raw layout of BraTS 2018 or ISIC 2017, or organs as any data set may lie.

    python launch/phantom.py --dataset=brats --raw_dir=raw/brats
    python launch/phantom.py --dataset=isic --raw_dir=raw/isic --subjects=100 --shape=192,256
    python launch/phantom.py --dataset=organs --raw_dir=raw/Dataset900_Organs --form=nnunet

Takes about 3 s (20 BraTS subjects), 1 s (40 ISIC photographs) or 2 s (27 abdomens) on one core. The same seed gives the
same files; a folder that was interrupted is continued, and a finished one can be grown with a larger --subjects.
"""

import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from launch import early

early.settle(__name__)

from absl import flags

from data_prep import tasks
from data_prep.base.errors import UserError, command
from data_prep.phantom import write as phantom
from data_prep.readers import photographs
from launch import ceilings, program

FLAGS = flags.FLAGS
flags.DEFINE_enum("dataset", None, phantom.DATASETS, "Which data set to imitate.", required=True)
flags.DEFINE_string("raw_dir", None, "Folder to write to: new, empty or an earlier phantom.", required=True)
flags.DEFINE_integer(
    "subjects",
    None,
    "How many subjects, at least 3; default 20 (brats), 40 (isic) or 24 (organs).",
    lower_bound=1,
    upper_bound=ceilings.SUBJECTS,
)
flags.DEFINE_string(
    "shape", None, "depth,height,width (brats 24,64,64, organs about 20,64,64) or height,width (isic 96,128); >= 16."
)
flags.DEFINE_integer("seed", 0, "Another seed gives other subjects.", lower_bound=0, upper_bound=ceilings.SEED)
flags.DEFINE_string(
    "form", None, "organs: nnunet (nnU-Net's raw form) or decathlon (the Medical Segmentation Decathlon's)."
)


def main() -> None:
    asked = FLAGS.subjects, _shape(FLAGS.shape), FLAGS.seed, FLAGS.form
    written = phantom.write(FLAGS.dataset, FLAGS.raw_dir, *asked)
    size = "x".join(map(str, written.shape))
    print(
        f"{written.new + written.kept} made-up {FLAGS.dataset} subjects ({written.new} new, {written.kept} kept), "
        f"{size}, seed {FLAGS.seed}, in {written.raw_dir}"
    )
    known = FLAGS.dataset in tasks.TASKS  # else the folder says what is in it
    where = {"dataset": FLAGS.dataset, "raw_dir": written.raw_dir} if known else {"dataset": written.raw_dir}
    print(f"next: {program.typed(command('prepare', **where))}")


def _shape(text):
    if text is None:
        return None
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError("--shape", expected="whole numbers between commas", found=repr(text)[:80]) from None
    if math.prod(map(abs, shape)) > photographs.MAX_PIXELS:
        raise UserError(f"--shape={text}", expected=f"at most {photographs.MAX_PIXELS} voxels")
    return shape


if __name__ == "__main__":
    program.run(main)
