"""The inference graph: a trained network as plain TensorFlow ops on fixed weights, batch normalisation folded away.

Prediction and the served model run this one graph. Where height and width are known while tracing, no copy is made to join
what rises with what was skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from tfunc.nets import engine, weights
from tfunc.nets.folded_unit import Edge, FoldedUnit, fold_unit
from tfunc.nets.layers import upsample_convolve, upsampling_kernel
from tfunc.nets.unet import pad_to
from tfunc.nets.weights import Weight


def network(model: Any, precision: str = "float32") -> Any:
    """A trained `UNet` folded; what is a network already, with logits and `classes`, as it is."""
    return FoldedUNet(model, precision) if isinstance(model, keras.Model) else model


class FoldedHead:
    """The auxiliary head, folded. Features -> float32 logits [..., 2] of an error."""

    def __init__(self, model: keras.Model, precision: str = "float32"):
        dtype = tf.as_dtype(precision)
        *units, last = model.structure.layers
        self.units = [fold_unit(unit, dtype, False) for unit in units]
        self.last = [Weight(weights, dtype) for weights in last.get_weights()]

    def __call__(self, features: tf.Tensor) -> tf.Tensor:
        """Features [batch, height, width, channels] -> logits."""
        x = _run(self.units, features, iter(()))
        return _logits(x, *self.last)


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
            return Weight(kernel, dtype), Weight(bias, dtype)

        def rise(layer):
            kernel, bias = layer.get_weights()
            return Weight(upsampling_kernel(tf.constant(kernel)).numpy(), dtype), Weight(bias, dtype)

        self.down = [fold(block) for block in structure.down]
        self.bottom = fold(structure.bottom)
        self.up = [(rise(layer), fold(block)) for layer, block in structure.up]
        heads = [head for head in (structure.logit_head, structure.second_head) if head]
        self.heads = [(fold([unit])[0], plain(last)) for unit, last in heads]
        self.classes = int(structure.logit_head[1].filters)  # of the softmax
        self.rank = structure.rank

    @engine.whole
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
            first, *rest = block
            kept = next(remaining) if first.dropped is not None else None
            x = _join(upsample_convolve(x, kernel()), bias, skips.pop(), first, kept)
            x = _run(rest, x, remaining)
        return x, remaining

    def head_outputs(
        self, features: tf.Tensor, remaining: Iterator[tf.Tensor] | None = None
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """Features -> float32 logits [..., classes], or (logits, the second head's). remaining: dropout masks of the heads."""
        outputs, remaining = [], remaining or iter(())
        for unit, (kernel, bias) in self.heads:
            x = _run([unit], features, remaining)
            outputs.append(_logits(x, kernel, bias))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _run(units, x, remaining):
    for unit in units:
        x = unit(x, next(remaining) if unit.dropped is not None else None)
    return x


def _logits(x, kernel, bias):
    return tf.cast(tf.nn.bias_add(tf.nn.conv2d(x, kernel(), 1, "SAME"), bias()), tf.float32)


def _join(risen: tf.Tensor, bias: Weight, skip: tf.Tensor, unit: FoldedUnit, kept: tf.Tensor | None) -> tf.Tensor:
    """The unit's output on `risen` + bias and `skip`, side by side. The bias is not added yet."""
    own, size = risen.shape[1:3], skip.shape[1:3]
    known = own.is_fully_defined() and size.is_fully_defined()
    if not (known and weights.are_constants()) or tf.config.list_logical_devices("GPU"):  # oneDNN alone fuses the sum
        return unit(tf.concat([pad_to(tf.nn.bias_add(risen, bias()), skip), skip], axis=-1), kept)
    (top, left), (height, width) = ((whole - part) // 2 for whole, part in zip(size, own, strict=True)), own
    inside = slice(top, top + height), slice(left, left + width)
    edge = Edge(unit, bias, inside, tuple(size))
    return unit.joined(risen if own == size else pad_to(risen, skip), skip, edge, kept)


def dropout_masks(uniform: tf.Tensor, rates: list[tuple[float, int]]) -> list[tf.Tensor]:
    """Uniform [batch, channels] -> one 0/1 mask a layer, the same channels as `sampling.keeps` drops."""
    pieces = tf.split(uniform, [count for _, count in rates], axis=1)
    return [tf.cast(piece >= rate, tf.float32) for piece, (rate, _) in zip(pieces, rates, strict=True)]
