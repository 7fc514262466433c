"""From a pair of logits to what a pixel is: probability, segmentation, entropy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from tfunc.nets import classes
from tfunc.nets.classes import binary_entropy
from tfunc.scoring import temperature

LOGITS = np.random.default_rng(0).normal(0, 3, (2, 5, 7, 2)).astype(np.float32)


def test_foreground_is_the_softmax():
    """The second class's, by SciPy in float64; its segmentation is the argmax, ties to the first."""
    p = classes.foreground(tf.constant(LOGITS)).numpy()
    np.testing.assert_allclose(p, special.softmax(LOGITS.astype(np.float64), axis=-1)[..., 1], atol=1e-6)
    wins = classes.wins(tf.constant(LOGITS)).numpy()
    np.testing.assert_array_equal(wins, LOGITS.argmax(axis=-1) == 1)
    np.testing.assert_array_equal(classes.segmentation(p).numpy(), wins)
    equal = tf.zeros([1, 1, 1, 2])
    assert not classes.wins(equal).numpy().any() and not classes.segmentation(classes.foreground(equal)).numpy().any()


@pytest.mark.parametrize("chosen", [0.01, 0.6, 1.0, 2.5, 100.0])
def test_a_temperature_is_numpys(chosen):
    """In a graph a temperature does what it does to written maps, at both ends and beside one half too."""
    half = np.float32(0.5)
    ends = [0, 1, half, np.nextafter(half, np.float32(1)), np.nextafter(half, np.float32(0)), 1e-9]
    p = np.concatenate([ends, np.random.default_rng(1).random(194)]).astype(np.float32).reshape(2, 10, 10)
    found = classes.at_temperature(tf.constant(p), chosen)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, temperature.apply(p, chosen), atol=1e-6)
    np.testing.assert_array_equal(found.numpy() > 0.5, p > 0.5)
    several = np.random.default_rng(2).dirichlet(np.full(4, 0.2), (2, 10, 10)).astype(np.float32)
    found = classes.at_temperature(tf.constant(several), chosen)
    expected = temperature.apply_classes(np.moveaxis(several, -1, 0), chosen)
    np.testing.assert_allclose(np.moveaxis(found.numpy(), -1, 0), expected, atol=1e-6)


def test_binary_entropy():
    """0 at 0 and 1 (no NaN), 1 at a half, the formula in between."""
    np.testing.assert_array_equal(binary_entropy([0.0, 0.5, 1.0]), [0, 1, 0])
    p = np.linspace(0.001, 0.999, 99)
    np.testing.assert_allclose(binary_entropy(p), stats.entropy([p, 1 - p], base=2), rtol=1e-4)
