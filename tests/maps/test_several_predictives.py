"""From networks of four classes to maps: NumPy and SciPy computing each method from the models' own logits."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage, special, stats

from tfunc.maps import predictives
from tfunc.maps.options import Options
from tfunc.methods import METHODS
from tfunc.nets import sampling
from tfunc.nets import views as transforms
from tfunc.nets.unet import AuxiliaryHead, unet

CLASSES, SAMPLES = 4, 5
SEEDS = np.array([[7, 0], [7, 1], [8, 0]], np.int64)


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def find(name):
    """The class that a method of the table names."""
    return next(predictives.of(method) for method in METHODS.values() if method.predictive_name == name)


def run(name, *models, image, rows=slice(None), samples=SAMPLES):
    """Its maps as NumPy arrays, by a graph like the predictor's."""
    specs = [tf.TensorSpec([None, None, None, image.shape[-1]], tf.float32), tf.TensorSpec([None, 2], tf.int64)]
    made = find(name)(list(models), Options(samples=samples))
    graph = tf.function(made, input_signature=specs, jit_compile=False, autograph=False)
    return {name: values.numpy() for name, values in graph(image, SEEDS[rows]).items()}


def softmax(logits):
    return special.softmax(np.asarray(logits, np.float64), axis=-1)


def entropy(p):
    return stats.entropy(p, axis=-1) / np.log(CLASSES)


def even(model):
    """The model with biases by which each class wins somewhere."""
    logits = model(images(2, 16, 16, 3))
    last = model.structure.logit_head[1]
    kernel, bias = last.get_weights()
    first = (logits[0] if isinstance(logits, tuple) else logits).numpy()
    last.set_weights([kernel, bias - np.median(first, axis=(0, 1, 2))])
    return model


def check(maps, p):
    """Probabilities and their own argmax; each class is predicted somewhere."""
    assert maps["probability"].dtype == np.float32 and maps["prediction"].dtype == np.uint8
    np.testing.assert_allclose(maps["probability"], p, atol=1e-5)
    np.testing.assert_array_equal(maps["prediction"], maps["probability"].argmax(axis=-1))
    assert (np.bincount(maps["prediction"].ravel(), minlength=CLASSES) > 0).all()


@pytest.fixture(scope="module")
def model(shaken):
    return even(shaken(unet(3, 4, 2, dropout=0.2, seed=7, classes=CLASSES)))


def test_softmax(model):
    """All classes' probabilities of the Keras model's own logits."""
    image = images(3, 17, 20, 3)
    maps, p = run("Softmax", model, image=image), softmax(model(image))
    check(maps, p)
    np.testing.assert_allclose(maps["uncertainty"], entropy(p), atol=1e-5)


def test_ties_are_the_lowest_class():
    """Where all are as likely the class is the background and the uncertainty 1."""
    network = unet(3, 2, 1, seed=1, classes=CLASSES)
    network.set_weights([0 * weight for weight in network.get_weights()])
    maps = run("Softmax", network, image=images(1, 4, 4, 3), rows=slice(1))
    assert (maps["probability"] == 0.25).all() and not maps["prediction"].any() and (maps["uncertainty"] == 1).all()


@pytest.mark.long
@pytest.mark.parametrize("center", [False, True])
def test_monte_carlo_is_the_mean_of_explicit_dropout_passes(shaken, center):
    """`baseline_mc` and `center_mc`: sample by sample with the seeds' masks; mutual information over log C."""
    rate = 0.5 if center else 0.05
    model = even(shaken(unet(3, 4, 2, dropout=rate, center=center, seed=1, classes=CLASSES)))
    image, rates = images(3, 17, 20, 3), model.dropout_rates
    uniform = sampling.sample_uniform(SEEDS, SAMPLES, rates)
    passes = [softmax(model(image, keeps=sampling.keeps(uniform[index], rates))) for index in range(SAMPLES)]
    maps, p = run("MonteCarlo", model, image=image), np.mean(passes, axis=0)
    check(maps, p)
    np.testing.assert_allclose(maps["uncertainty"], entropy(p), atol=1e-5)
    information = entropy(p) - np.mean([entropy(one) for one in passes], axis=0)
    np.testing.assert_allclose(maps["mutual_information"], information, atol=1e-5)


def seen_through(view, image, mode):
    """SciPy's bilinear reading of [height, width, channels] where a view's row of numbers says."""
    a = np.asarray(view, np.float64)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
    points = [a[3] * x + a[4] * y + a[5], a[0] * x + a[1] * y + a[2]]
    return np.stack([ndimage.map_coordinates(c, points, order=1, mode=mode) for c in np.moveaxis(image, -1, 0)], -1)


@pytest.mark.long
def test_augmented_at_test_time_is_the_mean_over_views(model):
    """Each class's probability seen, brought back and renormalised; the mean is over the views that saw the voxel."""
    image = ndimage.gaussian_filter(images(1, 24, 31, 3), (0, 2, 2, 0)) * 4
    maps = {name: values[0] for name, values in run("TestTimeAugmentation", model, image=image, rows=slice(1)).items()}
    uniform = sampling.rows_uniform(SEEDS[:1], [SAMPLES, transforms.UNIFORMS], "sampled_views")[0]
    there, back = transforms.views(transforms.draw(uniform, find("TestTimeAugmentation").RANGE), 24, 31)
    passes, seen = [softmax(model(image))[0]], [np.ones((24, 31), bool)]
    for index in range(1, SAMPLES):
        p = softmax(model(seen_through(there[index], image[0], "reflect")[np.newaxis].astype(np.float32)))[0]
        ones = seen_through(there[index], np.ones((24, 31, 1)), "grid-constant")
        seen.append(seen_through(back[index], ones, "grid-constant")[..., 0] > 0.999)
        returned = seen_through(back[index], p, "grid-constant")
        passes.append(returned / np.maximum(returned.sum(-1, keepdims=True), 1e-12))
    passes, seen = np.stack(passes), np.stack(seen)
    p = (passes * seen[..., None]).sum(0) / seen.sum(0)[..., None]
    sure = np.isclose(maps["probability"], p, atol=1e-3).all(-1)  # but where a voxel is seen by a hair
    assert sure.mean() > 0.97
    np.testing.assert_allclose(maps["probability"].sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(maps["uncertainty"][sure], entropy(p)[sure], atol=5e-3)
    information = entropy(p) - (np.nan_to_num(entropy(passes)) * seen).sum(0) / seen.sum(0)
    np.testing.assert_allclose(maps["mutual_information"][sure], information[sure], atol=5e-3)
    np.testing.assert_array_equal(maps["prediction"], maps["probability"].argmax(-1))
    one = run("TestTimeAugmentation", model, image=image, rows=slice(1), samples=1)
    np.testing.assert_allclose(one["probability"], softmax(model(image)), atol=1e-5)


def test_ensemble_is_the_mean_of_its_members(shaken):
    """The members' softmax averaged, its entropy, and what they disagree about."""
    members, image = [even(shaken(unet(3, 4, 2, seed=s, classes=CLASSES), s)) for s in range(3)], images(2, 16, 16, 3)
    maps, singles = run("Ensemble", *members, image=image, rows=slice(2)), [softmax(m(image)) for m in members]
    p = np.mean(singles, axis=0)
    check(maps, p)
    np.testing.assert_allclose(maps["uncertainty"], entropy(p), atol=1e-5)
    information = entropy(p) - np.mean([entropy(one) for one in singles], axis=0)
    np.testing.assert_allclose(maps["mutual_information"], information, atol=1e-5)
    assert maps["mutual_information"].max() > 0.01


def test_aleatoric_is_the_size_of_the_predicted_classs_sigma(shaken):
    """Softmax of the mean logits; |sigma| of the class that wins, where the raw head is negative too."""
    model, image = even(shaken(unet(3, 4, 2, sigma=True, seed=7, classes=CLASSES))), images(2, 16, 16, 3)
    maps = run("Aleatoric", model, image=image, rows=slice(2))
    logits, sigma = (output.numpy() for output in model(image))
    check(maps, softmax(logits))
    expected = np.take_along_axis(np.abs(sigma), maps["prediction"][..., None].astype(int), axis=-1)[..., 0]
    np.testing.assert_allclose(maps["uncertainty"], expected, atol=1e-4)
    assert (sigma < 0).any()


def test_auxiliary_methods_keep_the_baselines_segmentation(model, shaken):
    """Both report the baseline's probabilities and the error probability, of any wrong class, of their second network."""
    image = images(2, 16, 16, 3)
    head, second = shaken(AuxiliaryHead(4, seed=3)), shaken(unet(3 + CLASSES, 4, 2, seed=4))
    features = run("AuxiliaryFeatures", model, head, image=image, rows=slice(2))
    segmentation = run("AuxiliarySegmentation", model, second, image=image, rows=slice(2))
    for maps in (features, segmentation):
        check(maps, softmax(model(image)))
    np.testing.assert_allclose(features["uncertainty"], softmax(head(model.features(image)))[..., 1], atol=1e-4)
    seen = np.concatenate([image, np.eye(CLASSES, dtype="f4")[features["prediction"]]], -1)
    np.testing.assert_allclose(segmentation["uncertainty"], softmax(second(seen))[..., 1], atol=1e-4)


@pytest.mark.parametrize("name", ["MonteCarlo", "TestTimeAugmentation"])
def test_a_row_is_the_same_in_every_batch(model, name):
    """A slice's maps depend on its image and seed, not on the batch, its place in it or the order."""
    image = images(3, 16, 16, 3)
    whole, alone = run(name, model, image=image), run(name, model, image=image[1:2], rows=slice(1, 2))
    for name, values in whole.items():
        np.testing.assert_allclose(alone[name][0], values[1], atol=3e-6)


@pytest.mark.long
@pytest.mark.parametrize("name", ["MonteCarlo", "TestTimeAugmentation"])
def test_the_graph_does_not_grow_with_the_samples(model, name):
    """Samples run in a loop that keeps one sum of each class, so memory stays flat."""

    def nodes(samples):
        specs = [tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, 2], tf.int64)]
        made = find(name)([model], Options(samples=samples))
        graph = tf.function(made, input_signature=specs, jit_compile=False).get_concrete_function().graph.as_graph_def()
        return len(graph.node)

    assert nodes(20) == nodes(2)
