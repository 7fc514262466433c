"""Maps that the report's viewer shows but does not count: a probability in 24 steps, mutual information in 64ths, as bytes.

A probability lies between two of the eleven thresholds by its entropy, and on one side of a half. A map of probabilities has
both already, in its level and its segmentation, so that its probability costs nothing; of other kinds it is an array more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_prep.base import notices
from data_prep.base.errors import UserError
from data_prep.readers import nifti
from data_prep.readers.file_names import ENDINGS
from data_prep.tasks import Task
from tfunc import kinds
from tfunc.kinds import KINDS
from tfunc.scoring import class_files, classes, counts, volumes
from tfunc.scoring.counts import THRESHOLDS
from tfunc.scoring.sources import Maps
from tfunc.scoring.truth import Truth

SIDE = 16  # added to the level of a probability above a half
UNCOUNTED = np.uint8(SIDE - 1)  # of a voxel that counts nowhere, a level beyond all
STEPS = 64  # of mutual information, from 0 to 1


def arrays(maps: Maps, index: int, name: str, truth: Truth, task: Task | None = None) -> dict[str, NDArray[np.uint8]]:
    """{name in the page: uint8 [depth, height, width]} of what lies beside a method's scored map; nothing where nothing does.

    task: of several classes.  prob-<index>, of several classes prob-<index>-<region>: the level of a probability + SIDE where
    it is above a half, of methods that are scored by another map.  mutual-<index>: mutual information in `STEPS`. Files that do
    not fit the label are left out, which is said.
    """
    found = {}
    if not KINDS[maps.kind].segments and task is not None:
        found = _by_region(maps, index, name, truth, task)
    elif not KINDS[maps.kind].segments:
        probability = _beside(maps, name, truth, "probability", softmax=True)
        if probability is not None:
            found[f"prob-{index}"] = sided(probability)
    mutual = _beside(maps, name, truth, "mutual_information")
    if mutual is not None:
        found[f"mutual-{index}"] = np.rint(mutual * STEPS).astype(np.uint8)
    return found


def sided(probability: NDArray) -> NDArray[np.uint8]:
    """The level of a probability's entropy, + SIDE where it is above a half."""
    level = counts.levels(kinds.normalised_entropy(probability)).astype(np.uint8)
    return level + np.uint8(SIDE) * (probability > 0.5)


def bounds() -> list[float]:
    """The probabilities, rising from 0 to 0.5, between which a level lies, one more than levels; above a half 1 minus them."""
    found = [0.0]
    for threshold in THRESHOLDS:
        low, high = 0.0, 0.5
        for _ in range(60):
            middle = (low + high) / 2
            below = kinds.normalised_entropy(np.array([middle]))[0] < threshold
            low, high = (middle, high) if below else (low, middle)
        found.append(low)
    return [*found, 0.5]


def _by_region(maps, index, name, truth, task):
    """The probabilities of regions, whose classes' file lies beside a map that says nothing of it; nothing without one."""
    path = _path(maps, name, "probability")
    if path is None:
        return {}
    try:
        channels, of_regions = class_files.probabilities(path, truth.space, task, maps.activation, truth.counted)
    except UserError as error:
        _say_left_out(maps, "probability", error)
        return {}
    found = {}
    for number, region in enumerate(task.regions):
        of = channels[number] if of_regions else classes.region_probability(channels, region.classes)
        code = sided(_in_range(of))
        found[f"prob-{index}-{number}"] = code if truth.counted is None else np.where(truth.counted, code, UNCOUNTED)
    return found


def _beside(maps, name, truth, what, softmax=False):
    """A map in [0, 1], 0 where it is no number; None where there is none that fits."""
    path = _path(maps, name, what)
    if path is None:
        return None
    try:
        array, space = volumes.read(path, softmax=softmax)
        nifti.require_same_space(truth.space, space)
    except UserError as error:
        _say_left_out(maps, what, error)
        return None
    return _in_range(array)


def _path(maps, name, what):
    paths = [maps.folder_of(name) / f"{name}_{what}{ending}" for ending in ENDINGS]
    return next((path for path in paths if path.exists()), None)


def _in_range(array):
    return np.clip(np.nan_to_num(kinds.floating(array), nan=0.0), 0, 1)


def _say_left_out(maps, what, error):
    notices.once(f"{what} of {maps.method}", f"{error}; the report's viewer leaves it out")
