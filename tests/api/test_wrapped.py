"""Anyone's Keras model with the methods that train nothing: what it says stays, what is sampled is dropout alone."""

import keras
import numpy as np
import pytest

import tfunc
from data_prep.base.errors import UserError
from tfunc import metrics

RATE = 0.3


def model(final="softmax", classes=3, dropout=True, noise=False):
    """A small segmentation model with batch normalisation that has seen something."""
    layers = keras.layers
    keras.utils.set_random_seed(1)
    first = x = keras.Input((24, 32, 2))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.GaussianNoise(1.0)(x) if noise else x
    x = layers.Dropout(RATE)(x) if dropout else x
    inner = keras.Input((24, 32, 4))
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(inner)
    nested = keras.Model(inner, layers.SpatialDropout2D(RATE)(y) if dropout else y)
    made = keras.Model(first, layers.Conv2D(classes, 1, activation=final)(nested(x)))
    made.layers[2].set_weights([np.float32([1, 2, 0.5, 1]), *np.float32([[0.1] * 4, [0.2] * 4, [0.7] * 4])])
    return made


class Stubborn(keras.layers.Dropout):
    """Drops whatever it is told, as some write it for MC dropout."""

    def call(self, inputs, training=None):
        return super().call(inputs, training=True)


def ending_in(function):
    """A model whose output no layer of it makes."""
    first = keras.Input((24, 32, 2))
    return keras.Model(first, function(keras.layers.Conv2D(2, 1)(keras.layers.Dropout(RATE)(first))))


def smaller():
    """A model of half the size."""
    first = keras.Input((24, 32, 2))
    return keras.Model(first, keras.layers.Conv2D(2, 1, strides=2)(first))


def spoilt():
    """A model with NaN in it."""
    made = model()
    made.set_weights([np.full_like(weight, np.nan) for weight in made.get_weights()])
    return made


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(5, 24, 32, 2)).astype(np.float32)


@pytest.mark.parametrize(
    ("final", "classes"), [("softmax", 3), ("linear", 3), ("sigmoid", 1), ("linear", 1), ("softmax", 2)]
)
def test_one_pass_is_the_models_own(final, classes, images):
    """Whether it ends in logits or probabilities, of one channel or several."""
    made = model(final, classes)
    own = np.asarray(made(images, training=False), np.float64)
    if final == "linear":
        own = 1 / (1 + np.exp(-own)) if classes == 1 else np.exp(own) / np.exp(own).sum(-1, keepdims=True)
    maps = tfunc.wrap(made, "baseline").predict(images)
    expected = own[..., -1] if classes < 3 else own
    np.testing.assert_allclose(maps.probability, expected, atol=1e-5)
    index = own.argmax(-1) if classes > 1 else own[..., 0] > 0.5
    assert (maps.prediction == index).mean() > 0.999 and maps.mutual_information is None
    share = np.stack([1 - expected, expected], -1) if classes < 3 else expected
    entropy = -(share * np.log(share)).sum(-1) / np.log(share.shape[-1])
    np.testing.assert_allclose(maps.uncertainty, entropy, atol=1e-4)


def test_dropout_alone_is_sampled(images):
    """Weights, moving statistics and random states stay; noise stays off; the same seed gives the same, in any batches."""
    made = model(noise=True)
    before = [np.array(value) for value in made.variables]
    wrapped = tfunc.wrap(made)
    maps = wrapped.predict(images, samples=4)
    for other in (wrapped, tfunc.wrap(made, batch_size=2)):
        np.testing.assert_allclose(other.predict(images, samples=4).probability, maps.probability, atol=1e-6)
    assert all(np.array_equal(one, np.array(value)) for one, value in zip(before, made.variables, strict=True))
    assert not np.allclose(wrapped.predict(images, samples=4, seed=21).probability, maps.probability, atol=1e-3)
    alone, quiet = np.asarray(made(images, training=False)), model()
    quiet.set_weights(made.get_weights())
    np.testing.assert_allclose(tfunc.wrap(quiet).predict(images, samples=4).probability, maps.probability, atol=1e-6)
    assert maps.mutual_information.min() >= 0 and maps.mutual_information.max() > 1e-3
    np.testing.assert_array_equal(np.asarray(made(images, training=False)), alone)


def test_a_layer_that_drops_by_itself_is_silent_too(images):
    """But where it is sampled: one pass, and views, are the same each time."""
    first = keras.Input((24, 32, 2))
    made = keras.Model(first, keras.layers.Conv2D(2, 1)(Stubborn(RATE)(first)))
    for method in ("baseline", "tta"):
        wrapped = tfunc.wrap(made, method)
        np.testing.assert_array_equal(*(wrapped.predict(images, samples=2).probability for _ in range(2)))
    assert tfunc.wrap(made).predict(images, samples=3).mutual_information.max() > 0


def test_one_sample_is_one_network(images):
    """Two equal images get equal maps, since they share the draw; a channel is dropped as often as the rate says."""
    made = model()
    maps = tfunc.wrap(made).predict(np.repeat(images[:1], 3, axis=0), samples=1)
    np.testing.assert_array_equal(maps.probability[0], maps.probability[2])
    first = keras.Input((24, 32, 2))
    plain = keras.Model(first, keras.layers.Dropout(RATE)(first))
    dropped = tfunc.wrap(keras.Model(first, keras.layers.Activation("linear")(plain(first))), outputs="logits")
    ones = dropped.predict(np.ones((1, 24, 32, 2), np.float32), samples=1).probability
    # logits are 0 or 1 / 0.7 each, so that their difference is 0 where both are kept or both dropped
    even = np.isclose(ones, 0.5).mean()
    assert even == pytest.approx(RATE**2 + (1 - RATE) ** 2, abs=0.05)


@pytest.mark.long
def test_views_and_members(images):
    """Test-time augmentation's first view is the image; an ensemble is the mean of its members."""
    one, other = model(), model()
    other.set_weights([weight[::-1] if weight.ndim == 1 else 1.5 * weight for weight in one.get_weights()])
    alone = [tfunc.wrap(each, "baseline").predict(images).probability for each in (one, other)]
    first = tfunc.wrap(one, "tta").predict(images, samples=1)
    np.testing.assert_allclose(first.probability, alone[0], atol=1e-6)
    several = tfunc.wrap([one, other], "ensemble").predict(images)
    np.testing.assert_allclose(several.probability, np.mean(alone, axis=0), atol=1e-6)
    assert several.mutual_information.max() > 0


def test_evaluation(images):
    """Its numbers are those of `tfunc.metrics`."""
    wrapped = tfunc.wrap(model(), "baseline")
    maps = wrapped.predict(images)
    labels = np.random.default_rng(1).integers(0, 3, maps.prediction.shape)
    found = wrapped.evaluate(images, labels, threshold=0.9)
    assert set(found) == {"dice_1", "ece_1", "dice_2", "ece_2", "uncertainty_error"}
    assert found["dice_2"] == metrics.dice(maps.prediction == 2, labels == 2)
    wrong, unsure = maps.prediction != labels, maps.uncertainty > 0.9
    assert found["uncertainty_error"] == pytest.approx(2 * (wrong & unsure).sum() / (wrong.sum() + unsure.sum()))


@pytest.mark.long
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tfunc.wrap(model(dropout=False)), "expected layers of dropout"),
        (lambda: tfunc.wrap(model(), "aleatoric"), "expected one of baseline, baseline_mc, tta, ensemble"),
        (lambda: tfunc.wrap([model(), model()]), "expected one model for baseline_mc, found 2"),
        (lambda: tfunc.wrap([model(), model(classes=4)], "ensemble"), "members of one number of classes"),
        (lambda: tfunc.wrap(model("tanh")), "expected a last layer with a linear or softmax"),
        (lambda: tfunc.wrap(model(), outputs="best"), "outputs: expected auto"),
        (lambda: tfunc.wrap(model("sigmoid")), "one channel with a sigmoid"),
        (lambda: tfunc.wrap(ending_in(keras.ops.softmax)), "expected a last layer with"),
        (lambda: tfunc.wrap(model(classes=300)), "expected at most 256 classes, found 300"),
        (
            lambda: tfunc.wrap(smaller(), "tta").predict(np.zeros((1, 24, 32, 2))),
            "expected an output of 24x32, found 12x16",
        ),
        (lambda: tfunc.wrap(model()).predict(np.zeros((1, 24, 32, 3))), "images: expected shape"),
        (lambda: tfunc.wrap(spoilt(), "baseline").predict(np.ones((1, 24, 32, 2))), "model: expected finite outputs"),
        (
            lambda: tfunc.wrap(model(), "baseline").evaluate(np.zeros((1, 24, 32, 2)), np.full((1, 24, 32), -1)),
            "labels:",
        ),
        (lambda: tfunc.wrap(model(), batch_size=0), "batch_size: expected 1"),
        (lambda: tfunc.wrap(keras.Sequential([keras.layers.Dense(3)])), "expected a built model"),
        (lambda: tfunc.wrap(model()).predict(np.zeros((24, 32, 2))), "images: expected .batch"),
        (lambda: tfunc.wrap(model()).predict(np.full((1, 24, 32, 2), np.nan)), "expected finite"),
        (lambda: tfunc.wrap(model()).predict(np.zeros((1, 24, 32, 2)), samples=0), "samples, seed"),
        (
            lambda: tfunc.wrap(model(), "baseline").evaluate(np.zeros((1, 24, 32, 2)), np.full((1, 24, 32), 3)),
            "labels: expected",
        ),
    ],
)
def test_what_cannot_be_is_one_line(make, words):
    """Naming the argument."""
    with pytest.raises(UserError, match=words) as raised:
        make()
    assert "\n" not in str(raised.value)
