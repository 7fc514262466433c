"""Training: what is kept, what is refused, and that stopping it anywhere changes nothing."""

import csv
import json
import os
import random
import shutil
import signal
import time

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import make_trainer

from data_prep import records
from data_prep.base import artefacts
from data_prep.base.errors import NotReady, Stopped, UserError
from tfunc import runs
from tfunc.learning import checkpoint as state
from tfunc.learning import fit
from tfunc.learning.selection import dice_score

FLAGS = {"start_filters": 2, "depth": 1, "batch_size": 8, "learning_rate": 1e-2}


EPOCHS = 14  # of the killed training: each of five kills costs two at most, and the first is let alone for one more


def log(folder):
    return list(csv.DictReader((folder / "log.csv").read_text().splitlines()))


def final(one):
    """Every variable of a trainer, with its optimizer's."""
    return [np.asarray(variable) for variable in one.steps.variables()]


@pytest.mark.parametrize(
    ("counts", "plain", "smooth"),
    [((0, 0, 0), 1, 1), ((0, 5, 0), 0, 1 / 6), ((0, 0, 5), 0, 1 / 6), ((4, 6, 10), 0.5, 9 / 17), ((7, 7, 7), 1, 1)],
)
def test_dice_score(counts, plain, smooth):
    """Plain: 1 where both are empty; smoothed as the reference's on ISIC: (2 I + 1) / (P + T + 1)."""
    assert dice_score(*counts, smooth=False) == pytest.approx(plain)
    assert dice_score(*counts, smooth=True) == pytest.approx(smooth)


def test_a_training_learns_and_leaves_its_artefacts(brats_run, brats_data):
    """Loss falls, the log has a line an epoch, TensorBoard's events are there and the last state, from which it can go on."""
    folder = runs.network_dir(brats_run, "baseline")
    lines, done = log(folder), runs.finished(folder)
    assert [line["epoch"] for line in lines] == ["1", "2"]
    assert float(lines[1]["loss"]) < float(lines[0]["loss"])
    assert done["steps"] == int(lines[1]["step"]) and done["valid_dice"] == max(
        float(line["valid_dice"]) for line in lines
    )
    assert list(folder.glob("events.out.tfevents.*"))
    assert len(list(folder.glob("resume*"))) == 2 and not list(folder.glob(".partial*"))
    assert done["state_sha256"] == artefacts.sha256(folder / runs.RESUME)
    config = artefacts.read_json(folder / runs.CONFIG)
    assert config["start_filters"] == 4 and config["records"]


def test_validation_dice_is_per_subject_over_all_its_slices(trainer, brats_data, shaken):
    """The streamed score is the mean over subjects of the Dice of the whole volume's argmax."""
    one = trainer("baseline", brats_data, batch_size=5)
    shaken(one.steps.model)
    scores = []
    for name in one.valid.names:
        subject = records.read_subject(brats_data, one.valid.manifest, name)
        logits = one.steps.model(subject.normalised()).numpy()
        predicted, target = logits[..., 1] > logits[..., 0], subject.label > 0
        scores.append(2 * (predicted & target).sum() / (predicted.sum() + target.sum()))
    assert one.score()[0] == pytest.approx(np.mean(scores), abs=1e-12) and len(scores) == 2


def test_photographs_are_scored_smoothed(trainer, isic_data, shaken):
    """On ISIC the score is the reference's smoothed Dice; its auxiliary networks' is not smoothed."""
    one = trainer("baseline", isic_data)
    shaken(one.steps.model)
    (subject,) = (records.read_subject(isic_data, one.valid.manifest, name) for name in one.valid.names)
    logits = one.steps.model(subject.normalised()).numpy()
    predicted, target = logits[..., 1] > logits[..., 0], subject.label > 0
    expected = (2 * (predicted & target).sum() + 1) / (predicted.sum() + target.sum() + 1)
    assert one.score()[0] == pytest.approx(expected, abs=1e-12)
    assert not trainer("auxiliary_segm", isic_data).smooth


def scripted(one, scores, monkeypatch):
    """Runs a training whose validation gives these scores; returns finished.json and the epochs that were kept.

    A score is a Dice, or a pair of Dice and loss.
    """
    remaining, kept = iter([pair if isinstance(pair, tuple) else (pair, 0.5) for pair in scores]), []
    monkeypatch.setattr(one, "score", lambda: next(remaining))
    save = one.steps.model.save_weights
    monkeypatch.setattr(one.steps.model, "save_weights", lambda path: (kept.append(one.counters.epoch), save(path)))
    monkeypatch.setattr(one, "step_fn", lambda batch, step: 0.25)
    monkeypatch.setattr(one.monitor, "epoch", lambda entry: None)
    data = one._training_data()
    monkeypatch.setattr(one, "_training_data", lambda: data)  # nobody looks at them, so one epoch's are made
    return one.run(), kept


@pytest.mark.long
def test_best_is_strictly_greater(trainer, isic_data, monkeypatch):
    """An equal score does not replace the best weights; the first of equals is kept, however low."""
    done, kept = scripted(trainer("baseline", isic_data, epochs=5), [0.0, 0.3, 0.3, 0.1, 0.3], monkeypatch)
    assert kept == [1, 2] and done["best_epoch"] == 2 and done["valid_dice"] == 0.3 and done["epochs"] == 5


@pytest.mark.parametrize("quirks, expected", [(False, [1, 3, 5]), (True, [1, 2, 4, 5])])
def test_while_nothing_is_found_the_loss_decides(trainer, isic_data, monkeypatch, quirks, expected):
    """At a Dice of next to 0 the lowest loss is kept, else auxiliary networks would stay at their first epoch."""
    one = trainer("baseline", isic_data, epochs=6, reference_quirks=quirks)
    scores = [(5e-6, 0.5), (0.013, 0.6), (0.0, 0.4), (0.02, 0.45), (0.1, 0.9), (0.0, 0.2)]
    assert scripted(one, scores, monkeypatch)[1] == expected


def test_keeping_the_last(trainer, isic_data, monkeypatch):
    """A network that must not be selected on its validation keeps the weights of the last epoch."""
    done, kept = scripted(trainer("cv_0", isic_data, epochs=3, keeps="last"), [0.5, 0.4, 0.3], monkeypatch)
    assert kept == [3] and done["kept_epoch"] == 3


def test_patience(trainer, isic_data, monkeypatch):
    """It stops after that many epochs in a row without a better score; a better one starts the count again."""
    done, _ = scripted(trainer("baseline", isic_data, epochs=9, patience=2), [0.2, 0.1, 0.3, 0.3, 0.3], monkeypatch)
    assert done["epochs"] == 5 and done["best_epoch"] == 3


def test_max_steps_end_with_a_validation(trainer, isic_data, monkeypatch):
    """The step limit cuts the last epoch short, which is validated all the same."""
    done, kept = scripted(trainer("baseline", isic_data, batch_size=2, epochs=9, max_steps=6), [0.1, 0.2], monkeypatch)
    assert done["steps"] == 6 and done["epochs"] == 2 and kept == [1, 2]


@pytest.fixture(scope="module")
def another(tmp_path_factory, brats_data):
    """another(): a training of three epochs, under the global seed that `fit` sets."""

    def make(folder=None):
        keras.utils.set_random_seed(20)
        folder = folder or tmp_path_factory.mktemp("network")
        return make_trainer(
            "baseline", brats_data, folder=folder, depth=1, start_filters=2, epochs=3, average_weights=True
        )

    return make


@pytest.fixture(scope="module")
def uninterrupted(another):
    """finished.json, all variables and the log of that training."""
    one = another()
    return one.run(), final(one), (one.checkpoint.folder / "log.csv").read_text()


def steps_until(one, count, number=signal.SIGTERM):
    """Lets a signal arrive while the `count`-th step of this process runs."""
    real, done, asked = one.step_fn, [], number

    def step(batch, number):
        done.append(number)
        if len(done) == count:
            os.kill(os.getpid(), asked)
        return real(batch, number)

    one.step_fn = step


def stopped_in_validation(one):
    """Lets SIGUSR1 arrive twice in the first batch of a validation; returns the list of the batches that were counted."""
    real, counted = one.count_fn, []

    def count(batch):
        counted.append(batch)
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        return real(batch)

    one.count_fn = count
    return counted


def test_a_stopped_training_equals_an_uninterrupted_one(another, uninterrupted):
    """A signal that asks to end saves at the next step; new objects end with the same weights, optimizer and log, to the bit.

    It arrives in the first step, in the last of an epoch and in the last of all, between training and its validation, and in
    that validation, where the model has its averaged weights; there in the first batch, and twice, as `timeout` sends it.
    """
    done, weights, lines = uninterrupted
    one, before = another(), signal.getsignal(signal.SIGTERM)
    an_epoch = one.train.steps(8)
    assert an_epoch > 2
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for count, number in zip((1, an_epoch - 1, 2 * an_epoch), signals, strict=True):
        steps_until(one, count, number)
        with pytest.raises(Stopped, match="continues") as stopped:
            one.run()
        assert stopped.value.exit_code == 128 + number
        assert signal.getsignal(signal.SIGTERM) is before
        one = another(one.checkpoint.folder)
    counted = stopped_in_validation(one)
    with pytest.raises(Stopped, match=f"stopped at step {3 * an_epoch}; .*continues") as stopped:
        one.run()
    assert stopped.value.exit_code == 128 + signal.SIGUSR1 and len(counted) == 1
    one = another(one.checkpoint.folder)
    assert one.run()["steps"] == done["steps"] == 3 * an_epoch
    assert (one.checkpoint.folder / "log.csv").read_text() == lines
    for ours, theirs in zip(final(one), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_saved_state_is_checked(tmp_path):
    """A state comes back as saved; one byte changed, or the file gone, is an error that names it and the remedy."""
    arrays = [np.arange(6, dtype="f4").reshape(2, 3), np.array(7, np.int64)]
    counters = {"epoch": 1, "step_in_epoch": 0, "loss_sum": 0.0, "best_epoch": 1, "kept_epoch": 1, "waited": 0}
    counters |= {"stack": "current", "history": []}
    state.write(tmp_path, [arrays[0] * 2, arrays[1]], {**counters, "step": 1, "best": 0.5})
    state.write(tmp_path, arrays, {**counters, "step": 2, "best": 0.25})
    assert len(list(tmp_path.glob("resume-*.npz"))) == 1
    read, counters = state.read(tmp_path)
    for one, other in zip(arrays, read, strict=True):
        np.testing.assert_array_equal(one, other)
    assert counters["step"] == 2 and counters["best"] == 0.25
    (path,) = tmp_path.glob("resume-*.npz")
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"resume-.*a damaged file.*remove"):
        state.read(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match="no file"):
        state.read(tmp_path)


def test_the_other_stacks_state_is_refused(trainer, isic_data):
    """Optimizer state does not cross: the error says which stack saved it, and what to do."""
    one = trainer("baseline", isic_data)
    one.save()
    pointer = one.checkpoint.folder / runs.RESUME
    pointer.write_text(json.dumps({**artefacts.read_json(pointer), "stack": "another"}))
    with pytest.raises(UserError, match=r"resume.json.*stack.*another.*--run_dir"):
        one.run()


def test_a_finished_training_does_nothing(brats_run, brats_data, train):
    """The same command again finds the network: no file changes, and it says so."""
    folder = runs.network_dir(brats_run, "baseline")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    said = []
    _, done = train("baseline", "brats", brats_data, brats_run, say=said.append)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert done == runs.finished(folder) and "trained already" in said[0]


@pytest.mark.parametrize("change", [{"depth": 3}, {"seed": 21}, {"epochs": 1}, {"average_weights": True}])
def test_another_configuration_is_refused(brats_run, brats_data, train, change):
    """A folder made with other settings is left alone; the error names file, setting and both values."""
    ((name, value),) = change.items()
    with pytest.raises(UserError, match=rf"config.json.*{name} .* \(there\) against {value}") as caught:
        train("baseline", "brats", brats_data, brats_run, **change)
    assert caught.value.exit_code == 2 and "--run_dir" in str(caught.value)


def test_other_records_are_refused(brats_run, brats_data, train, tmp_path):
    """The same settings on other records are another training."""
    shutil.copytree(brats_data, tmp_path / "data")
    path = tmp_path / "data" / records.MANIFEST
    path.write_text(path.read_text() + " ")  # the same content, written otherwise
    _, done = train("baseline", "brats", tmp_path / "data", brats_run)
    assert done == runs.finished(runs.network_dir(brats_run, "baseline"))
    document = artefacts.read_json(path)
    document["subjects"][0]["training_slices"] += 1
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match="records"):
        train("baseline", "brats", tmp_path / "data", brats_run)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"epochs": 0},
        {"max_steps": 0},
        {"patience": 0},
        {"depth": 0},
        {"start_filters": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"batch_size": 10**12},
        {"seed": -1},
        {"seed": 2**31},
    ],
)
def test_impossible_settings_are_refused_before_anything_is_written(wrong, isic_data, train, tmp_path):
    """Numbers that no training can have: an error with the flag's name, and no folder."""
    with pytest.raises(UserError, match=f"--{next(iter(wrong))}="):
        train("baseline", "isic", isic_data, tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


def test_tensorboard_shows_the_training(brats_run):
    """Loss and Dice of each epoch, pictures of validation slices with their uncertainty, and the settings as HParams."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    folder = runs.network_dir(brats_run, "baseline")
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    for name, column in (("loss", "loss"), ("valid_loss", "valid_loss"), ("valid_dice", "valid_dice")):
        shown = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(name)]
        np.testing.assert_allclose(shown, [float(line[column]) for line in log(folder)], rtol=1e-6)
    pictures = events.Tensors("image, truth, prediction, uncertainty")
    width, height, *encoded = tf.make_ndarray(pictures[-1].tensor_proto)
    assert len(pictures) == 2 and (int(width), int(height)) == (4 * 32, 32)
    panels = np.split(tf.io.decode_png(encoded[0]).numpy()[..., 0], 4, axis=1)
    assert set(np.unique(panels[1])) == {0, 255} >= set(np.unique(panels[2])) and len(np.unique(panels[3])) > 4
    (tag,) = [tag for tag in events.PluginTagToContent("hparams") if "session_start" in tag]
    data = events.SummaryMetadata(tag).plugin_data.content
    settings = plugin_data_pb2.HParamsPluginData.FromString(data).session_start_info.hparams
    assert "streams" not in settings and not any("_" in name for name in settings)
    described = events.SummaryMetadata("image, truth, prediction, uncertainty").summary_description
    assert "uncertainty" in described and "ground truth" in described
    assert settings["start filters"].number_value == 4 and settings["network"].string_value == "baseline"


def test_missing_and_foreign_records(isic_data, train, tmp_path):
    """Absent records: `NotReady` naming the commands that make some; the other dataset's: `UserError`."""
    with pytest.raises(NotReady, match=r"prepare\.py.*phantom\.py"):
        train("baseline", "isic", tmp_path / "nothing", tmp_path)
    with pytest.raises(UserError, match="records of brats"):
        train("baseline", "brats", isic_data, tmp_path)


def test_a_loss_that_is_not_finite_ends_the_training(trainer, isic_data):
    """NaN weights stop it at the first step with an error, rather than train on to nothing; nothing counts as best."""
    one = trainer("baseline", isic_data, depth=1)
    one.steps.model.set_weights([weight * np.nan for weight in one.steps.model.get_weights()])
    with pytest.raises(UserError, match=r"step 0: expected a finite loss, found nan"):
        one.run()
    assert not (one.checkpoint.folder / runs.WEIGHTS).exists()


def test_a_validation_loss_that_is_not_finite_ends_it_too(trainer, isic_data, monkeypatch):
    """A network that gives NaN in validation (statistics that blew up) is an error, not a crash on saving."""
    one = trainer("baseline", isic_data, depth=1)
    monkeypatch.setattr(one, "step_fn", lambda batch, step: 0.25)
    monkeypatch.setattr(one, "score", lambda: (0.0, float("nan")))
    with pytest.raises(UserError, match="finite validation loss"):
        one.run()


def test_a_damaged_shard_is_named(brats_data, trainer, tmp_path):
    """Damage that only reading shows ends the training with shard and record, not with TensorFlow's error."""
    folder = tmp_path / "data"
    shutil.copytree(brats_data, folder)
    one = trainer("baseline", folder)
    path = folder / one.train.shards[0]
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{path.name}, record 0.*prepare"):
        one.run()


def test_dropout_is_on_in_training(trainer, brats_data):
    """Two steps on one batch draw other masks, the same step the same; validation draws none."""
    one = trainer("center", brats_data)
    one.steps.model.trainable = False  # weights and statistics stay: only the masks can differ
    batch = next(iter(one.train.training(8, 1, 0)))

    def loss(step):
        keeps = one.steps.keeps(batch, tf.constant(step, tf.int64))
        return float(tf.reduce_mean(one.steps.objective.rows(batch, True, keeps)[0]))

    assert loss(1) == loss(1) != loss(2)
    assert one.steps.keeps(batch, tf.constant(1, tf.int64))[0].shape == (8, 4)


def training_flags(data_dir, run_dir, **more):
    flags = {"method": "baseline", "dataset": "isic", "data_dir": data_dir, "run_dir": run_dir, **FLAGS, **more}
    return [f"--{name}={value}" for name, value in flags.items()] + ["--deterministic", "--average_weights"]


@pytest.fixture(scope="module")
def deterministic(launch, isic_data, tmp_path_factory):
    """Folder of a network trained by the launcher with `--deterministic` and averaged weights, short epochs."""
    run = tmp_path_factory.mktemp("deterministic")
    ended = launch("train", *training_flags(isic_data, run, epochs=EPOCHS))
    assert ended.code == 0, ended.err
    return runs.network_dir(run, "baseline")


def contents(folder):
    """What a training is compared by: its log, its best weights to the bit, and the last step's by their checksum."""
    weights = []
    with h5py.File(folder / runs.WEIGHTS) as file:
        file.visititems(lambda name, item: weights.append((name, item[()])) if hasattr(item, "shape") else None)
    return (folder / "log.csv").read_text() + runs.finished(folder)["last_sha256"], weights


def same(one, other):
    assert one[0] == other[0]
    for (name, ours), (other_name, theirs) in zip(one[1], other[1], strict=True):
        assert name == other_name
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.long
def test_same_seed_same_metrics_and_weights(deterministic, launch, isic_data, tmp_path):
    """Two processes, same seed, `--deterministic`: equal logs and weights to the bit."""
    flags = training_flags(isic_data, tmp_path / "same", epochs=EPOCHS)
    assert launch("train", *flags).code == 0
    same(contents(deterministic), contents(runs.network_dir(tmp_path / "same", "baseline")))


@pytest.mark.long
def test_kill_9_at_random_moments(deterministic, launch, isic_data, tmp_path):
    """Killed five times anywhere, also while it saves: log, best and last weights equal the uninterrupted run's.

    Each time it is let alone until it has saved something new, and for some part of an epoch more.
    """
    flags = training_flags(isic_data, tmp_path, epochs=EPOCHS)
    folder, chance, epoch = runs.network_dir(tmp_path, "baseline"), random.Random(7), None
    for _ in range(5):
        started = launch.start("train", *flags)
        await_saving(folder)
        if epoch is None:
            epoch = await_saving(folder)
        time.sleep(chance.uniform(0, epoch))
        os.kill(started[0], signal.SIGKILL)
        assert launch.end(started).code == -signal.SIGKILL, "it ended before it was killed"
    assert not (folder / runs.FINISHED).exists()
    ended = launch("train", *flags)
    assert ended.code == 0 and "continues at" in ended.out, ended.err
    same(contents(deterministic), contents(folder))


def await_saving(folder):
    """Waits until the state has been saved anew; returns the seconds that took."""
    pointer, begun = folder / runs.RESUME, time.monotonic()
    before = modified(pointer)
    while modified(pointer) == before and time.monotonic() - begun < 60:
        time.sleep(0.005)
    return time.monotonic() - begun


def modified(path):
    return path.stat().st_mtime_ns if path.exists() else None


def test_determinism_ends_with_its_training():
    """`--deterministic` holds while the training runs, whatever ends it, and not for what runs after it."""
    from tensorflow.python.framework import config

    for wanted in (True, False):
        with pytest.raises(Stopped), fit.op_determinism(wanted):
            assert config.is_op_determinism_enabled() == wanted
            raise Stopped("by a signal")
        assert not config.is_op_determinism_enabled()
