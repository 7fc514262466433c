"""The state of a training that can be taken up again, exactly: variables, counters and history, with a checksum.

A finished training keeps its own, and goes on from it where more epochs are asked for.

`resume-<step>.npz` holds the variables, `resume.json` names it with its SHA-256 and holds the counters. Both are written
aside and renamed, the arrays first and under a new name: a kill at any moment leaves the old pair or the new one. The kept
epoch's weights are written under the epoch's name first, and become the best ones once the state that knows them is saved.
Where the last epochs are kept too, one more than those lies there until the state that knows the newest is saved.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from data_prep.base import artefacts, npy, room
from data_prep.base.errors import UserError
from tfunc import runs, shapes
from tfunc.learning.claim import DIVERGED
from tfunc.learning.selection import Counters
from tfunc.nets import stack

LAST = "last-{:04}.weights.h5"  # of one of the last epochs, where they are kept


class Checkpoint:
    """The files of one training in its network's folder."""

    def __init__(self, folder: runs.Path, kept_epochs: int = 0):
        """kept_epochs: how many of the last epochs' weights stay, each in a file of its own."""
        self.folder, self.kept_epochs = pathlib.Path(folder), kept_epochs

    def save(self, variables: Sequence[Any], counters: Counters) -> None:
        """Saves the state, variables in the order in which they go back, and settles the kept weights."""
        write(self.folder, arrays_of(variables), {"stack": stack.name(), **dataclasses.asdict(counters)})
        self.settle(counters)

    def require_room(self, model: keras.Model, variables: Sequence[Any], steps: int) -> None:
        """Raises `UserError` where the disk has no room for what a training that has taken `steps` will write.

        At most the state and the kept weights twice, since what is old goes when the new is whole, and the last epochs.
        """
        state, weights = (sum(array.nbytes for array in arrays_of(of)) for of in (variables, model.weights))
        is_new = steps == 0  # else one of each is there
        size = (1 + is_new) * (state + weights) + (self.kept_epochs + 1 if is_new and self.kept_epochs else 0) * weights
        room.require(self.folder, size, "weights and state")

    def restore(self, variables: Sequence[Any]) -> Counters | None:
        """Puts the saved state into `variables`; returns its counters, or None where nothing was saved.

        Raises `UserError` where it was saved by the other stack, and for a damaged file.
        """
        require_stack(self.folder)
        saved = read(self.folder)
        if saved is None:
            return None
        arrays, found = saved
        assign(variables, arrays)
        names = {field.name for field in dataclasses.fields(Counters)}
        counters = Counters(**{name: value for name, value in found.items() if name in names})
        self.settle(counters)
        return counters

    def keep(self, model: keras.Model, counters: Counters) -> None:
        """Writes the weights of the kept epoch under its name; the next `save` makes them the best ones."""
        _save_weights(model, self._candidate(counters))

    def keep_epoch(self, model: keras.Model, counters: Counters) -> None:
        """Writes the weights of the epoch that was closed under its number; the next `save` drops the one that is too old."""
        _save_weights(model, self.folder / LAST.format(counters.epoch))

    def _last(self, counters):
        """The files of the last epochs, by the state."""
        epochs = range(max(1, counters.epoch - self.kept_epochs + 1), counters.epoch + 1)
        return [self.folder / LAST.format(epoch) for epoch in epochs if self.kept_epochs]

    def settle(self, counters: Counters) -> None:
        """Makes the kept epoch's weights the best ones once the state that knows them is saved.

        A kill between the two is mended on resume; weights of an epoch that the state doesn't know are dropped.
        """
        if self._candidate(counters).exists():
            artefacts.rename(self._candidate(counters), self.folder / runs.WEIGHTS)
        for lost in {*self.folder.glob("epoch-*.weights.h5"), *self.folder.glob("last-*.weights.h5")}:
            if lost not in self._last(counters):
                artefacts.remove(lost)

    def _candidate(self, counters):
        return self.folder / f"epoch-{counters.kept_epoch:04}.weights.h5"

    def finish(self, variables: Sequence[Any], counters: Counters) -> runs.Document:
        """Writes `finished.json`, which vouches for the weights, config.json and the state; returns its content."""
        now = {"epochs": counters.epoch, "weights_sha256": artefacts.sha256(self.folder / runs.WEIGHTS)}
        if now not in counters.finished:
            counters.finished.append(now)
        kept = {path.name: _checksum(path) for path in self._last(counters)}
        pointer = artefacts.read_document(self.folder / runs.RESUME, shapes.Resume)
        artefacts.write_document(self.folder / runs.RESUME, {**pointer, "finished": counters.finished})
        artefacts.remove(self.folder / DIVERGED, missing_ok=True)
        done = {
            "weights_sha256": now["weights_sha256"],
            **({"kept_sha256": kept} if kept else {}),
            "config_sha256": runs.checksum(artefacts.read_document(self.folder / runs.CONFIG)),
            "state_sha256": artefacts.sha256(self.folder / runs.RESUME),
            "last_sha256": fingerprint(variables),
            "epochs": counters.epoch,
            "steps": counters.step,
            "kept_epoch": counters.kept_epoch,
            "best_epoch": counters.best_epoch,
            "valid_dice": counters.best,
            **stack.versions(),
        }
        artefacts.write_document(self.folder / runs.FINISHED, done)
        return done


def _checksum(path):
    """Of the weights of a kept epoch; raises `UserError` where somebody removed them."""
    if not path.exists():
        do = f"remove {path.parent / runs.RESUME} to train from the start"
        raise UserError(path, expected="the weights that the training kept", found="no file", do=do)
    return artefacts.sha256(path)


def require_stack(folder: pathlib.Path) -> None:
    """Raises `UserError` where a state was saved by the other stack."""
    pointer = folder / runs.RESUME
    if pointer.exists() and (found := artefacts.read_document(pointer, shapes.Resume)["stack"]) != stack.name():
        raise UserError(
            pointer,
            expected=f"a training of this stack ({stack.name()})",
            found=f"one of the stack {found}, whose optimizer state does not cross",
            do="continue it there, or train into another --run_dir",
        )


def arrays_of(variables: Sequence[Any]) -> list[np.ndarray]:
    """The values of variables."""
    return [np.asarray(variable) for variable in variables]


def assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    """Gives each variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(np.asarray(value))


def fingerprint(variables: Sequence[Any]) -> str:
    """Checksum of the last step's weights and optimizer, which are not kept: two equal trainings have the same."""
    digest = hashlib.sha256()
    for array in arrays_of(variables):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _save_weights(model, path):
    """Keras insists on the file's ending, which `aside` keeps."""
    size = sum(array.nbytes for array in model.get_weights())
    with artefacts.aside(path) as temporary:
        artefacts.check_room(
            temporary, size + size // 8 + 4096 * len(model.layers)
        )  # HDF5's own lists beside the arrays
        model.save_weights(str(temporary))


def write(folder: pathlib.Path, arrays: Sequence[np.ndarray], counters: dict[str, Any]) -> None:
    """Writes the pair of files. counters: JSON-able, with `step`."""
    path = folder / f"resume-{counters['step']:08}.npz"
    with artefacts.aside(path) as temporary:
        stored: dict[str, Any] = {f"{index:04}": array for index, array in enumerate(arrays)}
        np.savez(temporary, **stored)
        checksum = artefacts.sha256(temporary)
    artefacts.write_document(folder / runs.RESUME, {"file": path.name, "sha256": checksum, **counters})
    for old in folder.glob("resume-*.npz"):
        if old.name != path.name:
            artefacts.remove(old)


def read(folder: pathlib.Path) -> tuple[list[np.ndarray], dict[str, Any]] | None:
    """(arrays, counters), or None where nothing was saved. Raises `UserError` for a file that isn't what was saved."""
    pointer = folder / runs.RESUME
    if not pointer.exists():
        return None
    counters = artefacts.read_document(pointer, shapes.Resume, f"remove {pointer} to train from the start")
    path = folder / counters["file"]
    if not path.exists() or artefacts.sha256(path) != counters["sha256"]:
        found = "a damaged file" if path.exists() else "no file"
        raise UserError(path, expected="the saved state", found=found, do=f"remove {pointer} to train from the start")
    return npy.read_all(path, "the saved state", f"remove {pointer} to train from the start"), counters
