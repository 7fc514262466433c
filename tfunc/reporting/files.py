"""The CSV files of an evaluation: a function for the rows of each, and one that writes them all."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep.base import artefacts
from tfunc.reporting import forms
from tfunc.reporting.forms import number
from tfunc.reporting.table1 import Row
from tfunc.scoring import measures, metrics
from tfunc.scoring.counts import BINS, THRESHOLDS
from tfunc.scoring.evaluate import POOLED, Evaluated
from tfunc.scoring.measures import MEASURES, Measure

OUTCOMES = ("tp", "fp", "tn", "fn")
UNCERTAIN = ("tpu", "fpu", "tnu", "fnu")
# The columns that subjects.csv had before there was a table of measures, in their order, which others' scripts may count on:
# those of a subject, whose outcomes stand before the last, and those of a subject and threshold. Later ones follow at the end.
FIRST = ("dice", "ece", "accuracy", "confidence_gap")
FIRST_BY_THRESHOLD = (
    "ue", "error_precision", "error_recall", "corrected_dice", "corrected_accuracy", "bnf", "bnf_inequality",
    "accuracy_benefit",
)  # fmt: skip

Lines = list[list[Any]]


def write_all(folder: pathlib.Path, evaluated: Evaluated, rows: Sequence[Row], notes: Sequence[str]) -> str:
    """Writes the CSV files and Table 1 in its three forms, each atomically -> Table 1 as Markdown, with `notes` below."""
    for name, lines in (
        ("subjects.csv", subjects_lines(evaluated)),
        ("calibration.csv", calibration_lines(evaluated)),
        ("thresholds.csv", thresholds_lines(evaluated)),
        ("supplementary.csv", supplementary_lines(evaluated)),
    ):
        artefacts.write_text(folder / name, forms.rows_text(lines))
    markdown = forms.markdown(rows, notes)
    artefacts.write_text(folder / "table1.csv", forms.csv_text(rows))
    artefacts.write_text(folder / "table1.md", markdown)
    artefacts.write_text(folder / "table1.tex", forms.latex(rows, " ".join(notes)))
    return markdown


def subjects_lines(evaluated: Evaluated) -> Lines:
    """Rows of subjects.csv, the header first: one a method and subject. An undefined value is an empty cell."""
    first, by_threshold = ([MEASURES[name] for name in names] for names in (FIRST, FIRST_BY_THRESHOLD))
    later = [measure for measure in MEASURES.values() if measure not in (*first, *by_threshold)]
    header = ["method", "subject", *_names(first[:-1]), *OUTCOMES, *_names(first[-1:])]
    header += [f"{name}_{t:.2f}" for t in THRESHOLDS for name in (*_names(by_threshold), *UNCERTAIN)]
    header += _names(measure for measure in later if not measure.by_threshold)
    header += [f"{name}_{t:.2f}" for t in THRESHOLDS for name in _names(m for m in later if m.by_threshold)]
    lines: Lines = [header]
    for method, counts in evaluated.counts.items():
        scores = evaluated.scores[method]
        for index, (subject, counted) in enumerate(counts.items()):
            outcome = metrics.outcome(counted)
            found = {name: scores[name][index] for name in MEASURES}
            values = [found[measure.name] for measure in first[:-1]] + [getattr(outcome, name) for name in OUTCOMES]
            values += [found[measure.name] for measure in first[-1:]]
            columns = [found[measure.name] for measure in by_threshold]
            values += _by_threshold([*columns, *(getattr(outcome, name) for name in UNCERTAIN)])
            values += [found[measure.name] for measure in later if not measure.by_threshold]
            values += _by_threshold([found[measure.name] for measure in later if measure.by_threshold])
            lines.append([method, subject, *map(number, values)])
    return lines


def _names(columns):
    return [measure.subject_column for measure in columns]


def _by_threshold(columns):
    """The columns' values, those of a threshold together."""
    return [column[index] for index in range(len(THRESHOLDS)) for column in columns]


def calibration_lines(evaluated: Evaluated) -> Lines:
    """Rows of calibration.csv: ten bins for every method and subject, and for the data set as subject `all`."""
    lines: Lines = [["method", "subject", "bin", "count", "mean_probability", "positive_fraction"]]
    for method, counts in evaluated.counts.items():
        for subject, counted in {**counts, POOLED: evaluated.scores[method].pooled}.items():
            curve = metrics.calibration(counted)
            for index in range(BINS):
                values = curve.count[index], curve.mean_probability[index], curve.positive_fraction[index]
                lines.append([method, subject, index, *map(number, values)])
    return lines


def thresholds_lines(evaluated: Evaluated) -> Lines:
    """Rows of thresholds.csv: each method's means over subjects at each of the eleven thresholds."""
    columns: list[Measure] = measures.over_thresholds()
    lines: Lines = [["method", "threshold", *(measure.name for measure in columns)]]
    for method, scores in evaluated.scores.items():
        means = [scores.mean(measure.name) for measure in columns]
        for index, threshold in enumerate(THRESHOLDS):
            lines.append([method, f"{threshold:.2f}", *(number(values[index]) for values in means)])
    return lines


def supplementary_lines(evaluated: Evaluated) -> Lines:
    """Rows of supplementary.csv: mean-subject ECE against the data set's, in %, three digits, as in the supplement."""
    lines: Lines = [["method", "ece_mean_subject_percent", "ece_dataset_percent", "confidence_gap_dataset"]]
    for method, scores in evaluated.scores.items():
        percents = [np.round(100 * v, 3) for v in (scores.mean("ece"), metrics.calibration_error(scores.pooled))]
        lines.append([method, *map(number, [*percents, metrics.confidence_gap(scores.pooled)])])
    return lines
