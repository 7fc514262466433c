"""What a network learns: its model, its loss for each slice of a batch, and what its validation Dice compares.

An objective is built once, inside the strategy's scope, and called in graphs. It has
    model: the Keras model that is trained
    rows(batch, training, keeps, seed) -> (loss float32 [n], predicted bool [n, h, w], target bool [n, h, w])
    show(batch) -> (probability float32 [n, h, w], target [n, h, w]), for pictures
"""

import tensorflow as tf

from tfunc.learning import losses
from tfunc.nets import trained as models


def _wins(logits):
    """Argmax of two classes, ties to the first: bool."""
    return logits[..., 1] > logits[..., 0]


def _build(network, config):
    return models.build(
        network, config.channels, config.start_filters, config.depth, seed=config.seed, dtype=config.dtype_policy
    )


class Segmentation:
    """Cross-entropy of the U-Net's logits; Dice of its mask."""

    def __init__(self, network, config, base):
        self.model = _build(network, config)

    def rows(self, batch, training, keeps=None, seed=None):
        logits = self.logits(batch, training, keeps)
        target = self.target(batch)
        return losses.cross_entropy_rows(logits, target), _wins(logits), target

    def logits(self, batch, training=False, keeps=None):
        return self.model(batch["image"], training=training, keeps=keeps)

    def target(self, batch):
        return batch["label"] > 0

    def show(self, batch):
        logits = self.logits(batch)
        return tf.nn.sigmoid(logits[..., 1] - logits[..., 0]), self.target(batch)


class Aleatoric(Segmentation):
    """The aleatoric loss of (logits, sigma); Dice of the logits' mask."""

    def rows(self, batch, training, keeps=None, seed=None):
        logits, sigma = self.model(batch["image"], training=training, keeps=keeps)
        loss = losses.aleatoric_rows(logits, sigma, batch["label"], seed=seed)
        return loss, _wins(logits), batch["label"] > 0

    def logits(self, batch, training=False, keeps=None):
        return self.model(batch["image"], training=training, keeps=keeps)[0]


class AuxiliaryFeatures(Segmentation):
    """Learns where the frozen baseline is wrong, from its last feature maps; Dice of the error mask.

    base: the trained baseline. It runs without dropout, and the targets are its errors on the very images it was
    trained on, as in the reference.
    """

    def __init__(self, network, config, base):
        self.base = base
        self.base.trainable = False
        super().__init__(network, config, base)

    def rows(self, batch, training, keeps=None, seed=None):
        logits, wrong = self._errors(batch, training)
        return losses.cross_entropy_rows(logits, wrong), _wins(logits), wrong

    def show(self, batch):
        logits, wrong = self._errors(batch, False)
        return tf.nn.sigmoid(logits[..., 1] - logits[..., 0]), wrong

    def _errors(self, batch, training):
        """(logits of the error, the error), from one pass of the baseline."""
        features = tf.stop_gradient(self.base.features(batch["image"], training=False))
        wrong = _wins(self.base.heads(features, training=False)) != (batch["label"] > 0)
        return self.model(features, training=training), wrong


class AuxiliarySegmentation(Segmentation):
    """Learns where a given mask is wrong, from the image and the mask (`batch["mask"]`); Dice of the error mask."""

    def logits(self, batch, training=False, keeps=None):
        mask = tf.cast(batch["mask"], tf.float32)[..., tf.newaxis]
        return self.model(tf.concat([batch["image"], mask], axis=-1), training=training, keeps=keeps)

    def target(self, batch):
        return (batch["mask"] > 0) != (batch["label"] > 0)


OBJECTIVES = {
    "segmentation": Segmentation,
    "aleatoric": Aleatoric,
    "auxiliary_feat": AuxiliaryFeatures,
    "auxiliary_segm": AuxiliarySegmentation,
}
