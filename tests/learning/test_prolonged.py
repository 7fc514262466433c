"""More epochs of a finished training: equal to the longer training, and what was made from its old weights is out of date."""

import shutil

import h5py
import numpy as np
import pytest

from data_prep import records
from data_prep.base import artefacts, locks
from data_prep.base.errors import NotReady, Stopped, UserError
from tfunc import methods, networks, runs
from tfunc.learning import selection, settings
from tfunc.learning.trainer import Trainer
from tfunc.maps import artefact, predict
from tfunc.maps.options import Options
from tfunc.scoring import sources
from tfunc.study.jobs import PredictJob, TrainJob

EXACT = {"deterministic": True, "average_weights": True}

pytestmark = pytest.mark.long


def quiet(line):
    pass


def contents(folder):
    """The log, the best weights to the bit, and the checksum of all variables of the last step."""
    weights = []
    with h5py.File(folder / runs.WEIGHTS) as file:
        file.visititems(lambda name, item: weights.append((name, item[()])) if hasattr(item, "shape") else None)
    return (folder / "log.csv").read_text(), runs.finished(folder)["last_sha256"], weights


def same(one, other):
    assert one[:2] == other[:2]
    for (name, ours), (other_name, theirs) in zip(one[2], other[2], strict=True):
        assert name == other_name
        np.testing.assert_array_equal(ours, theirs)


def stopped_in(monkeypatch, epoch):
    """The next training is stopped, its state saved, after the steps of that epoch; those after it are not."""
    real = Trainer._epoch

    def steps(trainer, total, bar):
        real(trainer, total, bar)
        if trainer.counters.epoch == epoch - 1:
            monkeypatch.setattr(Trainer, "_epoch", real)
            trainer.save()
            raise Stopped("by a signal")

    monkeypatch.setattr(Trainer, "_epoch", steps)


@pytest.fixture(scope="module")
def longer(isic_data, train, made_once):
    """longer(network): the contents of a training of four epochs at once."""

    def made(network):
        def make(folder):
            train(network, "isic", isic_data, folder, epochs=4, **EXACT)

        return contents(runs.network_dir(made_once(f"longer_{network}", make), network))

    return made


@pytest.mark.parametrize(("network", "interrupted"), [("cv_0", False), ("baseline", True)])
def test_it_equals_the_longer_training(isic_data, train, tmp_path, monkeypatch, longer, network, interrupted):
    """Two epochs, then four, also stopped in between: log, best and last weights of four at once, to the bit.

    The best epoch's weights are kept, or the last one's: a fold's.
    """
    folder, done = train(network, "isic", isic_data, tmp_path, epochs=2, **EXACT)
    assert done["epochs"] == 2
    said = []
    if interrupted:
        stopped_in(monkeypatch, 3)
        with pytest.raises(Stopped):
            train(network, "isic", isic_data, tmp_path, epochs=4, say=said.append, **EXACT)
        assert runs.finished(folder) is None
    _, done = train(network, "isic", isic_data, tmp_path, epochs=4, say=said.append, **EXACT)
    same(contents(folder), longer(network))
    assert done["epochs"] == 4
    config = artefacts.read_json(folder / runs.CONFIG)
    assert config["epochs"] == 4 and [before["epochs"] for before in config["prolonged"]] == [2]
    assert any("from 2 to 4 epochs" in line and "out of date" in line for line in said)


def test_an_interrupted_training_may_be_given_more_epochs(isic_data, train, tmp_path, monkeypatch, longer):
    """It was never finished, so nothing is out of date; the result is the longer training's."""
    stopped_in(monkeypatch, 2)
    with pytest.raises(Stopped):
        train("baseline", "isic", isic_data, tmp_path / "run", epochs=2, **EXACT)
    folder, _ = train("baseline", "isic", isic_data, tmp_path / "run", epochs=4, **EXACT)
    same(contents(folder), longer("baseline"))
    assert not runs.read_config(folder).prolonged


def test_a_kill_while_it_is_made_unfinished(isic_data, train, tmp_path):
    """Between two writes: the same command goes on, and what it was before is remembered all the same."""
    folder, done = train("baseline", "isic", isic_data, tmp_path, epochs=1)
    (folder / runs.FINISHED).unlink()
    assert train("baseline", "isic", isic_data, tmp_path, epochs=1)[1] == done  # the first command, again
    (folder / runs.FINISHED).unlink()
    train("baseline", "isic", isic_data, tmp_path, epochs=2)
    (before,) = runs.read_config(folder).prolonged
    assert (before.epochs, before.weights_sha256) == (1, done["weights_sha256"])
    again, _ = train("baseline", "isic", isic_data, tmp_path, epochs=3)
    assert [before.epochs for before in runs.read_config(again).prolonged] == [1, 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 1}, r"epochs 2 \(there\) against 1"),
        ({"epochs": None}, r"epochs 2 \(there\) against 100|epochs 2 \(there\) against 50"),
        ({"epochs": 3, "learning_rate": 0.5}, r"found learning_rate 0.01 \(there\) against 0.5"),
        ({"epochs": 3, "batch_size": 4}, r"found batch_size 8 \(there\) against 4"),
    ],
)
def test_only_epochs_may_grow(isic_run, isic_data, train, change, words):
    """Fewer epochs, epochs that nobody asked for, and any other setting are refused; nothing changes."""
    folder = runs.network_dir(isic_run, "baseline")
    before = contents_of(folder)
    with pytest.raises(UserError, match=words):
        train("baseline", "isic", isic_data, isic_run, **change)
    assert contents_of(folder) == before


def contents_of(folder):
    """{path: bytes}; a lock's file says who had it, and is nobody's."""
    return {path: path.read_bytes() for path in folder.iterdir() if path.name != locks.NAME}


def removed_state(folder):
    for path in folder.glob("resume*"):
        path.unlink()


def damaged_state(folder):
    (path,) = folder.glob("resume-*.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edited_state(folder):
    state = artefacts.read_json(folder / runs.RESUME)
    artefacts.write_json(folder / runs.RESUME, {**state, "waited": 9})


def of_an_earlier_version(folder):
    removed_state(folder)
    done = artefacts.read_json(folder / runs.FINISHED)
    del done["state_sha256"]
    artefacts.write_json(folder / runs.FINISHED, done)


@pytest.mark.parametrize("harm", [removed_state, damaged_state, edited_state, of_an_earlier_version])
def test_without_its_state_it_cannot_go_on(isic_run, isic_data, train, tmp_path, harm):
    """One line that says to begin another training from its weights; it stays finished."""
    run = shutil.copytree(isic_run, tmp_path / "run")
    folder = runs.network_dir(run, "baseline")
    harm(folder)
    with pytest.raises(UserError, match=r"resume.*--network=baseline --dataset=isic --init_from=") as caught:
        train("baseline", "isic", isic_data, run, epochs=3)
    assert "\n" not in str(caught.value)
    assert train("baseline", "isic", isic_data, run)[1] == runs.finished(folder)


@pytest.fixture(scope="module")
def once_prolonged(brats_run, brats_data, train, tmp_path_factory):
    """A run whose baseline has other weights than its maps were made with, and than another network learnt from."""
    run = tmp_path_factory.mktemp("prolonged") / "run"
    shutil.copytree(brats_run, run, ignore=shutil.ignore_patterns("predictions", "evaluation"))
    train("auxiliary_feat", "brats", brats_data, run, epochs=1)
    for method in ("baseline", "auxiliary_feat"):
        predict.predict_split(methods.get(method), "brats", brats_data, run, "test", Options(), say=quiet)
    before = runs.finished(runs.network_dir(run, "baseline"))["weights_sha256"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            selection, "is_kept", lambda *_: True
        )  # whatever its Dice, the third epoch's weights are others
        _, done = train("baseline", "brats", brats_data, run, epochs=3)
    assert done["weights_sha256"] != before
    return run


@pytest.fixture
def prolonged(once_prolonged, tmp_path):
    """(a copy of that run, the folder of its maps, their bytes)."""
    run = shutil.copytree(once_prolonged, tmp_path / "run")
    folder = runs.predictions_dir(run, "baseline")
    return run, folder, {path.name: path.read_bytes() for path in folder.glob("*.nii.gz")}


def test_evaluate_says_that_maps_are_out_of_date(prolonged):
    """It names the command that predicts again; also while the network is being trained on."""
    run, _, _ = prolonged
    with pytest.raises(NotReady, match=r"predictions.json.*baseline as it is now.*other weights.*predict.*baseline"):
        sources.run_maps(run, "brats", "baseline")
    (runs.network_dir(run, "baseline") / runs.FINISHED).unlink()
    with pytest.raises(NotReady, match="trained on"):
        sources.run_maps(run, "brats", "baseline")


def test_predict_does_them_again(prolonged, brats_data):
    """All of them, and says so; another difference is refused as ever."""
    run, folder, before = prolonged
    where = methods.get("baseline"), "brats", brats_data, run, "test"
    with pytest.raises(UserError, match=r"precision|networks"):
        predict.predict_split(*where, Options(precision="bfloat16"), say=quiet)
    assert {path.name: path.read_bytes() for path in folder.glob("*.nii.gz")} == before
    said = []
    predict.predict_split(*where, Options(), say=said.append)
    assert "out of date" in said[0]
    after = {path.name: path.read_bytes() for path in folder.glob("*.nii.gz")}
    assert set(after) == set(before) and after != before
    sources.run_maps(run, "brats", "baseline")


def test_weights_that_only_moved_are_not_gone(prolonged, brats_data):
    """Maps whose weights are in the run under another name are left alone."""
    run, folder, before = prolonged
    path = folder / runs.CONFIG
    moved = runs.weights_checksum(run, "aleatoric")
    artefacts.write_json(path, {**artefacts.read_json(path), "networks": {"baseline": moved}})
    with pytest.raises(UserError, match=r"networks\.baseline"):
        predict.predict_split(methods.get("baseline"), "brats", brats_data, run, "test", Options(), say=quiet)
    assert {path.name: path.read_bytes() for path in folder.glob("*.nii.gz")} == before


def test_networks_trained_again_on_our_advice(prolonged, train, brats_data):
    """The head's maps, by a head that is gone, are made anew, whatever its configuration was; so are the baseline's."""
    run, _, _ = prolonged
    where = "brats", brats_data, run, "test"
    own = runs.network_dir(run, "auxiliary_feat")
    with pytest.raises(UserError, match="learnt from former weights: remove"):
        train("auxiliary_feat", "brats", brats_data, run, epochs=1)
    shutil.rmtree(own)
    train("auxiliary_feat", "brats", brats_data, run, epochs=2)
    manifest = records.read_manifest(brats_data)
    method = methods.get("auxiliary_feat")
    job = PredictJob("predict", (), 1.0, method, "test", manifest, {"samples": None}, "float32", 10)
    assert not job.is_done(run)
    with pytest.raises(NotReady, match=r"predict.*auxiliary_feat"):
        sources.run_maps(run, "brats", "auxiliary_feat")
    with pytest.raises(UserError, match=r"precision|networks"):
        predict.predict_split(method, *where, Options(precision="bfloat16"), say=quiet)
    said = []
    predict.predict_split(method, *where, Options(), say=said.append)
    assert "out of date" in said[0] and job.is_done(run)
    sources.run_maps(run, "brats", "auxiliary_feat")
    said.clear()
    predict.predict_split(method, *where, Options(), say=said.append)
    assert "finished already" in said[0]
    predict.predict_split(methods.get("baseline"), *where, Options(), say=quiet)
    shutil.rmtree(runs.network_dir(run, "baseline"))
    train("baseline", "brats", brats_data, run, epochs=1, seed=5)
    predict.predict_split(methods.get("baseline"), *where, Options(), say=said.append)
    assert "out of date" in said[-1]


@pytest.mark.parametrize(
    ("change", "outdated"),
    [
        ({}, True),
        ({"schema": None, "configurations": None}, True),  # of an earlier version
        ({"configurations": {"a": "A", "b": "other"}}, True),
        ({"configurations": {"a": "other", "b": "B"}}, False),  # the weights of `a` are today's, its config.json is not
        ({"networks": {"a": "1"}}, False),
        ({"networks": {"a": "1", "b": "3"}}, False),  # those of `c` today
        ({"networks": {"a": "1", "b": "2"}}, False),  # nothing differs
        ({"seed": 1}, False),
        ({"records": "others"}, False),
    ],
)
def test_what_may_be_replaced(change, outdated):
    """Weights that are gone, with what their config.json said; nothing else."""
    asked = artefact.document(methods.get("baseline"), {"samples": None, "seed": 0}, "float32", {}, {}, records="these")
    asked |= {"networks": {"a": "1", "b": "2"}, "configurations": {"a": "A", "b": "B"}}
    stored = {**asked, "networks": {"a": "1", "b": "0"}, **change}
    stored = {name: value for name, value in stored.items() if value is not None or name not in change}
    assert artefact.is_outdated(stored, asked, {}, {"1", "2", "3"}, lambda _: False) is outdated


def test_a_network_that_learnt_from_it_is_out_of_date(prolonged, brats_data):
    """The head on the baseline's features is not used on others; the line says to train it again."""
    run, _, _ = prolonged
    where = methods.get("auxiliary_feat"), "brats", brats_data, run, "test"
    with pytest.raises(NotReady, match=r"auxiliary_feat.*former weights.*remove.*train"):
        predict.predict_split(*where, Options(), say=quiet)


def test_an_export_says_so(prolonged, tmp_path):
    """The exported version is of the old weights: it stays, and the line names the next version."""
    from tfunc.serving import export

    run, _, _ = prolonged
    former = shutil.copytree(run, tmp_path / "former")
    folder = runs.network_dir(former, "baseline")
    (before,) = {one.weights_sha256 for one in runs.read_config(folder).prolonged[:1]}
    exported = export.export(methods.get("baseline"), "brats", run, tmp_path / "export", Options(), say=quiet)
    path = exported / export.DESCRIPTION
    artefacts.write_json(path, {**artefacts.read_json(path), "networks": {"baseline": before}})
    with pytest.raises(UserError, match=r"networks.baseline.*--version=2"):
        export.export(methods.get("baseline"), "brats", run, tmp_path / "export", Options(), say=quiet)


def test_a_study_sees_it(prolonged, brats_data):
    """A training of fewer epochs is not its own, maps of former weights are not done; epochs nobody asked for are kept."""
    from conftest import TINY

    run, _, _ = prolonged
    manifest = records.read_manifest(brats_data)
    epochs = runs.read_config(runs.network_dir(run, "baseline")).epochs

    def job(asked):
        chosen = {**settings.defaults(), **TINY, "epochs": asked}
        return TrainJob("train_baseline", (), 1.0, networks.get("baseline"), manifest, chosen)

    assert job(epochs).is_done(run) and job(None).is_done(run)
    assert not job(2).is_done(run) and not job(epochs + 1).is_done(run)
    maps = PredictJob("predict", (), 1.0, methods.get("baseline"), "test", manifest, {"samples": None}, "float32", 10)
    assert not maps.is_done(run)
    predict.predict_split(methods.get("baseline"), "brats", brats_data, run, "test", Options(), say=quiet)
    assert maps.is_done(run)
