"""Maps at the temperature of their method's recalibration, with what that guarantees: as they are predicted, or of written ones.

The probability is another, and its entropy with it; the segmentation is the same. Outer masks are of the probability as it was
predicted, since that is what their thresholds were set on. No TensorFlow.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from data_prep import label_colours, map_files, place
from data_prep.base import artefacts, locks
from data_prep.base.errors import UserError
from data_prep.base.progress import Progress
from data_prep.map_files import OUTER
from data_prep.readers import nifti
from data_prep.records import SubjectEntry
from data_prep.subject import Subject
from data_prep.tasks import Task
from tfunc import kinds, runs, shapes
from tfunc.maps import artefact
from tfunc.methods import RECALIBRATED
from tfunc.scoring import channels, classes, recalibrate, recalibration, sources, spread, temperature
from tfunc.scoring.recalibration import Recalibration
from tfunc.scoring.truth import RecordsTruth

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Applied:
    """A recalibration at work on maps. alpha: the share of a lesion that the outer masks may miss; None: there are none.

    Raises `UserError` for an alpha that was not asked for or can't be certified.
    """

    found: Recalibration
    task: Task
    alpha: float | None = None

    def __post_init__(self) -> None:
        self.thresholds()

    def thresholds(self) -> dict[str, float]:
        """{region: threshold of its outer mask}; none where no mask is asked for."""
        if self.alpha is None:
            return {}
        return {region.name: self.found.threshold(region.name, self.alpha) for region in self.task.regions}

    def document(self) -> dict[str, Any]:
        """What maps say of it: others were made with another."""
        return {
            "temperature": self.found.temperature.temperature,
            "fitted_on": self.found.fitted_on,
            "approximate": self.found.approximate,
            "alpha": self.alpha,
            "thresholds": self.thresholds() or None,
        }

    def change(self, maps: Mapping[str, np.ndarray]) -> Arrays:
        """Maps [depth, height, width] on their own grid, as predicted, at the temperature, with the outer mask beside them."""
        own, chosen = maps["probability"], self.found.temperature.temperature
        if self.task.is_binary:
            probability = temperature.apply(own, chosen)
            uncertainty = kinds.normalised_entropy(probability)
        else:
            parts = temperature.apply_classes(np.moveaxis(own, -1, 0), chosen)
            probability, uncertainty = (
                np.ascontiguousarray(np.moveaxis(parts, 0, -1)),
                kinds.softmax_entropy(tuple(parts)),
            )
        changed = {**maps, "probability": probability, "uncertainty": np.clip(uncertainty, 0, 1).astype(np.float32)}
        return changed if self.alpha is None else {**changed, OUTER: self.outer(own)}

    def outer(self, probability: np.ndarray) -> np.ndarray:
        """uint8 [depth, height, width], 1 in the outer mask; of several regions [depth, height, width, regions].

        probability: as it was predicted.
        """
        several = None if self.task.is_binary else tuple(np.moveaxis(probability, -1, 0))
        masks = []
        for region in self.task.regions:
            own = probability if several is None else classes.region_probability(several, region.classes)
            masks.append((own >= np.float32(self.thresholds()[region.name])).astype(np.uint8))
        return masks[0] if len(masks) == 1 else np.stack(masks, axis=-1)

    def volumes(self, subject: Subject, written: np.ndarray) -> dict[str, dict[str, Any]]:
        """{region: its volume with the interval of its recalibration}, in ml, of a photograph in pixels; None is no bound.

        written: the segmentation as it lies in its file.
        """
        voxel, unit = 1.0, str(self.task.unit)
        if subject.header is not None:
            affine = place.of_block(subject.header, subject.source)
            voxel, unit = place.voxel_ml(affine), "ml"
        index, found = self.task.class_of(written, subject.source), {}
        for region in self.task.regions:
            count = int(classes.among(index, region).sum())
            low, high = self.found.volume(region.name, count)
            found[region.name] = {
                "volume": count * voxel,
                "low": low * voxel,
                "high": None if high is None else high * voxel,
                "unit": unit,
                "covers": self.found.guarantees[region.name].volume.coverage,
                "approximate": self.found.approximate,
            }
        return found


def of_method(
    run_dir: runs.Path, dataset: str, method: str, task: Task, predicted: Mapping[str, Any], alpha: float | None = None
) -> Applied:
    """The recalibration of a method, for maps that are made as `predicted` says.

    Raises `UserError` for a method without probabilities and as `Applied`, and what `recalibration.require` raises.
    """
    recalibrate.require_method(method)
    return Applied(recalibration.require(run_dir, method, dataset, predicted), task, alpha)


def rewrite_split(
    method: str,
    dataset: str,
    data_dir: runs.Path,
    run_dir: runs.Path,
    split: str,
    alpha: float | None = None,
    say: Callable[[str], Any] = print,
) -> pathlib.Path:
    """Writes a split's maps at the temperature, from those that are written; no network runs. Returns the folder.

    Raises `NotReady` naming the command where the maps or the recalibration are missing, `UserError` as `of_method`.
    """
    truth = RecordsTruth(str(data_dir))
    manifest = runs.read_records(data_dir, dataset)
    maps = sources.run_maps(run_dir, dataset, method, split, truth)
    predicted = runs.read_predictions(maps.folder) or {}
    applied = of_method(run_dir, dataset, method, manifest.task, predicted, alpha)
    folder = runs.predictions_dir(run_dir, f"{method}{RECALIBRATED}", split)
    made_from = artefacts.sha256(pathlib.Path(maps.folder) / runs.PREDICTED)
    asked = {
        **predicted,
        "method": f"{method}{RECALIBRATED}",
        "recalibrated": applied.document(),
        "made_from": made_from,
    }
    with locks.held(folder, "maps"):
        _rewrite_all(maps, folder, manifest, applied, asked, say)
    return folder


def _rewrite_all(maps, folder, manifest, applied, asked, say):
    """Writes all maps and predictions.json, unless they are there as they are `asked` for."""
    alpha = applied.alpha
    index = folder / runs.PREDICTED
    if index.exists():
        stored = artefacts.read_document(index, shapes.Predictions)
        if stored == asked and all(_is_written(folder, name, alpha) for name in maps.subjects):
            say(f"{folder}: finished already ({len(maps.subjects)} subjects)")
            return
        say(f"{folder}: out of date; all is written again")
        artefacts.remove(index)
        for file in folder.glob(f"*_{OUTER}.nii.gz"):
            artefacts.remove(file)
    about = artefact.about(asked)
    label_colours.write(folder, applied.task)
    with Progress(f"recalibrate {maps.method}", len(maps.subjects), " subjects") as progress:
        for name in maps.subjects:
            _rewrite(pathlib.Path(maps.folder), folder, manifest.subject(name), applied, about)
            progress.advance()
    artefacts.write_document(index, asked)


def _is_written(folder, name, alpha):
    return map_files.is_written(folder, name) and (alpha is None or map_files.path(folder, name, OUTER).exists())


def _rewrite(
    source: pathlib.Path, folder: pathlib.Path, entry: SubjectEntry, applied: Applied, about: map_files.About
) -> None:
    """Writes one subject's maps; what a temperature does not change is copied."""
    name, task = entry.name, applied.task
    file = map_files.path(source, name, "probability")
    array, _ = nifti.read_map(file, dimensions=channels.DIMENSIONS)
    if task.is_binary:
        probability = channels.spatial(file, array)
    else:
        shape = channels.spatial(file, nifti.read_map(map_files.path(source, name, "prediction"))[0]).shape
        probability = np.moveaxis(channels.class_first(file, array, shape, (len(task.classes),)), 0, -1)
    if not (probability.min() >= -kinds.TOLERANCE and probability.max() <= 1 + kinds.TOLERANCE):
        raise UserError(file, expected="probabilities in [0, 1]", found="others, or NaN", do="predict it again")
    changed = applied.change({"probability": np.asarray(probability, np.float32)})
    map_files.write(folder, name, changed, entry.header, about=about)
    for kept in (map_files.path(source, name, "prediction"), spread.path(source, name)):
        if kept.exists():
            with artefacts.aside(folder / kept.name) as temporary:
                shutil.copyfile(kept, temporary)
