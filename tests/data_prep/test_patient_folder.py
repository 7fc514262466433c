"""A new patient's folder as it is kept at work: what belongs together is found, the rest left out and said."""

import numpy as np
import pytest

from data_prep.base import notices
from data_prep.base.errors import Faults, UserError
from data_prep.readers import brats, nifti

MODALITIES = ("flair", "t1", "t2", "t1ce")


def fill(folder, *files):
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).write_bytes(b"")
    return folder


def names(source):
    return [path.rsplit("/", 1)[1] for path in source.files]


def usual(name="P1", ending=".nii.gz"):
    return [f"{name}_{modality}{ending}" for modality in MODALITIES]


@pytest.mark.parametrize(
    "files",
    [
        ["flair.nii.gz", "t1.nii.gz", "t2.nii.gz", "t1ce.nii.gz"],
        ["FLAIR.nii", "T1.nii", "T2.nii", "T1ce.nii"],
        ["t2f.nii.gz", "t1n.nii.gz", "t2w.nii.gz", "t1c.nii.gz"],
    ],
)
def test_modalities_alone_are_the_folders_patient(tmp_path, files):
    """In the reader's order, whatever the names' case."""
    source = brats.find_one(fill(tmp_path / "P1", *files))
    assert source.name == "P1" and names(source) == files


def test_derived_files_and_labels_are_left_out_and_said(tmp_path):
    """`P1_n4_t1` is another set than `P1`, and not whole; a registered series lies in a folder of its own."""
    folder = fill(tmp_path / "P1", *usual(), "P1_n4_t1.nii.gz", "P1_seg.nii.gz", "notes.txt", "P1_adc.nii.gz")
    fill(folder / "reg", "T1_to_atlas.nii.gz", "P1_t1.nii.gz")
    with notices.gathered() as noticed:
        source = brats.find_one(folder)
    assert names(source) == usual() and source.seg is None
    (line,) = noticed.lines()
    assert "not used: P1_adc.nii.gz, P1_n4_t1.nii.gz, T1_to_atlas.nii.gz and 1 more" in line


@pytest.mark.parametrize("below", ["", "maps"])
def test_maps_of_an_earlier_prediction_are_not_in_the_way(tmp_path, below):
    """Neither in the patient's folder nor below it, of a new patient nor of raw data that are prepared."""
    folder = fill(tmp_path / "raw" / "P1", *usual())
    header = None
    for kind in ("prediction", "probability", "uncertainty"):
        (folder / below).mkdir(exist_ok=True)
        nifti.write_map(folder / below / f"P1_{kind}.nii.gz", np.zeros((3, 4), np.float32), header)
    assert names(brats.find_one(folder)) == usual()
    assert [source.name for source in brats.find(tmp_path / "raw")] == ["P1"]


def test_modalities_are_named_by_hand(tmp_path):
    """Any names; what is wrong with them is said."""
    folder = fill(tmp_path / "P1", "a.nii.gz", "b.nii.gz", "c.nii.gz", "d.nii.gz")
    given = dict(zip(MODALITIES, ("d.nii.gz", "c.nii.gz", "b.nii.gz", "a.nii.gz"), strict=True))
    source = brats.find_one(folder, given)
    assert source.name == "P1" and names(source) == list(given.values())
    for wrong, match in (
        ({**given, "t1": "x.nii.gz"}, r"x\.nii\.gz: expected the t1 image of --modalities, found no such file"),
        ({"t1": "a.nii.gz"}, "found none for flair, t2, t1ce"),
        ({**given, "pd": "a.nii.gz"}, "found pd too"),
        ({**given, "t1": "d.nii.gz"}, "found one file twice"),
    ):
        with pytest.raises(UserError, match=match):
            brats.find_one(folder, wrong)


def test_an_incomplete_patient_is_a_fault_beside_whole_ones(tmp_path):
    """The cohort's others are found."""
    fill(tmp_path / "P1", *usual("P1"))
    fill(tmp_path / "P2", *usual("P2")[:3])
    fill(tmp_path / "P3", *usual("P3"), "P3_t1.nii")
    with pytest.raises(Faults, match="t1ce missing: add it, or give --modalities=flair=FILE,t1=FILE") as caught:
        brats.find_new(tmp_path)
    assert [source.name for source in caught.value.found] == ["P1"] and set(caught.value.faults) == {"P2", "P3"}
    assert "P3_t1.nii and P3_t1.nii.gz" in str(caught.value.faults["P3"])


def test_nothing_to_predict_is_refused(tmp_path):
    """A folder of other files, and an empty one."""
    with pytest.raises(UserError, match=r"found scan\.nii\.gz; give --modalities=flair=FILE,t1=FILE"):
        brats.find_new(fill(tmp_path / "others", "scan.nii.gz"))
    with pytest.raises(UserError, match="no file"):
        brats.find_new(fill(tmp_path / "empty"))
