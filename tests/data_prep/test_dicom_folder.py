"""New patients in DICOM: which series is which channel is found by exact names or said by the user, and never guessed."""

import os
import shutil

import dicom_files as made_up
import msgspec
import nibabel
import numpy as np
import pytest

from data_prep import tasks
from data_prep.base import notices
from data_prep.base.errors import Faults, UserError
from data_prep.readers import brats, cases, dicom_folder, dicom_series, finding, nifti, nnunet, own_volumes

BRATS = tasks.TASKS["brats"]
ONE = msgspec.structs.replace(
    BRATS, name="organs", channels=(tasks.Channel("CT", "ct"),), reader="data_prep.readers.nnunet"
)
CHANNELS = [channel.name for channel in BRATS.channels]


def of_channels(folder, names=CHANNELS, number="P1", described=False, study="study"):
    """A patient with a series for each channel, each in a folder; described: all in one, told apart by their descriptions."""
    for index, name in enumerate(names):
        into = folder if described else folder / name
        files = made_up.series(
            into if not described else into / "x", number=number, series=name, series_number=index + 2, modality="MR",
            description=name if described else "AX", study=study, sop=made_up.MR,
        )  # fmt: skip
        if described:
            for file in files.iterdir():
                file.rename(into / f"{name}-{file.stem}")
            files.rmdir()
    return folder


def found(path, task=BRATS, modalities=None):
    """{name: [the folder's name of each channel]}, and what was remarked."""
    with notices.gathered() as noticed:
        listed, faults = finding.new(task.load_reader(), path, modalities, task)
    assert not faults
    return {one.name: [os.path.basename(folder) for folder in one.files] for one in listed}, noticed.lines()


@pytest.mark.parametrize("names", [CHANNELS, ["FLAIR", "T1", "T2", "T1CE"], ["t2f", "t1n", "t2w", "t1c"]])
def test_folders_called_as_channels(tmp_path, names):
    """In the task's order, whatever their case."""
    of_channels(tmp_path / "P1", names)
    assert found(tmp_path / "P1") == ({"P1": names}, [])


def test_series_described_as_channels(tmp_path):
    """All images in one folder, without endings; each channel has the files of its own series."""
    of_channels(tmp_path / "P1", described=True)
    (source,), _ = finding.new(brats, tmp_path / "P1", None, BRATS)
    for channel, files in zip(CHANNELS, source.series, strict=True):
        assert len(files) == 5 and all(os.path.basename(file).startswith(f"{channel}-") for file in files)
    assert len(source.paths) == 20


def test_the_only_series_is_the_channel_of_one(tmp_path):
    """In a study's folder too, whatever it is called; a localizer and a report are left out and said."""
    study = tmp_path / "P1"
    made_up.series(study / "some" / "where")
    localizer = dict(series="l", description="Scout", series_number=1)

    def scout(index, image):
        image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    made_up.series(study / "scout", change=scout, **localizer)
    (study / "notes.txt").write_text("nothing")
    shutil.copy(next((study / "scout").iterdir()), study / "DICOMDIR")  # which is a table of contents, and no image
    assert found(study, ONE)[0] == {"P1": ["where"]}
    assert found(study / "DICOMDIR", ONE)[0] == {"P1": ["where"]}
    assert "not used: 1 'Scout' in scout (5 images), localizer" in found(study, ONE)[1][0]


def test_several_series_are_listed(tmp_path):
    """With how one of them is chosen: by folder, number or description."""
    made_up.series(tmp_path / "P1" / "a", series="a", description="Thorax 1.0", series_number=3)
    made_up.series(
        tmp_path / "P1" / "b", made_up.stored(shape=(3, 8, 8)), series="b", description="Abdomen", series_number=4
    )
    with pytest.raises(UserError) as caught:
        found(tmp_path / "P1", ONE)
    listed = "found 2: 3 'Thorax 1.0' in a (5 images); 4 'Abdomen' in b (3 images); give --modalities=CT=SERIES"
    assert listed in str(caught.value)
    for asked in ("b", "4", "abdomen", made_up.uid(made_up.ID, "study", "b"), str(tmp_path / "P1" / "b")):
        assert found(tmp_path / "P1", ONE, {"CT": asked})[0] == {"P1": ["b"]}
    for asked, match in (("c", "found none; there are 3 'Thorax"), (".", "found 2: 3 'Thorax")):
        with pytest.raises(UserError, match=f"--modalities=CT={asked}.*{match}"):
            found(tmp_path / "P1", ONE, {"CT": asked})


def test_a_name_that_is_not_the_channels_is_not_guessed(tmp_path):
    """`T1 post` may be t1 or t1ce."""
    of_channels(tmp_path / "P1", ["flair", "T1 post", "t2", "t1ce"])
    with pytest.raises(UserError, match=r"one series for each of flair, t1, t2, t1ce.*found 0 for t1"):
        found(tmp_path / "P1")
    given = dict(zip(CHANNELS, ("flair", "T1 post", "t2", "t1ce"), strict=True))
    assert found(tmp_path / "P1", modalities=given)[0] == {"P1": list(given.values())}
    for wrong, match in (
        ({"t1": "t2"}, "found none for flair, t2, t1ce"),
        ({**given, "pd": "t2"}, "found pd too"),
        ({**given, "t1": "t2"}, "found one twice"),
    ):
        with pytest.raises(UserError, match=match):
            found(tmp_path / "P1", modalities=wrong)


def test_a_channel_twice(tmp_path):
    """Both are named."""
    of_channels(tmp_path / "P1")
    made_up.series(tmp_path / "P1" / "more", number="P1", series="again", description="T1", series_number=9)
    with pytest.raises(UserError, match=r"found 2 for t1: .*9 'T1' in more \(5 images\)"):
        found(tmp_path / "P1")


def test_channels_of_two_studies(tmp_path):
    """Are refused unless the user names them."""
    of_channels(tmp_path / "P1", CHANNELS[:3])
    of_channels(tmp_path / "P1", CHANNELS[3:], study="later")
    with pytest.raises(UserError, match="expected channels of one study"):
        found(tmp_path / "P1")
    assert found(tmp_path / "P1", modalities={name: name for name in CHANNELS})[0] == {"P1": CHANNELS}


def test_a_cohort_has_a_folder_for_each_patient(tmp_path):
    """One that is incomplete does not cost the others; patients in one folder are refused, unnamed."""
    for number in ("P1", "P2", "P3"):
        of_channels(tmp_path / "all" / number, CHANNELS if number != "P2" else CHANNELS[:2], number)
    with pytest.raises(Faults) as caught:
        dicom_folder.find_new(tmp_path / "all", None, BRATS)
    assert [one.name for one in caught.value.found] == ["P1", "P3"] and set(caught.value.faults) == {"P2"}
    made_up.series(tmp_path / "both" / "a", number="P1")
    for file in made_up.series(tmp_path / "b", number="P2", name="Roe^Richard").iterdir():
        shutil.move(file, tmp_path / "both" / "a" / f"other-{file.name}")
    with pytest.raises(UserError, match="expected one patient, found images of 2") as refused:
        found(tmp_path / "both", ONE)
    assert "Roe" not in str(refused.value)


def test_nifti_files_are_read_as_before(tmp_path):
    """A folder with volumes of another form is not DICOM's; maps of ours beside the images are no such volumes."""
    folder = made_up.series(tmp_path / "P1")
    (folder / "P1_prediction.nii.gz").write_bytes(b"")
    assert dicom_folder.is_dicom(folder, ONE)
    (folder / "P1_0000.nii.gz").write_bytes(b"")
    assert not dicom_folder.is_dicom(folder, ONE)
    assert not dicom_folder.is_dicom(tmp_path, tasks.TASKS["isic"])


def test_one_file(tmp_path):
    """A multi-frame file is a patient, called after it; a report is none."""
    file = made_up.enhanced(tmp_path / "knee.dcm")
    assert list(found(file, ONE)[0]) == ["knee"]
    report = made_up.patient(modality="SR")
    report.SOPInstanceUID = "1.2.3"
    made_up.save(tmp_path / "report" / "a", report, "1.2.840.10008.5.1.4.1.1.88.11")
    with pytest.raises(UserError, match=r"a series of slices, found 3 'Thorax 1\.0' in report \(1 image\), SR"):
        found(tmp_path / "report", ONE)


def test_limits(tmp_path, monkeypatch):
    """More files than a cohort has are not looked through."""
    made_up.series(tmp_path / "P1")
    monkeypatch.setattr(dicom_folder, "MOST_FILES", 4)
    with pytest.raises(UserError, match="at most 4 files, found 5"):
        found(tmp_path / "P1", ONE)


def test_readers_take_a_series_for_a_file(tmp_path):
    """The same subject as of a NIfTI file of the same values and place."""
    folder = made_up.series(tmp_path / "P1", directions=made_up.OBLIQUE, backwards=True)
    (source,), _ = finding.new(nnunet, folder, None, ONE)
    header = dicom_series.header(source.series[0])
    image = nibabel.Nifti1Image(nifti.read_array(header).T.astype(np.int16), header.affine)
    nibabel.save(image, tmp_path / "P1.nii.gz")
    ours, theirs = (own_volumes.read(one, 1) for one in (source, cases.Source("P1", (str(tmp_path / "P1.nii.gz"),))))
    np.testing.assert_array_equal(ours.channels[0], theirs.channels[0])
    assert ours.channels[0].dtype == theirs.channels[0].dtype == np.int16
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-5)
