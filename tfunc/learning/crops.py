"""Where a training slice is cropped: around foreground one time in three, anywhere else.

A crop depends on (seed, epoch, subject, slice) only, as its augmentation does. Validation and maps see whole slices.
"""

from __future__ import annotations

import tensorflow as tf

from data_prep import tasks
from tfunc.nets import streams

AROUND_FOREGROUND = 1 / 3  # nnU-Net's share


def corner(label: tf.Tensor, size: tuple[int, int], seed: tf.Tensor, version: int = streams.VERSION) -> tf.Tensor:
    """int32 [2], the first row and column of a crop of `size` (height, width), which is at most the label's.

    label: uint8 [height, width], indices of classes, its shape known while tracing. seed: int64 [2]. version: of the random
    streams.
    """
    room = tf.constant([label.shape[0] - size[0], label.shape[1] - size[1]])
    uniform = tf.random.stateless_uniform([4], streams.fold(seed, "crop", version), alg=streams.ALGORITHM)
    anywhere = tf.minimum(tf.cast(uniform[:2] * tf.cast(room + 1, tf.float32), tf.int32), room)
    there = tf.where((label > 0) & (label != tasks.IGNORED))
    count = tf.shape(there)[0]

    def around():
        chosen = tf.minimum(tf.cast(uniform[3] * tf.cast(count, tf.float32), tf.int32), count - 1)
        centre = tf.cast(there[chosen], tf.int32)
        return tf.clip_by_value(centre - tf.constant(size) // 2, 0, room)

    return tf.cond((uniform[2] < AROUND_FOREGROUND) & (count > 0), around, lambda: anywhere)


def cut(values: tf.Tensor, at: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """The crop of [height, width, ...] that begins at `at`."""
    part = values[at[0] : at[0] + size[0], at[1] : at[1] + size[1]]
    return tf.ensure_shape(part, [*size, *values.shape[2:]])
