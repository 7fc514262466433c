"""The normalisation and the choice of training slices equal the authors' numbers; bad intensities are refused."""

import dataclasses
import pathlib

import msgspec
import numpy as np
import pytest

from data_prep import normalisation, subject, tasks
from data_prep.base import artefacts
from data_prep.base.errors import UserError

BRATS, ISIC = tasks.TASKS["brats"], tasks.TASKS["isic"]
GOLDENS = pathlib.Path(__file__).parents[1] / "goldens" / "preprocess"


@pytest.fixture
def brats():
    return np.load(GOLDENS / "brats_zscore.npz")


def volume(image):
    mean, std = normalisation.zscore_statistics(image, "flair.nii.gz")
    return subject.Subject("a", image, mean, std)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_zscore_equals_the_authors_to_the_bit(brats, dtype):
    """Exact in float32, and no different when the voxels stay integers."""
    if dtype == np.int16:
        assert (brats["volume"] == brats["volume"].astype(np.int16)).all()
    normalised = volume(brats["volume"].astype(dtype)).normalised()
    assert normalised.dtype == np.float32
    np.testing.assert_array_equal(normalised, brats["normalised"])


def test_zscore_does_not_depend_on_memory_order(brats):
    """A volume that was transposed on reading has the same statistics."""
    fortran = np.asfortranarray(brats["volume"])
    np.testing.assert_array_equal(volume(fortran).normalised(), brats["normalised"])


def test_training_slices_equal_the_authors(brats):
    """The rule is on normalised voxels: a slice that is not empty but dark drops out."""
    expected = artefacts.read_json(GOLDENS / "preprocess.json")
    selected = np.flatnonzero(volume(brats["volume"]).training_slices(BRATS))
    assert selected.tolist() == expected["selected_slices"] == brats["selected_slices"].tolist()
    assert selected.tolist() != expected["slices_with_any_nonzero_voxel"]


def test_training_slices_are_those_with_a_positive_normalised_voxel():
    """Equal to the definition, slice by slice, on noise."""
    image = np.random.default_rng(0).integers(0, 9, (40, 1, 1, 4)).astype(np.int16) ** 2
    made = volume(image)
    np.testing.assert_array_equal(made.training_slices(BRATS), (made.normalised() > 0).any(axis=(1, 2, 3)))
    assert 0 < made.training_slices(BRATS).sum() < 40


def test_minmax_equals_the_authors_to_the_bit():
    """The reference's rescaling runs jointly over the colours."""
    golden = np.load(GOLDENS / "isic_rescale.npz")
    image = golden["image"][np.newaxis]
    made = subject.Subject("a", image, *normalisation.intensity_statistics(image, "minmax"), source_size=(24, 32))
    np.testing.assert_array_equal(made.normalised()[0], golden["image_rescaled"])


def test_unit_divides_by_255():
    """The paper's text: 0 to 1 for 0 to 255, whatever the image holds; a constant image is no trouble."""
    image = np.full((1, 2, 3, 3), 51, np.uint8)
    made = subject.Subject("a", image, *normalisation.intensity_statistics(image, "unit"), source_size=(20, 30))
    np.testing.assert_array_equal(made.normalised(), np.full((1, 2, 3, 3), np.float32(51) / np.float32(255)))


def test_a_photograph_is_all_brain_and_always_trained_on():
    """Black pixels are neither masked nor a reason to leave an image out."""
    image = np.zeros((1, 2, 3, 3), np.uint8)
    made = subject.Subject("a", image, *normalisation.intensity_statistics(image, "unit"), source_size=(20, 30))
    assert made.inside(ISIC) is None  # everywhere
    assert made.training_slices(ISIC).tolist() == [True]


def test_the_brain_is_where_raw_t2_is_positive(brats):
    """The task's channel decides, in raw intensities, not normalised ones."""
    np.testing.assert_array_equal(volume(brats["volume"]).inside(BRATS), brats["volume"][..., 2] > 0)


def test_the_task_decides(brats):
    """Another channel, another threshold and other rules of training give other answers: nothing is fixed to BraTS."""
    made = volume(brats["volume"])
    inside = tasks.Inside("t1", 40)
    other = msgspec.structs.replace(BRATS, inside=inside, trained="not_empty")
    np.testing.assert_array_equal(made.inside(other), brats["volume"][..., 1] > 40)
    np.testing.assert_array_equal(made.training_slices(other), brats["volume"].any(axis=(1, 2, 3)))
    assert made.training_slices(other).sum() > made.training_slices(BRATS).sum()


@pytest.mark.parametrize("value", [0.0, 1000.3])
def test_a_constant_channel_is_refused(value):
    """Also where float32 rounding would give it some deviation."""
    image = np.random.default_rng(0).random((30, 32, 32, 4)).astype(np.float32)
    image[..., 3] = value
    with pytest.raises(UserError, match=r"flair\.nii\.gz.*channel 3"):
        normalisation.zscore_statistics(image, "flair.nii.gz")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_voxels_are_refused(value):
    """The message has the source and the number of voxels."""
    image = np.random.default_rng(0).random((3, 4, 5, 4)).astype(np.float32)
    image[1, 2, 3, 1] = value
    with pytest.raises(UserError, match=r"flair\.nii\.gz.*found 1 in channel 1"):
        normalisation.zscore_statistics(image, "flair.nii.gz")


def test_intensities_beyond_float32_are_refused():
    """The squares of these overflow, and the deviation with them."""
    image = np.full((2, 3, 4, 1), 1e30, np.float32)
    image[0] = 0
    with pytest.raises(UserError, match="standardise"), np.errstate(over="ignore"):
        normalisation.zscore_statistics(image, "flair.nii.gz")


def test_minmax_refuses_a_constant_image_and_unknown_rules():
    """One has no range, the other no meaning."""
    with pytest.raises(UserError, match=r"a\.jpg.*7 everywhere"):
        normalisation.intensity_statistics(np.full((1, 2, 2, 3), 7, np.uint8), "minmax", "a.jpg")
    with pytest.raises(UserError, match="unit or minmax"):
        normalisation.intensity_statistics(np.zeros((1, 2, 2, 3), np.uint8), "other")


def test_facts_are_frozen(brats):
    """A subject is not changed after it was made."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        volume(brats["volume"]).name = "b"
