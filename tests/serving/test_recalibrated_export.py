"""A served export with recalibration gives what `predict --recalibrated` writes, and says so."""

import json
import shutil
import zlib

import nibabel
import numpy as np
import pytest
import tensorflow as tf
from conftest import predict_one
from made_up_maps import serial

from data_prep import records
from data_prep.base import artefacts
from data_prep.base.errors import NotReady, UserError
from data_prep.readers import brats
from tfunc import methods
from tfunc.maps import predict
from tfunc.maps.options import Options
from tfunc.scoring import recalibrate, recalibration
from tfunc.serving import export
from tfunc.serving import signatures as serving

QUIET = {"say": lambda line: None}
SOME = ("subject", "describe", "serving_default")
FEW = {"samples": 2}


@pytest.fixture(scope="module")
def calibrated(brats_run, brats_data, tmp_path_factory):
    """A run whose baseline and baseline_mc were recalibrated on valid, to temperatures far from 1."""
    run_dir = shutil.copytree(brats_run, tmp_path_factory.mktemp("calibrated") / "run")
    for name in ("baseline", "baseline_mc"):
        predict.predict_split(methods.get(name), "brats", brats_data, run_dir, "valid", Options(**FEW), **QUIET)
        recalibrate.recalibrate(run_dir, brats_data, "brats", name, serial, **QUIET)
        file = recalibration.path(run_dir, name)
        document = artefacts.read_json(file)
        artefacts.write_json(file, {**document, "temperature": {**document["temperature"], "temperature": 2.5}})
    return run_dir


def exported(run_dir, method, export_dir, **options):
    """(version folder, its signatures) of some signatures."""
    everything = serving.Served.signatures
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving.Served, "signatures", lambda of: {name: everything(of)[name] for name in SOME})
        asked = Options(**{**FEW, **options})
        folder = export.export(methods.get(method), "brats", run_dir, export_dir, asked, **QUIET)
    return folder, tf.saved_model.load(str(folder)).signatures


def load(folder, name, kind):
    return np.asarray(nibabel.load(folder / f"{name}_{kind}.nii.gz").dataobj).T


@pytest.mark.long
@pytest.mark.parametrize("method", ["baseline", "baseline_mc"])
def test_served_is_predicted(calibrated, brats_raw, brats_data, tmp_path, method):
    """Raw voxels in: probability and uncertainty are those that are written, within 1e-5; the segmentation is the same."""
    name = records.read_manifest(brats_data).split("test")[0].name
    patient = next(brats_raw.glob(f"*/{name}"))
    predict_one(
        methods.get(method), "brats", patient, calibrated, tmp_path / "maps", Options(**FEW, recalibrated=True), **QUIET
    )
    seed = (20 << 32) + zlib.crc32(name.encode())  # what predict.py draws for this subject with its seed of 20
    _, signatures = exported(calibrated, method, tmp_path / "export", recalibrated=True, seed=seed)
    image = brats.load(brats.find_one(patient)).image
    found = signatures["subject"](volume=tf.constant(np.float32(image)[None]))
    for kind in ("probability", "uncertainty"):
        np.testing.assert_allclose(found[kind][0], load(tmp_path / "maps", name, kind), atol=1e-5, rtol=0)
    np.testing.assert_array_equal(found["prediction"][0], load(tmp_path / "maps", name, "prediction"))
    expected = load(tmp_path / "maps", name, "probability").sum(dtype=np.float64)
    assert float(found["expected_volume"][0]) == pytest.approx(expected, rel=1e-4)
    plain = predict_one(methods.get(method), "brats", patient, calibrated, tmp_path / "plain", Options(**FEW), **QUIET)[
        1
    ]
    assert np.abs(found["probability"][0].numpy() - plain["probability"]).max() > 0.01
    np.testing.assert_array_equal(found["prediction"][0], plain["prediction"])


def test_it_says_so(calibrated, tmp_path):
    """export.json and `describe` have the temperature; another one, or none, is another export."""
    folder, signatures = exported(calibrated, "baseline", tmp_path, recalibrated=True)
    said = json.loads(signatures["describe"](request=tf.constant(["?"]))["description"][0].numpy())
    expected = {"temperature": 2.5, "fitted_on": "2 subjects of valid", "approximate": True}
    assert said["recalibrated"] == expected
    assert artefacts.read_json(folder / export.DESCRIPTION)["recalibrated"] == expected
    with pytest.raises(
        UserError, match=r"recalibrated.approximate True \(there\) against None \(asked for\).*--version=2"
    ):
        exported(calibrated, "baseline", tmp_path)
    assert exported(calibrated, "baseline", tmp_path, recalibrated=True)[0] == folder


def test_what_is_refused(calibrated, brats_run, tmp_path):
    """A sigma has no temperature, a recalibration must be there, and be of as many samples."""
    with pytest.raises(UserError, match=r"a method whose map is a probability"):
        aleatoric = methods.get("aleatoric"), "brats", calibrated, tmp_path, Options(recalibrated=True)
        export.export(*aleatoric, sigma_range=(0, 1), **QUIET)
    with pytest.raises(NotReady, match=r"launch/recalibrate.py --method=baseline --dataset=brats"):
        exported(brats_run, "baseline", tmp_path, recalibrated=True)
    with pytest.raises(UserError, match=r"samples 2 \(there\) against 5 \(asked for\)"):
        exported(calibrated, "baseline_mc", tmp_path, recalibrated=True, samples=5)
    assert not list(tmp_path.iterdir())
