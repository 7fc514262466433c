"""From DICOM to maps and back: the maps of the same patient in NIfTI, and a Segmentation object that lies where they lie."""

import shutil
import sys

import dicom_files as made_up
import msgspec
import nibabel
import numpy as np
import pydicom
import pytest

import tfunc
from data_prep import tasks
from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.readers import cases, dicom_series, nnunet
from tfunc import methods
from tfunc.maps import dicom_codes, dicom_seg, unprepared
from tfunc.maps.options import Options

highdicom = pytest.importorskip("highdicom")
BASELINE = methods.get("baseline")
TASK = msgspec.structs.replace(
    tasks.TASKS["brats"], name="organs", reader=nnunet.__name__, inside=None, show=("CT",), trained="all",
    channels=(tasks.Channel("CT", "none"),), classes=tuple(
        tasks.Class(*one) for one in (("background", (0,)), ("liver", (3,)), ("strange thing", (7,)))
    ),
)  # fmt: skip
MADE_WITH = {"method": "baseline", "networks": {"baseline": "0" * 64}, "source": "/of/jane"}


def labels(shape=made_up.SHAPE):
    """Classes 3 and 7 in some slices; the first and last are empty."""
    array = np.zeros(shape, np.uint8)
    array[1:4, 2:7, 3:5], array[2, 8:, 6:] = 3, 7
    return array


def of_patient(raw, folder, number="P1"):
    """A phantom patient as DICOM: a series for each channel, on the same places."""
    for index, channel in enumerate(("flair", "t1", "t2", "t1ce")):
        image = nibabel.load(next(raw.glob(f"*_{channel}.nii.gz")))
        assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
        array = np.asarray(image.dataobj).T.astype(np.int16)
        lps = np.diag([-1, -1, 1, 1]) @ image.affine
        width, height, depth = np.linalg.norm(lps[:3, :3], axis=0)
        directions, spacing = (lps[:3, 0] / width, lps[:3, 1] / height), (height, width, depth)

        def moved(at, made, lps=lps):
            made.ImagePositionPatient = (lps @ [0, 0, at, 1])[:3].tolist()

        made_up.series(
            folder / channel, array, directions, spacing, None, backwards=bool(index % 2), sop=made_up.MR, change=moved,
            modality="MR", series=channel, description=f"{channel} ax", series_number=index + 1, number=number,
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def raw(brats_raw):
    """The folder of one phantom patient."""
    return sorted(path for path in brats_raw.glob("*/*") if path.is_dir())[0]


@pytest.fixture(scope="module")
def patient(raw, made_once):
    """The same patient's folder in DICOM, under the same name. Only to be read."""

    def make(folder):
        of_patient(raw, folder / raw.name)

    return made_once("dicom_patient", make) / raw.name


def predicted(path, run, out, **options):
    """(names of those written now, lines)."""
    lines = []
    found = unprepared.predict_inputs(BASELINE, "brats", path, run, out, Options(**options), say=lines.append)
    return [subject.name for subject, maps in found if maps is not None], lines


@pytest.fixture(scope="module")
def maps(raw, patient, brats_run, made_once):
    """Maps of the patient's NIfTI files and of the DICOM series, of which a segmentation too."""

    def make(folder):
        predicted(raw, brats_run, folder / "nifti")
        predicted(patient, brats_run, folder / "dicom", dicom_seg=True)

    return made_once("dicom_maps", make)


def test_dicom_and_nifti_give_the_same_maps(maps, raw):
    """To the bit, at the same place."""
    for kind in ("prediction", "probability", "uncertainty"):
        ours, same = (nibabel.load(maps / form / f"{raw.name}_{kind}.nii.gz") for form in ("dicom", "nifti"))
        np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(same.dataobj))
        np.testing.assert_allclose(ours.affine, same.affine, atol=1e-5)


def test_nothing_but_the_segmentation_names_the_patient(maps, patient):
    """No map, no document; the segmentation does, with the study's own UIDs."""
    there = sorted((maps / "dicom").iterdir())
    for path in there:
        content = nibabel.load(path).header.binaryblock if path.name.endswith(".nii.gz") else path.read_bytes()
        named = [word for word in (b"Doe", b"Jane", b"19700101", made_up.NAME.encode()) if word in content]
        assert bool(named) == path.name.endswith(".dcm"), path.name
    found = pydicom.dcmread(maps / "dicom" / f"{patient.name}_prediction.dcm")
    image = pydicom.dcmread(next((patient / "flair").iterdir()))
    for entry in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert found[entry].value == image[entry].value
    assert found.SeriesInstanceUID != image.SeriesInstanceUID


@pytest.mark.long
def test_the_same_again_is_not_written_again(maps, patient, brats_run, tmp_path):
    """Nor where a segmentation was not asked for before: then it is added; removed, it has the same UIDs again."""
    out = shutil.copytree(maps / "dicom", tmp_path / "out")
    assert predicted(patient, brats_run, out, dicom_seg=True)[0] == []
    file = dicom_seg.path(out, patient.name)
    before = pydicom.dcmread(file)
    file.unlink()
    assert predicted(patient, brats_run, out)[0] == []
    assert predicted(patient, brats_run, out, dicom_seg=True)[0] == [patient.name]
    after = pydicom.dcmread(file)
    for image in (before, after):
        for entry in ("InstanceCreationDate", "InstanceCreationTime", "ContentDate", "ContentTime"):
            del image[entry]
        del image.ContributingEquipmentSequence[-1].ContributionDateTime
    assert str(before) == str(after) and before.PixelData == after.PixelData


@pytest.mark.long
def test_a_changed_image_is_predicted_again(maps, patient, brats_run, tmp_path):
    """Of all files of all series it is known what they were."""
    mine, out = shutil.copytree(patient, tmp_path / patient.name), tmp_path / "out"
    predicted(mine, brats_run, out)
    stamps = artefacts.read_json(out / f"{patient.name}.json")["files"]
    assert len(stamps) == 4 * 16
    file = sorted((mine / "t2").iterdir())[3]
    image = pydicom.dcmread(file)
    image.PixelData = bytes(len(image.PixelData))
    image.save_as(file)
    found, lines = predicted(mine, brats_run, out)
    assert found == [patient.name] and f"{file.name} is another file" in lines[-1]


@pytest.mark.long
def test_python_takes_the_folder(maps, raw, patient, brats_run, tmp_path):
    """`Model.predict` reads it as the program does; what it saves is the same object to an archive."""
    found = tfunc.load(brats_run, "baseline").predict(patient)
    saved = found.save(tmp_path, dicom_seg=True)[-1]
    (same,) = (maps / "dicom").glob("*.dcm")
    assert saved.name == same.name and pydicom.dcmread(saved).SOPInstanceUID == pydicom.dcmread(same).SOPInstanceUID
    other = tfunc.load(brats_run, "baseline").predict(raw)
    with pytest.raises(UserError, match="images in DICOM"):
        other.save(tmp_path / "other", dicom_seg=True)
    assert not (tmp_path / "other").exists()
    written = nibabel.load(maps / "dicom" / f"{patient.name}_probability.nii.gz")
    np.testing.assert_array_equal(found.probability.T, np.asarray(written.dataobj))
    np.testing.assert_allclose(found.affine, written.affine)
    channels = ("flair", "t1", "t2", "t1ce")
    numbers = {name: int(pydicom.dcmread(next((patient / name).iterdir())).SeriesNumber) for name in channels}
    asked = {**numbers, "t1": numbers["t2"], "t2": numbers["t1"]}  # by number, against what their folders say
    swapped = tfunc.load(brats_run, "baseline").predict(patient, modalities=asked)
    assert not np.array_equal(swapped.probability, found.probability)


def test_the_program_takes_and_gives_dicom(launch, patient, brats_run, tmp_path):
    """A localizer beside the channels is said; of a patient without a slice the series is named, with exit code 2."""
    mine = shutil.copytree(patient, tmp_path / patient.name)
    asked = ["--method=baseline", "--dataset=brats", f"--run_dir={brats_run}", f"--input={mine}", "--dicom_seg"]
    ended = launch("predict", *asked, f"--out_dir={tmp_path / 'out'}")
    assert ended.code == 0, ended.err
    assert "foreground voxels" in ended.out and dicom_seg.path(tmp_path / "out", patient.name).exists()
    sorted((mine / "t1").iterdir())[5].unlink()
    ended = launch("predict", *asked, f"--out_dir={tmp_path / 'other'}")
    assert ended.code == 2 and "1 slice missing" in ended.err and "series 2 't1 ax'" in ended.err
    assert ended.err.count("\n") == 1 and not (tmp_path / "other").exists()


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    """Before anything is predicted."""
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(UserError, match=r"--dicom_seg: expected the package highdicom.*pip install 'tfunc\[dicom\]'"):
        dicom_seg.package()


def test_the_flag_needs_new_patients(launch):
    """Splits come from records, which keep no series."""
    ended = launch("predict", "--method=baseline", "--dataset=brats", "--dicom_seg")
    assert ended.code == 2 and "--dicom_seg: expected --input of DICOM series beside it" in ended.err


def test_a_segmentation_of_other_files_is_refused(raw, brats_run, tmp_path):
    """Before the networks are at work."""
    with pytest.raises(UserError, match=r"expected images in DICOM.*leave --dicom_seg out"):
        predicted(raw, brats_run, tmp_path, dicom_seg=True)


def written(folder, files, prediction=None, task=TASK, **more):
    prediction = labels() if prediction is None else prediction
    return dicom_seg.write(folder, "a", prediction, task, sorted(map(str, files)), {**MADE_WITH, **more})


KINDS = {"axial": (made_up.AXIAL, False), "sagittal": (made_up.SAGITTAL, True), "oblique": (made_up.OBLIQUE, True)}


@pytest.mark.parametrize("form", ["single", "multi"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_voxels_lie_where_the_map_lies(tmp_path, kind, form):
    """Each voxel's place in the patient, by highdicom; each frame refers to the image that it lies on."""
    directions, backwards = KINDS[kind]
    if form == "single":
        files = list(made_up.series(tmp_path / "a", directions=directions, backwards=backwards).iterdir())
    else:
        files = [made_up.enhanced(tmp_path / "a" / "a.dcm", directions=directions, order=[2, 0, 1, 4, 3])]
    affine = dicom_series.grid([dicom_series.dicom_file.facts(file) for file in files]).affine
    file = written(tmp_path, files)
    found = highdicom.seg.segread(file)
    volume = found.get_volume(combine_segments=True)
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    ours = {tuple(np.rint(1e3 * (affine @ [x, y, z, 1])[:3]).astype(int)): {3: 1, 7: 2}[int(labels()[z, y, x])]
            for z, y, x in np.argwhere(labels())}  # fmt: skip
    theirs = {tuple(np.rint(1e3 * (ras @ [*at, 1])[:3]).astype(int)): int(volume.array[tuple(at)])
              for at in np.argwhere(volume.array)}  # fmt: skip
    assert ours == theirs
    referred = {str(one[2]) for one in found.get_source_image_uids()}
    assert referred == {str(pydicom.dcmread(one).SOPInstanceUID) for one in files}


def test_simpleitk_opens_it(tmp_path):
    """Frames, size, and each frame's place; segments one after the other."""
    sitk = pytest.importorskip("SimpleITK")
    file = written(tmp_path, made_up.series(tmp_path / "a").iterdir())
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
    np.testing.assert_array_equal(image != 0, np.concatenate([labels()[1:4] == 3, labels()[2:3] == 7]))


def test_what_the_object_says(tmp_path):
    """Segments by class with codes, who made it and how, and no word of where the images lay."""
    found = pydicom.dcmread(written(tmp_path, made_up.series(tmp_path / "a").iterdir()))
    said = [
        (one.SegmentLabel, one.SegmentedPropertyTypeCodeSequence[0].CodeValue, one.SegmentAlgorithmType)
        for one in found.SegmentSequence
    ]
    assert said == [("liver", "10200004", "AUTOMATIC"), ("strange thing", "85756007", "AUTOMATIC")]
    algorithm = found.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("tfunc baseline", tfunc.__version__)
    assert (found.Modality, found.SegmentationType, found.Manufacturer) == ("SEG", "BINARY", "tfunc")
    assert b"jane" not in (tmp_path / "a_prediction.dcm").read_bytes()


def test_uids_follow_from_the_content(tmp_path):
    """The same again has the same; another segmentation, method or image has others."""
    files = list(made_up.series(tmp_path / "a").iterdir())

    def uids(**more):
        found = pydicom.dcmread(written(tmp_path / "out", **{"files": files, **more}))
        return found.SOPInstanceUID, found.SeriesInstanceUID

    first = uids()
    assert uids(source="/elsewhere") == first and all(one.startswith("2.25.") and one.is_valid for one in first)
    others = list(made_up.series(tmp_path / "b", series="other").iterdir())
    for changed in ({"prediction": np.flip(labels(), 1)}, {"method": "ensemble"}, {"files": others}):
        assert not set(uids(**changed)) & set(first)


def test_nothing_segmented_is_an_object_too(tmp_path):
    """Every frame of it is empty."""
    found = highdicom.seg.segread(
        written(tmp_path, made_up.series(tmp_path / "a").iterdir(), np.zeros(made_up.SHAPE, np.uint8))
    )
    assert not found.pixel_array.any() and found.number_of_segments == 2


def test_images_that_cannot_be_referred_to(tmp_path):
    """One line: an entry that every image must have, and a series that is another by now."""
    folder = made_up.series(tmp_path / "a")
    with pytest.raises(UserError, match="expected the series of 8x8x3 voxels that was predicted, found 10x12x5"):
        written(tmp_path, folder.iterdir(), np.zeros((3, 8, 8), np.uint8))
    for file in folder.iterdir():
        image = pydicom.dcmread(file)
        del image.FrameOfReferenceUID
        image.save_as(file)
    with pytest.raises(UserError, match=r"images that a segmentation can refer to.*leave --dicom_seg out"):
        written(tmp_path, folder.iterdir())
    assert not list(tmp_path.glob("*.dcm"))


def test_codes_are_those_of_the_standard():
    """Each is in the dictionaries that pydicom makes of the standard, under the same meaning."""
    from pydicom.sr.codedict import codes

    known = {}
    for scheme in (codes.SCT, codes.NCIt, codes.cid7150):
        for code in (getattr(scheme, name) for name in scheme.dir()):
            known.setdefault((code.value, code.scheme_designator), set()).add(code.meaning.casefold())
    used = {code for one in dicom_codes.KNOWN.values() for code in one} | set(dicom_codes.UNKNOWN)
    for code in used:
        assert code.meaning.casefold() in known[code.value, code.scheme], code
    for task in (tasks.TASKS["brats"], tasks.TASKS["brats_regions"], tasks.TASKS["isic"]):
        assert all(dicom_codes.of_class(one.name) != dicom_codes.UNKNOWN for one in task.classes[1:])


def test_sources_pickle():
    """A cohort's subjects are found in one process and may be read in another."""
    import pickle

    source = cases.Source("a", ("b",), series=(("c", "d"),))
    assert pickle.loads(pickle.dumps(source)) == source and source.paths == ("c", "d")
