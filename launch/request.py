"""Asks a TensorFlow Serving address for the maps of patients or photographs, and writes them as predict --input does.

    python launch/request.py --model=brats_baseline_mc --input=patient_folder --out_dir=maps
    python launch/request.py --model=isic_ensemble --server=grpc://host:8500 --input=photo.jpg --out_dir=maps

The model says what it was trained on; one that was exported before it could needs --dataset, and volumes --voxel_order.
Seconds for a photograph; for a patient as long as the server takes. docs/howto/serving.md says how to start one.
"""

from __future__ import annotations

import pathlib
import sys
from typing import TYPE_CHECKING

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from launch import early

early.settle(__name__)

import numpy as np
from absl import flags

from data_prep import tasks, voxel_order
from data_prep.base.errors import UserError
from launch import ceilings, program

if TYPE_CHECKING:
    from tfunc.serving.client import Answer

FLAGS = flags.FLAGS
flags.DEFINE_enum("dataset", None, list(tasks.TASKS), "what a model was trained on that does not say it itself")
flags.DEFINE_string("server", "http://localhost:8501", "REST as http://host:8501, or gRPC as grpc://host:8500")
flags.DEFINE_string("model", None, "the model's name at the server", required=True)
flags.DEFINE_integer(
    "version", None, "of the model (default: the latest that is served)", lower_bound=0, upper_bound=ceilings.VERSION
)
flags.DEFINE_string(
    "input", None, "a patient's folder or image, a folder of them as imagesTs, or a pattern", required=True
)
flags.DEFINE_string("out_dir", None, "where the maps go", required=True)
flags.DEFINE_float("timeout", 600.0, "seconds to wait for an answer")
flags.DEFINE_string(
    "voxel_order",
    None,
    "volumes: the order that the model was trained in (default: the model's own, else LPS); `as_is`: as voxels lie",
)
flags.DEFINE_bool("full_size", False, "photographs: also write PNG maps at the photograph's own size")


def main() -> None:
    from tfunc.serving import client, transport

    dataset = tasks.find(FLAGS.dataset) if FLAGS.dataset else None
    if FLAGS.full_size and dataset and not dataset.is_photograph:
        raise UserError("--full_size", expected="a --dataset of photographs", found=FLAGS.dataset)
    if not 0 < FLAGS.timeout <= 86400:
        raise UserError(f"--timeout={FLAGS.timeout:g}", expected="seconds above 0, at most 86400")
    connection = transport.connect(FLAGS.server, FLAGS.model, FLAGS.version, FLAGS.timeout)
    order = FLAGS.voxel_order
    if order not in (None, client.AS_IS):
        order = voxel_order.parse(order, "--voxel_order")
    for answer in client.requests(connection, dataset, FLAGS.input, FLAGS.out_dir, FLAGS.full_size, order):
        print(f"{answer.name}: {_found(answer)}; maps in {FLAGS.out_dir}")


def _found(answer: Answer) -> str:
    """How much foreground there is, of several classes how much of each, and what `predict` would say of the subject."""
    from tfunc.maps import patient

    inside, numbers = answer.maps["prediction"] != 0, answer.document
    said = [f"{np.count_nonzero(inside):,} foreground voxels ({inside.mean():.2%})"]
    _, *classes = numbers.get("class_volumes_ml", {"background": 0}).items()
    said += [f"{name} {volume:,.1f} ml" for name, volume in classes]
    return ", ".join([*said, patient.line(numbers)])


if __name__ == "__main__":
    program.run(main)
