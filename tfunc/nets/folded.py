"""The inference graph: a trained network as plain TensorFlow ops on constants, batch normalisation folded away.

Prediction and the served model run this one graph. Folding turns convolution, batch normalisation and ReLU into one
fused op. Under dropout the unit's shift must not be folded past the mask: a dropped channel becomes the normalised
zero, not zero. So a sampling unit computes max(0, z / (1 - rate) + shift) as its fused op, and the mask chooses, channel
by channel, between that and the constant max(0, shift).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from tfunc.nets.layers import upsample_convolve, upsampling_kernel
from tfunc.nets.structure import Unit
from tfunc.nets.unet import pad_to


@dataclasses.dataclass(frozen=True)
class FoldedUnit:
    """Convolution, batch normalisation and ReLU as one op, and what dropout does to it."""

    kernel: tf.Tensor
    bias: tf.Tensor
    dropped: tf.Tensor | None  # what a dropped channel becomes; None where the unit doesn't sample

    def __call__(self, x: tf.Tensor, kept: tf.Tensor | None = None) -> tf.Tensor:
        """kept: [batch, channels], 0 where a channel is dropped."""
        x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, self.kernel, 1, "SAME"), self.bias))
        if self.dropped is None:
            return x
        kept = tf.cast(kept, x.dtype)[:, tf.newaxis, tf.newaxis, :]
        return x * kept + self.dropped * (1 - kept)


def _constant(value, dtype):
    """A fixed tensor; a variable, since a strategy gives each of its devices a copy of those."""
    return tf.Variable(tf.constant(value, dtype), trainable=False)


class FoldedHead:
    """The auxiliary head, folded. Features -> float32 logits [..., 2] of an error."""

    def __init__(self, model: keras.Model, precision: str = "float32"):
        dtype = tf.as_dtype(precision)
        *units, last = model.structure.layers
        self.units = [fold_unit(unit, dtype, False) for unit in units]
        self.last = [_constant(weights, dtype) for weights in last.get_weights()]

    def __call__(self, features: tf.Tensor) -> tf.Tensor:
        """Features [batch, height, width, channels] -> logits."""
        x = _run(self.units, features, iter(()))
        return tf.cast(tf.nn.bias_add(tf.nn.conv2d(x, self.last[0], 1, "SAME"), self.last[1]), tf.float32)


def fold_unit(unit: Unit, dtype: tf.DType, sampled: bool) -> FoldedUnit:
    """Folds one convolution unit of a `UNet`; all arithmetic in float64, the result in `dtype`."""
    kernel, bias = (np.asarray(w, np.float64) for w in unit.convolution.get_weights())
    gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in unit.normalisation.get_weights())
    scale = gamma / np.sqrt(variance + unit.normalisation.epsilon)
    shift = beta - mean * scale
    if not sampled or unit.dropout is None:
        return FoldedUnit(_constant(kernel * scale, dtype), _constant(bias * scale + shift, dtype), None)
    grown = scale / (1.0 - unit.dropout.rate)
    return FoldedUnit(
        _constant(kernel * grown, dtype), _constant(bias * grown + shift, dtype), _constant(np.maximum(shift, 0), dtype)
    )


class FoldedUNet:
    """Callable: normalised images float32 [batch, height, width, channels] -> float32 logits, or (logits, the second head's).

    model: a trained `UNet`. sampled: keeps dropout live; calls then need `kept`.
    precision: "float32" or "bfloat16" for the convolutions; softmax and entropy stay float32 outside.
    """

    def __init__(self, model: keras.Model, precision: str = "float32", sampled: bool = False):
        dtype = tf.as_dtype(precision)
        structure = model.structure
        self.dtype = dtype
        self.rates = model.dropout_rates if sampled else []

        def fold(units):
            return [fold_unit(unit, dtype, sampled) for unit in units]

        def plain(layer):
            kernel, bias = layer.get_weights()
            return _constant(kernel, dtype), _constant(bias, dtype)

        def rise(layer):
            kernel, bias = layer.get_weights()
            return _constant(tf.cast(upsampling_kernel(tf.constant(kernel)), dtype), dtype), _constant(bias, dtype)

        self.down = [fold(block) for block in structure.down]
        self.bottom = fold(structure.bottom)
        self.up = [(rise(layer), fold(block)) for layer, block in structure.up]
        heads = [head for head in (structure.logit_head, structure.second_head) if head]
        self.heads = [(fold([unit])[0], plain(last)) for unit, last in heads]
        self.classes = int(structure.logit_head[1].filters)  # of the softmax
        self.rank = structure.rank

    def __call__(
        self, images: tf.Tensor, kept: list[tf.Tensor] | None = None
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """kept: one [batch, channels] of 0 (dropped) and 1 for each entry of `rates`, in the order units run."""
        features, remaining = self.features(images, kept)
        return self.head_outputs(features, remaining)

    def features(self, images: tf.Tensor, kept: list[tf.Tensor] | None = None) -> tuple[tf.Tensor, Iterator[tf.Tensor]]:
        """The last decoder block's output, and the iterator over the dropout masks not used yet."""
        remaining = iter(kept or ())
        x, skips = tf.cast(images, self.dtype), []
        for block in self.down:
            x = _run(block, x, remaining)
            skips.append(x)
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        x = _run(self.bottom, x, remaining)
        for (kernel, bias), block in self.up:
            skip = skips.pop()
            x = tf.nn.bias_add(upsample_convolve(x, kernel), bias)
            x = _run(block, tf.concat([pad_to(x, skip), skip], axis=-1), remaining)
        return x, remaining

    def head_outputs(
        self, features: tf.Tensor, remaining: Iterator[tf.Tensor] | None = None
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """Features -> float32 logits [..., classes], or (logits, the second head's). remaining: dropout masks of the heads."""
        outputs, remaining = [], remaining or iter(())
        for unit, (kernel, bias) in self.heads:
            x = _run([unit], features, remaining)
            outputs.append(tf.cast(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias), tf.float32))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _run(units, x, remaining):
    for unit in units:
        x = unit(x, next(remaining) if unit.dropped is not None else None)
    return x


def dropout_masks(uniform: tf.Tensor, rates: list[tuple[float, int]]) -> list[tf.Tensor]:
    """Uniform [batch, channels] -> one 0/1 mask a layer, the same channels as `sampling.keeps` drops."""
    pieces = tf.split(uniform, [count for _, count in rates], axis=1)
    return [tf.cast(piece >= rate, tf.float32) for piece, (rate, _) in zip(pieces, rates, strict=True)]
