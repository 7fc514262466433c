"""The figure of one slice of a subject's maps, for a notebook. matplotlib is imported here only, and no backend chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.base.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLIPPED = (1, 99)  # percentiles of the image between which grey runs


def drawn(maps: Any, index: int | None) -> Figure:
    """The figure of `Maps.plot`."""
    from matplotlib.figure import Figure

    depth = len(maps.prediction)
    if index is None:
        index = int((maps.prediction != 0).sum(axis=(1, 2)).argmax())
    if not -depth <= index < depth:
        raise UserError(f"slice={index}", expected=f"0 to {depth - 1}", found="no such slice")
    index %= depth
    figure = Figure(figsize=(10.5, 3.8), layout="constrained")
    axes = figure.subplots(1, 3)
    image, prediction = maps.image[index], maps.prediction[index]
    low, high = np.percentile(image, CLIPPED)
    axes[0].imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6))
    if (prediction != 0).any() and (prediction == 0).any():
        axes[0].contour(prediction != 0, levels=[0.5], colors="#e69f00", linewidths=1.2)
    axes[0].set_title(maps.name if depth == 1 else f"{maps.name}, slice {index}", fontsize="medium")
    probability = maps.probability[index]
    if probability.ndim == 3:
        probability = 1 - probability[..., 0]
    unit = maps.method.kind != "sigma"
    panels = (
        (maps.uncertainty[index], maps.method.measure, "magma"),
        (probability, "foreground probability", "viridis"),
    )
    for axis, (values, title, colours) in zip(axes[1:], panels, strict=True):
        limits = {"vmin": 0, "vmax": 1} if unit or colours == "viridis" else {}
        shown = axis.imshow(values, cmap=colours, **limits)
        axis.set_title(title, fontsize="medium")
        figure.colorbar(shown, ax=axis, shrink=0.85)
    for axis in axes:
        axis.set_axis_off()
    return figure
