"""OpenVINO takes an export: which methods' default signature it converts, that the maps are TensorFlow's, and the guide's code.

What cannot be converted is shown to fail, by the operation that OpenVINO has no rule for: the day it has one, the list
below and docs/howto/openvino.md get shorter.
"""

import functools
import re

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

from data_prep import records
from tfunc import kinds, networks
from tfunc.maps import predictives
from tfunc.maps.options import Options
from tfunc.methods import METHODS
from tfunc.nets import trained as models
from tfunc.nets.graphs import graph
from tfunc.serving import description, export
from tfunc.serving.signatures import Served

ov = pytest.importorskip("openvino", reason="OpenVINO is not installed; the extra `openvino` has it")

GUIDE = ROOT / "docs" / "howto" / "openvino.md"
TRAINED = ROOT / "tests" / "fixtures" / "stacks" / "current"  # on made-up photographs: 4 filters, two poolings
RANDOM = "StatelessRandomUniformV2"
REFUSED = {  # method -> the operations that OpenVINO 2026.4 has no rule for
    "baseline_mc": {RANDOM},
    "center_mc": {RANDOM},
    "tta": {RANDOM, "ImageProjectiveTransformV3"},
    "ssn": {"StatelessRandomNormalV2"},
}
PROMISED = [name for name in METHODS if name not in REFUSED]
FOLDERS = {"ensemble": 2, "cv": 2, "checkpoints": 2}  # networks of which a method has several
SOME = ("serving_default", "describe", "encoded")  # of the guide's export; the others take seconds to trace
EXACT, AVERAGE = 1e-5, 3e-3  # of float32 everywhere; of bfloat16, whose step is 4e-3, on average


@pytest.fixture(scope="module")
def core():
    return ov.Core()


@pytest.fixture(scope="module")
def images():
    """The test photographs as the networks see them, float32 [batch, 32, 32, 3]."""
    manifest = records.read_manifest(TRAINED / "isic")
    names = [entry.name for entry in manifest.split("test")]
    return np.concatenate([records.read_subject(TRAINED / "isic", manifest, name).normalised() for name in names])


def network(name, number, like):
    """A trained network of that name, or the trained baseline's weights in its place; each member's kernels a little else."""
    if (TRAINED / "run" / "networks" / name).exists():
        return models.load(TRAINED / "run", name, "isic").model
    model = models.build(networks.get(name if name not in FOLDERS else "baseline", 2), 3, 4, 2, seed=number)
    if name == "ssn":
        return model
    random = np.random.default_rng(number)
    layers = ([layer for layer in of.layers if layer.weights] for of in (model, like))
    for own, other in zip(*layers, strict=True):
        weights = other.get_weights()
        if len(weights) == 2:
            kernel, bias = weights
            more = own.get_weights()[0].shape[2] - kernel.shape[2]  # a second network sees the segmentation, too
            weights = np.pad(kernel, ((0, 0), (0, 0), (0, more), (0, 0)), constant_values=0.1), bias
            weights = weights[0] * random.normal(1, 0.1, weights[0].shape), bias
        own.set_weights(weights)
    return model


@pytest.fixture(scope="module")
def served():
    """served(method, precision) -> (the module behind its signatures, its default signature)."""
    like = models.load(TRAINED / "run", "baseline", "isic")

    def make(name, precision="float32"):
        method = METHODS[name]
        wanted = [each for each in method.networks for _ in range(FOLDERS.get(each, 1))]
        found = [network(each, number, like.model) for number, each in enumerate(wanted)]
        kind = kinds.get(method.kind)
        sigma_range = (0.0, 2.0) if kind.scale == "set" else None
        own = description.Description(
            like.config.task, kind, method.sampled, 5, sigma_range, like.config.smallest, name
        )
        module = Served(predictives.of(method)(found, Options(samples=3, precision=precision)), own)
        return module, graph(module.default, tf.TensorSpec([None, None, None, 3], tf.float32, "images"))

    return make


@pytest.fixture(scope="module")
def converted(served, images, tmp_path_factory):
    """converted(method) -> (OpenVINO's model, TensorFlow's maps of the images), of float32; each is made once."""

    @functools.cache
    def make(name):
        module, signature = served(name)
        expected = maps_of(signature, images)
        return ov.convert_model(saved(module, signature, tmp_path_factory.mktemp(name))), expected

    return make


def saved(module, signature, folder):
    tf.saved_model.save(module, str(folder), signatures={"serving_default": signature})
    return str(folder)


def run(core, model, precision, **inputs):
    """The maps by name, of one inference on the CPU."""
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    found = compiled(inputs)
    return {output.any_name: found[output] for output in compiled.outputs}


def maps_of(signature, images):
    return {name: values.numpy() for name, values in signature(images=tf.constant(images)).items()}


def differences(found, expected):
    """{map: (mean, largest) difference}; the maps have the same names, shapes and types."""
    assert set(found) == set(expected)
    every = {}
    for name, values in expected.items():
        assert found[name].shape == values.shape and found[name].dtype == values.dtype
        difference = np.abs(found[name].astype(float) - values)
        every[name] = difference.mean(), difference.max()
    return every


@pytest.mark.long
@pytest.mark.parametrize("method", PROMISED)
def test_maps_are_those_of_tensorflow(converted, core, images, method):
    """In float32 each voxel's values are within 1e-5, and its class is the same."""
    model, expected = converted(method)
    assert np.ptp(expected["probability"]) > 0.2 and np.ptp(expected["uncertainty"]) > 0.05
    for name, (_, largest) in differences(run(core, model, "f32", images=images), expected).items():
        assert largest <= (0 if name == "prediction" else EXACT), name


@pytest.mark.parametrize("method", ["baseline", "ensemble", "auxiliary_feat", "auxiliary_segm", "aleatoric"])
def test_bfloat16_is_as_near_as_tensorflows(served, converted, core, images, method):
    """One of each predictive: on average as near to float32 as TensorFlow's own bfloat16; both are printed, the largest too."""
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    model, expected = converted(method)
    theirs = differences(run(core, model, "bf16", images=images), expected)
    ours = differences(maps_of(served(method, "bfloat16")[1], images), expected)
    for name, (mean, largest) in theirs.items():
        print(f"{method} {name}: {mean:.2g} on average, at most {largest:.2g}; TensorFlow {ours[name]}")
        assert mean <= 1.25 * ours[name][0] + 1e-4, name
        assert name == "prediction" or mean <= AVERAGE, name


@pytest.mark.long
@pytest.mark.parametrize("method", REFUSED)
def test_what_openvino_cannot_convert(served, method, tmp_path):
    """It says which operations it has no rule for: those of the list. One that is converted now is to be promised."""
    with pytest.raises(ov.frontend.OpConversionFailure) as failure:
        ov.convert_model(saved(*served(method), tmp_path))
    (line,) = re.findall(r"No conversion rule found for operations: (.*)", str(failure.value))
    missing = set(line.split(", "))
    assert REFUSED[method] <= missing
    assert all(name.startswith(("StatelessRandom", "ImageProjective")) for name in missing), "another stands in the way"
    said = GUIDE.read_text(encoding="utf-8")
    assert f"`{method}`" in said and all(f"`{name}`" in said for name in REFUSED[method])


def test_the_guide_says_which_are_promised():
    """docs/howto/openvino.md lists every method, under what is promised or under what is not."""
    rows = re.findall(r"^\| (`.*`) \| (yes|no)", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    said = {answer: set() for answer in ("yes", "no")}
    for names, answer in rows:
        said[answer] |= set(re.findall(r"`(\w+)`", names))
    assert said == {"yes": set(PROMISED), "no": set(REFUSED)}


def test_the_guide_runs(core, tmp_path, monkeypatch):
    """Its Python as it stands, on an export: the maps that it reads are TensorFlow's, and other signatures in no way."""
    everything = Served.signatures
    monkeypatch.setattr(Served, "signatures", lambda of: {name: everything(of)[name] for name in SOME})
    folder = export.export(
        METHODS["baseline"],
        "isic",
        TRAINED / "run",
        tmp_path / "runs" / "isic" / "export" / "baseline",
        Options(),
        say=lambda line: None,
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "isic").symlink_to(TRAINED / "isic", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    for block in blocks:
        exec(block, names)
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    expected = {name: values.numpy() for name, values in signature(images=tf.constant(names["images"])).items()}
    assert all(largest <= EXACT for _, largest in differences(names["maps"], expected).values())
    assert (tmp_path / "openvino" / "isic_baseline" / "1" / "model.bin").exists()
