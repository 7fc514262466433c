"""failures and review: how well scores find failures, and what is left unreviewed; PNG and PDF by matplotlib."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import numpy as np

from tfunc.methods import recalibrated_of
from tfunc.reporting.drawing import MANY, OTHERS_GREY, WIDTH, legend, plain, save, styles
from tfunc.reporting.table1 import title
from tfunc.scoring import failure
from tfunc.scoring.patients import Patients

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANDOM, ORACLE = "0.45", "#009E73"


def write(folder: pathlib.Path, patients: Patients) -> tuple[pathlib.Path, ...]:
    """Writes failures and review -> their paths. patients: of two classes, or of the mean over regions."""
    return (*save(folder, "failures", failures_figure, patients), *save(folder, "review", review_figure, patients))


def failures_figure(patients: Patients) -> Figure:
    """Left: the share of the way from no order to the best that each score closes, by method. Right: the curves of the best."""
    from matplotlib.figure import Figure

    methods = list(styles(patients.reviews))
    scores = list(dict.fromkeys(one.score for one in patients.detections))
    shares = np.full((len(scores), len(methods)), np.nan)
    for one in patients.detections:
        shares[scores.index(one.score), methods.index(one.method)] = one.values["closed"]
    figure = Figure(figsize=(WIDTH, 0.9 + max(0.23 * len(scores), 2.1)), layout="constrained")
    table, curves = figure.subplots(1, 2, width_ratios=(1.5, 1))
    table.imshow(np.clip(shares, -1, 1), cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share):
            shade = "white" if abs(share) > 0.6 else "black"
            table.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=6.5, color=shade)
    names = [plain(title(name)) for name in methods]
    table.set_xticks(range(len(methods)), names, rotation=40, ha="right", rotation_mode="anchor")
    table.set_yticks(range(len(scores)), [failure.title(name) for name in scores])
    table.set_title("% of the way from no order (0) to the best (100)", loc="left")
    table.tick_params(length=0)
    table.spines[:].set_visible(False)
    found = {method: failure.best(patients.of(method)) for method in methods if recalibrated_of(method) is None}
    shown = {
        method: one for method, one in found.items() if one is not None
    }  # recalibrated ones have nearly their order
    coloured = sorted(shown, key=lambda method: shown[method].values["aurc"])[:MANY]
    for method, look in styles(patients.reviews).items():
        if method in coloured:
            line = {name: value for name, value in look.items() if name != "marker"}
            curves.plot(shown[method].curve.coverage, shown[method].curve.risk, label=plain(title(method)), **line)
        elif method in shown:
            label = "others" if not any(line.get_label() == "others" for line in curves.lines) else "_"
            grey = {"color": OTHERS_GREY, "linewidth": 0.7, "zorder": 0}
            curves.plot(shown[method].curve.coverage, shown[method].curve.risk, label=label, **grey)
    curves.set(xlabel="coverage: share of subjects kept", ylabel="risk of those kept, mean of 1 - Dice")
    curves.set(xlim=(0, 1.02), ylim=(0, None))
    curves.set_title("each by its best score" + ", four best" * (len(shown) > MANY), loc="left")
    legend(figure, curves)
    return figure


def review_figure(patients: Patients) -> Figure:
    """Mean Dice of what is left unreviewed against the share that was reviewed: by the list, by the oracle, by no order."""
    from matplotlib.figure import Figure

    listed = patients.reviews[patients.first]
    dice = np.array([one.dice for one in listed])
    share = np.arange(len(dice)) / len(dice)
    figure = Figure(figsize=(WIDTH * 0.62, 2.6), layout="constrained")
    axes = figure.subplots()
    best = failure.left_unreviewed(np.argsort(dice, kind="stable"), dice)
    axes.plot(share, best, color=ORACLE, linestyle="--", label="oracle: worst Dice first")
    name = f"{plain(title(patients.first))} by {failure.title(listed[0].score)}"
    axes.plot(share, failure.left_unreviewed(np.arange(len(dice)), dice), color="#0072B2", label=name)
    axes.axhline(dice.mean(), color=RANDOM, linestyle=":", label="no order")
    axes.set(xlabel="share of subjects reviewed", ylabel="mean Dice of those left", xlim=(0, 1))
    axes.legend(frameon=False, loc="lower right")
    return figure
