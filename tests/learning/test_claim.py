"""Whose a training's folder is: nobody's before something was trained in it, nor after it diverged."""

import shutil

import pytest
import tensorflow as tf

from data_prep.base import artefacts, locks
from data_prep.base.errors import NotReady, UserError
from tfunc import methods, runs
from tfunc.learning import claim
from tfunc.learning.trainer import Trainer
from tfunc.maps import predict, predictor
from tfunc.maps.options import Options


def quiet(line):
    pass


def diverging(monkeypatch, at):
    """The next training's loss is NaN at that step; those after it are as they are."""
    real = Trainer.step_fn

    def step_fn(trainer):
        step = real.func(trainer)

        def once(batch, number):
            if int(number) != at:
                return step(batch, number)
            monkeypatch.setattr(Trainer, "step_fn", real)
            return float("nan")

        return once

    monkeypatch.setattr(Trainer, "step_fn", property(step_fn))


@pytest.fixture(scope="module")
def whole(isic_data, train, made_once):
    """The folder of a training of two epochs that nothing disturbed."""

    def make(folder):
        train("baseline", "isic", isic_data, folder, deterministic=True)

    return runs.network_dir(made_once("claimed_whole", make), "baseline")


@pytest.mark.long
@pytest.mark.parametrize("at", [0, 1])
def test_a_diverged_training_leaves_the_folder_to_another(whole, isic_data, train, tmp_path, monkeypatch, at):
    """At its first step, or after an epoch was saved: one line with the advice, and the same command with another rate works.

    Its result is that of a new folder.
    """
    diverging(monkeypatch, at)
    with pytest.raises(UserError, match=r"found nan; train again with a lower --learning_rate than 100\b") as caught:
        train("baseline", "isic", isic_data, tmp_path / "run", learning_rate=100.0, deterministic=True)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    folder, said = runs.network_dir(tmp_path / "run", "baseline"), []
    assert (folder / runs.RESUME).exists() == (folder / claim.DIVERGED).exists() == bool(at)
    _, done = train("baseline", "isic", isic_data, tmp_path / "run", deterministic=True, say=said.append)
    assert done["last_sha256"] == runs.finished(whole)["last_sha256"]
    assert (folder / "log.csv").read_text() == (whole / "log.csv").read_text()
    assert any("diverged" in line for line in said) == bool(at)
    assert not (folder / claim.DIVERGED).exists() and len(list(folder.glob("events*"))) == 1 + (at == 0)
    assert artefacts.read_json(folder / runs.CONFIG)["learning_rate"] == 1e-2


@pytest.mark.long
def test_the_same_training_may_try_again(whole, isic_data, train, tmp_path, monkeypatch):
    """The same command goes on from what was saved, as if nothing had happened, should it not diverge again."""
    diverging(monkeypatch, 1)
    with pytest.raises(UserError):
        train("baseline", "isic", isic_data, tmp_path / "run", deterministic=True)
    folder, done = train("baseline", "isic", isic_data, tmp_path / "run", deterministic=True)
    assert done["last_sha256"] == runs.finished(whole)["last_sha256"] and not (folder / claim.DIVERGED).exists()


@pytest.mark.long
def test_a_prolonged_training_that_diverges_keeps_what_was_finished(isic_run, isic_data, train, tmp_path, monkeypatch):
    """No other configuration may remove it."""
    run = shutil.copytree(isic_run, tmp_path / "run")
    diverging(monkeypatch, 2)
    with pytest.raises(UserError, match="nan"):
        train("baseline", "isic", isic_data, run, epochs=4)
    with pytest.raises(UserError, match="learning_rate"):
        train("baseline", "isic", isic_data, run, epochs=4, learning_rate=1e-3)
    assert (runs.network_dir(run, "baseline") / runs.WEIGHTS).exists()


@pytest.mark.long
def test_a_training_that_was_killed_before_it_saved_anything(whole, isic_data, train, tmp_path):
    """Its config.json claims nothing: other settings work in its place, weights to begin from among them."""
    done, config = runs.finished(whole), artefacts.read_json(whole / runs.CONFIG)
    folder = runs.network_dir(tmp_path / "run", "baseline")
    beginning = {"network": "gone", "weights_sha256": "0"}
    artefacts.write_json(folder / runs.CONFIG, {**config, "batch_size": 512, "streams": 1, "init_from": beginning})
    _, other = train("baseline", "isic", isic_data, tmp_path / "run", deterministic=True)
    assert other["last_sha256"] == done["last_sha256"] and other["config_sha256"] == done["config_sha256"]


def test_one_process_trains_in_a_folder(isic_data, train, tmp_path):
    """A second one is told to wait, and changes nothing."""
    folder = runs.network_dir(tmp_path, "baseline")
    with locks.taken(folder / ".lock"):
        with pytest.raises(
            NotReady, match=r"baseline: expected a network that nobody else writes, found process \d+ on .*; wait"
        ):
            train("baseline", "isic", isic_data, tmp_path, epochs=1)
        assert [path.name for path in folder.iterdir()] == [".lock"]
    train("baseline", "isic", isic_data, tmp_path, epochs=1)


def test_predictions_claim_nothing_before_the_first_subject(isic_run, isic_data, tmp_path, monkeypatch):
    """One that fails before it has written a map leaves its folder to another number of samples."""
    run = shutil.copytree(isic_run, tmp_path / "run")
    where = methods.get("baseline_mc"), "isic", isic_data, run, "test"
    with monkeypatch.context() as patched:
        patched.setattr(predictor.Predictor, "run", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            predict.predict_split(*where, Options(samples=500), say=quiet)
    folder = predict.predict_split(*where, Options(samples=2), say=quiet)
    assert runs.read_predictions(folder)["samples"] == 2
    with pytest.raises(UserError, match=r"samples 2 \(there\) against 3"):
        predict.predict_split(*where, Options(samples=3), say=quiet)


@pytest.mark.long
@pytest.mark.parametrize(
    "error", [tf.errors.ResourceExhaustedError(None, None, "a\nOOM when allocating [512] by allocator"), MemoryError()]
)
def test_out_of_memory_is_one_line(isic_data, train, tmp_path, monkeypatch, error):
    """It names the flag to lower, and the same command with a smaller batch works in the same folder; prediction's too."""

    def full(*_):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step_fn", property(lambda _: full))
        with pytest.raises(
            UserError, match=r"baseline: expected memory for --batch_size=16 .*lower --batch_size"
        ) as caught:
            train("baseline", "isic", isic_data, tmp_path, epochs=1, batch_size=16)
        assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    train("baseline", "isic", isic_data, tmp_path, epochs=1, batch_size=4)
    monkeypatch.setattr(predictor.Predictor, "run", full)
    with pytest.raises(UserError, match=r"memory for --batch_size=16, .*lower --batch_size$"):
        predict.predict_split(methods.get("baseline"), "isic", isic_data, tmp_path, "test", Options(), say=quiet)
