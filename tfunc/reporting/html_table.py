"""Table 1 as HTML, for the report: every cell with its interval as a small picture, every heading with its definition."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from tfunc.kinds import KINDS
from tfunc.methods import METHODS
from tfunc.reporting.forms import arrow, interval_text
from tfunc.reporting.table1 import Cell, Row, is_first_below
from tfunc.scoring.measures import Measure
from tfunc.scoring.sources import Maps


def table(rows: Sequence[Row], all_maps: Sequence[Maps], prefix: str = "") -> str:
    """The table element. all_maps: of the same methods, for what their uncertainty is.  prefix: of the ids in it."""
    kinds = {maps.method: KINDS[maps.kind] for maps in all_maps}
    columns = rows[0].columns
    head = [f'<th scope="col">{_term(f"{m.title} {arrow(m)}", m.sentence(), prefix + m.name)}</th>' for m in columns]
    body = []
    for index, row in enumerate(rows):
        definition = METHODS[row.method].help + "; uncertainty: " if row.method in METHODS else "uncertainty: "
        title = _term(row.title, definition + kinds[row.method].scaled, f"{prefix}method-{index}")
        cells = [_cell(m, row.cells[m.name], [other.cells[m.name] for other in rows]) for m in columns]
        reason = row.mark or "not in the paper, unranked"
        note = f'<span class="small">{escape(reason)}</span>' if row.mark or (not row.ranked and rows[0].ranked) else ""
        line = " class=first-later" * is_first_below(rows, index)
        body.append(f'<tr{line}><th scope="row">{title}{note}</th>{"".join(cells)}</tr>')
    return (
        f'<table><thead><tr><th scope="col">Method</th>{"".join(head)}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def legend(rows: Sequence[Row]) -> str:
    """The sentences that say how to read a cell."""
    published = "; rings: the paper's values." if any(row.has_published for row in rows) else "."
    return "Best in bold. Dots and lines: means and intervals on the column's own scale" + published


def _term(text, definition, name):
    """A word that explains itself when it is pointed at or focused."""
    return (
        f'<span class="term" tabindex="0" aria-describedby="tip-{escape(name)}">{escape(text)}'
        f'<span class="tip" role="tooltip" id="tip-{escape(name)}">{escape(definition)}</span></span>'
    )


def _cell(measure: Measure, cell: Cell, column: Sequence[Cell]) -> str:
    if np.isnan(cell.mean):
        return '<td><span class="value">–</span><span class="small">undefined everywhere</span></td>'
    value = f"{measure.printed(cell.mean):.{measure.digits}f}"
    value = f"<strong>{value}</strong>" if cell.rank == 1 else f'<span class="value">{value}</span>'
    rank = f' <span class="rank">({cell.rank})</span>' if cell.rank else ""
    at = "" if cell.threshold is None else f" · at {cell.threshold:.2f}"
    below = [interval_text(measure, cell).strip("[]").replace(", ", " – ") + at]
    if cell.published is not None:
        below.append(f"paper {cell.published:.{measure.digits}f} ({cell.published_rank})")
    return f"<td>{value}{rank}{_interval(measure, cell, column)}" + (
        "".join(f'<span class="small">{text}</span>' for text in below) + "</td>"
    )


def _interval(measure, cell, column):
    """A small picture of the mean, its interval and the paper's value, on the column's own scale."""
    every = [value for other in column for value in (other.low, other.high, other.mean) if not np.isnan(value)]
    every += [other.published / measure.scale for other in column if other.published is not None]
    low, high = min(every), max(every)

    def x(value):
        return f"{4 + 96 * (value - low) / ((high - low) or 1):.1f}"

    mark = ""
    if cell.published is not None:
        place = x(cell.published / measure.scale)
        mark = f'<circle cx="{place}" cy="4.5" r="3" fill="none" stroke="currentColor"/>'
    return (
        '<svg class="interval" viewBox="0 0 104 9" aria-hidden="true">'
        f'<path d="M{x(cell.low)} 4.5H{x(cell.high)}" stroke="currentColor" stroke-width="1.3" opacity="0.55"/>'
        f'<circle cx="{x(cell.mean)}" cy="4.5" r="2.6" fill="currentColor"/>{mark}</svg>'
    )
