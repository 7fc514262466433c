"""The user's settings of a training: one table that flags, checks and the study read, and what they come to for a network.

A setting is one row of `SETTINGS` and, where a training depends on it, one entry of `runs.Config`. No TensorFlow here:
the study resolves what a training will write by the function that the training uses.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from data_prep.base import documents
from data_prep.base.errors import UserError
from data_prep.records import Manifest
from data_prep.task_rules import MOST_PIXELS
from tfunc import networks, runs
from tfunc.nets import precision, streams
from tfunc.networks import Network
from tfunc.runs import Config

Settings = dict[str, Any]  # {name of a row: value}
LARGEST_SEED = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting: the flag of that name.

    kind: its type.  default: None for a number that may be left out, or that the network decides.  help: of the flag.
    choices: the words it may be.  lowest, highest: the numbers it may be.  read: makes of its text what a training has,
    or raises `UserError`.
    """

    name: str
    kind: type
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    lowest: int | None = None
    highest: int | None = None
    read: Callable[[Any], Any] | None = None

    def check(self, value: Any) -> None:
        """Raises `UserError` naming the flag for a value that no training can have; None is a number not given."""
        if value is None and self.default is None:
            return
        if self.read is not None:
            self.read(value)
        expected = None
        if self.choices and value not in self.choices:
            expected = f"one of {', '.join(self.choices)}"
        elif self.highest is not None and not (self.lowest or 0) <= value <= self.highest:
            expected = f"{self.lowest} or more, below {self.highest + 1}"
        elif self.lowest is not None and value < self.lowest:
            expected = f"{self.lowest} or more"
        elif self.kind is float and not (value > 0 and math.isfinite(value)):
            expected = "more than 0 and finite"
        if expected:
            raise UserError(f"--{self.name}={value}", expected=expected)


def crop_size(value: str | Sequence[int] | None) -> tuple[int, int] | None:
    """(height, width) of `H,W`, or None where none is given; raises `UserError`."""
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else [str(part) for part in value]
    fine = len(parts) == 2 and all(part.strip().isdecimal() and len(part) < 10 and int(part) > 0 for part in parts)
    if not fine or int(parts[0]) * int(parts[1]) > MOST_PIXELS:
        expected = f"H,W, a height and a width in voxels such as 128,128, of {MOST_PIXELS} voxels or fewer"
        raise UserError(f"--crop={str(value)[:80]}", expected=expected)
    return int(parts[0]), int(parts[1])


SETTINGS = (
    Setting(
        "epochs",
        int,
        None,
        "passes over the training slices (default: the reference's, 50 or 100); more of them prolong a finished training",
        lowest=1,
    ),
    Setting("max_steps", int, None, "stop after that many steps, however many epochs they are", lowest=1),
    Setting("batch_size", int, 32, "slices a step, over all devices together", lowest=1),
    Setting("start_filters", int, 32, "channels of the outermost level", lowest=1),
    Setting("depth", int, 4, "number of poolings", lowest=1),
    Setting("learning_rate", float, 1e-4, "Adam's"),
    Setting(
        "average_weights",
        bool,
        False,
        "validate and keep the exponential moving average of the weights, with a decay of 0.99",
    ),
    Setting(
        "patience",
        int,
        None,
        "stop after that many epochs without a better Dice (default: never); networks that keep their last "
        "epoch do not stop",
        lowest=1,
    ),
    Setting(
        "seed",
        int,
        20,
        "of weights, order and dropout; member k of the ensemble adds k",
        lowest=0,
        highest=LARGEST_SEED,
    ),
    Setting(
        "precision",
        str,
        precision.DEFAULT,
        "of the convolutions; losses stay float32. auto: bfloat16 where the processor or GPU is fast in it, else float32; a "
        "folder keeps what it was begun in. float16: for GPUs from before bfloat16, the loss is scaled",
        choices=precision.OF_TRAINING,
    ),
    Setting(
        "augment",
        str,
        "none",
        "random changes of the training slices; the paper has none",
        choices=("none", "light", "strong"),
    ),
    Setting(
        "loss",
        str,
        "cross_entropy",
        "of networks that segment; aleatoric and the auxiliaries have their own. dice_ce adds 1 - soft Dice",
        choices=("cross_entropy", "dice_ce"),
    ),
    Setting(
        "crop",
        str,
        None,
        "H,W: train on crops of that size, a third of them around foreground; validation and maps see whole slices",
        read=crop_size,
    ),
    Setting("deterministic", bool, False, "the same result to the bit, at some cost of speed"),
    Setting(
        "kept_epochs", int, 5, "last epochs whose weights the network checkpoints keeps and predicts with", lowest=1
    ),
    Setting("ensemble_size", int, 10, "members of the ensemble", lowest=1),
    Setting("folds", int, 5, "of the cross-validation behind auxiliary_segm", lowest=2),
    Setting("reference_quirks", bool, False, "epochs, selection and subsets as in the reference code, leaks included"),
)
OWN = tuple(row.name for row in SETTINGS if row.name in Config.__struct_fields__)  # those that a network's folder keeps


def defaults() -> Settings:
    """Every setting as the paper's networks are trained."""
    return {row.name: row.default for row in SETTINGS}


def check(settings: Settings) -> None:
    """Raises `UserError` naming the flag for a value that no training can have; rows that are left out are not looked at."""
    for row in SETTINGS:
        if row.name in settings:
            row.check(settings[row.name])


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a network learns from beside the records.

    base: the configuration of its trained base, or None.  heldout: {subject: folder of its written segmentation}, or
    None.  checksums: of the networks behind both.
    """

    base: Config | None = None
    heldout: dict[str, pathlib.Path] | None = None
    checksums: dict[str, Any] = dataclasses.field(default_factory=dict)


def inputs(network: Network, manifest: Manifest, run_dir: runs.Path, settings: Settings) -> Inputs:
    """What the network learns from, found in the run; raises `NotReady` naming the command that makes what is missing."""
    if network.base:
        train = networks.training_command(network.base, manifest.task.name)
        base, done = runs.require_finished(run_dir, network.base, train)  # `trained.load` looks at the weights
        return Inputs(base=base, checksums={network.base: done["weights_sha256"]})
    if network.second_input:
        names = networks.subjects(network, manifest, settings["reference_quirks"], settings["folds"])
        folders = heldout_folders(run_dir, manifest, [*names[0], *names[1]], settings["folds"], network.needs[0])
        do = networks.study_command(manifest.task.name)
        there = {folder: runs.require_predictions(folder, do) for folder in dict.fromkeys(folders.values())}
        for folder in there:
            runs.require_current(run_dir, folder, do)
        checksums = {folder.name: there[folder]["networks"] for folder in sorted(there)}
        return Inputs(heldout=folders, checksums=checksums)
    return Inputs()


def heldout_folders(
    run_dir: runs.Path, manifest: Manifest, names: list[str], folds: int, other: str
) -> dict[str, pathlib.Path]:
    """{subject: folder of its segmentation, by a network that never saw it}.

    folds: number of folds of the cross-validation. other: the network whose predictions of the validation split serve
    for subjects that no fold holds out.
    """
    folders: dict[str, pathlib.Path] = {}
    for index, (_, held_out) in enumerate(networks.folds(manifest, folds)):
        folder = runs.predictions_dir(run_dir, networks.fold(index, folds).name, runs.HELD_OUT)
        folders.update(dict.fromkeys(held_out, folder))
    valid = runs.predictions_dir(run_dir, other, "valid")
    return {name: folders.get(name, valid) for name in names}


def resolve(network: Network, manifest: Manifest, settings: Settings, inputs: Inputs | None = None) -> Config:
    """The configuration that training `network` on these records with the user's settings comes to.

    settings: those that are left out are the paper's. inputs: what it learns from; None where that is not known yet.
    Raises `UserError` for settings that no training can have.
    """
    settings, inputs = {**defaults(), **settings}, inputs or Inputs()
    dataset, quirks = manifest.task.name, settings["reference_quirks"]
    train, _ = networks.subjects(network, manifest, quirks, settings["folds"])
    keeps_last = network.keeps_last(dataset, quirks)
    chosen = {name: settings[name] for name in OWN}
    if inputs.base is not None:
        chosen.update({name: getattr(inputs.base, name) for name in network.inherits})
    if keeps_last:  # to stop by the Dice of a held-out fold would be to select on it
        chosen["patience"] = None
    if chosen["epochs"] is None:
        chosen["epochs"] = network.epochs(dataset, quirks)
    chosen["seed"] += network.seed
    if chosen["precision"] == precision.AUTO:  # of devices that nobody asked: a training asks them before
        chosen["precision"] = precision.of_processor().name
    check(chosen)
    chosen["kept_epochs"] = _kept(chosen) if network.by_epoch else 0
    if network.has_own_loss:
        chosen["loss"] = "cross_entropy"
    chosen["crop"] = _crop(chosen["crop"], chosen["depth"])
    config = Config(
        network=network.resolved(len(manifest.task.classes)),
        task=manifest.task,
        records=manifest.identity,
        learns_from=inputs.checksums,
        train_subjects=len(train),
        keeps="last" if keeps_last else "best",
        streams=streams.VERSION,
        **chosen,
    )
    return documents.typed(config.document(), Config, "settings", None)  # checked, as one that is read


def _kept(chosen):
    """How many epochs are kept; raises `UserError` for more than there are."""
    if chosen["kept_epochs"] > chosen["epochs"]:
        expected = f"at most the {chosen['epochs']} epochs of the training"
        raise UserError(f"--kept_epochs={chosen['kept_epochs']}", expected=expected)
    return chosen["kept_epochs"]


def _crop(asked, depth):
    """The size of crops; raises `UserError` for one that the poolings leave nothing of."""
    size = crop_size(asked)
    if size is not None and min(size) < 2**depth:
        raise UserError(f"--crop={size[0]},{size[1]}", expected=f"{2**depth} or more each way, by --depth={depth}")
    return size
