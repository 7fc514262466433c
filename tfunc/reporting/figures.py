"""Figure 1 and the supplementary figures, as PNG and PDF; `drawing` says how they look."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from data_prep.tasks import Task
from tfunc.reporting.drawing import MANY, WIDTH, legend, plain, save, shortened, small_multiples, styles, whole_numbers
from tfunc.reporting.table1 import title
from tfunc.scoring import metrics, statistics
from tfunc.scoring.counts import BINS, THRESHOLDS, Counts
from tfunc.scoring.evaluate import Evaluated
from tfunc.scoring.statistics import Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


# Figure 1


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
    from matplotlib.figure import Figure

    name = f"{task.title if task else ''} data set".strip()
    pooled = "all subjects pooled" + (f", {plain(about)}" if about else "")
    panels = [("D", name, pooled, {m: found.pooled for m, found in scores.items()})]
    for (label, subject), reason in zip(examples.items(), [*why, *[""] * len(examples)], strict=False):
        panels.append((label, subject, reason, {method: found[subject] for method, found in counts.items()}))
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = figure.subplots(2, len(panels), sharex=True, sharey="row", squeeze=False, height_ratios=(3, 1))
    for column, (label, name, reason, by_method) in enumerate(panels):
        _reliability(axes[0, column], axes[1, column], by_method)
        axes[0, column].set_title(f"{label}  {shortened(name)}\n{reason}", loc="left")
        axes[1, column].set_xlabel("predicted probability")
    axes[0, 0].set_ylabel("fraction of positives")
    axes[1, 0].set_ylabel(task.unit if task else "voxels")
    legend(figure, axes[0, 0])
    return figure


def _reliability(top, below, by_method):
    look = styles(by_method)
    top.plot((0, 1), (0, 1), color="0.6", linestyle=":", linewidth=0.9, zorder=0)
    for method in look:
        curve = metrics.calibration(by_method[method])
        used = curve.count > 0
        x, y = curve.mean_probability[used], curve.positive_fraction[used]
        top.plot(x, y, label=plain(title(method)), markeredgewidth=0, alpha=0.9, **look[method])
        line = {name: look[method][name] for name in ("color", "linestyle")}
        voxels = np.where(used, curve.count, np.nan)
        below.stairs(voxels, np.linspace(0, 1, BINS + 1), baseline=None, linewidth=0.9, alpha=0.9, **line)
    top.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
    top.set_aspect("equal", adjustable="box")
    below.set_yscale("log")
    below.set_ylim(bottom=0.8)


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
    axes.plot(dataset, rows, "o", color="#0072B2", label="voxels pooled", markersize=5)
    axes.plot(subject, rows, "D", color="#D55E00", label="mean of subjects", markersize=5)
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
        axes.bar(rows[chosen], gaps[chosen], width=0.9, color=color)
        axes.bar(0, 0, color=color, label=f"{name} {100 * share:.0f} %")  # in the legend also where no subject is
    for limit in (shares.threshold, -shares.threshold):
        axes.axhline(limit, color="0.3", linestyle=":", linewidth=0.8)
    axes.axhline(0, color="0.3", linewidth=0.6)
    axes.set(xlim=(0.4, len(gaps) + 0.6), xlabel="subjects, sorted", ylabel="mean signed calibration gap")
    axes.xaxis.set_major_locator(whole_numbers())
    axes.set_title(f"each subject, {of}", loc="left", pad=18)
    _legend_above(axes, 3)


def _legend_above(axes, columns):
    axes.legend(
        frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, fontsize=7, handlelength=1,
        handletextpad=0.4, columnspacing=0.9, borderaxespad=0.2,
    )  # fmt: skip
