"""Simulated subjects with known probabilities: intervals cover and thresholds miss what was promised, over 1,000 repetitions."""

import math

import numpy as np
import pytest

from data_prep.base.errors import UserError
from tfunc.scoring import conformal, odds
from tfunc.scoring.temperature import BLOCK, temperature

REPETITIONS = 1000


@pytest.mark.parametrize(("count", "alpha"), [(9, 0.1), (19, 0.05), (20, 0.1), (57, 0.1), (57, 0.2)])
def test_coverage(count, alpha):
    """A new subject lies inside in ceil((n + 1)(1 - alpha)) / (n + 1) of the repetitions, within three binomial errors."""
    rng = np.random.default_rng(count)
    predicted = rng.lognormal(8, 2, (REPETITIONS, count + 1))
    true = predicted * rng.lognormal(0, 0.5, predicted.shape)
    inside = 0
    for own, made in zip(true, predicted, strict=True):
        width = conformal.interval(conformal.volume_residuals(own[:-1], made[:-1]), alpha)
        low, high = conformal.volume_interval(made[-1], width)
        inside += low <= own[-1] <= high
    expected = math.ceil(round((count + 1) * (1 - alpha), 9)) / (count + 1)
    assert conformal.coverage(count, alpha) == pytest.approx(expected)
    assert inside / REPETITIONS == pytest.approx(expected, abs=3 * math.sqrt(expected * (1 - expected) / REPETITIONS))


@pytest.mark.long
@pytest.mark.parametrize(("count", "alpha"), [(19, 0.05), (30, 0.1), (60, 0.2)])
def test_risk_is_controlled(count, alpha):
    """The mean share of lesion voxels that a new subject's outer mask misses is at most alpha, and not idly below it."""
    rng = np.random.default_rng(count)
    known = 1 / (1 + np.exp(-rng.normal(rng.normal(0, 1.5, (400, 1)), 2, (400, 80)))).astype(np.float32)
    label = rng.random(known.shape) < known
    lesions = [one[there] for one, there in zip(known, label, strict=True) if there.any()]
    curves = np.array([odds.missed(one) for one in lesions])
    losses = []
    for _ in range(REPETITIONS // 100):  # each repetition draws its subjects, and the new one, from the 400
        drawn = [rng.permutation(len(lesions))[: count + 1] for _ in range(100)]
        chosen = np.zeros((100, len(lesions)))
        for row, names in zip(chosen, drawn, strict=True):
            row[names[:-1]] = 1
        for total, names in zip(chosen @ curves, drawn, strict=True):
            threshold = odds.thresholds()[conformal.risk_control(total, count, alpha)]
            losses.append((lesions[names[-1]] < threshold).mean())
    assert alpha - 2 / (count + 1) <= np.mean(losses) <= alpha


def test_temperature_of_a_histogram():
    """A temperature from cells equals that of the voxels within 1e-5, and the known one within 1 %, over all subjects."""
    rng = np.random.default_rng(1)
    pooled, every = odds.empty(), []
    for _ in range(20):
        logits = rng.normal(-2, 3, 20_000)
        label = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
        probability = (1 / (1 + np.exp(-2.2 * logits))).astype(np.float32)
        pooled += odds.count(probability, label)
        every.append((label, probability))
    label, probability = (np.concatenate(part) for part in zip(*every, strict=True))
    found = pooled.fitted()
    exact = temperature(label, probability=probability)
    assert found.temperature == pytest.approx(exact.temperature, rel=1e-5)
    assert found.likelihood == pytest.approx(exact.likelihood, abs=1e-6)
    assert found.temperature == pytest.approx(2.2, rel=0.01)
    assert pooled.voxels.sum() == label.size
    assert odds.empty().fitted() is None


def test_cells_are_conservative():
    """At every threshold the mask misses at most the share that was counted, whatever lies at a cell's edge."""
    edges = odds.thresholds()
    near = np.concatenate([edges, np.nextafter(edges, np.float32(1)), np.nextafter(edges, np.float32(0))])
    values = np.concatenate([near, np.float32([0, 0.5, 1]), np.random.default_rng(2).random(BLOCK, dtype=np.float32)])
    counted = odds.missed(values)
    true = np.searchsorted(np.sort(values), edges, side="left") / len(values)
    assert (true <= counted + 1e-12).all() and counted[0] == 0
    assert (np.diff(counted) >= 0).all() and (np.diff(edges) >= 0).all()
    drawn = values[-BLOCK:]
    true = np.searchsorted(np.sort(drawn), edges, side="left") / len(drawn)
    assert (odds.missed(drawn) - true).max() < 1e-3
    assert odds.missed(values[:0]) is None


def test_risk_control_by_hand():
    """Three subjects, alpha 0.5: the losses' sum may reach 0.5 * 4 - 1 = 1, a tie included."""
    total = [0, 0.2, 1.0, 1.0, 1.2, 3.0]
    assert conformal.risk_control(total, 3, 0.5) == 3
    assert conformal.risk_control(total, 3, 0.25) == 0  # exactly 1 / (n + 1): nothing may be missed


@pytest.mark.parametrize(("alpha", "count", "said"), [(0.05, 18, "19"), (0.1, 8, "9"), (0.01, 98, "99"), (0.1, 0, "9")])
def test_alphas_that_few_subjects_cannot_certify(alpha, count, said):
    """Below 1 / (n + 1) it is refused: how many there must be, and what these allow; one subject more certifies it."""
    with pytest.raises(UserError) as raised:
        conformal.risk_control([0, 0], count, alpha)
    assert f"expected {said} subjects with a lesion" in str(raised.value) and f"found {count}" in str(raised.value)
    assert count == 0 or f"{1 / (count + 1):.3g} or more" in str(raised.value)
    assert conformal.risk_control([0, 0], conformal.needed(alpha), alpha) == 1


@pytest.mark.parametrize("alpha", [0, 1, -0.1, float("nan")])
def test_alphas_that_are_no_shares(alpha):
    """A level is a share between 0 and 1."""
    with pytest.raises(UserError, match="a share between 0 and 1"):
        conformal.risk_control([0], 100, alpha)


def test_interval_by_hand():
    """The ceil((n + 1)(1 - alpha))-th smallest residual, in any order; infinite with too few, and the volume then unbounded."""
    residuals = [0.9, 0.1, 0.5, 0.3, 0.8, 0.2, 0.7, 0.4, 0.6]
    assert conformal.interval(residuals, 0.1) == 0.9
    assert conformal.interval(residuals, 0.5) == 0.5
    assert conformal.interval(residuals[:8], 0.1) == math.inf
    assert conformal.interval([], 0.1) == math.inf
    assert conformal.coverage(8, 0.1) == 1
    assert conformal.volume_interval(500, math.inf) == (0, math.inf)
    low, high = conformal.volume_interval(300, math.log(2))
    assert (low, high) == pytest.approx((100, 700))
    assert conformal.volume_interval(0, math.log(2))[0] == 0
    np.testing.assert_allclose(conformal.volume_residuals([0, 300], [0, 100]), [0, math.log(2)])


def test_a_width_beyond_all_numbers_is_no_bound():
    """As of a file that was edited: it is what an infinite one is, and no error of arithmetic."""
    from tfunc.scoring import conformal

    assert conformal.volume_interval(50.0, 1e6) == conformal.volume_interval(50.0, float("inf")) == (0.0, float("inf"))
