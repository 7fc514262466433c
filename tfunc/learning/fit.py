"""From a network's row and the user's settings to its finished training: which subjects, what it learns from, which folder."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import config as framework  # where TensorFlow keeps what turns determinism off again

from data_prep.base.errors import UserError
from data_prep.records import Manifest
from tfunc import networks, runs
from tfunc.learning import settings as chosen
from tfunc.learning.second_input import SecondInput
from tfunc.learning.settings import Inputs, Settings
from tfunc.learning.slices import Slices
from tfunc.learning.trainer import Trainer
from tfunc.nets import trained
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
) -> tuple[pathlib.Path, runs.Document]:
    """Trains `network` into its folder of the run; finds it where it is finished. Returns (folder, finished.json).

    settings: of `tfunc.learning.settings`; `epochs` None is the network's own number. say: called with each line for the
    user. Raises `UserError` where the folder holds another configuration, `NotReady` without records or without the
    networks and predictions that it learns from.
    """
    manifest = runs.read_records(data_dir, dataset)
    inputs = chosen.inputs(network, manifest, run_dir, settings)
    folder = runs.network_dir(run_dir, network.name)
    config = runs.as_begun(folder, chosen.resolve(network, manifest, settings, inputs))
    done = runs.finished(folder)
    if done is None:
        names = networks.subjects(network, manifest, settings["reference_quirks"], settings["folds"])
        train, valid = (
            _slices(data_dir, manifest, part, split, inputs)
            for part, split in zip(names, ("train", "valid"), strict=True)
        )
        _check_sizes(config, manifest, train, valid)
    runs.claim_network(folder, config, manifest.is_same)  # once the data can be trained on
    if done is not None:
        say(f"{folder}: trained already (best epoch {done['best_epoch']}, validation Dice {done['valid_dice']:.4f})")
        return folder, done
    base = trained.load(run_dir, network.base, dataset) if network.base else None
    keras.utils.set_random_seed(config.seed)  # for what an objective of one's own draws without a seed
    with op_determinism(config.deterministic):
        return folder, Trainer(config, train, valid, folder, strategy, say, base).run()


def _slices(data_dir: runs.Path, manifest: Manifest, names: list[str], split: str, inputs: Inputs) -> Slices:
    found = Slices(data_dir, manifest, names, split)
    if inputs.heldout is not None:
        found.second = SecondInput(found.entries, inputs.heldout, manifest.task.order)
    return found


def _check_sizes(config: Config, manifest: Manifest, train: Slices, valid: Slices) -> None:
    """Raises `UserError` for slices that the depth pools away and for batches that no memory has room for."""
    for part in (train, valid):
        if min(part.height, part.width) < config.smallest:
            expected, found = f"slices of {config.smallest} or more for this depth", f"{part.height}x{part.width}"
            raise UserError(manifest.path, expected=expected, found=found)
    most = max(MOST_SLICES, train.training_count)
    if config.batch_size > most:  # a batch's room is taken whole, however few slices there are
        raise UserError(f"--batch_size={config.batch_size}", expected=f"at most {most}")


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
