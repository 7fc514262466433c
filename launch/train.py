"""Trains the networks of a method, or finds them trained.

    python launch/train.py --method=aleatoric --dataset=brats

Continues where it was stopped, at the very step; a finished training goes on where more --epochs are asked for, as if it
had been asked for them at once. The paper's settings are the defaults: the BraTS baseline takes days on
a CPU and hours on a GPU. Ends with the best validation Dice and the folder of the weights.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from launch import early

early.settle(__name__)

from absl import flags

from data_prep.base import processes
from data_prep.base.errors import UserError, command
from launch import program, settings
from tfunc import methods, networks
from tfunc.learning import settings as trainings
from tfunc.networks import Network

FLAGS = flags.FLAGS
flags.DEFINE_enum("method", None, list(methods.METHODS), "whose networks to train")
flags.DEFINE_string("network", None, "one network, such as ensemble_03 or cv_0, in place of a method's")
flags.DEFINE_string(
    "init_from", None,
    "begin from the weights of a trained network, <run>/networks/<name>, of any data set: the layers that fit",
)  # fmt: skip
flags.DEFINE_bool("restart", False, "remove what is unfinished of it and begin anew; a finished network stays as it is")
settings.define_dataset()
settings.define_training()
flags.adopt_module_key_flags(settings)


def main() -> None:
    trainings.check(settings.training())
    chosen = _networks()
    processes.start_tensorflow()
    from tfunc.learning import fit
    from tfunc.nets import devices

    strategy = devices.strategy(FLAGS.devices)
    where = settings.dataset(), settings.data_dir(), settings.run_dir()
    for network in chosen:
        more = {"init_from": FLAGS.init_from, "restart": FLAGS.restart}
        folder, done = fit.fit(network, *where, settings.training(), strategy, **more)
        best = f"best validation Dice {done['valid_dice']:.4f} at epoch {done['best_epoch']}"
        print(f"{network.name}: {best}, in {folder}")
    print(f"look: tensorboard --logdir {program.quoted(settings.run_dir())}")
    if FLAGS.method:
        print(f"next: {program.typed(command('predict', method=FLAGS.method, dataset=settings.dataset()))}")


def _networks() -> list[Network]:
    """The networks to train, each after those it learns from."""
    if bool(FLAGS.method) == bool(FLAGS.network):
        raise UserError("--method and --network", expected="one of them")
    if FLAGS.network:
        return [networks.get(FLAGS.network, FLAGS.ensemble_size, FLAGS.folds)]
    names = methods.get(FLAGS.method).networks
    if FLAGS.method not in names and not set(names) & set(networks.FAMILIES):
        print(f"{FLAGS.method} uses the network {', '.join(names)}")
    return networks.named(names, FLAGS.ensemble_size, FLAGS.folds)


if __name__ == "__main__":
    program.run(main)
