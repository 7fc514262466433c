"""Table 1 and other rows as text: CSV, Markdown and LaTeX. What a column is called and how it is printed, `measures` says."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data_prep import tables
from tfunc.reporting import remarks
from tfunc.reporting.table1 import Cell, Row, is_first_below
from tfunc.scoring import measures
from tfunc.scoring.measures import Measure

MARK = "†"  # beside the title of a method that a table does not rank
ARROWS = {"lower": "↓", "higher": "↑", "zero": "→ 0"}
LATEX_ARROWS = {"lower": r"$\downarrow$", "higher": r"$\uparrow$", "zero": r"$\to 0$"}


def arrow(measure: Measure) -> str:
    """Which values are better: an arrow down or up, or to 0."""
    return ARROWS[measure.direction]


def cell_text(measure: Measure, cell: Cell) -> str:
    """`0.920 (4)`, the paper's form with all its digits; a dash where undefined, no rank below the line."""
    if np.isnan(cell.mean):
        return "–"
    return f"{measure.printed(cell.mean):.{measure.digits}f}" + (f" ({cell.rank})" if cell.rank else "")


def interval_text(measure: Measure, cell: Cell) -> str:
    """`[0.871, 0.978]`, or nothing where undefined."""
    if np.isnan(cell.low):
        return ""
    low, high = (f"{value * measure.scale:.{measure.digits}f}" for value in (cell.low, cell.high))
    return f"[{low}, {high}]"


def threshold_text(cell: Cell) -> str:
    """` at 0.40` for a cell that has a threshold, else nothing."""
    return "" if cell.threshold is None or np.isnan(cell.mean) else f" at {cell.threshold:.2f}"


def published_text(measure: Measure, cell: Cell) -> str:
    """The paper's value and rank, or nothing."""
    return "" if cell.published is None else f"{cell.published:.{measure.digits}f} ({cell.published_rank})"


def notes(rows: Sequence[Row], asked: Mapping[str, Any], about: str = "", of: str = "") -> list[str]:
    """The sentences below Table 1. asked: what summary.json says of the evaluation itself, see `remarks`.

    about: the sentence that says which table it is, of several.  of: what is averaged over beside subjects.
    """
    ranked, unpredicted = sum(row.ranked for row in rows), asked["unpredicted"]
    found = [
        f"Mean over {of}{rows[0].subjects} subjects (rank among {ranked} methods), 95 % bootstrap interval over subjects. "
        f"{with_threshold(rows[0].columns)} at the threshold named, {remarks.chosen_on(asked)}.",
        *remarks.remarks(asked),
    ]
    if about:
        found.insert(0, about)
    marks = dict.fromkeys(row.mark for row in rows if row.mark)
    found += [f"{MARK} Not ranked: {mark}. The table of the class map compares all methods." for mark in marks]
    if any(row.has_published for row in rows):
        found.append("Values marked paper are those published for this data set, with their ranks.")
    if unlike := remarks.unlike_dice(rows):
        found.append(unlike)
    if unpredicted:
        labels = rows[0].subjects + unpredicted
        found.append(f"{unpredicted} of {labels} labels have no prediction: their subjects are not in this table.")
    return found


def with_threshold(columns: Sequence[Measure] | None = None) -> str:
    """`U-E and BnF`: the columns of Table 1 whose threshold is chosen, without the paper's second form of BnF."""
    columns = measures.table1() if columns is None else columns
    *first, last = (measure.title for measure in columns if measure.by_threshold and measure.curve)
    return f"{', '.join(first)} and {last}" if first else last


# CSV


def csv_text(rows: Sequence[Row]) -> str:
    """Table 1 as CSV: unrounded means (ECE as a fraction), interval, rank, threshold and the paper's printed value."""
    columns, marked = rows[0].columns, any(row.mark for row in rows)
    names = ("mean", "low", "high", "rank", "threshold", "published")
    header = ["method", "title", "ranked", "subjects"]
    header += [m.name if name == "mean" else f"{m.name}_{name}" for m in columns for name in names]
    lines: list[list[Any]] = [header + ["note"] * marked]
    for row in rows:
        values = [getattr(row.cells[m.name], name) for m in columns for name in names]
        lines.append([row.method, row.title, int(row.ranked), row.subjects, *map(number, values), *[row.mark] * marked])
    return rows_text(lines)


def rows_text(lines: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV text. Text that a spreadsheet would run as a formula has `tables.PLAIN` before it; numbers are as they are."""
    return "".join(each_row(lines))


def each_row(lines: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The same, row by row, for files of many subjects."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for line in lines:
        writer.writerow([tables.guarded(cell) for cell in line])
        yield out.getvalue()
        out.seek(0)
        out.truncate()


def number(value: Any) -> str:
    """A CSV cell: integers as they are, floats with 17 digits where needed, empty for None and NaN."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, (int, np.integer, np.bool_)) else repr(float(value))


# Markdown


def markdown(rows: Sequence[Row], below: Iterable[str] = ()) -> str:
    """Table 1 as Markdown: best in bold; interval, threshold and the paper's value in the cells; sentences below."""
    columns = rows[0].columns
    lines = ["| method | " + " | ".join(f"{m.title} {arrow(m)}" for m in columns) + " |"]
    lines.append("| --- |" + " ---: |" * len(columns))
    for index, row in enumerate(rows):
        if is_first_below(rows, index):
            lines.append(f"| *{below_the_line(rows)}* |" + " |" * len(columns))
        lines.append(
            f"| {markdown_text(row.title)}{row.mark and f' {MARK}'} | "
            + " | ".join(_markdown_cell(m, row.cells[m.name]) for m in columns)
            + " |"
        )
    return "\n".join(lines) + "\n" + "".join(f"\n{note}\n" for note in below)


def below_the_line(rows: Sequence[Row]) -> str:
    """What the methods below the line are."""
    return "unranked" if any(row.mark for row in rows) else "not in the paper, unranked"


def markdown_text(text: str) -> str:
    """A name as Markdown shows it: no character of it ends a cell, begins an element or sets in bold or as a formula."""
    text = re.sub(r"&(?=#?\w+;)", "&amp;", " ".join(text.split()))
    text = re.sub(r"[\\`*|\[\]~$]|(?<![^\W_])_|_(?![^\W_])", lambda found: "\\" + found[0], text)
    return text.replace("<", "&lt;").replace(">", "&gt;")


def _markdown_cell(measure, cell):
    text = cell_text(measure, cell)
    text = f"**{text}**" if cell.rank == 1 else text
    text += f"{threshold_text(cell)} {interval_text(measure, cell)}"
    text += f"; paper {published_text(measure, cell)}" if cell.published is not None else ""
    return text.strip()


# LaTeX


_GREEK = (
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi", "o",
    "pi", "rho", "varsigma", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
)  # fmt: skip
_CAPITALS = {
    "Γ": r"\Gamma", "Δ": r"\Delta", "Θ": r"\Theta", "Λ": r"\Lambda", "Ξ": r"\Xi", "Π": r"\Pi", "Σ": r"\Sigma",
    "Υ": r"\Upsilon", "Φ": r"\Phi", "Ψ": r"\Psi", "Ω": r"\Omega",
}  # fmt: skip
_SIGNS = {
    "→": r"\to", "←": r"\leftarrow", "↑": r"\uparrow", "↓": r"\downarrow", "≤": r"\le", "≥": r"\ge", "≠": r"\ne",
    "≈": r"\approx", "×": r"\times", "±": r"\pm", "·": r"\cdot", "∞": r"\infty", "√": r"\surd",
    "°": r"^\circ", "²": "^2", "³": "^3", "−": "-", "µ": r"\mu", "ϵ": r"\epsilon", "ε": r"\varepsilon", "φ": r"\varphi",
}  # fmt: skip
_MATH = {
    **{chr(0x3B1 + index): name if name == "o" else f"\\{name}" for index, name in enumerate(_GREEK)},
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", (rf"\mathrm{{{letter}}}" for letter in "ABEZHIKMNOPTX"), strict=True)),
    **_CAPITALS,
    **_SIGNS,
    MARK: r"\dagger",
}
_TEX = str.maketrans(
    {
        **{character: f"${math}$" for character, math in _MATH.items()},
        **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''", "…": r"\ldots{}", "—": "---"},
        **{"\n": " ", "\t": " ", "\r": " "},
        **{character: f"\\{character}" for character in "%_&#${}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"},
        **{"[": "{[}", "*": "{*}"},  # the end of the line before would take them for its own
    }
)


def latex(rows: Sequence[Row], caption: str = "", label: str = "tab:table1") -> str:
    r"""Table 1 as a LaTeX table environment, no wider than the text: best in bold, a line above the unranked methods.

    It takes the packages booktabs and graphicx, as its first line says. label: for \ref.

    A method has two lines, values with thresholds and intervals, and a third of the paper's values where there are any.
    """
    columns = rows[0].columns
    head = " & ".join(["", *(f"{m.title.translate(_TEX)} {LATEX_ARROWS[m.direction]}" for m in columns)])
    body = []
    for index, row in enumerate(rows):
        if is_first_below(rows, index):
            body.append(r"\midrule")
        body += [" & ".join(line) + r" \\" for line in _latex_lines(row, columns)]
    own = re.sub(r"[^A-Za-z0-9:.-]", "-", label)
    lines = [
        r"% \usepackage{booktabs,graphicx}",
        r"\begin{table}",
        r"\centering",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
    ]
    lines += [rf"\caption{{{caption.translate(_TEX)}}}", rf"\label{{{own}}}"]
    lines += [
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
    ]
    lines += [r"\toprule", head + r" \\", r"\midrule"]
    return "\n".join([*lines, *body, r"\bottomrule", r"\end{tabular}}", r"\end{table}"]) + "\n"


def _latex_lines(row, columns):
    """The two or three lines of a method, as lists of cells."""
    values, intervals, published = (
        [row.title.translate(_TEX) + r" $\dagger$" * bool(row.mark)],
        [""],
        [r"{\scriptsize paper}"],
    )
    for measure in columns:
        cell = row.cells[measure.name]
        text = cell_text(measure, cell).translate(_TEX)
        text = rf"\textbf{{{text}}}" if cell.rank == 1 else text
        values.append(f"{text} {_small(threshold_text(cell))}".rstrip())
        intervals.append(_small(interval_text(measure, cell)))
        published.append(_small(published_text(measure, cell)))
    return [values, intervals] + ([published] if row.has_published else [])


def _small(text):
    return rf"{{\scriptsize {text.strip()}}}" if text else ""
