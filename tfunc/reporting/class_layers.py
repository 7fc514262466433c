"""What pictures of several classes show of a method's maps: segmentation, and an uncertainty for each region and the class map.

A view is a region's index, or None for the class map. A probability has an uncertainty of its own in each view; an error
probability or a sigma has one in all.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.tasks import Task
from tfunc import kinds
from tfunc.kinds import KINDS
from tfunc.scoring import class_files, classes
from tfunc.scoring.classes import Voxels
from tfunc.scoring.sources import Maps
from tfunc.scoring.truth import Truth

View = int | None


@dataclasses.dataclass(frozen=True)
class Layers:
    """One method's maps of one subject. voxels: as they were read.  limits: that the uncertainty map is rescaled from."""

    task: Task
    voxels: Voxels
    limits: tuple[Any, Any] | None

    @property
    def views(self) -> list[View]:
        """Those that it has: the class map, unless it knows regions only, then each region."""
        regions: list[View] = list(range(len(self.task.regions)))
        return regions if self.voxels.of_regions else [None, *regions]

    def source(self, view: View) -> View:
        """The view whose uncertainty this view has: its own of a probability, else the class map's."""
        return view if KINDS[self.voxels.kind].segments else None

    def uncertainty(self, view: View, position: int) -> NDArray[np.floating]:
        """The uncertainty in [0, 1] of a slice, [height, width]."""
        kind = KINDS[self.voxels.kind]
        if not kind.segments:
            assert self.voxels.score is not None
            return kind.uncertainty_map(self.voxels.score[position], self.limits)
        if view is None:
            return np.clip(kinds.softmax_entropy([one[position] for one in self.voxels.channels]), 0, 1)
        return kind.uncertainty(self.probability(view, position))

    def probability(self, region: int, position: int) -> NDArray[np.floating]:
        """The probability of a region in a slice, [height, width], of a kind that has one."""
        channels = [one[position] for one in self.voxels.channels]
        if self.voxels.of_regions:
            return channels[region]
        return classes.region_probability(channels, self.task.regions[region].classes)


def read(maps: Maps, name: str, truth: Truth, task: Task) -> Layers:
    """The `Layers` of a subject; raises `UserError`."""
    voxels, _ = class_files.read(maps, name, truth, task)
    kind = KINDS[maps.kind]
    if voxels.score is not None:
        voxels = dataclasses.replace(voxels, score=truth.evened(voxels.score))
    return Layers(task, voxels, None if voxels.score is None else kind.limits(voxels.score, maps.sigma_range))
