"""The losses against the authors' numbers, and against NumPy in float64."""

import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import GOLDENS
from scipy import special, stats

from tfunc.learning.losses import aleatoric_loss, aleatoric_rows, cross_entropy_rows

FACTS = json.loads((GOLDENS / "loss" / "aleatoric_loss.json").read_text())


def golden(name):
    """Arrays of a golden with the class on the last axis, as ours."""
    stored = np.load(GOLDENS / "loss" / f"{name}.npz")
    return {key: np.moveaxis(stored[key], -3, -1) if stored[key].ndim > 3 else stored[key] for key in stored.files}


def many(arrays, sigma, copies, samples=10):
    """The loss of `copies` independent draws, float64 [copies]: copies are rows of one batch."""
    one = {"logits": arrays["logits"], "sigma": sigma, "target": arrays["target"]}
    tiled = {name: np.tile(value, [copies] + [1] * (value.ndim - 1)) for name, value in one.items()}
    rows = aleatoric_rows(**tiled, samples=samples, seed=[1, 2])
    return np.asarray(rows, np.float64).reshape(copies, -1).mean(axis=1)


def test_given_noise_gives_the_authors_loss():
    """With the authors' noise the loss is theirs, negative sigma included."""
    arrays = golden("explicit_noise")
    loss = aleatoric_loss(arrays["logits"], arrays["sigma"], arrays["target"], noise=arrays["eps"])
    assert loss.shape == () and loss.dtype == tf.float32
    assert float(loss) == pytest.approx(float(arrays["loss_sigma"]), abs=1e-5)
    assert (arrays["sigma"] < 0).any()


@pytest.mark.parametrize(("name", "file"), [("positive_sigma", "positive_sigma"), ("signed_sigma", "explicit_noise")])
def test_drawn_noise_gives_the_authors_loss_on_average(name, file):
    """Mean and spread of the ten-sample loss, and its limit in many samples, are the authors' within the errors."""
    arrays, facts = golden(file), FACTS[name]
    losses = many(arrays, arrays["sigma"], 2000)
    error = np.hypot(facts["samples10_se_of_mean"], losses.std() / len(losses) ** 0.5)
    assert abs(losses.mean() - facts["samples10_mean"]) < 4 * error
    assert losses.std() == pytest.approx(facts["samples10_sd"], rel=0.15)
    limit = many(arrays, arrays["sigma"], 10, samples=2000)
    assert limit.mean() == pytest.approx(facts["limit_infinite_samples"], abs=5 * limit.std() / 10**0.5 + 1e-3)


def test_drawn_gradients_are_the_authors_on_average():
    """Mean gradients over many draws agree with the authors' within five standard errors, at nearly every element."""
    arrays, copies = golden("positive_sigma"), 400
    tiled = [tf.constant(np.tile(arrays[name], [copies, 1, 1, 1])) for name in ("logits", "sigma")]
    target = np.tile(arrays["target"], [copies, 1, 1])
    with tf.GradientTape() as tape:
        tape.watch(tiled)
        loss = copies * aleatoric_loss(*tiled, target)
    for name, gradient in zip(("logits", "sigma"), tape.gradient(loss, tiled), strict=True):
        draws = gradient.numpy().reshape(copies, *arrays[name].shape)
        error = np.hypot(arrays[f"grad_{name}_se"], draws.std(axis=0) / copies**0.5)
        distance = (draws.mean(axis=0) - arrays[f"grad_{name}_mean"]) / error
        assert np.abs(distance).max() < 6 and np.mean(np.abs(distance) < 3) > 0.95


def test_zero_sigma_is_cross_entropy():
    """Without noise every sample is the logits themselves."""
    arrays = golden("explicit_noise")
    losses = many(arrays, np.zeros_like(arrays["sigma"]), 1)
    assert losses[0] == pytest.approx(FACTS["zero_sigma"]["limit_infinite_samples"], abs=1e-5)


def test_sure_and_wrong_stays_finite():
    """Where the authors' loss underflows to infinity, ours is about the logits' distance, with a finite gradient."""
    facts = FACTS["underflow_inf"]
    assert facts["loss"] == np.inf
    logits = tf.constant(facts["logits"], tf.float32)[tf.newaxis, tf.newaxis, tf.newaxis]
    sigma, target = tf.fill(logits.shape, facts["sigma"]), tf.fill(logits.shape[:3], facts["target"])
    with tf.GradientTape() as tape:
        tape.watch([logits, sigma])
        loss = aleatoric_loss(logits, sigma, target)
    assert float(loss) == pytest.approx(240, abs=1)
    for gradient in tape.gradient(loss, [logits, sigma]):
        assert np.isfinite(gradient).all()
    assert tape is not None and np.abs(gradient).max() > 0


def test_draws_are_normal_and_differ_by_seed():
    """Stateless seeds repeat a loss and others change it; the draws' spread is sigma's."""
    logits, target = np.zeros((1, 32, 32, 2), "f4"), np.ones((1, 32, 32), "u1")
    one, again, other = (float(aleatoric_rows(logits, 0 * logits + 2, target, seed=[3, s])[0]) for s in (1, 1, 2))
    assert one == again != other
    # one sample: the loss is the mean of softplus(-d), d the difference of two normal draws of deviation 2
    exact = stats.norm(0, 2 * 2**0.5).expect(lambda d: np.logaddexp(0, -d))
    rows = aleatoric_rows(
        np.zeros((64, 32, 32, 2), "f4"), np.full((64, 32, 32, 2), 2, "f4"), np.ones((64, 32, 32)), None, 1
    )
    assert float(tf.reduce_mean(rows)) == pytest.approx(exact, abs=0.05)


def test_aleatoric_rows_are_means_over_pixels():
    """The loss is the mean of its rows, each the mean over its own pixels."""
    arrays = golden("explicit_noise")
    rows = aleatoric_rows(arrays["logits"], arrays["sigma"], arrays["target"], noise=arrays["eps"])
    assert rows.shape == (2,)
    halves = [
        aleatoric_loss(
            *(arrays[name][i : i + 1] for name in ("logits", "sigma", "target")), arrays["eps"][:, i : i + 1]
        )
        for i in (0, 1)
    ]
    np.testing.assert_allclose(rows, halves, rtol=1e-6)


def test_cross_entropy_equals_numpy():
    """Row by row the mean of -log softmax of the target's class, to float32 precision, far logits included."""
    random = np.random.default_rng(0)
    logits, target = random.normal(0, 30, (3, 5, 7, 2)).astype("f4"), random.integers(0, 2, (3, 5, 7), "u1")
    log_softmax = special.log_softmax(logits.astype(np.float64), axis=-1)
    expected = -np.take_along_axis(log_softmax, target[..., None].astype(int), axis=-1).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(cross_entropy_rows(logits, target), expected, rtol=1e-5)


def test_cross_entropy_is_float32_under_bfloat16():
    """Half-precision logits are widened before anything is computed of them."""
    logits = tf.cast(np.random.default_rng(0).normal(size=(2, 4, 4, 2)), tf.bfloat16)
    rows = cross_entropy_rows(logits, np.ones((2, 4, 4), "u1"))
    np.testing.assert_array_equal(rows, cross_entropy_rows(tf.cast(logits, tf.float32), np.ones((2, 4, 4), "u1")))
    assert rows.dtype == tf.float32
