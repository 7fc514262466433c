"""Where evaluation finds labels and masks: a run's records, or anyone's folders. NumPy at import.

Both ways are small and picklable, so that workers open the files themselves.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep import place, records
from data_prep.base import notices
from data_prep.base.errors import UserError
from data_prep.readers import labels, nifti
from data_prep.readers.labels import PLAIN, Rule
from data_prep.readers.nifti import Space
from data_prep.subject import Subject
from data_prep.tasks import IGNORED, Task
from tfunc.scoring import image_files, label_files, volumes
from tfunc.scoring.image_files import Pictured


@dataclasses.dataclass(frozen=True)
class Truth:
    """One subject's label and mask: arrays [depth, height, width], non-zero is inside; mask None is all of it.

    space: of the label; its affine is None where there is nothing to compare with.  counted: bool, the voxels that count
    at all; None is all of them.  rule: what the label's numbers mean, for segmentations that have the same ones.
    classes: the task, where the label holds the index of one of several classes; None, where it is foreground or not.
    """

    label: NDArray
    mask: NDArray | None
    space: Space
    counted: NDArray | None = None
    rule: Rule = PLAIN
    classes: Task | None = None

    def only(self, array: NDArray) -> NDArray:
        """The voxels of a map that count: the array itself, or those of `counted` in a row."""
        return array if self.counted is None else array[self.counted]

    def evened(self, array: NDArray) -> NDArray:
        """A map whose voxels that do not count have the value of one that does, so that its range is that of `only`."""
        return array if self.counted is None else np.where(self.counted, array, self.only(array)[0])


@dataclasses.dataclass(frozen=True)
class RecordsTruth:
    """Labels from prepared records, and masks where the records' task says inside what calibration is measured."""

    data_dir: str
    rule = PLAIN  # records hold the foreground already

    @property
    def manifest(self) -> records.Manifest:
        """What the records say they are; raises `NotReady` where there are none."""
        path = pathlib.Path(self.data_dir) / records.MANIFEST
        return _manifest(str(self.data_dir), path.stat().st_mtime_ns if path.exists() else 0)

    @property
    def task(self) -> Task:
        """What is segmented from what."""
        return self.manifest.task

    @property
    def classes(self) -> Task | None:
        """The task where it has several classes beside the background."""
        return several(self.task)

    @property
    def ignores(self) -> bool:
        """Whether there may be voxels that count nowhere."""
        return self.task.ignore is not None

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
        where = f"{self.data_dir}, subject {name}"
        affine = None if subject.header is None else place.of_block(subject.header, where)
        space = Space(where, subject.label.shape, affine)
        label, counted = _without_ignored(subject.label, self.task)
        if counted is not None and not counted.any():
            found, do = f"the ignored label {self.task.ignore} everywhere", "leave the subject out with --subjects"
            raise UserError(where, expected="voxels that count", found=found, do=do)
        return Truth(label, subject.inside(self.task), space, counted, classes=self.classes)

    def subject(self, name: str) -> Subject:
        """A subject with its image, on the grid and in the voxel order of its files, where its maps lie; raises `UserError`."""
        return records.read_subject(self.data_dir, self.manifest, name).native()

    def _unlabelled(self, name):
        where = f"{self.data_dir}, subject {name}"
        return UserError(where, expected="a ground truth", found="none", do="evaluate labelled subjects only")


def several(task: Task | None) -> Task | None:
    """The task where it has several classes beside the background, else None."""
    return None if task is None or task.is_binary else task


def _without_ignored(label, task):
    """(the label with 0 where it counts nowhere, the voxels that count or None for all)."""
    if task.ignore is None or not (ignored := label == IGNORED).any():
        return label, None
    return np.where(ignored, np.uint8(0), label), ~ignored


@functools.lru_cache(maxsize=1)
def _manifest(data_dir, _):
    return records.read_manifest(data_dir, stamped=False)


@dataclasses.dataclass(frozen=True)
class FolderTruth:
    """Labels, and masks if there are any, of anyone: `<subject><suffix>`, with a suffix of `file_names.LABELS` or none.

    They lie in the folder, or in folders by subject in it, as BraTS ships them.  rule: what the labels' numbers mean.
    classes: the task of several classes whose raw labels they hold, in place of a rule.  images: a folder of images to show.
    """

    labels: str
    masks: str | None = None
    rule: Rule = PLAIN
    classes: Task | None = None
    images: str | None = None
    task = None  # nobody says what an image holds here

    @property
    def ignores(self) -> bool:
        """Whether there may be voxels that count nowhere."""
        return (self.rule.ignore if self.classes is None else self.classes.ignore) is not None

    def document(self) -> dict[str, Any]:
        """What of the labels' meaning makes other numbers, as plain JSON types; empty where nothing was said."""
        if self.classes is None:
            return self.rule.document()
        whole = json.loads(json.dumps(self.classes.document()))
        return {"labels": {name: whole[name] for name in ("classes", "regions", "ignore")}}

    def check(self, subjects: Sequence[str]) -> None:
        """Raises `UserError` where a label or a mask is missing or there are two, and for a rule that contradicts itself."""
        self.rule.check()
        self.paths(subjects)

    def paths(self, subjects: Sequence[str]) -> list[pathlib.Path]:
        """Every label's, mask's and image's path."""
        paths = label_files.find_all(self.labels, subjects, "label")
        paths += label_files.find_all(self.masks, subjects, "mask") if self.masks else []
        return paths + (image_files.find_all(self.images, subjects) if self.images is not None else [])

    def unpredicted(self, subjects: Sequence[str]) -> int:
        """How many labels there are of others than `subjects`: files that are named in the way the used ones are."""
        return label_files.others(self.labels, subjects)

    def state(self, subjects: Sequence[str]) -> str:
        """Digest of the files' paths and contents."""
        return volumes.state(self.paths(subjects))

    def read(self, name: str) -> Truth:
        """A subject's label and mask; raises `UserError` where they are no labels or lie in different spaces."""
        (path,) = label_files.find_all(self.labels, [name], "label")
        raw, space = volumes.read_labels(path, do=volumes.COPY)
        label, counted = self._meaning(raw, path)
        mask = None
        if self.masks:
            (path,) = label_files.find_all(self.masks, [name], "mask")
            raw, mask_space = volumes.read_labels(path, do=volumes.COPY)
            nifti.require_same_space(space, mask_space)
            mask = labels.inside(raw, path)
        return Truth(label, mask, space, counted, self.rule, self.classes)

    def _meaning(self, raw, path):
        if self.classes is None:
            meaning = labels.meaning(raw, path, self.rule)
            return meaning.foreground, meaning.counted
        notices.values("labels", labels.counts(raw))
        label, counted = _without_ignored(self.classes.class_of(raw, path), self.classes)
        if counted is not None and not counted.any():
            found = f"the ignored label {self.classes.ignore} everywhere"
            raise UserError(path, expected="voxels that count", found=found)
        return label, counted

    def subject(self, name: str) -> Pictured | None:
        """A subject's image, or None where there are none; raises `UserError` for one that does not lie as its label."""
        return None if self.images is None else image_files.read(self.images, name, self.read(name).space)


AnyTruth = RecordsTruth | FolderTruth
