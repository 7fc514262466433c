"""Maps of subjects that were never prepared: new patients' folders and photographs. A trained run is all they need.

    <subject>_{prediction,probability,uncertainty}.nii.gz    the maps, in the space of the subject's own files
    <subject>_outer.nii.gz                                   of a recalibrated method, where it is asked for: the outer mask
    <subject>_prediction.dcm                                 of images in DICOM, where it is asked for: the segmentation
    <subject>.json                                           what they were made from and with; written last

The run's task says which module reads a subject, how its images are prepared and in which voxel order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from data_prep import label_colours, map_files, records
from data_prep.base import artefacts, locks, notices, room, stamps, stores
from data_prep.base.errors import Faults, NotReady, UserError
from data_prep.map_files import is_written
from data_prep.readers import channel_files, finding, nifti
from data_prep.subject import Subject
from data_prep.tasks import Task
from tfunc import former, runs
from tfunc.maps import artefact, dicom_seg, patient, patient_scores, predict, predictor, recalibrated, writing
from tfunc.maps.options import Options
from tfunc.maps.predictor import Arrays
from tfunc.maps.recalibrated import Applied
from tfunc.methods import RECALIBRATED, Method
from tfunc.nets import memory, stack
from tfunc.nets.trained import Trained
from tfunc.runs import Config
from tfunc.scoring import spread, triage
from tfunc.scoring.triage import Known


def predict_inputs(
    method: Method,
    dataset: str,
    path: runs.Path,
    run_dir: runs.Path,
    out_dir: runs.Path,
    options: Options,
    data_dir: runs.Path | None = None,
    modalities: Mapping[str, str] | None = None,
    allow_negative: bool = False,
    say: Callable[[str], Any] = print,
) -> Iterator[tuple[Subject, Arrays | None]]:
    """Predicts the new patients or photographs that lie at `path`, one or a cohort, who need no labels or splits.

    Yields (subject, maps as written); `maps` is None where the same maps of the same files were there already.
    data_dir: where the run's records may lie, for a run of an older version that does not say its voxel order itself.
    modalities: {channel: file} of one patient whose files' names don't tell. allow_negative: volumes that look normalised
    are taken as they are.
    say: called with each line for the user. Raises `UserError` where nothing is found or other maps are there; of a
    cohort all are tried, and `Faults` raised at the end for those that can't be predicted.
    """
    finding.places(path)  # before networks are loaded
    options = predict.settled(options, _begun(pathlib.Path(out_dir)), None, say)
    made, loaded = predictor.of_method(method, run_dir, dataset, options)
    reader = loaded[0].config.task.load_reader()
    remarks = _Remarks(say)
    with remarks.heard():
        sources, faults = _found(reader, path, modalities, loaded[0].config.task, say)
    load_options = _with_order(loaded[0].config, data_dir, say)
    load_options |= {"allow_negative": True} if allow_negative else {}  # not every reader has it
    applied = _applied(method, dataset, run_dir, options, loaded)
    known = triage.known(run_dir, method.name + RECALIBRATED * bool(applied), predict.document(method, options, loaded))
    places = pathlib.Path(out_dir), remarks
    work = _Work(method, loaded, made, options, *places, reader.load, load_options, known, applied)
    for source in sources:
        try:
            found = work.predict(source)
        except NotReady:  # another process is at work on it
            raise
        except UserError as error:
            if len(sources) == 1 and not faults:
                raise
            say(f"{source.name}: {error}")
            faults[source.name] = error
            continue
        yield found
    if faults:
        raise Faults(faults)


def _applied(method, dataset, run_dir, options, loaded):
    """The recalibration that is asked for, or None."""
    if not options.recalibrated:
        return None
    made = predict.document(method, options, loaded)
    return recalibrated.of_method(run_dir, dataset, method.name, loaded[0].config.task, made, options.outer)


def _begun(out_dir):
    """What the first subject of a folder of maps was predicted with, or None where there is none yet."""
    for path in sorted(out_dir.glob("*.json")):
        if is_written(out_dir, path.stem):  # others' files are none of ours
            return former.predictions(artefact.read(path))
    return None


def _found(reader, path, modalities, task, say):
    """(sources, {name: what is wrong} of others); raises where there is nothing to predict."""
    sources, faults = finding.new_at(reader, path, modalities, task)
    for name, fault in faults.items():
        say(f"{name}: {fault}")
    return sources, faults


class _Remarks:
    """What readers notice, each topic said once for all subjects."""

    def __init__(self, say):
        self.say, self.topics = say, set()

    @contextlib.contextmanager
    def heard(self):
        """Says what is noticed inside."""
        with notices.gathered() as noticed:
            yield
        for topic, (line, _) in noticed.remarks.items():
            if topic not in self.topics:
                self.topics.add(topic)
                self.say(line)


@dataclasses.dataclass(frozen=True)
class _Work:
    """One method's maps of subjects into one folder. load: the reader's, called with a source and `load_options`."""

    method: Method
    loaded: list[Trained]
    made: predictor.Predictor
    options: Options
    out_dir: pathlib.Path
    remarks: _Remarks
    load: Callable[[Any, dict[str, Any], Task], Subject]
    load_options: dict[str, Any]
    known: Known
    applied: Applied | None = None

    def predict(self, source):
        """(subject, maps), written; None in place of the maps where they were there."""
        if self.options.dicom_seg:
            dicom_seg.require(source.name, channel_files.series(source))
        files = stamps.taken(source.paths)  # before they are read
        with self.remarks.heard():
            subject = self.load(source, self.load_options, self.loaded[0].config.task)
            if subject.permuted_note:
                notices.once("voxel order", subject.permuted_note)
        place = stores.shown(pathlib.Path(subject.source).resolve())
        applied = self.applied.document() if self.applied else None
        asked = predict.document(self.method, self.options, self.loaded, source=place, recalibrated=applied)
        index = self.out_dir / f"{subject.name}.json"  # written last: without it the maps are unfinished
        with locks.held(self.out_dir, "maps", of=subject.name):
            if self._is_done(index, subject, source, asked):
                self._judge_again(index, subject)
                return subject, None
            artefacts.remove(index, missing_ok=True)  # from here on its maps are being replaced
            room.require_place(index)
            return self._write(index, subject, source, files, asked)

    def _write(self, index, subject, source, files, asked):
        """(subject, its maps), written with what they are of."""
        with memory.enough(self.method.name, {"batch_size": self.options.batch_size}):
            ((subject, maps),) = self.made.subjects([subject])
        task = self.loaded[0].config.task
        wanted = self.options.full_size, task, self.options.names, self.applied and self.applied.change
        label_colours.write(self.out_dir, task)
        maps = writing.write_maps(self.out_dir, subject, maps, *wanted, about=artefact.about(asked))
        if self.options.dicom_seg:
            dicom_seg.write(self.out_dir, subject.name, maps["prediction"], task, source.series[0], asked)
        drawn = spread.read(self.out_dir, subject.name)
        scores = patient_scores.of_maps(self.method.kind, subject, maps, task, drawn)
        said = self._said(subject, maps, scores)
        more = {"files": files, "read_as": self.load_options, "scores": scores, **said}
        artefacts.write_document(index, {**asked, **more, **stack.versions()})
        return subject, maps

    def _said(self, subject, maps, scores):
        """What is said of the patient as a whole, of maps as they are written."""
        certified = self.applied and self.applied.volumes(subject, maps["prediction"])
        drawn = spread.read(self.out_dir, subject.name)
        return patient.document(subject, maps, self.loaded[0].config.task, scores, drawn, certified, self.known)

    def _judge_again(self, index, subject):
        """Says it anew of maps that are there, where an earlier version said less, or the run was evaluated since."""
        stored = artefact.read(index)
        is_new = stored.get("judged_by") == triage.digest(self.known) and "review" in stored
        if is_new or not os.access(self.out_dir, os.W_OK):  # maps that can only be read stay as they are
            return
        files = {name: map_files.path(self.out_dir, subject.name, name) for name in ("prediction", "uncertainty")}
        read = {name: nifti.read_map(file)[0] for name, file in files.items()}
        maps = {name: values if values.ndim == 3 else values[np.newaxis] for name, values in read.items()}
        artefacts.write_document(index, {**stored, **self._said(subject, maps, stored.get("scores"))})

    def _is_done(self, index, subject, source, asked):
        """Whether the same maps of the same files are there; raises `UserError` for those of other networks or places."""
        if not index.exists():
            return False
        stored = artefact.read(index)
        if different := artefact.difference(stored, asked):
            do = "choose another --out_dir"
            raise UserError(index, expected="maps of the same method and networks", found=different, do=do)
        options = self.options
        if not is_written(self.out_dir, subject.name, options.full_size, options.names, options.mutual_information):
            return False
        if self.options.outer is not None and not map_files.path(self.out_dir, subject.name, map_files.OUTER).exists():
            return False
        if self.options.dicom_seg and not dicom_seg.path(self.out_dir, subject.name).exists():
            return False
        if "files" not in stored:
            why = "predicted by an earlier version, which did not keep what it read"
        elif "scores" not in stored:
            why = "predicted by an earlier version, which kept no scores"
        else:
            why = stamps.changed(stored["files"], source.paths)
            if different := artefacts.difference(stored.get("read_as", {}), self.load_options):
                why = why or f"its files are read otherwise now, {different}"
        if why:
            self.remarks.say(f"{subject.name}: {why}; predicted again")
        return not why


def _with_order(config: Config, data_dir: runs.Path | None, say: Callable[[str], Any]) -> dict[str, Any]:
    """The reader's options, with the voxel order that the networks were trained in."""
    if config.task.is_photograph or config.task.order is not None:
        return config.input
    if data_dir is not None:  # of a version that did not keep it: its records' headers tell
        with contextlib.suppress(UserError):
            manifest = records.read_manifest(data_dir)
            if manifest.is_same(config.records) and manifest.task.order:
                return {**config.input, "order": manifest.task.order}
    say(f"{predict.UNKNOWN_ORDER}; its records are not in {data_dir}: give their --data_dir to make sure")
    return config.input
