"""A method's maps of several classes, read for counting: softmax, sigmoids of regions, or an uncertainty. NumPy only.

The probabilities are NIfTI, the class last or first, or nnU-Net's `CASE.npz`; beside them lies a segmentation in raw labels, or
none, and then it is the class of the highest probability, ties to the lower class.
"""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.base import notices
from data_prep.base.errors import UserError
from data_prep.readers import nifti
from data_prep.readers.nifti import Space
from data_prep.tasks import Task
from tfunc.kinds import KINDS, TOLERANCE, MapError
from tfunc.scoring import channels, npz, segmentations, temperature
from tfunc.scoring.classes import Voxels, top_label
from tfunc.scoring.sources import Maps
from tfunc.scoring.truth import Truth

ACTIVATIONS = ("auto", "softmax", "sigmoid")


def read(maps: Maps, subject: str, truth: Truth, task: Task) -> tuple[Voxels, int]:
    """(the subject's maps [depth, height, width], how many voxels are NaN outside the mask); raises `UserError`.

    Outside the truth's mask NaN counts as background that the map is sure of, as in `Maps.read`.
    """
    if not KINDS[maps.kind].segments:
        score, prediction, gaps = maps.read_with_gaps(subject, truth)
        return Voxels(maps.kind, prediction, score=score), gaps
    path = maps.path(subject)
    found, of_regions = probabilities(path, truth.space, task, maps.activation, truth.counted)
    found, gaps = _without_gaps(path, found, truth, of_regions)
    beside = maps.prediction_path(subject)
    if beside is not None:
        prediction = segmentations.read(beside, maps.method, truth, task)
    elif of_regions:
        prediction = _of_regions(found, task)
    else:
        prediction = np.empty(truth.space.shape, np.uint8)
        for index in range(len(prediction)):
            prediction[index] = top_label([np.asarray(one[index], np.float32) for one in found])[1]
    if maps.temperature is not None and not of_regions:
        found = temperature.apply_classes(found, maps.temperature)
    return Voxels(maps.kind, prediction, tuple(np.asarray(one, np.float32) for one in found), of_regions), gaps


def probabilities(
    path: pathlib.Path, space: Space, task: Task, activation: str, counted: NDArray | None = None
) -> tuple[NDArray, bool]:
    """([channel, depth, height, width], whether they are regions' sigmoids rather than classes' softmax); `UserError`.

    activation: `softmax`, `sigmoid`, or `auto`: as many channels as classes that add up to 1 are a softmax, as many as
    regions that do not are sigmoids.  counted: the voxels that are looked at, None for all; the others become background.
    """
    count, regions = len(task.classes), len(task.regions)
    allowed = {"softmax": (count,), "sigmoid": (regions,), "auto": (count, regions)}[activation]
    if path.suffix == npz.ENDING:
        _require_shape(path, npz.shape(path), space, allowed)
        array, affine = npz.read(path)
    else:
        array, affine = nifti.read_map(path, dimensions=channels.DIMENSIONS)
    found = channels.class_first(path, array, space.shape, allowed)
    nifti.require_same_space(space, Space(str(path), space.shape, affine))
    if counted is not None:
        found = np.where(counted, found, found.dtype.type(0))
        found[0][~counted] = 1
    gap = channels.sum_gap(found)
    sums = gap <= channels.SUM_TOLERANCE
    if activation == "sigmoid" or (activation == "auto" and not sums and len(found) == regions):
        line = f"{path}: its {regions} channels, which do not add up to 1, are the regions' own probabilities"
        notices.once(
            "sigmoids", line if activation == "auto" else f"{path}: its channels are the regions' own probabilities"
        )
        return found, True
    if not sums:
        named = ", ".join(one.name for one in task.classes)
        expected = f"{count} channels of a softmax, which add up to 1 ({named})"
        do = "write the probability of every class, or give --activation=sigmoid where they are of regions"
        raise UserError(path, expected=expected, found=f"sums that miss it by {gap:g}", do=do)
    return found, False


def _require_shape(path, shape, space, allowed):
    """Refuses an array of another size before it is read."""
    spatial = [size for size in space.shape if size > 1]
    if not shape or shape[0] not in allowed or [size for size in shape[1:] if size > 1] != spatial:
        wanted = " or ".join(str(count) for count in dict.fromkeys(allowed))
        expected = f"{wanted} channels of {'x'.join(map(str, space.shape))} (depth, height, width), as the label has"
        raise UserError(
            path, expected=expected, found="x".join(map(str, shape)), do="give the predictions of these labels"
        )


def _of_regions(found, task):
    """The class of each voxel by regions' sigmoids above 0.5: the later region overwrites, as nnU-Net's do.

    A region stands for the class that it has beyond the regions after it.
    """
    prediction = np.zeros(found.shape[1:], np.uint8)
    for index, region in enumerate(task.regions):
        later = {one for other in task.regions[index + 1 :] for one in other.classes}
        own = [one for one in region.classes if one not in later] or list(region.classes)
        prediction[np.asarray(found[index], np.float32) > 0.5] = own[0]
    return prediction


def _without_gaps(path: pathlib.Path, found: NDArray, truth: Truth, of_regions: bool) -> tuple[NDArray, int]:
    """NaN outside the mask as background; what is no probability is refused, NaN inside the mask by its number."""
    if found.dtype.kind != "f":
        found = found.astype(np.float32)
    lowest, highest = float(np.min(found)), float(np.max(found))
    gaps = 0
    if np.isnan(lowest) and (truth.mask is not None or truth.counted is not None):
        empty: Any = np.isnan(found).any(axis=0)
        if truth.counted is not None:
            empty &= truth.counted
        inside = int(empty.sum() if truth.mask is None else (empty & (truth.mask != 0)).sum())
        if inside:
            do = "predict it there, or give masks that leave those voxels out"
            raise UserError(path, expected="numbers where voxels count", found=f"NaN in {inside} of its voxels", do=do)
        gaps = int(empty.sum())
        found = np.where(np.isnan(found).any(axis=0), found.dtype.type(0), found)
        if not of_regions:
            found[0][found.sum(axis=0) == 0] = 1
        lowest, highest = float(np.min(found)), float(np.max(found))
    if not (lowest >= -TOLERANCE and highest <= 1 + TOLERANCE):
        values = "NaN" if np.isnan(lowest) else f"values from {lowest:g} to {highest:g}"
        raise MapError(f"{values} where [0, 1] should hold them")
    return np.clip(found, 0, 1) if lowest < 0 or highest > 1 else found, gaps
