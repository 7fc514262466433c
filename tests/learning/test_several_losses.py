"""The losses of several classes, of soft Dice and of voxels that count nowhere, against NumPy in float64."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from tfunc.learning.losses import (
    OF_SEGMENTATION,
    aleatoric_rows,
    cross_entropy_rows,
    dice_cross_entropy_rows,
    dice_rows,
)

SHAPE = (3, 5, 7)
RANDOM = np.random.default_rng(0)
COUNTED = RANDOM.random(SHAPE) < 0.6
COUNTED[2] = False  # a slice in which nothing counts


def given(count, scale=3):
    random = np.random.default_rng(count)
    return random.normal(0, scale, (*SHAPE, count)).astype("f4"), random.integers(0, count, SHAPE, np.uint8)


def picked(logits, target):
    """log softmax of the target's class, float64."""
    found = special.log_softmax(logits.astype(np.float64), axis=-1)
    target = np.broadcast_to(target, found.shape[:-1]).astype(int)
    return np.take_along_axis(found, target[..., None], axis=-1)[..., 0]


def mean(values, counted):
    """Row by row the mean of what counts, 0 where nothing does."""
    return [row[which].mean() if which.any() else 0.0 for row, which in zip(values, counted, strict=True)]


def soft_dice(logits, target, counted):
    p, rows = special.softmax(logits.astype(np.float64), axis=-1), []
    for row in range(len(logits)):
        which, found = counted[row], []
        for index in range(1, logits.shape[-1]):
            soft, hard = p[row, ..., index][which], (target[row] == index)[which]
            found.append((2 * (soft * hard).sum() + 1) / (soft.sum() + hard.sum() + 1))
        rows.append(1 - np.mean(found))
    return rows


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("scale", [3, 300])
def test_cross_entropy_equals_numpy(count, scale):
    """The mean over all voxels, and over those that count, far logits included."""
    logits, target = given(count, scale)
    expected = -picked(logits, target)
    np.testing.assert_allclose(cross_entropy_rows(logits, target), expected.mean(axis=(1, 2)), rtol=1e-5)
    masked = np.where(COUNTED, target, 255).astype(np.uint8)
    found = cross_entropy_rows(logits, masked, tf.constant(COUNTED))
    np.testing.assert_allclose(found, mean(expected, COUNTED), rtol=1e-5)


@pytest.mark.parametrize("count", [2, 4])
def test_dice_equals_numpy(count):
    """1 - the mean of the foreground classes' smoothed soft Dice; with cross-entropy it is their sum."""
    logits, target = given(count)
    everywhere, masked = np.ones(SHAPE, bool), np.where(COUNTED, target, 255).astype(np.uint8)
    np.testing.assert_allclose(dice_rows(logits, target), soft_dice(logits, target, everywhere), rtol=1e-5)
    known = tf.constant(COUNTED)
    np.testing.assert_allclose(
        dice_rows(logits, masked, known), soft_dice(logits, target, COUNTED), rtol=1e-5, atol=1e-7
    )
    both = cross_entropy_rows(logits, masked, known) + dice_rows(logits, masked, known)
    np.testing.assert_allclose(dice_cross_entropy_rows(logits, masked, known), both, rtol=1e-6)
    assert set(OF_SEGMENTATION) == {"cross_entropy", "dice_ce"}


@pytest.mark.parametrize("count", [2, 4])
def test_aleatoric_equals_numpy(count):
    """-log of the mean probability over given noise, in log space: finite where every sample is sure and wrong."""
    logits, target = given(count)
    sigma, noise = RANDOM.normal(0, 2, logits.shape).astype("f4"), RANDOM.normal(size=(6, *logits.shape)).astype("f4")

    def expected(logits):
        sampled = logits.astype(np.float64) + noise * sigma.astype(np.float64)
        return -(special.logsumexp(picked(sampled, target[None]), axis=0) - np.log(6))

    found = aleatoric_rows(logits, sigma, target, noise)
    np.testing.assert_allclose(found, expected(logits).mean(axis=(1, 2)), rtol=1e-5)
    masked = np.where(COUNTED, target, 255).astype(np.uint8)
    found = aleatoric_rows(200 * logits, sigma, masked, noise, counted=tf.constant(COUNTED))
    np.testing.assert_allclose(found, mean(expected(200 * logits), COUNTED), rtol=1e-5)
    drawn = aleatoric_rows(logits, sigma, target, seed=[1, 2])
    assert np.isfinite(drawn).all() and np.array_equal(drawn, aleatoric_rows(logits, sigma, target, seed=[1, 2]))


@pytest.mark.parametrize("count", [2, 4])
def test_what_counts_nowhere_teaches_nothing(count):
    """No gradient at an ignored voxel, none at all of a slice with nothing else, and nothing that is not finite."""
    logits, target = given(count, 100)
    masked, known = np.where(COUNTED, target, 255).astype(np.uint8), tf.constant(COUNTED)
    variable, sigma = tf.constant(logits), tf.ones_like(logits)
    losses = {
        "cross_entropy": lambda: cross_entropy_rows(variable, masked, known),
        "dice_ce": lambda: dice_cross_entropy_rows(variable, masked, known),
        "aleatoric": lambda: aleatoric_rows(variable, sigma, masked, seed=[1, 2], counted=known),
    }
    for name, rows in losses.items():
        with tf.GradientTape() as tape:
            tape.watch(variable)
            loss = rows()
        gradient = tape.gradient(loss, variable).numpy()
        assert loss.numpy()[2] == pytest.approx(0, abs=1e-6), name
        assert np.isfinite(gradient).all() and not gradient[~COUNTED].any() and gradient[COUNTED].any(), name
