"""Trains the networks of a method, or finds them trained.

    python launch/train.py --method=aleatoric --dataset=brats

Continues where it was stopped, at the very step. The paper's settings are the defaults: the BraTS baseline takes days on
a CPU and hours on a GPU. Ends with the best validation Dice and the folder of the weights.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from absl import flags

from data_prep.base import processes as workers
from data_prep.base.errors import UserError
from launch import program, settings
from tfunc import methods

FLAGS = flags.FLAGS
flags.DEFINE_enum("method", None, list(methods.METHODS), "whose networks to train")
flags.DEFINE_string("network", None, "one network, such as ensemble_03 or cv_0, in place of a method's")
settings.define_dataset()
settings.define_training()
flags.adopt_module_key_flags(settings)


def main():
    workers.start_tensorflow()
    from tfunc import networks
    from tfunc.learning import fit as fitting
    from tfunc.nets import devices

    strategy = devices.strategy(FLAGS.devices)
    for name in _networks():
        network = networks.get(name, FLAGS.ensemble_size, FLAGS.folds)
        folder, done = fitting.fit(
            network, FLAGS.dataset, settings.data_dir(), settings.run_dir(), settings.training(), strategy
        )
        best = f"best validation Dice {done['valid_dice']:.4f} at epoch {done['best_epoch']}"
        print(f"{name}: {best}, in {folder}")
    print(f"look: tensorboard --logdir {settings.run_dir()}")
    if FLAGS.method:
        print(f"next: python launch/predict.py --method={FLAGS.method} --dataset={FLAGS.dataset}{settings.given()}")


def _networks():
    """Names of the networks to train, each after those it learns from."""
    if bool(FLAGS.method) == bool(FLAGS.network):
        raise UserError("--method and --network", expected="one of them")
    if FLAGS.network:
        return [FLAGS.network]
    names = []
    for name in methods.get(FLAGS.method).networks:
        members = [f"ensemble_{index:02}" for index in range(FLAGS.ensemble_size)]
        names += members if name == "ensemble" else [name]
    if FLAGS.method not in (*names, "ensemble"):
        print(f"{FLAGS.method} uses the network {', '.join(names)}")
    return names


if __name__ == "__main__":
    program.run(main)
