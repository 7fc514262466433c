"""Table 1 as data: a row a method, a cell a measure, with intervals, chosen thresholds, ranks and the paper's values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from data_prep.base.streams import text_of
from tfunc import methods, paper
from tfunc.scoring import measures, statistics
from tfunc.scoring.counts import THRESHOLDS
from tfunc.scoring.measures import MEASURES, Measure
from tfunc.scoring.statistics import Scores


@dataclasses.dataclass(frozen=True)
class Cell:
    """Mean over subjects, 95 % bootstrap interval, threshold (where the measure has one), rank, published value."""

    mean: float
    low: float
    high: float
    threshold: float | None = None
    rank: int | None = None
    published: float | None = None
    published_rank: int | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """A method's row: cells by measure, of how many subjects. Rows that are not `ranked` stand below the line.

    columns: the measures, in order.  mark: why the method is not ranked in this table, where another one ranks it.
    """

    method: str
    title: str
    ranked: bool
    subjects: int
    cells: dict[str, Cell]
    columns: Sequence[Measure] = dataclasses.field(default_factory=measures.table1, repr=False)
    mark: str = ""

    @property
    def has_published(self) -> bool:
        """Whether the paper has values of this method."""
        return any(cell.published is not None for cell in self.cells.values())


def table1(
    by_method: Mapping[str, Scores],
    chosen: Mapping[str, Mapping[str, int]] | None = None,
    published: str | None = None,
    columns: Sequence[Measure] | None = None,
    marked: Mapping[str, str] | None = None,
) -> list[Row]:
    """Rows of Table 1: the paper's methods in its order, ranked among themselves, then others.

    chosen: {method: `statistics.thresholds`}, where they were chosen on another set; by default on the same subjects,
    which is the paper's way and favours every method.  published: a data set's name to show the paper's values. Where no
    method is the paper's, all are ranked.  columns: in place of Table 1's.  marked: {method: why it is not ranked here}; it
    then stands below.
    """
    columns, marked = measures.table1() if columns is None else columns, marked or {}
    ranked = statistics.ranked(name for name in by_method if name not in marked)
    order = [*ranked, *(name for name in statistics.in_order(by_method) if name not in ranked)]
    rows = [
        _row(name, by_method[name], (chosen or {}).get(name), columns, name in ranked, marked.get(name, ""))
        for name in order
    ]
    for measure in columns:
        _rank(rows, measure)
    return [_with_published(row, paper.PUBLISHED.get(published, {})) for row in rows] if published else rows


def title(method: str) -> str:
    """How tables and figures name a method: as the table of methods does, else by its own name."""
    return methods.title(method) or text_of(method)


def is_first_below(rows: Sequence[Row], index: int) -> bool:
    """Whether the line between ranked and unranked methods stands above this row."""
    return index > 0 and rows[index - 1].ranked and not rows[index].ranked


def _row(name, found, chosen, columns, ranked, mark):
    chosen = statistics.thresholds(found) if chosen is None else chosen
    cells = {}
    for measure in columns:
        means, values = found.mean(measure.name), found.defined(measure.name)
        if measure.by_threshold:
            index = chosen[measure.name]
            interval = statistics.interval(values[:, index])
            cells[measure.name] = Cell(float(means[index]), *interval, THRESHOLDS[index])
        else:
            cells[measure.name] = Cell(float(means), *statistics.interval(values))
    return Row(name, title(name), ranked, len(found.subjects), cells, columns, mark)


def _rank(rows: list[Row], measure: Measure) -> None:
    among = [row for row in rows if row.ranked]
    ranks = statistics.dense_ranks([measure.printed(row.cells[measure.name].mean) for row in among], measure)
    for row, rank in zip(among, ranks, strict=True):
        row.cells[measure.name] = dataclasses.replace(row.cells[measure.name], rank=rank)


def _with_published(row, published):
    values = published.get(row.method)
    if values is None:
        return row
    cells = dict(row.cells)
    for column, name in enumerate(paper.COLUMNS):
        everyone = [other[column] for other in published.values()]
        rank = dict(zip(everyone, statistics.dense_ranks(everyone, MEASURES[name]), strict=True))[values[column]]
        cells[name] = dataclasses.replace(cells[name], published=values[column], published_rank=rank)
    return dataclasses.replace(row, cells=cells)
