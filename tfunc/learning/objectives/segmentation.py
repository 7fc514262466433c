"""The segmentation itself: what the baseline, center, the members of the ensemble and the folds learn."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfunc.learning import losses
from tfunc.learning.objectives.contract import Batch, Rows, counted
from tfunc.nets import classes, trained
from tfunc.runs import Config


class Objective:
    """Cross-entropy of the U-Net's logits, or what --loss says; Dice of its segmentation, region by region."""

    segments = True

    def __init__(self, config: Config, base: keras.Model | None = None):
        self.model = trained.untrained(config)
        self.task, self.loss = config.task, losses.OF_SEGMENTATION[config.loss]

    def rows(
        self, batch: Batch, training: bool, keeps: list[tf.Tensor] | None = None, seed: tf.Tensor | None = None
    ) -> Rows:
        """See `contract.Learnt`."""
        logits = self.logits(batch, training, keeps)
        return self.loss(logits, self.target(batch), counted(batch, self.task)), *self.compared(batch, logits)

    def logits(self, batch: Batch, training: bool = False, keeps: list[tf.Tensor] | None = None) -> tf.Tensor:
        """Logits [n, height, width, classes] of a batch."""
        return self.model(batch["image"], training=training, keeps=keeps)

    def target(self, batch: Batch) -> tf.Tensor:
        """What is learnt: uint8 [n, height, width], indices of classes."""
        return batch["label"]

    def compared(self, batch: Batch, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What Dice compares, predicted and target, bool [n, height, width, regions]."""
        regions = [region.classes for region in self.task.regions]
        known = counted(batch, self.task)
        predicted, target = (classes.in_regions(index, regions) for index in (classes.winner(logits), batch["label"]))
        if known is None:
            return predicted, target
        return predicted & known[..., tf.newaxis], target & known[..., tf.newaxis]

    def show(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """See `contract.Learnt`."""
        return classes.probability(self.logits(batch)), self.target(batch)
