"""The segmentation and the noise of its logits (the paper, section 2.3)."""

from __future__ import annotations

import tensorflow as tf

from tfunc.learning import losses
from tfunc.learning.objectives import segmentation
from tfunc.learning.objectives.contract import Batch, Rows, counted


class Objective(segmentation.Objective):
    """The aleatoric loss of (logits, sigma); Dice of the logits' segmentation, region by region."""

    def rows(
        self, batch: Batch, training: bool, keeps: list[tf.Tensor] | None = None, seed: tf.Tensor | None = None
    ) -> Rows:
        """See `contract.Learnt`."""
        logits, sigma = self.model(batch["image"], training=training, keeps=keeps)
        known = counted(batch, self.task)
        loss = losses.aleatoric_rows(logits, sigma, self.target(batch), seed=seed, counted=known)
        return loss, *self.compared(batch, logits)

    def logits(self, batch: Batch, training: bool = False, keeps: list[tf.Tensor] | None = None) -> tf.Tensor:
        """Logits [n, height, width, classes] of a batch, without their sigma."""
        return self.model(batch["image"], training=training, keeps=keeps)[0]
