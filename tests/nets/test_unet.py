"""The U-Net against the authors' own: structure, counts, numbers; and what is ours: sizes, seeds, files."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import GOLDENS, port

from data_prep.base import artefacts
from tfunc.nets.layers import BatchNormalisation, ChannelDropout, UpConvolution
from tfunc.nets.unet import AuxiliaryHead, unet

MODELS = artefacts.read_json(GOLDENS / "model" / "models.json")
UNETS = [name for name, facts in MODELS.items() if facts["kind"] == "unet"]


def build(facts):
    """Our model of a network of models.json."""
    if facts["kind"] == "postnet":
        return AuxiliaryHead(facts["kwargs"]["in_channels"])
    kwargs = facts["kwargs"]
    center, sigma = "dropout_center" in kwargs, kwargs.get("sigma_out", False)
    return unet(kwargs["in_channels"], kwargs["start_filters"], kwargs["depth"], kwargs["dropout"], center, sigma)


def described(model):
    """Our layers in the words of models.json."""
    words = []
    for layer in model.layers:
        if isinstance(layer, ChannelDropout):
            words.append(["dropout", layer.rate])
        elif isinstance(layer, BatchNormalisation):
            words.append(["bn", layer.gamma.shape[0]])
        else:
            height, width, inputs, outputs = layer.kernel.shape
            words += [["Interpolate"]] * isinstance(layer, UpConvolution)
            words.append(["conv", [outputs, inputs, height, width]])
    return words


@pytest.mark.parametrize("name", MODELS)
def test_layers_and_counts_are_the_references(name):
    """Every network of the paper: same layers in the same order, same rates, shapes, parameters and statistics."""
    facts = MODELS[name]
    model = build(facts)
    assert described(model) == [layer for layer in facts["forward"] if layer != ["MaxPool2d"]]
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == facts["params_total"]
    assert model.count_params() == facts["params_total"] + facts["bn_running_mean_plus_var_values"]
    assert sum(isinstance(layer, ChannelDropout) for layer in model.layers) == facts["n_dropout"]
    assert sum(isinstance(layer, BatchNormalisation) for layer in model.layers) == facts["bn_layers"]
    assert sum(layer[0] == "conv" for layer in described(model)) == facts["n_conv"]


@pytest.mark.parametrize(("center", "key"), [(False, "None"), (True, "4")])
def test_dropout_positions_are_the_references(center, key):
    """The units with dropout, in running order, are those of `dropout_center` None and 4."""
    names = [f"down_convs.{level}.block.block.{unit}" for level in range(4) for unit in (0, 1)]
    names += ["bottom_convs.block.0", "bottom_convs.block.1"]
    names += [f"up_convs.{level}.block.block.{unit}" for level in range(4) for unit in (0, 1)] + ["conv_cls.0"]
    units = unet(3, 2, center=center, dropout=0.5).structure.units()
    dropping = [name for name, unit in zip(names, units, strict=True) if unit.dropout is not None]
    expected = artefacts.read_json(GOLDENS / "model" / "dropout_positions.json")[key]
    assert [f"{name}.conv2d_batch_relu.dropout" for name in dropping] == expected


@pytest.mark.parametrize("size", ["64x96", "60x100"])
def test_forward_pass_equals_the_authors(golden_unet, size):
    """With their weights: their logits (and features) within 1e-5; 60x100 has odd sizes on the way down, so padding."""
    golden = np.load(GOLDENS / "model" / f"isic_f8_io_{size}.npz")
    image = golden["input"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(golden_unet(image), golden["logits"].transpose(0, 2, 3, 1), atol=1e-5)
    if "features" in golden:
        np.testing.assert_allclose(golden_unet.features(image), golden["features"].transpose(0, 2, 3, 1), atol=1e-5)


def test_auxiliary_head_equals_the_authors():
    """With their weights: the logits of their PostNet within 1e-5."""
    golden = np.load(GOLDENS / "model" / "postnet_io_24x40.npz")
    model = AuxiliaryHead(32)
    port(model, np.load(GOLDENS / "model" / "postnet_state.npz"))
    output = model(golden["input"].transpose(0, 2, 3, 1))
    np.testing.assert_allclose(output, golden["logits"].transpose(0, 2, 3, 1), atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("size", [(16, 16), (17, 31), (33, 48), (48, 81), (16, 47)])
def test_any_size_from_two_to_the_depth(size):
    """Odd heights and widths, each axis alone and both, give outputs of the input's size, eagerly and in a graph."""
    model, image = unet(2, 2, sigma=True, seed=1), np.random.default_rng(0).normal(size=(1, *size, 2)).astype("f4")
    graph = tf.function(model, input_signature=[tf.TensorSpec([None, None, None, 2])], jit_compile=False)
    for eager, traced in zip(model(image), graph(image), strict=True):
        assert eager.shape == (1, *size, 2)
        np.testing.assert_allclose(eager, traced, atol=1e-6)


def test_padding_adds_one_row_below_and_one_column_to_the_right():
    """Where pooling floored, the upsampled map stands at the top left and the new row and column are zero."""
    from tfunc.nets.unet import pad_to

    padded = pad_to(tf.ones([1, 4, 6, 1]), tf.zeros([1, 5, 7, 3])).numpy()[0, :, :, 0]
    assert (padded[:4, :6] == 1).all()
    assert (padded[4:] == 0).all() and (padded[:, 6:] == 0).all()


def test_initial_weights_are_torchs_uniform():
    """Kernels and biases fill +-1/sqrt(fan_in) evenly; batch normalisation starts as the identity."""
    model = unet(4, 16, 2, sigma=True, seed=3)
    for layer in model.layers:
        if isinstance(layer, BatchNormalisation):
            for values, start in zip(layer.get_weights(), (1, 0, 0, 1), strict=True):
                assert (values == start).all()
        elif layer.weights:
            kernel, bias = layer.get_weights()
            bound = np.prod(kernel.shape[:3]) ** -0.5
            assert np.abs(kernel).max() <= bound and np.abs(bias).max() <= bound
            if kernel.size > 1000:
                assert np.abs(kernel).max() > 0.98 * bound
                assert kernel.std() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_seed_fixes_the_weights():
    """The same seed gives the same weights whatever was drawn before, another seed others; no two layers are alike."""
    one = unet(3, 4, 2, seed=7).get_weights()
    tf.random.set_seed(99)
    again, other = unet(3, 4, 2, seed=7).get_weights(), unet(3, 4, 2, seed=8).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    kernels = [(a, b) for a, b in zip(one, other, strict=True) if a.ndim == 4]
    assert not any(np.array_equal(a, b) for a, b in kernels)
    for index, (kernel, _) in enumerate(kernels):
        for later, _ in kernels[index + 1 :]:
            assert kernel.shape != later.shape or not np.array_equal(kernel, later)


@pytest.mark.parametrize("seed", [0, 20, 1_000_000, 2**31 - 1])
def test_large_seeds_draw_too(seed):
    """Every seed that a flag accepts gives finite weights that are not all equal."""
    kernel = unet(1, 2, 1, seed=seed).get_weights()[0]
    assert np.isfinite(kernel).all() and kernel.std() > 0


def test_weights_round_trip(tmp_path, shaken):
    """A `.weights.h5` file read into a new model gives the same outputs to the bit, batch statistics included."""
    model, image = shaken(unet(3, 4, 2, sigma=True, seed=1)), np.random.default_rng(0).normal(size=(2, 9, 12, 3))
    model.save_weights(str(tmp_path / "a.weights.h5"))
    read = unet(3, 4, 2, sigma=True, seed=2)
    read.load_weights(str(tmp_path / "a.weights.h5"))
    for before, after in zip(model(image), read(image), strict=True):
        np.testing.assert_array_equal(before, after)


def test_keeps_turn_dropout_on_in_running_order(shaken):
    """Dropping every channel of one unit changes the output, keeping all of all units changes nothing."""
    model, image = shaken(unet(3, 4, 2, seed=1, sigma=True)), np.random.default_rng(0).normal(size=(2, 8, 8, 3))
    ones = [np.ones((2, channels), np.float32) for _, channels in model.dropout_rates]
    plain = model(image)
    for before, after in zip(plain, model(image, keeps=ones), strict=True):
        np.testing.assert_allclose(before, after, atol=1e-6)
    for index in range(len(ones)):
        keeps = [0 * keep if index == number else keep for number, keep in enumerate(ones)]
        changed = [not np.allclose(a, b) for a, b in zip(plain, model(image, keeps=keeps), strict=True)]
        heads = {len(ones) - 2: [True, False], len(ones) - 1: [False, True]}
        assert changed == heads.get(index, [True, True])


def test_call_in_training_mode_drops_channels_of_its_own():
    """Two calls with `training=True` differ, two without do not."""
    model, image = unet(3, 32, 2, dropout=0.5), np.random.default_rng(0).normal(size=(2, 8, 8, 3))
    model.trainable = False  # batch normalisation stays on its statistics: what differs is dropout
    assert not np.allclose(model(image, training=True), model(image, training=True))
    np.testing.assert_array_equal(model(image), model(image))


def test_bfloat16_gives_float32_logits_near_those_of_float32():
    """Mixed precision: float32 variables and outputs, and about the same numbers."""
    exact, mixed = unet(3, 8, 2, seed=1), unet(3, 8, 2, seed=1, dtype="mixed_bfloat16")
    image = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype("f4")
    assert mixed(image).dtype == tf.float32 and mixed.get_weights()[0].dtype == np.float32
    np.testing.assert_allclose(mixed(image), exact(image), atol=0.05)


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"start_filters": 0}, {"in_channels": 0}, {"dropout": 1.0}])
def test_impossible_networks_are_refused(wrong):
    """Numbers that no U-Net has raise a `ValueError`."""
    with pytest.raises(ValueError, match="unet"):
        unet(**{"in_channels": 3, **wrong})
