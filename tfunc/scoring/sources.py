"""Where evaluation finds maps, labels and masks, and the checks they pass before a voxel is counted.

Maps lie in folders of NIfTI files: a run's `predictions/<method>` or anyone's. Labels and masks come from a run's
records or from folders. All of it is small and picklable, so that workers open the files themselves.
"""

import dataclasses
import functools
import hashlib
import pathlib

import nibabel
import numpy as np

from data_prep import records
from data_prep.base import artefacts
from data_prep.base.errors import NotReady, UserError
from data_prep.readers import nifti
from tfunc.methods import METHODS
from tfunc.scoring import metrics

ENDINGS = (".nii.gz", ".nii")
ENTRY = {"probability": "probability", "confidence": "uncertainty", "sigma": "uncertainty"}  # kind -> file name part
SUFFIXES = ("", "_seg", "_label", "_mask")  # of a label or a mask, after the subject's name
COPY = "copy it again"


@dataclasses.dataclass(frozen=True)
class Truth:
    """One subject's label and mask: arrays [depth, height, width], non-zero is inside; mask None is all of it.

    affine: of the label, or None where there is nothing to compare with.  where: what to call it in an error.
    """

    label: np.ndarray
    mask: np.ndarray | None
    affine: np.ndarray | None
    where: str


@dataclasses.dataclass(frozen=True)
class RecordsTruth:
    """Labels, and brain masks for BraTS, from prepared records."""

    data_dir: str

    def check(self, subjects):
        """Raises `UserError` for the first subject without a label."""
        entries = {entry.name: entry for entry in self.manifest.subjects}
        for name in subjects:
            if name not in entries or not entries[name].labelled:
                where = f"{self.data_dir}, subject {name}"
                raise UserError(where, expected="a ground truth", found="none", do="evaluate labelled subjects only")

    @property
    def manifest(self):
        path = pathlib.Path(self.data_dir) / records.MANIFEST
        return _manifest(str(self.data_dir), path.stat().st_mtime_ns if path.exists() else 0)

    def read(self, name):
        subject = self.subject(name)
        affine = subject.header and nibabel.Nifti1Header(subject.header, "<", check=False).get_best_affine()
        return Truth(subject.label, subject.inside(self.manifest.task), affine, f"{self.data_dir}, subject {name}")

    def subject(self, name):
        return records.read_subject(self.data_dir, self.manifest, name)


@functools.lru_cache(maxsize=1)
def _manifest(data_dir, _):
    return records.read_manifest(data_dir)


@dataclasses.dataclass(frozen=True)
class FolderTruth:
    """Labels, and masks if there are any, as `<subject>.nii.gz` or `<subject>_{seg,label,mask}.nii.gz`."""

    labels: str
    masks: str | None = None

    def check(self, subjects):
        """Raises `UserError` where a label or a mask is missing or there are two."""
        self.paths(subjects)

    def paths(self, subjects):
        """Every label's and mask's path."""
        paths = [_label_path(self.labels, name, "label") for name in subjects]
        return paths + ([_label_path(self.masks, name, "mask") for name in subjects] if self.masks else [])

    def unpredicted(self, subjects):
        """How many labels there are of others than `subjects`: files that are named in the way the used ones are."""
        used = [_stem(path) for path in (_label_path(self.labels, name, "label") for name in subjects)]
        suffixes = {stem[len(name) :] for stem, name in zip(used, subjects, strict=True)}
        maps = tuple(f"_{part}" for part in ("prediction", *ENTRY.values()))
        stems = {_stem(path) for ending in ENDINGS for path in pathlib.Path(self.labels).glob(f"*{ending}")}
        others = (stem for stem in stems - set(used) if _suffix(stem) in suffixes)
        return sum(not stem.startswith(".") and not stem.endswith(maps) for stem in others)

    def state(self, subjects):
        """Digest of the files' paths, sizes and times."""
        return state(self.paths(subjects))

    def read(self, name):
        path = _label_path(self.labels, name, "label")
        label, affine = nifti.read_map(path, do=COPY)
        mask = None
        if self.masks:
            mask_path = _label_path(self.masks, name, "mask")
            mask, mask_affine = nifti.read_map(mask_path, do=COPY)
            _same_space(mask_path, mask, mask_affine, path, label, affine)
            mask = _volume(whole_numbers(mask, mask_path))
        return Truth(_volume(whole_numbers(label, path)), mask, affine, str(path))


@dataclasses.dataclass(frozen=True)
class Maps:
    """One method's maps: files `<subject>_{prediction,probability,uncertainty}.nii.gz` in `folder`.

    kind: `probability`, `confidence` or `sigma`, see `metrics.count`.  subjects: in order.
    sigma_range: (lowest, highest) of the whole set, once it is known.
    """

    method: str
    kind: str
    folder: str
    subjects: tuple
    sigma_range: tuple | None = None

    def path(self, subject):
        """The map that is scored; raises `UserError` where it is missing or there twice."""
        return _one(self.folder, [f"{subject}_{ENTRY[self.kind]}"], f"the map of {subject}")

    def files(self, subject):
        """Paths of all that is read of a subject: its map, and its segmentation where one is used."""
        paths = self.path(subject), self._prediction_path(subject)
        return [path for path in paths if path is not None]

    def score(self, subject):
        """The raw map [depth, height, width] in the file's dtype, and its affine."""
        score, affine = nifti.read_map(self.path(subject))
        return _volume(score), affine

    def read(self, subject, truth):
        """(score, prediction) [depth, height, width], checked against the truth's shape and affine."""
        path, prediction_path = self.path(subject), self._prediction_path(subject)
        score, affine = self.score(subject)
        _same_space(path, score, affine, truth.where, truth.label, truth.affine)
        if prediction_path is None:
            return score, score > 0.5
        prediction, affine = nifti.read_map(prediction_path)
        prediction = _volume(prediction)
        _same_space(prediction_path, prediction, affine, truth.where, truth.label, truth.affine)
        return score, whole_numbers(prediction, prediction_path)

    def _prediction_path(self, subject):
        name = f"{subject}_prediction"
        if self.kind == "probability" and not any((pathlib.Path(self.folder) / (name + e)).exists() for e in ENDINGS):
            return None
        return _one(self.folder, [name], f"the segmentation of {subject}, which an uncertainty map needs")


# ------------------------------------------------------------------------------------------------------------- finding


def run_maps(run_dir, dataset, method, split="test", truth=None):
    """The `Maps` of a run's method; `NotReady` naming the predict command where they are absent or unfinished.

    truth: `RecordsTruth`; the maps must be of its records (`UserError`) and of the whole split (`NotReady`).
    """
    folder = prediction_folder(run_dir, method, split)
    path = folder / "predictions.json"
    command = f"python launch/predict.py --method={method} --dataset={dataset}" + at(split, " --split={}")
    if not path.exists():
        found = "an unfinished folder" if folder.is_dir() else "no such folder"
        raise NotReady(path, expected=f"the predictions of {method}", found=found, do=f"run `{command}`")
    maps = _indexed(folder, method)
    if truth is not None:
        index = artefacts.read_json(path)
        _require_same_records(path, index, truth)
        whole = {entry.name for entry in truth.manifest.split(split)}
        if missing := whole - set(maps.subjects):
            found = f"{len(whole) - len(missing)} of {len(whole)}"
            do = f"run `{command}{_sampling(index)}`, or leave {method} out with --methods"
            raise NotReady(path, expected=f"all subjects of the {split} split", found=found, do=do)
    return maps


def _require_same_records(path, index, truth):
    there, here = index.get("records"), artefacts.sha256(truth.manifest.path)
    if there not in (None, here):  # no entry: maps that something else put there
        raise UserError(
            path,
            expected=f"predictions from {truth.manifest.path} (sha256 {here[:12]}…)",
            found=f"those from other records ({there[:12]}…)",
            do="give their --data_dir, or predict these into another --run_dir",
        )


def _sampling(index):
    """The flags that a folder of predictions was begun with, and must be finished with."""
    flags = {name: index.get(name) for name in ("samples", "seed", "precision")}
    return "".join(f" --{name}={value}" for name, value in flags.items() if value not in (None, "float32"))


def prediction_folder(run_dir, method, split="test"):
    """Where predict writes the maps of a method and a split."""
    return pathlib.Path(run_dir) / "predictions" / (method + at(split, "@{}"))


def at(split, form):
    """`form` with the split's name for all but the test split, for which it is empty."""
    return "" if split == "test" else form.format(split)


def folder_maps(folder, kind=None):
    """A list of `Maps`: of the folder itself, or of each folder in it. Raises `UserError` where there are none.

    The kind is what predictions.json says where there is one (`kind` may not be another), else `kind`, else the
    method's own where the folder is named as a method of the table. A folder that has no map of the asked kind but is
    named as a method of another is read as that method's.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(folder, expected="a folder of maps", found="no such folder")
    if _subjects(folder):
        return [_folder_maps(folder, kind)]
    inside = [one for one in sorted(folder.iterdir()) if one.is_dir() and _subjects(one)]
    if not inside:
        expected = "<subject>_probability.nii.gz or <subject>_uncertainty.nii.gz, or folders of them"
        raise UserError(folder, expected=expected, found="none")
    return [_folder_maps(one, kind) for one in inside]


def _folder_maps(folder, kind):
    if (folder / "predictions.json").exists():
        maps = _indexed(folder, folder.resolve().name)
        if kind not in (None, maps.kind):
            where, found = folder / "predictions.json", f"maps of kind {maps.kind}"
            raise UserError(where, expected=f"--kind={kind}", found=found, do="leave --kind out, or mend the file")
        return maps
    name = folder.resolve().name
    usual = METHODS[name].kind if name in METHODS else None
    if kind and usual and not _subjects(folder, ENTRY[kind]) and _subjects(folder, ENTRY[usual]):
        kind = usual
    kind = kind or usual
    if kind is None:
        raise UserError(folder, expected="what its maps are", do=f"add --kind={'|'.join(metrics.KINDS)}")
    subjects = _subjects(folder, ENTRY[kind])
    if not subjects:
        raise UserError(folder, expected=f"<subject>_{ENTRY[kind]}.nii.gz for --kind={kind}", found="none")
    return Maps(name, kind, str(folder), subjects)


def _indexed(folder, method):
    index = artefacts.read_json(folder / "predictions.json")
    try:
        kind, subjects = index["kind"], tuple(index["subjects"])
    except (KeyError, TypeError):
        raise UserError(folder / "predictions.json", expected="kind and subjects", do="predict again") from None
    if kind not in metrics.KINDS:
        raise UserError(folder / "predictions.json", expected=f"a kind of {', '.join(metrics.KINDS)}", found=repr(kind))
    if not subjects:
        raise UserError(folder / "predictions.json", expected="subjects", found="none", do="predict again")
    return Maps(method, kind, str(folder), subjects)


def _subjects(folder, *entries):
    """Names for which the folder has a map, in order."""
    names = set()
    for entry in entries or set(ENTRY.values()):
        for ending in ENDINGS:
            suffix = f"_{entry}{ending}"
            found = (path.name for path in folder.glob(f"*{suffix}"))
            names.update(name[: -len(suffix)] for name in found if not name.startswith("."))
    return tuple(sorted(names))


def _label_path(folder, subject, what):
    return _one(folder, [subject + suffix for suffix in SUFFIXES], f"one {what} of {subject}")


def _stem(path):
    """A file's name without its ending."""
    return next(path.name[: -len(ending)] for ending in ENDINGS if path.name.endswith(ending))


def _suffix(stem):
    """What a label's or mask's name has after the subject's."""
    return next((suffix for suffix in SUFFIXES if suffix and stem.endswith(suffix)), "")


def _one(folder, names, what):
    """The one file of these names, with either ending, that is there."""
    folder = pathlib.Path(folder)
    paths = [folder / (name + ending) for name in names for ending in ENDINGS]
    there = [path for path in paths if path.exists()]
    if len(there) == 1:
        return there[0]
    if there:
        found = " and ".join(path.name for path in there)
        raise UserError(folder, expected=what, found=found, do="keep the one that is meant")
    raise UserError(folder / (names[0] + ENDINGS[0]), expected=what, found="no such file")


def state(paths):
    """Digest of files' full paths, sizes and modification times: another one means another content."""
    digest = hashlib.sha256()
    for path in paths:
        found = path.stat()
        digest.update(f"{path.absolute()} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


# -------------------------------------------------------------------------------------------------------------- checks


def _volume(array):
    """[depth, height, width]; a 2-D map has depth 1."""
    return array[None] if array.ndim == 2 else array


def whole_numbers(array, path):
    """The array, which must be labels: whole numbers from 0 on. Raises `UserError` naming `path`."""
    lowest = array.min()
    whole = array.dtype.kind in "bui" or bool((array == np.floor(array)).all())
    if not (whole and lowest >= 0):
        found = f"{lowest:g}" if whole else "fractions"
        raise UserError(path, expected="whole numbers, 0 for background", found=found)
    return array


def _same_space(path, array, affine, other_path, other, other_affine):
    shape, expected = _volume(array).shape, _volume(other).shape
    if shape != expected:
        raise UserError(path, expected=f"the shape of {other_path}, {_xyz(expected)}", found=_xyz(shape))
    if other_affine is None:
        return
    gap = np.abs(affine - other_affine).max()
    if not gap <= nifti.AFFINE_TOLERANCE:
        expected = f"the affine of {other_path} within {nifti.AFFINE_TOLERANCE}"
        raise UserError(path, expected=expected, found=f"one that differs by {gap:.3g}")


def _xyz(shape):
    return "x".join(str(size) for size in shape[::-1])
