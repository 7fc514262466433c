"""From the logits of several classes to what a pixel is: probabilities, segmentation, entropy, regions."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import GOLDENS
from scipy import special, stats

from data_prep.base.errors import UserError
from tfunc import networks
from tfunc.nets import classes, folded, trained
from tfunc.nets.unet import unet

LOGITS = np.random.default_rng(0).normal(0, 3, (2, 5, 7, 4)).astype(np.float32)


def test_probabilities_are_the_softmax():
    """Of all classes, by SciPy in float64, far logits included; of two classes the foreground alone, as ever."""
    for logits in (LOGITS, 40 * LOGITS):
        found = classes.probability(tf.constant(logits))
        assert found.dtype == tf.float32 and classes.has_classes(found)
        np.testing.assert_allclose(found, special.softmax(logits.astype(np.float64), axis=-1), atol=1e-6)
    pair = tf.constant(LOGITS[..., :2])
    np.testing.assert_array_equal(classes.probability(pair), classes.foreground(pair))
    assert not classes.has_classes(classes.probability(pair))


def test_segmentation_is_the_argmax_and_ties_go_to_the_lower_class():
    """The index of the class, uint8, of the probabilities that are written."""
    p = classes.probability(tf.constant(LOGITS))
    found = classes.segmentation(p)
    assert found.dtype == tf.uint8
    np.testing.assert_array_equal(found, p.numpy().argmax(axis=-1))
    np.testing.assert_array_equal(classes.winner(tf.constant(LOGITS)), LOGITS.argmax(axis=-1))
    ties = np.array([[0.25, 0.25, 0.25, 0.25], [0.1, 0.4, 0.1, 0.4], [0, 0, 0.5, 0.5], [0.2, 0.2, 0.2, 0.4]], "f4")
    np.testing.assert_array_equal(classes.segmentation(tf.constant(ties[None, None]))[0, 0], [0, 1, 2, 3])
    np.testing.assert_array_equal(classes.winner(tf.constant(LOGITS[..., :2])), LOGITS[..., :2].argmax(axis=-1))


def test_entropy_equals_the_peers():
    """Over log C, 0 where one class is sure (no NaN), never outside [0, 1]; SciPy's and segfail's numbers."""
    stored = np.load(GOLDENS / "multiclass" / "given.npz")
    assert len(stored["cases"]) >= 8
    for case in stored["cases"]:
        p = stored[f"{case}__probs"].astype(np.float32)[np.newaxis, np.newaxis]
        found = classes.entropy(tf.constant(p)).numpy()[0, 0]
        assert found.dtype == np.float32 and (found >= 0).all() and (found <= 1).all()
        for peer in ("scipy", "segfail"):
            np.testing.assert_allclose(found, stored[f"{case}__{peer}_entropy_over_logC"], atol=1e-6, err_msg=str(case))


@pytest.mark.parametrize("count", [3, 4, 7])
def test_entropy_of_nothing_known_and_of_all(count):
    """1 where every class is as likely, exactly 0 where one is certain."""
    uniform, sure = np.full((1, 1, 1, count), 1 / count, "f4"), np.eye(count, dtype="f4")[None, None]
    assert classes.entropy(tf.constant(uniform)).numpy().item() == pytest.approx(1, abs=2e-7)
    assert not classes.entropy(tf.constant(sure)).numpy().any()
    random = np.random.default_rng(0).dirichlet([0.1] * count, (1, 10, 10)).astype("f4")
    expected = stats.entropy(random, axis=-1) / np.log(count)
    np.testing.assert_allclose(classes.entropy(tf.constant(random)), expected, atol=1e-6)


def test_a_segmentation_beside_the_image():
    """One channel of 0 and 1 for two classes, a channel for each of several."""
    images, index = np.zeros((1, 2, 2, 3), "f4"), np.array([[[0, 1], [2, 3]]], np.uint8)
    seen = classes.with_segmentation(images, index, 4).numpy()
    assert seen.shape == (1, 2, 2, 7)
    np.testing.assert_array_equal(seen[..., 3:], np.eye(4)[index])
    assert classes.with_segmentation(images, index % 2).shape == (1, 2, 2, 4)


def test_regions_are_sets_of_classes():
    """A voxel is in each region that its class is one of; an ignored one in none."""
    index = tf.constant([0, 1, 2, 3, 255], tf.uint8)
    found = classes.in_regions(index, [(1, 2, 3), (1, 3), (3,)]).numpy()
    np.testing.assert_array_equal(found, [[0, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]])


def test_networks_of_several_classes(shaken):
    """Logits and sigma have a channel for each class; the folded network says the same; what comes before is not another."""
    image = np.random.default_rng(0).normal(size=(2, 17, 20, 3)).astype("f4")
    model = shaken(unet(3, 4, 2, sigma=True, seed=1, classes=4))
    logits, sigma = model(image)
    assert logits.shape == sigma.shape == (2, 17, 20, 4)
    network = folded.FoldedUNet(model)
    assert network.classes == 4
    for found, expected in zip(network(image), (logits, sigma), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-3)
    two, four = ([layer for layer in unet(3, 4, 2, seed=1, classes=count).layers if layer.weights] for count in (2, 4))
    for first, second in zip(two[:-1], four[:-1], strict=True):
        for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_a_network_is_built_with():
    """Networks that segment have the task's classes; an auxiliary tells error or none and sees one-hot segmentations."""
    resolved = {name: network.resolved(4).classes for name, network in networks.SINGLE.items()}
    segment = dict.fromkeys(("baseline", "center", "aleatoric", "checkpoints", "ssn"), 4)
    assert resolved == {**segment, "auxiliary_feat": 2, "auxiliary_segm": 2}
    assert networks.member(0, 2).resolved(3).classes == networks.fold(0, 2).resolved(3).classes == 3
    assert all(network.resolved(2) == network for network in networks.SINGLE.values())
    second = trained.build(networks.get("auxiliary_segm"), 3, 2, 1, second_channels=4)
    assert second(np.zeros((1, 8, 8, 7), "f4")).shape == (1, 8, 8, 2)
    model = trained.build(networks.get("baseline").resolved(5), 3, 2, 1)
    assert model(np.zeros((1, 8, 8, 3), "f4")).shape == (1, 8, 8, 5)


@pytest.mark.parametrize(("name", "count"), [("auxiliary_feat", 3), ("baseline", 1)])
def test_networks_that_there_are_none_of(name, count):
    """One class is no softmax, and a head of errors has two."""
    import msgspec

    with pytest.raises(UserError, match=f"network {name}: expected 2 classes"):
        trained.build(msgspec.structs.replace(networks.get(name), classes=count), 3, 2, 1)
