"""The run folder: where each artefact lies, what it says of itself, and whether it is finished and of the same kind.

A network's `config.json` holds all that its training depends on, the network and the task included, so that nothing
which is read later follows today's tables. Files of earlier versions are brought along in memory (`former.py`).
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from data_prep import records, task_rules, tasks
from data_prep.base import artefacts, documents, leftovers, names
from data_prep.base.documents import Count
from data_prep.base.errors import Command, NotReady, UserError
from data_prep.records import Manifest
from data_prep.tasks import Task
from tfunc import former, shapes
from tfunc.networks import Network

CONFIG = "config.json"
FINISHED = "finished.json"
RESUME = "resume.json"  # where a training stands; a finished one keeps it, to go on from
WEIGHTS = "best.weights.h5"
PREDICTED = "predictions.json"  # of a folder of predictions, written last
EVALUATED = "summary.json"  # of an evaluation, written last
HELD_OUT = "heldout"  # the split name under which a cross-validated network's predictions of its own fold are kept

Path = pathlib.Path | str
Document = dict[str, Any]
# of a network's config.json: what maps depend on, in any schema
OF_MAPS = ("schema", "network", "dataset", "task", "input", "channels", "count", "start_filters", "depth", "streams")


class Beginning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The weights that a training began from in place of random ones: the folder as it was given, and their checksum."""

    network: str
    weights_sha256: str


class Finished(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a training was before it was prolonged: its epochs, and the checksum of the weights it had."""

    epochs: int
    weights_sha256: str


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a training depends on: a network's `config.json`, schema 2. Another one may not share its folder.

    records: the identity of the records.  learns_from: checksums of the networks that its targets or inputs come from.
    keeps: which epoch's weights.  seed: the network's own, added.  streams: version of the random streams, which a
    folder keeps.  kept_epochs: how many of its last epochs' weights are kept, 0 for no more than `keeps` says.
    init_from: whose weights it began from.  prolonged: what it was when it was finished before.  crop: (height,
    width) of what it trained on, None for whole slices.  The rest are the user's settings.
    """

    schema: Literal[2] = 2
    network: Network
    task: Task
    records: str
    learns_from: dict[str, str | dict[str, str]]
    train_subjects: Count
    keeps: Literal["best", "last"]
    reference_quirks: bool
    epochs: Count
    max_steps: Count | None
    batch_size: Count
    start_filters: shapes.Filters
    depth: shapes.Depth
    learning_rate: float
    average_weights: bool
    patience: Count | None
    seed: Count
    precision: Literal["float32", "bfloat16", "float16"]
    augment: str
    loss: Literal["cross_entropy", "dice_ce"] = "cross_entropy"
    crop: tuple[Count, Count] | None = None
    kept_epochs: Count = 0
    deterministic: bool
    streams: Literal[1, 2] = 1
    init_from: Beginning | None = None
    prolonged: tuple[Finished, ...] = ()

    @property
    def channels(self) -> int:
        """Channels of the image, a second input not counted."""
        return len(self.task.channels)

    @property
    def segmentation_channels(self) -> int:
        """Channels that a segmentation takes as a second input: one of 0 and 1, or one for each of several classes."""
        return 1 if self.task.is_binary else len(self.task.classes)

    @property
    def input(self) -> dict[str, Any]:
        """The reader's `load` options under which a new subject is read as the records were."""
        return tasks.load_options(self.task)

    @property
    def smallest(self) -> int:
        """The least height and width of a slice that survives the poolings."""
        return 2**self.depth

    @property
    def dtype_policy(self) -> str:
        """Keras' name for the precision."""
        return self.precision if self.precision == "float32" else f"mixed_{self.precision}"

    def document(self) -> Document:
        """As plain JSON types: what config.json holds."""
        return msgspec.to_builtins(self)


def upgrade(document: Document) -> Document:
    """A network's config.json of any schema as today's; raises `KeyError` where an entry is missing or unknown."""
    return former.config(document)


def network_dir(run_dir: Path, network: str) -> pathlib.Path:
    """The folder of a network."""
    return pathlib.Path(run_dir) / "networks" / network


def predictions_dir(run_dir: Path, method: str, split: str = "test") -> pathlib.Path:
    """`predictions/<method>` for the test split, `predictions/<method>@<split>` for others."""
    return pathlib.Path(run_dir) / "predictions" / (method if split == "test" else f"{method}@{split}")


def evaluation_dir(run_dir: Path, split: str = "test", subjects: Sequence[str] = ()) -> pathlib.Path:
    """The folder of the evaluation of the whole test split; of another split, and of chosen subjects, one of their own."""
    name = "evaluation" if split == "test" else f"evaluation@{split}"
    if subjects:
        name += f"@{len(subjects)}-{hashlib.sha256(chr(10).join(sorted(subjects)).encode()).hexdigest()[:8]}"
    return pathlib.Path(run_dir) / name


def read_records(data_dir: Path, dataset: str) -> Manifest:
    """The manifest of records; raises `NotReady` where there are none, `UserError` for those of another data set."""
    manifest = records.read_manifest(data_dir, stamped=False)
    if manifest.task.name != dataset:
        do = "give its --data_dir"
        raise UserError(manifest.path, expected=f"records of {dataset}", found=manifest.task.name, do=do)
    return manifest


def read_config(folder: Path) -> Config:
    """The configuration of a network's folder, every entry checked; raises `UserError` naming the file.

    That of a finished training must be the one that it wrote: all that is made from its weights depends on it.
    """
    path = pathlib.Path(folder) / CONFIG
    expected, do = "the configuration of a training", "restore the file, or remove the folder and train again"
    document = artefacts.read_document(path, do=do)
    if document.get("schema", 1) not in (1, former.SCHEMA):
        do = "use the version of the toolkit that wrote it, or a newer one"
        raise UserError(path, expected=f"schema {former.SCHEMA} or lower", found=repr(document["schema"]), do=do)
    written = (finished(folder) or {}).get("config_sha256")  # earlier versions wrote none
    if written not in (None, checksum(document)):
        found, do = "an edited file", f"restore the file, or remove {path.parent} and train again"
        raise UserError(path, expected="the configuration that its training wrote", found=found, do=do)
    if former.is_old(document):
        documents.typed(document, shapes.ConfigOfBefore, path, do)
    try:
        upgraded = upgrade(document)
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(path, expected=expected, found=f"none or an unknown one for {error}", do=do) from None
    config = documents.typed(upgraded, Config, path, do)
    task_rules.require(config.task, path, do)
    return config


def difference(stored: Config, asked: Config, is_same: Callable[[str], bool]) -> str:
    """One phrase naming the first entries in which two trainings differ, or an empty string.

    is_same: whether an identity of records means those that are asked for, as `Manifest.is_same`; it covers what of the
    task matters. Where weights that it began from lay has no part in it, nor what it was before it was prolonged.
    """
    old, new = stored.document(), asked.document()
    for document in (old, new):
        del document["prolonged"]
        document["init_from"] = document["init_from"] and document["init_from"]["weights_sha256"]
    if is_same(stored.records):
        for entry in ("records", "task"):
            old.pop(entry), new.pop(entry)
    return artefacts.difference(old, new)


def claim(folder: Path, document: Document, what: str, compare: Callable[[], str], begun: bool) -> None:
    """Writes `config.json` into a new folder; in one that is begun it must be of the same configuration.

    compare: called where there is one already -> the first differences. begun: whether anything was made in the folder
    yet: until then it is nobody's. Raises `UserError` naming the differences.
    """
    path = pathlib.Path(folder) / CONFIG
    leftovers.sweep_once(folder)
    if not path.exists() or not begun:
        artefacts.write_document(path, document)
    elif different := compare():
        do = "ask for the same, or choose another --run_dir"
        raise UserError(path, expected=f"the same configuration of {what}", found=different, do=do)


def checksum(document: Document, *entries: str) -> str:
    """Of a JSON document's content, or of those of its entries that it has; how it is written has no part in it."""
    content = {name: document[name] for name in entries if name in document} if entries else document
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def configuration(run_dir: Path, network: str) -> str:
    """The checksum of what maps depend on in a network's config.json."""
    return checksum(artefacts.read_document(network_dir(run_dir, network) / CONFIG), *OF_MAPS)


def finished(folder: Path) -> Document | None:
    """The content of `finished.json`, or None while the folder is unfinished."""
    path = pathlib.Path(folder) / FINISHED
    return artefacts.read_document(path, shapes.Finished) if path.exists() else None


def weights_checksum(run_dir: Path, network: str) -> str | None:
    """The checksum of a network's weights as its training wrote it, or None while it is unfinished."""
    done = finished(network_dir(run_dir, network))
    return done["weights_sha256"] if done else None


def all_weights(run_dir: Path) -> set[str]:
    """The checksums of all trained networks in a run, whatever their folders are named."""
    folders = sorted({path.parent for path in (pathlib.Path(run_dir) / "networks").glob(f"*/{FINISHED}")})
    return {done["weights_sha256"] for done in map(finished, folders) if done is not None}


def require_finished(run_dir: Path, network: str, train: Command) -> tuple[Config, Document]:
    """Configuration and `finished.json` of a trained network; its weights are not looked at.

    train: the command that trains it, which `NotReady` names.
    """
    folder = network_dir(run_dir, network)
    done = finished(folder)
    if done is None:
        found = "an unfinished one" if folder.is_dir() else "none"
        raise NotReady(folder, expected=f"the trained network {network}", found=found, do=train)
    return read_config(folder), done


def require_network(run_dir: Path, network: str, train: Command) -> tuple[Config, Document]:
    """The same of a network that is about to be used: raises `UserError` for other weights than its training wrote."""
    config, done = require_finished(run_dir, network, train)
    require_weights(network_dir(run_dir, network) / WEIGHTS, done["weights_sha256"])
    return config, done


def require_weights(weights: pathlib.Path, checksum: str) -> None:
    """Raises `UserError` for a file of weights that isn't the one of that checksum."""
    if not weights.exists() or artefacts.sha256(weights) != checksum:
        found = "another file" if weights.exists() else "no file"
        do = f"remove {weights.parent}; train"
        raise UserError(weights, expected="the weights that training wrote", found=found, do=do)


def read_predictions(folder: Path) -> Document | None:
    """What a folder of predictions says of itself, in today's form, or None where it is unfinished."""
    path = pathlib.Path(folder) / PREDICTED
    if not path.exists():
        return None
    document = artefacts.read_document(path, shapes.Predictions, "predict again")
    for entry, what in (("subjects", "a subject"), ("networks", "a network")):
        names.require(document.get(entry) or (), what, path, "predict again")
    return former.predictions(document)


def require_predictions(folder: Path, run: Command) -> Document:
    """`read_predictions`; raises `NotReady` naming the command that makes them."""
    found = read_predictions(folder)
    if found is None:
        raise NotReady(folder, expected="finished predictions", found="none", do=run)
    return found


def require_current(run_dir: Path, folder: Path, run: Command) -> None:
    """Raises `NotReady` for predictions by weights that a network of the run has no more; `run` predicts again.

    A network that isn't in the run any more, and one that is trained there for the first time, can't be asked.
    """
    networks = (read_predictions(folder) or {}).get("networks")
    for name, made in networks.items() if isinstance(networks, dict) else ():
        own = network_dir(run_dir, name)
        done = finished(own)
        prolonged = done is None and (own / CONFIG).exists() and bool(read_config(own).prolonged)
        if prolonged or (done is not None and done["weights_sha256"] != made):
            found = "a network that is being trained on" if prolonged else "those of other weights"
            raise NotReady(
                pathlib.Path(folder) / PREDICTED, expected=f"the maps of {name} as it is now", found=found, do=run
            )
