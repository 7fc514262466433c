"""lesions: what is found and what is false as the surest lesions are kept, and the F1 of lesions; PNG and PDF by matplotlib."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfunc.reporting.drawing import MANY, WIDTH, legend, plain, save, small_multiples, styles
from tfunc.reporting.parts import Part
from tfunc.reporting.table1 import title
from tfunc.scoring import lesion_curves
from tfunc.scoring.lesion_curves import Curves
from tfunc.scoring.lesions import MATCH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "lesions"
WIDE = 20  # false positives a subject, from which on their axis is logarithmic above 1


def write(
    folder: pathlib.Path,
    parts: Sequence[Part],
    found: Mapping[str, Mapping[str, Curves]],
    most: int,
    say: Callable[[str], object] = print,
) -> tuple[pathlib.Path, ...]:
    """Writes `lesions`, of each region `lesions_<region>` -> their paths; says so where no label has a lesion.

    found: {name of a part: its `lesion_files.curves`}.  most: regions, of more none is drawn.
    """
    drawn = [part for part in parts if found[part.name]]
    if not drawn:
        say("no label has a lesion: no curves of lesions")
        return ()
    if len(drawn) > most:
        say(f"curves of lesions of {len(drawn)} regions are not drawn; lesion_curves.csv has them")
        return ()
    paths: list[pathlib.Path] = []
    for part in drawn:
        paths += save(folder, NAME + part.suffix, lesions_figure, found[part.name], part.title)
    return tuple(paths)


def lesions_figure(found: Mapping[str, Curves], about: str = "") -> Figure:
    """Left and middle: sensitivity against false positives a subject, by either rule. Right: the F1 of lesions by what is kept.

    found: {method: `Curves`}.  about: the region, of several.
    """
    from matplotlib.figure import Figure

    if len(found) > MANY:
        return _by_method(found, about)
    figure = Figure(figsize=(WIDTH, 2.75), layout="constrained")
    touch, match, kept = figure.subplots(1, 3)
    for method, look in styles(found).items():
        line = {name: value for name, value in look.items() if name != "marker"}
        of = found[method]
        for axes, detection in ((touch, of.by_touch), (match, of.by_match)):
            few = lesion_curves.thinned(detection)
            x, y = (np.append(0, values) for values in (few.false_positives, few.sensitivity))
            axes.plot(x, y, label=plain(title(method)), **line)
            axes.plot(x[-1:], y[-1:], linestyle="", marker=look["marker"], color=look["color"])  # all are kept
        kept.plot(of.f1.fractions, of.f1.values, **line)
    region = f", {plain(about)}" if about else ""
    touch.set_title(f"found: shares a voxel{region}", loc="left")
    match.set_title(f"found: IoU of {MATCH:g} or more", loc="left")
    kept.set_title("most uncertain corrected first", loc="left")
    for axes in (touch, match):
        axes.set(xlabel="false positives a subject", ylabel="sensitivity", xlim=(0, None), ylim=(-0.02, 1.02))
        if axes.get_xlim()[1] > WIDE:
            axes.set_xscale("symlog", linthresh=1)
    kept.set(xlabel="share of lesions kept", ylabel="F1 of lesions", xlim=(0, 1.02), ylim=(-0.02, 1.02))
    legend(figure, touch)
    return figure


def _by_method(found, about):
    def detected(rule):
        def points(method):
            few = lesion_curves.thinned(rule(found[method]))
            return np.append(0, few.false_positives), np.append(0, few.sensitivity)

        return points

    wrong, region = "false positives a subject", f", {plain(about)}" if about else ""
    return small_multiples(
        found,
        [
            (detected(lambda of: of.by_touch), wrong, f"found: shares a voxel{region}"),
            (detected(lambda of: of.by_match), wrong, f"found: IoU of {MATCH:g}"),
            (lambda method: (found[method].f1.fractions, found[method].f1.values), "share of lesions kept", "F1"),
        ],
    )
