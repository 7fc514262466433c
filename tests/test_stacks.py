"""What one stack made, the other reads: records, networks, maps. Only a training is continued where it began.

The files are in tests/fixtures/stacks, one folder a stack; its README.md says what they are. Each test runs on both
folders: on this stack's own, which shows that the file is sound, and on the other's.
"""

import csv
import hashlib
import shutil

import nibabel
import numpy as np
import pytest
from conftest import ROOT
from made_up_maps import undrawn

from data_prep import records
from data_prep.base import artefacts
from data_prep.base import pool as engine
from tfunc import methods, runs
from tfunc.learning import slices as datasets
from tfunc.maps import predict as prediction
from tfunc.nets import stack
from tfunc.reporting import publish

FIXTURES = ROOT / "tests" / "fixtures" / "stacks"
STACKS = ("current", "addons")
PREDICTED = {"baseline": 1, "baseline_mc": 4, "aleatoric": 1, "auxiliary_feat": 1}  # method -> samples
UNFINISHED = {"method": "baseline", "start_filters": 2, "depth": 1, "batch_size": 4, "learning_rate": 0.01, "epochs": 6}

pytestmark = pytest.mark.parametrize("made_by", STACKS)


def read_json(*path):
    return artefacts.read_json(FIXTURES.joinpath(*path))


def test_the_fixture_is_of_its_stack(made_by):
    """Networks, maps and the unfinished training name the stack that made them; all that is to be read is there."""
    assert read_json(made_by, "made_by.json")["stack"] == made_by
    networks = [path.parent.name for path in sorted((FIXTURES / made_by / "run" / "networks").glob("*/finished.json"))]
    assert networks == ["aleatoric", "auxiliary_feat", "baseline"]
    for name in networks:
        assert runs.finished(FIXTURES / made_by / "run" / "networks" / name)["stack"] == made_by
    for method in PREDICTED:
        assert read_json(made_by, "run", "predictions", method, "predictions.json")["stack"] == made_by
    assert read_json(made_by, "unfinished", "networks", "baseline", runs.RESUME)["stack"] == made_by


@pytest.mark.parametrize(("dataset", "count"), [("isic", 10), ("brats", 3)])
def test_records(made_by, dataset, count):
    """Every subject is read as it was when the records were written, to the byte, and as the other stack's records."""
    folder, expected = FIXTURES / made_by / dataset, read_json(made_by, "contents.json")[dataset]
    records.verify(folder)
    manifest = records.read_manifest(folder)
    names = [entry.name for entry in manifest.subjects]
    for subject in records.read_subjects(folder, manifest, names):
        arrays = {"image": subject.image, "normalised": subject.normalised(), "label": subject.label}
        found = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}
        assert found == expected.pop(subject.name)
    assert not expected and len(names) == count
    assert read_json("current", "contents.json") == read_json("addons", "contents.json")


@pytest.mark.long
@pytest.mark.parametrize("dataset", ["isic", "brats"])
def test_records_in_the_pipeline(made_by, dataset):
    """The pipeline that trains gives the same slices, in the order of their own reading."""
    folder = FIXTURES / made_by / dataset
    manifest = records.read_manifest(folder)
    (name, *_) = (entry.name for entry in manifest.split("train"))
    subject = records.read_subject(folder, manifest, name)
    batches = datasets.Slices(folder, manifest, [name]).in_order(4).as_numpy_iterator()
    rows = [batch["image"][batch["weight"] > 0] for batch in batches]
    np.testing.assert_array_equal(np.concatenate(rows), subject.normalised())


def copied(made_by, folder, *without):
    """The run of that stack in a folder that may be written to."""
    return shutil.copytree(FIXTURES / made_by / "run", folder / "run", ignore=shutil.ignore_patterns(*without))


@pytest.mark.parametrize("method", PREDICTED)
def test_maps(made_by, method, tmp_path):
    """Networks trained on that stack give its maps on this one, to 1e-4: dropout's samples and raw sigma included."""
    run = copied(made_by, tmp_path, "predictions")
    options = prediction.Options(samples=PREDICTED[method])
    folder = prediction.predict_split(
        methods.get(method), "isic", FIXTURES / made_by / "isic", run, "test", options, say=lambda line: None
    )
    stored = FIXTURES / made_by / "run" / "predictions" / method
    names = sorted(path.name for path in stored.glob("*.nii.gz"))
    assert len(names) == 6 and names == sorted(path.name for path in folder.glob("*.nii.gz"))
    for name in names:
        ours, theirs = (np.asarray(nibabel.load(where / name).dataobj) for where in (folder, stored))
        assert ours.dtype == theirs.dtype
        if name.endswith("_prediction.nii.gz"):
            probability = np.asarray(nibabel.load(stored / name.replace("prediction", "probability")).dataobj)
            decided = np.abs(probability - 0.5) > 1e-4
            np.testing.assert_array_equal(ours[decided], theirs[decided])
            assert decided.mean() > 0.9
        else:
            np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)
            assert np.ptp(theirs) > 1e-2  # a constant map would agree with anything


@pytest.mark.long
def test_resume(made_by, launch, tmp_path):
    """A training is continued on the stack that began it, and refused on the other: 2, one line, nothing changed."""
    run = shutil.copytree(FIXTURES / made_by / "unfinished", tmp_path / "run")
    folder = runs.network_dir(run, "baseline")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    flags = {"dataset": "isic", "data_dir": FIXTURES / made_by / "isic", "run_dir": run, **UNFINISHED}
    ended = launch("train", *(f"--{name}={value}" for name, value in flags.items()), "--average_weights")
    if made_by == stack.name():
        assert ended.code == 0 and "continues at epoch 2, step 3" in ended.out, ended.err
        assert runs.finished(folder)["epochs"] == 6
        return
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    for words in ("resume.json", f"this stack ({stack.name()})", f"the stack {made_by}", "--run_dir"):
        assert words in line
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_evaluation(made_by, tmp_path, monkeypatch):
    """That stack's maps are evaluated here: Dice of each subject and method is NumPy's from its files."""
    run, data = copied(made_by, tmp_path), FIXTURES / made_by / "isic"
    undrawn(monkeypatch)
    request = publish.Request(runs.evaluation_dir(run), "isic")
    publish.evaluate_run(request, run, data, list(PREDICTED), lambda _: engine.executor(1))
    manifest = records.read_manifest(data)
    rows = list(csv.DictReader((run / "evaluation" / "subjects.csv").read_text().splitlines()))
    assert {row["method"] for row in rows} == set(PREDICTED) and len(rows) == 8
    for row in rows:
        path = run / "predictions" / row["method"] / f"{row['subject']}_prediction.nii.gz"
        predicted = np.squeeze(np.asarray(nibabel.load(path).dataobj).T) > 0
        target = np.squeeze(records.read_subject(data, manifest, row["subject"]).label) > 0
        dice = 2 * (predicted & target).sum() / (predicted.sum() + target.sum())
        assert float(row["dice"]) == pytest.approx(dice, abs=1e-9)


@pytest.mark.long
def test_finished_work_is_found(made_by, launch, tmp_path):
    """This stack's commands find the other's networks trained and its subjects predicted; they change neither."""
    run = copied(made_by, tmp_path)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    where = ["--method=baseline", "--dataset=isic", f"--data_dir={FIXTURES / made_by / 'isic'}", f"--run_dir={run}"]
    network = ["--start_filters=4", "--depth=2", "--batch_size=4", "--learning_rate=0.01", "--epochs=40"]
    trained, predicted = launch("train", *where, *network), launch("predict", *where)
    assert trained.code == 0 and "trained already" in trained.out, trained.err
    assert predicted.code == 0 and "finished already (2 subjects)" in predicted.out, predicted.err
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
