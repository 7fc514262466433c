"""Crops of training slices: where they lie, that they lie alike in image and labels, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import make_config
from made_up import manifest

from data_prep import records
from data_prep.base.errors import UserError
from tfunc import networks
from tfunc.learning import augmentation, crops, settings
from tfunc.learning.slices import Slices, frame

SIZE = (6, 8)


def corners(label, count=600, size=SIZE, seed=20):
    """int32 [count, 2], the corner of each of so many slices of that label; traced once, as in a training."""

    @tf.function
    def found():
        def one(index):
            return crops.corner(tf.constant(label), size, augmentation.seed_of(seed, 0, tf.constant(0), index))

        return tf.map_fn(one, tf.range(count))

    return found().numpy()


def test_a_third_of_them_are_centred_on_foreground():
    """One voxel of foreground is in the middle of a third of all crops; the others lie anywhere, edges included."""
    label = np.zeros((20, 30), np.uint8)
    label[10, 15] = 3
    found = corners(label)
    centred = (found == [10 - 3, 15 - 4]).all(axis=1)
    assert centred.mean() == pytest.approx(1 / 3, abs=0.06)
    rest = found[~centred]
    assert (rest.min(axis=0) == 0).all() and (rest.max(axis=0) == [20 - 6, 30 - 8]).all()
    np.testing.assert_allclose(rest.mean(axis=0), [7, 11], atol=0.8)


def test_every_voxel_of_the_foreground_is_drawn():
    """And at the edge the crop stays within the slice; what is ignored is no foreground."""
    label = np.zeros((12, 12), np.uint8)
    label[0, 0], label[11, 11], label[4:8, 4:8] = 1, 2, 255
    found = corners(label, size=(4, 4))
    assert found.min() == 0 and found.max() == 8
    edges = [(found == corner).all(axis=1).mean() for corner in ([0, 0], [8, 8])]
    assert min(edges) > 0.1 and sum(edges) == pytest.approx(1 / 3 + 2 / 3 * 2 / 81, abs=0.07)


def test_without_foreground_and_with_the_whole_slice():
    """An empty slice is cropped anywhere; a crop of the slice's own size is the slice."""
    assert len({tuple(corner) for corner in corners(np.zeros((20, 30), np.uint8), 100)}) > 50
    assert not corners(np.ones((6, 8), np.uint8), 20).any()


@pytest.fixture(scope="module")
def slices(brats_data):
    data = records.read_manifest(brats_data)
    return Slices(brats_data, data, [entry.name for entry in data.split("train")])


def batches(slices, *place, **how):
    found = list(slices.training(8, *place, **how).as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}


@pytest.mark.long
def test_crops_are_a_function_of_seed_epoch_and_slice(slices):
    """Image and label are cropped alike, and the same whatever came before; another epoch crops elsewhere."""
    whole, first, again = batches(slices, 20, 0), batches(slices, 20, 0, crop=(16, 12)), None
    assert first["image"].shape[1:] == (16, 12, 4) and first["label"].shape[1:] == (16, 12)
    for row in range(len(first["image"])):
        views = np.lib.stride_tricks.sliding_window_view(whole["image"][row, ..., 0], (16, 12))
        (at, *_) = np.argwhere((views == first["image"][row, ..., 0]).all(axis=(2, 3)))
        cut = np.s_[at[0] : at[0] + 16, at[1] : at[1] + 12]
        np.testing.assert_array_equal(first["image"][row], whole["image"][row][cut])
        if len(np.argwhere((views == first["image"][row, ..., 0]).all(axis=(2, 3)))) == 1:
            np.testing.assert_array_equal(first["label"][row], whole["label"][row][cut])
    again = batches(slices, 20, 0, skip=1, crop=(16, 12))
    np.testing.assert_array_equal(again["image"], first["image"][8:])
    order = np.lexsort([first["slice"], first["subject"]])
    later = batches(slices, 20, 1, crop=(16, 12))
    other = np.lexsort([later["slice"], later["subject"]])
    assert (first["image"][order] != later["image"][other]).any(axis=(1, 2, 3)).mean() > 0.5


@pytest.mark.long
def test_crops_of_augmented_slices(slices):
    """A crop is cut from the slice as it was changed, and is at most the frame."""
    whole, part = (batches(slices, 20, 0, augment="strong", crop=crop) for crop in (None, (100, 20)))
    assert part["image"].shape[1:] == (32, 20, 4)
    views = np.lib.stride_tricks.sliding_window_view(whole["image"][0, ..., 0], (32, 20))
    assert (views == part["image"][0, ..., 0]).all(axis=(2, 3)).any()


@pytest.mark.parametrize("crop", ["12", "12,", "a,b", "0,8", "-4,8", "8,8,8", "8.5,8", ""])
def test_what_is_no_size_is_refused(crop):
    """A height and a width, whole numbers: said by name before anything is read."""
    with pytest.raises(UserError, match=f"--crop={crop}: expected H,W"):
        settings.check({"crop": crop})


def test_the_size_is_kept_and_checked_with_the_depth():
    """`128,96` is (128, 96) in config.json; one that the poolings leave nothing of is refused, with the depth."""
    assert make_config("baseline", manifest(), crop="128,96").crop == (128, 96)
    assert make_config("baseline", manifest()).crop is None and settings.crop_size(" 8, 9") == (8, 9)
    with pytest.raises(UserError, match="--crop=15,64: expected 16 or more each way, by --depth=4"):
        make_config("baseline", manifest(), crop="15,64", depth=4)


def test_the_loss_is_that_of_networks_which_segment():
    """Those that learn by a loss of their own say nothing of --loss, so that it may change without training them anew."""
    asked = {name: make_config(network, manifest(), loss="dice_ce").loss for name, network in networks.SINGLE.items()}
    own = dict.fromkeys(("aleatoric", "auxiliary_feat", "auxiliary_segm", "ssn"), "cross_entropy")
    assert asked == {**dict.fromkeys(("baseline", "center", "checkpoints"), "dice_ce"), **own}
    assert {
        make_config(one, manifest(), loss="dice_ce").loss for one in (networks.fold(0, 2), networks.member(0, 2))
    } == {"dice_ce"}
    with pytest.raises(UserError, match="--loss=dice: expected one of cross_entropy, dice_ce"):
        settings.check({"loss": "dice"})


def test_frames():
    """The task's for volumes, else the slices' own size, else the largest with room for the poolings."""
    import msgspec

    task = manifest().task
    assert frame(task, [(30, 40), (30, 40)]) == (30, 40)
    assert frame(task, [(30, 40), (33, 20)]) == (48, 48)
    assert frame(msgspec.structs.replace(task, frame=(64, 80)), [(30, 40)]) == (64, 80)
    photographs = msgspec.structs.replace(manifest("isic").task, frame=(64, 80))
    assert frame(photographs, [(30, 40)]) == (30, 40)
