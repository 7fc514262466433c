"""How every figure is drawn and saved: colours, lines and letters, the legend, small panels. PNG and PDF by matplotlib.

Colours are Okabe and Ito's, told apart under every common colour blindness; methods that belong together share one and
differ by line and marker. matplotlib is imported where a figure is drawn, without pyplot and its global state.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import pathlib
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.base.streams import text_of
from tfunc.reporting.table1 import title
from tfunc.scoring import statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

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
SETTINGS: dict[Any, Any] = {
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
    "axes.facecolor": "none",
}
DOTS = 200  # to the inch, of a PNG
WIDTH = 7.2  # inches, a page's text width
OTHERS_GREY = "0.66"  # of the others' curves, seen on white and, turned round, in the dark
MANY = 4  # methods, of more each has a small panel of its own
COLUMNS = 9  # of small panels, the most whose methods' names are read in print
LETTER = 4.3  # points, of a name in letters of 7
_above: contextvars.ContextVar[str] = contextvars.ContextVar("above", default="")


@contextlib.contextmanager
def headed(text: str) -> Iterator[None]:
    """Inside the block every figure that is saved has this text above it, such as that its data are made up."""
    token = _above.set(text)
    try:
        yield
    finally:
        _above.reset(token)


def save(
    folder: pathlib.Path,
    name: str,
    draw: Callable[..., Figure],
    *arguments: Any,
    endings: Sequence[str] = ("png", "pdf"),
) -> tuple[pathlib.Path, ...]:
    """Draws with our settings and writes each form atomically, without dates, so that equal data gives equal files."""
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # absl shows INFO, which is each glyph of each PDF
    paths = []
    with _own_settings():
        figure = draw(*arguments)
        if text := _above.get():
            figure.suptitle(text, x=0.995, ha="right", fontsize=7, fontstyle="italic", color="0.4")
        shown = _laid_out(figure)
        for ending in endings:
            path = pathlib.Path(folder) / f"{name}.{ending}"
            with artefacts.aside(path) as temporary:
                metadata = {"CreationDate": None} if ending == "pdf" else {}
                ground = "white" if ending == "pdf" else "none"  # a page in the dark shows pictures too
                figure.savefig(temporary, dpi=DOTS, bbox_inches=shown, facecolor=ground, metadata=metadata)
            paths.append(path)
    return tuple(paths)


def _laid_out(figure):
    """Places all that is in the figure, once for all its forms; returns what is shown of it."""
    import matplotlib

    figure.set_dpi(DOTS)
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # with "none" saving would draw it twice
    return figure.get_tightbbox().padded(matplotlib.rcParams["savefig.pad_inches"])


@contextlib.contextmanager
def _own_settings():
    """Inside the block matplotlib has its defaults and ours, whatever a matplotlibrc or the process set; then theirs again.

    Raises `UserError` where matplotlib can't be imported with the settings it finds.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: F401 - draws in memory, without a display
    except (ValueError, UnicodeDecodeError) as error:
        do = "mend MPLBACKEND or the matplotlibrc"
        raise UserError("matplotlib", expected="settings that it can read", found=f"{error}", do=do) from None
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def styles(methods: Iterable[str]) -> dict[str, dict[str, str]]:
    """{method: color, linestyle and marker for `plot`}, in Table 1's order."""
    order = statistics.in_order(methods)
    others = iter(OTHERS * len(order))
    look = {name: STYLES.get(name) or next(others) for name in order}
    return {name: dict(color=color, linestyle=line, marker=marker) for name, (color, line, marker) in look.items()}


def shortened(name: str, longest: int = 22) -> str:
    """A subject's name, cut to fit a title."""
    name = text_of(name)
    return plain(name if len(name) <= longest else name[: longest - 1] + "…")


def plain(name: str) -> str:
    """A name as matplotlib draws it: dollars begin no formula there, and an underscore at its beginning hides no label."""
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def legend(figure: Figure, axes: Axes, columns: int = 8) -> None:
    """One below all panels, of what one of them has; its rows are read as lines of text, and as full as each other."""
    handles, labels = axes.get_legend_handles_labels()
    order, columns = by_rows(len(labels), columns)
    figure.legend(
        [handles[at] for at in order], [labels[at] for at in order], loc="outside lower center", ncols=columns, frameon=False,
        fontsize=7, handlelength=2, columnspacing=0.9, handletextpad=0.4,
    )  # fmt: skip


def by_rows(count: int, most: int) -> tuple[list[int], int]:
    """(the order in which `count` entries are handed to matplotlib, which fills columns, so that rows are in order; columns).

    most: columns at the most; of several rows each but the last is full.
    """
    rows = -(-count // most)
    columns = -(-count // rows)
    return [at for column in range(columns) for at in range(column, count, columns)], columns


def whole_numbers() -> MaxNLocator:
    """Ticks of an axis of subjects, of whom there are no halves."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True, min_n_ticks=1)


Points = Callable[[str], tuple[Any, Any]]  # method -> x, y of its curve


def small_multiples(methods: Iterable[str], rows: Sequence[tuple[Points, str, str]]) -> Figure:
    """A column of small panels for each method, at most `COLUMNS` of them beside each other: its own curve before the others'.

    rows: (points, what is along x, what is along y) of each row of panels, which share their axes.
    """
    from matplotlib.figure import Figure

    looks = styles(methods)
    below_each_other = blocks(looks)
    figure = Figure(figsize=(WIDTH, 0.6 + 1.25 * len(rows) * len(below_each_other)), layout="constrained")
    panels = figure.subplots(len(rows) * len(below_each_other), len(below_each_other[0]), squeeze=False)
    for at, block in enumerate(below_each_other):
        for row, (points, x, y) in enumerate(rows):
            line = panels[at * len(rows) + row]
            for column, (axes, method) in enumerate(zip(line, block, strict=False)):
                if axes is not panels[row, 0]:
                    axes.sharex(panels[row, 0])
                    axes.sharey(panels[row, 0])
                axes.tick_params(labelleft=column == 0)
                _own_before_others(axes, points, method, looks)
            line[0].set_ylabel(y)
            line[len(block) // 2].set_xlabel(x)
            for unused in line[len(block) :]:
                unused.remove()
        head(panels[at * len(rows)], block, len(below_each_other[0]))
    return figure


def _own_before_others(axes, points, method, looks):
    axes.plot(*joined(map(points, looks)), color=OTHERS_GREY, linewidth=0.6, label="_")
    look = looks[method]
    axes.plot(*points(method), color=look["color"], linestyle=look["linestyle"], label=plain(title(method)))
    axes.set(xlim=(0, None), ylim=(0, None))
    axes.set_ylim(bottom=-0.03 * axes.get_ylim()[1])  # a curve along 0 is seen
    axes.locator_params(axis="x", nbins=2)
    axes.locator_params(axis="y", nbins=3)


def joined(curves: Iterable[tuple[Any, Any]]) -> tuple[Any, Any]:
    """x, y of several curves as one, broken between them: drawn at once."""
    parts = [np.append(np.asarray(of, np.float64).T, [(np.nan, np.nan)], axis=0) for of in curves]
    x, y = np.concatenate(parts).T
    return x, y


def blocks(methods: Iterable[str]) -> list[list[str]]:
    """The methods in rows, as equally filled as can be, of at most `COLUMNS` beside each other."""
    order = list(methods)
    rows = -(-len(order) // COLUMNS)
    columns = -(-len(order) // rows)
    return [order[start : start + columns] for start in range(0, len(order), columns)]


def head(row: Iterable[Axes], methods: Sequence[str], columns: int) -> None:
    """Each panel's method above it, in as many lines as its width asks for. columns: panels beside each other in the figure."""
    for axes, lines in zip(row, _names(methods, columns), strict=False):
        axes.set_title("\n".join(plain(line) for line in lines), fontsize=7)


def names_lines(methods: Sequence[str], columns: int) -> int:
    """How many lines the longest of these names takes above a small panel."""
    return max(len(lines) for lines in _names(methods, columns))


def _names(methods, columns):
    letters = int(WIDTH * 72 * 0.93 / columns / LETTER)
    for method in methods:
        yield textwrap.wrap(title(method), letters, max_lines=3, placeholder="…") or [title(method)]
