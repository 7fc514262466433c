"""Table 1 of the authors' made-up study: values, ranks, chosen thresholds and supplementary numbers are theirs."""

import csv
import dataclasses
import io
import pathlib

import numpy as np
import pytest

from data_prep.base import artefacts
from tfunc import kinds, methods, paper
from tfunc.reporting import drawing, figures, forms
from tfunc.reporting.table1 import table1, title
from tfunc.scoring import measures, metrics, statistics
from tfunc.scoring.binary import count
from tfunc.scoring.counts import THRESHOLDS, Counts
from tfunc.scoring.measures import MEASURES

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens" / "table1"
EXPECTED = artefacts.read_json(GOLDENS / "expected.json")
KINDS = {"baseline": "probability", "auxiliary_feat": "error", "aleatoric": "sigma"}
PAPER = [name for name, method in methods.METHODS.items() if method.in_paper]
SUFFIX = {"auxiliary_feat": "_rescale", "auxiliary_segm": "_rescale", "aleatoric": "_globalrescale"}
COLUMNS = {"ece": "ece", "error": "ue", "benefit": "bnf", "dice": "dice"}


def stored_counts():
    arrays = np.load(GOLDENS / "counts.npz")
    fields = ("uncertainty", "calibration", "probability")
    return {
        method: {
            str(subject): Counts(*(np.asarray(arrays[f"{method}_{field}"][index], t) for field, t in
                                           zip(fields, (np.int64, np.int64, np.float64), strict=True)))
            for index, subject in enumerate(arrays["subjects"])
        }
        for method in PAPER
    }  # fmt: skip


@pytest.fixture(scope="module")
def by_method():
    return {method: statistics.scores(of) for method, of in stored_counts().items()}


@pytest.mark.parametrize("method", KINDS)
def test_stored_counts_are_those_of_the_inputs(method):
    """The counts that the other tests start from are what `count` makes of the authors' inputs."""
    arrays, stored = np.load(GOLDENS / f"{method}.npz"), stored_counts()[method].values()
    limits = kinds.common_range(kinds.value_range(score) for score in arrays["score"])
    maps = (arrays["score"], arrays["prediction"], arrays["target"])
    for score, prediction, target, expected in zip(*maps, stored, strict=True):
        found = count(score, KINDS[method], prediction, target, set_range=limits)
        np.testing.assert_array_equal(found.uncertainty, expected.uncertainty)
        np.testing.assert_array_equal(found.calibration, expected.calibration)
        np.testing.assert_allclose(found.probability, expected.probability, rtol=1e-12)


def test_golden_table(by_method):
    """Means to 1e-9, printed cells with ranks and both chosen thresholds exactly, for all eight methods."""
    rows = table1(by_method)
    assert [row.title for row in rows] == list(EXPECTED["raw_means"])
    for row in rows:
        raw, printed = EXPECTED["raw_means"][row.title], EXPECTED["table_value_rank"][row.title]
        for theirs, ours in COLUMNS.items():
            np.testing.assert_allclose(row.cells[ours].mean, raw[theirs], rtol=1e-9)
            value, rank = printed[theirs].split(" ")  # the reference drops zeros at the end, which our tables keep
            same = f"{float(value):.{MEASURES[ours].digits}f} {rank}"
            assert forms.cell_text(MEASURES[ours], row.cells[ours]) == same
            assert row.cells[ours].threshold == raw.get(f"{theirs}_threshold")


def test_golden_thresholds(by_method):
    """Means of BnF and U-E at every threshold, the number of undefined ones, and precision and recall."""
    for method, of in by_method.items():
        name = method + SUFFIX.get(method, "")
        rows = np.array(EXPECTED["per_threshold_[thr,mean_benefit,mean_error,nan_subjects]"][name])
        np.testing.assert_allclose(of.mean("bnf"), rows[:, 1], rtol=1e-9)
        np.testing.assert_allclose(of.mean("ue"), rows[:, 2], rtol=1e-9)
        assert np.isnan(of["ue"]).sum(axis=0).tolist() == rows[:, 3].tolist()
        np.testing.assert_allclose(np.stack([THRESHOLDS, of.mean("error_precision"), of.mean("error_recall")], axis=1),
                                   EXPECTED["prec_recall"][name], rtol=1e-9)  # fmt: skip


def test_golden_data_set_level(by_method):
    """ECE of the pooled data set, its curve, and the under- and over-confident shares."""
    for method, of in by_method.items():
        np.testing.assert_allclose(
            metrics.calibration_error(of.pooled),
            EXPECTED["supplmat_ece_raw"][title(method)]["ds_ece"],
            rtol=1e-9,
        )
        curve, expected = metrics.calibration(of.pooled), EXPECTED["dataset_curves"][method + SUFFIX.get(method, "")]
        there = curve.count > 0
        assert curve.count[there].tolist() == expected["count"]
        np.testing.assert_allclose(curve.mean_probability[there], expected["avg_conf"], rtol=1e-9)
        np.testing.assert_allclose(curve.positive_fraction[there], expected["pos_frac"], rtol=1e-9)
    found, expected = statistics.miscalibration(by_method), EXPECTED["miscalibration"]
    np.testing.assert_allclose(found.threshold, expected["threshold"], rtol=1e-9)
    assert (found.under, found.over) == (expected["under"], expected["over"])
    for subject, gap in expected["subject_mean_error"].items():
        np.testing.assert_allclose(found.gaps[subject], gap, rtol=1e-9, atol=1e-12)


def test_example_subjects(by_method):
    """S1 has the largest mean gap, S2 the smallest, S3 the lowest ECE of the rest; few subjects give few names."""
    gaps = EXPECTED["miscalibration"]["subject_mean_error"]
    first, second, third = statistics.example_subjects(by_method)
    assert (first, second) == (max(gaps, key=gaps.get), min(gaps, key=gaps.get))
    assert third not in (first, second)
    one = {m: statistics.scores({"a": next(iter(of.values()))}) for m, of in stored_counts().items()}
    assert statistics.example_subjects(one) == ("a",)


def test_ranks_are_dense_after_rounding():
    """Equal printed values share a rank, the next rank follows without a gap, undefined has none."""
    assert statistics.dense_ranks([0.9, 0.925, 0.9, float("nan"), 1.2], MEASURES["ece"]) == [1, 2, 1, None, 3]
    assert statistics.dense_ranks([0.43, 0.5, 0.43], MEASURES["ue"]) == [2, 1, 2]
    published = paper.PUBLISHED["brats"]
    ece = dict(
        zip(
            published,
            statistics.dense_ranks([values[0] for values in published.values()], MEASURES["ece"]),
            strict=True,
        )
    )
    assert (ece["baseline"], ece["center"], ece["baseline_mc"], ece["auxiliary_segm"]) == (4, 7, 1, 4)  # as printed


def test_ties_take_the_lowest_threshold():
    """The chosen threshold is the first of the best, over what is defined."""
    values = np.array([[0.1, 0.4, 0.4] + [0.0] * 8, [0.1, 0.4, np.nan] + [0.0] * 8])
    assert statistics.best_threshold(values, MEASURES["ue"]) == 1
    assert statistics.best_threshold(np.full((2, 11), np.nan), MEASURES["ue"]) == 0


def test_thresholds_of_another_set(by_method):
    """With thresholds chosen elsewhere, a column shows the value there, which is no better than the best."""
    own = table1(by_method)
    other = table1(by_method, {method: {"ue": 0, "bnf": 10, "bnf_inequality": 10} for method in by_method})
    for one, two in zip(own, other, strict=True):
        assert two.cells["ue"].threshold == 0.05 and two.cells["bnf"].threshold == 0.95
        assert two.cells["ue"].mean == by_method[one.method].mean("ue")[0] <= one.cells["ue"].mean
        assert two.cells["dice"].mean == one.cells["dice"].mean


def test_later_methods_stand_below_the_line(by_method):
    """A method that isn't the paper's is neither ranked nor changes a rank; alone, methods are ranked."""
    rows = table1({"ours_new": by_method["ensemble"], **by_method})
    assert rows[-1].method == "ours_new" and not rows[-1].ranked and rows[-1].cells["dice"].rank is None
    assert [row.cells["ue"].rank for row in rows[:-1]] == [row.cells["ue"].rank for row in table1(by_method)]
    text = forms.markdown(rows).splitlines()
    assert text[-2].startswith("| *not in the paper") and "(" not in text[-1].split("|")[2]
    assert forms.latex(rows).count(r"\midrule") == 2 and r"ours\_new" in forms.latex(rows)
    alone = table1({"a": by_method["ensemble"], "b": by_method["center"]})
    assert sorted(row.cells["dice"].rank for row in alone) == [1, 2]


def test_in_paper_decides_who_is_ranked(by_method, monkeypatch):
    """A method of the table stands where its `in_paper` says, in the table's order, and the mean over methods follows."""
    found = {"tta": by_method["ensemble"], "ours_new": by_method["center"], **by_method}
    later = [(row.method, row.ranked) for row in table1(found)][len(PAPER) :]
    assert later == [("tta", False), ("ours_new", False)]
    before = statistics.miscalibration(found)
    for name, value in (("tta", True), ("baseline", False), ("center_mc", False)):
        monkeypatch.setitem(methods.METHODS, name, dataclasses.replace(methods.METHODS[name], in_paper=value))
    ranked = [name for name in (*PAPER, "tta") if name not in ("baseline", "center_mc")]
    rows = table1(found)
    assert [row.method for row in rows if row.ranked] == ranked == list(drawing.styles(found))[: len(ranked)]
    assert [row.method for row in rows if not row.ranked] == ["ours_new", "baseline", "center_mc"]
    assert all((row.cells["dice"].rank is None) != row.ranked for row in rows)
    assert "| *not in the paper" in forms.markdown(rows)
    assert statistics.miscalibration(found).gaps != before.gaps
    unranked = table1({name: found[name] for name in ("baseline", "ours_new")})
    assert [row.ranked for row in unranked] == [True, True]  # where no method is the paper's, all are


def test_interval():
    """The bootstrap interval is reproducible, contains the mean, has the width of theory, and skips NaN."""
    values = np.random.default_rng(1).normal(3, 2, 400)
    low, high = statistics.interval(values)
    assert (low, high) == statistics.interval(values) and low < values.mean() < high
    assert abs((high - low) - 2 * 1.96 * 2 / 20) < 0.06
    assert statistics.interval(np.array([1.0, np.nan, 1.0])) == (1.0, 1.0)
    assert np.isnan(statistics.interval(np.array([np.nan, np.nan]))).all()


def test_forms(by_method):
    """CSV reads back to the exact means; Markdown and LaTeX hold every cell, the best in bold, the paper's beside."""
    rows = table1(by_method, published="isic")
    read = list(csv.DictReader(io.StringIO(forms.csv_text(rows))))
    assert [float(line["ue"]) for line in read] == [row.cells["ue"].mean for row in rows]
    assert read[0]["ece_published"] == "7.256" and read[0]["bnf_inequality_published"] == ""
    text, tex = forms.markdown(rows, ["a note"]), forms.latex(rows, "50 %")
    assert "**0.921 (1)**" in text and "paper 0.831 (1)" in text and text.endswith("\na note\n")
    assert r"\textbf{0.921 (1)}" in tex and r"50 \%" in tex and tex.count(r"\\") == 3 * len(rows) + 1
    undefined = dataclasses.replace(rows[0].cells["ue"], mean=float("nan"), rank=None)
    assert forms.cell_text(MEASURES["ue"], undefined) == "–"


def test_intervals_thresholds_and_published_values_in_every_form(by_method):
    """Each cell's interval, chosen threshold and published value, and nothing in the place of another."""
    rows = table1(by_method, published="isic")
    text, tex = forms.markdown(rows).splitlines()[2:], forms.latex(rows).split("\\midrule\n")[1].splitlines()
    for index, row in enumerate(rows):
        lines = [line.removesuffix(r" \\").split(" & ") for line in tex[3 * index : 3 * index + 3]]
        for column, metric in enumerate(measures.table1(), 1):
            cell = row.cells[metric.name]
            interval, at = forms.interval_text(metric, cell), f"at {cell.threshold:.2f}" if cell.threshold else ""
            value, below, paper = (line[column] for line in lines)
            assert below == rf"{{\scriptsize {interval}}}" and interval in text[index].split("|")[column + 1]
            assert value.endswith(rf" {{\scriptsize {at}}}") if at else r"\scriptsize" not in value
            assert (
                f" {at} [" in text[index].split("|")[column + 1]
                if at
                else " at " not in text[index].split("|")[column + 1]
            )
            published = forms.published_text(metric, cell) if cell.published is not None else ""
            assert paper == (rf"{{\scriptsize {published}}}" if published else "")
        assert lines[2][0] == r"{\scriptsize paper}"
    assert r"{\scriptsize paper}" not in forms.latex(table1(by_method))


def test_latex_escapes(by_method):
    """What LaTeX would read as a command stands as text, also at the start of a line, after its line break."""
    (row,) = table1({"[a_b]*50%&#${}~^\\": by_method["center"]})
    tex = forms.latex([row], "95 % of U_E")
    assert r"{[}a\_b]{*}50\%\&\#\$\{\}\textasciitilde{}\textasciicircum{}\textbackslash{} & " in tex
    assert r"\caption{95 \% of U\_E}" in tex
    assert tex.count("&") - tex.count(r"\&") == 3 * len(measures.table1())


def test_miscalibrated_classes_cannot_overlap(by_method):
    """A deliberate difference: where every data set's gap is negative, the threshold is 0, not below it."""
    gaps = np.array([-0.2, -0.1, 0.1, 0.0])
    scores = {}
    for name, overconfident in (("baseline", 1.0), ("center", 0.9)):  # nothing is there where it says 1 or 0.9
        of = count(np.full(4, overconfident), "probability", np.ones(4), np.zeros(4))
        values = {**by_method[name].values, "confidence_gap": gaps}
        scores[name] = statistics.Scores(tuple("abcd"), values, of)
        assert metrics.confidence_gap(of) < 0
    found = statistics.miscalibration(scores)
    assert (found.threshold, found.under, found.over) == (0.0, 0.25, 0.5)


def test_precision_and_recall_keep_the_order_of_thresholds():
    """A deliberate difference: the curve is joined from threshold to threshold, also where precision falls."""
    score = np.array([0.5, 0.45, 0.2, 0.1])  # the most uncertain voxel is right, the next one wrong
    counts = count(score, "probability", np.array([1, 1, 0, 0]), np.array([1, 0, 0, 1]))
    of = {"baseline": statistics.scores({"a": counts})}
    precision, recall = metrics.error_precision(counts, undefined=1), metrics.error_recall(counts)
    assert (np.diff(precision) < 0).any() and (np.diff(precision) > 0).any()
    curve = figures.thresholds_figure(of).axes[2].lines[0]
    np.testing.assert_array_equal(curve.get_xdata(), precision)
    np.testing.assert_array_equal(curve.get_ydata(), recall)
