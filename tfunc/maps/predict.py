"""Trained networks -> probability, prediction and uncertainty of each subject, as NIfTI in the subject's own space."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import tensorflow as tf

from data_prep import label_colours, map_files, splits, voxel_order
from data_prep.base import artefacts, leftovers, locks, mirrors, progress
from data_prep.base.errors import UserError
from data_prep.map_files import is_written
from data_prep.records import Manifest, SubjectEntry
from tfunc import former, methods, networks, runs
from tfunc.maps import artefact, by_subject, predictor
from tfunc.maps.options import Options
from tfunc.methods import Method
from tfunc.nets import devices, precision, stack
from tfunc.nets.trained import Trained
from tfunc.scoring import spread

FINISHED = "{}: finished already ({} subjects)"


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    """Workers that predict. devices: names that `devices.strategy` takes, in each of them."""

    make_pool: by_subject.MakePool
    devices: tuple[str, ...] | None = None


def predict_split(
    method: Method,
    dataset: str,
    data_dir: runs.Path,
    run_dir: runs.Path,
    split: str,
    options: Options,
    names: Sequence[str] | None = None,
    strategy: tf.distribute.Strategy | None = None,
    say: Callable[[str], Any] = print,
    elsewhere: Elsewhere | None = None,
) -> pathlib.Path:
    """Predicts the subjects of a split from records. What is written already stays; returns the folder.

    names: only these subjects. say: called with each line for the user. elsewhere: workers that do it, by subject. Raises
    `UserError` for subjects of other splits, records that the networks were not trained on, and a folder of another
    configuration; `NotReady` for networks that aren't trained.
    """
    manifest = runs.read_records(data_dir, dataset)
    chosen = _chosen(manifest, split, names)
    folder = runs.predictions_dir(run_dir, method.name, split)
    options = settled(options, _begun(folder), strategy, say)
    made, loaded = predictor.of_method(method, run_dir, dataset, options, strategy)
    require_same_records(manifest, loaded, split)
    asked = document(method, options, loaded, split=split, records=manifest.identity)
    if artefact.is_done(folder, asked, manifest.is_same) and not _waiting(folder, chosen, options):  # not even a lock
        say(FINISHED.format(folder, len((runs.read_predictions(folder) or {})["subjects"])))
        return folder
    with locks.held(folder, "maps"):
        _claim(folder, asked, loaded, runs.all_weights(run_dir), manifest, say)
        work = by_subject.Work(
            method, dataset, str(data_dir), str(run_dir), str(folder), options,
            _order(manifest, loaded[0].config, say), asked, elsewhere.devices if elsewhere else None,
        )  # fmt: skip
        _predict(folder, manifest, chosen, work, made, loaded, elsewhere, say)
    return folder


def _predict(folder, manifest, chosen, work, made, loaded, elsewhere, say):
    """Writes the maps that are missing of the `chosen` subjects, and predictions.json."""
    options = work.options
    waiting = _waiting(folder, chosen, options)
    stored = runs.read_predictions(folder)
    if not waiting and stored and set(stored["subjects"]) >= {entry.name for entry in chosen}:
        say(FINISHED.format(folder, len(stored["subjects"])))
        return
    artefacts.remove(folder / runs.PREDICTED, missing_ok=True)
    label_colours.write(folder, loaded[0].config.task)
    count = len(chosen)
    with progress.Progress(f"predict {work.method.name}", count, " subjects", done=count - len(waiting)) as bar:
        if elsewhere is None:
            for _ in work.write(made, loaded, manifest, waiting):
                bar.advance()
        else:
            by_subject.write_in_workers(work, manifest, waiting, elsewhere.make_pool, bar)
            leftovers.sweep(folder)  # of workers that were killed
            mirrors.fetch_around(folder)  # what they wrote to a store
    _finish(folder, work.asked, manifest, manifest.split(work.asked["split"]) or chosen)


def _waiting(folder, chosen, options):
    """The names of the subjects that have not all their maps."""
    asked = options.full_size, options.names, options.mutual_information
    return [entry.name for entry in chosen if not is_written(folder, entry.name, *asked)]


def settled(
    options: Options,
    begun: runs.Document | None,
    strategy: tf.distribute.Strategy | None,
    say: Callable[[str], Any],
) -> Options:
    """The options as a folder was begun with, where nothing else is asked for; in a new one `auto` becomes a precision.

    begun: what the folder says, None for a new one. A precision that the user did not name is said.
    """
    found = options.begun(begun)
    if options.precision == precision.AUTO:
        choice = precision.recorded(found.precision) if begun is not None else devices.precision_of(strategy)
        say(str(choice))
        found = dataclasses.replace(found, precision=choice.name)
    return found


def _begun(folder):
    """What a folder of predictions was begun with, or None where nothing is in it yet."""
    begun = (folder / runs.CONFIG).exists() and map_files.all_written(folder)
    return former.predictions(artefact.read(folder / runs.CONFIG)) if begun else None


def _claim(folder, asked, loaded, kept, manifest, say):
    """Claims the folder; maps of weights that the run has no more make room, and it is said. kept: those that it has."""
    path = folder / runs.CONFIG
    before = {one.name: {former.weights_sha256 for former in one.config.prolonged} for one in loaded}
    if path.exists() and artefact.is_outdated(artefact.read(path), asked, before, kept, manifest.is_same):
        say(f"{folder}: out of date, a network was trained on or again since; all is predicted again")
        artefacts.remove(folder / runs.PREDICTED, missing_ok=True)
        beside = (*folder.glob(f"*{spread.ENDING}"), *folder.glob(f"*_{map_files.MUTUAL}.nii.gz"))
        for file in (*map_files.all_written(folder), *beside):
            artefacts.remove(file)
    begun = bool(map_files.all_written(folder)) or (folder / runs.PREDICTED).exists()

    def compare():
        return artefact.difference(artefact.read(path), asked, manifest.is_same)

    runs.claim(folder, asked, "these predictions", compare, begun)


def _chosen(manifest: Manifest, split: str, names: Sequence[str] | None) -> list[SubjectEntry]:
    """The entries to predict; raises `UserError` for subjects of other splits, and for none."""
    chosen = [manifest.subject(name) for name in names] if names else manifest.split(split)
    if split != runs.HELD_OUT and (outside := [entry.name for entry in chosen if split not in entry.splits]):
        raise UserError("--subjects", expected=f"subjects of --split={split}", found=outside[0])
    if not chosen:
        known = ", ".join(sorted({name for entry in manifest.subjects for name in entry.splits}))
        raise UserError(f"--split={split}", expected=f"a split with subjects ({known})", found="none")
    return chosen


def _finish(folder: pathlib.Path, asked: runs.Document, manifest: Manifest, whole: list[SubjectEntry]) -> None:
    """Writes predictions.json. whole: the entries that make the split complete."""
    done = [entry.name for entry in manifest.subjects if is_written(folder, entry.name)]
    complete = set(done) >= {entry.name for entry in whole}
    artefacts.write_document(
        folder / runs.PREDICTED, {**asked, "subjects": done, "complete": complete, **stack.versions()}
    )


def document(method: Method, options: Options, loaded: Sequence[Trained], **more: object) -> runs.Document:
    """What maps of a method's trained networks depend on. more: where the subjects come from."""
    checksums = {network.name: network.checksum for network in loaded}
    configurations = {network.name: network.configuration for network in loaded}
    drawn = options.of(loaded[0].config).drawn(method)
    return artefact.document(method, drawn, options.precision, checksums, configurations, options.engine, **more)


def predict_held_out(
    name: str,
    dataset: str,
    data_dir: runs.Path,
    run_dir: runs.Path,
    options: Options,
    strategy: tf.distribute.Strategy | None = None,
    say: Callable[[str], Any] = print,
    elsewhere: Elsewhere | None = None,
) -> pathlib.Path:
    """Predicts the fold that a cross-validated network never saw; returns the folder.

    Raises `UserError` for a network that holds no subjects out.
    """
    config, _ = runs.require_network(run_dir, name, networks.training_command(name, dataset))
    if config.network.subset != "fold":
        raise UserError(f"--network={name}", expected="a network of the cross-validation, such as cv_0")
    manifest = runs.read_records(data_dir, dataset)
    _, held_out = networks.subjects(config.network, manifest, config.reference_quirks)
    method = methods.of_network(name)
    where = dataset, data_dir, run_dir, runs.HELD_OUT
    return predict_split(method, *where, options, held_out, strategy, say, elsewhere)


def require_same_records(manifest: Manifest, loaded: Sequence[Trained], split: str = "") -> None:
    """Raises `UserError` unless the networks were trained on these records: others may be split or scaled otherwise.

    Of others, subjects without labels may be predicted (split `predict`): nothing is scored on them. Their task must
    then make the same images.
    """
    for network in loaded:
        if split == splits.PREDICT and not manifest.is_same(network.config.records):
            _require_same_images(manifest, network)
        elif not manifest.is_same(network.config.records):
            raise UserError(
                manifest.path,
                expected=f"the records that {network.name} was trained on",
                found="others",
                do="give their --data_dir, use --input for other patients, or train into another --run_dir",
            )


UNKNOWN_ORDER = (
    "this run is of a version that did not keep the voxel order it was trained in: subjects are taken as they lie, which is"
    f" right where they lie as the training's did ({voxel_order.DISTRIBUTED} in BraTS as distributed)"
)


def _order(manifest, config, say):
    """The voxel order that subjects of records are brought to, None for that of the records; says what isn't the same."""
    own, trained_in = manifest.task.order, config.task.order
    if manifest.task.is_photograph or manifest.is_same(config.records):
        return None
    if trained_in is None:
        say(f"{UNKNOWN_ORDER}; --input of their raw files, with the --data_dir of the run's own records, makes sure")
    elif own != trained_in:
        say(
            f"{manifest.path}: voxels in the order {own}, not {trained_in}: permuted to {trained_in}, and the maps back"
        )
    return trained_in


IMAGES = ("form", "channels", "frame", "axis", "spacing")  # what of a task its images depend on


def _require_same_images(manifest, network):
    made, asked = (
        {name: msgspec.to_builtins(getattr(task, name)) for name in IMAGES}
        for task in (network.config.task, manifest.task)
    )
    if different := artefacts.difference(made, asked):
        expected = f"images as those that {network.name} was trained on"
        do = "prepare them with the same options, or use --input"
        raise UserError(manifest.path, expected=expected, found=different, do=do)
