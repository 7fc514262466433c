"""Where evaluation finds labels and masks: a run's records, or anyone's folders. NumPy at import.

Both ways are small and picklable, so that workers open the files themselves.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import nibabel
from numpy.typing import NDArray

from data_prep import records
from data_prep.base.errors import UserError
from data_prep.readers import nifti
from data_prep.readers.nifti import Space
from data_prep.subject import Subject
from data_prep.tasks import Task
from tfunc.kinds import KINDS
from tfunc.scoring import volumes
from tfunc.scoring.volumes import ENDINGS

SUFFIXES = ("", "_seg", "_label", "_mask")  # of a label or a mask, after the subject's name


@dataclasses.dataclass(frozen=True)
class Truth:
    """One subject's label and mask: arrays [depth, height, width], non-zero is inside; mask None is all of it.

    space: of the label; its affine is None where there is nothing to compare with.
    """

    label: NDArray
    mask: NDArray | None
    space: Space


@dataclasses.dataclass(frozen=True)
class RecordsTruth:
    """Labels from prepared records, and masks where the records' task says inside what calibration is measured."""

    data_dir: str

    @property
    def manifest(self) -> records.Manifest:
        """What the records say they are; raises `NotReady` where there are none."""
        path = pathlib.Path(self.data_dir) / records.MANIFEST
        return _manifest(str(self.data_dir), path.stat().st_mtime_ns if path.exists() else 0)

    @property
    def task(self) -> Task:
        """What is segmented from what."""
        return self.manifest.task

    def check(self, subjects: Sequence[str]) -> None:
        """Raises `UserError` for the first subject without a label."""
        labelled = {entry.name for entry in self.manifest.subjects if entry.labelled}
        for name in subjects:
            if name not in labelled:
                raise self._unlabelled(name)

    def read(self, name: str) -> Truth:
        """A subject's label and mask; raises `UserError` where it has no label."""
        subject = self.subject(name)
        if subject.label is None:
            raise self._unlabelled(name)
        affine = None
        if subject.header is not None:
            affine = nibabel.Nifti1Header(subject.header, "<", check=False).get_best_affine()
        space = Space(f"{self.data_dir}, subject {name}", subject.label.shape, affine)
        return Truth(subject.label, subject.inside(self.task), space)

    def subject(self, name: str) -> Subject:
        """A subject with its image, in the voxel order of its files, where its maps lie; raises `UserError`."""
        return records.read_subject(self.data_dir, self.manifest, name).as_found()

    def _unlabelled(self, name):
        where = f"{self.data_dir}, subject {name}"
        return UserError(where, expected="a ground truth", found="none", do="evaluate labelled subjects only")


@functools.lru_cache(maxsize=1)
def _manifest(data_dir, _):
    return records.read_manifest(data_dir)


@dataclasses.dataclass(frozen=True)
class FolderTruth:
    """Labels, and masks if there are any, as `<subject>.nii.gz` or `<subject>_{seg,label,mask}.nii.gz`."""

    labels: str
    masks: str | None = None
    task = None  # nobody says what is segmented here

    def check(self, subjects: Sequence[str]) -> None:
        """Raises `UserError` where a label or a mask is missing or there are two."""
        self.paths(subjects)

    def paths(self, subjects: Sequence[str]) -> list[pathlib.Path]:
        """Every label's and mask's path."""
        paths = [_label_path(self.labels, name, "label") for name in subjects]
        return paths + ([_label_path(self.masks, name, "mask") for name in subjects] if self.masks else [])

    def unpredicted(self, subjects: Sequence[str]) -> int:
        """How many labels there are of others than `subjects`: files that are named in the way the used ones are."""
        used = [volumes.stem(_label_path(self.labels, name, "label")) for name in subjects]
        suffixes = {stem[len(name) :] for stem, name in zip(used, subjects, strict=True)}
        maps = tuple(f"_{part}" for part in ("prediction", *(kind.entry for kind in KINDS.values())))
        stems = {volumes.stem(path) for ending in ENDINGS for path in pathlib.Path(self.labels).glob(f"*{ending}")}
        others = (stem for stem in stems - set(used) if _suffix(stem) in suffixes)
        return sum(not stem.startswith(".") and not stem.endswith(maps) for stem in others)

    def state(self, subjects: Sequence[str]) -> str:
        """Digest of the files' paths, sizes and times."""
        return volumes.state(self.paths(subjects))

    def read(self, name: str) -> Truth:
        """A subject's label and mask; raises `UserError` where they are no labels or lie in different spaces."""
        label, space = volumes.read_labels(_label_path(self.labels, name, "label"), do=volumes.COPY)
        mask = None
        if self.masks:
            mask, mask_space = volumes.read_labels(_label_path(self.masks, name, "mask"), do=volumes.COPY)
            nifti.require_same_space(space, mask_space)
        return Truth(label, mask, space)

    def subject(self, name: str) -> None:
        """There is no image."""
        return None


AnyTruth = RecordsTruth | FolderTruth


def _label_path(folder, subject, what):
    return volumes.find_one(folder, [subject + suffix for suffix in SUFFIXES], f"one {what} of {subject}")


def _suffix(stem):
    """What a label's or mask's name has after the subject's."""
    return next((suffix for suffix in SUFFIXES if suffix and stem.endswith(suffix)), "")
