"""Warps of both stacks against SciPy and against each other, and views and their inverses: tfunc/nets/stack.py, views.py."""

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from conftest import ROOT

from tfunc.nets import stack
from tfunc.nets import views as transforms

HEIGHT, WIDTH = 24, 33
WIDE = transforms.Range(flip_x=True, flip_y=True, rotation=180.0, scaling=(0.6, 1.7))
STORED = ROOT / "tests" / "fixtures" / "warps.npz"  # made by tests/fixtures/warps.py on both stacks


def smooth_image(channels=2, height=HEIGHT, width=WIDTH, seed=0):
    """float32 [height, width, channels] without detail below some pixels, so that interpolation loses little."""
    noise = np.random.default_rng(seed).normal(size=(height, width, channels))
    return np.float32(scipy.ndimage.gaussian_filter(noise, (4, 4, 0)) * 10)


def drawn(count, allowed=WIDE, seed=1):
    uniform = np.random.default_rng(seed).uniform(size=(count, transforms.UNIFORMS)).astype(np.float32)
    return transforms.draw(tf.constant(uniform), allowed)


def read_at(image, points, order=1, mode="grid-constant"):
    """SciPy's reading of [height, width, channels] at points [..., 2] of (y, x)."""
    coordinates = np.moveaxis(np.asarray(points, np.float64), -1, 0)
    channels = [
        scipy.ndimage.map_coordinates(image[..., c].astype(np.float64), coordinates, order=order, mode=mode)
        for c in range(image.shape[-1])
    ]
    return np.stack(channels, axis=-1)


def points_of(view):
    """float64 [height, width, 2]: where a view's row of eight numbers says that each output pixel comes from."""
    a = np.asarray(view, np.float64)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    return np.stack([a[3] * x + a[4] * y + a[5], a[0] * x + a[1] * y + a[2]], axis=-1)


@pytest.mark.parametrize("fill_mode, mode", [("constant", "grid-constant"), ("reflect", "reflect")])
def test_projective_transform_is_scipys(fill_mode, mode):
    image = smooth_image()
    there, _ = transforms.views(drawn(8), HEIGHT, WIDTH)
    ours = stack.projective_transform(np.stack([image] * 8), there, fill_mode=fill_mode).numpy()
    for result, view in zip(ours, there.numpy(), strict=True):
        np.testing.assert_allclose(result, read_at(image, points_of(view), mode=mode), atol=2e-4)


def test_nearest_is_scipys():
    """A mask moves by whole pixels: every value is the nearest pixel's, but where two are as near."""
    mask = np.uint8(smooth_image(1) > 0)
    there, _ = transforms.views(drawn(8), HEIGHT, WIDTH)
    ours = stack.projective_transform(np.stack([mask] * 8), there, interpolation="nearest").numpy()
    for result, view in zip(ours, there.numpy(), strict=True):
        points = points_of(view)
        clear = np.abs(points - np.floor(points) - 0.5).min(axis=-1) > 1e-3
        expected = read_at(mask, points, order=0)
        assert clear.mean() > 0.95
        np.testing.assert_array_equal(result[clear], expected[clear])


@pytest.mark.parametrize("order, interpolation", enumerate(["nearest", "bilinear"]))
def test_dense_warp_is_scipys(order, interpolation):
    """Points inside, at the edge, beyond it by half a pixel and far away."""
    image = smooth_image()
    points = np.random.default_rng(2).uniform([-3, -3], [HEIGHT + 2, WIDTH + 2], (HEIGHT, WIDTH, 2)).astype(np.float32)
    points[0, 0], points[0, 1], points[0, 2] = (0, 0), (HEIGHT - 1, WIDTH - 1), (-0.5, WIDTH - 0.5)
    points[1, :3] = 1e4, -1e4
    if interpolation == "nearest":
        points[0, 2] = -0.4, WIDTH - 0.4  # SciPy and we round halves to other sides
    result = stack.dense_warp(tf.constant(image), tf.constant(points), interpolation=interpolation)
    np.testing.assert_allclose(result, read_at(image, points, order=order), atol=1e-4)


def test_warps_of_both_stacks_agree():
    """This stack gives the numbers that each of the two stacks gave when they were stored."""
    with np.load(STORED) as stored:
        projected = stack.projective_transform(stored["image"][np.newaxis], stored["view"]).numpy()[0]
        warped = stack.dense_warp(tf.constant(stored["image"]), tf.constant(stored["points"])).numpy()
        for name in ("current", "addons"):
            np.testing.assert_allclose(projected, stored[f"{name}_projected"], atol=1e-5)
            np.testing.assert_allclose(warped, stored[f"{name}_warped"], atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_back_undoes_there(seed):
    """There and back multiply to the identity, to the rounding of float32."""
    there, back = transforms.views(drawn(50, seed=seed), HEIGHT, WIDTH)

    def matrix(views):
        return np.concatenate([views.numpy(), np.ones((50, 1), np.float32)], axis=1).reshape(50, 3, 3).astype(float)

    np.testing.assert_allclose(matrix(there) @ matrix(back), np.broadcast_to(np.eye(3), (50, 3, 3)), atol=2e-5)


def test_view_and_its_inverse_return_the_image():
    """Of a smooth field of deviation 1, to 0.08, where it stayed in the frame; flips alone to the bit."""
    image = smooth_image(1, 64, 80, seed=3)
    image /= image.std()
    count = 6
    there, back = transforms.views(drawn(count, transforms.Range(True, True, 30.0, (0.9, 1.2))), 64, 80)
    images = np.stack([image] * count)
    returned = stack.projective_transform(stack.projective_transform(images, there), back).numpy()
    ones = np.ones_like(images)
    seen = stack.projective_transform(stack.projective_transform(ones, there), back).numpy() > 0.999
    assert seen.mean() > 0.6
    assert np.abs(returned - images)[seen].max() < 0.08
    there, back = transforms.views(drawn(count, transforms.Range(True, True, 0.0, (1.0, 1.0))), 64, 80)
    np.testing.assert_array_equal(stack.projective_transform(stack.projective_transform(images, there), back), images)


def test_views_turn_the_way_they_say():
    """A quarter turn and a doubling of a square image, done by NumPy."""
    image = smooth_image(1, 17, 17)
    turn = (tf.constant([np.pi / 2], tf.float32), *(tf.ones(1),) * 3)
    there, _ = transforms.views(turn, 17, 17)
    np.testing.assert_allclose(stack.projective_transform(image[np.newaxis], there)[0], np.rot90(image), atol=1e-4)
    doubled, _ = transforms.views((tf.zeros(1), tf.constant([2.0]), tf.ones(1), tf.ones(1)), 17, 17)
    result = stack.projective_transform(image[np.newaxis], doubled)[0].numpy()
    np.testing.assert_allclose(result[::2, ::2], image[4:13, 4:13], atol=1e-5)


def test_draws_stay_in_their_range():
    angle, factor, x, y = (values.numpy() for values in drawn(2000, transforms.Range(True, False, 15.0, (0.8, 1.5))))
    assert np.abs(angle).max() <= np.radians(15) and np.abs(angle).max() > np.radians(14.5)
    assert factor.min() >= 0.8 - 1e-6 and factor.max() <= 1.5 + 1e-6 and (factor < 1).mean() > 0.3
    assert set(np.unique(x)) == {-1, 1} and abs(x.mean()) < 0.1 and set(np.unique(y)) == {1}
