"""The CSV files of lesions: lesions.csv, a row for each one, and lesion_curves.csv, what is detected over the set."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfunc.reporting import files
from tfunc.reporting.forms import number
from tfunc.reporting.parts import Part
from tfunc.scoring import lesion_curves
from tfunc.scoring.findings import Findings
from tfunc.scoring.lesion_curves import Curves

REST = "unlisted"  # as a source: the row of the smaller lesions of a prediction that has many
LESIONS = (
    "method", "subject", "source", "number", "lesions", "voxels", "volume", "centre_depth", "centre_height", "centre_width",
    "uncertainty", "touches", "dice", "iou", "outcome",
)  # fmt: skip
CURVES = ("method", "curve", "at", "kept", "sensitivity", "false_positives", "false_discovery", "f1")


def write_all(folder: pathlib.Path, parts: Sequence[Part]) -> dict[str, dict[str, Curves]]:
    """Writes the files, each atomically -> {name of a part: its `curves`}, for who draws them.

    Of several parts a last column names each one; means and class maps have no lesions.
    """
    found = {part.name: curves(part) for part in parts}
    files.write_lines(folder, "lesions.csv", parts, LESIONS, lesions_lines)
    files.write_lines(folder, "lesion_curves.csv", parts, CURVES, lambda part: curves_lines(found[part.name]))
    return found


def lesions_lines(part: Part) -> Iterator[list[Any]]:
    """Rows of lesions.csv, without their header: by method and subject, those of its prediction, then of its label.

    Where the prediction has more than are listed, a row of the source `unlisted` says how many more, and their voxels.
    """
    for method, of in part.evaluated.findings.items():
        for subject, found in of.items():
            for row in rows(found):
                yield [method, subject, *row]


def rows(found: Findings) -> Iterator[list[str]]:
    """The cells of each lesion of one subject and method, from `source` on."""
    for one in found.lesions:
        centre = (0.0, *one.centre)[-3:]  # a photograph is one slice
        values = [one.uncertainty, one.touches, one.dice, one.iou]
        size = [one.number, 1, one.voxels, one.voxels * found.voxel]
        yield [one.source, *map(number, (*size, *centre, *values)), one.outcome]
    if found.rest.lesions:
        size = [found.rest.lesions, found.rest.voxels, found.rest.voxels * found.voxel]
        yield [REST, "", *map(number, size), *[""] * len(LESIONS[7:])]


def curves(part: Part) -> dict[str, Curves]:
    """{method: `Curves`} of a part; empty where its labels have no lesion, of means over regions and of class maps."""
    found = {}
    for method, of in part.evaluated.findings.items():
        tallies = (one.tally for one in of.values() if one.tally is not None)
        if (first := next(tallies, None)) is not None:
            found[method] = lesion_curves.curves(itertools.chain([first], tallies))
    return {method: one for method, one in found.items() if one.lesions}


def curves_lines(by_method: Mapping[str, Curves]) -> Iterator[list[Any]]:
    """Rows of lesion_curves.csv, without their header: by method the two of detection, thinned, and the F1's retention."""
    for method, found in by_method.items():
        for name, one in (("match", found.by_match), ("touch", found.by_touch)):
            few = lesion_curves.thinned(one)
            columns = few.threshold, few.kept, few.sensitivity, few.false_positives, few.false_discovery
            for row in zip(*columns, strict=True):
                yield [method, name, *map(number, row), ""]
        for fraction, value in zip(found.f1.fractions, found.f1.values, strict=True):
            yield [method, "f1", number(fraction), *[""] * 4, number(value)]
