"""The CSV files of lesions: lesions.csv, a row for each one."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from data_prep.base import artefacts
from tfunc.reporting import forms
from tfunc.reporting.forms import number
from tfunc.reporting.parts import Part
from tfunc.scoring.findings import Findings

REST = "unlisted"  # as a source: the row of the smaller lesions of a prediction that has many
LESIONS = (
    "method", "subject", "source", "number", "lesions", "voxels", "volume", "centre_depth", "centre_height", "centre_width",
    "uncertainty", "touches", "dice", "iou", "outcome",
)  # fmt: skip


def write_all(folder: pathlib.Path, parts: Sequence[Part]) -> None:
    """Writes the file, atomically. Of several parts a last column names each one; means and class maps have no lesions."""
    artefacts.write_text(folder / "lesions.csv", forms.rows_text(_of_all(parts, LESIONS, lesions_lines)))


def _of_all(parts, header, function):
    several = len(parts) > 1
    yield [*header, *(["region"] if several else [])]
    for part in parts:
        for line in function(part):
            yield [*line, part.name] if several else line


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
