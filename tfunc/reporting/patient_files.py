"""The CSV files of an evaluation by patients: failures.csv, review.csv and companions.csv; a function for the rows of each."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep.base import artefacts
from tfunc.reporting import forms
from tfunc.reporting.forms import number
from tfunc.reporting.parts import Part
from tfunc.scoring import findings
from tfunc.scoring.companions import COMPANIONS
from tfunc.scoring.failure import NUMBERS, WITH_INTERVAL
from tfunc.scoring.patients import Patients

Lines = list[list[Any]]
REVIEW = (
    "rank", "subject", "score", "value", "predicted", "low", "high", "volume", "volume_low", "volume_high", "dice",
)  # fmt: skip
# what their columns are called, where that is not their name
COLUMNS = {
    "value": "score_value",
    "predicted": "predicted_dice",
    "low": "predicted_dice_low",
    "high": "predicted_dice_high",
}


def write_all(folder: pathlib.Path, parts: Sequence[Part], found: Sequence[Patients | None]) -> None:
    """Writes the files, each atomically. found: of each part; None has no rows. Of several parts a last column names it."""
    for name, function in (
        ("failures.csv", failures_lines),
        ("review.csv", review_lines),
        ("companions.csv", companions_lines),
    ):
        lines: Lines = []
        for part, patients in zip(parts, found, strict=True):
            if patients is None:
                continue
            head, *rest = function(part, patients)
            several = len(parts) > 1
            lines = lines or [[*head, *(["region"] if several else [])]]
            lines += [[*line, part.name] if several else line for line in rest]
        artefacts.write_text(folder / name, forms.rows_text(lines))


def failures_lines(part: Part, patients: Patients) -> Lines:
    """Rows of failures.csv: every method and score, with 95 % bootstrap intervals; an undefined value is an empty cell."""
    head = ["method", "score", "subjects", "failed"]
    for name in NUMBERS:
        head += [name, f"{name}_low", f"{name}_high"] if name in WITH_INTERVAL else [name]
    lines: Lines = [[*head, "chosen"]]
    for one in patients.detections:
        values: list[Any] = []
        for name in NUMBERS:
            values.append(one.values[name])
            values += [one.low[name], one.high[name]] if name in WITH_INTERVAL else []
        chosen = patients.chosen.get(one.method)
        own = int(chosen is not None and chosen.score == one.score)
        lines.append([one.method, one.score, one.subjects, one.failed, *map(number, values), own])
    return lines


def review_lines(part: Part, patients: Patients) -> Lines:
    """Rows of review.csv: of each method its subjects, whom to look at first at the head. Slices count from 1."""
    lines: Lines = [["method", *(COLUMNS.get(name, name) for name in REVIEW), "slice"]]
    for method, listed in patients.reviews.items():
        for one in listed:
            row = dataclasses.asdict(one)
            if np.isinf(one.volume_high):  # an interval that holds everything is none
                row["volume_low"] = np.nan
            values = [row[name] if isinstance(row[name], str) else number(_finite(row[name])) for name in REVIEW]
            lines.append([method, *values, part.evaluated.findings[method][one.subject].worst_slice + 1])
    return lines


def _finite(value):
    return value if np.isfinite(value) else np.nan


def companions_lines(part: Part, patients: Patients) -> Lines:
    """Rows of companions.csv: each method's mean over subjects and its 95 % bootstrap interval, of every companion that has one.

    penalties: subjects of which one mask is empty, whose distance is the penalty.
    """
    shown = [row for row in COMPANIONS.values() if row.has_mean]
    lines: Lines = [
        ["method", "subjects", "penalties", *(f"{row.name}{end}" for row in shown for end in ("", "_low", "_high"))]
    ]
    for method, found in part.evaluated.findings.items():
        means = findings.companion_means(found)
        cells = [value for row in shown for value in means[row.name]]
        lines.append([method, len(found), sum(one.has_penalty for one in found.values()), *map(number, cells)])
    return lines
