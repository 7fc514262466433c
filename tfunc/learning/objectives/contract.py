"""What an objective is, and how it is found by the name in a network's row.

An objective is built once, inside the strategy's scope, and called in graphs.
"""

from __future__ import annotations

import importlib
from typing import Protocol

import keras
import tensorflow as tf

from data_prep import tasks
from data_prep.base.errors import UserError
from data_prep.tasks import Task
from tfunc.nets import classes
from tfunc.runs import Config

Batch = dict[str, tf.Tensor]  # see `tfunc.learning.slices`
Rows = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


class Learnt(Protocol):
    """An objective.

    model: the Keras model that is trained.  segments: whether its Dice is a segmentation's, which the reference smooths
    on photographs, rather than of something else such as an error.
    """

    model: keras.Model
    segments: bool

    def __init__(self, config: Config, base: keras.Model | None) -> None:
        """config: of the training.  base: the trained network that `config.network.base` names."""

    def rows(self, batch: Batch, training: bool, keeps: list[tf.Tensor] | None, seed: tf.Tensor) -> Rows:
        """(loss float32 [n], predicted and target bool [n, height, width, regions]) of a batch.

        The epoch that is kept is chosen by their Dice, its mean over regions; without that axis there is one. Voxels that
        count nowhere are in neither.

        keeps: dropout's multipliers, as `UNet.call` takes them. seed: int32 [2], for what else is random.
        """

    def show(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """(map of probabilities as `nets.classes` has it, target [n, height, width]: indices of classes), for pictures."""


def counted(batch: Batch, task: Task) -> tf.Tensor | None:
    """Where voxels count, bool [n, height, width]; None where the task ignores none, which then costs nothing."""
    return None if task.ignore is None else batch["label"] != tasks.IGNORED


def of_errors(logits: tf.Tensor, wrong: tf.Tensor, known: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    """What the Dice of errors compares, one region: where logits [..., 2] say so, and where it is. known: of `counted`."""
    found = tuple(each if known is None else each & known for each in (classes.wins(logits), wrong))
    return found[0][..., tf.newaxis], found[1][..., tf.newaxis]


def find(name: str) -> type[Learnt]:
    """The class of an objective: `Objective` of a module of this package, or `package.module:Class` of one's own.

    Raises `UserError` for one that isn't there.
    """
    module, _, own = name.partition(":")
    try:
        found = importlib.import_module(module if own else f"tfunc.learning.objectives.{module}")
        return getattr(found, own or "Objective")
    except (ModuleNotFoundError, AttributeError) as error:
        expected = "a module of tfunc.learning.objectives, or package.module:Class"
        raise UserError(f"objective {name!r}", expected=expected, found=str(error)) from None
