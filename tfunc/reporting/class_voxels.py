"""A subject of several classes for the report's viewer: class indices once, and a level for each method and view.

A view is a region or the class map (see `class_layers`). Its numbers follow from the level, the segmentation and the label:
of a region what lies in it, of the class map whether the class is wrong, so they are those of subjects.csv.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tfunc.reporting import class_layers
from tfunc.reporting.class_layers import Layers, View
from tfunc.scoring import classes, counts
from tfunc.scoring.evaluate import Evaluated
from tfunc.scoring.sources import Maps
from tfunc.scoring.truth import Truth

Require = Callable[[Maps, str, NDArray, counts.Counts], None]


@dataclasses.dataclass(frozen=True)
class Method:
    """One method: segmentation [depth, height, width] in classes; levels {view whose uncertainty it is: uint8 array}; and of
    each view the array of its level, whether the segmentation is foreground and whether the label is."""

    index: int
    layers: Layers
    levels: dict[View, NDArray[np.uint8]]
    label: NDArray[np.uint8]

    def arrays(self) -> dict[str, NDArray[np.uint8]]:
        """{name in the page: array}."""
        found = {f"seg-{self.index}": self.layers.voxels.prediction.astype(np.uint8)}
        return found | {key("map", self.index, view): level for view, level in self.levels.items()}

    def histogram(self, view: View, box: tuple[slice, ...] = (slice(None),) * 3) -> NDArray[np.int64]:
        """int64 [48]: voxels by level, segmentation, truth, ignored ones left out; of the class map by being wrong."""
        level = self.levels[self.layers.source(view)][box] & np.uint8(15)
        segmented, target = self.layers.voxels.prediction[box], self.label[box]
        if view is None:
            found, there = segmented != target, np.zeros_like(target, dtype=bool)
        else:
            region = self.layers.task.regions[view]
            found, there = classes.among(segmented, region), classes.among(target, region)
        cells = np.bincount((level * np.uint8(4) + found * np.uint8(2) + there).ravel(), minlength=64)
        return cells[: counts.LEVELS * 4]


def key(what: str, method: int, view: View) -> str:
    """The name of an array, or of a view, in the page."""
    return "-".join(str(part) for part in (what, method, view) if part not in ("", None))


def read(evaluated: Evaluated, name: str, truth: Truth, ignored: int, across: int, require: Require) -> list[Method]:
    """All methods of a subject. ignored: the level of voxels that count nowhere.  across: is added to the level where a region's
    probability is on the other side of a half than the segmentation.  require: is called with a method's maps,
    the subject, a view's histogram and the counts that it must equal."""
    assert evaluated.task is not None
    found = []
    for index, maps in enumerate(evaluated.maps):
        layers = class_layers.read(maps, name, truth, evaluated.task)
        levels = {
            view: _levels(layers, view, truth, ignored, across) for view in {layers.source(v): 0 for v in layers.views}
        }
        method = Method(index, layers, levels, truth.label)
        for view in layers.views:
            of = evaluated.classes if view is None else evaluated.regions[evaluated.task.regions[view].name]
            if of is not None and maps.method in of.counts:
                require(maps, name, method.histogram(view), of.counts[maps.method][name])
        found.append(method)
    return found


def _levels(layers, view, truth, ignored, across):
    level = np.empty(truth.label.shape, np.uint8)
    for position in range(len(level)):
        level[position] = counts.levels(layers.uncertainty(view, position))
        if view is not None:
            segmented = classes.among(layers.voxels.prediction[position], layers.task.regions[view])
            level[position] += np.uint8(across) * ((layers.probability(view, position) > 0.5) != segmented)
    return level if truth.counted is None else np.where(truth.counted, level, np.uint8(ignored))
