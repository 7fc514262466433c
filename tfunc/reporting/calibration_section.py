"""The report's section on calibration, by class or region and by subject: a table of every part, and the figures; HTML."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from tfunc.reporting.parts import MEAN, Part
from tfunc.reporting.table1 import title
from tfunc.reporting.templates import filled
from tfunc.scoring import measures, metrics


def table(parts: Sequence[Part]) -> Markup:
    """A row a method; for each region, and the class map, the ECE of the mean subject and of all voxels pooled, in %, and which
    way it errs. The mean over regions has no voxels of its own and is left out.
    """
    shown = [part for part in parts if part.name != MEAN]
    methods = [row.method for row in parts[0].rows]
    rows = [(title(method), [_cell(part, method) for part in shown]) for method in methods]
    heads = [part.title or "foreground" for part in shown]
    return filled("calibration.html", heads=heads, rows=rows)


def _cell(part, method):
    """(ECE of the mean subject %, of the voxels pooled %, which way); None where the part has nothing of the method."""
    scores = part.evaluated.scores.get(method)
    if scores is None:
        return None
    name = measures.table1(scores.measures)[0].name  # a class map's is the top label's
    gap = metrics.confidence_gap(scores.pooled)
    way = "" if gap != gap else "under-confident" if gap > 0 else "over-confident"
    return 100 * float(scores.mean(name)), 100 * metrics.calibration_error(scores.pooled), way
