"""Dropout masks from seeds: the same row gets the same mask in every batch, on every replica and in every process.

Masks of all layers of a network are drawn at once, as one row of uniform numbers, and split by layer.
"""

from __future__ import annotations

import tensorflow as tf

from tfunc.nets import streams
from tfunc.nets.streams import ALGORITHM

Rates = list[tuple[float, int]]  # of `UNet.dropout_rates`


def channels(rates: Rates) -> int:
    """Uniform numbers one pass needs; `rates` is `UNet.dropout_rates`."""
    return sum(count for _, count in rates)


def keeps(uniform: tf.Tensor, rates: Rates) -> list[tf.Tensor]:
    """Uniform [batch, channels(rates)] -> one [batch, channels] multiplier a layer: 0 at `rate`, else 1 / (1 - rate)."""
    pieces = tf.split(uniform, [count for _, count in rates], axis=1)
    return [tf.cast(piece >= rate, tf.float32) / (1.0 - rate) for piece, (rate, _) in zip(pieces, rates, strict=True)]


def training_uniform(
    seed: tf.Tensor | int,
    step: tf.Tensor,
    rows: tf.Tensor,
    batch_size: int | tf.Tensor,
    rates: Rates,
    version: int = streams.VERSION,
) -> tf.Tensor:
    """Uniform numbers of the rows (int [n], positions in the global batch) at one training step.

    They depend on (seed, step, row) only, so replicas draw what one device would, and a resumed training what an
    uninterrupted one does. version: of the random streams.
    """
    seeds = tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)])
    own = streams.fold(seeds, "dropout", version)
    whole = tf.random.stateless_uniform([batch_size, channels(rates)], own, alg=ALGORITHM)
    return tf.gather(whole, rows)


def sample_uniform(seeds: tf.Tensor, samples: int, rates: Rates, version: int = streams.VERSION) -> tf.Tensor:
    """seeds int64 [batch, 2] -> uniform [samples, batch, channels(rates)], each row from its own seed alone."""
    return tf.transpose(rows_uniform(seeds, [samples, channels(rates)], "sampled_dropout", version), [1, 0, 2])


def stratified_uniform(seeds: tf.Tensor, samples: int, rates: Rates, version: int = streams.VERSION) -> tf.Tensor:
    """As `sample_uniform`, each channel's numbers of all samples stratified: one in each interval [t / T, (t + 1) / T).

    Which sample has which interval is a random permutation for each channel by itself, so every sample's numbers are
    uniform and independent of each other, and its mask is a draw of dropout as any other. Only between samples do they
    depend on each other: at a rate of 0.05 and T = 20 each channel is dropped in exactly one. A Latin hypercube sample (McKay
    et al. 1979). The numbers of one T are not the beginning of another's.
    """
    drawn = rows_uniform(seeds, [2, samples, channels(rates)], "stratified_dropout", version)
    intervals = tf.argsort(
        tf.argsort(drawn[:, 0], axis=1, stable=True), axis=1, stable=True
    )  # the ranks: a permutation
    return tf.transpose((tf.cast(intervals, tf.float32) + drawn[:, 1]) / samples, [1, 0, 2])


def rows_uniform(seeds: tf.Tensor, shape: list[int], stream: str, version: int = streams.VERSION) -> tf.Tensor:
    """seeds int64 [batch, 2] -> uniform float32 [batch, *shape], each row from its own seed alone.

    stream: of `streams.STREAMS`.
    """
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform(shape, streams.fold(seed, stream, version), alg=ALGORITHM),
        seeds,
        fn_output_signature=tf.TensorSpec(shape, tf.float32),
    )


def rows_normal(
    seeds: tf.Tensor, number: tf.Tensor | int, shape: tf.Tensor | list[int], stream: str, version: int = streams.VERSION
) -> tf.Tensor:
    """seeds int64 [batch, 2] -> standard normal float32 [batch, *shape], each row from its own seed alone.

    number: which of a row's draws, 0 or more; one does not depend on how many there are. stream: see `rows_uniform`.
    """
    number = tf.cast(number, tf.int64)

    def row(seed):
        own = tf.random.experimental.stateless_fold_in(streams.fold(seed, stream, version), number, alg=ALGORITHM)
        return tf.random.stateless_normal(shape, own, alg=ALGORITHM)

    rank = len(shape) if isinstance(shape, list) else shape.shape[0]
    return tf.map_fn(row, seeds, fn_output_signature=tf.TensorSpec([None] * rank, tf.float32))
