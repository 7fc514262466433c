"""The jobs of a study: what each needs, its command, and how it recognises what it made.

A job is one command of our own launchers and one artefact; nothing else is remembered about it. It asks the functions
that training, prediction and evaluation use whether the artefact is there and of this study's configuration. Where it is
of another, the job's own command is started, which refuses and names the difference.
"""

from __future__ import annotations

import abc
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import ClassVar

import msgspec

from data_prep.base import artefacts
from data_prep.base.errors import NotReady
from data_prep.records import Manifest
from tfunc import networks, runs, shapes
from tfunc.learning import claim
from tfunc.learning import settings as chosen
from tfunc.learning.settings import Settings
from tfunc.maps import artefact
from tfunc.methods import RECALIBRATED, Method
from tfunc.networks import Network
from tfunc.reporting import publish
from tfunc.scoring import recalibration

VALID = "valid"  # the split that recalibrates, and chooses the score that ranks patients


@dataclasses.dataclass(frozen=True)
class Job(abc.ABC):
    """name: unique. needs: names of jobs before it. cost: in passes over a slice, to guess times."""

    name: str
    needs: tuple[str, ...]
    cost: float

    @property
    @abc.abstractmethod
    def program(self) -> str:
        """The launcher that it is a command of."""

    @abc.abstractmethod
    def flags(self, run_dir: pathlib.Path) -> list[str]:
        """Its command's own flags, beside those that all jobs of the program share."""

    @abc.abstractmethod
    def is_done(self, run_dir: pathlib.Path) -> bool:
        """Whether its artefact is in the run, as this study would make it."""

    def part_done(self, run_dir: pathlib.Path) -> float:
        """Which part of it, from 0 to 1, an earlier process has done; for the time that is left."""
        return 0.0


@dataclasses.dataclass(frozen=True)
class TrainJob(Job):
    """The training of one network. settings: the study's, of `tfunc.learning.settings`."""

    network: Network
    manifest: Manifest
    settings: Settings
    program: ClassVar[str] = "train"

    def flags(self, run_dir: pathlib.Path) -> list[str]:
        """See `Job`."""
        return [f"--network={self.network.name}"]

    def part_done(self, run_dir: pathlib.Path) -> float:
        """See `Job`."""
        state = runs.network_dir(run_dir, self.network.name) / runs.RESUME
        if not state.exists():
            return 0.0
        epochs = max(runs.read_config(state.parent).epochs, self.settings["epochs"] or 0)  # it may be prolonged
        return min(artefacts.read_document(state, shapes.Resume)["epoch"] / max(epochs, 1), 1.0)

    def is_done(self, run_dir: pathlib.Path) -> bool:
        """See `Job`."""
        folder = runs.network_dir(run_dir, self.network.name)
        if runs.finished(folder) is None:
            return False
        try:
            inputs = chosen.inputs(self.network, self.manifest, run_dir, self.settings)
        except NotReady:  # what it learnt from is gone
            return False
        stored = runs.read_config(folder)
        asked = claim.as_begun(
            folder, chosen.resolve(self.network, self.manifest, self.settings, inputs), self.settings
        )
        asked = msgspec.structs.replace(asked, patience=stored.patience)  # what is finished is not asked to stop sooner
        return not runs.difference(stored, asked, self.manifest.is_same)


@dataclasses.dataclass(frozen=True)
class PredictJob(Job):
    """The maps of one method on one split.

    drawn: the number of samples of a method that draws some. The seed is predict's own affair, a study has no flag for it.
    """

    method: Method
    split: str
    manifest: Manifest
    drawn: Mapping[str, int | None]
    precision: str
    members: int
    folds: int = 5
    program: ClassVar[str] = "predict"

    def flags(self, run_dir: pathlib.Path) -> list[str]:
        """See `Job`."""
        kind = "network" if self.split == runs.HELD_OUT else "method"
        return [f"--{kind}={self.method.name}", f"--split={self.split}"]

    def is_done(self, run_dir: pathlib.Path) -> bool:
        """See `Job`. Also: by the weights that the networks have now."""
        checksums = {name: runs.weights_checksum(run_dir, name) for name in self._networks()}
        if None in checksums.values():
            return False
        known = {name: checksum for name, checksum in checksums.items() if checksum is not None}
        where = {"split": self.split, "records": self.manifest.identity}
        configurations = {name: runs.configuration(run_dir, name) for name in known}
        asked = artefact.document(self.method, dict(self.drawn), self.precision, known, configurations, **where)
        del asked["precision"]  # maps that were made in another serve as well
        folder = runs.predictions_dir(run_dir, self.method.name, self.split)
        return artefact.is_done(folder, asked, self.manifest.is_same)

    def _networks(self):
        if self.split == runs.HELD_OUT:
            return list(self.method.networks)
        return [network.name for network in networks.named(self.method.networks, self.members, self.folds)]


@dataclasses.dataclass(frozen=True)
class RecalibrateJob(Job):
    """The recalibration of one method on the validation set."""

    method: str
    program: ClassVar[str] = "recalibrate"

    def flags(self, run_dir: pathlib.Path) -> list[str]:
        """See `Job`."""
        return [f"--method={self.method}"]

    def is_done(self, run_dir: pathlib.Path) -> bool:
        """See `Job`. Also: of the maps that there are now."""
        known = recalibration.stored(run_dir, self.method)
        index = runs.predictions_dir(run_dir, self.method, VALID) / runs.PREDICTED
        return known is not None and index.exists() and known.predictions == artefacts.sha256(index)


@dataclasses.dataclass(frozen=True)
class EvaluateJob(Job):
    """The evaluation of all methods. predictions: the folders it reads, under the run folder.

    recalibrated: the methods that are also evaluated at the temperature of their recalibration.
    """

    methods: tuple[str, ...]
    threshold_split: str
    predictions: tuple[str, ...]
    recalibrated: tuple[str, ...] = ()
    program: ClassVar[str] = "evaluate"

    def flags(self, run_dir: pathlib.Path) -> list[str]:
        """See `Job`. A table is extended, never cut: methods that were evaluated before stay in it."""
        path = runs.evaluation_dir(run_dir) / runs.EVALUATED
        before = artefacts.read_document(path, shapes.Summary)["methods"] if path.exists() else {}
        return [f"--methods={','.join(dict.fromkeys([*before, *self._rows]))}"]

    @property
    def _rows(self):
        return *self.methods, *(f"{name}{RECALIBRATED}" for name in self.recalibrated)

    def is_done(self, run_dir: pathlib.Path) -> bool:
        """See `Job`."""
        indexes = [run_dir / folder / runs.PREDICTED for folder in self.predictions]
        return publish.is_done(runs.evaluation_dir(run_dir), self._rows, self.threshold_split, indexes)
