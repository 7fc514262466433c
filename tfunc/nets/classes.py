"""From logits to probabilities, a segmentation and an entropy: the one home of these formulas in graphs.

A map of probabilities is float32 [batch, height, width], the foreground's, where there are two classes, and
[batch, height, width, C] of all C classes where there are more. Which of the two it is its rank says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfunc.kinds import CLIP

BINARY = 2
RANK = 4  # of a map that has an axis of classes
_ABOVE_HALF = np.nextafter(np.float32(0.5), np.float32(1))


def foreground(logits: tf.Tensor) -> tf.Tensor:
    """Softmax probability of the foreground: logits [..., 2] -> float32 [...] in [0, 1]."""
    return tf.nn.sigmoid(logits[..., 1] - logits[..., 0])


def probability(logits: tf.Tensor) -> tf.Tensor:
    """The map of probabilities of logits [batch, height, width, C]: of two classes the foreground's, else the softmax."""
    if logits.shape[-1] == BINARY:
        return foreground(logits)
    return tf.nn.softmax(tf.cast(logits, tf.float32), axis=-1)


def has_classes(probability: tf.Tensor) -> bool:
    """Whether a map of probabilities has an axis of classes, its last."""
    return probability.shape.rank == RANK


def wins(logits: tf.Tensor) -> tf.Tensor:
    """Where the foreground is the argmax, ties to the background: logits [..., 2] -> bool [...]."""
    return logits[..., 1] > logits[..., 0]


def winner(values: tf.Tensor) -> tf.Tensor:
    """The class of the largest value, ties to the lower class: logits or probabilities [..., C] -> uint8 [...].

    By comparisons, one class after the other: `tf.argmax` promises nothing about ties.
    """
    best, index = values[..., 0], tf.zeros_like(values[..., 0], tf.uint8)
    for number in range(1, values.shape[-1]):
        larger = values[..., number] > best
        index = tf.where(larger, tf.constant(number, tf.uint8), index)
        best = tf.where(larger, values[..., number], best)
    return index


def segmentation(probability: tf.Tensor) -> tf.Tensor:
    """The argmax of the map of probabilities that is written, ties to the lower class: uint8, the index of the class."""
    probability = tf.convert_to_tensor(probability)
    return winner(probability) if has_classes(probability) else tf.cast(probability > 0.5, tf.uint8)


def binary_entropy(probability: tf.Tensor) -> tf.Tensor:
    """Entropy of a foreground probability divided by log 2, in [0, 1]; float32, any shape. 0 log 0 is 0."""
    p = tf.cast(probability, tf.float32)
    return -(tf.math.xlogy(p, p) + tf.math.xlogy(1.0 - p, 1.0 - p)) / math.log(2.0)


def entropy(probability: tf.Tensor) -> tf.Tensor:
    """Entropy of a map of probabilities over the log of the number of classes: float32 [batch, height, width] in [0, 1]."""
    if not has_classes(probability):
        return binary_entropy(probability)
    p = tf.cast(probability, tf.float32)
    found = -tf.reduce_sum(tf.math.xlogy(p, p), axis=-1) / math.log(probability.shape[-1])
    return tf.clip_by_value(found, 0.0, 1.0)  # rounding can bring it out of its range


def at_temperature(probability: tf.Tensor, temperature: float) -> tf.Tensor:
    """A map of probabilities at a temperature, float32: what `tfunc.scoring.temperature` makes of it in NumPy.

    sigmoid(logit(p) / T) of the foreground's, softmax(log(p) / T) of several classes, of the clipped p; in float64, since a
    small T enlarges what rounding did to the logarithm.
    """
    p = tf.clip_by_value(tf.cast(probability, tf.float64), CLIP, 1.0 - CLIP)
    if has_classes(probability):
        return tf.cast(tf.nn.softmax(tf.math.log(p) / temperature, axis=-1), tf.float32)
    found = tf.cast(tf.nn.sigmoid((tf.math.log(p) - tf.math.log1p(-p)) / temperature), tf.float32)
    return tf.where(tf.greater(probability, 0.5), tf.maximum(found, _ABOVE_HALF), found)


def with_segmentation(images: tf.Tensor, segmentation: tf.Tensor, classes: int = BINARY) -> tf.Tensor:
    """Images [batch, height, width, channels] with a segmentation [batch, height, width] of class indices behind them.

    Of two classes it is one channel of 0 and 1, of C classes C channels, each 1 where its class is.
    """
    if classes == BINARY:
        return tf.concat([images, tf.cast(segmentation, tf.float32)[..., tf.newaxis]], axis=-1)
    return tf.concat([images, tf.one_hot(tf.cast(segmentation, tf.int32), classes)], axis=-1)


def in_regions(index: tf.Tensor, regions: Sequence[Sequence[int]]) -> tf.Tensor:
    """Where each region is: class indices [...] -> bool [..., regions]. regions: the classes of each."""

    def inside(region):
        found = [index == tf.constant(number, index.dtype) for number in region]
        return tf.reduce_any(tf.stack(found, axis=-1), axis=-1)

    return tf.stack([inside(region) for region in regions], axis=-1)
