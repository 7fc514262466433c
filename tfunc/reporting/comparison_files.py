"""How sure the numbers are, as CSV files: comparisons.csv of each pair of methods, and sample_sizes.csv."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfunc.reporting import files
from tfunc.reporting.forms import number
from tfunc.reporting.parts import Part
from tfunc.scoring import comparisons, findings, sample_size
from tfunc.scoring.companions import COMPANIONS
from tfunc.scoring.counts import THRESHOLDS

NUMBERS = ("subjects", "skipped", "difference", "low", "high", "p", "adjusted")
COLUMNS = {"adjusted": "p_holm"}  # what a column is called, where that is not its name
COMPARISONS = ("measure", "direction", "method", "other", *(COLUMNS.get(name, name) for name in NUMBERS))
SIZES = (
    "method", "measure", "subjects", "deviation", *(f"width_{size}" for size in sample_size.SIZES),
    *(f"needed_{width:.2f}" for width in sample_size.WIDTHS),
)  # fmt: skip


def write_all(folder: pathlib.Path, parts: Sequence[Part]) -> None:
    """Writes the files, each atomically. Of several parts a last column names each one."""
    files.write_lines(folder, "comparisons.csv", parts, COMPARISONS, comparisons_lines)
    files.write_lines(folder, "sample_sizes.csv", parts, SIZES, sizes_lines)


def comparisons_lines(part: Part) -> Iterator[list[Any]]:
    """Rows of comparisons.csv, without their header: by measure of Table 1, then companion, each pair of methods."""
    directions: dict[str, str] = {measure.name: measure.direction for measure in part.rows[0].columns}
    directions.update({name: row.direction for name, row in COMPANIONS.items()})
    for name, values in {**of_table(part), **_of_companions(part)}.items():
        for one in comparisons.compare(values):
            row = dataclasses.asdict(one)
            yield [name, directions[name], one.method, one.other, *(number(row[column]) for column in NUMBERS)]


def sizes_lines(part: Part) -> Iterator[list[Any]]:
    """Rows of sample_sizes.csv, without their header: by measure of Table 1 each method, in the measure's own unit."""
    for name, by_method in of_table(part).items():
        for method, values in by_method.items():
            known = len(sample_size.defined(values))
            cells: list[Any] = [known, sample_size.deviation(values)]
            cells += [sample_size.width(values, size) for size in sample_size.SIZES]
            needed = [sample_size.needed(values, width) for width in sample_size.WIDTHS]
            cells += [value if np.isnan(value) else int(value) for value in needed]
            yield [method, name, *map(number, cells)]


def of_table(part: Part) -> dict[str, dict[str, NDArray[np.float64]]]:
    """{measure of Table 1: {method: [subjects]}} that its means are taken of, at each method's own threshold."""
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for measure in part.rows[0].columns:
        found[measure.name] = {}
        for row in part.rows:
            values = part.evaluated.scores[row.method].defined(measure.name)
            if measure.by_threshold:
                values = values[:, THRESHOLDS.index(row.cells[measure.name].threshold)]
            found[measure.name][row.method] = np.asarray(values, np.float64)
    return found


def _of_companions(part):
    """{companion with a mean: {method: [subjects]}}; nothing of a class map."""
    if not part.evaluated.findings:
        return {}
    by_method = {row.method: findings.companion_values(part.evaluated.findings[row.method]) for row in part.rows}
    return {
        name: {method: values[name] for method, values in by_method.items()}
        for name, row in COMPANIONS.items()
        if row.has_mean
    }
