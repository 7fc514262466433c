"""Each layer against the same arithmetic in NumPy or in plain TensorFlow ops."""

import numpy as np
import pytest
import tensorflow as tf

from tfunc.nets.layers import ChannelDropout, Convolution, UpConvolution, batch_normalisation


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def convolve(image, kernel, bias):
    """Zero-padded convolution of [batch, height, width, in], in float64, tap by tap."""
    size = kernel.shape[0]
    padded = np.pad(image.astype(np.float64), [(0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)])
    height, width = image.shape[1:3]
    taps = [padded[:, y : y + height, x : x + width] @ kernel[y, x] for y in range(size) for x in range(size)]
    return np.sum(taps, axis=0) + bias


def filled(layer, channels, seed=1):
    layer.build((None, None, None, channels))
    layer.set_weights([normal(*weight.shape, seed=seed + index) for index, weight in enumerate(layer.weights)])
    return layer


@pytest.mark.parametrize("size", [1, 3])
def test_convolution_is_zero_padded_with_bias(size):
    """Borders see zeros, and the bias is added: the arithmetic of the reference's convolution."""
    layer, image = filled(Convolution(5, size, padding="same"), 3), normal(2, 7, 4, 3)
    expected = convolve(image, *map(np.asarray, layer.get_weights()))
    np.testing.assert_allclose(layer(image), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4), (8, 8)])
def test_up_convolution_is_nearest_upsampling_then_convolution(size):
    """The one transposed convolution equals repetition and a 3x3 convolution, at the borders too."""
    layer, image = filled(UpConvolution(3, 3, padding="same"), 6), normal(2, *size, 6)
    expected = convolve(image.repeat(2, axis=1).repeat(2, axis=2), *map(np.asarray, layer.get_weights()))
    np.testing.assert_allclose(layer(image), expected, atol=1e-5)


def test_up_convolution_has_the_gradients_of_nearest_upsampling_then_convolution():
    """The 3x3 kernel that is trained, and the input, get the gradients of the two-op form."""
    layer, image, weight = filled(UpConvolution(3, 3, padding="same"), 4), tf.constant(normal(2, 5, 3, 4)), normal(3)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(image)
        kernel = tf.convert_to_tensor(layer.kernel)
        tape.watch(kernel)
        one = tf.reduce_sum(layer(image) ** 2 * weight)
        large = tf.repeat(tf.repeat(image, 2, axis=1), 2, axis=2)
        two = tf.reduce_sum((tf.nn.conv2d(large, kernel, 1, "SAME") + layer.bias) ** 2 * weight)
    variable = layer.trainable_weights[0]
    np.testing.assert_allclose(tape.gradient(one, variable), tape.gradient(two, kernel), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(tape.gradient(one, image), tape.gradient(two, image), rtol=1e-4, atol=1e-3)


def test_dropout_drops_whole_channels_and_scales_the_rest():
    """In training a channel is zero everywhere or doubled everywhere (rate 0.5); at inference nothing changes."""
    layer, ones = ChannelDropout(0.5), np.ones((8, 3, 4, 16), np.float32)
    dropped = np.asarray(layer(ones, training=True))
    assert (dropped == dropped[:, :1, :1]).all()
    assert set(np.unique(dropped)) == {0.0, 2.0}
    np.testing.assert_array_equal(layer(ones), ones)


def test_keep_replaces_the_draw():
    """Given multipliers are used as they are, whatever `training` says."""
    layer, keep, image = ChannelDropout(0.5), np.array([[0, 2, 1.5], [1, 0, 0]], np.float32), normal(2, 3, 4, 3)
    for training in (False, True):
        np.testing.assert_allclose(layer(image, training=training, keep=keep), image * keep[:, None, None], rtol=1e-6)


def test_batch_normalisation_in_training_follows_torch():
    """Normalises by the biased variance, moves a tenth of the way to the mean and to the *unbiased* variance."""
    layer, batch = batch_normalisation(), 3 + 2 * normal(2, 3, 2, 5)
    layer.build(batch.shape)
    gamma, beta, mean, variance = normal(4, 5, seed=4)
    layer.set_weights([gamma, beta, mean, np.abs(variance)])
    outputs = layer(batch, training=True)
    rows = batch.reshape(-1, 5).astype(np.float64)
    expected = (batch - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5) * gamma + beta
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.9 * mean + 0.1 * rows.mean(0), atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.9 * np.abs(variance) + 0.1 * rows.var(0, ddof=1), atol=1e-6)


def test_batch_normalisation_has_the_gradient_of_its_formula():
    """The fused op's gradient, batch statistics included, equals that of the formula written out."""
    layer, batch, weight = batch_normalisation(), tf.constant(normal(3, 4, 4, 2)), normal(3, 4, 4, 2, seed=9)
    layer.build(batch.shape)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(batch)
        fused = tf.reduce_sum(layer(batch, training=True) * weight)
        mean, variance = tf.nn.moments(batch, [0, 1, 2])
        plain = tf.reduce_sum((batch - mean) / tf.sqrt(variance + 1e-5) * weight)
    np.testing.assert_allclose(tape.gradient(fused, batch), tape.gradient(plain, batch), atol=1e-5)


@pytest.mark.parametrize(("training", "trainable"), [(False, True), (True, False)])
def test_batch_normalisation_stays_on_its_statistics(training, trainable):
    """At inference, and frozen under `training=True`, it uses the moving statistics and leaves them alone."""
    layer, batch = batch_normalisation(), 3 + 2 * normal(2, 3, 2, 5)
    layer.build(batch.shape)
    layer.trainable = trainable
    weights = [*normal(3, 5, seed=4), np.abs(normal(5, seed=8)) + 0.1]
    layer.set_weights(weights)
    gamma, beta, mean, variance = weights
    expected = (batch - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    np.testing.assert_allclose(layer(batch, training=training), expected, atol=1e-5)
    for before, after in zip([mean, variance], [layer.moving_mean, layer.moving_variance], strict=True):
        np.testing.assert_array_equal(before, after)


def test_batch_normalisation_keeps_statistics_in_float32_under_bfloat16():
    """Under mixed precision the activations are bfloat16, the statistics stay float32 and are those of float32."""
    layer, batch = batch_normalisation("mixed_bfloat16"), tf.cast(3 + normal(2, 8, 8, 4), tf.bfloat16)
    layer.build(batch.shape)
    assert layer(batch, training=True).dtype == tf.bfloat16
    rows = np.asarray(tf.cast(batch, tf.float32)).reshape(-1, 4)
    assert np.asarray(layer.moving_mean).dtype == np.float32
    np.testing.assert_allclose(layer.moving_mean, 0.1 * rows.mean(0), atol=1e-5)
