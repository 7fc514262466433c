"""Counts and metrics equal the authors' numbers and brute-force loops, at every edge, for every dtype."""

import itertools
import json
import math
import pathlib

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import numpy as np
import pytest

from tfunc import kinds
from tfunc.scoring import counts as counting
from tfunc.scoring import metrics
from tfunc.scoring.binary import count
from tfunc.scoring.counts import EDGES, THRESHOLDS

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens" / "metrics"
CASES = json.loads((GOLDENS / "cases.json").read_text())
KIND = {"probabilities": "probability", "confidence": "error", "sigma": "sigma"}
DEFINED = [name for name in CASES if name != "aux_constant_uncertainty"]


def golden(name):
    case = CASES[name]
    arrays = dict(np.load(GOLDENS / f"{case.get('file', name)}.npz"))
    score = arrays["score"].astype(case["score_dtype"])
    return case, score, arrays["prediction"], arrays["target"], arrays.get("mask")


def counted(name):
    case, score, prediction, target, mask = golden(name)
    kind = KIND[case["entry"]]
    return case, count(score, kind, prediction, target, mask, case.get("global_minmax")), score.ndim


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", DEFINED)
def test_golden_outcomes(name):
    """Confusion counts are the reference's exactly, Dice and accuracy to rounding."""
    case, counts, _ = counted(name)
    o = metrics.outcome(counts)
    assert [o.tp, o.tn, o.fp, o.fn] == case["confusion_tp_tn_fp_fn_n"][:4]
    same(metrics.dice(counts), case["dice"])
    same(metrics.accuracy(counts), case["accuracy"])


@pytest.mark.parametrize("name", DEFINED)
def test_golden_calibration(name):
    """ECE under each weighting, and the bins, are the reference's, with and without the mask."""
    case, counts, dimensions = counted(name)
    for masked, which in ((False, "nomask"), (True, "mask")):
        for weighting in ("proportion", "log_proportion", "power_proportion", "mean_proportion"):
            if (expected := case.get(f"ece_{which}_{weighting}")) is None:
                continue
            same(metrics.calibration_error(counts, masked, weighting, dimensions), expected["ece"])
            if weighting == "proportion":
                curve = metrics.calibration(counts, masked)
                there = curve.count > 0
                assert there.tolist() == expected["bins_non_zero"]
                assert curve.count[there].tolist() == expected["bins_count"]
                same(curve.mean_probability[there], expected["bins_avg_confidence"])
                same(curve.positive_fraction[there], expected["bins_positive_fraction"])


@pytest.mark.parametrize("name", DEFINED)
def test_golden_range_of_probabilities(name):
    """The reference's ECE between two probabilities is ours with those voxels as the mask."""
    case, score, prediction, target, mask = golden(name)
    if case["entry"] == "probabilities":
        between = (score > 0.05) & (score < 0.95) & (True if mask is None else mask)
        counts = count(score, "probability", prediction, target, between)
        if counts.calibration[:, 1].sum():
            same(metrics.calibration_error(counts), case["ece_threshold_range_005_095"])


@pytest.mark.parametrize("name", DEFINED)
def test_golden_thresholds(name):
    """At each of the eleven thresholds: counts inside the uncertain set, corrections, benefits and overlaps."""
    case, counts, _ = counted(name)
    o, inside = metrics.outcome(counts), metrics.outcome(counts, masked=True)
    overlap = metrics.error_overlap(counts)
    assert [row["threshold"] for row in case["thresholds"]] == list(THRESHOLDS)
    for index, row in enumerate(case["thresholds"]):
        expected = row["correction"]
        for name in ("tpu", "tnu", "fpu", "fnu"):
            assert getattr(o, name)[index] == expected[name]
        if row["masked"]:
            fields = [inside.tp, inside.tn, inside.fp, inside.fn]
            fields += [u[index] for u in (inside.tpu, inside.tnu, inside.fpu, inside.fnu)]
            assert fields == row["masked"]
        same(metrics.corrected_dice(counts)[index], expected["corrected_dice"])
        same(metrics.corrected_accuracy(counts)[index], expected["corrected_accuracy"])
        same(metrics.added_dice(counts)[index], expected["corrected_add_dice"])
        same(metrics.added_accuracy(counts)[index], expected["corrected_add_accuracy"])
        assert metrics.benefits_inequality(counts)[index] == expected["dice_benefit"]
        assert metrics.accuracy_benefits(counts)[index] == expected["accuracy_benefit"]
        assert metrics.benefits(counts)[index] == (expected["corrected_dice"] > expected["dice"])
        same(metrics.error_precision(counts, undefined=1)[index], row["error_overlap"]["error_precision"])
        same(metrics.error_recall(counts, undefined=1)[index], row["error_overlap"]["error_recall"])
        same(1.0 if np.isnan(overlap[index]) else overlap[index], row["error_overlap"]["error_dice"])


def test_constant_uncertainty_is_an_error_where_the_reference_gives_nan():
    """A deliberate difference: a map without contrast is refused in one line, not scored as NaN."""
    case, score, prediction, target, mask = golden("aux_constant_uncertainty")
    assert math.isnan(case["ece_mask_proportion"]["ece"])
    with pytest.raises(kinds.MapError, match=r"one value everywhere, 0\.3"):
        count(score, "error", prediction, target, mask)
    with pytest.raises(kinds.MapError, match="one value everywhere"):
        count(score, "sigma", prediction, target, mask, (1.0, 1.0))


def test_rounding_beyond_one_is_clipped_where_the_reference_stops():
    """A deliberate difference: 1.0000001 counts as 1 and -1e-7 as 0; what is further out is refused."""
    label = np.array([0, 1, 1], np.uint8)
    near = count(np.array([-1e-7, 1.0000001, 0.5], np.float32), "probability", label, label)
    exact = count(np.array([0, 1, 0.5], np.float32), "probability", label, label)
    for name in ("uncertainty", "calibration", "probability"):
        np.testing.assert_array_equal(getattr(near, name), getattr(exact, name))
    for wrong in (1.00001, -0.00001, np.nan, np.inf, 255.0):
        with pytest.raises(kinds.MapError):
            count(np.array([0, wrong, 0.5]), "probability", label, label)
        with pytest.raises(kinds.MapError):
            count(np.array([0.0, 0.5, np.nan]), "error", label, label)


def test_sigma_outside_the_given_range_is_refused():
    """A sigma beyond the range that was asked for would be an uncertainty beyond [0, 1]."""
    label = np.array([0, 1], np.uint8)
    count(np.array([0.0, 2.0]), "sigma", label, label, set_range=(0.0, 2.0))
    with pytest.raises(kinds.MapError, match="range"):
        count(np.array([0.0, 2.1]), "sigma", label, label, set_range=(0.0, 2.0))


def test_empty_cases():
    """Both empty: Dice 1, overlap undefined. Empty target: removing all errors benefits, but not by the inequality."""
    zero = np.zeros(4, np.uint8)
    sure = count(np.zeros(4), "probability", zero, zero)
    assert metrics.dice(sure) == 1 and (metrics.corrected_dice(sure) == 1).all()
    assert np.isnan(metrics.error_overlap(sure)).all() and np.isnan(metrics.error_precision(sure)).all()
    assert not metrics.benefits(sure).any()
    wrong = count(np.array([0.6, 0.0, 0.0, 0.0]), "probability", np.array([1, 0, 0, 0]), zero)
    assert metrics.dice(wrong) == 0 and metrics.benefits(wrong).all() and not metrics.benefits_inequality(wrong).any()
    outside = count(np.zeros(4), "probability", zero, zero, mask=zero)
    assert np.isnan(metrics.calibration_error(outside)) and np.isnan(metrics.confidence_gap(outside))


def test_counts_beyond_float32():
    """More than 2^24 voxels in one bin are counted exactly."""
    voxels = (1 << 24) + 3
    score = np.full(voxels, 0.55, np.float32)
    target = np.zeros(voxels, bool)
    target[:5] = True
    counts = count(score, "probability", np.broadcast_to(np.True_, voxels), target)
    both = counts + counts
    curve = metrics.calibration(both)
    assert curve.count[5] == 2 * voxels and metrics.outcome(both).fp == 2 * (voxels - 5)
    assert curve.positive_fraction[5] == 10 / (2 * voxels)
    same(curve.mean_probability[5], np.float64(np.float32(0.55)))


def test_blocks_do_not_matter(monkeypatch):
    """A volume counts the same in one block as in many, whatever its memory order."""
    rng = np.random.default_rng(0)
    score = rng.random((7, 11, 13)).astype(np.float32)
    label, mask = rng.random((2, 7, 11, 13)) > 0.5
    whole = count(score, "probability", score > 0.5, label, mask)
    monkeypatch.setattr(counting, "BLOCK", 17)
    for arrays in ((score, score > 0.5, label, mask), map(np.asfortranarray, (score, score > 0.5, label, mask))):
        score_, *others = arrays
        pieces = count(score_, "probability", *others)
        np.testing.assert_array_equal(pieces.uncertainty, whole.uncertainty)
        np.testing.assert_array_equal(pieces.calibration, whole.calibration)
        np.testing.assert_allclose(pieces.probability, whole.probability, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_value_near_a_cut_falls_where_its_own_arithmetic_puts_it(dtype):
    """All float neighbours of each entropy cut, bin edge and cell edge: the fast path equals the plain comparison."""
    p = np.linspace(0, 0.5, 200_001)
    entropy = kinds.normalised_entropy(p)
    cuts = [p[np.searchsorted(entropy, t)] for t in THRESHOLDS]
    centers = np.array([*cuts, *(1 - c for c in cuts), *EDGES[1:-1], *np.arange(0, 1025, 7) / 1024, 0.5])
    steps = np.concatenate([np.arange(-60, 61) * float(np.finfo(dtype).eps) / 2, np.linspace(-3e-6, 3e-6, 101)])
    values = np.clip((centers[:, None] + steps).ravel().astype(dtype), 0, 1)
    levels = (kinds.normalised_entropy(values)[:, None] > np.array(THRESHOLDS)).sum(axis=1)
    bins = np.digitize(values, EDGES) - 1
    zero = np.zeros(values.shape, np.uint8)
    counts = count(values, "probability", zero, zero)
    assert counts.uncertainty[:, 1, 0, 0].tolist() == np.bincount(levels, minlength=12).tolist()
    assert counts.calibration[:, 1, 0].tolist() == np.bincount(bins, minlength=10).tolist()
    for value, level, one in zip(values[::53], levels[::53], bins[::53], strict=True):  # also one by one
        single = count(np.array([value]), "probability", [0], [0])
        assert single.uncertainty[level, 1, 0, 0] == 1 and single.calibration[one, 1, 0] == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rescaled_values_at_thresholds(dtype):
    """An uncertainty exactly at a threshold is not above it, in the array's own dtype."""
    thresholds = np.array(THRESHOLDS, dtype)
    values = np.concatenate([thresholds, np.nextafter(thresholds, dtype(1)), np.nextafter(thresholds, dtype(0))])
    assert counting.levels(values).tolist() == [*range(11), *range(1, 12), *range(11)]
    raw = (values.astype(np.float64) - kinds.EPSILON) / (1 - 2 * kinds.EPSILON)
    raw = np.concatenate([raw, np.linspace(0, 1, 501)]).astype(dtype)
    uncertainty = kinds.rescaled(raw, 0.0, 1.0)
    assert uncertainty.dtype == dtype
    label = np.arange(raw.size) % 2
    counts = count(raw, "sigma", label, label * 0, set_range=(0.0, 1.0))
    probability = kinds.error_probability(uncertainty, label)
    above = [[(uncertainty[label == y] > t).sum() for t in THRESHOLDS] for y in (0, 1)]
    assert [metrics.outcome(counts).tnu.tolist(), metrics.outcome(counts).fpu.tolist()] == above
    np.testing.assert_array_equal(
        counts.calibration[:, 1, 0], np.bincount(np.digitize(probability, EDGES) - 1, minlength=10)
    )


# Independent oracles: plain loops over voxels.

EDGY = st.sampled_from([0.0, 1.0, 0.5, 0.1, 0.2, 0.3, 0.7, 0.9, float(np.float32(0.1)), 1e-12, 1 - 1e-9, 0.999999])
VALUES = st.one_of(EDGY, st.floats(0, 1, allow_subnormal=False))


@st.composite
def subjects(draw, kind="probability"):
    size = draw(st.integers(1, 16))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    score = draw(hypothesis.extra.numpy.arrays(np.float64, size, elements=VALUES)).astype(dtype)
    bits = draw(hypothesis.extra.numpy.arrays(np.uint8, size, elements=st.integers(0, 7)))
    if kind == "error" and score.min() == score.max():
        score, bits = np.append(score, dtype(score[0] < 0.5)), np.append(bits, bits[0])
    return score, bits & 1, bits >> 1 & 1, bits >> 2


def plain_uncertainty(score, kind, limits):
    if kind == "probability":
        one = score.dtype.type(1)
        h = [sum(float(q * np.log(q)) for q in (one - p, p) if q > 0) for p in score]
        return [-x / math.log(2) for x in h], score
    low, high = limits or (score.min(), score.max())
    scaled = (score - low) / (high - low) * score.dtype.type(1 - 2e-5) + score.dtype.type(1e-5)
    return scaled, None


def brute_force(score, kind, prediction, target, mask, limits=None):
    """{metric: its value, or values by threshold} by loops over voxels, thresholds and bins; NaN where undefined."""
    uncertainty, probability = plain_uncertainty(score, kind, limits)
    if probability is None:
        half = [u * u.dtype.type(0.5) for u in uncertainty]
        probability = [u.dtype.type(1) - u if y else u for u, y in zip(half, prediction, strict=True)]

    def overlap(one, other, empty):
        both = sum(1 for a, b in zip(one, other, strict=True) if a and b)
        size = sum(map(bool, one)) + sum(map(bool, other))
        return 2 * both / size if size else empty

    error = 0.0
    inside = [index for index in range(len(score)) if mask[index]]
    for low, high in itertools.pairwise(EDGES):
        members = [index for index in inside if low <= float(probability[index]) < high]
        if members:
            gap = sum(float(probability[i]) for i in members) / len(members)
            gap -= sum(int(target[i]) for i in members) / len(members)
            error += abs(gap) * len(members) / len(inside)
    found = {"dice": overlap(prediction, target, 1.0), "calibration_error": error if inside else float("nan")}
    found |= {name: [] for name in BY_THRESHOLD}
    errors = [y != t for y, t in zip(prediction, target, strict=True)]
    for threshold in THRESHOLDS:
        limit = threshold if kind == "probability" else score.dtype.type(threshold)
        uncertain = [u > limit for u in uncertainty]
        hits = sum(1 for e, u in zip(errors, uncertain, strict=True) if e and u)
        kept = [y and not u for y, u in zip(prediction, uncertain, strict=True)]
        corrected = overlap(kept, target, 1.0)
        found["error_overlap"].append(overlap(errors, uncertain, float("nan")))
        found["error_precision"].append(hits / sum(uncertain) if any(uncertain) else float("nan"))
        found["error_recall"].append(hits / sum(errors) if any(errors) else float("nan"))
        found["corrected_dice"].append(corrected)
        found["benefits"].append(corrected > found["dice"])
        found["benefits_inequality"].append(any(target) and corrected > found["dice"])  # the same, by algebra
    return found


BY_THRESHOLD = (
    "error_overlap",
    "error_precision",
    "error_recall",
    "corrected_dice",
    "benefits",
    "benefits_inequality",
)
QUICK = hypothesis.settings(max_examples=400, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_against_brute_force(kind):
    """All that Table 1 and its curves rest on equals plain loops, on a thousand random and edge-laden subjects."""
    ranges = st.sampled_from([(0.0, 1.0), (0.0, 1.25), (-0.5, 1.0), (-1e-3, 3.0)]) if kind == "sigma" else st.none()

    @QUICK
    @hypothesis.given(subjects(kind), ranges)
    def check(subject, limits):
        score, prediction, target, mask = subject
        counts = count(score, kind, prediction, target, mask, limits)
        expected = brute_force(score, kind, prediction, target, mask, limits)
        found = {name: getattr(metrics, name)(counts) for name in expected}
        np.testing.assert_allclose(found.pop("calibration_error"), expected.pop("calibration_error"), 1e-9, 1e-12)
        np.testing.assert_allclose(*(np.hstack(list(of.values())) for of in (found, expected)), 1e-12)

    check()


@pytest.mark.long
@hypothesis.settings(QUICK, max_examples=200)
@hypothesis.given(subjects(), subjects())
def test_counts_add_up(one, other):
    """The counts of two subjects' voxels taken together are the sum of their counts."""
    joined = [np.concatenate(pair) for pair in zip(one, other, strict=True)]
    if one[0].dtype == other[0].dtype:
        total = count(one[0], "probability", *one[1:]) + count(other[0], "probability", *other[1:])
        both = count(joined[0], "probability", *joined[1:])
        np.testing.assert_array_equal(total.uncertainty, both.uncertainty)
        np.testing.assert_array_equal(total.calibration, both.calibration)
        np.testing.assert_allclose(total.probability, both.probability, rtol=1e-12, atol=1e-300)
