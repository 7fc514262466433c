"""Steps in bfloat16 in the forms that are quick on a CPU, against the plain ops and against float64."""

import numpy as np
import pytest
import tensorflow as tf

from tfunc.nets import low_precision

pytestmark = pytest.mark.optimised

SIZES = [(2, 24, 20, 32), (2, 5, 3, low_precision.WIDEST + 1)]  # with the products, and too wide for them


def drawn(*shape, seed=0):
    return tf.cast(np.random.default_rng(seed).normal(size=shape), tf.bfloat16)


def values_and_gradients(function, *inputs):
    """What a function gives as a graph, and the gradients of its weighted sum; float32 arrays."""

    @tf.function(autograph=False)
    def run(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = function(*inputs)
            total = tf.reduce_sum(tf.cast(outputs, tf.float32) * tf.cast(drawn(*outputs.shape, seed=1), tf.float32))
        return [outputs, *tape.gradient(total, inputs)]

    return [np.asarray(tf.cast(one, tf.float32)) for one in run(*inputs)]


@pytest.mark.parametrize("size", SIZES)
def test_a_channels_factor_is_the_plain_product_to_the_bit(size):
    """A dropped channel is 0, each other one scaled and rounded once, of every image by its own; the gradient likewise."""
    values = drawn(*size)
    factors = tf.cast((np.random.default_rng(2).random((size[0], size[3])) > 0.3) / 0.7, tf.bfloat16)
    ours = values_and_gradients(lambda x: low_precision.scale_channels(x, factors), values)
    plain = values_and_gradients(lambda x: x * factors[:, tf.newaxis, tf.newaxis, :], values)
    for one, other in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (ours[0] == 0).any()


@pytest.mark.parametrize("size", SIZES)
def test_a_channels_factor_is_rounded_once(size):
    """Half a step from the exact product at most, on whichever processor: what cuts digits off is a whole one away."""
    values = drawn(*size)
    factors = tf.cast((np.random.default_rng(2).random((size[0], size[3])) > 0.3) / 0.7, tf.bfloat16)
    exact = (
        np.asarray(tf.cast(values, tf.float64)) * np.asarray(tf.cast(factors, tf.float64))[:, np.newaxis, np.newaxis]
    )
    found = np.asarray(tf.cast(low_precision.scale_channels(values, factors), tf.float64))
    assert (np.abs(found - exact) <= 2.0**-8 * np.abs(exact)).all()


@pytest.mark.parametrize("size", SIZES)
def test_a_bias_is_added_as_plainly(size):
    """Values and what goes on to the input are equal to the bit."""
    values, bias = drawn(*size), drawn(size[3], seed=3)
    ours, plain = (
        values_and_gradients(function, values, bias) for function in (low_precision.add_bias, tf.nn.bias_add)
    )
    for one, other in zip(ours[:2], plain[:2], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("channels", [4, low_precision.WIDEST + 1])
def test_a_bias_learns_from_all_pixels(channels):
    """Its gradient is the sum over 40,000 pixels to bfloat16's own step; added up in bfloat16 it would be a part of that."""
    upstream = tf.ones([1, 200, 200, channels], tf.bfloat16)
    bias = drawn(channels)
    with tf.GradientTape() as tape:
        tape.watch(bias)
        outputs = low_precision.add_bias(tf.zeros_like(upstream), bias)
    found = np.asarray(tf.cast(tape.gradient(outputs, bias, output_gradients=upstream), tf.float64))
    np.testing.assert_allclose(found, 40_000, rtol=2**-8)


def test_other_precisions_take_the_plain_ops():
    """float32 and float16 are left as they were."""
    assert low_precision.applies(drawn(1)) == (not tf.config.list_physical_devices("GPU"))
    assert not low_precision.applies(tf.zeros(1)) and not low_precision.applies(tf.zeros(1, tf.float16))
