"""Where evaluation finds a method's maps: a run's `predictions/<method>`, or anyone's folders of NIfTI files. NumPy only.

All of it is small and picklable, so that workers open the files themselves.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from data_prep.base.errors import NotReady, UserError, command
from data_prep.readers import nifti
from tfunc import kinds, methods, runs
from tfunc.kinds import KINDS, MapError
from tfunc.methods import METHODS
from tfunc.scoring import counts, layouts, npz, recalibration, segmentations, spread, temperature, volumes
from tfunc.scoring.truth import AnyTruth, RecordsTruth, Truth
from tfunc.scoring.volumes import ENDINGS


@dataclasses.dataclass(frozen=True)
class Maps:
    """One method's maps: files `<subject>_{prediction,probability,uncertainty}.nii.gz` in `folder`.

    kind: a name of `kinds.KINDS`.  subjects: in order.  sigma_range: (lowest, highest) of the whole set, where the kind is
    scaled by it and once it is known.  places: {subject: the folder in `folder` that its files lie in}, where each has one.
    activation: what the channels of several classes are, see `class_files.probabilities`.  temperature: that probabilities
    are read at, None for as they are written; a segmentation is the same at any.  fitted_on: whom it was fitted on, in words.
    """

    method: str
    kind: str
    folder: str
    subjects: tuple[str, ...]
    sigma_range: tuple[float, float] | None = None
    places: dict[str, str] | None = None
    activation: str = "auto"
    temperature: float | None = None
    fitted_on: str = ""

    def alone(self, subject: str) -> Maps:
        """The same maps, of one subject: what its worker is sent must not grow with the others."""
        return dataclasses.replace(self, subjects=(subject,), places=self.places and {subject: self.places[subject]})

    def folder_of(self, subject: str) -> pathlib.Path:
        """Where a subject's files lie."""
        return pathlib.Path(self.places[subject] if self.places else self.folder)

    def path(self, subject: str) -> pathlib.Path:
        """The map that is scored, nnU-Net's own where there is no other; `UserError` where it is missing or present twice."""
        name, folder = f"{subject}_{KINDS[self.kind].entry}", self.folder_of(subject)
        archive = folder / (subject + npz.ENDING)
        if KINDS[self.kind].segments and archive.exists() and not _written(folder, name):
            return archive
        return volumes.find_one(folder, [name], f"the map of {subject}")

    def files(self, subject: str) -> list[pathlib.Path]:
        """Paths of all that is read of a subject: its map, its segmentation where one is used, and its samples' volumes."""
        paths = [self.path(subject), self.prediction_path(subject)]
        samples = spread.path(self.folder_of(subject), subject)
        return [path for path in (*paths, samples if samples.exists() else None) if path is not None]

    def score(self, subject: str, truth: AnyTruth | None = None) -> NDArray:
        """The raw map [depth, height, width] in the file's dtype; where it has NaN, as `read` makes it of that truth."""
        score = volumes.read(self.path(subject), softmax=KINDS[self.kind].segments)[0]
        if truth is None or score.dtype.kind != "f" or not np.isnan(score).any():
            return self._at_temperature(subject, score)
        return self.read(subject, truth.read(subject))[0]

    def read(self, subject: str, truth: Truth) -> tuple[NDArray, NDArray]:
        """(score, prediction) [depth, height, width], checked against the truth's shape and affine (`UserError`).

        Outside the truth's mask NaN counts as background that the map is sure of; elsewhere it is refused where it is
        counted, and by name where there is a mask.
        """
        return self.read_with_gaps(subject, truth)[:2]

    def read_with_gaps(self, subject: str, truth: Truth) -> tuple[NDArray, NDArray, int]:
        """The same, and how many voxels of the map are NaN outside the mask."""
        score, space = volumes.read(self.path(subject), softmax=KINDS[self.kind].segments)
        nifti.require_same_space(truth.space, space)
        score, gaps = self._without_gaps(subject, score, truth)
        prediction_path = self.prediction_path(subject)
        if prediction_path is None:
            return self._at_temperature(subject, score), score > 0.5, gaps
        score = self._at_temperature(subject, score)
        if truth.classes is not None:
            return score, segmentations.read(prediction_path, self.method, truth, truth.classes), gaps
        prediction, space = volumes.read_segmentation(prediction_path, truth.rule, self.method, truth.mask)
        nifti.require_same_space(truth.space, space)
        return score, prediction, gaps

    def _at_temperature(self, subject, score):
        """A map of probabilities at the maps' temperature, where they have one."""
        if self.temperature is None:
            return score
        with naming(self, subject):
            return temperature.apply(counts.within_unit(score), self.temperature)

    def _without_gaps(self, subject, score, truth):
        if score.dtype.kind != "f" or (truth.mask is None and truth.counted is None):
            return score, 0
        gaps = np.isnan(score) if truth.counted is None else np.isnan(score) & truth.counted
        if not gaps.any():
            return score, 0
        if inside := int(gaps.sum() if truth.mask is None else (gaps & (truth.mask != 0)).sum()):
            do = "predict it there, or give masks that leave those voxels out"
            where, found = self.path(subject), f"NaN in {inside} of its voxels"
            raise UserError(where, expected="numbers where voxels count", found=found, do=do)
        given = score[~gaps]
        # of least uncertainty, whatever the scale
        sure = 0 if KINDS[self.kind].segments or not given.size else given.min()
        return np.where(gaps, score.dtype.type(sure), score), int(gaps.sum())

    def prediction_path(self, subject: str) -> pathlib.Path | None:
        """The segmentation, nnU-Net's beside its own map; None where a probability has none; raises `UserError`."""
        name = f"{subject}_prediction"
        folder = self.folder_of(subject)
        if KINDS[self.kind].segments and not _written(folder, name):
            path = self.path(subject)
            return npz.segmentation(path) if path.suffix == npz.ENDING else None
        return volumes.find_one(folder, [name], f"the segmentation of {subject}, which an uncertainty map needs")


@contextlib.contextmanager
def naming(maps: Maps, subject: str) -> Iterator[None]:
    """A `MapError` inside becomes a `UserError` that names the file."""
    try:
        yield
    except MapError as error:
        expected = KINDS[maps.kind].expected.replace("{limits}", f" in {maps.sigma_range}" if maps.sigma_range else "")
        do = f"predict again, or leave {maps.method} out"
        do += "; NaN may only lie outside of masks" if "NaN" in str(error) else ""
        raise UserError(maps.path(subject), expected=expected, found=f"{error}", do=do) from None


def _written(folder, name):
    return any((folder / (name + ending)).exists() for ending in ENDINGS)


# Of a run


def available_methods(run_dir: pathlib.Path | str, dataset: str, split: str = "test") -> list[str]:
    """Methods of the table that have finished predictions of a split; `NotReady` where none has."""
    names = [name for name in METHODS if (runs.predictions_dir(run_dir, name, split) / runs.PREDICTED).exists()]
    if not names:
        run_maps(run_dir, dataset, next(iter(METHODS)), split)
    return names


def run_maps(
    run_dir: pathlib.Path | str,
    dataset: str,
    method: str,
    split: str = "test",
    truth: RecordsTruth | None = None,
    subjects: Sequence[str] = (),
) -> Maps:
    """The `Maps` of a run's method; `NotReady` naming the predict command where they are absent or unfinished.

    truth: the maps must be of its records (`UserError`) and of the whole split (`NotReady`), or of the `subjects` that
    were chosen of it, which are then all that the `Maps` have. method: `baseline_recalibrated` are the baseline's own, read
    at the temperature of its recalibration, which must be there (`NotReady`) and of these maps.
    """
    if (base := methods.recalibrated_of(method)) is not None:
        maps = run_maps(run_dir, dataset, base, split, truth, subjects)
        fitted = recalibration.require(run_dir, base, dataset, runs.read_predictions(maps.folder) or {})
        chosen = fitted.temperature.temperature
        return dataclasses.replace(maps, method=method, temperature=chosen, fitted_on=fitted.fitted_on)
    folder = runs.predictions_dir(run_dir, method, split)
    path = folder / runs.PREDICTED
    predict = {"method": method, "dataset": dataset, "split": None if split == "test" else split}
    if not path.exists():
        found = "an unfinished folder" if folder.is_dir() else "no such folder"
        raise NotReady(path, expected=f"the predictions of {method}", found=found, do=command("predict", **predict))
    maps = _indexed(folder, method)
    runs.require_current(run_dir, folder, command("predict", **predict))
    if truth is not None:
        index = runs.read_predictions(folder) or {}
        _require_same_records(path, index, truth)
        whole = {entry.name for entry in truth.manifest.split(split)}
        if outside := [name for name in subjects if name not in whole]:
            raise UserError("--subjects", expected=f"subjects of the {split} split", found=repr(outside[0]))
        whole = whole & {*subjects} if subjects else whole
        if missing := whole - set(maps.subjects):
            found = f"{len(whole) - len(missing)} of {len(whole)}"
            again = command("predict", **predict, **begun_with(index))
            do = ("run ", again, f", or leave {method} out with --methods")
            expected = f"the chosen subjects of the {split} split" if subjects else f"all subjects of the {split} split"
            raise NotReady(path, expected=expected, found=found, do=do)
    return only(maps, subjects) if subjects else maps


def only(maps: Maps, subjects: Sequence[str]) -> Maps:
    """The same maps of some subjects, in the order of all; raises `UserError` for one that has none."""
    chosen = {*subjects}
    if missing := sorted(chosen - {*maps.subjects}):
        raise UserError("--subjects", expected=f"subjects that {maps.folder} has maps of", found=repr(missing[0]))
    return dataclasses.replace(maps, subjects=tuple(name for name in maps.subjects if name in chosen))


def _require_same_records(path, index, truth):
    stored = index.get("records")
    if stored is not None and not truth.manifest.is_same(stored):  # no entry: maps that something else put there
        raise UserError(
            path,
            expected=f"predictions from {truth.manifest.path} (identity {truth.manifest.identity[:12]}…)",
            found=f"those from other records ({stored[:12]}…)",
            do="give their --data_dir, or predict these into another --run_dir",
        )


def begun_with(index: Mapping[str, object]) -> dict[str, object]:
    """The flags that a folder of predictions was begun with, and must be finished with. index: what predictions.json says."""
    flags = {name: index.get(name) for name in ("samples", "seed", "precision", "engine")}
    return {name: value for name, value in flags.items() if value not in (None, "float32", "tensorflow")}


# Of anyone


def folder_maps(folder: pathlib.Path | str, kind: str | None = None, layout: str = "auto") -> list[Maps]:
    """A list of `Maps`: of the folder itself, or of each method's folder in it. Raises `UserError` where there are none.

    The kind is what predictions.json says where there is one (`kind` may not be another), else `kind`, else the
    method's own where the folder is named as a method of the table. A folder that has no map of the asked kind but is
    named as a method of another is read as that method's. layout: see `layouts.find`.
    """
    kind = kind and kinds.get(kind, "--kind").name
    return [_folder_maps(found, kind) for found in layouts.find(pathlib.Path(folder), layout)]


def understood(folder: pathlib.Path | str, all_maps: Sequence[Maps]) -> str:
    """A line that says what the folder was taken for."""
    folder, first = pathlib.Path(folder), all_maps[0]
    count = f"{len(first.subjects)} subject{'s' * (len(first.subjects) != 1)}"
    inside = " (a folder for each subject)" if first.places else ""
    if len(all_maps) > 1 or pathlib.Path(first.folder) != folder:
        names = ", ".join(maps.method for maps in all_maps)
        return f"{folder}: {len(all_maps)} method{'s' * (len(all_maps) != 1)}, {names}, of {count}{inside}"
    unread = [path.name for path in layouts.with_maps(folder)] if not first.places else []
    ignored = (
        f"; the maps in its folder {unread[0]} are left out: --layout=methods or subjects reads them" if unread else ""
    )
    return f"{folder}: one method, {first.method}, of {count}{inside}{ignored}"


def softmaxes(all_maps: Sequence[Maps]) -> list[str]:
    """A line for each method some of whose maps are a softmax of two channels; raises `UserError` for a missing map."""
    lines = []
    for maps in all_maps:
        if KINDS[maps.kind].segments:
            count = sum(volumes.is_softmax(maps.path(name)) for name in maps.subjects)
            if count:
                files = f"{count} of {len(maps.subjects)} maps are"
                lines.append(
                    f"{maps.method}: {files} a softmax of two channels; the second is read as the foreground's"
                )
    return lines


def _folder_maps(found, kind):
    name, folder = found.folder.resolve().name, found.folder
    if (folder / runs.PREDICTED).exists():
        maps = _indexed(folder, name)
        if kind not in (None, maps.kind):
            where, stored = folder / runs.PREDICTED, f"maps of kind {maps.kind}"
            raise UserError(where, expected=f"--kind={kind}", found=stored, do="leave --kind out, or mend the file")
        return maps
    usual = kinds.get(METHODS[name].kind).name if name in METHODS else None
    if kind and usual and not found.subjects(KINDS[kind].entry) and found.subjects(KINDS[usual].entry):
        kind = usual
    kind = kind or usual or found.only_kind
    if kind is None:
        raise UserError(folder, expected="what its maps are", do=f"add --kind={'|'.join(KINDS)}")
    subjects = found.subjects(KINDS[kind].entry)
    if not subjects:
        expected = f"<subject>_{KINDS[kind].entry}.nii.gz for --kind={kind}"
        raise UserError(folder, expected=expected, found="none")
    places = None if found.places is None else {subject: str(found.places[subject]) for subject in subjects}
    return Maps(name, kind, str(folder), subjects, places=places)


def _indexed(folder, method):
    path = folder / runs.PREDICTED
    index = runs.read_predictions(folder) or {}
    try:
        kind, subjects = index["kind"], tuple(index["subjects"])
    except (KeyError, TypeError):
        raise UserError(path, expected="kind and subjects", do="predict again") from None
    kind = kinds.get(kind, path).name
    if not subjects:
        raise UserError(path, expected="subjects", found="none", do="predict again")
    return Maps(method, kind, str(folder), subjects)
