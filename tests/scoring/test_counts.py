"""Counts of uncertainty and of calibration, each by itself: plain NumPy, and the same as both in one pass."""

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import numpy as np
import pytest

from tfunc import kinds
from tfunc.kinds import KINDS, MapError
from tfunc.scoring import binary
from tfunc.scoring import counts as counting
from tfunc.scoring.binary import count
from tfunc.scoring.counts import EDGES, THRESHOLDS, calibration_counts, uncertainty_counts

VALUES = st.one_of(st.sampled_from([0.0, 0.05, 0.1, 0.5, 0.7, 0.95, 1.0, float(np.float32(0.1))]), st.floats(0, 1))


@st.composite
def maps(draw):
    """(map, prediction, target, mask or None) of one dtype and shape, the map not constant."""
    size, dtype = draw(st.integers(2, 40)), draw(st.sampled_from([np.float32, np.float64]))
    values = draw(hypothesis.extra.numpy.arrays(np.float64, size, elements=VALUES)).astype(dtype)
    values[:2] = 0, 0.9
    bits = draw(hypothesis.extra.numpy.arrays(np.uint8, size, elements=st.integers(0, 7)))
    return values, bits & 1, bits >> 1 & 1, bits >> 2 if draw(st.booleans()) else None


def plainly(values, prediction, target, mask):
    """Both counts by loops over voxels."""
    voxels, bins, sums = np.zeros((12, 2, 2, 2), int), np.zeros((10, 2, 2), int), np.zeros((10, 2))
    for index, value in enumerate(values):
        inside = 1 if mask is None else int(mask[index])
        level = sum(bool(value > values.dtype.type(t)) for t in THRESHOLDS)
        at = max(b for b in range(10) if EDGES[b] <= float(value))
        voxels[level, inside, prediction[index], target[index]] += 1
        bins[at, inside, target[index]] += 1
        sums[at, inside] += value
    return voxels, bins, sums


@hypothesis.settings(max_examples=200, deadline=None, derandomize=True, database=None)
@hypothesis.given(maps())
def test_against_plain_loops(made):
    """Each way of counting takes any map in [0, 1] and needs nothing of the other."""
    values, prediction, target, mask = made
    voxels, bins, sums = plainly(*made)
    np.testing.assert_array_equal(uncertainty_counts(values, prediction, target, mask), voxels)
    found = calibration_counts(values, target, mask)
    np.testing.assert_array_equal(found[0], bins)
    np.testing.assert_allclose(found[1], sums, rtol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_both_equal_one_pass(kind):
    """`count` is both of its kind's uncertainty and foreground probability, voxel for voxel."""
    kind = KINDS[kind]

    @hypothesis.settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @hypothesis.given(maps())
    def check(made):
        score, prediction, target, mask = made
        once = count(score, kind.name, prediction, target, mask, (-0.5, 1.25))
        limits = kind.limits(score, (-0.5, 1.25))
        uncertainty = kind.uncertainty_map(score, limits)
        probability = kind.foreground(score if limits is None else uncertainty, prediction)
        np.testing.assert_array_equal(uncertainty_counts(uncertainty, prediction, target, mask), once.uncertainty)
        voxels, sums = calibration_counts(probability, target, mask)
        np.testing.assert_array_equal(voxels, once.calibration)
        np.testing.assert_allclose(sums, once.probability, rtol=1e-9, atol=1e-15)

    check()


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_around_a_head_is_counted_at_once(kind, dtype):
    """The lowest cell is cut by no threshold, so its voxels need no look one by one; and its sums are those in their order."""
    assert not binary._tables(kind, dtype).exact[0]
    generator = np.random.default_rng(0)
    size = 3 * counting.BLOCK + 17
    score = (generator.random(size) * 1e-6).astype(dtype)  # of many magnitudes, whose sum depends on the order
    inside = generator.random(size) < 0.1
    score[inside] = generator.random(inside.sum())
    score[:2] = 0, 1
    prediction, target, mask = score > 0.5, generator.random(size) < 0.02, generator.random(size) < 0.2
    for own in (mask, None):
        found = count(score, kind, prediction, target, own, set_range=(0.0, 1.0))
        values = score if KINDS[kind].scale == "none" else kinds.rescaled(score, *KINDS[kind].limits(score, (0.0, 1.0)))
        probability = KINDS[kind].foreground(values, prediction)
        codes = counting.outcome_codes(prediction, target, own)
        keys = (values * values.dtype.type(1024)).astype(np.int64) * 8 + codes
        sums = np.zeros(1025 * 8)
        for start in range(0, size, counting.BLOCK):
            part = np.s_[start : start + counting.BLOCK]
            sums += np.bincount(keys[part], probability[part], minlength=len(sums))
        tables = binary._tables(kind, dtype)
        assert found.calibration.sum() == size
        exact = binary._exactly(KINDS[kind], *(each[tables.exact[keys >> 3]] for each in (values, probability, codes)))
        plain = binary._summed(tables, np.bincount(keys, minlength=len(sums)), sums)
        np.testing.assert_array_equal(found.uncertainty, (plain + exact).uncertainty)
        np.testing.assert_array_equal(found.probability[0], (plain + exact).probability[0])


def test_volumes_in_blocks(monkeypatch):
    """A volume of many blocks, in any memory order, counts as one."""
    rng = np.random.default_rng(0)
    values, (target, mask) = rng.random((5, 7, 9)), rng.random((2, 5, 7, 9)) < 0.5
    whole = uncertainty_counts(values, values > 0.5, target, mask), *calibration_counts(values, target, mask)
    monkeypatch.setattr(counting, "BLOCK", 13)
    turned = [np.asfortranarray(array) for array in (values, values > 0.5, target, mask)]
    pieces = uncertainty_counts(*turned), *calibration_counts(turned[0], *turned[2:])
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert whole[0].sum() == whole[1].sum() == values.size and whole[0].dtype == whole[1].dtype == np.int64


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1.1, -0.1])
def test_what_is_no_probability(wrong):
    """NaN and what lies outside [0, 1] is refused; rounding is not."""
    label = np.array([0, 1])
    for values in (np.array([0.5, wrong]), np.array([wrong, 0.5])):
        with pytest.raises(MapError, match=r"\[0, 1\]"):
            uncertainty_counts(values, label, label)
        with pytest.raises(MapError, match=r"\[0, 1\]"):
            calibration_counts(values, label)
    with pytest.raises(MapError, match="shapes that differ"):
        calibration_counts(np.zeros(3), label)
    assert calibration_counts(np.array([-1e-9, 1 + 1e-9]), label)[0][:, 1].tolist() == [[1, 0], *[[0, 0]] * 8, [0, 1]]
