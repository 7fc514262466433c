"""Where a given segmentation is wrong, learnt from the image and the segmentation (the paper's auxiliary segm.)."""

from __future__ import annotations

import tensorflow as tf

from tfunc.learning import losses
from tfunc.learning.objectives import segmentation
from tfunc.learning.objectives.contract import Batch, Rows, counted, of_errors
from tfunc.nets import classes


class Objective(segmentation.Objective):
    """Cross-entropy of the error's logits; Dice of the error. The segmentation is `batch["segmentation"]`."""

    segments = False

    def rows(
        self, batch: Batch, training: bool, keeps: list[tf.Tensor] | None = None, seed: tf.Tensor | None = None
    ) -> Rows:
        """See `contract.Learnt`."""
        logits, wrong, known = self.logits(batch, training, keeps), self.target(batch), counted(batch, self.task)
        return losses.cross_entropy_rows(logits, wrong, known), *of_errors(logits, wrong, known)

    def logits(self, batch: Batch, training: bool = False, keeps: list[tf.Tensor] | None = None) -> tf.Tensor:
        """Logits [n, height, width, 2] of an error."""
        seen = classes.with_segmentation(batch["image"], batch["segmentation"], len(self.task.classes))
        return self.model(seen, training=training, keeps=keeps)

    def target(self, batch: Batch) -> tf.Tensor:
        """The error, any wrong class: bool [n, height, width]."""
        return batch["segmentation"] != batch["label"]
