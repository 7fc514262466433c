"""Samples of a stochastic segmentation network: NumPy's from the same draws, one thing within a slice, a row's own."""

import shutil

import nibabel
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from tfunc import methods
from tfunc.maps import predict as prediction
from tfunc.maps import predictives
from tfunc.maps.options import Options
from tfunc.nets import folded, low_rank, sampling
from tfunc.nets.unet import unet

SEEDS, SAMPLES, RANK = np.array([[7, 0], [7, 1], [8, 0]], np.int64), 6, 3


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module", params=[2, 4])
def model(request, shaken):
    """Of two classes and of four, whose samples differ by much, in their factors foremost."""
    made = shaken(unet(3, 4, 2, seed=7, rank=RANK, classes=request.param))
    head = made.structure.second_head[1]
    kernel, bias = head.get_weights()
    bias[: request.param] = -1.0
    head.set_weights([np.random.default_rng(1).normal(0, 0.6, kernel.shape), bias])
    return made


def run(model, image, seeds, samples=SAMPLES):
    """The method's maps by a graph like the predictor's, as NumPy arrays."""
    specs = [tf.TensorSpec([None, None, None, 3], tf.float32), tf.TensorSpec([None, 2], tf.int64)]
    made = predictives.of(methods.get("ssn"))([model], Options(samples=samples))
    graph = tf.function(made, input_signature=specs, jit_compile=False, autograph=False)
    return {name: values.numpy() for name, values in graph(image, seeds).items()}


def drawn(model, image, seeds, samples=SAMPLES):
    """Softmax of each sample [samples, batch, height, width, classes], float64, by NumPy from the same draws."""
    mean, second = model(image)
    count = mean.shape[-1]
    factor, diagonal = (np.asarray(part, np.float64) for part in low_rank.parts(second, count))
    sizes, found = ([RANK], list(mean.shape[1:])), []

    @tf.function  # thousands of them, one by one
    def normals(index):
        return [
            sampling.rows_normal(seeds, 2 * index + part, size, "sampled_logits") for part, size in enumerate(sizes)
        ]

    for index in range(samples):
        shared, own = (np.asarray(one) for one in normals(tf.constant(index)))
        found.append(mean + np.einsum("bhwcr,br->bhwc", factor, shared) + np.sqrt(diagonal) * own)
    return special.softmax(np.stack(found).astype(np.float64), axis=-1)


def entropy(p):
    return stats.entropy(p, axis=-1) / np.log(p.shape[-1])


def test_folded_equals_the_model(model):
    """Both heads, in the one inference graph."""
    image, network = images(2, 17, 20, 3), folded.FoldedUNet(model)
    assert network.rank == RANK
    for found, expected in zip(network(image), model(image), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.long
def test_maps_are_the_mean_of_the_samples(model):
    """Probability, segmentation, entropy and mutual information are NumPy's of the same samples."""
    image = images(3, 17, 20, 3)
    samples, maps = drawn(model, image, SEEDS), run(model, image, SEEDS)
    p = samples.mean(axis=0)
    found = maps["probability"]
    np.testing.assert_allclose(found, p[..., 1] if found.ndim == 3 else p, atol=1e-4)
    np.testing.assert_allclose(maps["uncertainty"], entropy(p), atol=1e-3)
    np.testing.assert_allclose(maps["mutual_information"], entropy(p) - entropy(samples).mean(axis=0), atol=1e-3)
    np.testing.assert_array_equal(maps["prediction"], found > 0.5 if found.ndim == 3 else found.argmax(axis=-1))
    assert maps["mutual_information"].max() > 0.05


@pytest.mark.long
def test_a_row_is_the_same_in_every_batch_and_another_for_another_seed(model):
    """A slice's maps depend on its image and seed alone; two slices that look alike draw their own."""
    image = images(3, 16, 16, 3)
    whole = run(model, image, SEEDS)
    alone, turned = run(model, image[1:2], SEEDS[1:2]), run(model, image[::-1].copy(), SEEDS[::-1].copy())
    for name, values in whole.items():
        np.testing.assert_allclose(alone[name][0], values[1], atol=1e-5)
        np.testing.assert_allclose(turned[name][::-1], values, atol=1e-5)
    twice = run(model, np.repeat(image[:1], 2, axis=0), SEEDS[:2])["probability"]
    assert np.abs(twice[0] - twice[1]).max() > 0.01


def test_a_sample_does_not_depend_on_how_many_there_are(model):
    """The first three of six are the three: a row's samples are its own one after the other, so prefixes are honest."""
    image = images(2, 8, 8, 3)
    three, six = drawn(model, image, SEEDS[:2], 3), drawn(model, image, SEEDS[:2], 6)
    np.testing.assert_array_equal(three, six[:3])
    found = run(model, image, SEEDS[:2], 3)["probability"]
    expected = three.mean(axis=0)
    np.testing.assert_allclose(found, expected[..., 1] if found.ndim == 3 else expected, atol=1e-4)


@pytest.mark.long
def test_samples_of_a_slice_are_coherent(model):
    """Voxels of a slice go up and down together over samples, as the covariance says; those of two slices do not."""
    image = images(2, 8, 8, 3)
    mean, second = model(image)
    count = mean.shape[-1]
    factor, diagonal = (np.asarray(part, np.float64) for part in low_rank.parts(second, count))
    logits = np.log(drawn(model, image, SEEDS[:2], 1600))
    z = (logits[..., 1] - logits[..., 0]).reshape(1600, -1)
    w = (factor[..., 1, :] - factor[..., 0, :]).reshape(2, -1, RANK)
    own = (diagonal[..., 0] + diagonal[..., 1]).reshape(2, -1)
    covariance = np.zeros((z.shape[1], z.shape[1]))
    size = w.shape[1]
    for row in range(2):
        part = np.s_[row * size : (row + 1) * size]
        covariance[part, part] = w[row] @ w[row].T + np.diag(own[row])
    scale = np.sqrt(np.diag(covariance))
    expected, found = covariance / np.outer(scale, scale), np.corrcoef(z.T)
    np.testing.assert_allclose(found, expected, atol=0.125)  # five standard errors of 1,600 draws
    np.testing.assert_allclose(z.std(axis=0), scale, rtol=0.125)
    assert np.abs(expected[:size, :size])[~np.eye(size, dtype=bool)].mean() > 0.2


@pytest.mark.long
def test_the_graph_does_not_grow_with_the_samples(model):
    """Samples are drawn in a loop, one at a time, so memory stays flat."""

    def nodes(samples):
        made = predictives.of(methods.get("ssn"))([model], Options(samples=samples))
        specs = [tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, 2], tf.int64)]
        graph = tf.function(made, input_signature=specs, jit_compile=False)
        return len(graph.get_concrete_function().graph.as_graph_def().node)

    assert nodes(20) == nodes(2)


@pytest.mark.long
def test_a_trained_one_predicts_the_same_in_any_batch(trained_run, brats_data, tmp_path):
    """From records to files: equal for one seed whatever the batch size, another for another seed."""
    run_dir = trained_run
    method, found = methods.get("ssn"), []
    for size, seed in ((16, 20), (3, 20), (1, 20), (3, 21)):
        folder = shutil.copytree(run_dir / "networks", tmp_path / f"{size}_{seed}" / "networks").parent
        options = Options(samples=3, seed=seed, batch_size=size)
        maps = prediction.predict_split(method, "brats", brats_data, folder, "test", options, say=lambda line: None)
        files = sorted(maps.glob("*_probability.nii.gz"))
        found.append(np.stack([np.asarray(nibabel.load(path).dataobj) for path in files]))
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    np.testing.assert_allclose(found[0], found[2], atol=1e-5)
    assert np.abs(found[1] - found[3]).max() > 1e-4


@pytest.fixture(scope="module")
def trained_run(brats_run, brats_data, train, tmp_path_factory):
    run_dir = shutil.copytree(brats_run, tmp_path_factory.mktemp("ssn") / "run")
    train("ssn", "brats", brats_data, run_dir, epochs=2)
    return run_dir
