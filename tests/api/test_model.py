"""A run from Python: the program's maps to the bit, of files and of arrays."""

import json
import os
import shutil
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from conftest import ROOT
from made_up_maps import serial

import tfunc
from data_prep.base.errors import NotReady, UserError
from data_prep.map_files import MAPS
from tfunc import methods
from tfunc.maps import predict, unprepared
from tfunc.maps.options import Options
from tfunc.scoring import recalibrate


@pytest.fixture(scope="module")
def patient(brats_raw):
    """The folder of a phantom patient."""
    return sorted(path for path in brats_raw.glob("*/*") if path.is_dir())[0]


def array_of(patient):
    """(image [depth, height, width, channels], affine) of a patient's files."""
    images = [nibabel.load(patient / f"{patient.name}_{name}.nii.gz") for name in ("flair", "t1", "t2", "t1ce")]
    return np.stack([np.asarray(image.dataobj).T for image in images], axis=-1), images[0].affine


def program(method, dataset, path, run, out, modalities=None, **more):
    """What `predict --input` writes: {map: array [depth, height, width]}, and its JSON."""
    found = unprepared.predict_inputs(
        methods.get(method), dataset, path, run, out, Options(**more), None, modalities, say=lambda line: None
    )
    ((subject, _),) = found
    maps = {name: np.asarray(nibabel.load(out / f"{subject.name}_{name}.nii.gz").dataobj).T for name in MAPS}
    return maps, json.loads((out / f"{subject.name}.json").read_text())


def same(maps, theirs):
    """Whether maps are those that the program wrote, to the bit."""
    return all(np.array_equal(np.squeeze(getattr(maps, name)), theirs[name]) for name in MAPS)


@pytest.mark.long
def test_a_path_gives_the_programs_maps(patient, brats_run, tmp_path):
    """With MC dropout: equal samples, scores, volumes with the spread of the samples; saved they are its files."""
    theirs, document = program("baseline_mc", "brats", patient, brats_run, tmp_path / "theirs", samples=3)
    model = tfunc.load(brats_run, method="baseline_mc")
    maps = model.predict(patient, samples=3)
    assert same(maps, theirs) and maps.name == patient.name and maps.scores == document["scores"]
    assert all(maps.patient[name] == document[name] for name in maps.patient)
    assert 0 <= maps.mutual_information.min() < maps.mutual_information.max() <= 1
    voxel = abs(np.linalg.det(maps.affine[:3, :3])) / 1000
    assert maps.volume_ml["whole"] == pytest.approx((maps.prediction != 0).sum() * voxel)
    low, high = maps.volume_interval["whole"]
    assert 0 <= low <= high and f"{maps.volume_ml['whole']:.4g} ml ({low:.4g} to {high:.4g})" in repr(maps)
    paths = maps.save(tmp_path / "ours")
    assert {path.name for path in paths} == {f"{patient.name}_{name}.nii.gz" for name in (*MAPS, "mutual_information")}
    for name in MAPS:
        ours = tmp_path / "ours" / f"{patient.name}_{name}.nii.gz"
        assert ours.read_bytes() == (tmp_path / "theirs" / ours.name).read_bytes()


def test_an_array_gives_the_maps_of_its_file(patient, brats_run):
    """With the file's affine, or with none where it lies as the records do; another name or seed draws other samples."""
    model = tfunc.load(brats_run, method="baseline_mc")
    image, affine = array_of(patient)
    expected = model.predict(patient, samples=2)
    for more in ({"affine": affine}, {"spacing": (1, 1, 1)}, {}):
        maps = model.predict(image, samples=2, name=patient.name, **more)
        assert same(maps, {name: getattr(expected, name) for name in MAPS})
    for other in ({"name": "another"}, {"name": patient.name, "seed": 21}):
        assert not np.array_equal(model.predict(image, samples=2, **other).probability, expected.probability)
    mirrored = affine @ np.diag([-1, 1, 1, 1])  # another order of the voxels, and its image: the maps lie as it does
    turned = model.predict(image[:, :, ::-1], samples=2, name=patient.name, affine=mirrored)
    np.testing.assert_array_equal(turned.probability[:, :, ::-1], expected.probability)


def test_several_paths_give_a_list(brats_raw, brats_run):
    """In their order, each as it is alone."""
    paths = sorted(path for path in brats_raw.glob("*/*") if path.is_dir())[:2]
    model = tfunc.load(brats_run)
    found = model.predict([str(path) for path in paths])
    assert [maps.name for maps in found] == [path.name for path in paths]
    assert np.array_equal(found[1].probability, model.predict(paths[1]).probability)
    assert found[0].mutual_information is None and found[0].volume_interval is None


@pytest.mark.long
def test_files_whose_names_do_not_tell(patient, brats_run, tmp_path):
    """Named by channel, also as paths and of a list: the program's maps; the program's words where they are wrong."""
    folder = tmp_path / "patients" / patient.name
    files = {channel: f"{number}.nii.gz" for number, channel in enumerate(("t1ce", "flair", "t2", "t1"))}
    folder.mkdir(parents=True)
    for channel, file in files.items():
        shutil.copy(patient / f"{patient.name}_{channel}.nii.gz", folder / file)
    theirs, _ = program("baseline", "brats", folder, brats_run, tmp_path / "theirs", modalities=files)
    model = tfunc.load(brats_run)
    with pytest.raises(UserError):
        model.predict(folder)
    assert same(model.predict(folder, modalities=files), theirs)
    absolute = {channel: folder / file for channel, file in files.items()}
    entries = {channel: next(one for one in os.scandir(folder) if one.name == name) for channel, name in files.items()}
    assert same(model.predict(folder, modalities=entries), theirs)
    (found,) = model.predict([folder], modalities=absolute)
    assert same(found, theirs)
    swapped = model.predict(folder, modalities={**files, "t1": files["t2"], "t2": files["t1"]})
    assert not np.array_equal(swapped.probability, found.probability)
    for wrong in (
        {"t1": "3.nii.gz"},
        {**files, "pet": "4.nii.gz"},
        {**files, "t1": "4.nii.gz"},
        {**files, "t1": files["t2"]},
    ):
        with pytest.raises(UserError) as ours:
            model.predict(folder, modalities=wrong)
        with pytest.raises(UserError) as said:
            program("baseline", "brats", folder, brats_run, tmp_path / "wrong", modalities=wrong)
        assert str(ours.value) == str(said.value).replace("--modalities", "modalities")


def test_modalities_of_another_form(patient, brats_run):
    """One line for what is no channel with its file, and beside an array, whose channels have their order."""
    model = tfunc.load(brats_run)
    for wrong in ("t1=a.nii.gz", ["t1"], {"t1": None}, {"t1": ""}, {"t1": True}, {1: "a"}):
        with pytest.raises(UserError, match="modalities: expected each channel with its file, as"):
            model.predict(patient, modalities=wrong)
    with pytest.raises(UserError, match="modalities: expected none with an array"):
        model.predict(array_of(patient)[0], modalities={"t1": "a.nii.gz"})


def test_a_photograph(isic_data, isic_run, tmp_path):
    """A path or its pixels: the program's maps, at its own size those of --full_size."""
    (path, *_) = sorted(isic_data.parent.glob("raw/*Data/*.jpg"))
    theirs, _ = program("baseline", "isic", path, isic_run, tmp_path, full_size=True)
    model = tfunc.load(isic_run)
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    for found in (model.predict(path), model.predict(pixels)):
        assert same(found, theirs) and found.affine is None and found.volume_ml == {}
    for name, values in found.own_size().items():
        with Image.open(next(tmp_path.glob(f"*_{name}.png"))) as image:
            written = np.asarray(image).astype(np.float64)
        limit, own = (0, 255 * (values != 0)) if name == "prediction" else (0.51, values.astype(np.float64) * 65535)
        assert (
            written.shape == values.shape == pixels.shape[:2] and np.abs(written - own).max() <= limit
        )  # float32 rounds


def test_recalibrated(patient, brats_data, brats_run, tmp_path):
    """At the temperature, with its intervals, and of as many samples as it was fitted on: the program's maps."""
    run, method = shutil.copytree(brats_run, tmp_path / "run"), methods.get("baseline_mc")
    predict.predict_split(method, "brats", brats_data, run, "valid", Options(samples=3), say=lambda line: None)
    recalibrate.recalibrate(run, brats_data, "brats", "baseline_mc", serial, say=lambda line: None)
    more = {"samples": 3, "recalibrated": True}
    theirs, document = program("baseline_mc", "brats", patient, run, tmp_path / "theirs", **more)
    model = tfunc.load(run, "baseline_mc", recalibrated=True)
    for maps in (model.predict(patient), model.predict(patient, samples=3)):
        assert same(maps, theirs) and maps.mutual_information is None and maps.scores == document["scores"]
    volume = document["volumes"]["whole"]
    assert maps.volume_ml["whole"] == volume["volume"] and maps.volume_interval["whole"] == (
        volume["low"],
        volume["high"],
    )
    with pytest.raises(UserError, match="samples: expected 3, as the recalibration was fitted on, found 4"):
        model.predict(patient, samples=4)


def test_sigma_has_no_scores(patient, brats_run):
    """It is scaled over a set; the map is what the program writes."""
    maps = tfunc.load(brats_run, method="aleatoric").predict(patient)
    assert maps.scores is None and maps.uncertainty.min() >= 0


def test_pictures(patient, brats_run):
    """Three panels of the slice with most of the segmentation, or of the one that is asked for; in Jupyter with the volume."""
    maps = tfunc.load(brats_run).predict(patient)
    figure = maps.plot(slice=-1)
    assert [axes.get_title() for axes in figure.axes[:3]] == [
        f"{patient.name}, slice 15",
        "predictive entropy",
        "foreground probability",
    ]
    assert "data:image/png;base64," in maps._repr_html_() and " ml" in maps._repr_html_()
    with pytest.raises(UserError, match=r"slice=16: expected 0 to 15"):
        maps.plot(slice=16)


@pytest.mark.parametrize(
    ("image", "more", "words"),
    [
        (
            np.zeros((4, 32, 32, 3), np.int16),
            {},
            "image: expected .depth, height, width, 4., channels flair, t1, t2, t1ce",
        ),
        (np.full((4, 32, 32, 4), np.nan), {}, "expected finite voxels"),
        (np.zeros((4, 32, 32, 4), np.int16), {}, "expected voxels that vary"),
        (np.zeros((4, 32, 32, 4), object), {}, "expected an array of numbers"),
        (np.zeros((4, 32, 32, 4)), {"spacing": (1, 1, 1), "affine": np.eye(4)}, "expected an affine or a spacing"),
        (np.zeros((4, 32, 32, 4)), {"spacing": (1, 0, 1)}, "spacing: expected mm"),
        (np.zeros((4, 32, 32, 4)), {"affine": np.zeros((4, 4))}, "affine: expected an invertible affine"),
        (np.zeros((4, 32, 32, 4)), {"affine": "x"}, "affine: expected numbers"),
        (np.zeros((4, 32, 32, 4)), {"affine": np.diag([1, 1, 1, 2])}, "its last row 0 0 0 1"),
        ([[1, 2], [3]], {}, "image: expected an array of numbers"),
        (np.zeros((4, 32, 32, 4)), {"seed": 2**40}, "^seed=1099511627776: expected 0 or more"),
        ("nowhere", {}, "nowhere: expected a subject's folder"),
        (".", {"name": "x"}, "expected none of them with a path"),
    ],
)
def test_what_cannot_be_predicted_is_one_line(image, more, words, brats_run):
    """Naming the argument or the file."""
    model = tfunc.load(brats_run)
    with pytest.raises(UserError, match=words) as raised:
        model.predict(image, **more)
    assert "\n" not in str(raised.value)


def test_a_path_of_several_subjects_asks_for_a_list(brats_raw, brats_run):
    """It does not take the first."""
    folder = sorted(path for path in brats_raw.glob("*/*") if path.is_dir())[0].parent
    with pytest.raises(UserError, match=r"expected one subject, found 5; give a list of paths"):
        tfunc.load(brats_run).predict(folder)


def test_what_cannot_be_loaded_is_one_line(brats_run, tmp_path):
    """No run, a method that is not trained, one that there is not, a recalibration that was not made."""
    with pytest.raises(NotReady, match="expected a run with trained networks, found nothing"):
        tfunc.load(tmp_path / "none")
    with pytest.raises(NotReady, match="--method=center"):
        tfunc.load(brats_run, method="center")
    with pytest.raises(UserError, match="method: expected a name or a Method, found 5"):
        tfunc.load(brats_run, method=5)
    with pytest.raises(UserError, match="expected one of baseline"):
        tfunc.load(brats_run, method="best")
    for name in ("precision", "own_engine"):
        with pytest.raises(UserError, match=f"{name}: expected one of"):
            tfunc.load(brats_run, **{name: "best"})
    with pytest.raises(NotReady, match="recalibrate"):
        tfunc.load(brats_run, recalibrated=True)


@pytest.mark.long
def test_nothing_is_printed(patient, brats_run):
    """Importing starts no TensorFlow; loading and predicting write nothing, and leave the user's settings."""
    script = f"""
import sys, os
import tfunc
assert "tensorflow" not in sys.modules and "matplotlib" not in sys.modules
tfunc.methods()
os.environ["MPLBACKEND"] = "svg"
maps = tfunc.load({str(brats_run)!r}).predict({str(patient)!r})
assert os.environ["MPLBACKEND"] == "svg" and maps.prediction.ndim == 3
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
