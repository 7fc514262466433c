"""Trains the network of a method, or finds it trained.

    python launch/train.py --method=aleatoric --dataset=brats

Continues where it was stopped, at the very step. The paper's settings are the defaults: the BraTS baseline takes days on
a CPU and hours on a GPU. Ends with the best validation Dice and the folder of the weights.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from absl import flags

from launch import program
from tfunc import methods

FLAGS = flags.FLAGS
flags.DEFINE_enum("method", None, list(methods.METHODS), "whose network to train", required=True)
flags.DEFINE_enum("dataset", None, ["brats", "isic"], "which dataset", required=True)
flags.DEFINE_string("data_dir", None, "folder of the records (default data/<dataset>)")
flags.DEFINE_string("run_dir", None, "folder of the run (default runs/<dataset>)")
flags.DEFINE_integer("epochs", None, "passes over the training slices (default: the reference's, 50 or 100)")
flags.DEFINE_integer("max_steps", None, "stop after that many steps, however many epochs they are")
flags.DEFINE_integer("batch_size", 32, "slices a step, over all devices together")
flags.DEFINE_integer("start_filters", 32, "channels of the outermost level")
flags.DEFINE_integer("depth", 4, "number of poolings")
flags.DEFINE_float("learning_rate", 1e-4, "Adam's")
flags.DEFINE_integer("patience", None, "stop after that many epochs without a better Dice (default: never)")
flags.DEFINE_integer("seed", 20, "of weights, order and dropout")
flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "of the convolutions; losses stay float32")
flags.DEFINE_bool("deterministic", False, "the same result to the bit, at some cost of speed")


def main():
    from tfunc import networks, training

    method = methods.get(FLAGS.method)
    network = networks.get(method.network)
    if network.name != method.name:
        print(f"{method.name} uses the network {network.name}")
    names = "epochs max_steps batch_size start_filters depth learning_rate patience seed precision deterministic"
    settings = {name: FLAGS[name].value for name in names.split()}
    run_dir = FLAGS.run_dir or f"runs/{FLAGS.dataset}"
    folder, done = training.fit(network, FLAGS.dataset, FLAGS.data_dir or f"data/{FLAGS.dataset}", run_dir, settings)
    print(f"{network.name}: best validation Dice {done['valid_dice']:.4f} at epoch {done['best_epoch']}, in {folder}")
    print(f"look: tensorboard --logdir {run_dir}")
    print(f"next: python launch/predict.py --method={method.name} --dataset={FLAGS.dataset}{program.given(FLAGS)}")


if __name__ == "__main__":
    program.run(main)
