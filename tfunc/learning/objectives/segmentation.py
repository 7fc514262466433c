"""The segmentation itself: what the baseline, center and the members of the ensemble learn."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfunc.learning import losses
from tfunc.learning.objectives.contract import Batch, Rows
from tfunc.nets import classes, trained
from tfunc.runs import Config


class Objective:
    """Cross-entropy of the U-Net's logits; Dice of its segmentation."""

    segments = True

    def __init__(self, config: Config, base: keras.Model | None = None):
        self.model = trained.untrained(config)

    def rows(
        self, batch: Batch, training: bool, keeps: list[tf.Tensor] | None = None, seed: tf.Tensor | None = None
    ) -> Rows:
        """See `contract.Learnt`."""
        logits, target = self.logits(batch, training, keeps), self.target(batch)
        return losses.cross_entropy_rows(logits, target), classes.wins(logits), target

    def logits(self, batch: Batch, training: bool = False, keeps: list[tf.Tensor] | None = None) -> tf.Tensor:
        """Logits [n, height, width, 2] of a batch."""
        return self.model(batch["image"], training=training, keeps=keeps)

    def target(self, batch: Batch) -> tf.Tensor:
        """What is learnt: bool [n, height, width]."""
        return batch["label"] > 0

    def show(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """See `contract.Learnt`."""
        return classes.foreground(self.logits(batch)), self.target(batch)
