"""A training that shall begin anew: `train --restart` removes what is unfinished, and never what was finished."""

import shutil

import pytest
import told
from refusals import refused

from data_prep.base import artefacts, locks
from data_prep.base.errors import NotReady, UserError
from tfunc import runs
from tfunc.learning import claim

SMALL = ("--epochs=2", "--start_filters=4", "--depth=1", "--batch_size=8", "--deterministic", "--seed=20")


def listing(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != locks.NAME)


@pytest.fixture
def finished(isic_run, tmp_path):
    """The folder of a finished training, to be changed."""
    return runs.network_dir(shutil.copytree(isic_run, tmp_path / "run"), "baseline")


def test_what_is_unfinished_is_removed(finished):
    """All of it, said with its folder; a folder in which nothing is or was is none to talk about."""
    (finished / runs.FINISHED).unlink()
    state = artefacts.read_document(finished / runs.RESUME)
    artefacts.write_document(finished / runs.RESUME, {**state, "finished": []})
    said = []
    claim.restart(finished, said.append)
    claim.restart(finished, said.append)
    claim.restart(finished.with_name("none"), said.append)
    assert said == [f"{finished}: what was unfinished here is removed, and the training begins anew"]
    assert listing(finished) == ["devices.json"] and not finished.with_name("none").exists()


def test_what_is_finished_stays(finished):
    """It is said, and so is a refusal of what was finished before it was prolonged."""
    before, said = listing(finished), []
    claim.restart(finished, said.append)
    assert said == [f"{finished}: finished, which --restart leaves as it is; to train it anew, remove the folder"]
    (finished / runs.FINISHED).unlink()
    with pytest.raises(UserError, match="expected a training that was never finished, found one that was, and goes on"):
        claim.restart(finished, said.append)
    assert listing(finished) == [name for name in before if name != runs.FINISHED]


def test_a_torn_document_is_no_reason_to_refuse(finished):
    """It is what one begins anew for; what was prolonged is known by its configuration too."""
    (finished / runs.FINISHED).unlink()
    state = artefacts.read_document(finished / runs.RESUME)
    artefacts.write_document(finished / runs.RESUME, {**state, "finished": []})
    (finished / runs.RESUME).write_text("{")
    config = artefacts.read_document(finished / runs.CONFIG)
    artefacts.write_document(finished / runs.CONFIG, {**config, "prolonged": [{"epochs": 1, "weights_sha256": "0"}]})
    with pytest.raises(UserError, match="goes on for more epochs"):
        claim.restart(finished, print)
    artefacts.write_document(finished / runs.CONFIG, config)
    claim.restart(finished, print)
    assert listing(finished) == ["devices.json"]


def test_not_while_another_trains(finished):
    """Whose files these are."""
    (finished / runs.FINISHED).unlink()
    with locks.held(finished, "a network"), pytest.raises(NotReady, match="a network that nobody else writes"):
        claim.restart(finished, print)
    assert (finished / runs.RESUME).exists()


@pytest.mark.long
def test_a_training_that_diverged(launch, isic_data, tmp_path):
    """Its line names the rate, the folder and --restart, with which the same command begins anew."""
    flags = ["--method=baseline", "--dataset=isic", f"--data_dir={isic_data}", f"--run_dir={tmp_path}", *SMALL]
    ended = launch("train", *flags, "--learning_rate=1e30")
    assert ended.code == 2
    line = told.line_of(ended)
    for words in ("expected a finite", "than 1e+30", f"in {tmp_path}/networks/baseline", "--restart begins anew"):
        assert words in line
    told.check("a training that diverges", "train", ended, tmp_path)
    there = listing(tmp_path / "networks" / "baseline")
    refused(launch("train", *flags[:2], f"--data_dir={tmp_path / 'none'}", *flags[3:], "--restart"), 3, "none")
    assert listing(tmp_path / "networks" / "baseline") == there
    again = launch("train", *flags, "--learning_rate=1e-2", "--restart")
    assert again.code == 0, again.err
    left = launch("train", *flags, "--learning_rate=1e-2", "--restart")
    assert left.code == 0 and "--restart leaves as it is" in left.out and "trained already" in left.out
    refused(launch("train", *flags[:-1], "--restart", "--seed=21"), 2, "seed 20 (there) against 21 (asked for)")
