"""Asks a TensorFlow Serving address for one patient's or photograph's maps, and writes them as predict --input does.

    python launch/request.py --dataset=brats --model=brats_baseline_mc --input=patient_folder --out_dir=maps
    python launch/request.py --dataset=isic --model=isic_ensemble --server=grpc://host:8500 --input=photo.jpg --out_dir=maps

Seconds for a photograph; for a patient as long as the server takes. docs/serving.md says how to start one.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from absl import flags

from data_prep import tasks, voxel_order
from data_prep.base.errors import UserError
from launch import program

FLAGS = flags.FLAGS
flags.DEFINE_enum("dataset", None, list(tasks.TASKS), "which dataset the model was trained on", required=True)
flags.DEFINE_string("server", "http://localhost:8501", "REST as http://host:8501, or gRPC as grpc://host:8500")
flags.DEFINE_string("model", None, "the model's name at the server", required=True)
flags.DEFINE_integer("version", None, "of the model (default: the latest that is served)", lower_bound=0)
flags.DEFINE_string("input", None, "a folder with the four modalities, or an image", required=True)
flags.DEFINE_string("out_dir", None, "where the maps go", required=True)
flags.DEFINE_float("timeout", 600.0, "seconds to wait for an answer")
flags.DEFINE_string(
    "voxel_order",
    voxel_order.DISTRIBUTED,
    "volumes: the order that the model was trained in, which export says; `as_is` sends voxels as they lie",
)
flags.DEFINE_bool("full_size", False, "photographs: also write PNG maps at the photograph's own size")


def main() -> None:
    from tfunc.serving import client, transport

    task = tasks.find(FLAGS.dataset)
    if FLAGS.full_size and not task.is_photograph:
        raise UserError("--full_size", expected="a --dataset of photographs", found=FLAGS.dataset)
    if not 0 < FLAGS.timeout <= 86400:
        raise UserError(f"--timeout={FLAGS.timeout:g}", expected="seconds above 0, at most 86400")
    connection = transport.connect(FLAGS.server, FLAGS.model, FLAGS.version, FLAGS.timeout)
    order = None if FLAGS.voxel_order == "as_is" else voxel_order.parse(FLAGS.voxel_order, "--voxel_order")
    answer = client.request(connection, task, FLAGS.input, FLAGS.out_dir, FLAGS.full_size, order)
    prediction = answer.maps["prediction"]
    volume = f", {answer.document['predicted_volume_ml']:,.1f} ml" if "predicted_volume_ml" in answer.document else ""
    share = f"{int(prediction.sum()):,} foreground voxels ({prediction.mean():.2%}){volume}"
    print(f"{answer.name}: {share}; maps in {FLAGS.out_dir}")


if __name__ == "__main__":
    program.run(main)
