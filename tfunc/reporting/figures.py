"""Figure 1, the supplementary figures and the overlays, as PNG and PDF by matplotlib.

Colours are Okabe and Ito's, told apart under every common colour blindness; methods that belong together share one and
differ by line and marker. matplotlib is imported where a figure is drawn, without pyplot and its global state.
"""

import itertools
import logging
import pathlib

import numpy as np

from data_prep.base import artefacts
from tfunc.scoring import metrics
from tfunc.scoring import statistics as tables

STYLES = {  # colour, line, marker
    "baseline": ("#000000", "-", "o"),
    "baseline_mc": ("#000000", "--", "s"),
    "center": ("#E69F00", "-", "o"),
    "center_mc": ("#E69F00", "--", "s"),
    "ensemble": ("#0072B2", "-", "D"),
    "auxiliary_feat": ("#009E73", "-", "^"),
    "auxiliary_segm": ("#009E73", "--", "v"),
    "aleatoric": ("#D55E00", "-", "P"),
}
OTHERS = (("#CC79A7", "-", "X"), ("#56B4E9", "-", "*"), ("#CC79A7", "--", "X"), ("#56B4E9", "--", "*"))
TRUTH, SEGMENTATION, ERROR = "#00C389", "#E69F00", "#00E5FF"
EXAMPLES = ("most under-confident", "most over-confident", "best calibrated")  # what S1, S2, S3 are when chosen by rule
SETTINGS = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,
    "axes.grid": False,
}
WIDTH = 7.2  # inches, a page's text width
NAMES = {"brats": "BraTS", "isic": "ISIC"}


def write_all(folder, evaluated, examples, by_rule, dataset):
    """Writes figure1, thresholds and calibration (PNG and PDF each) -> their PNG and PDF paths.

    evaluated: `evaluation.Evaluated`.  examples: {"S1": subject, ...} beside the data set in Figure 1; by_rule: whether
    they are those of `tables.example_subjects`.
    """
    why = EXAMPLES if by_rule else ()
    return (
        *_save(folder, "figure1", figure1, evaluated.scores, evaluated.counts, examples, why, dataset),
        *_save(folder, "thresholds", thresholds_figure, evaluated.scores),
        *_save(folder, "calibration", calibration_figure, evaluated.scores),
    )


def _save(folder, name, draw, *arguments, endings=("png", "pdf")):
    """Draws with our settings and writes each form atomically, without dates, so that equal data gives equal files."""
    import matplotlib

    logging.getLogger("fontTools").setLevel(logging.WARNING)  # absl shows INFO, which is each glyph of each PDF
    paths = []
    with matplotlib.rc_context(SETTINGS):
        figure = draw(*arguments)
        for ending in endings:
            path = pathlib.Path(folder) / f"{name}.{ending}"
            with artefacts.aside(path) as temporary:
                metadata = {"CreationDate": None} if ending == "pdf" else {}
                figure.savefig(temporary, dpi=200, bbox_inches="tight", facecolor="white", metadata=metadata)
            paths.append(path)
    return tuple(paths)


def styles(methods):
    """{method: dict of colour, line and marker for `plot`}, in Table 1's order."""
    order = [name for name in tables.PAPER_ROWS if name in methods]
    order += [name for name in methods if name not in tables.PAPER_ROWS]
    others = iter(OTHERS * len(order))
    look = {name: STYLES.get(name) or next(others) for name in order}
    return {name: dict(color=color, linestyle=line, marker=marker) for name, (color, line, marker) in look.items()}


# ------------------------------------------------------------------------------------------------------------ figure 1


def figure1(scores, counts, examples, why=(), dataset=""):
    """Reliability diagrams of the data set (D) and of example subjects, with the voxels of each bin below.

    scores: {method: tables.Scores}.  counts: {method: {subject: Counts}}.  examples: {"S1": subject, ...}; why: what
    each of them is, for its title.
    """
    from matplotlib.figure import Figure

    name = f"{NAMES.get(dataset, dataset)} data set".strip()
    panels = [("D", name, "all subjects pooled", {m: of.pooled for m, of in scores.items()})]
    for (label, subject), reason in itertools.zip_longest(examples.items(), why[: len(examples)], fillvalue=""):
        panels.append((label, subject, reason, {method: of[subject] for method, of in counts.items()}))
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = figure.subplots(2, len(panels), sharex=True, sharey="row", squeeze=False, height_ratios=(3, 1))
    for column, (label, name, reason, of) in enumerate(panels):
        _reliability(axes[0, column], axes[1, column], of)
        axes[0, column].set_title(f"{label}  {_shortened(name)}\n{reason}", loc="left")
        axes[1, column].set_xlabel("predicted probability")
    axes[0, 0].set_ylabel("fraction of positives")
    axes[1, 0].set_ylabel("pixels" if dataset == "isic" else "voxels")
    _legend(figure, axes[0, 0])
    return figure


def _shortened(name, longest=22):
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _reliability(top, below, of):
    look = styles(of)
    top.plot((0, 1), (0, 1), color="0.6", linestyle=":", linewidth=0.9, zorder=0)
    for method in look:
        curve = metrics.calibration(of[method])
        there = curve.count > 0
        x, y = curve.mean_probability[there], curve.positive_fraction[there]
        top.plot(x, y, label=tables.title(method), markeredgewidth=0, alpha=0.9, **look[method])
        line = {name: look[method][name] for name in ("color", "linestyle")}
        voxels = np.where(there, curve.count, np.nan)
        below.stairs(voxels, np.linspace(0, 1, metrics.BINS + 1), baseline=None, linewidth=0.9, alpha=0.9, **line)
    top.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
    top.set_aspect("equal", adjustable="box")
    below.set_yscale("log")
    below.set_ylim(bottom=0.8)


def _legend(figure, axes, columns=8):
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(columns, len(labels)), frameon=False, fontsize=7,
        handlelength=2, columnspacing=0.9, handletextpad=0.4,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- supplementary


def thresholds_figure(scores):
    """U-E and BnF over the eleven thresholds, and error recall against error precision."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 2.75), layout="constrained")
    overlap, benefit, trade = figure.subplots(1, 3)
    for method, look in styles(scores).items():
        of = scores[method]
        overlap.plot(metrics.THRESHOLDS, tables.mean(of.ue), label=tables.title(method), **look)
        benefit.plot(metrics.THRESHOLDS, tables.mean(of.benefit), **look)
        precision, recall = tables.precision_recall(of)
        trade.plot(precision, recall, **look)  # joined from threshold to threshold
    overlap.set(xlabel="uncertainty threshold", ylabel="uncertainty-error overlap (U-E)", ylim=(0, None))
    benefit.set(xlabel="uncertainty threshold", ylabel="benefiting subjects (BnF)", ylim=(-0.02, 1.02))
    trade.set(xlabel="error precision", ylabel="error recall", ylim=(-0.02, 1.02), xlim=(-0.02, 1.02))
    for axes in (overlap, benefit):
        axes.set(xlim=(0, 1), xticks=np.linspace(0, 1, 6))
    _legend(figure, overlap)
    return figure


def calibration_figure(scores):
    """ECE of the mean subject against the pooled data set's, and the subjects' mean signed gaps with the classes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 2.75), layout="constrained")
    levels, subjects = figure.subplots(1, 2, width_ratios=(1, 1))
    _levels(levels, scores)
    _gaps(subjects, tables.miscalibration(scores))
    return figure


def _levels(axes, scores):
    order = list(styles(scores))
    subject = [100 * tables.mean(scores[method].ece) for method in order]
    dataset = [100 * metrics.calibration_error(scores[method].pooled) for method in order]
    rows = np.arange(len(order))
    axes.hlines(rows, dataset, subject, color="0.75", linewidth=1.2, zorder=0)
    axes.plot(dataset, rows, "o", color="#0072B2", label="voxels pooled", markersize=5)
    axes.plot(subject, rows, "D", color="#D55E00", label="mean of subjects", markersize=5)
    axes.set_yticks(rows, [tables.title(method) for method in order])
    axes.set(xlabel="expected calibration error (%)", xlim=(0, None), ylim=(len(order) - 0.5, -0.5))
    _legend_above(axes, 2)


def _gaps(axes, of):
    gaps = np.sort([gap for gap in of.gaps.values() if not np.isnan(gap)])
    rows = np.arange(1, len(gaps) + 1)
    under, over = gaps > of.threshold, gaps < -of.threshold
    for chosen, color, name, share in (
        (over, "#D55E00", "over-confident", of.over),
        (~(under | over), "0.6", "neither", 1 - of.under - of.over),
        (under, "#0072B2", "under-confident", of.under),
    ):
        axes.bar(rows[chosen], gaps[chosen], width=0.9, color=color)
        axes.bar(0, 0, color=color, label=f"{name} {100 * share:.0f} %")  # in the legend also where no subject is
    for limit in (of.threshold, -of.threshold):
        axes.axhline(limit, color="0.3", linestyle=":", linewidth=0.8)
    axes.axhline(0, color="0.3", linewidth=0.6)
    axes.set(xlim=(0.4, len(gaps) + 0.6), xlabel="subjects, sorted", ylabel="mean signed calibration gap")
    _legend_above(axes, 3)


def _legend_above(axes, columns):
    axes.legend(
        frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, fontsize=7, handlelength=1,
        handletextpad=0.4, columnspacing=0.9, borderaxespad=0.2,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ overlays


def overlay(folder, evaluated, truth, examples):
    """Writes overlay.png: for each example subject the image with both outlines, and each method's uncertainty.

    truth: `sources.RecordsTruth`.  examples: {"S1": subject, ...}. All maps share one scale, 0 to 1; the outlines in
    them are the method's errors. The slice is the one with most ground truth, cropped around what is segmented.
    """
    by_method = {maps.method: maps for maps in evaluated.maps}
    chosen = [by_method[method] for method in styles(by_method)]
    rows = [_overlay_row(label, truth, chosen, subject) for label, subject in examples.items()]
    return _save(folder, "overlay", _overlay, rows, [tables.title(maps.method) for maps in chosen], endings=("png",))


def _overlay_row(label, truth_of, chosen, name):
    """(title, image [height, width(, 3)], label, [(uncertainty, prediction)]), each a crop of one slice."""
    subject, truth = truth_of.subject(name), truth_of.read(name)
    target, maps = truth.label != 0, []
    position = int(np.argmax(target.sum(axis=(1, 2))))
    for one in chosen:
        score, prediction = one.read(name, truth)
        limits = metrics.value_range(score) if one.kind == "confidence" else one.sigma_range
        kind = "probability" if one.kind == "probability" else "sigma"  # the confidence's range is the whole volume's
        maps.append((metrics.uncertainty_map(score[position], kind, limits), prediction[position] != 0))
    used = np.any([target[position], *(prediction for _, prediction in maps)], axis=0)
    box = _box(used)
    image = subject.image[position]
    image = image[box] if subject.is_photograph else _windowed(image[..., 0])[box]
    return f"{label}\n{_shortened(name)}", image, target[position][box], [(u[box], p[box]) for u, p in maps]


def _box(used, margin=0.35, least=0.4):
    """Slices of a square around what is used, with a margin, no smaller than `least` of the picture's shorter side."""
    height, width = used.shape
    rows, columns = np.flatnonzero(used.any(axis=1)), np.flatnonzero(used.any(axis=0))
    if not rows.size:
        return np.s_[:, :]
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    side = int(min(max(extent * (1 + 2 * margin), least * min(height, width)), height, width))
    starts = [
        int(np.clip((found[0] + found[-1] + 1 - side) // 2, 0, size - side))
        for found, size in ((rows, height), (columns, width))
    ]
    return tuple(slice(start, start + side) for start in starts)


def _windowed(image):
    """A grey image in [0, 1], its 0.5 and 99.5 percentiles of the non-zero voxels stretched."""
    inside = image[image != 0]
    low, high = np.percentile(inside, (0.5, 99.5)) if inside.size else (0, 1)
    return np.clip((image.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1)


def _overlay(rows, titles):
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = 1 + len(titles)
    side = min(1.9, 9.0 / columns)
    figure = Figure(figsize=(side * columns + 0.7, side * len(rows) + 0.45), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (title, image, target, maps) in zip(axes, rows, strict=True):
        line[0].imshow(image, cmap="gray", vmin=0, vmax=1 if image.ndim == 2 else None, interpolation="nearest")
        _outline(line[0], target, TRUTH, 1.4)
        _outline(line[0], maps[0][1], SEGMENTATION, 1.0)
        line[0].set_ylabel(title, fontsize=6)  # two short lines: a row is an inch high
        for cell, (uncertainty, prediction) in zip(line[1:], maps, strict=True):
            scale = cell.imshow(uncertainty, cmap="inferno", vmin=0, vmax=1, interpolation="nearest")
            _outline(cell, prediction != target, ERROR, 0.7)
    for cell, title in zip(axes[0], ["image", *titles], strict=True):
        cell.set_title(title)
    for cell in axes.flat:
        cell.set(xticks=[], yticks=[])
        cell.spines[:].set_visible(False)
    figure.colorbar(scale, ax=axes, shrink=0.7, pad=0.01, aspect=30, label="uncertainty")
    marks = {"ground truth": TRUTH, f"segmentation ({titles[0]})": SEGMENTATION, "each method's errors": ERROR}
    handles = [Line2D([], [], color=color, linewidth=1.6) for color in marks.values()]
    figure.legend(handles, list(marks), loc="outside lower center", ncols=3, frameon=False, labelcolor="black")
    return figure


def _outline(axes, mask, color, width):
    """Draws the mask's border along the pixels' edges, inside and at the picture's own border."""
    if not mask.any():
        return
    fine = 8  # points a pixel, so that the contour has the pixels' corners
    padded = np.pad(np.repeat(np.repeat(mask, fine, axis=0), fine, axis=1).astype(np.float32), 1)
    rows, columns = ((np.arange(-1, size * fine + 1) + 0.5) / fine - 0.5 for size in mask.shape)
    axes.contour(columns, rows, padded, levels=[0.5], colors=[color], linewidths=width)
    axes.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))
