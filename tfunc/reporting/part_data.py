"""What the report's scripts read of one part of an evaluation: curves, every subject's numbers, and where its voxels are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep import label_colours
from tfunc.kinds import KINDS
from tfunc.reporting import class_voxels, drawing, removal
from tfunc.reporting.parts import Part
from tfunc.reporting.table1 import title
from tfunc.scoring import measures
from tfunc.scoring.counts import THRESHOLDS
from tfunc.scoring.evaluate import Evaluated

_DASHES = {"-": "", "--": "5 3"}
_COLUMNS = {"dice": ("dice", None), "ece": ("ece", None), "ue": ("ue", "ue"), "corrected": ("corrected_dice", "bnf")}


def part(of: Part, order: Sequence[str], whole: Evaluated) -> dict[str, Any]:
    """Its methods in this order, those that it lacks without a number; the measures with a curve, and which are better low.

    whole: the evaluation that the part is of, for colours and maps.
    """
    found = next(iter(of.evaluated.scores.values()))
    curves = measures.curves(found.measures)
    return {
        "title": of.title,
        "measures": {measure.name: measure.curve for measure in curves},
        "lower": [measure.name for measure in curves if measure.direction == "lower"],
        "methods": [_method(of, name, whole, curves) for name in order],
    }


def regions(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Each region's title, classes and colour; none of two classes."""
    found = [of for of in parts if of.region is not None]
    return [
        {"title": of.title, "classes": of.region.classes if of.region else (), "color": label_colours.colour(index)}
        for index, of in enumerate(found)
    ]


def _method(of, name, whole, curves):
    look = drawing.styles(whole.scores)[name]
    row = next((row for row in of.rows if row.method == name), None)
    scores = of.evaluated.scores.get(name)
    best = {m.name: THRESHOLDS.index(row.cells[m.name].threshold) for m in row.columns if m.by_threshold} if row else {}
    return {
        "name": name,
        "title": title(name),
        "color": look["color"],
        "dash": _DASHES[look["linestyle"]],
        **_voxels(of, name, whole),
        "best": best or {"ue": 0},
        "removal": removal.removal(scores),
        "curves": {m.name: _plain(scores.mean(m.name) if scores else np.full(len(THRESHOLDS), np.nan)) for m in curves},
        "subjects": {column: _plain(_column(scores, best, *where, whole)) for column, where in _COLUMNS.items()},
    }


def _column(scores, best, name, threshold, whole):
    """A measure of every subject, at the part's threshold of another where it has one; NaN where the part has none."""
    own = {} if scores is None else {measure.subject_column: measure.name for measure in scores.measures.values()}
    empty = np.full(len(whole.subjects), np.nan)
    if name not in own or threshold not in (None, *best):
        return empty
    values = scores[own[name]]
    return values if threshold is None else values[:, best[threshold]]


def _voxels(of, name, whole):
    """Where the viewer finds a method: its index; `map`, its entry of what was cropped away; whether its levels are of a
    probability, whose side of a half they tell; of several classes also the names of the arrays of levels and classes, and the
    region, or null for the class map."""
    index = [maps.method for maps in whole.maps].index(name)
    segments = KINDS[whole.maps[index].kind].segments
    if whole.task is None:
        return {"index": index, "map": index, "sided": segments}
    knows_classes = whole.classes is not None and name in whole.classes.scores
    view = None if of.region is None and knows_classes else 0
    if of.region is not None:
        view = whole.task.regions.index(of.region)
    own = view if segments else None
    return {
        "index": index,
        "sided": own is not None,
        "map": class_voxels.key("", index, view),
        "levels": class_voxels.key("map", index, own),
        "classes": class_voxels.key("seg", index, None),
        "region": view,
    }


def _plain(values):
    return [None if np.isnan(value) else float(value) for value in values]
