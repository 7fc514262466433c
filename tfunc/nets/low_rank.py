"""A Gaussian over the logits of a whole slice, its covariance of low rank and a diagonal: what a stochastic segmentation
network says of a slice (Monteiro et al., Stochastic segmentation networks, NeurIPS 2020), and its samples.

Its covariance is W W^T + D over all logits of the slice, W one column for each of `rank` factors. A sample is
mean + W e + sqrt(D) d with standard normal e [rank] and d, one number for each logit: the factors are the slice's, so all
its voxels go up and down together. This formula is all that is needed; tfp's MultivariateNormalDiagPlusLowRank would compute
the same samples, and takes seconds to import.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

LEAST = 1e-5  # of the diagonal, a variance, as in the authors' code
MOST = 10.0  # of the log of a variance: no logit is 150 off by chance, and none is infinite
START = -5.0  # of the log of a variance, before anything is learnt


def start(last: keras.layers.Layer, classes: int) -> None:
    """Makes a new second head's last convolution say that all samples are nearly the mean: no factors, small variances.

    Only the best of a slice's samples teaches anything. Where samples differ by much before the mean is right, the factors
    learn whatever made one of them better, such as all background at once, and half the samples stay absurd for good.
    """
    kernel, bias = (np.zeros_like(values) for values in last.get_weights())
    bias[:classes] = START
    last.set_weights([kernel, bias])


def parts(second: tf.Tensor, classes: int) -> tuple[tf.Tensor, tf.Tensor]:
    """(factor [..., classes, rank], diagonal [..., classes]) of the second head's [..., classes * (1 + rank)], in its dtype.

    The diagonal holds variances, more than 0; the head gives their logs first, the factors behind them.
    """
    logs, factors = second[..., :classes], second[..., classes:]
    rank = factors.shape[-1] // classes
    factors = tf.reshape(factors, [*tf.unstack(tf.shape(factors)[:-1]), classes, rank])
    return factors, tf.exp(tf.minimum(logs, MOST)) + tf.constant(LEAST, second.dtype)


def deviation(factor: tf.Tensor, diagonal: tf.Tensor, shared: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
    """W e + sqrt(D) d, what a sample adds to the mean: [..., batch, height, width, classes], of any number of voxel axes.

    factor, diagonal: of `parts`, [batch, height, width, classes(, rank)]. shared: e, standard normal [..., batch, rank], one
    row for each slice. own: d, standard normal of the result's shape.
    """
    added = tf.sqrt(diagonal) * own
    # one factor after the other: all of them at once would be `rank` times the memory of all samples
    for column, numbers in zip(tf.unstack(factor, axis=-1), tf.unstack(shared, axis=-1), strict=True):
        for _ in range(diagonal.shape.rank - 1):
            numbers = numbers[..., tf.newaxis]
        added += column * numbers
    return added
