"""From networks to maps: the right average of the right samples, each row for itself."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage, stats

from data_prep.base.errors import UserError
from tfunc.maps import predictives
from tfunc.maps.options import Options
from tfunc.methods import METHODS
from tfunc.nets import sampling
from tfunc.nets import views as transforms
from tfunc.nets.unet import AuxiliaryHead, unet

SAMPLES = 5
SEEDS = np.array([[7, 0], [7, 1], [8, 0]], np.int64)


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def find(name):
    """The class that a method of the table names."""
    return next(predictives.of(method) for method in METHODS.values() if method.predictive_name == name)


def make(name, *models, samples=SAMPLES):
    return find(name)(list(models), Options(samples=samples))


def foreground(logits):
    """Softmax in float64."""
    logits = np.asarray(logits, np.float64)
    return 1 / (1 + np.exp(logits[..., 0] - logits[..., 1]))


def entropy(p):
    return stats.entropy(np.stack([p, 1 - p]), base=2)


@pytest.fixture(scope="module")
def model(shaken):
    return shaken(unet(3, 4, 2, dropout=0.2, seed=7))


def test_softmax(model):
    """Probability, its argmax and its normalised entropy, of the Keras model's own logits."""
    image = images(3, 17, 20, 3)
    maps = make("Softmax", model)(image, SEEDS)
    p = foreground(model(image))
    np.testing.assert_allclose(maps["probability"], p, atol=1e-5)
    np.testing.assert_array_equal(maps["prediction"], np.asarray(maps["probability"]) > 0.5)
    np.testing.assert_allclose(maps["uncertainty"], entropy(p), atol=1e-4)
    assert maps["prediction"].dtype == tf.uint8 and 0 < np.mean(maps["prediction"]) < 1


def test_ties_are_background():
    """At exactly one half the argmax of the two classes is the first, as in the reference."""
    network = unet(3, 2, 1, seed=1)
    network.set_weights([0 * weight for weight in network.get_weights()])
    maps = make("Softmax", network)(images(1, 4, 4, 3), SEEDS[:1])
    assert (maps["probability"].numpy() == 0.5).all() and not maps["prediction"].numpy().any()
    assert (maps["uncertainty"].numpy() == 1).all()


@pytest.mark.parametrize("center", [False, True])
def test_monte_carlo_is_the_mean_of_explicit_dropout_passes(shaken, center):
    """The maps are those of the average of T calls of the Keras model with the seeds' masks; MI is what is left."""
    model = shaken(unet(3, 4, 2, dropout=0.5 if center else 0.05, center=center, seed=1))
    image, rates = images(3, 17, 20, 3), model.dropout_rates
    uniform = sampling.sample_uniform(SEEDS, SAMPLES, rates)
    passes = [foreground(model(image, keeps=sampling.keeps(uniform[index], rates))) for index in range(SAMPLES)]
    p = np.mean(passes, axis=0)
    maps = make("MonteCarlo", model)(image, SEEDS)
    np.testing.assert_allclose(maps["probability"], p, atol=1e-5)
    np.testing.assert_allclose(maps["uncertainty"], entropy(p), atol=1e-4)
    information = entropy(p) - np.mean([entropy(one) for one in passes], axis=0)
    np.testing.assert_allclose(maps["mutual_information"], information, atol=1e-4)
    np.testing.assert_array_equal(maps["prediction"], np.asarray(maps["probability"]) > 0.5)


@pytest.mark.long
def test_samples_differ_and_converge(model):
    """One sample differs from the next and from the pass without dropout; many passes come near each other."""
    image = images(1, 16, 16, 3)

    def probability(samples, row):
        return tf.function(make("MonteCarlo", model, samples=samples))(image, SEEDS[row : row + 1])["probability"]

    one, other = probability(1, 0), probability(1, 1)
    plain = make("Softmax", model)(image, SEEDS[:1])["probability"]
    assert np.abs(one - other).mean() > 0.01 and np.abs(one - plain).mean() > 0.01
    many, again = probability(200, 0), probability(200, 1)
    assert np.abs(many - again).mean() < 0.2 * np.abs(one - other).mean()


@pytest.mark.parametrize("name", ["MonteCarlo", "TestTimeAugmentation"])
def test_a_row_is_the_same_in_every_batch(model, name):
    """A slice's maps depend on its image and seed, not on the batch, its place in it or the order."""
    predictive, image = tf.function(make(name, model), jit_compile=False), images(3, 16, 16, 3)
    whole = predictive(image, SEEDS)
    alone = predictive(image[1:2], SEEDS[1:2])
    turned = predictive(image[::-1].copy(), SEEDS[::-1].copy())
    for name, values in whole.items():
        np.testing.assert_allclose(alone[name][0], values[1], atol=2e-6)
        np.testing.assert_allclose(turned[name][::-1], values, atol=2e-6)


def test_same_image_other_seed_other_masks(model):
    """Two slices that look alike still draw their own masks within one batch."""
    image = np.repeat(images(1, 16, 16, 3), 2, axis=0)
    first, second = make("MonteCarlo", model)(image, SEEDS[:2])["probability"]
    assert np.abs(first - second).max() > 0.01


def test_sampling_leaves_the_model_alone(model):
    """Batch-normalisation statistics, and every other weight, are the same after MC prediction."""
    before = [weight.copy() for weight in model.get_weights()]
    make("MonteCarlo", model)(images(3, 16, 16, 3), SEEDS)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_model_without_dropout_is_refused():
    """MC of a deterministic network would be zero uncertainty by mistake: a `UserError` says so."""
    with pytest.raises(UserError, match="dropout"):
        make("MonteCarlo", unet(3, 4, 2, dropout=0.0))


def test_no_samples_are_refused(model):
    """Zero passes have no mean."""
    with pytest.raises(UserError, match="samples=0"):
        make("MonteCarlo", model, samples=0)


@pytest.mark.long
@pytest.mark.parametrize("name", ["MonteCarlo", "TestTimeAugmentation"])
def test_the_graph_does_not_grow_with_the_samples(model, name):
    """Samples run in a loop: twenty of them are as many graph nodes as two, so memory stays flat."""

    def nodes(samples):
        specs = [tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, 2], tf.int64)]
        graph = tf.function(make(name, model, samples=samples), input_signature=specs, jit_compile=False)
        return len(graph.get_concrete_function().graph.as_graph_def().node)

    assert nodes(20) == nodes(2)


def seen_through(view, image, mode):
    """SciPy's bilinear reading of [height, width, channels] where a view's row of numbers says."""
    a = np.asarray(view, np.float64)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
    points = [a[3] * x + a[4] * y + a[5], a[0] * x + a[1] * y + a[2]]
    return np.stack([ndimage.map_coordinates(c, points, order=1, mode=mode) for c in np.moveaxis(image, -1, 0)], -1)


def test_augmented_at_test_time_is_the_mean_over_views(model):
    """Each view seen, segmented and brought back by SciPy and Keras; the mean is over the views that saw the voxel."""
    image = ndimage.gaussian_filter(images(1, 24, 31, 3), (0, 2, 2, 0)) * 4
    maps = make("TestTimeAugmentation", model)(image, SEEDS[:1])
    uniform = sampling.rows_uniform(SEEDS[:1], [SAMPLES, transforms.UNIFORMS], "sampled_views")[0]
    there, back = transforms.views(transforms.draw(uniform, find("TestTimeAugmentation").RANGE), 24, 31)
    passes, seen = [foreground(model(image))[0]], [np.ones((24, 31), bool)]
    for index in range(1, SAMPLES):
        p = foreground(model(seen_through(there[index], image[0], "reflect")[np.newaxis].astype(np.float32)))[0]
        ones = seen_through(there[index], np.ones((24, 31, 1)), "grid-constant")
        seen.append(seen_through(back[index], ones, "grid-constant")[..., 0] > 0.999)
        passes.append(seen_through(back[index], p[..., np.newaxis], "grid-constant")[..., 0])
    passes, seen = np.stack(passes), np.stack(seen)
    p = (passes * seen).sum(0) / seen.sum(0)
    assert 0.5 < seen[1:].mean() < 1
    sure = np.ones_like(p, bool)  # but where a voxel is seen by a hair
    sure[~np.isclose(np.asarray(maps["probability"])[0], p, atol=1e-3)] = False
    assert sure.mean() > 0.98
    information = entropy(p) - (np.stack([entropy(one) for one in passes]) * seen).sum(0) / seen.sum(0)
    np.testing.assert_allclose(maps["uncertainty"][0][sure], entropy(p)[sure], atol=5e-3)
    np.testing.assert_allclose(maps["mutual_information"][0][sure], information[sure], atol=5e-3)
    assert np.abs(passes[1] - passes[2]).mean() > 0.01


def test_one_view_is_the_image_itself(model):
    """With one sample the method is the baseline; with more it is not, and every row has its own views."""
    image = np.repeat(images(1, 16, 20, 3), 2, axis=0)
    plain = make("Softmax", model)(image, SEEDS[:2])["probability"]
    one = make("TestTimeAugmentation", model, samples=1)(image, SEEDS[:2])
    np.testing.assert_allclose(one["probability"], plain, atol=1e-6)
    assert not one["mutual_information"].numpy().any()
    first, second = make("TestTimeAugmentation", model)(image, SEEDS[:2])["probability"].numpy()
    assert np.abs(first - plain[0]).max() > 0.01 and np.abs(first - second).max() > 0.01


@pytest.mark.long
def test_ensemble_is_the_mean_of_its_members(shaken):
    """Average of the members' softmax, its entropy, and mutual information above zero where they disagree."""
    members, image = [shaken(unet(3, 4, 2, seed=s), s) for s in range(3)], images(2, 16, 16, 3)
    maps = make("Ensemble", *members)(image, SEEDS[:2])
    singles = [foreground(member(image)) for member in members]
    p = np.mean(singles, axis=0)
    np.testing.assert_allclose(maps["probability"], p, atol=1e-5)
    np.testing.assert_allclose(maps["uncertainty"], entropy(p), atol=1e-4)
    information = entropy(p) - np.mean([entropy(one) for one in singles], axis=0)
    np.testing.assert_allclose(maps["mutual_information"], information, atol=1e-4)
    assert maps["mutual_information"].numpy().max() > 0.01


def test_aleatoric_is_the_size_of_the_predicted_classs_sigma(shaken):
    """Softmax of the mean logits; |sigma| of the class that wins, where the raw head is negative too."""
    model, image = shaken(unet(3, 4, 2, sigma=True, seed=7)), images(2, 16, 16, 3)
    maps = make("Aleatoric", model)(image, SEEDS[:2])
    logits, sigma = (output.numpy() for output in model(image))
    assert (sigma < 0).any() and 0 < np.mean(logits[..., 1] > logits[..., 0]) < 1
    expected = np.where(logits[..., 1] > logits[..., 0], np.abs(sigma[..., 1]), np.abs(sigma[..., 0]))
    np.testing.assert_allclose(maps["uncertainty"], expected, atol=1e-4)
    np.testing.assert_allclose(maps["probability"], foreground(logits), atol=1e-5)


def test_auxiliary_methods_keep_the_baselines_segmentation(model, shaken):
    """Both report the baseline's probability and, as uncertainty, the error probability of their second network."""
    image = images(2, 16, 16, 3)
    head, second = shaken(AuxiliaryHead(4, seed=3)), shaken(unet(4, 4, 2, seed=4))
    p = foreground(model(image))
    features = make("AuxiliaryFeatures", model, head)(image, SEEDS[:2])
    segmentation = make("AuxiliarySegmentation", model, second)(image, SEEDS[:2])
    for maps in (features, segmentation):
        np.testing.assert_allclose(maps["probability"], p, atol=1e-5)
    np.testing.assert_allclose(features["uncertainty"], foreground(head(model.features(image))), atol=1e-4)
    mask = (p > 0.5).astype("f4")[..., None]
    np.testing.assert_allclose(
        segmentation["uncertainty"], foreground(second(np.concatenate([image, mask], -1))), atol=1e-4
    )
