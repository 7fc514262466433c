"""Slices at another size: as SciPy has it, in place, exact where nothing changes."""

import numpy as np
import pytest
from scipy import ndimage

from data_prep import resample

RANDOM = np.random.default_rng(3)


@pytest.mark.parametrize("size", [(12, 9), (5, 20), (7, 9), (1, 1), (23, 31)])
def test_numbers_are_interpolated_as_scipy_does(size):
    """Against map_coordinates of order 1 at the voxels' centres, the outermost value beyond them."""
    array = RANDOM.normal(size=(3, 9, 13, 2)).astype(np.float32)
    rows, columns = ((np.arange(new) + 0.5) * old / new - 0.5 for old, new in zip((9, 13), size, strict=True))
    places = np.meshgrid(rows, columns, indexing="ij")
    expected = np.stack(
        [
            np.stack([ndimage.map_coordinates(a[..., c], places, order=1, mode="nearest") for c in range(2)], -1)
            for a in array.astype(np.float64)
        ]
    )
    found = resample.in_plane(array, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_whole_numbers_are_the_nearest():
    """No label appears that was not there, and each voxel has that of the voxel its centre lies in."""
    labels = RANDOM.choice(np.array([0, 3, 200], np.uint8), (2, 6, 8))
    larger = resample.in_plane(labels, (12, 16))
    np.testing.assert_array_equal(larger, labels.repeat(2, axis=1).repeat(2, axis=2))
    np.testing.assert_array_equal(resample.in_plane(larger, (6, 8)), labels)
    assert resample.in_plane(labels, (5, 11)).dtype == np.uint8


def test_the_same_size_is_the_same_array():
    array = RANDOM.normal(size=(2, 4, 5)).astype(np.float32)
    assert resample.in_plane(array, (4, 5)) is array


def test_there_and_back_stays_in_place():
    """The centre of a bump moves by less than a fiftieth of a voxel, whatever rounding made of the sizes."""
    rows, columns = np.mgrid[:40, :50]
    bump = np.exp(-((rows - 17.3) ** 2 + (columns - 28.6) ** 2) / 60).astype(np.float32)[None]
    for size in [(31, 37), (53, 71), (44, 41)]:
        back = resample.in_plane(resample.in_plane(bump, size), (40, 50))
        centre = ndimage.center_of_mass(np.maximum(back[0] - 0.02, 0))
        np.testing.assert_allclose(centre, ndimage.center_of_mass(np.maximum(bump[0] - 0.02, 0)), atol=0.02)
