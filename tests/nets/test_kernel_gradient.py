"""The gradient of a convolution's kernel as products, against TensorFlow's own and against float64."""

import numpy as np
import pytest
import tensorflow as tf

from tfunc.nets import kernel_gradient, layers, precision, stack
from tfunc.nets.unet import unet

pytestmark = pytest.mark.optimised

MANY = kernel_gradient.MANY
# batch, height, width, in, out: each way, odd sizes, one pixel, a row, and channels that no vector is full of
SIZES = [
    (2, 9, 14, 32, 40),
    (1, 1, 1, 3, 2),
    (3, 1, 5, 2, 7),
    (2, 7, 1, 33, 32),
    (2, 6, 5, MANY, MANY),
    (1, 3, 4, MANY, MANY + 8),
]


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def exact(inputs, upstream):
    """The gradient of the kernel in float64, shift by shift."""
    height, width = inputs.shape[1:3]
    padded = np.pad(inputs.astype(np.float64), [(0, 0), (1, 1), (1, 1), (0, 0)])
    rows = upstream.reshape(-1, upstream.shape[-1]).astype(np.float64)
    shifts = ((row, column) for row in range(3) for column in range(3))
    taps = [padded[:, y : y + height, x : x + width].reshape(len(rows), -1).T @ rows for y, x in shifts]
    return np.reshape(taps, [3, 3, inputs.shape[-1], upstream.shape[-1]])


@pytest.fixture
def always(monkeypatch):
    """Products on whichever processor, and of however few channels."""
    monkeypatch.setattr(kernel_gradient, "_slow", lambda: True)
    monkeypatch.setattr(kernel_gradient, "NARROWEST", 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("known", [True, False])
def test_the_kernels_gradient_is_the_sum_over_all_pixels(size, known):
    """Whether or not the size of the images is known while the graph is made."""
    batch, height, width, channels, filters = size
    inputs, upstream = drawn(batch, height, width, channels), drawn(batch, height, width, filters, seed=1)
    shapes = [[*(size[:3] if known else [None] * 3), count] for count in (channels, filters)]
    graph = tf.function(kernel_gradient.of_kernel, input_signature=[tf.TensorSpec(shape) for shape in shapes])
    found, wanted = graph(inputs, upstream).numpy(), exact(inputs, upstream)
    assert found.shape == wanted.shape == (3, 3, channels, filters)
    np.testing.assert_allclose(found, wanted, atol=1e-6 * np.abs(wanted).max() + 1e-6)
    np.testing.assert_array_equal(found, graph(inputs, upstream).numpy())


def test_long_sums_are_added_up_precisely():
    """Of 24,576 pixels; what oneDNN's kernel adds up on AVX2 was off by 8e-6 there, 1.4e-5 at the paper's size."""
    inputs, upstream = drawn(2, 96, 128, 32), drawn(2, 96, 128, 32, seed=1)
    wanted = exact(inputs, upstream)
    found = kernel_gradient.of_kernel(tf.constant(inputs), tf.constant(upstream)).numpy()
    assert np.abs(found - wanted).max() < 3e-6 * np.abs(wanted).max()


def test_a_network_learns_what_it_would_by_the_plain_op(always, monkeypatch):
    """Every variable's gradient, of the images' too, and the output to the bit."""
    model = unet(3, 4, depth=2, dropout=0, seed=1)
    images, weights = tf.constant(drawn(2, 16, 20, 3)), drawn(2, 16, 20, 2, seed=1)

    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = model(images, training=True)
            loss = tf.reduce_sum(logits * weights)
        return [logits, *tape.gradient(loss, [images, *(variable.value for variable in model.trainable_variables)])]

    called = []
    real = kernel_gradient.of_kernel
    monkeypatch.setattr(kernel_gradient, "of_kernel", lambda *given: called.append(1) or real(*given))
    ours = gradients()
    assert len(called) == sum(type(one) is layers.Convolution and one.kernel.shape[0] == 3 for one in model.sequence)
    monkeypatch.setattr(kernel_gradient, "applies", lambda *given: False)
    plain = gradients()
    np.testing.assert_array_equal(ours[0], plain[0])
    for one, other in zip(ours, plain, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * max(1, np.abs(other).max()), rtol=1e-4)


def test_replicas_have_each_their_own(always):
    """In a graph that a strategy runs on two devices, a slice each: together what one has of both slices."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = layers.Convolution(5, 3)
        layer.build((None, None, None, 4))
    inputs, weights = drawn(2, 6, 7, 4), drawn(2, 6, 7, 5, seed=1)

    def gradients(images, factors):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(images) * factors)
        return tape.gradient(loss, [layer.kernel.value, layer.bias.value])

    def of_replica(context):
        return slice(context.replica_id_in_sync_group, context.replica_id_in_sync_group + 1)

    given = [
        strategy.experimental_distribute_values_from_function(
            lambda context, v=values: tf.constant(v[of_replica(context)])
        )
        for values in (inputs, weights)
    ]
    run = tf.function(lambda *values: strategy.run(gradients, args=values), autograph=False)
    kernel, bias = (strategy.reduce("SUM", one, axis=None) for one in run(*given))
    wanted = exact(inputs, weights)
    np.testing.assert_allclose(kernel, wanted, atol=1e-6 * np.abs(wanted).max())
    np.testing.assert_allclose(bias, weights.sum((0, 1, 2)), atol=1e-5)


def test_where_it_applies(monkeypatch):
    """In float32 on AVX2 without AVX-512 and of channels enough; elsewhere the op's own gradient was not seen to be slow."""
    images, kernel = tf.zeros([1, 4, 4, 32]), tf.zeros([3, 3, 32, 32])
    gpus = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)

    def found(*instructions):
        kernel_gradient._slow.cache_clear()
        monkeypatch.setattr(precision, "features", lambda: frozenset(instructions))
        return kernel_gradient.applies(images, kernel)

    try:
        gpus.append("GPU:0")
        assert not found("avx", "avx2", "fma")
        gpus.clear()
        assert found("avx", "avx2", "fma")
        assert not kernel_gradient.applies(images, tf.zeros([1, 1, 32, 32]))
        assert not kernel_gradient.applies(images, tf.zeros([3, 3, 32, 31]))
        assert not kernel_gradient.applies(tf.cast(images, tf.bfloat16), kernel)
        assert not found("avx2", "avx512f") and not found("asimd") and not found()
        monkeypatch.setattr(stack, "name", lambda: "addons")
        assert not found("avx2")
    finally:
        kernel_gradient._slow.cache_clear()
