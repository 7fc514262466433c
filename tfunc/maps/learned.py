"""Methods whose uncertainty a network has learnt: aleatoric, and the auxiliaries, which learn the errors of another."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfunc.maps.options import Options
from tfunc.maps.predictives import Maps, entropy_maps
from tfunc.nets import classes, engine, folded


class Aleatoric:
    """Softmax of the mean logits; |sigma| of the predicted class."""

    def __init__(self, models: Sequence[keras.Model], options: Options):
        (model,) = models
        self.network = folded.FoldedUNet(model, options.precision)

    def __call__(self, images: tf.Tensor, seeds: tf.Tensor) -> Maps:
        """See `predictives.Predictive`."""
        logits, sigma = self.network(images)
        probability = classes.probability(logits)
        prediction = classes.segmentation(probability)
        uncertainty = tf.gather(tf.abs(sigma), tf.cast(prediction, tf.int32), batch_dims=3)
        return {"probability": probability, "prediction": prediction, "uncertainty": uncertainty}


class AuxiliaryFeatures:
    """The baseline's probability; the error probability of a head on its last features."""

    def __init__(self, models: Sequence[keras.Model], options: Options):
        baseline, head = models
        self.network = folded.FoldedUNet(baseline, options.precision)
        self.head = folded.FoldedHead(head, options.precision)

    def __call__(self, images: tf.Tensor, seeds: tf.Tensor) -> Maps:
        """See `predictives.Predictive`."""
        logits, errors = self._outputs(images)
        return {**entropy_maps(classes.probability(logits)), "uncertainty": classes.foreground(errors)}

    @engine.whole
    def _outputs(self, images):
        """The logits of the segmentation and those of its errors."""
        features, _ = self.network.features(images)
        return self.network.head_outputs(features), self.head(features)


class AuxiliarySegmentation:
    """The baseline's probability; the error probability of a second network that sees the image and the segmentation."""

    def __init__(self, models: Sequence[keras.Model], options: Options):
        baseline, auxiliary = models
        self.network = folded.FoldedUNet(baseline, options.precision)
        self.auxiliary = folded.FoldedUNet(auxiliary, options.precision)

    def __call__(self, images: tf.Tensor, seeds: tf.Tensor) -> Maps:
        """See `predictives.Predictive`."""
        maps = entropy_maps(classes.probability(self.network(images)))
        errors = self.auxiliary(classes.with_segmentation(images, maps["prediction"], self.network.classes))
        return {**maps, "uncertainty": classes.foreground(errors)}
