"""Raw labels of BraTS as classes: the whole tumour, or its parts, whose numbers differ between releases."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from data_prep.base import notices
from data_prep.readers import labels
from data_prep.tasks import Task

DATASET = "brats"  # whose files' names tell what their numbers mean


def classes(raw_label: np.ndarray, path: object, label_map: Mapping[int, int] | None, task: Task) -> NDArray[np.uint8]:
    """The class of each voxel, uint8 [depth, height, width]. raw_label: as `labels.read` gives it. path: its file.

    label_map: {raw label: class}, which the task was resolved with, or None: then names tell which numbers are tumour, and
    1 is necrosis, 2 edema, 3 or 4 enhancing, as in most releases. Raises `UserError` for numbers of unknown meaning.
    """
    if task.is_binary:
        return labels.meaning(raw_label, path, labels.Rule(label_map, dataset=DATASET)).foreground
    if label_map is None:
        labels.meaning(raw_label, path, labels.Rule(dataset=DATASET, parts=True))
    else:
        notices.values("labels", labels.counts(raw_label))
    return task.class_of(raw_label, path)


def fitted(task: Task, files: Sequence[str]) -> Task:
    """The task whose maps are written with the release's numbers: from 2023 on the enhancing tumour is 3, and not 4."""
    if task.is_binary or not any("-seg" in os.path.basename(file).lower() for file in files):
        return task
    parts = tuple(msgspec.structs.replace(one, labels=tuple(sorted(one.labels))) for one in task.classes)
    return msgspec.structs.replace(task, classes=parts)
