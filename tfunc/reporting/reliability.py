"""Figure 1: reliability diagrams of the data set and of example subjects, with the voxels of each bin below.

Of few methods as the paper draws it, a panel for each subject with all methods in it; of more a small panel for each method
and subject, its own curve before all others' in grey.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from data_prep.tasks import Task
from tfunc.reporting.drawing import (
    MANY,
    OTHERS_GREY,
    WIDTH,
    blocks,
    head,
    joined,
    legend,
    names_lines,
    plain,
    shortened,
    styles,
)  # fmt: skip
from tfunc.reporting.table1 import title
from tfunc.scoring import metrics
from tfunc.scoring.counts import BINS, Counts
from tfunc.scoring.statistics import Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# in inches: the largest side of a small panel, also where methods stand in several blocks, which have to fit a page; what is
# left of all panels, what is above and below them, a row's heading, and what is between curves and steps
LARGEST, SMALLER, LEFT, TOP, BOTTOM, HEADING, GAP = 0.9, 0.66, 0.62, 0.15, 0.15, 0.2, 0.12


class _Panel(NamedTuple):
    """Whose voxels are shown: label (D, S1, …), name, what it is, and its counts by method."""

    label: str
    name: str
    reason: str
    by_method: Mapping[str, Counts]


def figure1(
    scores: Mapping[str, Scores],
    counts: Mapping[str, Mapping[str, Counts]],
    examples: Mapping[str, str],
    why: Sequence[str] = (),
    task: Task | None = None,
    about: str = "",
) -> Figure:
    """Reliability diagrams of the data set (D) and of example subjects, with the voxels of each bin below.

    scores: {method: Scores}.  counts: {method: {subject: Counts}}.  examples: {"S1": subject, ...}; why: what each of them
    is, for its title.  task: for its title and unit.  about: the region, of several.
    """
    name = f"{task.title if task else ''} data set".strip()
    pooled = "all subjects pooled" + (f", {plain(about)}" if about else "")
    panels = [_Panel("D", name, pooled, {m: found.pooled for m, found in scores.items()})]
    for (label, subject), reason in zip(examples.items(), [*why, *[""] * len(examples)], strict=False):
        panels.append(_Panel(label, subject, reason, {method: found[subject] for method, found in counts.items()}))
    unit = task.unit if task else "voxels"
    return _together(panels, unit) if len(scores) <= MANY else _apart(panels, unit)


# Few methods


def _together(panels, unit):
    """A panel for each subject, all methods in it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = figure.subplots(2, len(panels), sharex=True, sharey="row", squeeze=False, height_ratios=(3, 1))
    for column, (label, name, reason, by_method) in enumerate(panels):
        top, below = axes[0, column], axes[1, column]
        _diagonal(top)
        for method, look in styles(by_method).items():
            top.plot(*_curve(by_method[method]), label=plain(title(method)), markeredgewidth=0, alpha=0.9, **look)
            _stairs(below, by_method[method], look, alpha=0.9)
        _limits(top, below, 6, _most(panels))
        top.set_title(f"{label}  {shortened(name)}\n{reason}", loc="left")
        below.set_xlabel("predicted probability")
    axes[0, 0].set_ylabel("fraction of positives")
    axes[1, 0].set_ylabel(unit)
    legend(figure, axes[0, 0])
    return figure


# Many methods


def _apart(panels, unit):
    """A row for each subject, a column for each method; of very many methods all of it again below.

    Laid out in inches by hand: a constrained layout makes the first column as wide as what stands above its row.
    """
    from matplotlib.figure import Figure

    below_each_other = blocks(styles(panels[0].by_method))
    columns = len(below_each_other[0])
    pitch = (WIDTH - LEFT) / columns
    side = min(LARGEST if len(below_each_other) == 1 else SMALLER, pitch - 0.1)
    names = 0.13 * max(names_lines(block, columns) for block in below_each_other) + 0.05
    height = HEADING + names + side * 4 / 3 + GAP + 0.1
    total = TOP + len(below_each_other) * (len(panels) * height + BOTTOM) + 0.2
    figure = Figure(figsize=(WIDTH, total))
    place, top = _Place(figure, pitch, side), total - TOP
    for block in below_each_other:
        for panel in panels:
            figure.text(LEFT / WIDTH, (top - 0.14) / total, _heading(panel), fontweight="bold")
            tops = _row(place, top - HEADING - names, panel, block, is_last=panel is panels[-1])
            head(tops, block, columns)
            top -= height
        top -= BOTTOM
    figure.text((LEFT + WIDTH) / 2 / WIDTH, 0.06 / total, "predicted probability", ha="center")
    along = f"fraction of positives (curves), {unit} (steps)"
    figure.text(0.1 / WIDTH, (total + BOTTOM) / 2 / total, along, va="center", rotation="vertical")
    return figure


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where the small panels of a row stand. pitch: from column to column; side: of a reliability diagram; both in inches."""

    figure: Figure
    pitch: float
    side: float

    def column(self, number, top):
        """(reliability diagram, steps below it) of a column, whose diagram begins at `top` inches above the figure's bottom."""
        left = LEFT + number * self.pitch
        below = self.side / 3
        return (
            self._axes(left, top - self.side, self.side),
            self._axes(left, top - self.side - GAP - below, below),
        )

    def _axes(self, left, bottom, height):
        width, total = self.figure.get_size_inches()
        return self.figure.add_axes((left / width, bottom / total, self.side / width, height / total))


def _heading(panel):
    return f"{panel.label}  {shortened(panel.name)}" + (f", {panel.reason}" if panel.reason else "")


def _row(place, top, panel, methods, is_last):
    """A subject's small panels -> the upper ones. Their limits are equal, and not shared: matplotlib is slow with so many."""
    looks = styles(panel.by_method)
    curves = {method: _curve(panel.by_method[method]) for method in looks}
    every, most, tops = joined(curves.values()), _most([panel]), []
    for column, method in enumerate(methods):
        above, below = place.column(column, top)
        tops.append(above)
        above.tick_params(labelleft=column == 0, labelbottom=False)
        below.tick_params(labelleft=column == 0, labelbottom=is_last)
        _diagonal(above)
        above.plot(*every, color=OTHERS_GREY, linewidth=0.5, label="_")
        line = {name: looks[method][name] for name in ("color", "linestyle")}
        above.plot(*curves[method], label=plain(title(method)), linewidth=1.3, **line)
        _stairs(below, panel.by_method[method], line)
        _limits(above, below, 3, most)
        below.minorticks_off()
    return tops


# Both


def _curve(counts):
    """x, y: mean probability and share of positives of the bins that hold voxels."""
    curve = metrics.calibration(counts)
    used = curve.count > 0
    return curve.mean_probability[used], curve.positive_fraction[used]


def _stairs(axes, counts, look, **more):
    count = metrics.calibration(counts).count
    line = {name: look[name] for name in ("color", "linestyle")}
    voxels = np.where(count > 0, count, np.nan)
    axes.stairs(voxels, np.linspace(0, 1, BINS + 1), baseline=None, linewidth=0.9, **line, **more)


def _most(panels):
    """Voxels of the fullest bin of any method."""
    return max(metrics.calibration(of).count.max() for panel in panels for of in panel.by_method.values())


def _diagonal(axes):
    axes.plot((0, 1), (0, 1), color="0.6", linestyle=":", linewidth=0.9, zorder=0)


def _limits(top, below, ticks, most):
    """The panels' axes. most: voxels in a bin of whoever shares them."""
    marks = np.linspace(0, 1, ticks)
    top.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=marks, yticks=marks)
    top.set_aspect("equal", adjustable="box")
    below.set(xlim=(-0.02, 1.02))
    below.set_xticks(marks, [f"{mark:.2g}" for mark in marks])
    below.set_yscale("log")
    below.set_ylim(0.8, 2 * max(most, 1))
