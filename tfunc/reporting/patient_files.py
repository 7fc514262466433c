"""The CSV files of an evaluation by patients: failures.csv, review.csv and companions.csv; a function for the rows of each."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from tfunc.reporting import files
from tfunc.reporting.forms import number
from tfunc.reporting.parts import Part
from tfunc.scoring import findings
from tfunc.scoring.companions import COMPANIONS
from tfunc.scoring.failure import NUMBERS, WITH_INTERVAL
from tfunc.scoring.patients import Patients

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


FAILURES = (
    "method", "score", "subjects", "failed",
    *(f"{name}{end}" for name in NUMBERS for end in ("", *(("_low", "_high") if name in WITH_INTERVAL else ()))), "chosen",
)  # fmt: skip
MEANS = tuple(name for name, row in COMPANIONS.items() if row.has_mean)
ENDS = ("", "_low", "_high")


def write_all(folder: pathlib.Path, parts: Sequence[Part], found: Sequence[Patients | None]) -> None:
    """Writes the files, each atomically. found: of each part; None has no rows. Of several parts a last column names it."""
    by_part = {part.name: patients for part, patients in zip(parts, found, strict=True)}
    review = ("method", *(COLUMNS.get(name, name) for name in REVIEW), "slice")
    means = ("method", "subjects", "penalties", *(f"{name}{end}" for name in MEANS for end in ENDS))
    files.write_lines(folder, "failures.csv", parts, FAILURES, lambda part: failures_lines(by_part[part.name]))
    files.write_lines(folder, "review.csv", parts, review, lambda part: review_lines(part, by_part[part.name]))
    files.write_lines(folder, "companions.csv", parts, means, companions_lines)


def failures_lines(patients: Patients | None) -> Iterator[list[Any]]:
    """Rows of failures.csv, without their header: every method and score, with 95 % bootstrap intervals; NaN is empty."""
    for one in patients.detections if patients else ():
        values: list[Any] = []
        for name in NUMBERS:
            values.append(one.values[name])
            values += [one.low[name], one.high[name]] if name in WITH_INTERVAL else []
        chosen = patients.chosen.get(one.method) if patients else None
        own = int(chosen is not None and chosen.score == one.score)
        yield [one.method, one.score, one.subjects, one.failed, *map(number, values), own]


def review_lines(part: Part, patients: Patients | None) -> Iterator[list[Any]]:
    """Rows of review.csv, without their header: of each method its subjects, whom to look at first at the head.

    Slices count from 1. An interval that holds everything is none, and empty.
    """
    for method, listed in patients.reviews.items() if patients else ():
        for one in listed:
            row = dataclasses.asdict(one)
            if math.isinf(one.volume_high):
                row |= {"volume_low": math.nan, "volume_high": math.nan}
            values = [row[name] if isinstance(row[name], str) else number(row[name]) for name in REVIEW]
            yield [method, *values, part.evaluated.findings[method][one.subject].worst_slice + 1]


def companions_lines(part: Part) -> Iterator[list[Any]]:
    """Rows of companions.csv, without their header: each method's mean over subjects and its 95 % bootstrap interval.

    penalties: subjects of which one mask is empty, whose distance is the penalty.
    """
    for method, found in part.evaluated.findings.items():
        means = findings.companion_means(found)
        cells = [value for name in MEANS for value in means[name]]
        yield [method, len(found), sum(one.has_penalty for one in found.values()), *map(number, cells)]
