"""`--mutual_information` writes the map that Python has, beside maps that stay what they are to the byte."""

import shutil

import nibabel
import numpy as np
import pytest

import tfunc
from data_prep import map_files, records
from data_prep.base.errors import UserError
from tfunc import methods
from tfunc.maps import predict, unprepared
from tfunc.maps.options import Options

MC = methods.get("baseline_mc")


def predicted(data, run, method=MC, **options):
    return predict.predict_split(
        method, "brats", data, run, "test", Options(samples=3, **options), say=lambda line: None
    )


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.nii.gz")}


@pytest.mark.long
def test_of_a_split(brats_run, brats_data, brats_raw, tmp_path):
    """Asked for later it is added; the others keep their bytes; it is Python's; made anew without, it does not stay behind."""
    run = shutil.copytree(brats_run, tmp_path / "run")
    folder = predicted(brats_data, run)
    before = contents(folder)
    names = [entry.name for entry in records.read_manifest(brats_data).split("test")]
    assert predicted(brats_data, run, mutual_information=True) == folder
    after = contents(folder)
    assert set(after) - set(before) == {f"{name}_mutual_information.nii.gz" for name in names}
    assert {name: after[name] for name in before} == before
    python = tfunc.load(run, "baseline_mc").predict(next(brats_raw.glob(f"*/{names[0]}")), samples=3)
    written = nibabel.load(map_files.path(folder, names[0], map_files.MUTUAL))
    np.testing.assert_array_equal(np.asarray(written.dataobj), python.mutual_information.T)
    assert 0 <= python.mutual_information.min() < python.mutual_information.max() <= 1
    map_files.path(folder, names[0], "prediction").unlink()
    predicted(brats_data, run)
    assert contents(folder).keys() == after.keys() - {f"{names[0]}_mutual_information.nii.gz"}


def test_of_a_new_patient(brats_run, brats_raw, tmp_path):
    """Beside its maps; the same command again does nothing."""
    patient = next(path for path in sorted(brats_raw.glob("*/*")) if path.is_dir())
    options = Options(samples=3, mutual_information=True)
    made = [
        [maps is not None for _, maps in unprepared.predict_inputs(MC, "brats", patient, brats_run, tmp_path, options)]
        for _ in range(2)
    ]
    assert made == [[True], [False]] and map_files.path(tmp_path, patient.name, map_files.MUTUAL).exists()


def test_a_method_that_averages_nothing_is_refused(brats_run, brats_data, tmp_path, launch):
    """In one line, as are maps at a temperature."""
    run = shutil.copytree(brats_run, tmp_path / "run")
    with pytest.raises(UserError, match=r"a method that averages several predictions.*leave it out"):
        predicted(brats_data, run, methods.get("baseline"), mutual_information=True)
    flags = ["--method=baseline_mc", "--dataset=brats", "--recalibrated", "--mutual_information"]
    ended = launch("predict", *flags)
    assert ended.code == 2 and "--mutual_information: expected maps without --recalibrated" in ended.err
