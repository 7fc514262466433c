"""The gradient of a convolution's kernel as products of matrices, on processors where oneDNN's own takes twice as long.

Where there is AVX2 and no AVX-512, oneDNN's kernel for it runs at half the rate of the convolution itself, and was half of a
training step. What it sums over all pixels was seen ten times as far from float64 as the products are.

The padded images are one long list of pixels, and so is what comes from above, made as wide. To see what the entry (row, column)
of the kernel sees, the first list is begun so many pixels later, which is no copy. Small images are copied for each column.
"""

from __future__ import annotations

import functools

import tensorflow as tf

from tfunc.nets import precision, stack

NARROWEST = 32  # channels, of input and of output, from which on it is quicker
MANY = 256  # channels from which on images are small, and three copies are cheaper than three times as many products


@functools.cache
def _slow() -> bool:
    """Whether oneDNN's own is the slower one here, as far as was measured: AVX2 and no AVX-512."""
    instructions = precision.features()
    return "avx2" in instructions and "avx512f" not in instructions and stack.name() == "current"


def applies(inputs: tf.Tensor, kernel: tf.Tensor) -> bool:
    """Whether products are the quicker way: float32, a kernel that sees neighbours, channels enough, and no GPU."""
    height, width, *channels = kernel.shape
    sees = height == width == 3 and min(channels) >= NARROWEST and inputs.dtype == tf.float32
    return sees and _slow() and not tf.config.list_physical_devices("GPU")


def convolve(inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """inputs [batch, height, width, in] through `kernel` [size, size, in, out] plus bias [out]; stride 1, zero padding `same`."""
    return _by_products(inputs, kernel, bias) if applies(inputs, kernel) else _plain(inputs, kernel, bias)


def _plain(inputs, kernel, bias):
    return tf.nn.bias_add(tf.nn.conv2d(inputs, kernel, strides=1, padding="SAME"), bias)


@tf.custom_gradient
def _by_products(inputs, kernel, bias):
    def gradient(upstream):
        down = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(inputs), filter=kernel, out_backprop=upstream, strides=[1] * 4, padding="SAME"
        )
        rows = tf.reshape(upstream, [-1, upstream.shape[-1]])
        total = tf.linalg.matmul(tf.ones([1, tf.shape(rows)[0]]), rows)
        return down, of_kernel(inputs, upstream), tf.reshape(total, tf.shape(bias))

    return _plain(inputs, kernel, bias), gradient


def of_kernel(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """The gradient [3, 3, in, out] where that of the convolution's output is `upstream` [batch, height, width, out]."""
    channels, filters = inputs.shape[-1], upstream.shape[-1]
    together = min(channels, filters) >= MANY
    columns = range(3)
    images = tf.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
    # nothing is above the last two rows and columns of an image: there the list runs on into the next row, the next image
    above = [tf.pad(upstream, [[0, 0], [0, 2], [by, 2 - by], [0, 0]]) for by in (columns if together else [0])]
    shifts = [row * tf.shape(images)[2] + column for row in range(3) for column in ([0] if together else columns)]
    first, second = tf.reshape(images, [-1, channels]), tf.reshape(tf.concat(above, -1), [-1, len(above) * filters])
    count = tf.shape(first)[0]
    products = [tf.linalg.matmul(first[shift:], second[: count - shift], transpose_a=True) for shift in shifts]
    if together:
        return tf.transpose(tf.reshape(tf.stack(products), [3, channels, 3, filters]), [0, 2, 1, 3])
    return tf.reshape(tf.stack(products), [3, 3, channels, filters])
