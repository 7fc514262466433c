"""Convolution, batch normalisation and ReLU as one op of constants, and what channel dropout does to it.

Folding turns the three into one fused op. Under dropout the unit's shift must not be folded past the mask: a dropped
channel becomes the normalised zero, not zero. So a sampling unit computes max(0, z / (1 - rate) + shift) as its fused op,
and where a channel is dropped it is the constant max(0, shift). Two ways give the same numbers to rounding:

- *by masks*: the mask chooses, channel by channel, between the op's output and that constant. Each row of a batch may have
  masks of its own; it costs two passes over the output, which oneDNN's fused op has no part in.
- *folded*: where all rows share one mask, it goes into the weights: a dropped channel's kernel is 0 and its bias the
  constant, and all stays one fused op. It costs a pass over the kernel. Nothing is folded into the *next* unit's bias: what
  a constant channel adds there is less at the border, where zeros surround it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfunc.nets.structure import Unit
from tfunc.nets.weights import Weight

ROWS = 16  # of a batch whose number of rows isn't known while tracing


@dataclasses.dataclass(frozen=True)
class FoldedUnit:
    """One unit. dropped: what a dropped channel becomes; None where the unit doesn't sample."""

    kernel: Weight
    bias: Weight
    dropped: Weight | None

    def __call__(self, x: tf.Tensor, kept: tf.Tensor | None = None) -> tf.Tensor:
        """kept: [batch, channels], or [1, channels] for all rows; 0 where a channel is dropped."""
        kernel, bias = self.kernel(), self.bias()
        folds = self.dropped is not None and self._folds(x, kept)
        if folds:
            kernel, bias = self._folded(kernel, kept), self._chosen(bias, kept)
        x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias))
        return x if self.dropped is None or folds else self._masked(x, kept)

    def joined(self, risen: tf.Tensor, skip: tf.Tensor, edge: Edge, kept: tf.Tensor | None = None) -> tf.Tensor:
        """The same of `risen` + its bias and `skip`, side by side: two convolutions, whose sum is part of the fused op.

        risen: [batch, height, width, in] without the bias, which `edge` has. So neither a copy of both in one tensor nor a
        pass for the bias is needed. The shapes but for the batch must be known while tracing. The sum is `add_n`'s: grappler
        fuses an addition only where it is sure that nothing is broadcast.
        """
        split = risen.shape[-1]
        first, second = self.kernel.part(slice(split)), self.kernel.part(slice(split, None))
        bias, more = tf.constant(edge.bias), tf.constant(edge.updates)
        folds = self.dropped is not None and self._folds(skip, kept)
        if folds:
            first, second, more = self._folded(first, kept), self._folded(second, kept), self._folded(more, kept)
            bias = self._chosen(bias, kept)
        other = edge.added(tf.nn.conv2d(skip, second, 1, "SAME"), more)
        x = tf.nn.relu(tf.add_n([tf.nn.bias_add(tf.nn.conv2d(risen, first, 1, "SAME"), bias), other]))
        return x if self.dropped is None or folds else self._masked(x, kept)

    def _folds(self, x, kept):
        """Whether one mask is shared by the batch and there are more outputs of a channel than weights."""
        rows, height, width = x.shape[:3]
        if kept.shape[0] != 1 or not height or not width:
            return False
        return (rows or ROWS) * height * width >= np.prod(self.kernel.shape[:3])

    @staticmethod
    def _folded(kernel, kept):
        """A kernel, or anything whose last axis is the output channels, 0 where they are dropped."""
        return kernel * tf.cast(kept[0], kernel.dtype)

    def _chosen(self, bias, kept):
        """The bias, and of dropped channels the constant."""
        kept = tf.cast(kept[0], bias.dtype)
        return bias * kept + self.dropped() * (1 - kept)

    def _masked(self, x, kept):
        """The unit's output, and of dropped channels the constant."""
        kept = tf.cast(kept, x.dtype)[:, tf.newaxis, tf.newaxis, :]
        return x * kept + self.dropped() * (1 - kept)


class Edge:
    """A bias in front of a 3x3 convolution, moved behind it: the convolution's own bias, but for the frame's edge.

    conv(x + b) is conv(x) + sum of b * kernel wherever the kernel sees b all around; at the edge zeros surround the image,
    and the sum has fewer terms. So the interior's sum joins the bias, and the difference is added to the pixels of the edge.
    """

    def __init__(self, unit: FoldedUnit, bias: Weight, inside: tuple[slice, slice], size: tuple[int, int]):
        """bias: [in], of the first input channels. inside: where in an image of `size` it is; zeros surround it."""
        dtype = unit.bias.values.dtype
        kernel = unit.kernel.values[:, :, : len(bias.values)].astype(np.float64)
        taps = np.einsum("i,yxio->yxo", bias.values.astype(np.float64), kernel)
        image = np.zeros(size)
        image[inside] = 1
        around = np.pad(image, [(count // 2, count // 2) for count in kernel.shape[:2]])
        seen = np.lib.stride_tricks.sliding_window_view(around, kernel.shape[:2])  # [height, width, taps, taps]
        self.pixels = np.argwhere(~(seen == 1).all((2, 3)))
        missing = 1 - seen[tuple(self.pixels.T)]
        whole = unit.bias.values.astype(np.float64) + taps.sum((0, 1))
        self.bias = whole.astype(dtype)
        self.updates = -np.einsum("nyx,yxo->no", missing, taps).astype(dtype)

    def added(self, x: tf.Tensor, updates: tf.Tensor) -> tf.Tensor:
        """x [batch, height, width, out] with `updates` [pixels, out] added to the edge of each row."""
        rows, count = tf.shape(x)[0], len(self.pixels)
        places = tf.tile(tf.constant(self.pixels, tf.int32), [rows, 1])
        indices = tf.concat([tf.repeat(tf.range(rows), count)[:, tf.newaxis], places], axis=1)
        # `tf.raw_ops.InplaceAdd` would save the copy, 4 % of a batch in bfloat16; but where two convolutions are the same to
        # grappler, as those of two equal members of an ensemble, both would add to one tensor
        return tf.tensor_scatter_nd_add(x, indices, tf.tile(updates, [rows, 1]))


def fold_unit(unit: Unit, dtype: tf.DType, sampled: bool) -> FoldedUnit:
    """Folds one convolution unit of a `UNet`; all arithmetic in float64, the result in `dtype`."""
    kernel, bias = (np.asarray(w, np.float64) for w in unit.convolution.get_weights())
    gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in unit.normalisation.get_weights())
    scale = gamma / np.sqrt(variance + unit.normalisation.epsilon)
    shift = beta - mean * scale
    if not sampled or unit.dropout is None:
        return FoldedUnit(Weight(kernel * scale, dtype), Weight(bias * scale + shift, dtype), None)
    grown = scale / (1.0 - unit.dropout.rate)
    return FoldedUnit(
        Weight(kernel * grown, dtype), Weight(bias * grown + shift, dtype), Weight(np.maximum(shift, 0), dtype)
    )
