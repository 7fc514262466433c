"""Trained networks -> probability, prediction and uncertainty of each subject, as NIfTI in the subject's own space."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import tensorflow as tf

from data_prep import label_colours, map_files, records, splits, voxel_order
from data_prep.base import artefacts, locks, pool, progress
from data_prep.base.ahead import one_ahead
from data_prep.base.errors import UserError
from data_prep.map_files import is_written
from data_prep.records import Manifest, SubjectEntry
from data_prep.subject import Subject
from data_prep.tasks import Task
from tfunc import former, methods, networks, runs
from tfunc.maps import artefact, predictor, writing
from tfunc.maps.options import Options
from tfunc.maps.predictor import Predictor
from tfunc.methods import Method
from tfunc.nets import devices, memory, precision, stack
from tfunc.nets.trained import Trained
from tfunc.scoring import spread

FINISHED = "{}: finished already ({} subjects)"
WRITERS = 2  # threads: gzip takes longer than reading, and leaves Python's lock


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
) -> pathlib.Path:
    """Predicts the subjects of a split from records. What is written already stays; returns the folder.

    names: only these subjects. say: called with each line for the user. Raises `UserError` for subjects of other splits,
    records that the networks were not trained on, and a folder of another configuration; `NotReady` for networks that
    aren't trained.
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
        _predict(folder, (data_dir, manifest), chosen, method, made, options, loaded[0].config, asked, say)
    return folder


def _predict(folder, where, chosen, method, made, options, config, asked, say):
    """Writes the maps that are missing of the `chosen` subjects, and predictions.json. where: (data_dir, manifest)."""
    data_dir, manifest = where
    waiting = _waiting(folder, chosen, options)
    stored = runs.read_predictions(folder)
    if not waiting and stored and set(stored["subjects"]) >= {entry.name for entry in chosen}:
        say(FINISHED.format(folder, len(stored["subjects"])))
        return
    artefacts.remove(folder / runs.PREDICTED, missing_ok=True)
    order = _order(manifest, config, say)
    read = records.read_subjects(data_dir, manifest, waiting)
    subjects = (subject.in_order(order) if order else subject for subject in read)
    label_colours.write(folder, config.task)
    _write_all(folder, method, made, subjects, options, config.task, asked, (len(chosen), len(waiting)))
    _finish(folder, asked, manifest, manifest.split(asked["split"]) or chosen)


def _waiting(folder, chosen, options):
    """The names of the subjects that have not all their maps."""
    return [entry.name for entry in chosen if not is_written(folder, entry.name, options.full_size, options.names)]


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
        for file in (*map_files.all_written(folder), *folder.glob(f"*{spread.ENDING}")):
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


def _write_all(
    folder: pathlib.Path,
    method: Method,
    made: Predictor,
    subjects: Iterable[Subject],
    options: Options,
    task: Task,
    asked: runs.Document,
    counts: tuple[int, int],
) -> None:
    """asked: what the maps are. counts: how many subjects there are, and how many of them wait for their maps.

    The next subject is read and those before are written while the networks are at work on one.
    """
    count, waiting = counts
    sizes = {"batch_size": options.batch_size}
    bar = progress.Progress(f"predict {method.name}", count, " subjects", done=count - waiting)

    about = artefact.about(asked)

    def write(found):
        writing.write_maps(folder, *found, options.full_size, task, options.names, about=about)

    with memory.enough(method.name, sizes), bar, concurrent.futures.ThreadPoolExecutor(WRITERS) as writers:
        for _ in pool.results(writers, write, made.subjects(one_ahead(subjects)), ahead=WRITERS):
            bar.advance()


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
    return predict_split(method, dataset, data_dir, run_dir, runs.HELD_OUT, options, held_out, strategy, say)


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
