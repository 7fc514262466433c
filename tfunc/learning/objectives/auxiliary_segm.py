"""Where a given segmentation is wrong, learnt from the image and the segmentation (the paper's auxiliary segm.)."""

from __future__ import annotations

import tensorflow as tf

from tfunc.learning.objectives import segmentation
from tfunc.learning.objectives.contract import Batch
from tfunc.nets import classes


class Objective(segmentation.Objective):
    """Cross-entropy of the error's logits; Dice of the error. The segmentation is `batch["segmentation"]`."""

    segments = False

    def logits(self, batch: Batch, training: bool = False, keeps: list[tf.Tensor] | None = None) -> tf.Tensor:
        """Logits [n, height, width, 2] of an error."""
        return self.model(
            classes.with_segmentation(batch["image"], batch["segmentation"]), training=training, keeps=keeps
        )

    def target(self, batch: Batch) -> tf.Tensor:
        """The error: bool [n, height, width]."""
        return (batch["segmentation"] > 0) != (batch["label"] > 0)
