"""A volume's slices in the task's frame and the maps out of it again, inside the graph: as `tfunc.maps.predictor` does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from data_prep.grid import MULTIPLE
from data_prep.tasks import Task
from tfunc.serving import inputs


class Frame(NamedTuple):
    """Where slices lie in a frame. before: rows above and columns to the left, after: below and to the right, int32 [2].

    size: of the slices, int32 [2]. outside: float32 [channels], the normalised values around them.
    """

    before: tf.Tensor
    after: tf.Tensor
    size: tf.Tensor
    outside: tf.Tensor

    def around(self, images: tf.Tensor) -> tf.Tensor:
        """Slices [batch, height, width, channels] in the middle of the frame."""
        rows, columns = ([self.before[axis], self.after[axis]] for axis in (0, 1))
        padded = [
            tf.pad(images[..., channel], [[0, 0], rows, columns], constant_values=self.outside[channel])
            for channel in range(images.shape[-1])
        ]
        return tf.stack(padded, axis=-1)

    def out_of(self, maps: tf.Tensor) -> tf.Tensor:
        """Maps [batch, height, width, …] of the slices alone."""
        (top, left), (height, width) = tf.unstack(self.before, 2), tf.unstack(self.size, 2)
        return maps[:, top : top + height, left : left + width]


def of_volume(voxels: tf.Tensor, frame: Sequence[int], mean: tf.Tensor, deviation: tf.Tensor, task: Task) -> Frame:
    """The `Frame` of a volume [depth, height, width, channels]: the task's, or what holds larger slices.

    mean, deviation: that its channels are normalised by.
    """
    size = tf.shape(voxels)[1:3]
    asked = tf.constant(frame, tf.int32)
    larger = -(-size // MULTIPLE) * MULTIPLE
    whole = tf.where(tf.reduce_any(size > asked), larger, asked)
    before = (whole - size) // 2
    outside = tf.constant([channel.outside for channel in task.channels], tf.float32)
    outside = inputs.normalised(outside, mean, deviation, task.channels)
    return Frame(before, whole - size - before, size, outside)
