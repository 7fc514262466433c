"""From methods to jobs: every network once, every prediction once, each job after what it needs, the evaluation last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from data_prep.records import Manifest
from tfunc import methods as table
from tfunc import networks, runs
from tfunc.kinds import KINDS
from tfunc.learning import settings as chosen
from tfunc.learning.settings import Settings
from tfunc.methods import Method
from tfunc.networks import Network
from tfunc.study.jobs import VALID, EvaluateJob, Job, PredictJob, RecalibrateJob, TrainJob


class Plan:
    """The jobs added so far, in the order in which they can run."""

    def __init__(self, manifest: Manifest, settings: Settings, samples: int = 20):
        """settings: of `tfunc.learning.settings`. samples: passes of the sampled methods."""
        self.manifest, self.settings, self.samples = manifest, settings, samples
        self.members, self.folds = settings["ensemble_size"], settings["folds"]
        self.jobs: dict[str, Job] = {}
        self.sizes = {entry.name: (entry.training_slices, entry.slices) for entry in manifest.subjects}

    def train(self, network: Network) -> str:
        """Adds the training of a network and of what it learns from; returns the job's name."""
        needs = [self.train(networks.get(name)) for name in network.needs]
        names = networks.subjects(network, self.manifest, self.settings["reference_quirks"], self.folds)
        if network.second_input:
            needs += self.held_out(network)
        config = chosen.resolve(network, self.manifest, self.settings)
        passes = 3 * sum(self.sizes[name][0] for name in names[0]) + sum(self.sizes[name][1] for name in names[1])
        name = f"train_{network.name}"
        return self._add(TrainJob(name, tuple(needs), passes * config.epochs, network, self.manifest, self.settings))

    def held_out(self, network: Network) -> list[str]:
        """Adds the predictions behind a second input: each fold's, and the needed network's of subjects in no fold."""
        found, covered = [], set()
        for index, (_, names) in enumerate(networks.folds(self.manifest, self.folds)):
            fold = networks.fold(index, self.folds)
            method = table.of_network(fold.name)
            found.append(self.predict(method, runs.HELD_OUT, [self.train(fold)], names))
            covered.update(names)
        validation = {entry.name for entry in self.manifest.split("valid")}
        if not validation <= covered:
            other = networks.get(network.needs[0])
            found.append(self.predict(table.of_network(other.name), "valid", [self.train(other)], validation))
        return found

    def predict(self, method: Method, split: str, needs: Sequence[str], names: Iterable[str]) -> str:
        """Adds a method's maps of the subjects `names` of a split; returns the job's name."""
        kept = self.settings["kept_epochs"]
        passes = sum(kept if one.by_epoch else 1 for one in self._networks(method)) if split != runs.HELD_OUT else 1
        passes = self.samples if method.sampled else passes
        cost = passes * sum(self.sizes[name][1] for name in names)
        name = f"predict_{method.name}" + ("" if split == "test" else f"_{split}")
        drawn = {"samples": self.samples if method.sampled else None}
        precision = self.settings["precision"]
        counts = self.members, self.folds
        return self._add(PredictJob(name, tuple(needs), cost, method, split, self.manifest, drawn, precision, *counts))

    def evaluate(self, methods: Sequence[Method], threshold_split: str, recalibrate: bool = False) -> None:
        """Adds the methods' trainings and maps, and their evaluation; recalibrate: those of the validation set, too."""
        last, scaled = [], []
        splits = dict.fromkeys(("test", threshold_split, *([VALID] if recalibrate else [])))
        for method in methods:
            needs = [self.train(network) for network in self._networks(method)]
            for split in splits:
                subjects = [entry.name for entry in self.manifest.split(split)]
                last.append(self.predict(method, split, needs, subjects))
            if recalibrate and KINDS[method.kind].segments:
                maps = f"predict_{method.name}_{VALID}"
                last.append(self._add(RecalibrateJob(f"recalibrate_{method.name}", (maps,), 1.0, method.name)))
                scaled.append(method.name)
        folders = [runs.predictions_dir("", method.name, split) for method in methods for split in splits]
        names = tuple(method.name for method in methods)
        folders_read = tuple(map(str, folders))
        self._add(EvaluateJob("evaluate", tuple(last), 1.0, names, threshold_split, folders_read, tuple(scaled)))

    def _networks(self, method):
        return networks.named(method.networks, self.members, self.folds)

    def _add(self, job):
        return self.jobs.setdefault(job.name, job).name


def plan(
    manifest: Manifest,
    methods: Sequence[Method],
    settings: Settings | None = None,
    samples: int = 20,
    threshold_split: str = "test",
    recalibrate: bool = False,
) -> list[Job]:
    """The jobs of a study of `methods`, each after those it needs.

    settings: the trainings', those that are left out being the paper's. threshold_split: who chooses the thresholds of
    U-E and BnF; `valid` is predicted then, too. recalibrate: whether methods are recalibrated on it. Raises `UserError` for
    subsets that can't be made.
    """
    made = Plan(manifest, {**chosen.defaults(), **(settings or {})}, samples)
    made.evaluate(methods, threshold_split, recalibrate)
    return list(made.jobs.values())
