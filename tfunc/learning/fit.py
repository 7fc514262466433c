"""From a network's row and the user's settings to its finished training: which subjects, what it learns from, which folder."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import msgspec
import tensorflow as tf
from tensorflow.python.framework import config as framework  # where TensorFlow keeps what turns determinism off again

from data_prep.base import locks
from data_prep.base.errors import UserError
from data_prep.records import Manifest
from tfunc import networks, runs
from tfunc.learning import checkpoint, claim, initial, selection
from tfunc.learning import settings as chosen
from tfunc.learning.second_input import SecondInput
from tfunc.learning.settings import Inputs, Settings
from tfunc.learning.slices import Slices
from tfunc.learning.trainer import Trainer
from tfunc.nets import devices, memory, precision, stack, trained
from tfunc.nets.precision import Choice
from tfunc.nets.trained import Trained
from tfunc.networks import Network
from tfunc.runs import Config

MOST_SLICES = 1024  # in a batch, where there are not more to train on


def fit(
    network: Network,
    dataset: str,
    data_dir: runs.Path,
    run_dir: runs.Path,
    settings: Settings,
    strategy: tf.distribute.Strategy | None = None,
    say: Callable[[str], Any] = print,
    init_from: runs.Path | None = None,
    restart: bool = False,
) -> tuple[pathlib.Path, runs.Document]:
    """Trains `network` into its folder of the run; finds it where it is finished. Returns (folder, finished.json).

    settings: of `tfunc.learning.settings`; `epochs` None is the network's own number, more than the folder's prolong its
    training. say: called with each line for the user. init_from: folder of a trained network whose weights it begins
    from, in place of the one that its row names. restart: what is unfinished in the folder is removed, once what the training
    needs is there. Raises `UserError` where the folder holds another configuration, `NotReady` without records or what it
    learns from, and where another process trains there.
    """
    manifest = runs.read_records(data_dir, dataset)
    inputs = chosen.inputs(network, manifest, run_dir, settings)
    folder = runs.network_dir(run_dir, network.name)
    if restart:
        claim.restart(folder, say)
    begins, where = _beginning(network, dataset, run_dir, init_from)
    choice = _precision(folder, settings["precision"], strategy)
    resolved = chosen.resolve(network, manifest, {**settings, "precision": choice.name}, inputs)
    config = claim.as_begun(folder, msgspec.structs.replace(resolved, init_from=where), settings, init_from)
    how = manifest.is_same, say, settings["epochs"] is not None
    if (done := runs.finished(folder)) is not None and config.epochs <= runs.read_config(folder).epochs:
        claim.claim(folder, config, *how)
        return folder, _trained_already(folder, done, config, say)
    train, valid = _both(network, data_dir, manifest, settings, inputs)
    _check_sizes(config, manifest, train, valid)
    base = trained.load(run_dir, network.base, dataset) if network.base else None
    checkpoint.require_stack(folder)
    with locks.held(folder, "a network"):
        claim.claim(folder, config, *how)  # once the data can be trained on
        if (done := runs.finished(folder)) is not None:  # by another process, meanwhile
            return folder, _trained_already(folder, done, config, say)
        _say_chosen(config, settings, choice, say)
        keras.utils.set_random_seed(config.seed)  # for what an objective of one's own draws without a seed
        with op_determinism(config.deterministic), memory.enough(network.name, _sizes(config, train)):
            trainer = Trainer(config, train, valid, folder, strategy, say, base, begins)
            try:
                return folder, trainer.run()
            except claim.Diverged as error:
                claim.release(folder, error)
                raise


def _both(network, data_dir, manifest, settings, inputs):
    """The slices to train on and those to validate with."""
    train, valid = networks.subjects(network, manifest, settings["reference_quirks"], settings["folds"])
    return tuple(_slices(data_dir, manifest, *part, inputs) for part in ((train, "train"), (valid, "valid")))


def _beginning(
    network: Network, dataset: str, run_dir: runs.Path, init_from: runs.Path | None
) -> tuple[Trained | None, runs.Beginning | None]:
    """(whose weights a training begins with, what config.json says of it): the user's choice, else the network's row's."""
    if init_from is None and network.begins and not claim.is_continued(runs.network_dir(run_dir, network.name)):
        begins = trained.load(run_dir, network.begins, dataset)
        return begins, initial.beginning(runs.network_dir(run_dir, network.begins), begins)
    if init_from is None:
        return None, None
    begins = initial.read(init_from)
    return begins, initial.beginning(init_from, begins)


def _precision(folder: pathlib.Path, asked: str, strategy: tf.distribute.Strategy | None) -> Choice:
    """The precision of a training: what is asked for; of `auto` the folder's own, of a new folder what its devices are for.

    Raises `UserError` for one that the stack does not train in.
    """
    if asked == precision.FLOAT16 and stack.name() == "addons":
        expected = f"{precision.FLOAT32} or {precision.BFLOAT16} on the stack of TensorFlow Addons, which is frozen"
        raise UserError(f"--precision={asked}", expected=expected)
    if asked != precision.AUTO:
        return Choice(asked, "as asked for")
    if (folder / runs.CONFIG).exists() and claim.is_begun(folder):
        return precision.recorded(runs.read_config(folder).precision)
    return devices.precision_of(strategy)


def _trained_already(
    folder: pathlib.Path, done: runs.Document, config: Config, say: Callable[[str], Any]
) -> runs.Document:
    began = f", begun from {config.init_from.network}" if config.init_from else ""
    say(f"{folder}: trained already{began} (best epoch {done['best_epoch']}, validation Dice {done['valid_dice']:.4f})")
    return done


def _say_chosen(config: Config, settings: Settings, choice: Choice, say: Callable[[str], Any]) -> None:
    """Says what is other than the user may think: what `auto` came to, and a patience that a kept last epoch makes idle."""
    if settings["precision"] == precision.AUTO:
        say(f"{config.network.name}: {choice}")
    if settings.get("patience") is not None and config.patience is None:
        why = "its last epoch is kept, not the one of the best Dice, so that it takes all its epochs"
        say(f"{config.network.name}: --patience={settings['patience']} is not used: {why}")


def _slices(data_dir: runs.Path, manifest: Manifest, names: list[str], split: str, inputs: Inputs) -> Slices:
    found = Slices(data_dir, manifest, names, split)
    if inputs.heldout is not None:
        frame = found.height, found.width
        found.second = SecondInput(found.entries, inputs.heldout, manifest.task, frame)
    return found


def _check_sizes(config: Config, manifest: Manifest, train: Slices, valid: Slices) -> None:
    """Raises `UserError` for slices that the depth pools away, batches that no memory has room for, and too few epochs."""
    for part in (train, valid):
        if min(part.height, part.width) < config.smallest:
            expected, found = f"slices of {config.smallest} or more for this depth", f"{part.height}x{part.width}"
            raise UserError(manifest.path, expected=expected, found=found)
    an_epoch = train.steps(config.batch_size)
    closed = -(-selection.total_steps(config, an_epoch) // an_epoch)
    if config.kept_epochs > closed:
        raise UserError(
            f"--kept_epochs={config.kept_epochs}", expected=f"at most {closed}, all there are by --max_steps"
        )
    most = max(MOST_SLICES, train.training_count)
    if config.batch_size > most:  # a batch's room is taken whole, however few slices there are
        raise UserError(f"--batch_size={config.batch_size}", expected=f"at most {most}")


def _sizes(config: Config, train: Slices) -> dict[str, object]:
    """The flags that ask for memory, as they are, the one to lower first foremost."""
    height, width = config.crop or (train.height, train.width)
    return {
        "batch_size": config.batch_size,
        "crop": f"{min(height, train.height)},{min(width, train.width)}",
        "start_filters": config.start_filters,
        "depth": config.depth,
    }


@contextlib.contextmanager
def op_determinism(wanted: bool) -> Iterator[None]:
    """Inside the block TensorFlow's ops give the same result to the bit, where that is wanted; afterwards as before."""
    if not wanted or framework.is_op_determinism_enabled():
        yield
        return
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        framework.disable_op_determinism()
