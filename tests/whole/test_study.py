"""The main command to its end: raw data to table and report, then nothing left to do, then one artefact made again."""

import csv
import itertools

import nibabel
import numpy as np
import pytest

from data_prep import records
from data_prep.base import artefacts, locks
from data_prep.readers import nifti
from tfunc import runs
from whole.conftest import METHODS, SETTINGS


def jobs_of(text):
    """Names of the jobs that a study says it ran."""
    return [line.split()[1] for line in text.splitlines() if line.startswith("[")]


def table(whole, name):
    with open(whole.run / "evaluation" / name, newline="") as file:
        return list(csv.DictReader(file))


def test_it_ends_with_table_and_report(whole):
    """Every method has a row, every test subject a line a method; the command prints the table and names the report."""
    said = artefacts.read_json(whole.folder / "said.json")
    evaluation = whole.run / "evaluation"
    assert (evaluation / "table1.md").read_text() in said and f"Report: open {evaluation / 'report.html'}" in said
    assert {row["method"] for row in table(whole, "table1.csv")} == set(METHODS)
    manifest = records.read_manifest(whole.folder / "data")
    tested = [entry.name for entry in manifest.split("test")]
    found = [(row["method"], row["subject"]) for row in table(whole, "subjects.csv")]
    assert sorted(found) == sorted(itertools.product(METHODS, tested)) and len(tested) >= 4
    jobs = jobs_of(said)
    assert len(jobs) == len(set(jobs)) and {"train_cv_1", "predict_cv_0_heldout", "train_auxiliary_segm"} <= set(jobs)
    assert ("predict_baseline_valid" in jobs) == (whole.dataset == "isic")


def test_its_numbers_are_those_of_its_maps(whole):
    """Dice and ECE of every row of subjects.csv, by plain NumPy from the files that the study wrote."""
    manifest = records.read_manifest(whole.folder / "data")
    for row in table(whole, "subjects.csv"):
        folder = runs.predictions_dir(whole.run, row["method"])
        subject = records.read_subject(whole.folder / "data", manifest, row["subject"])
        maps = {
            name: np.asarray(nibabel.load(folder / f"{row['subject']}_{name}.nii.gz").dataobj).T
            for name in ("prediction", "probability")
        }
        prediction, target = maps["prediction"].reshape(subject.label.shape) > 0, subject.label > 0
        both = prediction.sum() + target.sum()
        dice = 2 * (prediction & target).sum() / both if both else 1.0
        assert float(row["dice"]) == pytest.approx(dice, abs=1e-12)
        kind = artefacts.read_json(folder / runs.PREDICTED)["kind"]
        if kind == "probability":
            brain = subject.image[..., 2] > 0 if whole.dataset == "brats" else np.ones_like(target)
            p, positive = maps["probability"].reshape(target.shape)[brain].astype(np.float64), target[brain]
            bins = np.minimum((p * 10).astype(int), 9)
            gaps = [abs((p[bins == b] - positive[bins == b]).sum()) for b in range(10)]
            assert float(row["ece"]) == pytest.approx(sum(gaps) / len(p), abs=1e-6)


def times(folder):
    """When each file was written, but for those that say who is at work."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != locks.NAME}


def test_a_second_call_starts_nothing(whole, launch):
    """The same command finds every job done, says so, and touches no file of the study."""
    before = times(whole.run)
    ended = launch("study", *whole.where, *SETTINGS)
    assert ended.code == 0, ended.err
    assert "jobs are done; nothing to do" in ended.out and not jobs_of(ended.out)
    assert (whole.run / "evaluation" / "table1.md").read_text() in ended.out
    assert before == times(whole.run)


def test_one_artefact_deleted_is_made_again(whole, launch, tmp_path):
    """Without one method's predictions, that prediction runs again; the evaluation, of the same maps as before, does not.

    What is there stays to the byte. The map that is made again stands alone in its batch, and some processors' kernels round a
    batch of one otherwise: on an AMD EPYC 11 of its voxels differ, by 1.8e-7 at most.
    """
    copy = whole.copied(tmp_path)
    index = runs.predictions_dir(copy.run, "baseline_mc") / runs.PREDICTED
    evaluation = runs.evaluation_dir(copy.run)
    tables = {path: path.read_bytes() for path in evaluation.glob("*.csv")}
    maps = {path: artefacts.sha256(path) for path in index.parent.glob("*_uncertainty.nii.gz")}
    again = next(iter(maps))
    before = nifti.read_map(again)[0]
    index.unlink()
    again.unlink()
    ended = launch("study", *copy.where, *SETTINGS)
    assert ended.code == 0, ended.err
    assert jobs_of(ended.out) == ["predict_baseline_mc"]
    assert tables == {path: path.read_bytes() for path in evaluation.glob("*.csv")}
    del maps[again]
    assert maps and maps == {path: artefacts.sha256(path) for path in maps}
    np.testing.assert_allclose(nifti.read_map(again)[0], before, rtol=0, atol=1e-6)


def test_single_networks_are_found(whole, launch):
    """`train --network=` and `predict --network=cv_0 --split=heldout` find what the study made, under the same settings."""
    settings = [flag for flag in SETTINGS if not flag.startswith(("--methods", "--samples", "--jobs"))]
    ended = launch("train", *whole.where, *settings, "--network=ensemble_01")
    assert ended.code == 0 and "trained already" in ended.out, ended.err
    ended = launch("predict", *whole.where, "--network=cv_0", "--split=heldout")
    assert ended.code == 0 and "finished already" in ended.out, ended.err


def test_a_held_out_fold_is_predicted_alone(whole, launch, tmp_path):
    """`predict --network=cv_0 --split=heldout` predicts the fold that the network never saw, and no other subject."""
    copy = whole.copied(tmp_path)
    folder = runs.predictions_dir(copy.run, "cv_0", runs.HELD_OUT)
    before = {path.name: artefacts.sha256(path) for path in folder.glob("*.nii.gz")}
    for path in folder.iterdir():
        path.unlink()
    ended = launch("predict", *copy.where, "--network=cv_0", "--split=heldout")
    assert ended.code == 0, ended.err
    assert before == {path.name: artefacts.sha256(path) for path in folder.glob("*.nii.gz")}
    manifest = records.read_manifest(copy.folder / "data")
    seen = runs.predictions_dir(copy.run, "cv_1", runs.HELD_OUT)
    names = [
        {path.name.removesuffix("_prediction.nii.gz") for path in f.glob("*_prediction.*")} for f in (folder, seen)
    ]
    assert not names[0] & names[1]
    splits = ("train", "valid") if whole.dataset == "brats" else ("train",)
    assert names[0] | names[1] == {entry.name for split in splits for entry in manifest.split(split)}


def test_one_new_patient_and_an_export(whole, launch, tmp_path):
    """A patient who was in no record gets maps from the ensemble, and the ensemble becomes one SavedModel."""
    size = ["--subjects=3", f"--shape={'16,32,32' if whole.dataset == 'brats' else '32,48'}", "--seed=5"]
    assert launch("phantom", f"--dataset={whole.dataset}", f"--raw_dir={tmp_path / 'new'}", *size).code == 0
    pattern = "HGG/*_0_*" if whole.dataset == "brats" else "*Training_Data/*.jpg"
    patient = sorted((tmp_path / "new").glob("HGG/*" if whole.dataset == "brats" else pattern))[0]
    out = tmp_path / "maps"
    dataset, _, run = whole.where
    ended = launch("predict", dataset, run, "--method=ensemble", f"--input={patient}", f"--out_dir={out}")
    assert ended.code == 0, ended.err
    assert len(list(out.glob("*.nii.gz"))) == 3
    ended = launch("export", dataset, run, "--method=ensemble", f"--export_dir={tmp_path / 'export'}")
    assert ended.code == 0 and (tmp_path / "export" / "1" / "saved_model.pb").exists(), ended.err
