"""Maps with a channel axis: of one, in any place; of a softmax's two; and what is refused says what to write instead."""

import nibabel
import numpy as np
import pytest
from made_up_maps import AFFINE, evaluate_study, make_study, read_csv, undrawn

from data_prep.base.errors import UserError
from tfunc.scoring import sources, volumes

SHAPE = (5, 4, 3)  # of the file, x, y, z
MAP = np.random.default_rng(0).random(SHAPE).astype(np.float32)


def put(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, AFFINE), path)
    return path


@pytest.mark.parametrize("axes", [(), (3,), (0,), (3, 4), (0, 4), (0, 1), (0, 1, 2)])
def test_axes_of_one(tmp_path, axes):
    """One channel is no channel, before or behind the axes of space."""
    array, space = volumes.read(put(tmp_path / "a.nii.gz", np.expand_dims(MAP, axes)))
    np.testing.assert_array_equal(array, MAP.T)
    assert space.shape == SHAPE[::-1]


@pytest.mark.parametrize("axis", [0, 3])
@pytest.mark.parametrize("ones", [(), (4,)])
def test_a_softmax(tmp_path, axis, ones):
    """Its second channel is the foreground's, also in half precision; without `softmax` it is refused."""
    both = np.expand_dims(np.stack([1 - MAP, MAP], axis), ones)
    path = put(tmp_path / "a.nii.gz", both)
    np.testing.assert_array_equal(volumes.read(path, softmax=True)[0], MAP.T)
    assert volumes.is_softmax(path) and not volumes.is_softmax(put(tmp_path / "b.nii.gz", MAP))
    with pytest.raises(UserError, match=r"expected one map in space.*; write the one channel that is meant alone"):
        volumes.read(path)


@pytest.mark.parametrize(
    "array",
    [
        np.stack([MAP, MAP], -1),  # two sigmoids
        np.stack([1 - MAP, MAP / 2, MAP / 2], -1),
        np.stack([MAP] * 4, 0),
        np.zeros((2, 4, 3, 2), np.float32),  # which of the two?
        np.zeros(7, np.float32),
    ],
)
def test_other_channels_are_refused(tmp_path, array):
    """Nothing is guessed, and the advice is evaluate's, not prepare's."""
    path = put(tmp_path / "a.nii.gz", array)
    with pytest.raises(UserError, match=r"a\.nii\.gz: expected .* write the foreground's channel alone") as raised:
        volumes.read(path, softmax=True)
    assert "modality" not in str(raised.value)


@pytest.mark.parametrize("form", ["one", "softmax"])
def test_the_same_table(tmp_path, form, monkeypatch):
    """A folder of such maps scores as the plain ones, and what was read of them is said."""
    undrawn(monkeypatch)
    make_study(tmp_path / "plain")
    make_study(tmp_path / "odd")
    for path in sorted((tmp_path / "odd" / "maps").glob("*_probability.nii.gz")):
        found = np.asarray(nibabel.load(path).dataobj)
        put(path, found[None] if form == "one" else np.stack([1 - found, found], -1))
    tables = []
    for folder in ("plain", "odd"):
        evaluate_study(tmp_path / folder)
        tables.append(read_csv(tmp_path / folder / "out" / "subjects.csv"))
    assert tables[0] == tables[1]
    maps = sources.folder_maps(tmp_path / "odd" / "maps", "probability")
    said = ["maps: 3 of 3 maps are a softmax of two channels; the second is read as the foreground's"]
    assert sources.softmaxes(maps) == (said if form == "softmax" else [])
