"""The segmentation and the noise of its logits (the paper, section 2.3)."""

from __future__ import annotations

import tensorflow as tf

from tfunc.learning import losses
from tfunc.learning.objectives import segmentation
from tfunc.learning.objectives.contract import Batch, Rows
from tfunc.nets import classes


class Objective(segmentation.Objective):
    """The aleatoric loss of (logits, sigma); Dice of the logits' segmentation."""

    def rows(
        self, batch: Batch, training: bool, keeps: list[tf.Tensor] | None = None, seed: tf.Tensor | None = None
    ) -> Rows:
        """See `contract.Learnt`."""
        logits, sigma = self.model(batch["image"], training=training, keeps=keeps)
        loss = losses.aleatoric_rows(logits, sigma, batch["label"], seed=seed)
        return loss, classes.wins(logits), self.target(batch)

    def logits(self, batch: Batch, training: bool = False, keeps: list[tf.Tensor] | None = None) -> tf.Tensor:
        """Logits [n, height, width, 2] of a batch, without their sigma."""
        return self.model(batch["image"], training=training, keeps=keeps)[0]
