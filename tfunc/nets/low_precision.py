"""Elementwise steps of a network in bfloat16 on a CPU, in the forms that are quick, and right, there.

TensorFlow's elementwise kernels widen each bfloat16 to float32 and back, which takes longer than moving it. A channel's factor,
and a bias, are a product with a small matrix, which oneDNN computes on the processor's matrix instructions, in float32 and
rounded once, as the plain forms do: equal to the bit. Without such instructions what computes the product cuts its digits off
in place of rounding (seen with TensorFlow 2.15 and 2.21 on an AMD EPYC with AVX2), so there a factor is multiplied plainly.

Of a bias the gradient is a sum over all pixels. `BiasAddGrad` adds it up in bfloat16, which stands still once it is 256 times
what is added (seen with TensorFlow 2.21: 60 % off at 50,000 pixels); the product adds in float32.
"""

from __future__ import annotations

import functools

import tensorflow as tf

from tfunc.nets import precision

WIDEST = 64  # channels up to which a product with a matrix [channels, channels] is quicker than an elementwise one


def applies(values: tf.Tensor) -> bool:
    """Whether these forms are the quicker ones: bfloat16, and no GPU, whose own kernels are fused."""
    return values.dtype == tf.bfloat16 and not tf.config.list_physical_devices("GPU")


@functools.cache
def _rounds() -> bool:
    """Whether the processor multiplies bfloat16 by itself, and so rounds a product once."""
    return precision.of_processor().name == precision.BFLOAT16


def scale_channels(values: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """values [batch, height, width, channels] times factors [batch, channels], of one dtype."""
    if not applies(values) or values.shape[-1] > WIDEST or not _rounds():
        return values * factors[:, tf.newaxis, tf.newaxis, :]
    shape, channels = tf.shape(values), values.shape[-1]
    rows = tf.reshape(values, [shape[0], shape[1] * shape[2], channels])
    return tf.reshape(tf.linalg.matmul(rows, tf.linalg.diag(factors)), shape)


@tf.custom_gradient
def _add_bias(values, bias):
    channels = values.shape[-1]
    if channels <= WIDEST:
        rows = tf.linalg.matmul(tf.reshape(values, [-1, channels]), tf.eye(channels, dtype=values.dtype))
        outputs = tf.reshape(tf.nn.bias_add(rows, bias), tf.shape(values))
    else:
        outputs = tf.nn.bias_add(values, bias)

    def gradient(upstream):
        rows = tf.reshape(upstream, [-1, channels])
        total = tf.linalg.matmul(tf.ones([1, tf.shape(rows)[0]], rows.dtype), rows)
        return upstream, tf.reshape(total, [channels])

    return outputs, gradient


def add_bias(values: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """values [batch, height, width, channels] plus bias [channels], where no convolution before it can take the bias along."""
    return _add_bias(values, bias) if applies(values) else tf.nn.bias_add(values, bias)
