"""Where the trained baseline is wrong, learnt from its last features (the paper's auxiliary feat.)."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfunc.learning import losses
from tfunc.learning.objectives.contract import Batch, Rows, counted, of_errors
from tfunc.nets import classes, trained
from tfunc.runs import Config


class Objective:
    """Cross-entropy of the error's logits; Dice of the error.

    The baseline is frozen and runs without dropout, and the targets are its errors on the very images it was trained on,
    as in the reference.
    """

    segments = False

    def __init__(self, config: Config, base: keras.Model):
        self.base = base
        self.base.trainable = False
        self.model = trained.untrained(config)
        self.task = config.task

    def rows(
        self, batch: Batch, training: bool, keeps: list[tf.Tensor] | None = None, seed: tf.Tensor | None = None
    ) -> Rows:
        """See `contract.Learnt`."""
        logits, wrong = self._errors(batch, training)
        known = counted(batch, self.task)
        return losses.cross_entropy_rows(logits, wrong, known), *of_errors(logits, wrong, known)

    def show(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """See `contract.Learnt`."""
        logits, wrong = self._errors(batch, False)
        return classes.foreground(logits), wrong

    def _errors(self, batch, training):
        """(logits of the error, the error), from one pass of the baseline. An error is any wrong class."""
        features = tf.stop_gradient(self.base.features(batch["image"], training=False))
        wrong = classes.winner(self.base.heads(features, training=False)) != batch["label"]
        return self.model(features, training=training), wrong
