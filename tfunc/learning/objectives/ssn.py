"""The segmentation as a Gaussian over the logits of the whole slice (Monteiro et al., NeurIPS 2020)."""

from __future__ import annotations

import tensorflow as tf

from tfunc.learning import losses
from tfunc.learning.objectives import segmentation
from tfunc.learning.objectives.contract import Batch, Rows, counted
from tfunc.nets import low_rank


class Objective(segmentation.Objective):
    """The likelihood of each whole slice, by samples of its logits; Dice of the mean logits' segmentation.

    The loss is divided by the number of voxels that count, which changes no optimum and makes it comparable to the others.
    """

    def rows(
        self, batch: Batch, training: bool, keeps: list[tf.Tensor] | None = None, seed: tf.Tensor | None = None
    ) -> Rows:
        """See `contract.Learnt`."""
        mean, second = self.model(batch["image"], training=training, keeps=keeps)
        known, target = counted(batch, self.task), self.target(batch)
        spread = low_rank.parts(second, mean.shape[-1])
        loss = losses.low_rank_rows(mean, *spread, target, seed=seed, counted=known)
        where = tf.ones_like(target, tf.bool) if known is None else known
        number = tf.math.count_nonzero(where, axis=[1, 2], dtype=loss.dtype)
        return loss / tf.maximum(number, 1.0), *self.compared(batch, mean)

    def logits(self, batch: Batch, training: bool = False, keeps: list[tf.Tensor] | None = None) -> tf.Tensor:
        """Mean logits [n, height, width, classes] of a batch."""
        return self.model(batch["image"], training=training, keeps=keeps)[0]
