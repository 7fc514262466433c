"""Dropout masks: right rates, and the same row the same mask wherever it is drawn."""

import numpy as np
import pytest
import tensorflow as tf

from tfunc.nets import sampling

RATES = [(0.5, 64), (0.05, 128), (0.25, 32)]


def uniform(rows, seed=20, step=3, batch_size=16):
    return sampling.training_uniform(seed, step, tf.constant(rows), batch_size, RATES).numpy()


def test_keeps_have_the_rates_and_keep_the_mean():
    """Each layer drops its share and scales what stays by 1 / (1 - rate); pieces go to the layers in order."""
    draws = np.random.default_rng(0).random((4000, sampling.channels(RATES)), np.float32)
    start = 0
    for keep, (rate, count) in zip(sampling.keeps(tf.constant(draws), RATES), RATES, strict=True):
        keep = keep.numpy()
        np.testing.assert_array_equal(keep > 0, draws[:, start : start + count] >= rate)
        assert np.mean(keep == 0) == pytest.approx(rate, abs=0.01)
        assert set(np.unique(keep)) == {np.float32(0), np.float32(1) / np.float32(1 - rate)}
        start += count
    assert start == draws.shape[1]


def test_training_masks_depend_on_seed_step_and_row_only():
    """Rows drawn apart, in another order or twice are the rows of the whole; other steps and seeds are others."""
    whole = uniform(range(16))
    np.testing.assert_array_equal(uniform([5, 2, 5]), whole[[5, 2, 5]])
    assert not np.array_equal(uniform([0], step=4), whole[:1])
    assert not np.array_equal(uniform([0], seed=21), whole[:1])
    assert len(np.unique(whole, axis=0)) == 16


def test_training_masks_are_the_same_in_a_graph():
    """Traced with the step as a tensor, the numbers are those of the eager call."""
    graph = tf.function(lambda step, rows: sampling.training_uniform(20, step, rows, 16, RATES))
    np.testing.assert_array_equal(graph(tf.constant(3, tf.int64), tf.constant([1, 7])), uniform([1, 7]))


def test_sample_rows_come_from_their_own_seed():
    """A row's samples do not depend on its neighbours, its place or the graph; samples and rows differ."""
    seeds = np.array([[1, 0], [1, 1], [2, 0], [5 << 32, 9]], np.int64)
    draws = sampling.sample_uniform(seeds, 3, RATES).numpy()
    assert draws.shape == (3, 4, sampling.channels(RATES))
    np.testing.assert_array_equal(sampling.sample_uniform(seeds[2:3], 3, RATES)[:, 0], draws[:, 2])
    np.testing.assert_array_equal(tf.function(sampling.sample_uniform)(seeds[::-1], 3, RATES), draws[:, ::-1])
    assert len(np.unique(draws.reshape(12, -1), axis=0)) == 12
    assert draws.min() >= 0 and draws.max() < 1


def test_strata_are_a_latin_hypercube():
    """Of T numbers of a channel each interval has one; a rate of 1 / T drops a channel in exactly one sample."""
    rates, samples = [(0.05, 40), (0.5, 24)], 20
    seeds = tf.constant([[1, 0], [2, 0]], tf.int64)
    uniform = sampling.stratified_uniform(seeds, samples, rates).numpy()
    assert uniform.shape == (samples, 2, 64)
    assert uniform.min() >= 0
    intervals = np.sort(np.floor(uniform.astype(np.float64) * samples + 1e-6), axis=0)
    np.testing.assert_array_equal(intervals, np.broadcast_to(np.arange(samples)[:, None, None], intervals.shape))
    often, half = (
        np.stack(kept) for kept in zip(*(sampling.keeps(tf.constant(row), rates) for row in uniform), strict=True)
    )
    np.testing.assert_array_equal((often == 0).sum(0), 1)
    np.testing.assert_array_equal((half == 0).sum(0), samples // 2)


@pytest.mark.long
def test_each_stratified_sample_is_a_draw_of_dropout():
    """Within a sample the channels are independent: over many seeds the number dropped has the binomial's mean and variance."""
    rates, seeds = [(0.25, 32)], tf.stack([tf.range(800, dtype=tf.int64), tf.zeros(800, tf.int64)], 1)
    uniform = sampling.stratified_uniform(seeds, 8, rates).numpy()
    dropped = (uniform < 0.25).sum(-1)  # [samples, seeds]
    np.testing.assert_allclose(dropped.mean(1), 8.0, atol=4 * np.sqrt(6.0 / 800))
    np.testing.assert_allclose(dropped.var(1), 6.0, rtol=0.25)
    again = sampling.stratified_uniform(seeds[3:5], 8, rates).numpy()
    np.testing.assert_array_equal(again, uniform[:, 3:5])  # a row depends on its own seed alone
