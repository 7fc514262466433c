"""Augmented slices: image and masks stay together, and what happens depends on seed, epoch and slice only."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import TINY

from data_prep import records
from tfunc.learning import augmentation
from tfunc.learning import slices as datasets
from tfunc.learning.settings import SETTINGS

LEVELS = ["light", "strong"]
HEIGHT, WIDTH = 40, 56


def disc():
    """A disc off the centre: the image is its mask and half of it, with a background of -1; float32 and uint8."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    inside = (y - 17) ** 2 + (x - 30) ** 2 <= 9**2
    return np.stack([inside * 2.0 - 1.0, inside * 1.0 - 1.0], axis=-1).astype(np.float32), np.uint8(inside)


def changed(level, seed, image=None, mask=None, zero=(-1.0, -1.0)):
    plain, inside = disc()
    image, mask = plain if image is None else image, inside if mask is None else mask
    image, moved = augmentation.apply(
        level, tf.constant(image), mask[..., np.newaxis], tf.constant(zero), tf.constant([seed, 7], tf.int64)
    )
    return image.numpy(), moved.numpy()[..., 0]


SEEDS = range(10)


def misalignment(level):
    """Over several seeds: largest number of pixels where image and mask clearly disagree; mean distance (y, x) of the
    image's centre of gravity from the mask's, in pixels."""
    grid, disagree, apart = np.mgrid[:HEIGHT, :WIDTH], [], []
    for seed in SEEDS:
        image, mask = changed(level, seed)
        assert mask.sum() > 60
        share = (image[..., 0] + 1) / 2  # of the disc in each pixel
        sure = np.abs(share - 0.5) > 0.35
        disagree.append(((mask[sure] == 1) != (share[sure] > 0.5)).sum())
        of_image, of_mask = ((grid * weight).sum(axis=(1, 2)) / weight.sum() for weight in (share, mask.astype(float)))
        apart.append(of_image - of_mask)
    return max(disagree), np.abs(np.mean(apart, axis=0)).max()


@pytest.fixture
def geometry_only(monkeypatch):
    monkeypatch.setattr(augmentation, "_recolour", lambda how, image, uniform: image)


@pytest.mark.parametrize("level", LEVELS)
def test_image_and_mask_stay_together(level, geometry_only):
    disagree, apart = misalignment(level)
    assert disagree <= 2 and apart < 0.1


def test_half_a_pixel_would_show(geometry_only, monkeypatch):
    """The measure of the test above notices a mask that is moved by half a pixel more than its image."""
    right = augmentation.stack.projective_transform

    def wrong(images, there, interpolation="bilinear", **options):
        there = there + tf.constant([[0, 0, 0.5, 0, 0, 0.5, 0, 0]]) if interpolation == "nearest" else there
        return right(images, there, interpolation=interpolation, **options)

    monkeypatch.setattr(augmentation.stack, "projective_transform", wrong)
    disagree, apart = misalignment("light")
    assert disagree > 2 and apart > 0.3


@pytest.mark.parametrize("level", LEVELS)
def test_background_is_the_normalised_zero(level, geometry_only):
    """Corners that came into view hold each channel's own zero, before the intensities change."""
    zero = np.array([-1.5, 0.25], np.float32)
    image = np.ones((HEIGHT, WIDTH, 2), np.float32) * 3
    corners = np.concatenate([changed(level, seed, image, zero=zero)[0][[0, -1]].reshape(-1, 2) for seed in range(8)])
    found = np.unique(np.round(corners[np.abs(corners - zero).max(axis=1) < 0.2], 3), axis=0)
    assert [-1.5, 0.25] in found.tolist()
    span = (corners - zero) / (3 - zero)  # and in between, both channels are mixed alike
    np.testing.assert_allclose(span[:, 0], span[:, 1], atol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_seeds_decide(level):
    first, again, other = changed(level, 3), changed(level, 3), changed(level, 4)
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


def test_elastic_deformation_is_smooth():
    """Neighbouring pixels stay in order, so nothing folds; displacements are of the size that was asked for."""
    points = np.stack([augmentation.elastic_points(96, 128, 0.02, 5, tf.constant([s, 0], tf.int64)) for s in range(40)])
    steps_y, steps_x = np.diff(points[..., 0], axis=1), np.diff(points[..., 1], axis=2)
    assert min(steps_y.min(), steps_x.min()) > 0.2
    moved = points - np.stack(np.mgrid[:96, :128], axis=-1)
    assert 0.6 * 0.02 * 96 < moved.std() < 1.1 * 0.02 * 96


def test_intensities_keep_their_order():
    """Gamma and shift are monotone in each channel: no contrast is turned around."""
    image = np.random.default_rng(0).normal(size=(HEIGHT, WIDTH, 2)).astype(np.float32)
    how = augmentation.LEVELS["strong"]
    for uniform in ((0.0, 0.0), (0.3, 0.9), (0.99, 0.5)):
        result = augmentation._recolour(how, tf.constant(image), tf.constant(uniform)).numpy()
        for before, after in zip(image.reshape(-1, 2).T, result.reshape(-1, 2).T, strict=True):
            assert (np.diff(after[np.argsort(before)]) >= 0).all() and np.ptp(after) > 0.5
            assert abs(np.ptp(after) - np.ptp(before)) < 1e-4


def test_flag_offers_every_level():
    (row,) = (row for row in SETTINGS if row.name == "augment")
    assert row.choices == tuple(augmentation.LEVELS) and row.default == TINY["augment"] == "none"


def epoch(slices, **options):
    """{(subject, slice): (image, label)} of one epoch of training slices."""
    found = {}
    for batch in slices.training(4, 20, **{"epoch": 0, **options}).as_numpy_iterator():
        for row in range(len(batch["subject"])):
            if batch["weight"][row] > 0:
                key = int(batch["subject"][row]), int(batch["slice"][row])
                found[key] = batch["image"][row], batch["label"][row], batch.get("segmentation", [None] * 99)[row]
    return found


@pytest.fixture(scope="module")
def slices(brats_data):
    manifest = records.read_manifest(brats_data)
    return datasets.Slices(brats_data, manifest, [entry.name for entry in manifest.split("train")])


def test_pipeline_augments_each_slice_by_its_own_seed(slices):
    """The same in every batch, from every step on; another epoch gives others; all slices are still there."""
    plain, first = epoch(slices), epoch(slices, augment="strong")
    later, other = epoch(slices, augment="strong", skip=2), epoch(slices, augment="strong", epoch=1)
    assert plain.keys() == first.keys() == other.keys() > later.keys() and later
    for key in first:
        assert (first[key][0] != plain[key][0]).any() and (first[key][0] != other[key][0]).any()
    for key in later:
        np.testing.assert_array_equal(first[key][0], later[key][0])


def test_pipeline_moves_the_given_mask_with_the_label(slices, monkeypatch):
    """Auxiliary segm.'s input mask goes the way of the label: where both were equal they stay equal."""

    class Same:
        def slice(self, subject, index):
            return tf.cast(labels[subject, index], tf.uint8)

    plain = epoch(slices)
    depth = max(slice for _, slice in plain) + 1
    array = np.zeros((len(slices.names), depth, slices.height, slices.width), np.uint8)
    for (subject, slice), (_, label, _) in plain.items():
        array[subject, slice] = label
    labels = tf.constant(array)
    monkeypatch.setattr(slices, "second", Same())
    moved = epoch(slices, augment="strong")
    assert sum(label.sum() for _, label, _ in moved.values()) > 50
    for _, label, mask in moved.values():
        np.testing.assert_array_equal(label, mask)


@pytest.mark.long
def test_a_training_with_augmentation(trainer, train, brats_data, brats_run):
    """Its slices are the changed ones, those of its validation are not, and it is another configuration than without."""
    from data_prep.base.errors import UserError

    plain, light = (trainer("baseline", brats_data, augment=augment) for augment in ("none", "light"))
    first, other = (next(one._training_data().as_numpy_iterator()) for one in (plain, light))
    np.testing.assert_array_equal(first["slice"], other["slice"])
    assert (first["image"] != other["image"]).any()
    first, other = (next(one._validation_data.as_numpy_iterator()) for one in (plain, light))
    np.testing.assert_array_equal(first["image"], other["image"])
    with pytest.raises(UserError, match=r"augment 'none' \(there\) against 'light'"):
        train("baseline", "brats", brats_data, brats_run, augment="light")
