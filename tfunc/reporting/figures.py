"""Writes Figure 1 and the supplementary figures, as PNG and PDF; `drawing` says how they look, `reliability` draws Figure 1."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from data_prep.tasks import Task
from tfunc.reporting.drawing import MANY, WIDTH, legend, plain, save, small_multiples, styles, whole_numbers
from tfunc.reporting.reliability import figure1
from tfunc.reporting.table1 import title
from tfunc.scoring import metrics, statistics
from tfunc.scoring.counts import THRESHOLDS
from tfunc.scoring.evaluate import Evaluated
from tfunc.scoring.statistics import Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = 200  # of subjects in one colour, of more there is one shape without gaps
EXAMPLES = ("most under-confident", "most over-confident", "best calibrated")  # what S1, S2, S3 are when chosen by rule


def write_all(
    folder: pathlib.Path,
    evaluated: Evaluated,
    examples: Mapping[str, str],
    by_rule: bool,
    task: Task | None = None,
    others: Sequence[tuple[str, str, Evaluated]] = (),
) -> tuple[pathlib.Path, ...]:
    """Writes figure1, thresholds and calibration (PNG and PDF each) -> their PNG and PDF paths.

    others: (end of its files' names, title, numbers) of each region and the class map.
    examples: {"S1": subject, ...} beside the data set in Figure 1; by_rule: whether they are those of
    `statistics.example_subjects`.  task: for its title and unit, where there is one. Of several classes the figures are of the
    regions together, and figure1_<part> is each region's, and the top label's of the class map.
    """
    why = EXAMPLES if by_rule else ()
    more: list[pathlib.Path] = []
    for suffix, about, of in others:
        more += save(folder, f"figure1{suffix}", figure1, of.scores, of.counts, examples, (), task, about)
    return (
        *save(folder, "figure1", figure1, evaluated.scores, evaluated.counts, examples, why, task),
        *more,
        *save(folder, "thresholds", thresholds_figure, evaluated.scores),
        *save(folder, "calibration", calibration_figure, evaluated.scores),
    )


# Supplementary


def thresholds_figure(scores: Mapping[str, Scores]) -> Figure:
    """U-E and BnF over the eleven thresholds, and error recall against error precision; of many methods a panel for each."""
    from matplotlib.figure import Figure

    if len(scores) > MANY:
        return _thresholds_by_method(scores)
    figure = Figure(figsize=(WIDTH, 2.75), layout="constrained")
    overlap, benefit, trade = figure.subplots(1, 3)
    for method, look in styles(scores).items():
        found = scores[method]
        overlap.plot(THRESHOLDS, found.mean("ue"), label=plain(title(method)), **look)
        benefit.plot(THRESHOLDS, found.mean("bnf"), **look)
        precision, recall = found.mean("error_precision"), found.mean("error_recall")
        trade.plot(precision, recall, **look)  # joined from threshold to threshold
    overlap.set(xlabel="uncertainty threshold", ylabel="uncertainty-error overlap (U-E)", ylim=(0, None))
    benefit.set(xlabel="uncertainty threshold", ylabel="benefiting subjects (BnF)", ylim=(-0.02, 1.02))
    trade.set(xlabel="error precision", ylabel="error recall", ylim=(-0.02, 1.02), xlim=(-0.02, 1.02))
    for axes in (overlap, benefit):
        axes.set(xlim=(0, 1), xticks=np.linspace(0, 1, 6))
    legend(figure, overlap)
    return figure


def _thresholds_by_method(scores):
    def over(name):
        return lambda method: (THRESHOLDS, scores[method].mean(name))

    def trade(method):
        return scores[method].mean("error_precision"), scores[method].mean("error_recall")

    along = "uncertainty threshold"
    return small_multiples(
        scores, [(over("ue"), along, "U-E"), (over("bnf"), along, "BnF"), (trade, "error precision", "error recall")]
    )


def calibration_figure(scores: Mapping[str, Scores]) -> Figure:
    """ECE of the mean subject against the pooled data set's, and the subjects' mean signed gaps with the classes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 2.75), layout="constrained")
    levels, subjects = figure.subplots(1, 2, width_ratios=(1, 1))
    _levels(levels, scores)
    which = [plain(title(name)) for name in statistics.ranked(scores)]
    _gaps(subjects, statistics.miscalibration(scores), which[0] if len(which) == 1 else f"{len(which)} methods")
    return figure


def _levels(axes, scores):
    order = list(styles(scores))
    subject = [100 * scores[method].mean("ece") for method in order]
    dataset = [100 * metrics.calibration_error(scores[method].pooled) for method in order]
    rows = np.arange(len(order))
    axes.hlines(rows, dataset, subject, color="0.75", linewidth=1.2, zorder=0)
    axes.plot(dataset, rows, "o", color="#0072B2", label="voxels pooled", markersize=5, clip_on=False)
    axes.plot(subject, rows, "D", color="#D55E00", label="mean of subjects", markersize=5, clip_on=False)
    axes.set_yticks(rows, [plain(title(method)) for method in order])
    axes.set(xlabel="expected calibration error (%)", xlim=(0, None), ylim=(len(order) - 0.5, -0.5))
    axes.set_title("each method", loc="left", pad=18)
    _legend_above(axes, 2)


def _gaps(axes, shares, of):
    gaps = np.sort([gap for gap in shares.gaps.values() if not np.isnan(gap)])
    rows = np.arange(1, len(gaps) + 1)
    under, over = gaps > shares.threshold, gaps < -shares.threshold
    for chosen, color, name, share in (
        (over, "#D55E00", "over-confident", shares.over),
        (~(under | over), "0.6", "neither", 1 - shares.under - shares.over),
        (under, "#0072B2", "under-confident", shares.under),
    ):
        _bars(axes, rows[chosen], gaps[chosen], color)
        axes.bar(0, 0, color=color, label=f"{name} {100 * share:.0f} %")  # in the legend also where no subject is
    for limit in (shares.threshold, -shares.threshold):
        axes.axhline(limit, color="0.3", linestyle=":", linewidth=0.8)
    axes.axhline(0, color="0.3", linewidth=0.6)
    axes.set(xlim=(0.4, len(gaps) + 0.6), xlabel="subjects, sorted", ylabel="mean signed calibration gap")
    axes.xaxis.set_major_locator(whole_numbers())
    axes.set_title(f"each subject, {of}", loc="left", pad=18)
    _legend_above(axes, 3)


def _bars(axes, at, heights, color):
    """A bar for each subject; of more than can be told apart one shape, as thousands of rectangles take half a minute."""
    if len(at) <= BARS:
        axes.bar(at, heights, width=0.9, color=color)
    else:
        edges = np.append(at - 0.5, at[-1] + 0.5)  # subjects of one colour are neighbours
        axes.fill_between(edges, np.append(heights, heights[-1]), step="post", color=color, linewidth=0)


def _legend_above(axes, columns):
    axes.legend(
        frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, fontsize=7, handlelength=1,
        handletextpad=0.4, columnspacing=0.9, borderaxespad=0.2,
    )  # fmt: skip
