"""The CSV files of an evaluation: a function for the rows of each, and one that writes them all."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data_prep.base import artefacts
from tfunc.reporting import forms
from tfunc.reporting import parts as tables
from tfunc.reporting.forms import number
from tfunc.reporting.parts import MEAN, Part
from tfunc.scoring import measures, metrics
from tfunc.scoring.aggregate import AGGREGATORS
from tfunc.scoring.companions import COMPANIONS
from tfunc.scoring.counts import BINS, THRESHOLDS
from tfunc.scoring.evaluate import POOLED, Evaluated
from tfunc.scoring.measures import MEASURES, Measure

OUTCOMES = ("tp", "fp", "tn", "fn")
UNCERTAIN = ("tpu", "fpu", "tnu", "fnu")
# The columns that subjects.csv had before there was a table of measures, in their order, which others' scripts may count on:
# those of a subject, whose outcomes stand before the last, those of a subject and threshold, and those that came next. Companions
# of Dice and scores follow, and at the end measures that came after them.
FIRST = ("dice", "ece", "accuracy", "confidence_gap")
FIRST_BY_THRESHOLD = (
    "ue", "error_precision", "error_recall", "corrected_dice", "corrected_accuracy", "bnf", "bnf_inequality",
    "accuracy_benefit",
)  # fmt: skip

NEXT = ("ece_near",)

CLASS_WISE = "ece_class"  # the one measure of a class map whose column no region has
_NONE = dict.fromkeys(OUTCOMES, np.nan) | dict.fromkeys(UNCERTAIN, np.full(len(THRESHOLDS), np.nan))

Lines = Iterator[list[Any]]  # made as they are written: a line of a subject has a thousand bytes


def write_all(folder: pathlib.Path, parts: Sequence[Part], notes: Mapping[str, Sequence[str]]) -> str:
    """Writes the CSV files and each part's Table 1 in its three forms, each atomically -> the first as Markdown.

    notes: {name of a part: the sentences below its table}. Of several parts the files have the rows of each, and a last
    column `region` that names it.
    """
    for name, function in (
        ("subjects.csv", subjects_lines),
        ("calibration.csv", calibration_lines),
        ("thresholds.csv", thresholds_lines),
        ("supplementary.csv", supplementary_lines),
    ):
        chosen = [part for part in parts if part.name != MEAN or function is not calibration_lines]
        lines = function(parts[0].evaluated) if len(parts) == 1 else _of_all(chosen, function)
        artefacts.write_pieces(folder / name, forms.each_row(lines))
    for part in parts:
        stem, below = f"table1{part.suffix}", notes[part.name]
        artefacts.write_text(folder / f"{stem}.csv", forms.csv_text(part.rows))
        artefacts.write_text(folder / f"{stem}.md", forms.markdown(part.rows, below))
        artefacts.write_text(folder / f"{stem}.tex", forms.latex(part.rows, " ".join(below), f"tab:{stem}"))
    return forms.markdown(parts[0].rows, notes[parts[0].name])


def write_lines(
    folder: pathlib.Path,
    name: str,
    parts: Sequence[Part],
    header: Sequence[str],
    function: Callable[[Part], Iterable[Sequence[Any]]],
) -> None:
    """Writes one CSV file atomically: the rows that `function` gives of each part, see `parts.lines`."""
    artefacts.write_pieces(folder / name, forms.each_row(tables.lines(parts, header, function)))


def _of_all(parts, function):
    """The rows of all parts, each with its name at the end."""
    more = [CLASS_WISE] if function is subjects_lines else []
    for index, part in enumerate(parts):
        lines = function(part.evaluated)
        head = next(lines)
        if index == 0:
            yield [*head, *more, "region"]
        extra = _class_wise(part.evaluated) if more else itertools.repeat([])
        for line, own in zip(lines, extra, strict=bool(more)):
            yield [*line, *own, part.name]


def _class_wise(evaluated):
    """A cell for each method and subject, empty but in a class map."""
    empty = np.full(len(evaluated.subjects), np.nan)
    return ([number(v)] for found in evaluated.scores.values() for v in found.values.get(CLASS_WISE, empty))


def subjects_lines(evaluated: Evaluated) -> Lines:
    """Rows of subjects.csv, the header first: one a method and subject. An undefined value is an empty cell.

    Means over regions and class maps have no outcomes, and a class map none of what is measured of a region only.
    """
    every = (FIRST, FIRST_BY_THRESHOLD, NEXT)
    first, by_threshold, following = ([MEASURES[name] for name in names] for names in every)
    later = [measure for measure in MEASURES.values() if measure not in (*first, *by_threshold, *following)]
    header = ["method", "subject", *_names(first[:-1]), *OUTCOMES, *_names(first[-1:])]
    header += [f"{name}_{t:.2f}" for t in THRESHOLDS for name in (*_names(by_threshold), *UNCERTAIN)]
    header += [*_names(following), *COMPANIONS, *(row.column for row in AGGREGATORS.values())]
    header += _names(measure for measure in later if not measure.by_threshold)
    header += [f"{name}_{t:.2f}" for t in THRESHOLDS for name in _names(m for m in later if m.by_threshold)]
    yield header
    for method, counts in evaluated.counts.items():
        scores = evaluated.scores[method]
        one_problem = evaluated.task is None and scores.measures is MEASURES
        for index, (subject, counted) in enumerate(counts.items()):
            outcome = vars(metrics.outcome(counted)) if one_problem else _NONE
            found = {measure.name: _value(scores, measure, index) for measure in MEASURES.values()}
            values = [found[measure.name] for measure in first[:-1]] + [outcome[name] for name in OUTCOMES]
            values += [found[measure.name] for measure in first[-1:]]
            columns = [found[measure.name] for measure in by_threshold]
            values += _by_threshold([*columns, *(outcome[name] for name in UNCERTAIN)])
            values += [found[measure.name] for measure in following]
            values += _findings(evaluated.findings.get(method, {}).get(subject))
            values += [found[measure.name] for measure in later if not measure.by_threshold]
            values += _by_threshold([found[measure.name] for measure in later if measure.by_threshold])
            yield [method, subject, *map(number, values)]


def _findings(found):
    """A subject's companions of Dice and its scores; NaN where there are none, as of means over regions and class maps."""
    if found is None:
        return [np.nan] * (len(COMPANIONS) + len(AGGREGATORS))
    return [*(found.companions[name] for name in COMPANIONS), *(found.scores[name] for name in AGGREGATORS)]


def _value(scores, measure, index):
    """A subject's value of a measure; of a class map that of the measure with its column, or NaN."""
    name = _name(scores, measure)
    if name is None:
        return np.full(len(THRESHOLDS), np.nan) if measure.by_threshold else np.nan
    return scores[name][index]


def _name(scores, measure):
    """What a column's measure is called in these scores, or None where they have none."""
    found = (own.name for own in scores.measures.values() if own.subject_column == measure.subject_column)
    return measure.name if scores.measures is MEASURES else next(found, None)


def _names(columns):
    return [measure.subject_column for measure in columns]


def _by_threshold(columns):
    """The columns' values, those of a threshold together."""
    return [column[index] for index in range(len(THRESHOLDS)) for column in columns]


def calibration_lines(evaluated: Evaluated) -> Lines:
    """Rows of calibration.csv: ten bins for every method and subject, and for the data set as subject `all`."""
    yield ["method", "subject", "bin", "count", "mean_probability", "positive_fraction"]
    for method, counts in evaluated.counts.items():
        for subject, counted in itertools.chain(counts.items(), [(POOLED, evaluated.scores[method].pooled)]):
            curve = metrics.calibration(counted)
            for index in range(BINS):
                values = curve.count[index], curve.mean_probability[index], curve.positive_fraction[index]
                yield [method, subject, index, *map(number, values)]


def thresholds_lines(evaluated: Evaluated) -> Lines:
    """Rows of thresholds.csv: each method's means over subjects at each of the eleven thresholds."""
    columns: list[Measure] = measures.over_thresholds()
    yield ["method", "threshold", *(measure.name for measure in columns)]
    for method, scores in evaluated.scores.items():
        names = [_name(scores, measure) for measure in columns]
        means = [np.full(len(THRESHOLDS), np.nan) if name is None else scores.mean(name) for name in names]
        for index, threshold in enumerate(THRESHOLDS):
            yield [method, f"{threshold:.2f}", *(number(values[index]) for values in means)]


def supplementary_lines(evaluated: Evaluated) -> Lines:
    """Rows of supplementary.csv: mean-subject ECE against the data set's, in %, three digits, as in the supplement."""
    yield ["method", "ece_mean_subject_percent", "ece_dataset_percent", "confidence_gap_dataset"]
    for method, scores in evaluated.scores.items():
        mean = scores.mean(_name(scores, MEASURES["ece"]))
        percents = [np.round(100 * v, 3) for v in (mean, metrics.calibration_error(scores.pooled))]
        yield [method, *map(number, [*percents, metrics.confidence_gap(scores.pooled)])]
