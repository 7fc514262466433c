"""`predict --recalibrated` writes the same maps at a temperature, of a new patient as of a split, and no segmentation moves."""

import shutil

import nibabel
import numpy as np
import pytest
from conftest import predict_one
from made_up_maps import serial
from made_up_run import METHOD, write_run

from data_prep import records
from data_prep.base import artefacts
from data_prep.base.errors import NotReady, UserError
from data_prep.map_files import MAPS
from tfunc import kinds, methods, runs
from tfunc.maps import patient as patient_document
from tfunc.maps import predict, recalibrated
from tfunc.maps.options import Options
from tfunc.scoring import recalibrate, recalibration, temperature
from tfunc.scoring.sources import run_maps
from tfunc.scoring.truth import RecordsTruth

QUIET = {"say": lambda line: None}


def load(folder, subject, name):
    return np.asarray(nibabel.load(folder / f"{subject}_{name}.nii.gz").dataobj).T


@pytest.fixture(scope="module")
def calibrated(brats_run, brats_data, tmp_path_factory):
    """A run whose baseline predicted valid and test, and was recalibrated on valid, for a mask that may miss half."""
    run_dir = shutil.copytree(brats_run, tmp_path_factory.mktemp("calibrated") / "run")
    for split in ("valid", "test"):
        predict.predict_split(methods.get("baseline"), "brats", brats_data, run_dir, split, Options(), **QUIET)
    recalibrate.recalibrate(run_dir, brats_data, "brats", "baseline", serial, alphas=(0.5,), **QUIET)
    return run_dir


@pytest.fixture
def patient(brats_raw, brats_data):
    """(folder, name) of a test subject as raw files."""
    name = records.read_manifest(brats_data).split("test")[0].name
    return next(brats_raw.glob(f"*/{name}")), name


def new_patient(folder, run_dir, out_dir, said=None, method="baseline", **options):
    say = [].append if said is None else said.append
    arguments = methods.get(method), "brats", folder, run_dir, out_dir, Options(**options)
    return predict_one(*arguments, say=say)


@pytest.mark.long
def test_one_new_patient(calibrated, patient, tmp_path):
    """Probability is the plain one at T, uncertainty its entropy, the segmentation the same; the JSON has T and the volume."""
    folder, name = patient
    said = []
    new_patient(folder, calibrated, tmp_path / "plain")
    new_patient(folder, calibrated, tmp_path / "own", said, recalibrated=True)
    found = recalibration.stored(calibrated, "baseline")
    plain = {kind: load(tmp_path / "plain", name, kind) for kind in MAPS}
    own = {kind: load(tmp_path / "own", name, kind) for kind in MAPS}
    chosen = found.temperature.temperature
    assert abs(np.log(chosen)) > 0.01
    np.testing.assert_array_equal(own["probability"], temperature.apply(plain["probability"], chosen))
    np.testing.assert_array_equal(own["prediction"], plain["prediction"])
    np.testing.assert_allclose(own["uncertainty"], kinds.normalised_entropy(own["probability"]), atol=1e-6)
    assert not (tmp_path / "own" / f"{name}_outer.nii.gz").exists()
    document = artefacts.read_json(tmp_path / "own" / f"{name}.json")
    assert document["recalibrated"]["temperature"] == chosen and document["recalibrated"]["approximate"]
    volume = document["volumes"]["whole"]
    voxel = np.prod(nibabel.load(tmp_path / "own" / f"{name}_prediction.nii.gz").header.get_zooms()) / 1000
    assert volume["volume"] == pytest.approx(plain["prediction"].sum() * voxel) and volume["unit"] == "ml"
    assert (volume["low"], volume["high"], volume["covers"]) == (0, None, 1)  # of two subjects
    assert patient_document.line(document).startswith(
        f"{volume['volume']:.4g} ml (0 to any in 100% of patients, approximately), uncertainty"
    )
    assert "recalibrated" not in {k for k, v in artefacts.read_json(tmp_path / "plain" / f"{name}.json").items() if v}


def test_outer_mask(calibrated, patient, tmp_path):
    """It is where the probability as it was predicted reaches the threshold, lies beside the maps, and is made where it lacks."""
    folder, name = patient
    new_patient(folder, calibrated, tmp_path / "plain")
    new_patient(folder, calibrated, tmp_path / "own", recalibrated=True, outer=0.5)
    threshold = recalibration.stored(calibrated, "baseline").threshold("whole", 0.5)
    outer = load(tmp_path / "own", name, "outer")
    np.testing.assert_array_equal(outer, load(tmp_path / "plain", name, "probability") >= np.float32(threshold))
    assert outer.dtype == np.uint8
    assert new_patient(folder, calibrated, tmp_path / "own", recalibrated=True, outer=0.5)[1] is None
    (tmp_path / "own" / f"{name}_outer.nii.gz").unlink()
    assert new_patient(folder, calibrated, tmp_path / "own", recalibrated=True, outer=0.5)[1] is not None
    with pytest.raises(UserError, match=r"recalibrated.alpha 0.5 \(there\) against None \(asked for\)"):
        new_patient(folder, calibrated, tmp_path / "own", recalibrated=True)
    with pytest.raises(UserError, match=r"recalibrated.alpha 0.5 .*, recalibrated.approximate True"):
        new_patient(folder, calibrated, tmp_path / "own")


def test_what_is_refused(calibrated, patient, brats_run, tmp_path):
    """A sigma, an alpha that was not asked for, maps of other samples, and no recalibration: one line each, before a map."""
    folder, _ = patient
    with pytest.raises(UserError, match=r"a method whose map is a probability"):
        new_patient(folder, calibrated, tmp_path, method="aleatoric", recalibrated=True)
    with pytest.raises(UserError, match=r"alpha 0.1: expected one of 0.5"):
        new_patient(folder, calibrated, tmp_path, recalibrated=True, outer=0.1)
    with pytest.raises(NotReady, match=r"run .*launch/recalibrate.py --method=baseline_mc --dataset=brats"):
        new_patient(folder, calibrated, tmp_path, method="baseline_mc", recalibrated=True)
    assert not list(tmp_path.iterdir())


def test_a_split_without_its_network(calibrated, brats_data, patient, tmp_path):
    """Of a split the written maps are read: equal to a new patient's, found finished, and made anew where T is another."""
    folder, name = patient
    run_dir = shutil.copytree(calibrated, tmp_path / "run")
    networks = run_dir / "networks"
    networks.rename(tmp_path / "networks")
    said = []

    def rewrite(alpha=None):
        said.clear()
        return recalibrated.rewrite_split("baseline", "brats", brats_data, run_dir, "test", alpha, said.append)

    there = rewrite(0.5)
    assert there == run_dir / "predictions" / "baseline_recalibrated" and not said
    new_patient(folder, calibrated, tmp_path / "own", recalibrated=True, outer=0.5)
    for kind in (*MAPS, "outer"):
        np.testing.assert_allclose(load(there, name, kind), load(tmp_path / "own", name, kind), atol=1e-6)
    plain = run_dir / "predictions" / "baseline"
    for file in plain.glob("*_prediction.nii.gz"):
        assert (there / file.name).read_bytes() == file.read_bytes()
    index = runs.read_predictions(there)
    assert index["complete"] and index["method"] == "baseline_recalibrated" and index["kind"] == "probability"
    assert rewrite(0.5) and "finished already (2 subjects)" in said[0]
    assert rewrite() and "out of date" in said[0] and not list(there.glob("*_outer*"))
    file = recalibration.path(run_dir, "baseline")
    document = artefacts.read_json(file)
    artefacts.write_json(file, {**document, "temperature": {**document["temperature"], "temperature": 3.0}})
    assert rewrite() and "out of date" in said[0]
    np.testing.assert_array_equal(
        load(there, name, "probability"), temperature.apply(load(plain, name, "probability"), 3)
    )


@pytest.mark.parametrize("dataset", ["brats", "brats_regions"])
def test_what_is_written_is_what_is_evaluated(calibration_data, tmp_path, dataset):
    """The written maps of a recalibrated split are those that evaluation reads at the temperature, of several classes too."""
    data = calibration_data[dataset]
    write_run(tmp_path, data)
    write_run(tmp_path, data, "test", seed=3)
    done = recalibrate.recalibrate(tmp_path, data, dataset, METHOD, serial, "calibration", **QUIET)
    there = recalibrated.rewrite_split(METHOD, dataset, data, tmp_path, "test", 0.2, **QUIET)
    truth = RecordsTruth(str(data))
    read = run_maps(tmp_path, dataset, METHOD + methods.RECALIBRATED, "test", truth)
    assert read.temperature == done.found.temperature.temperature
    task = truth.task
    for name in read.subjects:
        raw = load(tmp_path / "predictions" / METHOD, name, "probability")
        own, outer = load(there, name, "probability"), load(there, name, "outer")
        if task.is_binary:
            np.testing.assert_array_equal(own, read.score(name))
            np.testing.assert_array_equal(outer, raw >= np.float32(done.found.threshold("whole", 0.2)))
            continue
        np.testing.assert_array_equal(own, temperature.apply_classes(raw, read.temperature))
        np.testing.assert_allclose(own.sum(axis=0), 1, atol=1e-5)
        assert len(outer) == len(task.regions)
        for index, region in enumerate(task.regions):
            expected = np.minimum(raw[list(region.classes)].sum(axis=0), 1) >= done.found.threshold(region.name, 0.2)
            assert (outer[index] != expected).mean() < 1e-3  # but for the order of a sum
        entropy = load(there, name, "uncertainty")
        np.testing.assert_allclose(entropy, kinds.softmax_entropy(tuple(own)), atol=1e-6)


@pytest.mark.long
def test_a_calibration_set_is_predicted(calibration_data, train, tmp_path):
    """A set that a split file names is predicted and calibrates; the guarantee is then exact, and said of it."""
    data = calibration_data["brats"]
    train("baseline", "brats", data, tmp_path, epochs=1)
    folder = predict.predict_split(methods.get("baseline"), "brats", data, tmp_path, "calibration", Options(), **QUIET)
    assert folder.name == "baseline@calibration"
    done = recalibrate.recalibrate(tmp_path, data, "brats", "baseline", serial, "calibration", **QUIET)
    assert not done.found.approximate and len(done.found.subjects) == 12
    assert done.found.made_by["networks"] == runs.read_predictions(folder)["networks"]


@pytest.mark.long
def test_one_photograph_at_its_own_size(isic_run, isic_data, tmp_path):
    """PNG maps at the photograph's own size are of the recalibrated probability too; pixels are no millilitres."""
    from PIL import Image

    run_dir = shutil.copytree(isic_run, tmp_path / "run")
    predict.predict_split(methods.get("baseline"), "isic", isic_data, run_dir, "valid", Options(), **QUIET)
    found = recalibrate.recalibrate(run_dir, isic_data, "isic", "baseline", serial, **QUIET).found
    photograph = next((isic_data.parent / "raw").glob("*Test_v2_Data/*.jpg"))
    for name, options in (("plain", {}), ("own", {"recalibrated": True})):
        arguments = methods.get("baseline"), "isic", photograph, run_dir, tmp_path / name
        predict_one(*arguments, Options(full_size=True, **options), **QUIET)
    plain, own = (load(tmp_path / name, photograph.stem, "probability") for name in ("plain", "own"))
    np.testing.assert_array_equal(own, temperature.apply(plain, found.temperature.temperature))
    segmented, mine = (tmp_path / name / f"{photograph.stem}_prediction.png" for name in ("plain", "own"))
    assert segmented.read_bytes() == mine.read_bytes()
    picture = np.asarray(Image.open(tmp_path / "own" / f"{photograph.stem}_probability.png"), np.float64) / 65535
    assert picture.mean() == pytest.approx(own.mean(), abs=0.02)
    assert artefacts.read_json(tmp_path / "own" / f"{photograph.stem}.json")["volumes"]["lesion"]["unit"] == "pixels"
