"""From a pair of logits to a probability, a segmentation and an entropy: the one home of these formulas in graphs."""

from __future__ import annotations

import math

import tensorflow as tf


def foreground(logits: tf.Tensor) -> tf.Tensor:
    """Softmax probability of the foreground: logits [..., 2] -> float32 [...] in [0, 1]."""
    return tf.nn.sigmoid(logits[..., 1] - logits[..., 0])


def wins(logits: tf.Tensor) -> tf.Tensor:
    """Where the foreground is the argmax, ties to the background: logits [..., 2] -> bool [...]."""
    return logits[..., 1] > logits[..., 0]


def segmentation(probability: tf.Tensor) -> tf.Tensor:
    """The argmax of the probability that is written, ties to the background: float32 [...] -> uint8 {0, 1} [...]."""
    return tf.cast(probability > 0.5, tf.uint8)


def binary_entropy(probability: tf.Tensor) -> tf.Tensor:
    """Entropy of a foreground probability divided by log 2, in [0, 1]; float32, any shape. 0 log 0 is 0."""
    p = tf.cast(probability, tf.float32)
    return -(tf.math.xlogy(p, p) + tf.math.xlogy(1.0 - p, 1.0 - p)) / math.log(2.0)


def with_segmentation(images: tf.Tensor, segmentation: tf.Tensor) -> tf.Tensor:
    """Images [batch, height, width, channels] with a segmentation [batch, height, width] of 0 and 1 as the last channel."""
    return tf.concat([images, tf.cast(segmentation, tf.float32)[..., tf.newaxis]], axis=-1)
