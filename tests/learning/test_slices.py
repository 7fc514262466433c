"""Batches: every slice once, in an order that can be taken up again, and shares that add up."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from data_prep import records
from data_prep.base import artefacts
from data_prep.base.errors import UserError
from tfunc.learning.slices import Slices, share


def slices(data_dir, split="train"):
    manifest = records.read_manifest(data_dir)
    return Slices(data_dir, manifest, [entry.name for entry in manifest.split(split)], split)


def keys(batches):
    """[(subject, slice)] of batches, in order."""
    return [(int(a), int(b)) for batch in batches for a, b in zip(batch["subject"], batch["slice"], strict=True)]


def subjects(data_dir, data):
    return [records.read_subject(data_dir, data.manifest, name) for name in data.names]


def test_an_epoch_is_every_training_slice_once(brats_data):
    """All slices that are trained on, and no others, each once; sizes of batches as announced."""
    data = slices(brats_data)
    batches = list(data.training(7, seed=1, epoch=0).as_numpy_iterator())
    chosen = [subject.training_slices(data.manifest.task) for subject in subjects(brats_data, data)]
    expected = [(number, index) for number, train in enumerate(chosen) for index in np.flatnonzero(train)]
    assert sorted(keys(batches)) == expected
    assert len(expected) == data.training_count and len(batches) == data.steps(7)
    assert [len(batch["row"]) for batch in batches[:-1]] == [7] * (len(batches) - 1)
    assert len(batches[-1]["row"]) == (len(expected) - 1) % 7 + 1
    assert any(not train.all() for train in chosen), "the phantom has slices that are not trained on"


def test_batches_hold_what_the_records_hold(brats_data):
    """Image and label of each row are those of its subject and slice, normalised and uncropped, to the bit."""
    data = slices(brats_data)
    whole = [(subject.normalised(), subject.label) for subject in subjects(brats_data, data)]
    for batch in data.training(16, seed=1, epoch=0).as_numpy_iterator():
        for row, (subject, index) in enumerate(keys([batch])):
            np.testing.assert_array_equal(batch["image"][row], whole[subject][0][index])
            np.testing.assert_array_equal(batch["label"][row], whole[subject][1][index])
    assert batch["image"].dtype == np.float32 and batch["label"].dtype == np.uint8


@pytest.mark.long
def test_order_is_a_function_of_seed_and_epoch(brats_data):
    """The same twice, another for another epoch or seed; neighbours in the order come from all shards."""
    data = slices(brats_data)
    first = keys(data.training(8, 1, 0).as_numpy_iterator())
    assert first == keys(data.training(8, 1, 0).as_numpy_iterator())
    for other in (keys(data.training(8, 1, 1).as_numpy_iterator()), keys(data.training(8, 2, 0).as_numpy_iterator())):
        assert other != first and sorted(other) == sorted(first)
    assert first != sorted(first) and len({subject for subject, _ in first[:12]}) == 3


@pytest.mark.parametrize("elsewhere", [None, 0, 7])
def test_order_depends_on_nothing_global(brats_data, elsewhere):
    """Whatever seed is set elsewhere, before the pipeline or after it, and that seed is left as it was."""
    data = slices(brats_data)
    tf.random.set_seed(20)
    first = keys(data.training(8, 20, 0).as_numpy_iterator())
    tf.random.set_seed(elsewhere)
    pipeline = data.training(8, 20, 0)
    assert context.global_seed() == elsewhere
    tf.random.set_seed(99)
    assert keys(pipeline.as_numpy_iterator()) == first


def test_skip_takes_up_where_it_was(brats_data):
    """From step k on, batches are those of the whole epoch from k on; skipping all leaves none."""
    data = slices(brats_data)
    whole = list(data.training(8, 1, 3).as_numpy_iterator())
    for skip in (1, 3, len(whole)):
        rest = list(data.training(8, 1, 3, skip=skip).as_numpy_iterator())
        assert keys(rest) == keys(whole[skip:])


def test_validation_goes_through_subjects_in_order(brats_data):
    """All slices, those that are not trained on too, subject after subject."""
    data = slices(brats_data, "valid")
    expected = [(number, index) for number, entry in enumerate(data.entries) for index in range(entry.slices)]
    assert keys(data.in_order(7).as_numpy_iterator()) == expected
    assert len(expected) == data.count


def test_photographs_are_slices_too(isic_data):
    """ISIC images come in [0, 1], one slice a subject."""
    data = slices(isic_data)
    (batch,) = data.training(32, 1, 0).as_numpy_iterator()
    assert batch["image"].shape == (7, 32, 48, 3)
    assert 0 <= batch["image"].min() < batch["image"].max() <= 1
    assert not batch["slice"].any() and sorted(batch["subject"]) == list(range(7))


def shares(count, replicas):
    batch = {"image": np.arange(count, dtype="f4").reshape(count, 1, 1, 1), "subject": np.arange(count)}
    result = share({name: tf.constant(value) for name, value in batch.items()}, replicas)
    return {name: values.numpy() for name, values in result.items()}


@pytest.mark.parametrize("count", [1, 2, 5, 6, 8])
@pytest.mark.parametrize("replicas", [1, 2, 3, 4])
def test_shares_add_up(count, replicas):
    """Equal shares, none empty; real rows weigh 1 / count and the rest nothing, so that weights sum to 1."""
    result = shares(count, replicas)
    assert result["weight"].sum() == pytest.approx(1)
    assert (result["weight"] > 0).sum() == count
    real = result["weight"].reshape(-1) > 0
    np.testing.assert_array_equal(result["subject"].reshape(-1)[real], np.arange(count))
    np.testing.assert_array_equal(result["image"].reshape(-1)[real], np.arange(count))
    if replicas > 1:
        assert result["weight"].shape[0] == replicas and result["weight"].shape[1] == -(-count // replicas)
    np.testing.assert_array_equal(result["row"].reshape(-1)[real], np.arange(count))


def test_padding_repeats_real_slices():
    """The rows of weight 0 hold slices of the batch, not zeros, which would shift batch statistics."""
    result = shares(5, 4)
    np.testing.assert_array_equal(result["image"].reshape(-1), [0, 1, 2, 3, 4, 0, 1, 2])


def test_replicas_see_the_same_batches(brats_data):
    """The shares of two replicas, put together, are one device's batches, in the pipeline as in `share`."""
    data = slices(brats_data)
    one = list(data.training(7, 1, 0).as_numpy_iterator())
    two = list(data.training(7, 1, 0, replicas=2).as_numpy_iterator())
    assert len(two) == 2 * len(one)
    for index, batch in enumerate(one):
        pair = {name: np.concatenate([two[2 * index][name], two[2 * index + 1][name]]) for name in batch}
        real = pair["weight"] > 0
        for name, values in batch.items():
            np.testing.assert_array_equal(pair[name][real], values)


def test_a_damaged_shard_is_named_with_its_record(brats_data, tmp_path):
    """A flipped byte inside a record becomes one `UserError` naming file and record, in training and validation.

    Where it was there before the training began, where it came after the slices' places were found, and in a buffer.
    """
    folder = tmp_path / "data"
    shutil.copytree(brats_data, folder)
    data, begun = slices(folder), slices(folder)
    list(begun.training(8, 1, 0).take(1))
    path = folder / data.shards[-1]
    content = bytearray(path.read_bytes())
    trained = begun._places.byte[begun._places.file == len(data.shards) - 1]
    number, start = 0, 0
    while start not in trained or not number:  # the first but one that is trained on, or a later one
        number, start = number + 1, start + 16 + int.from_bytes(content[start : start + 8], "little")
    content[start + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        data.training(8, 1, 0)
    errors = [caught.value]
    for late in (lambda: begun.training(8, 1, 1), lambda: data.training(8, 1, 0, version=1), lambda: data.in_order(8)):
        with pytest.raises(tf.errors.DataLossError) as caught:
            list(late())
        errors.append(data.explain(caught.value))
    for error in errors:
        assert isinstance(error, UserError) and f"{path}, record {number}:" in str(error) and "\n" not in str(error)


def test_unlabelled_subjects_are_refused(brats_data, tmp_path):
    """They cannot be trained on; the error names one of them."""
    shutil.copytree(brats_data, tmp_path / "data")
    path = tmp_path / "data" / records.MANIFEST
    content = artefacts.read_json(path)
    content["subjects"][1].update(labelled=False)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="with labels") as caught:
        slices(tmp_path / "data")
    assert content["subjects"][1]["name"] in str(caught.value)


def test_an_empty_split_is_refused(brats_data):
    """No subjects, no batches: a `UserError` before anything is built."""
    with pytest.raises(UserError, match="at least one subject"):
        Slices(brats_data, records.read_manifest(brats_data), [], "valid")
