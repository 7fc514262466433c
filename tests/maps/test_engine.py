"""Another engine for the networks: every predictive's maps are TensorFlow's, and a folder says which engine made it."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf
from conftest import untrained

from data_prep.base.errors import UserError
from tfunc import former, methods
from tfunc.maps import artefact, predictives, predictor
from tfunc.maps.by_size import BySize
from tfunc.maps.options import Options
from tfunc.nets import engine
from tfunc.nets.unet import unet

pytest.importorskip("openvino", reason="OpenVINO is not installed; the extra `openvino` has it")
from openvino.tools.ovc import telemetry_utils


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).standard_normal((3, 32, 32, 3), np.float32)


def models_of(method, shaken):
    return [shaken(model) for model in untrained(method)]


def close(found, expected, images, tolerance):
    assert set(found) == set(expected)
    for name in set(found) - {"prediction"}:
        np.testing.assert_allclose(found[name], expected[name], atol=tolerance, err_msg=name)
    sure = np.abs(np.asarray(expected["probability"]) - 0.5) > tolerance
    np.testing.assert_array_equal(np.asarray(found["prediction"])[sure], np.asarray(expected["prediction"])[sure])


@pytest.mark.long
@pytest.mark.parametrize("name", {of.predictive: name for name, of in methods.METHODS.items()}.values())
def test_maps_are_those_of_tensorflow(name, images, shaken):
    """Every predictive, in batches of several and of one, with shared draws and a row's own, within 1e-5 in float32."""
    method, options = methods.get(name), Options(samples=3)
    predictive = predictives.of(method)(models_of(method, shaken), options)
    ours, theirs = BySize(predictive, 3), BySize(predictive, 3, engine.of("openvino", "float32"))
    batches = [(3, [[1, 0]] * 3), (3, [[1, 0], [2, 0], [3, 0]]), (1, [[1, 0]])]
    for rows, seeds in batches if method.sampled else batches[1:]:
        given = images[:rows], np.array(seeds, np.int64)
        expected = ours(*given)
        close(theirs(*given), expected, images, 1e-5)
        assert np.ptp(expected["uncertainty"]) > 1e-3


def test_networks_run_outside_of_tensorflow(images, shaken):
    """Each network is one call out of the graph, in which no convolution is left."""
    method = methods.get("baseline_mc")
    maps = BySize(
        predictives.of(method)(models_of(method, shaken), Options(samples=3)), 3, engine.of("openvino", "float32")
    )
    maps(images, np.zeros((3, 2), np.int64))
    (traced,) = maps._graphs.values()
    graph = traced.graph.as_graph_def()
    kinds = {node.op for function in graph.library.function for node in function.node_def} | {
        node.op for node in graph.node
    }
    assert kinds & {"PyFunc", "EagerPyFunc"} and not kinds & {"Conv2D", "_FusedConv2D"}


@pytest.mark.long
def test_bfloat16_is_asked_of_the_engine(images, shaken):
    """Its maps are near float32's; networks are given to it in float32, which it rounds once."""
    options = Options(precision="bfloat16", engine="openvino")
    assert options.folded.precision == "float32" and Options(precision="bfloat16").folded.precision == "bfloat16"
    model = shaken(unet(3, 4, 2, seed=1))
    made = {
        precision: predictor.Predictor(
            lambda: predictives.Softmax([model], options.folded), 3, 4, Options(precision=precision, engine="openvino")
        ).run(images, np.zeros((3, 2), np.int64))["probability"]
        for precision in ("float32", "bfloat16")
    }
    assert np.abs(made["bfloat16"] - made["float32"]).mean() < 0.02


def test_an_engine_that_is_not_installed(monkeypatch):
    """One line says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--engine=openvino: expected the package openvino.*the extra \[openvino\]"):
        engine.of("openvino", "float32")
    assert engine.of("tensorflow", "float32") is None


def test_no_figures_of_usage_are_sent(launch, tmp_path):
    """OpenVINO finds nothing to send them with: in a program's process, and in that of all tests, whoever imports it first."""
    script = tmp_path / "converting.py"
    script.write_text(
        "import os\n\nfrom tfunc.nets.openvino import OpenVino\n\nOpenVino('float32')\n"
        "from openvino.tools.ovc import telemetry_utils\n\nprint(telemetry_utils.tm.__name__, flush=True)\n"
        "os._exit(0)  # its thread, where there is one, would be waited for\n"
    )
    assert launch(script).out.strip() == telemetry_utils.tm.__name__ == "openvino.tools.ovc.telemetry_stub"


def test_several_devices_are_refused():
    """The engine has the processor to itself: replicas would wait for each other."""
    strategy = tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices("CPU")[:2]])
    assert strategy.num_replicas_in_sync == 2
    with pytest.raises(UserError, match="--engine=openvino: expected one device"):
        predictor.Predictor(lambda: None, 3, 4, Options(engine="openvino"), strategy)


def test_folders_say_the_engine():
    """Maps of one are not taken for maps of the other; those of before are TensorFlow's."""
    method = methods.get("baseline")

    def document(**more):
        return artefact.document(method, Options().drawn(method), "float32", {}, {}, **more)

    before = {name: value for name, value in document().items() if name != "engine"}
    assert former.predictions(before)["engine"] == "tensorflow" and not artefact.difference(before, document())
    assert "engine" in artefact.difference(before, document(own_engine="openvino"))
    assert "engine" in artefact.difference(document(own_engine="openvino"), document())
