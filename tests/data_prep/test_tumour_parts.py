"""BraTS by regions: which number is which part in which release, and what is refused because only the user knows."""

import json

import numpy as np
import pytest

from data_prep import convert, records, tasks
from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.phantom import write as phantom
from data_prep.readers import brats, tumour_parts

TASK = tasks.TASKS["brats_regions"]
RAW = np.array([0, 1, 2, 4, 2, 1], np.uint8)


def test_numbers_of_the_releases():
    """Enhancing tumour is 4 to 2021 and 3 from 2023 on; both mean the same class."""
    old = tumour_parts.classes(RAW, "BraTS2021_00006_seg.nii.gz", None, TASK)
    new = tumour_parts.classes(
        np.where(RAW == 4, 3, RAW).astype(np.uint8), "BraTS-GLI-00000-000-seg.nii.gz", None, TASK
    )
    np.testing.assert_array_equal(old, [0, 1, 2, 3, 2, 1])
    np.testing.assert_array_equal(new, old)


def test_maps_are_written_with_the_releases_numbers():
    assert TASK.values == (0, 1, 2, 4)
    assert tumour_parts.fitted(TASK, ["a/BraTS-GLI-00000-000-seg.nii.gz"]).values == (0, 1, 2, 3)
    assert tumour_parts.fitted(TASK, ["a/BraTS2021_00006_seg.nii.gz"]).values == (0, 1, 2, 4)


@pytest.mark.parametrize(
    ("file", "number", "line"),
    [
        ("BraTS-GLI-02500-100-seg.nii.gz", 4, "resection cavity"),  # of 2024
        ("BraTS-PED-00001-000-seg.nii.gz", 3, "--label_map=1:3,2:1,3:1,4:2"),
        ("BraTS-MEN-RT-0001-1_gtv.nii.gz", 1, "use --dataset=brats"),
    ],
)
def test_numbers_that_mean_other_parts_are_refused(file, number, line):
    """They would be learnt as something else: one line says what to type."""
    raw = np.array([0, 1, number], np.uint8)
    with pytest.raises(UserError, match=file) as refused:
        tumour_parts.classes(raw, file, None, TASK)
    assert line in str(refused.value)


def test_a_map_says_the_parts():
    """As the line above says to type it for BraTS-PED."""
    label_map = {1: 3, 2: 1, 3: 1, 4: 2}
    task = tasks.resolved(TASK, label_map=label_map)
    raw = np.array([0, 1, 2, 3, 4], np.uint8)
    found = tumour_parts.classes(raw, "BraTS-PED-00001-000-seg.nii.gz", label_map, task)
    np.testing.assert_array_equal(found, [0, 3, 1, 1, 2])
    assert task.values == (0, 2, 4, 1)


def test_the_same_raw_data_as_both_tasks(tmp_path):
    """Classes of the one, put together, are the whole tumour of the other; images are equal to the bit."""
    phantom.write("brats", tmp_path / "raw", subjects=4, shape=(16, 32, 32), seed=3)
    names = [phantom.subject_id("brats", index) for index in range(4)]
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": names[:2], "valid": names[2:3], "test": names[3:]}))
    read = {}
    for dataset in ("brats", "brats_regions"):
        folder = tmp_path / dataset
        manifest = convert.convert(dataset, tmp_path / "raw", folder, split_files=[str(split)], say=lambda line: None)
        read[dataset] = list(records.read_subjects(folder, manifest, names))
        assert artefacts.read_json(manifest.path)["schema_version"] == (1 if dataset == "brats" else 2)
        assert bool(manifest.subjects[0].voxels) == (dataset == "brats_regions")
    for whole, parts in zip(read["brats"], read["brats_regions"], strict=True):
        np.testing.assert_array_equal(whole.image, parts.image)
        np.testing.assert_array_equal(whole.label, parts.label > 0)
        np.testing.assert_array_equal(np.array([0, 1, 2, 4])[parts.label], parts.raw_label)


def test_a_class_that_nobody_trains_on_is_refused(tmp_path):
    """By name, since no network can learn it; a split that trains on it is what helps, or leaving it out."""
    phantom.write("brats", tmp_path / "raw", subjects=4, shape=(16, 32, 32), seed=3)
    (source, *_) = brats.find(tmp_path / "raw")
    with pytest.raises(UserError, match=r"expected each class in a training subject, found necrosis \(5\) in none"):
        convert.convert(
            "brats_regions",
            tmp_path / "raw",
            tmp_path / "data",
            {"label_map": {1: 2, 2: 2, 4: 3, 5: 1}},
            say=lambda line: None,
        )
    assert not (tmp_path / "data" / "dataset.json").exists() and source.labelled
    convert.convert("brats_regions", tmp_path / "raw", tmp_path / "data", say=lambda line: None)  # the folder is free
