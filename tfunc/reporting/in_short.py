"""The report's summary: what was evaluated, what came of it and what it is worth, in sentences for whoever reads nothing else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from tfunc.reporting import benefits, remarks
from tfunc.reporting.parts import Part
from tfunc.reporting.table1 import Row, title
from tfunc.reporting.templates import filled, fixed
from tfunc.scoring import failure
from tfunc.scoring.failure import Detection
from tfunc.scoring.patients import Patients

SHARE = 0.15  # of the subjects are reviewed in the sentence: 3 of 22
FEW = 4  # subjects, below which nobody is left to compare


@dataclasses.dataclass(frozen=True)
class Gain:
    """What reviewing the first subjects of a list does. reviewed, subjects: how many.  before, after: mean Dice of all, and of
    those who are left.  best: of those whom the best order would leave."""

    reviewed: int
    subjects: int
    before: float
    after: float
    best: float

    def sentence(self) -> str:
        """In words, with the direction that it has."""
        way = "rises" if self.after > self.before else "falls" if self.after < self.before else "stays"
        from_to = f"from {self.before:.3f} to {self.after:.3f}" if way != "stays" else f"at {self.before:.3f}"
        return (
            f"Review {self.reviewed} of {self.subjects} and the mean Dice of the rest {way} {from_to}. The best possible order "
            f"would reach {self.best:.3f}; reviewing at random leaves it as it is."
        )


def gain(patients: Patients) -> Gain | None:
    """Of the first method's list; None where there are too few subjects."""
    dice = np.array([one.dice for one in patients.reviews[patients.first]])
    if len(dice) < FEW or not np.isfinite(dice).all():
        return None
    count = max(round(SHARE * len(dice)), 1)
    listed, best = (
        failure.left_unreviewed(order, dice) for order in (np.arange(len(dice)), np.argsort(dice, kind="stable"))
    )
    return Gain(count, len(dice), float(listed[0]), float(listed[count]), float(best[count]))


def section(parts: Sequence[Part], patients: Patients | None, summary: Mapping[str, Any], name: str) -> Markup:
    """The section. patients: of the first part, None without a list.  summary: what summary.json says.  name: of the data."""
    found = [("Data", _data(parts[0], summary, name)), *_methods(parts[0])]
    if patients is not None:
        found += _patients(patients)
    found += _thresholds(parts[0])
    if unlike := remarks.unlike_dice(parts[0].rows):
        found.append(("Not comparable", unlike))
    return filled("in_short.html", found=found, made_up=summary.get("made_up", False))


def _data(part, summary, name):
    subjects, patients = len(part.evaluated.subjects), summary.get("patients")
    people = f"{subjects} subjects" if patients is None else f"{patients} patient{'s' * (patients != 1)}"
    people += f" ({subjects} scans)" if patients not in (None, subjects) else ""
    split = summary.get("split", "test")
    where = f"the {split} set of {name}" if summary["dataset"] and name else name or "folders of maps and labels"
    real = "" if summary.get("made_up") else " Nothing marks these data as made up."
    return f"{people} of {where}.{real}"


def _methods(part: Part) -> Iterator[tuple[str, str]]:
    rows = [row for row in part.rows if not math.isnan(row.cells["dice"].mean)]
    if not rows:
        return
    rows = sorted(rows, key=lambda row: -row.cells["dice"].mean)
    first, cell = rows[0], rows[0].cells["dice"]
    text = f"{first.title}: mean Dice {cell.mean:.3f} (95 % interval {cell.low:.3f} to {cell.high:.3f})"
    if len(rows) > 1:
        second = rows[1]
        near = sum(row.cells["dice"].high >= cell.low for row in rows[1:])
        text += f", of {len(rows)} methods; the next is {second.title} with {second.cells['dice'].mean:.3f}"
        text += (
            f"; the intervals of {near} of the others overlap with it"
            if near
            else "; no other interval overlaps with it"
        )
    yield "Segments best", f"{text}."
    measure = rows[0].columns[0]  # the calibration error
    known = [row for row in rows if not math.isnan(row.cells[measure.name].mean)]
    if known:
        best = min(known, key=lambda row: row.cells[measure.name].mean)
        name, unit = measure.title.removesuffix(" %"), " %" * measure.title.endswith(" %")
        yield "Calibrated best", f"{best.title}: {name} {_printed(best, measure)}{unit}, mean over subjects."


def _printed(row: Row, measure: Any) -> str:
    return fixed(measure.printed(row.cells[measure.name].mean), measure.digits)


def _patients(patients: Patients) -> Iterator[tuple[str, str]]:
    listed = patients.reviews[patients.first]
    by = f"By {title(patients.first)}, {failure.title(listed[0].score)}" if listed else ""
    chosen = patients.chosen.get(patients.first)
    how = f", chosen on {chosen.subjects} other subjects." if chosen else "; nothing chose it on other subjects."
    found = gain(patients)
    if found is not None:
        yield "Whom to review", f"{found.sentence()} {by}{how}"
    own = next((one for one in patients.of(patients.first) if listed and one.score == listed[0].score), None)
    if own is not None and not math.isnan(own.values["closed"]):
        yield "Can the score rank patients?", _ranks(own)
    if backwards := [one for one in patients.detections if one.high["spearman"] < 0]:
        named = ", ".join(f"{title(one.method)} by {one.title}" for one in backwards[:3])
        more = f" and {len(backwards) - 3} more" if len(backwards) > 3 else ""
        yield (
            "Ranks backwards",
            f"{len(backwards)} of {len(patients.detections)} scores are higher where the Dice is better, more surely "
            f"than by chance: {named}{more}.",
        )


def _ranks(one: Detection) -> str:
    share, low, high = one.values["closed"], one.low["closed"], one.high["closed"]
    if one.values["spearman"] < 0:
        return (
            "No: it ranks backwards here, the better segmentations stand first (rank correlation with 1 - Dice "
            f"{fixed(one.values['spearman'], 2, '+')})."
        )
    if share < 0:
        return f"No: it is no better than no order (95 % interval {fixed(100 * low, 0)} to {fixed(100 * high, 0)} % of the way)."
    sure = "Yes" if low > 0 else "Not certain"
    return (
        f"{sure}: it goes {100 * share:.0f} % of the way from no order to the best one (95 % interval {fixed(100 * low, 0)} to "
        f"{fixed(100 * high, 0)} %)."
    )


def _thresholds(part: Part) -> Iterator[tuple[str, str]]:
    found = benefits.benefits(part)
    if not found:
        return
    best = max(part.rows, key=lambda row: np.nan_to_num(row.cells["dice"].mean, nan=-1)).method
    one = next(one for one in found if one.method == best)
    if one.ever:
        text = (
            f"With the voxels of {one.title} above {one.threshold:.2f} set to background the Dice of {one.rises} subjects rises "
            f"and that of {one.falls} falls, by {fixed(one.change, 3, '+')} in the mean."
        )
    else:
        text = f"Setting voxels above any threshold to background raises the Dice of no subject of {one.title}."
    yield "Without uncertain voxels", f"{text} {benefits.never(found)}".strip()
