"""What must be said beside the numbers: who chose the thresholds, whom the networks had seen, what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfunc import methods
from tfunc.reporting.table1 import Row

UNLIKE = 0.05  # a larger difference of mean Dice, and U-E is of other errors


def chosen_on(asked: Mapping[str, Any]) -> str:
    """On whom the thresholds are best, as a phrase. asked: what summary.json says of an evaluation, here and below."""
    chose, split, count = asked["threshold_split"], asked.get("split", "test"), asked["subjects"]
    if chose in ("test", split):
        if split == "test" and not _subset(asked):
            return "best per method on the test set, as in the paper"
        return f"best per method on these very {count} subjects"
    shared = asked.get("shared") or {}
    if not shared.get("thresholds"):
        nothing = "the test set" if split == "test" else f"the {split} set"
        return f"best per method on the {chose} set, so {nothing} chose nothing"
    return (
        f"best per method on the {chose} set, of whose {shared['choosing']} subjects {shared['thresholds']} are among these "
        f"{count}: they had a part in the choice"
    )


def remarks(asked: Mapping[str, Any]) -> list[str]:
    """Sentences on the subjects and their maps that a reader of the table must know."""
    count, split, shared = asked["subjects"], asked.get("split", "test"), asked.get("shared") or {}
    found = []
    if _subset(asked):
        found.append(f"These are {count} chosen subjects of the {split} set.")
    elif split != "test":
        found.append(f"These are the subjects of the {split} set, not of the test set.")
    if number := shared.get("best_epoch"):
        found.append(f"The networks' best epochs were chosen on {_of(number, count)}.")
    if number := shared.get("trained"):
        found.append(f"Networks were trained on {_of(number, count)}.")
    if shared.get("scans"):
        found.append("Other scans of a subject's patient count as the subject.")
    for method, (number, fitted_on) in asked.get("inputs", {}).get("recalibrated", {}).items():
        these = ", the very set that is evaluated" if fitted_on.endswith(f" of {split}") else ""
        found.append(f"{methods.title(method)}: at the temperature {number:.4g}, fitted on {fitted_on}{these}.")
    for method, number in (asked.get("gaps") or {}).items():
        voxels = f"{number:,} voxel{'s' * (number != 1)} of {method}"
        found.append(f"{voxels} outside the masks are NaN and count as background that the map is sure of.")
    return found


def unlike_dice(rows: Sequence[Row]) -> str:
    """The sentence that U-E may not be compared, where the methods' mean Dice is too unlike; else nothing.

    It is the overlap of the uncertain voxels with the errors: whoever errs more has more to overlap with.
    """
    found = sorted(
        (row.cells["dice"].mean, row.title) for row in rows if row.cells["dice"].mean == row.cells["dice"].mean
    )
    if not found or not found[-1][0] - found[0][0] > UNLIKE:
        return ""
    (low, worst), (high, best) = found[0], found[-1]
    return (
        f"U-E, error recall and error precision are not comparable between these methods: their mean Dice goes from {low:.3f} "
        f"({worst}) to {high:.3f} ({best}), more than {UNLIKE:g} apart, and who errs more has more errors to overlap with."
    )


def _of(number, count):
    return f"these {count} subjects" if number == count else f"{number} of these {count} subjects"


def _subset(asked: Mapping[str, Any]) -> Sequence[str]:
    return asked.get("settings", {}).get("subjects") or ()
