"""The one table of random streams: whoever draws at random has a name here, so that no two uses share bits.

A draw is a function of a place, such as (seed, step). Two uses of one place would draw the same numbers: the noise of
aleatoric training would be made of the very uniforms that chose the dropout masks. So each use folds its own constant in.

| version | a stream is | who has it |
| --- | --- | --- |
| 1 | the place itself, plus the row's `former` | networks whose config.json says so, or says nothing |
| 2 | the place with the row's `constant` folded in | what is trained now |

A network keeps its version: a training that is taken up again, its maps and its exports draw what they drew.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:  # the study and the options of a prediction read the version, and need no TensorFlow
    import tensorflow as tf

VERSION: Literal[2] = 2
ALGORITHM = "philox"  # the same numbers on CPU and GPU


@dataclasses.dataclass(frozen=True)
class Stream:
    """A use of random numbers. constant: folded in, never used twice, never changed. former: added to a place by version 1."""

    constant: int
    place: str
    former: int = 0


STREAMS = {
    "weights": Stream(1, "(seed, number of the convolution, kernel or bias): the first weights of a U-Net"),
    "head_weights": Stream(2, "the same of an auxiliary head"),
    "order": Stream(3, "(seed, epoch): which training slice comes when"),
    "dropout": Stream(4, "(seed, step), a row for each slice of the batch: the masks of training"),
    "objective": Stream(5, "(seed, step, replica): what an objective draws, such as the noise of aleatoric"),
    "augmentation": Stream(6, "(seed, epoch, subject, slice): view and intensities of a training slice"),
    "elastic": Stream(7, "the same place: its smooth deformation", former=1),
    "sampled_dropout": Stream(8, "(seed and subject, slice): the masks of MC dropout, predicted or served"),
    "sampled_views": Stream(9, "the same place: the views of test-time augmentation"),
    "crop": Stream(10, "(seed, epoch, subject, slice): where a training slice is cropped", former=2),
    "sampled_logits": Stream(
        11, "the place of MC dropout: the logits of a stochastic segmentation network, predicted or served"
    ),
    "stratified_dropout": Stream(12, "the place of MC dropout: its masks, stratified over the samples", former=3),
}


def fold(place: tf.Tensor, name: str, version: int) -> tf.Tensor:
    """The seed of a stream at a place: int64 [2] -> int64 [2]."""
    import tensorflow as tf

    stream = STREAMS[name]
    if version == 1:
        return place + stream.former
    constant = tf.constant(stream.constant, tf.int64)
    return tf.random.experimental.stateless_fold_in(place, constant, alg=ALGORITHM)


def objective_seed(seed: int, step: tf.Tensor, replica: tf.Tensor, replicas: int, version: int) -> tf.Tensor:
    """int32 [2] for what an objective draws on one replica. step: int64 scalar. replica: int32 scalar, one of `replicas`."""
    import tensorflow as tf

    if version == 1:
        return tf.stack([seed, tf.cast(step, tf.int32) * replicas + replica])
    own = fold(tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)]), "objective", version)
    own = tf.random.experimental.stateless_fold_in(own, tf.cast(replica, tf.int64), alg=ALGORITHM)
    return tf.random.stateless_uniform([2], own, None, None, tf.int32, alg=ALGORITHM)


def generator(name: str, version: int, *place: int) -> np.random.Generator:
    """NumPy's generator of a stream at a place of integers, 0 or more."""
    return np.random.default_rng(list(place) if version == 1 else [STREAMS[name].constant, *place])


def number(name: str, *place: int) -> int:
    """One whole number in [0, 2**31), as a Keras initializer takes it for its seed. Of version 2: the first had its own."""
    (word,) = np.random.SeedSequence([STREAMS[name].constant, *place]).generate_state(1)
    return int(word) >> 1
