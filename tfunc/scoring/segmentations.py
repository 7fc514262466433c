"""A segmentation of several classes, in raw labels, to the index of each voxel's class. NumPy only."""

from __future__ import annotations

import pathlib

import numpy as np
from numpy.typing import NDArray

from data_prep.base import notices
from data_prep.readers import labels, nifti
from data_prep.tasks import IGNORED, Task
from tfunc.scoring import volumes
from tfunc.scoring.truth import Truth


def read(path: pathlib.Path, method: str, truth: Truth, task: Task) -> NDArray[np.uint8]:
    """The class of each voxel [depth, height, width]; the ignored label is background, which is said.

    Outside the truth's mask NaN is background. Raises `UserError` for a label that the task lacks, and for another space.
    """
    array, space = volumes.read(path)
    nifti.require_same_space(truth.space, space)
    if truth.mask is not None and array.dtype.kind == "f":
        array = np.where(np.isnan(array) & (truth.mask == 0), array.dtype.type(0), array)
    found = task.class_of(labels.whole(array, path), path)
    ignored = found == IGNORED
    if ignored.any():
        what = f"segmentations of {method}"
        line = f"{path}: the ignored label {task.ignore} is background in {what}, where the label is another"
        notices.once(f"ignored in {what}", line)
        found[ignored] = 0
    return found
