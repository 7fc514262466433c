"""Where evaluation finds a method's maps: a run's `predictions/<method>`, or anyone's folders of NIfTI files. NumPy only.

All of it is small and picklable, so that workers open the files themselves.
"""

from __future__ import annotations

import dataclasses
import pathlib

from numpy.typing import NDArray

from data_prep.base.errors import NotReady, UserError, command
from data_prep.readers import nifti
from tfunc import kinds, runs
from tfunc.kinds import KINDS
from tfunc.methods import METHODS
from tfunc.scoring import volumes
from tfunc.scoring.truth import RecordsTruth, Truth
from tfunc.scoring.volumes import ENDINGS


@dataclasses.dataclass(frozen=True)
class Maps:
    """One method's maps: files `<subject>_{prediction,probability,uncertainty}.nii.gz` in `folder`.

    kind: a name of `kinds.KINDS`.  subjects: in order.  sigma_range: (lowest, highest) of the whole set, where the kind is
    scaled by it and once it is known.
    """

    method: str
    kind: str
    folder: str
    subjects: tuple[str, ...]
    sigma_range: tuple[float, float] | None = None

    def path(self, subject: str) -> pathlib.Path:
        """The map that is scored; raises `UserError` where it is missing or present twice."""
        return volumes.find_one(self.folder, [f"{subject}_{KINDS[self.kind].entry}"], f"the map of {subject}")

    def files(self, subject: str) -> list[pathlib.Path]:
        """Paths of all that is read of a subject: its map, and its segmentation where one is used."""
        paths = self.path(subject), self._prediction_path(subject)
        return [path for path in paths if path is not None]

    def score(self, subject: str) -> NDArray:
        """The raw map [depth, height, width] in the file's dtype."""
        return volumes.read(self.path(subject))[0]

    def read(self, subject: str, truth: Truth) -> tuple[NDArray, NDArray]:
        """(score, prediction) [depth, height, width], checked against the truth's shape and affine (`UserError`)."""
        score, space = volumes.read(self.path(subject))
        nifti.require_same_space(truth.space, space)
        prediction_path = self._prediction_path(subject)
        if prediction_path is None:
            return score, score > 0.5
        prediction, space = volumes.read_labels(prediction_path)
        nifti.require_same_space(truth.space, space)
        return score, prediction

    def _prediction_path(self, subject):
        name = f"{subject}_prediction"
        written = any((pathlib.Path(self.folder) / (name + ending)).exists() for ending in ENDINGS)
        if KINDS[self.kind].segments and not written:
            return None
        return volumes.find_one(self.folder, [name], f"the segmentation of {subject}, which an uncertainty map needs")


# Of a run


def available_methods(run_dir: pathlib.Path | str, dataset: str) -> list[str]:
    """Methods of the table that have finished predictions of the test set; `NotReady` where none has."""
    names = [name for name in METHODS if (runs.predictions_dir(run_dir, name) / runs.PREDICTED).exists()]
    if not names:
        run_maps(run_dir, dataset, next(iter(METHODS)))
    return names


def run_maps(
    run_dir: pathlib.Path | str, dataset: str, method: str, split: str = "test", truth: RecordsTruth | None = None
) -> Maps:
    """The `Maps` of a run's method; `NotReady` naming the predict command where they are absent or unfinished.

    truth: the maps must be of its records (`UserError`) and of the whole split (`NotReady`).
    """
    folder = runs.predictions_dir(run_dir, method, split)
    path = folder / runs.PREDICTED
    predict = {"method": method, "dataset": dataset, "split": None if split == "test" else split}
    if not path.exists():
        found = "an unfinished folder" if folder.is_dir() else "no such folder"
        expected = f"the predictions of {method}"
        raise NotReady(path, expected=expected, found=found, do=command("predict", **predict))
    maps = _indexed(folder, method)
    runs.require_current(run_dir, folder, command("predict", **predict))
    if truth is not None:
        index = runs.read_predictions(folder) or {}
        _require_same_records(path, index, truth)
        whole = {entry.name for entry in truth.manifest.split(split)}
        if missing := whole - set(maps.subjects):
            found = f"{len(whole) - len(missing)} of {len(whole)}"
            do = (
                "run ",
                command("predict", **predict, **_begun_with(index)),
                f", or leave {method} out with --methods",
            )
            raise NotReady(path, expected=f"all subjects of the {split} split", found=found, do=do)
    return maps


def _require_same_records(path, index, truth):
    stored = index.get("records")
    if stored is not None and not truth.manifest.is_same(stored):  # no entry: maps that something else put there
        raise UserError(
            path,
            expected=f"predictions from {truth.manifest.path} (identity {truth.manifest.identity[:12]}…)",
            found=f"those from other records ({stored[:12]}…)",
            do="give their --data_dir, or predict these into another --run_dir",
        )


def _begun_with(index):
    """The flags that a folder of predictions was begun with, and must be finished with."""
    flags = {name: index.get(name) for name in ("samples", "seed", "precision")}
    return {name: value for name, value in flags.items() if value not in (None, "float32")}


# Of anyone


def folder_maps(folder: pathlib.Path | str, kind: str | None = None) -> list[Maps]:
    """A list of `Maps`: of the folder itself, or of each folder in it. Raises `UserError` where there are none.

    The kind is what predictions.json says where there is one (`kind` may not be another), else `kind`, else the
    method's own where the folder is named as a method of the table. A folder that has no map of the asked kind but is
    named as a method of another is read as that method's.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(folder, expected="a folder of maps", found="no such folder")
    kind = kind and kinds.get(kind, "--kind").name
    if _subjects(folder):
        return [_folder_maps(folder, kind)]
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and _subjects(path)]
    if not inside:
        expected = "<subject>_probability.nii.gz or <subject>_uncertainty.nii.gz, or folders of them"
        raise UserError(folder, expected=expected, found="none")
    return [_folder_maps(path, kind) for path in inside]


def _folder_maps(folder, kind):
    name = folder.resolve().name
    if (folder / runs.PREDICTED).exists():
        maps = _indexed(folder, name)
        if kind not in (None, maps.kind):
            where, found = folder / runs.PREDICTED, f"maps of kind {maps.kind}"
            raise UserError(where, expected=f"--kind={kind}", found=found, do="leave --kind out, or mend the file")
        return maps
    usual = kinds.get(METHODS[name].kind).name if name in METHODS else None
    if kind and usual and not _subjects(folder, KINDS[kind].entry) and _subjects(folder, KINDS[usual].entry):
        kind = usual
    kind = kind or usual
    if kind is None:
        raise UserError(folder, expected="what its maps are", do=f"add --kind={'|'.join(KINDS)}")
    subjects = _subjects(folder, KINDS[kind].entry)
    if not subjects:
        expected = f"<subject>_{KINDS[kind].entry}.nii.gz for --kind={kind}"
        raise UserError(folder, expected=expected, found="none")
    return Maps(name, kind, str(folder), subjects)


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


def _subjects(folder, *entries):
    """Names for which the folder has a map, in order."""
    names = set()
    for entry in entries or {kind.entry for kind in KINDS.values()}:
        for ending in ENDINGS:
            suffix = f"_{entry}{ending}"
            found = (path.name for path in folder.glob(f"*{suffix}"))
            names.update(name[: -len(suffix)] for name in found if not name.startswith("."))
    return tuple(sorted(names))
