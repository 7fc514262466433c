"""Whose the folder of a training is: nobody's until something is trained in it, then of one configuration.

Two things may change in it. A training may go on for more epochs, which makes it the longer training to the bit: its state
is kept when it is finished. One that diverged makes room for another configuration. No TensorFlow here.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable
from typing import Any

import msgspec

from data_prep.base import artefacts, locks, names
from data_prep.base.errors import UserError, command
from tfunc import runs, shapes
from tfunc.learning.settings import Settings
from tfunc.nets import precision
from tfunc.runs import Config

DIVERGED = "diverged.json"
OF_A_TRAINING = (
    "resume*",
    "epoch-*.weights.h5",
    "last-*.weights.h5",
    runs.WEIGHTS,
    "log.csv",
    "events.out.tfevents.*",
    DIVERGED,
)


class Diverged(UserError):
    """A loss that is not finite. Its training does not keep the folder."""


def as_begun(folder: pathlib.Path, asked: Config, settings: Settings, init_from: runs.Path | None = None) -> Config:
    """What is asked for, with what the folder keeps where the user asks for nothing.

    That are the version of the random streams, the precision, the weights that it began from, and the epochs that it was
    prolonged to.
    """
    if not (folder / runs.CONFIG).exists() or not is_begun(folder):
        return asked
    stored = runs.read_config(folder)
    kept: dict[str, Any] = {"streams": stored.streams}
    if settings["precision"] == precision.AUTO:
        kept["precision"] = stored.precision
    if init_from is None and is_continued(folder):
        kept["init_from"] = stored.init_from
    if settings["epochs"] is None and stored.prolonged:
        kept["epochs"] = stored.epochs
    return msgspec.structs.replace(asked, **kept)


def is_begun(folder: pathlib.Path) -> bool:
    """Whether something was trained in the folder that another configuration must leave alone."""
    return (folder / runs.FINISHED).exists() or (folder / runs.RESUME).exists()


def is_continued(folder: pathlib.Path) -> bool:
    """Whether a training there goes on, or is finished: one that diverged begins anew where it is asked for otherwise."""
    return is_begun(folder) and not (folder / DIVERGED).exists()


def claim(
    folder: pathlib.Path,
    config: Config,
    is_same: Callable[[str], bool],
    say: Callable[[str], Any],
    grows: bool = False,
) -> None:
    """Writes `config.json`, or finds it of the same configuration; raises `UserError` naming the differences.

    grows: whether more epochs were asked for by the user. A finished training is then unfinished again.
    """
    path = folder / runs.CONFIG
    if not path.exists() or not is_begun(folder):
        artefacts.write_document(path, config.document())
        return
    stored = runs.read_config(folder)
    if (folder / DIVERGED).exists() and runs.difference(stored, config, is_same):
        _make_room(folder)
        say(f"{folder}: what diverged here with other settings is removed")
        artefacts.write_document(path, config.document())
        return
    grown = grows and config.epochs > stored.epochs
    as_stored = msgspec.structs.replace(config, epochs=stored.epochs) if grown else config
    if different := runs.difference(stored, as_stored, is_same):
        do = "ask for the same, or choose another --run_dir"
        learnt = msgspec.structs.replace(as_stored, learns_from=stored.learns_from)
        if not runs.difference(stored, learnt, is_same):
            do = f"it learnt from former weights: remove {folder} and train it again"
        expected = f"the same configuration of the network {config.network.name}"
        raise UserError(path, expected=expected, found=different, do=do)
    if grown:
        _prolong(folder, config.task.name, stored.epochs, config.epochs, say)


def release(folder: pathlib.Path, error: Diverged) -> None:
    """Lets go of the folder of a training that diverged: what was saved is removed when another one needs the room.

    One that had been finished and was prolonged keeps it.
    """
    if not is_begun(folder):
        artefacts.remove(folder / runs.CONFIG, missing_ok=True)
    elif not artefacts.read_document(folder / runs.RESUME, shapes.Resume).get("finished"):
        artefacts.write_document(folder / DIVERGED, {"found": str(error)})


def restart(folder: pathlib.Path, say: Callable[[str], Any]) -> None:
    """Removes an unfinished training, so that the next one begins anew; one that is finished is left, and it is said.

    Raises `UserError` for one that had been finished and was prolonged: its weights are there to be kept.
    """
    if not folder.exists() or not any((folder / name).exists() for name in (runs.CONFIG, runs.FINISHED, runs.RESUME)):
        return
    with locks.held(folder, "a network"):
        if (folder / runs.FINISHED).exists():
            say(f"{folder}: finished, which --restart leaves as it is; to train it anew, remove the folder")
            return
        if _was_finished(folder):
            expected, found = "a training that was never finished", "one that was, and goes on for more epochs"
            raise UserError(folder, expected=expected, found=found, do="remove the folder to lose it and begin anew")
        _make_room(folder)
        artefacts.remove(folder / runs.CONFIG, missing_ok=True)
        say(f"{folder}: what was unfinished here is removed, and the training begins anew")


def _was_finished(folder):
    """Whether a training was finished before it was prolonged, by whichever of its two documents can be read."""
    for name, entry in ((runs.RESUME, "finished"), (runs.CONFIG, "prolonged")):
        if (folder / name).exists():
            with contextlib.suppress(UserError):  # torn or edited, which is what beginning anew is for
                if artefacts.read_document(folder / name).get(entry):
                    return True
    return False


def _make_room(folder):
    artefacts.remove(folder / runs.RESUME, missing_ok=True)  # first: without it nothing here is a training's
    for pattern in OF_A_TRAINING:
        for path in folder.glob(pattern):
            artefacts.remove(path)


def _prolong(folder, dataset, epochs, more, say):
    """Makes an unfinished training of more epochs of one that may be finished.

    A kill between any two steps is mended by the same command: the state says what was finished.
    """
    done = runs.finished(folder)
    if done is not None:
        require_state(folder, done, dataset)
        artefacts.remove(folder / runs.FINISHED)
        say(f"{folder}: goes on from {epochs} to {more} epochs; what was made from its weights will be out of date")
    finished = artefacts.read_document(folder / runs.RESUME, shapes.Resume).get("finished", [])
    stored = artefacts.read_document(folder / runs.CONFIG)  # as it was written: entries that came later stay absent
    more_of_it = {"epochs": more, "prolonged": finished} if finished else {"epochs": more}
    artefacts.write_document(folder / runs.CONFIG, {**stored, **more_of_it})


def damaged_state(folder: pathlib.Path) -> str:
    """What is wrong with the file that a folder's resume.json names, in words; empty for nothing."""
    named = artefacts.read_document(folder / runs.RESUME, shapes.Resume)
    path = folder / names.checked(named["file"], "a file", folder / runs.RESUME)
    if path.exists() and artefacts.sha256(path) == named["sha256"]:
        return ""
    return f"{path.name} {'damaged' if path.exists() else 'removed'}"


def require_state(folder: pathlib.Path, done: runs.Document, dataset: str) -> None:
    """Raises `UserError` where a finished training's state isn't there as it was written."""
    state = folder / runs.RESUME
    expected, found = "the optimizer's state, from which it can go on", None
    if "state_sha256" not in done:
        found = "none: a training of an earlier version, which kept none"
    elif not state.exists() or artefacts.sha256(state) != done["state_sha256"]:
        found = "another file" if state.exists() else "none"
    else:
        found = damaged_state(folder)
    if found:
        start = command("train", network=folder.name, dataset=dataset, init_from=folder, run_dir="…")
        raise UserError(state, expected=expected, found=found, do=("begin another from its weights: ", start))
