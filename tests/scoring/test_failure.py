"""Failure detection: which score ranks subjects by their Dice, between no order and the best, and what a ranking then says."""

import numpy as np
import pytest

from tfunc.scoring import failure, review, risk_coverage
from tfunc.scoring.failure import COMBINATION


def subjects(count=60, seed=0):
    """(dice, scores): one good score, one backwards, one of noise, one that has none."""
    rng = np.random.default_rng(seed)
    dice = rng.beta(6, 2, count)
    scores = {
        "mean_inside": 1 - dice + rng.normal(0, 0.05, count),
        "top": dice + rng.normal(0, 0.05, count),
        "mean_all": rng.random(count),
        "pairwise_dice": np.full(count, np.nan),
    }
    return dice, scores


def test_scores_between_random_and_oracle():
    """The good score closes most of the way and its interval says so; the backward one is below 0 and named; NaN has no row."""
    dice, scores = subjects()
    found = {one.score: one for one in failure.detections({"m": scores}, {"m": dice})}
    assert list(found) == ["mean_inside", "top", "mean_all"]
    good, bad = found["mean_inside"], found["top"]
    expected = risk_coverage.risk_coverage(scores["mean_inside"], 1 - dice)
    assert good.values["aurc"] == pytest.approx(expected["aurc"])
    assert good.values["closed"] == pytest.approx(
        (expected["random"] - expected["aurc"]) / (expected["random"] - expected["oracle"])
    )
    assert 0.8 < good.low["closed"] < good.values["closed"] < good.high["closed"] <= 1
    assert bad.backwards and not good.backwards and not found["mean_all"].backwards
    assert good.failed == np.count_nonzero(dice < 0.7) and good.values["auroc"] > 0.9 > bad.high["auroc"]
    assert failure.best(list(found.values())) is good


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Of many sets from one source, 95 % intervals of Spearman's correlation hold that of the source about so often."""
    truth, held = subjects(20000, 1), 0
    source = risk_coverage.spearman(truth[1]["mean_all"] * 0.3 + 1 - truth[0], 1 - truth[0])
    for seed in range(60):
        dice, scores = subjects(60, seed + 10)
        mixed = {"mean_inside": scores["mean_all"] * 0.3 + 1 - dice}
        (one,) = failure.detections({"m": mixed}, {"m": dice}, resamples=200)
        held += one.low["spearman"] <= source <= one.high["spearman"]
    assert held >= 50


def test_one_risk_for_all():
    """There is no way to close where all are alike; no failure leaves AUROC undefined, nothing is a traceback."""
    (one,) = failure.detections({"m": {"top": np.arange(5.0)}}, {"m": np.full(5, 0.8)})
    assert np.isnan(one.values["closed"]) and np.isnan(one.values["auroc"]) and one.failed == 0


def test_what_is_left_unreviewed():
    """After none, one, two subjects were looked at, the mean Dice of the others."""
    dice = np.array([0.9, 0.2, 0.6])
    np.testing.assert_allclose(failure.left_unreviewed(np.array([1, 2, 0]), dice), [1.7 / 3, 0.75, 0.9])


def test_the_best_score_of_the_choosing_set_ranks():
    """Chosen where its AURC is lowest; predicted Dice with an interval from fits that left each subject out."""
    dice, scores = subjects()
    voxels = 1000 * (1 + np.arange(60.0))
    chosen = review.choose(scores, dice, voxels, voxels * 1.1, combine=False)
    assert chosen is not None and chosen.score == "mean_inside" and "pairwise_dice" not in chosen.aurc
    assert 0 < chosen.dice_width < 0.2 and chosen.coverage == pytest.approx(55 / 61)
    others, their = subjects(40, 5)
    names = [f"p{index}" for index in range(40)]
    listed = review.review(names, chosen, their, others, np.full(40, 5000.0), np.full(40, 0.001))
    assert [one.rank for one in listed] == list(range(1, 41))
    assert listed[0].value == max(their["mean_inside"]) and listed[0].score == "mean_inside"
    inside = [one.low <= one.dice <= one.high for one in listed]
    assert np.mean(inside) >= 0.75
    assert all(one.volume == 5 and one.volume_low < 5 < one.volume_high for one in listed)


def test_scores_together_are_taken_where_they_are_better():
    """Two scores that each know half of the risk rank better together, measured on subjects that the fit left out."""
    rng = np.random.default_rng(0)
    one, other = rng.random(80), rng.random(80)
    dice = np.clip(1 - 0.5 * one - 0.5 * other, 0, 1)
    chosen = review.choose({"top": one, "patch": other}, dice, np.ones(80), np.ones(80))
    assert chosen is not None and chosen.score == COMBINATION
    assert chosen.aurc[COMBINATION] < min(chosen.aurc["top"], chosen.aurc["patch"])
    noise = review.choose({"top": 1 - dice, "patch": rng.random(80)}, dice, np.ones(80), np.ones(80))
    assert noise is not None and noise.score == "top"


def test_without_subjects_to_choose_on():
    """Too few, or none: the default score ranks, and no Dice is predicted."""
    dice, scores = subjects(7)
    assert review.choose(scores, dice, np.ones(7), np.ones(7)) is None
    listed = review.review([f"p{index}" for index in range(7)], None, scores, dice, np.ones(7), np.ones(7))
    assert listed[0].score == review.DEFAULT and np.isnan(listed[0].predicted)
    assert listed[0].volume_low == 0 and np.isinf(listed[0].volume_high)
