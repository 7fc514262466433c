"""An ensemble of one training's last epochs: what is kept and vouched for, kills, prolongings, and what predicts."""

import h5py
import numpy as np
import pytest
from made_up import manifest
from scipy import special

from data_prep import records
from data_prep.base import artefacts
from data_prep.base.errors import Stopped, UserError
from data_prep.readers import nifti
from tfunc import methods, networks, runs
from tfunc.learning.checkpoint import Checkpoint
from tfunc.learning.trainer import Trainer
from tfunc.maps import predict
from tfunc.maps.options import Options
from tfunc.nets import trained
from tfunc.study.plan import plan

EXACT = {"deterministic": True, "kept_epochs": 2}

pytestmark = pytest.mark.long


def numbers(path):
    """All numbers of a file of weights."""
    found = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.append(item[()]) if hasattr(item, "shape") else None)
    return np.concatenate([np.ravel(values) for values in found if values.dtype.kind == "f"])


def kept(folder):
    """{file: its numbers} of the epochs that lie there, after their checksums are compared."""
    done = runs.finished(folder)
    files = sorted(path.name for path in folder.glob("last-*"))
    assert files == sorted(done["kept_sha256"])
    assert all(artefacts.sha256(folder / name) == checksum for name, checksum in done["kept_sha256"].items())
    return {name: numbers(folder / name) for name in files}


def same(one, other):
    assert list(one) == list(other)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


@pytest.fixture(scope="module")
def longer(isic_data, train, tmp_path_factory):
    """The folder of a training of five epochs at once, which keeps its last two."""
    return train("checkpoints", "isic", isic_data, tmp_path_factory.mktemp("longer"), epochs=5, **EXACT)[0]


def test_the_last_epochs_are_kept(longer, isic_run):
    """The last two of five, with right checksums, each another; the last is the network's own; a baseline keeps none."""
    found = kept(longer)
    assert list(found) == ["last-0004.weights.h5", "last-0005.weights.h5"]
    assert np.abs(found["last-0004.weights.h5"] - found["last-0005.weights.h5"]).max() > 0
    np.testing.assert_array_equal(found["last-0005.weights.h5"], numbers(longer / runs.WEIGHTS))
    config = runs.read_config(longer)
    assert (config.kept_epochs, config.keeps, config.seed) == (2, "last", 20)
    baseline = runs.network_dir(isic_run, "baseline")
    assert runs.read_config(baseline).kept_epochs == 0 and "kept_sha256" not in runs.finished(baseline)
    assert not list(baseline.glob("last-*"))


def test_it_is_the_baselines_training(longer, isic_data, train, tmp_path):
    """Recipe and seed are the baseline's: its last step is the same to the bit."""
    _, done = train("baseline", "isic", isic_data, tmp_path, epochs=5, deterministic=True)
    assert done["last_sha256"] == runs.finished(longer)["last_sha256"]


def test_they_predict_as_an_ensemble(longer, isic_data):
    """The maps are NumPy's mean of the epochs' softmaxes; predictions.json and the study know them by one name."""
    run_dir = longer.parents[1]
    method, data = methods.get("checkpoints"), records.read_manifest(isic_data)
    folder = predict.predict_split(method, "isic", isic_data, run_dir, "test", Options(), say=lambda line: None)
    loaded = trained.load_all(run_dir, ("checkpoints",), "isic")
    assert len(loaded) == 2
    for subject in records.read_subjects(isic_data, data, [entry.name for entry in data.split("test")]):
        logits = [np.asarray(one.model(subject.normalised()), np.float64) for one in loaded]
        softmaxes = [special.softmax(values, axis=-1)[..., 1] for values in logits]
        assert np.abs(softmaxes[0] - softmaxes[1]).max() > 1e-3
        path = folder / f"{subject.name}_probability.nii.gz"
        written, _ = nifti.read_map(path)
        np.testing.assert_allclose(written, np.mean(softmaxes, axis=0)[0], atol=1e-5)
    settings = {"epochs": 5, "batch_size": 8, "start_filters": 4, "depth": 1, "learning_rate": 1e-2, **EXACT}
    jobs = {job.name: job for job in plan(data, [method], settings)}
    assert jobs["train_checkpoints"].is_done(run_dir) and jobs["predict_checkpoints"].is_done(run_dir)
    assert runs.read_predictions(folder)["networks"] == {"checkpoints": runs.finished(longer)["weights_sha256"]}


def test_a_killed_one_ends_with_the_same_files(isic_data, train, tmp_path, monkeypatch, longer):
    """Stopped three times: in an epoch, between its weights and the state that knows them, and before the older are dropped."""
    killed = Stopped("by a signal")

    def when(cls, name, reached, before):
        real = getattr(cls, name)

        def replaced(self, *args):
            if before and reached(self, args):
                raise killed
            result = real(self, *args)
            if not before and reached(self, args):
                raise killed
            return result

        monkeypatch.setattr(cls, name, replaced)

    for cls, name, reached, before in (
        (Trainer, "_epoch", lambda self, args: self.counters.epoch == 2, False),
        (Trainer, "save", lambda self, args: self.counters.epoch == 3, True),
        (Checkpoint, "settle", lambda self, args: args[0].epoch == 4, True),
    ):
        when(cls, name, reached, before)
        with pytest.raises(Stopped):
            train("checkpoints", "isic", isic_data, tmp_path, epochs=5, **EXACT)
        monkeypatch.undo()
    folder, _ = train("checkpoints", "isic", isic_data, tmp_path, epochs=5, **EXACT)
    same(kept(folder), kept(longer))


def test_a_prolonged_one_keeps_the_new_last(isic_data, train, tmp_path, longer):
    """Three epochs, then five: the files of five at once, and none of before."""
    folder, _ = train("checkpoints", "isic", isic_data, tmp_path, epochs=3, **EXACT)
    assert list(kept(folder)) == ["last-0002.weights.h5", "last-0003.weights.h5"]
    train("checkpoints", "isic", isic_data, tmp_path, epochs=5, **EXACT)
    same(kept(folder), kept(longer))


def test_other_weights_are_refused(isic_data, train, tmp_path):
    """A file that the training did not write, or that is gone, is named; another number is another configuration."""
    folder, _ = train("checkpoints", "isic", isic_data, tmp_path, epochs=2, kept_epochs=2)
    with pytest.raises(UserError, match=r"kept_epochs 2 \(there\) against 1"):
        train("checkpoints", "isic", isic_data, tmp_path, epochs=2, kept_epochs=1)
    path = folder / "last-0001.weights.h5"
    path.write_bytes(path.read_bytes()[:-1])
    for found in ("another file", "no file"):
        with pytest.raises(UserError, match=f"last-0001.*the weights that training wrote, found {found}"):
            trained.load_all(tmp_path, ("checkpoints",), "isic")
        path.unlink(missing_ok=True)


def test_more_than_there_are(isic_data, train, tmp_path):
    """More than the epochs, or than --max_steps leaves, is one line before anything is written; the study says it too."""
    with pytest.raises(UserError, match=r"--kept_epochs=3: expected at most the 2 epochs"):
        train("checkpoints", "isic", isic_data, tmp_path, epochs=2, kept_epochs=3)
    with pytest.raises(UserError, match=r"--kept_epochs=3: expected at most 2.*--max_steps"):
        train("checkpoints", "isic", isic_data, tmp_path, epochs=9, batch_size=4, max_steps=3, kept_epochs=3)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"--kept_epochs=5: expected at most the 4 epochs"):
        plan(manifest(), [methods.get("checkpoints")], {"epochs": 4})
    assert networks.get("checkpoints").keeps_last("brats", quirks=True)


def test_patience_that_is_not_used_is_said(isic_data, train, tmp_path):
    """Before the first epoch, of a fold and of last epochs, which then take all; not of a network whose best epoch is kept."""
    for network, is_said in (("cv_0", True), ("checkpoints", True), ("baseline", False)):
        said = []
        _, done = train(network, "isic", isic_data, tmp_path, epochs=2, patience=1, say=said.append)
        lines = [line for line in said if "--patience" in line]
        assert len(lines) == is_said and done["epochs"] == 2
        if is_said:
            assert lines[0].startswith(f"{network}: --patience=1 is not used: its last epoch is kept")
            assert said.index(lines[0]) < next(at for at, line in enumerate(said) if "epoch 1/2" in line)
    said = []
    train("cv_1", "isic", isic_data, tmp_path, epochs=1, say=said.append)
    assert not any("--patience" in line for line in said)
