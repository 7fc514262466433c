"""The four layers of the U-Net, as Keras layers whose arithmetic is plain TensorFlow.

They keep Keras' variables, names and saving, so weights cross Keras 2.15 and Keras 3, but call the ops directly: Keras 3's
batch normalisation is not the fused op, and that alone halves the training speed on a CPU.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfunc.nets import kernel_gradient, low_precision

BATCH_NORM_MOMENTUM = 0.9  # torch's momentum of 0.1
BATCH_NORM_EPSILON = 1e-5


def torch_initializers(fan_in: int, seeds: tuple[int | None, int | None]) -> dict[str, Any]:
    """Kernel and bias initializers of torch's convolution: both uniform in +-1/sqrt(fan_in). seeds: of kernel and bias."""
    bound = fan_in**-0.5
    kernel, bias = (keras.initializers.RandomUniform(-bound, bound, seed=seed) for seed in seeds)
    return {"kernel_initializer": kernel, "bias_initializer": bias}


class Convolution(keras.layers.Conv2D):
    """Convolution with bias, stride 1, zero padding `same`. [batch, height, width, in] -> [batch, height, width, out]."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        kernel, bias = (tf.cast(variable, self.compute_dtype) for variable in (self.kernel, self.bias))
        return kernel_gradient.convolve(inputs, kernel, bias)


def upsampling_kernel(kernel: tf.Tensor) -> tf.Tensor:
    """The 4x4 kernel of the stride-2 transposed convolution that equals nearest upsampling by 2 and then `kernel`.

    Each output pixel of upsample-then-convolve sees every input pixel through the kernel entries that fall on its 2x2
    repetition; their sum over the four one-pixel shifts is a 4x4 kernel. kernel [3, 3, in, out] -> [4, 4, out, in], the
    order tf.nn.conv2d_transpose takes.
    """
    reverse = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])
    shifts = [tf.pad(reverse, [[y, 1 - y], [x, 1 - x], [0, 0], [0, 0]]) for y in (0, 1) for x in (0, 1)]
    return tf.add_n(shifts)


def upsample_convolve(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Nearest upsampling by 2 and a 3x3 convolution as one transposed convolution; `kernel` is `upsampling_kernel`'s."""
    batch, height, width, _ = tf.unstack(tf.shape(inputs))
    return tf.nn.conv2d_transpose(inputs, kernel, [batch, 2 * height, 2 * width, kernel.shape[2]], strides=2)


class UpConvolution(keras.layers.Conv2D):
    """Nearest upsampling by 2, then a 3x3 convolution. [batch, h, w, in] -> [batch, 2h, 2w, out].

    The variable is the 3x3 kernel of the reference; the arithmetic is one transposed convolution, which is 2 to 3 times
    faster and equal to rounding.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        kernel = tf.cast(upsampling_kernel(tf.convert_to_tensor(self.kernel)), self.compute_dtype)
        return low_precision.add_bias(upsample_convolve(inputs, kernel), tf.cast(self.bias, self.compute_dtype))


class ChannelDropout(keras.layers.SpatialDropout2D):
    """Drops whole channels, as torch's Dropout2d does.

    `keep` [batch, channels] (0 where a channel is dropped, else 1 / (1 - rate)) replaces the layer's own draw: with it the
    result depends on nothing but the caller's seeds, whatever the batch, the replica or the process.
    """

    def call(self, inputs: tf.Tensor, training: bool = False, keep: tf.Tensor | None = None) -> tf.Tensor:
        if keep is not None:
            return low_precision.scale_channels(inputs, tf.cast(keep, inputs.dtype))
        return super().call(inputs, training=training)


class BatchNormalisation(keras.layers.BatchNormalization):
    """Batch normalisation by TensorFlow's fused op; statistics stay float32.

    In training it normalises by the batch's biased variance and moves the running variance by the unbiased one, as torch
    does. With `trainable = False` it stays on its moving statistics under `training=True`, as Keras' own layer does.
    Under a strategy each replica uses its own statistics, and the moving ones are averaged over replicas.
    """

    def call(self, inputs: tf.Tensor, training: bool = False, mask: object = None) -> tf.Tensor:
        learn = bool(training) and self.trainable
        empty = tf.zeros([0], tf.float32)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=empty if learn else tf.convert_to_tensor(self.moving_mean),
            variance=empty if learn else tf.convert_to_tensor(self.moving_variance),
            epsilon=self.epsilon,
            is_training=learn,
        )
        if learn:
            self._move(tf.stop_gradient(mean), tf.stop_gradient(variance))
        return outputs

    def _move(self, mean, variance):
        """Moves the running statistics, by the replicas' average: else each replica's would drift from the others'."""
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            mean, variance = context.all_reduce(tf.distribute.ReduceOp.MEAN, [mean, variance])
        for variable, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            old = tf.convert_to_tensor(variable)
            variable.assign(old + (1.0 - self.momentum) * (batch - old))


def batch_normalisation(dtype: str | None = None) -> BatchNormalisation:
    """The layer with the reference's momentum and epsilon."""
    return BatchNormalisation(momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, dtype=dtype)
