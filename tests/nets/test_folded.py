"""The folded graph against the Keras model it was made from, deterministic and with the same dropout masks."""

import numpy as np
import pytest
import tensorflow as tf

from tfunc.nets import folded as inference
from tfunc.nets import folded_unit, sampling, weights
from tfunc.nets.graphs import graph
from tfunc.nets.unet import AuxiliaryHead, unet

pytestmark = pytest.mark.optimised

NETWORKS = {
    "baseline": {"dropout": 0.05},
    "center": {"dropout": 0.5, "center": True},
    "sigma": {"dropout": 0.05, "sigma": True},
    "without dropout": {"dropout": 0.0},
}


def images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def close(ours, theirs, tolerance=1e-5):
    """Equal within `tolerance` of the largest value, or of 1."""
    for one, other in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance * max(1, np.abs(other).max()))


def test_golden_network_folded(golden_unet):
    """The authors' weights, folded: the Keras model's logits and features within 1e-5, at a size with padding."""
    folded, image = inference.FoldedUNet(golden_unet), images(2, 33, 50, 3)
    close(folded(image), golden_unet(image))
    features, _ = folded.features(image)
    close(features, golden_unet.features(image))


@pytest.mark.long
@pytest.mark.parametrize("name", NETWORKS)
def test_folded_equals_the_model(name, shaken):
    """Uneven batch statistics and negative scales fold away exactly, in every kind of network."""
    model, image = shaken(unet(3, 8, 3, seed=1, **NETWORKS[name])), images(2, 17, 24, 3)
    output = model(image)
    close(inference.FoldedUNet(model)(image), output)
    assert np.std(tf.nest.flatten(output)[0][..., 0]) > 0.1  # or equality would say nothing


@pytest.mark.long
@pytest.mark.parametrize("name", ["baseline", "center", "sigma"])
def test_sampling_equals_the_model_with_the_same_masks(name, shaken):
    """With live dropout too: a dropped channel becomes the normalised zero, not zero."""
    model, image = shaken(unet(3, 8, 3, seed=1, **NETWORKS[name])), images(4, 17, 24, 3)
    rates = model.dropout_rates
    uniform = tf.constant(np.random.default_rng(1).random((4, sampling.channels(rates)), np.float32))
    folded = inference.FoldedUNet(model, sampled=True)
    sampled = folded(image, inference.dropout_masks(uniform, folded.rates))
    close(sampled, model(image, keeps=sampling.keeps(uniform, rates)))
    assert not np.allclose(tf.nest.flatten(sampled)[0], tf.nest.flatten(model(image))[0], atol=1e-2)


def test_masks_drop_what_keeps_drop():
    """The 0/1 masks of the folded graph are zero where the model's multipliers are."""
    rates = [(0.5, 8), (0.05, 32)]
    uniform = tf.constant(np.random.default_rng(1).random((6, 40), np.float32))
    for mask, keep in zip(inference.dropout_masks(uniform, rates), sampling.keeps(uniform, rates), strict=True):
        np.testing.assert_array_equal(mask, keep > 0)


def test_auxiliary_head_folded(shaken):
    """The head on the features folds like the rest."""
    model, features = shaken(AuxiliaryHead(8, seed=1)), images(2, 5, 7, 8)
    close(inference.FoldedHead(model)(features), model(features))


def test_bfloat16_is_near_and_leaves_float32_at_the_end(shaken):
    """Half-precision convolutions give float32 logits near the exact ones."""
    model, image = shaken(unet(3, 8, 2, seed=1)), images(1, 16, 16, 3)
    logits = inference.FoldedUNet(model, "bfloat16")(image)
    assert logits.dtype == tf.float32
    close(logits, model(image), 0.2)


def test_folding_copies(shaken):
    """The graph keeps the weights it was made from, and making it changes nothing in the model."""
    model, image = shaken(unet(3, 4, 2, seed=1)), images(1, 8, 8, 3)
    before = [weight.copy() for weight in model.get_weights()]
    folded = inference.FoldedUNet(model, sampled=True)
    masks = [tf.ones([1, channels]) for _, channels in folded.rates]
    first = folded(image, masks)
    for weight, after in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, after)
    model.set_weights([0 * weight for weight in before])
    np.testing.assert_array_equal(folded(image, masks), first)


def fixed(function, *arguments):
    """`function` as prediction runs it: a graph of constants, the size of its images known."""
    specs = [tf.TensorSpec([None, *values.shape[1:]] if values.ndim == 4 else values.shape) for values in arguments]
    with weights.constants():
        return graph(function, *specs).get_concrete_function()(*map(tf.constant, arguments))


@pytest.mark.long
@pytest.mark.parametrize("size", [(32, 48), (17, 24), (33, 50)])
@pytest.mark.parametrize("name", NETWORKS)
def test_joined_without_a_copy_equals_the_model(name, size, shaken):
    """Two convolutions in place of a concatenation, the bias before them moved behind: edges and padding come out right."""
    model, image = shaken(unet(3, 8, 3, seed=1, **NETWORKS[name])), images(3, *size, 3)
    close(fixed(inference.FoldedUNet(model), image), model(image))


@pytest.mark.long
@pytest.mark.parametrize("size", [(32, 48), (17, 24)])
@pytest.mark.parametrize("name", ["baseline", "center", "sigma"])
def test_a_mask_in_the_weights_equals_the_mask_on_the_maps(name, size, shaken, monkeypatch):
    """One mask for a batch, folded into all units that it pays in, and into all units: dropped channels are constants."""
    model, image = shaken(unet(3, 8, 3, seed=1, **NETWORKS[name])), images(4, *size, 3)
    rates = model.dropout_rates
    uniform = np.random.default_rng(1).random((1, sampling.channels(rates))).astype(np.float32)
    folded = inference.FoldedUNet(model, sampled=True)
    expected = model(image, keeps=sampling.keeps(tf.repeat(tf.constant(uniform), 4, 0), rates))

    def sample(batch, numbers):
        return folded(batch, inference.dropout_masks(numbers, rates))

    close(fixed(sample, image, uniform), expected)
    monkeypatch.setattr(folded_unit, "ROWS", 10**6)
    close(fixed(sample, image, uniform), expected)
    assert not np.allclose(tf.nest.flatten(expected)[0], tf.nest.flatten(model(image))[0], atol=1e-2)


def test_equal_networks_in_one_graph_stay_apart(shaken):
    """What grappler takes for the same computation is not added to twice."""
    model, image = shaken(unet(3, 8, 2, seed=1)), images(2, 16, 16, 3)
    members = [inference.FoldedUNet(model) for _ in range(3)]
    close(fixed(lambda batch: tf.add_n([member(batch) for member in members]), image), 3 * model(image))


def test_what_the_limit_leaves_out_stays_a_variable(shaken):
    """A graph holds as many constants as it may, and the rest of the weights as variables; the output is the same."""
    model, image = shaken(unet(3, 8, 2, seed=1)), images(2, 16, 16, 3)
    network, found = inference.FoldedUNet(model), []
    for limit in (0, 20_000, weights.LARGEST):
        with weights.constants(limit):
            traced = graph(network, tf.TensorSpec(image.shape)).get_concrete_function()
        close(traced(tf.constant(image)), model(image))
        found.append(len(traced.captured_inputs))
    assert found[0] > found[1] > found[2] == 0
