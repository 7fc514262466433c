"""The tables of one evaluation: of two classes one; of several the mean over regions, each region, and the class map.

Each is a part: what its rows in the CSV files are called, its own Table 1, and the numbers behind it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data_prep.tasks import Region
from tfunc.kinds import KINDS
from tfunc.reporting.table1 import Row, table1, title
from tfunc.scoring import measures, statistics
from tfunc.scoring.evaluate import Evaluated
from tfunc.scoring.measures import MEASURES

MEAN, CLASSES = "mean", "classes"  # names of parts that are no region
MARK = "its map also marks errors between classes inside a region"


@dataclasses.dataclass(frozen=True)
class Part:
    """One table of an evaluation.

    name: in the column `region` of CSV files and in summary.json; empty for two classes, which have no other part.
    title: for people.  about: the sentence that says what it is, empty for two classes.  of: what is averaged over before
    the subjects.  evaluated, rows: its numbers and its Table 1.  region: where it is one.
    """

    name: str
    title: str
    about: str
    evaluated: Evaluated
    rows: list[Row]
    of: str = ""
    region: Region | None = None

    @property
    def suffix(self) -> str:
        """What its files' names have after `table1`: nothing for the mean, as for two classes."""
        return "" if self.name in ("", MEAN) else f"_{self.name}"


def parts(
    evaluated: Evaluated,
    chosen: Mapping[str, Mapping[str, Mapping[str, int]]] | None = None,
    published: str | None = None,
) -> list[Part]:
    """The parts of an evaluation, the first that of table1.csv.

    chosen: {name of a part: {method: `statistics.thresholds`}}, where thresholds were chosen on another set.  published: a
    data set's name to show the paper's values, of two classes.
    """
    given = chosen or {}
    if evaluated.task is None:
        return [Part("", "", "", evaluated, table1(evaluated.scores, given.get(""), published))]
    names = region_names(evaluated)
    marks = {maps.method: MARK for maps in evaluated.maps if not KINDS[maps.kind].segments}
    columns = measures.table1()
    if any(not np.isnan(found["ece_near"]).all() for found in evaluated.scores.values()):
        columns.insert(1, MEASURES["ece_near"])

    def rows(name, of, marked):
        return table1(of.scores, given.get(name), None, columns, marked)

    titles = ", ".join(region.title for region in evaluated.task.regions)
    about = f"Mean over the regions: {titles}."
    found = [Part(MEAN, "mean over regions", about, evaluated, rows(MEAN, evaluated, marks), "regions and ")]
    for name, region in zip(names, evaluated.task.regions, strict=True):
        of = evaluated.regions[region.name]
        held = ", ".join(evaluated.task.classes[index].name for index in region.classes)
        found.append(Part(name, region.title, f"{region.title}: {held}.", of, rows(name, of, marks), region=region))
    if evaluated.classes is not None:
        about = "The class map: an error is a voxel of a wrong class, and all kinds of uncertainty are compared."
        if lacking := [title(name) for name in evaluated.scores if name not in evaluated.classes.scores]:
            about += f" Of {', '.join(lacking)} there is none: the maps are of regions only."
        columns = measures.table1(next(iter(evaluated.classes.scores.values())).measures)
        found.append(Part(CLASSES, "class map", about, evaluated.classes, rows(CLASSES, evaluated.classes, {})))
    return found


def thresholds(evaluated: Evaluated) -> dict[str, dict[str, dict[str, int]]]:
    """{name of a part: {method: `statistics.thresholds`}}: what `parts` takes as chosen on another set."""

    def best(of):
        return {method: statistics.thresholds(scores) for method, scores in of.scores.items()}

    if evaluated.task is None:
        return {"": best(evaluated)}
    found = {MEAN: best(evaluated)}
    for name, of in zip(region_names(evaluated), evaluated.regions.values(), strict=True):
        found[name] = best(of)
    return found if evaluated.classes is None else found | {CLASSES: best(evaluated.classes)}


def region_names(evaluated: Evaluated) -> list[str]:
    """The regions' names as files can have them, no two alike, none that of another part."""
    taken, found = {MEAN, CLASSES, ""}, []
    for name in evaluated.regions:
        safe = re.sub(r"[^\w-]+", "_", name).strip("_") or "region"
        while safe.lower() in taken:
            safe += "_"
        taken.add(safe.lower())
        found.append(safe)
    return found


def lines(
    parts: Sequence[Part], header: Sequence[str], function: Callable[[Part], Iterable[Sequence[Any]]]
) -> Iterator[list[Any]]:
    """The rows of a CSV file, the header first; of several parts those of each, with its name in a last column `region`."""
    several = len(parts) > 1
    yield [*header, *(["region"] if several else [])]
    for part in parts:
        for line in function(part):
            yield [*line, part.name] if several else [*line]
