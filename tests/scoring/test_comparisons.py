"""Differences between methods are SciPy's and the bootstrap's of before; how many subjects one needs is what simulations give."""

import itertools
import time

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from made_up_classes import evaluate_classes, make_classes
from made_up_maps import evaluate_study, make_study, read_csv, undrawn, write
from scipy import stats

from tfunc.reporting import comparison_files
from tfunc.reporting.parts import Part
from tfunc.scoring import comparisons, sample_size, statistics
from tfunc.scoring.companions import COMPANIONS


def drawn(subjects=40, methods=3, seed=0):
    rng = np.random.default_rng(seed)
    subject = rng.random(subjects)
    return {f"m{i}": subject + rng.normal(0.02 * i, 0.1, subjects) for i in range(methods)}


def test_against_scipy():
    """Each pair has SciPy's p, the mean difference, and the interval that `statistics.interval` gives of the differences."""
    values = drawn()
    found = comparisons.compare(values)
    assert [(one.method, one.other) for one in found] == [("m0", "m1"), ("m0", "m2"), ("m1", "m2")]
    for one in found:
        difference = values[one.method] - values[one.other]
        assert one.p == pytest.approx(stats.wilcoxon(values[one.method], values[one.other]).pvalue)
        assert one.difference == pytest.approx(difference.mean()) and (one.subjects, one.skipped) == (40, 0)
        assert (one.low, one.high) == pytest.approx(statistics.interval(difference))
    assert found == comparisons.compare(values) != comparisons.compare(values, seed=1)


def test_undefined_pairs_are_skipped():
    """A subject that one of two methods lacks has no part in that pair, and is counted; without any pair nothing is defined."""
    values = drawn()
    values["m1"][:7] = np.nan
    values["m3"] = np.full(40, np.nan)
    by_pair = {(one.method, one.other): one for one in comparisons.compare(values)}
    one = by_pair["m0", "m1"]
    assert (one.subjects, one.skipped) == (33, 7)
    difference = values["m0"] - values["m1"]
    assert (one.low, one.high) == pytest.approx(statistics.interval(difference))
    assert one.p == pytest.approx(stats.wilcoxon(difference[7:]).pvalue)
    nothing = by_pair["m0", "m3"]
    assert nothing.subjects == 0 and np.isnan([nothing.difference, nothing.low, nothing.p, nothing.adjusted]).all()
    assert by_pair["m0", "m2"].adjusted <= 3 * by_pair["m0", "m2"].p + 1e-12  # of three tests, not of six


def test_equal_methods():
    """No difference at all: p 1 and an interval of 0; shares of 0 and 1 are compared as numbers; one method has no pair."""
    values = np.arange(10) % 3 == 0
    (one,) = comparisons.compare({"a": values, "b": values})
    assert (one.difference, one.low, one.high, one.p, one.adjusted) == (0, 0, 0, 1, 1)
    (one,) = comparisons.compare({"a": values, "b": ~values})
    assert one.difference == pytest.approx(-0.2)
    assert comparisons.compare({"a": values}) == []


def test_what_rounding_adds_is_no_rank():
    """Differences that are equal but for rounding are ties, as they are in exact numbers."""
    one = np.array([0.3, 0.7, 0.9, 0.1, 0.8, 0.6, 0.4, 0.5, 0.2, 1.1, 1.2])
    steps = np.array([1, 1, -1, 1, 1, 1, -1, 1, 1, 2, 2])
    assert len(np.unique(np.abs(one + 0.1 * steps - one))) > 2
    assert comparisons.signed_rank(one + 0.1 * steps - one) == pytest.approx(stats.wilcoxon(steps).pvalue)


@pytest.mark.parametrize("seed", range(8))
def test_few_differences_are_tested_exactly(seed):
    """Without ties p is SciPy's exact one up to fifty, with ties that of every way to give signs; then SciPy's normal one."""
    rng = np.random.default_rng(seed)
    for size in (1, 2, 6, 13, 14, 50):
        drawn = rng.normal(0.3, 1, size)
        expected = stats.wilcoxon(drawn, method="exact").pvalue
        assert comparisons.signed_rank(drawn) == pytest.approx(expected)
    tied = rng.integers(-3, 5, 12).astype(float)
    left = tied[tied != 0]
    place = stats.rankdata(np.abs(left))
    signs = np.array(list(itertools.product((0, 1), repeat=len(left))))
    sums, own = signs @ place, place[left > 0].sum()
    assert comparisons.signed_rank(tied) == pytest.approx(min(2 * min(np.mean(sums <= own), np.mean(sums >= own)), 1))
    many = rng.integers(-3, 5, 80).astype(float)
    assert comparisons.signed_rank(many) == pytest.approx(stats.wilcoxon(many).pvalue)


def test_ties_of_few_subjects_cost_nothing():
    """Ten methods, thirteen subjects and values of one digit: SciPy's way would take half a minute."""
    rng = np.random.default_rng(0)
    values = {f"m{index}": rng.random(13).round(1) for index in range(10)}
    start = time.process_time()
    assert len(comparisons.compare(values)) == 45 and time.process_time() - start < 5


@hypothesis.settings(derandomize=True, database=None, deadline=None)
@hypothesis.given(st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=12))
def test_holm(p):
    """Step by step, from the smallest: (tests left) x p, never below one before, at most 1; NaN is no test."""
    p = np.array(p, np.float64)
    tests, before, expected = int((~np.isnan(p)).sum()), 0.0, np.full(len(p), np.nan)
    for step, index in enumerate(sorted(np.flatnonzero(~np.isnan(p)), key=lambda at: p[at])):
        before = max(before, min((tests - step) * p[index], 1))
        expected[index] = before
    np.testing.assert_allclose(comparisons.holm(p), expected)


def test_chance_is_found_as_often_as_it_should():
    """Of 400 pairs of methods that do not differ, few have a p of 5 % or an interval without 0."""
    rng = np.random.default_rng(3)
    differences = rng.normal(0, 1, (400, 30))
    p = np.array([comparisons.signed_rank(row) for row in differences])
    low, high = comparisons.intervals(differences)
    assert 0.02 < np.mean(p <= 0.05) < 0.08
    assert 0.03 < np.mean((low > 0) | (high < 0)) < 0.1  # a percentile interval of 30 subjects is a little narrow


def test_a_width_is_the_bootstraps():
    """At as many subjects as there are it is the width of Table 1's interval; beyond it falls with the root of the number."""
    values = drawn()["m0"]
    low, high = statistics.interval(values)
    assert sample_size.width(values, 40) == pytest.approx(high - low)
    assert sample_size.width(values, 10) == pytest.approx(2 * sample_size.width(values, 40), rel=0.1)
    assert sample_size.width(values, 160) == pytest.approx(2 * 1.959964 * values.std(ddof=1) / np.sqrt(160), rel=1e-6)
    assert sample_size.width(values, 640) == pytest.approx(sample_size.width(values, 160) / 2)
    with_gaps = np.append(values, [np.nan] * 5)
    assert sample_size.width(with_gaps, 20) == sample_size.width(values, 20)
    for few in (values[:1], np.full(3, np.nan)):
        assert np.isnan([sample_size.width(few, 10), sample_size.needed(few, 0.02), sample_size.deviation(few)]).all()


def test_what_is_needed_is_enough():
    """With the number that it says, means of new subjects spread as wide as was wanted; without any spread one is enough."""
    rng = np.random.default_rng(4)
    values = rng.normal(0.8, 0.1, 4000)
    size = int(sample_size.needed(values, 0.05))
    means = rng.normal(0.8, 0.1, (4000, size)).mean(axis=1)
    assert np.ptp(np.percentile(means, (2.5, 97.5))) == pytest.approx(0.05, rel=0.05)
    assert sample_size.needed(np.full(5, 0.3), 0.02) == 1


def test_files(tmp_path, monkeypatch):
    """A row for each measure and pair, and each method's widths and numbers, of the columns of subjects.csv."""
    undrawn(monkeypatch)
    arrays = make_study(tmp_path, subjects=4)
    for subject, given in arrays.items():
        for kind, array in given.items():
            if kind in ("probability", "prediction"):
                noisy = array if kind == "prediction" else np.clip(array * 0.9, 0, 1)
                write_map(tmp_path, "other", subject, kind, noisy)
                write_map(tmp_path, "ours", subject, kind, array)
    for path in (tmp_path / "maps").glob("*.nii.gz"):
        path.unlink()
    folder = evaluate_study(tmp_path).folder
    rows = read_csv(folder / "comparisons.csv")
    means = [row.name for row in COMPANIONS.values() if row.has_mean]
    assert [row["measure"] for row in rows] == ["ece", "ue", "bnf", "bnf_inequality", "dice", *means]
    of = {row["measure"]: row for row in rows}
    assert (of["ece"]["method"], of["ece"]["other"], of["ece"]["subjects"]) == ("other", "ours", "4")
    subjects = read_csv(folder / "subjects.csv")
    one, other = ([float(row["ece"]) for row in subjects if row["method"] == name] for name in ("other", "ours"))
    assert float(of["ece"]["difference"]) == pytest.approx(np.mean(one) - np.mean(other))
    assert float(of["ece"]["p"]) == pytest.approx(stats.wilcoxon(one, other).pvalue)
    assert of["ece"]["direction"] == "lower" and of["dice"]["p"] == of["dice"]["p_holm"] == "1.0"
    sizes = read_csv(folder / "sample_sizes.csv")
    assert [(row["measure"], row["method"]) for row in sizes[:3]] == [
        ("ece", "other"),
        ("ece", "ours"),
        ("ue", "other"),
    ]
    assert int(sizes[1]["needed_0.02"]) == sample_size.needed(other, 0.02)
    assert float(sizes[1]["width_640"]) == pytest.approx(sample_size.width(other, 640))
    assert float(sizes[1]["deviation"]) == pytest.approx(np.std(other, ddof=1)) and sizes[1]["subjects"] == "4"


def write_map(folder, method, subject, kind, array):
    """A map of a method's folder."""
    write(folder / "maps" / method / f"{subject}_{kind}.nii.gz", array)


def test_each_at_its_own_threshold(tmp_path, monkeypatch):
    """What depends on a threshold is compared where Table 1 takes it: its mean is Table 1's."""
    undrawn(monkeypatch)
    make_classes(tmp_path)
    seen: list[Part] = []
    function = comparison_files.write_all
    monkeypatch.setattr(
        comparison_files, "write_all", lambda folder, parts: (seen.extend(parts), function(folder, parts))
    )
    folder = evaluate_classes(tmp_path).folder
    for part in seen:
        for measure, by_method in comparison_files.of_table(part).items():
            for row in part.rows:
                assert statistics.mean(by_method[row.method]) == pytest.approx(row.cells[measure].mean, nan_ok=True)
    assert {row["region"] for row in read_csv(folder / "sample_sizes.csv")} == {
        "mean",
        "whole",
        "core",
        "three",
        "classes",
    }
