"""The Decathlon's form: channels as a fourth axis, cases as they are listed, labels by number."""

import nibabel
import numpy as np
import own_folders
import pytest
from own_folders import AFFINE, SHAPE, intensities, labels, write_json, write_volume
from test_nnunet import plain

from data_prep import tasks
from data_prep.base import notices
from data_prep.base.artefacts import read_json
from data_prep.base.errors import Faults, UserError
from data_prep.readers import decathlon, nnunet


@pytest.fixture
def folder(tmp_path):
    """Three labelled cases and a new one, of two channels."""
    return own_folders.decathlon(tmp_path / "Task01_Brain")


def change(folder, **entries):
    write_json(folder / "dataset.json", {**read_json(folder / "dataset.json"), **entries})


def test_the_task(folder):
    """Channels from `modality`, classes from `labels`, in the order of their numbers."""
    task = decathlon.task(folder)
    assert (task.name, task.title, task.form, task.trained) == ("Task01_Brain", "Brain", "volume", "not_empty")
    assert [(channel.name, channel.normalise) for channel in task.channels] == [("FLAIR", "zscore"), ("T1w", "zscore")]
    assert [(one.name, one.labels) for one in task.classes] == [
        *(("background", (0,)), ("liver", (1,)), ("tumour", (2,)))
    ]
    assert task.load_reader() is decathlon and (task.axis, task.frame, task.spacing) == (None,) * 3


def test_accepts(folder, tmp_path):
    """A dataset.json without numbered channels."""
    assert decathlon.accepts(folder) and not nnunet.accepts(folder)
    assert not decathlon.accepts(tmp_path) and not decathlon.accepts(tmp_path / "nothing")


def test_cases_of_four_digits(folder, tmp_path):
    """Their numbers are no channels where the list names the files as they are, nor of new patients, beyond the channels."""
    listed = []
    for index, entry in enumerate(read_json(folder / "dataset.json")["training"]):
        (folder / entry["image"]).rename(folder / "imagesTr" / f"C_{index + 7:04d}.nii.gz")
        listed.append({**entry, "image": f"./imagesTr/C_{index + 7:04d}.nii.gz"})
    change(folder, training=listed)
    assert decathlon.accepts(folder) and not nnunet.accepts(folder)
    found = decathlon.find_new(folder / "imagesTr", task=decathlon.task(folder))
    assert [source.name for source in found] == ["C_0007", "C_0008", "C_0009"]


def test_the_crop_decides_over_all_channels(tmp_path):
    """As in nnU-Net's form, the union of the channels counts."""
    folder = own_folders.decathlon(tmp_path / "Task")
    for case in range(3):
        array = np.zeros((2, *SHAPE), np.int16)
        array[0, :, :6, :6], array[1, :, 3:8, 3:8] = 3, 4
        write_volume(folder / "imagesTr" / f"C_{case}.nii.gz", array)
    assert {channel.normalise for channel in decathlon.task(folder).channels} == {"zscore_nonzero"}


def test_found_and_loaded(folder):
    """Listed cases only, the hidden files of a Mac left aside; channels come apart, the header is that of one."""
    listed = read_json(folder / "dataset.json")["training"]
    hidden = {"image": "./imagesTr/._C_0.nii.gz", "label": "./labelsTr/._C_0.nii.gz"}
    change(folder, training=[hidden, *listed], test=["./imagesTs/._C_3.nii.gz", {"image": "./imagesTs/C_3.nii.gz"}])
    sources = decathlon.find(folder)
    assert [(source.name, source.labelled) for source in sources] == [
        *((f"C_{index}", True) for index in range(3)),
        ("C_3", False),
    ]
    subject = decathlon.load(sources[1], task=plain(decathlon.task(folder)))
    for channel in range(2):
        assert np.array_equal(subject.image[..., channel], intensities(10 + channel))
    assert np.array_equal(subject.label, labels())
    header = nibabel.Nifti1Header(subject.header)
    assert header.get_data_shape() == SHAPE[::-1] and np.allclose(header.get_best_affine(), AFFINE)


def test_one_channel(tmp_path):
    """3-D images, as most of the ten tasks have, and 4-D ones whose fourth axis is 1."""
    folder = own_folders.decathlon(tmp_path / "Task09_Spleen", channels=("CT",))
    write_volume(folder / "imagesTr" / "C_0.nii.gz", intensities(5)[np.newaxis])
    task = decathlon.task(folder)
    assert task.channels == (tasks.Channel("CT", "ct", -1024.0),) and task.trained == "all"
    for index, seed in ((0, 5), (1, 10)):
        subject = decathlon.load(decathlon.find(folder)[index], task=plain(task))
        assert np.array_equal(subject.image[..., 0], intensities(seed))


def test_files_that_are_not_there(folder):
    """Each names the missing file; a case that is listed twice; what is right is found all the same."""
    (folder / "labelsTr" / "C_0.nii.gz").unlink()
    (folder / "imagesTs" / "C_3.nii.gz").unlink()
    listed = read_json(folder / "dataset.json")["training"]
    change(folder, training=[*listed, listed[1]])
    with pytest.raises(Faults) as caught:
        decathlon.find(folder)
    faults = {name: str(error) for name, error in caught.value.faults.items()}
    assert set(faults) == {"C_0", "C_1", "C_3"} and [source.name for source in caught.value.found] == ["C_2"]
    assert "C_0.nii.gz: expected the labels of C_0, as" in faults["C_0"]
    assert "expected each case once, found C_1 twice" in faults["C_1"]
    assert "C_3.nii.gz: expected the image of C_3" in faults["C_3"] and "\n" not in "".join(faults.values())


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ({"training": None}, "a list `training`"),
        ({"training": []}, "cases in `training`, found none"),
        ({"training": ["a"]}, "entries of `training` as"),
        ({"training": [{"image": "a.nii.gz"}]}, "entries of `training` as"),
        ({"training": [{"image": "../a.nii.gz", "label": "b.nii.gz"}]}, "files inside the folder"),
        ({"training": [{"image": "/a.nii.gz", "label": "b.nii.gz"}]}, "files inside the folder"),
        ({"test": 5}, "`test` as"),
        ({"test": [5]}, "`test` as"),
        ({"modality": None}, "expected `channel_names`"),
        ({"labels": {"1": "liver"}}, "the background, found none"),
        ({"labels": {"0": "background", "1": "a", "2": "a"}}, "another name for each entry of `labels`, found 'a'"),
    ],
)
def test_broken_descriptions(entries, named, folder):
    """One line that names dataset.json, the entry and what to do."""
    change(folder, **entries)
    with pytest.raises(UserError) as caught:
        decathlon.find(folder)
    line = str(caught.value)
    assert line.startswith(f"{folder / 'dataset.json'}: expected ") and named in line and "; " in line


@pytest.mark.parametrize(
    ("file", "array", "named"),
    [
        ("imagesTr/C_0.nii.gz", intensities(0, (3, *SHAPE)), "expected 2 channels, as dataset.json names, found 3"),
        ("imagesTr/C_0.nii.gz", intensities(0), "expected 2 channels, as dataset.json names, found 1"),
        ("labelsTr/C_0.nii.gz", labels((5, 12, 11)), "the shape of C_0.nii.gz, 10x12x5, found 11x12x5"),
        ("labelsTr/C_0.nii.gz", labels(values=(7,)), "found 7 too"),
    ],
)
def test_files_that_do_not_fit(file, array, named, folder):
    """Another number of channels in one case, another shape, an unknown label: the file is named."""
    write_volume(folder / file, array)
    with pytest.raises(UserError) as caught:
        decathlon.load(decathlon.find(folder)[0], task=plain(decathlon.task(folder)))
    assert str(caught.value).startswith(str(folder / file)) and named in str(caught.value)


def test_another_number_of_cases_is_only_a_remark(folder):
    """numTraining is what nobody reads."""
    change(folder, numTraining=12)
    with notices.gathered() as noticed:
        assert len(decathlon.find(folder)) == 4
    assert "numTraining is 12, and 3 cases are listed" in noticed.lines()[0]


def test_new_patients(folder, tmp_path):
    """Every image of a folder or one file; a folder with a file for each channel too; nothing there is an error."""
    task = decathlon.task(folder)
    assert [source.name for source in decathlon.find_new(folder / "imagesTs", task=task)] == ["C_3"]
    assert decathlon.find_one(folder / "imagesTs" / "C_3.nii.gz", task=task).name == "C_3"
    numbered = own_folders.nnunet(tmp_path / "other", channels=("a", "b"))
    (source,) = decathlon.find_new(numbered / "imagesTs", task=task)
    assert len(source.files) == 2 and decathlon.load(source, task=plain(task)).image.shape == (*SHAPE, 2)
    for path in (folder, folder / "nothing"):
        with pytest.raises(UserError, match=r"expected images that end in \.nii\.gz or \.nii, found none"):
            decathlon.find_new(path, task=task)


def test_folds(folder):
    """splits_final.json serves here too; its names are those of the listed cases."""
    assert decathlon.folds(folder) is None
    write_json(folder / "splits_final.json", [{"train": ["C_0", "C_1"], "val": ["C_2"]}])
    assert decathlon.folds(folder) == ({"train": ("C_0", "C_1"), "valid": ("C_2",)},)
