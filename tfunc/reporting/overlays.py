"""overlay.png: uncertainty maps of the subjects of Figure 1 beside their images, by matplotlib."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np

from data_prep import label_colours
from tfunc.kinds import KINDS
from tfunc.reporting import class_layers, pictures
from tfunc.reporting.drawing import plain, save, shortened, styles
from tfunc.reporting.table1 import title
from tfunc.scoring import classes
from tfunc.scoring.evaluate import Evaluated
from tfunc.scoring.truth import AnyTruth

TRUTH, SEGMENTATION, ERROR = "#00C389", "#E69F00", "#00E5FF"


def write(
    folder: pathlib.Path, evaluated: Evaluated, truth: AnyTruth, examples: Mapping[str, str]
) -> tuple[pathlib.Path, ...]:
    """Writes overlay.png: for each example subject the image with both outlines, and each method's uncertainty -> its path.

    examples: {"S1": subject, ...}. All maps share one scale, 0 to 1; the outlines in them are the method's errors. The slice
    is the one with most ground truth, cropped around what is segmented.
    """
    by_method = {maps.method: maps for maps in evaluated.maps}
    chosen = [by_method[method] for method in styles(by_method)]
    rows = [_row(label, truth, chosen, subject) for label, subject in examples.items()]
    titles = [plain(title(maps.method)) for maps in chosen]
    return save(folder, "overlay", _overlay, rows, titles, truth.classes, endings=("png",))


def _row(label, records, chosen, name):
    """(title, image [height, width(, 3)], label, [(uncertainty, prediction)]), each a crop of one slice.

    Label and prediction are the index of the class, or 1 for the foreground of two.
    """
    subject, truth = records.subject(name), records.read(name)
    target, shown = truth.label.astype(np.uint8) if truth.classes else (truth.label != 0).astype(np.uint8), []
    position = int(np.argmax((target != 0).sum(axis=(1, 2))))
    for maps in chosen:
        if truth.classes is not None:
            layers = class_layers.read(maps, name, truth, truth.classes)
            uncertainty = layers.uncertainty(layers.views[0], position)
            shown.append((uncertainty, layers.voxels.prediction[position]))
            continue
        score, prediction = maps.read(name, truth)
        kind = KINDS[maps.kind]
        limits = kind.limits(score, maps.sigma_range)  # of the whole volume, not of the slice
        shown.append((kind.uncertainty_map(score[position], limits), (prediction[position] != 0).astype(np.uint8)))
    used = np.any([target[position], *(prediction for _, prediction in shown)], axis=0)
    box = _box(used)
    image = pictures.shown_channels(subject.image[position], records.task)
    image = (
        image[box] if image.ndim == 3 else pictures.windowed(image, records.task)[box]
    )  # the contrast is the whole slice's
    maps = [(uncertainty[box], prediction[box]) for uncertainty, prediction in shown]
    return f"{label}\n{shortened(name)}", image, target[position][box], maps


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


def _overlay(rows, titles, task=None):
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = 1 + len(titles)
    side = min(1.9, 9.0 / columns)
    figure = Figure(figsize=(side * columns + 0.7, side * len(rows) + 0.45), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, image, target, maps) in zip(axes, rows, strict=True):
        line[0].imshow(image, cmap="gray", vmin=0, vmax=1 if image.ndim == 2 else None, interpolation="nearest")
        _outlines(line[0], target, maps[0][1], task)
        line[0].set_ylabel(name, fontsize=6)  # two short lines: a row is an inch high
        for cell, (uncertainty, prediction) in zip(line[1:], maps, strict=True):
            scale = cell.imshow(uncertainty, cmap="inferno", vmin=0, vmax=1, interpolation="nearest")
            _outline(cell, prediction != target, ERROR, 0.7)
    for cell, name in zip(axes[0], ["image", *titles], strict=True):
        cell.set_title(name)
    for cell in axes.flat:
        cell.set(xticks=[], yticks=[])
        cell.spines[:].set_visible(False)
    figure.colorbar(scale, ax=axes, shrink=0.7, pad=0.01, aspect=30, label="uncertainty")
    marks = _marks(titles[0], task)
    handles = [Line2D([], [], linewidth=1.6, **look) for look in marks.values()]
    figure.legend(handles, list(marks), loc="outside lower center", ncols=4, frameon=False, labelcolor="black")
    return figure


def _outlines(axes, target, prediction, task):
    """Truth and segmentation, of each region in its colour, the segmentation dashed."""
    if task is None:
        _outline(axes, target != 0, TRUTH, 1.4)
        _outline(axes, prediction != 0, SEGMENTATION, 1.0)
    for index, region in enumerate(task.regions if task else ()):
        for classes_of, width, style in ((target, 1.4, "-"), (prediction, 0.9, (0, (2, 1.5)))):
            _outline(axes, classes.among(classes_of, region), label_colours.colour(index), width, style)


def _marks(first, task):
    """{words of the legend: how its line looks}"""
    if task is None:
        marks = {"ground truth": TRUTH, f"segmentation ({first})": SEGMENTATION, "each method's errors": ERROR}
        return {name: {"color": color} for name, color in marks.items()}
    marks = {plain(region.title): {"color": label_colours.colour(at)} for at, region in enumerate(task.regions)}
    dashed = {f"segmentation ({first})": {"color": "0.3", "linestyle": (0, (2, 1.5))}}
    return marks | dashed | {"each method's wrong classes": {"color": ERROR}}


def _outline(axes, mask, color, width, style="-"):
    """Draws the mask's border along the pixels' edges, inside and at the picture's own border."""
    if not mask.any():
        return
    fine = 8  # points a pixel, so that the contour has the pixels' corners
    padded = np.pad(np.repeat(np.repeat(mask, fine, axis=0), fine, axis=1).astype(np.float32), 1)
    rows, columns = ((np.arange(-1, size * fine + 1) + 0.5) / fine - 0.5 for size in mask.shape)
    axes.contour(columns, rows, padded, levels=[0.5], colors=[color], linewidths=width, linestyles=[style])
    axes.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))
