"""What setting uncertain voxels to background does to each method's subjects: whose Dice rises, and whose falls. NumPy.

The paper's BnF counts those who gain. Those who lose, and by how much, stand beside them here: most thresholds cost more than
they mend.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from markupsafe import Markup

from tfunc.reporting import removal
from tfunc.reporting.parts import Part
from tfunc.reporting.templates import filled
from tfunc.scoring import statistics
from tfunc.scoring.counts import THRESHOLDS


@dataclasses.dataclass(frozen=True)
class Benefit:
    """Of one method, at the threshold that Table 1 chose for BnF.

    rises, falls, same: subjects by what becomes of their Dice.  change: its mean over subjects, with a 95 % bootstrap interval
    low, high.  best, best_threshold: the highest mean change that any threshold has, on these very subjects.  ever: whether any
    threshold raises anybody's Dice.
    """

    method: str
    title: str
    threshold: float
    rises: int
    falls: int
    same: int
    change: float
    low: float
    high: float
    best: float
    best_threshold: float
    ever: bool


def benefits(part: Part) -> list[Benefit]:
    """One for each row of a part's Table 1; none of a class map, in which nothing is set to background."""
    found = []
    for row in part.rows:
        scores = part.evaluated.scores[row.method]
        whole = removal.removal(scores)
        if "bnf" not in row.cells or whole is None:
            return []
        threshold = row.cells["bnf"].threshold or THRESHOLDS[0]
        at, best = THRESHOLDS.index(threshold), int(np.argmax(whole["change"]))
        rises, falls = whole["rises"][at], whole["falls"][at]
        low, high = statistics.interval(scores["corrected_dice"][:, at] - scores["dice"])
        numbers = rises, falls, part.rows[0].subjects - rises - falls, whole["change"][at], low, high
        most = whole["change"][best], THRESHOLDS[best], any(whole["rises"])
        found.append(Benefit(row.method, row.title, threshold, *numbers, *most))
    return found


def never(found: list[Benefit]) -> str:
    """The sentence for methods whose mean Dice no threshold raises; empty where each has one."""
    without = [one.title for one in found if not one.best > 0]
    if not without:
        return ""
    if len(without) == len(found):
        return "No threshold raises the mean Dice of any method here."
    return f"No threshold raises the mean Dice of {', '.join(without).removesuffix('.')}."


def table(part: Part) -> Markup:
    """The table of a part for the report; empty of a class map."""
    found = benefits(part)
    about = f", {part.title}" if part.title else ""
    return filled("benefits.html", rows=found, never=never(found), about=about)
