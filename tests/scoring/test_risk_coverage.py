"""Risk-coverage curves against fd-shifts, scikit-learn and SciPy, ties and small sets included."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from conftest import GOLDENS

from data_prep.base.errors import UserError
from tfunc.scoring import risk_coverage as rc

GIVEN = np.load(GOLDENS / "subject_level" / "risk_coverage" / "given.npz")
CASES = [str(name) for name in GIVEN["cases"]]


@pytest.mark.parametrize("case", CASES)
def test_fd_shifts(case):
    """Areas, excess, oracle, random and the curve itself are fd-shifts' numbers; rank correlation and AUROC segfail's."""
    of = {name.split("__")[1]: GIVEN[name] for name in GIVEN.files if name.startswith(case + "__")}
    found = rc.risk_coverage(of["uncertainty"], of["residuals"])
    for name, peer in (
        ("aurc", "fd_aurc"),
        ("augrc", "fd_augrc"),
        ("eaurc", "fd_eaurc"),
        ("oracle", "fd_oracle_untied_aurc"),
        ("random", "fd_random_aurc"),
    ):
        assert found[name] == pytest.approx(float(of[peer]), abs=1e-12), name
    np.testing.assert_allclose(found["coverage"], of["fd_coverages"], atol=1e-12)
    np.testing.assert_allclose(found["risk"], of["fd_selective_risks"], atol=1e-12)
    np.testing.assert_allclose(found["spearman"], -float(of["segfail_spearman"]), atol=1e-12)
    if np.isfinite(of["segfail_failauc"]):
        assert found["auroc"] == pytest.approx(float(of["segfail_failauc"]), abs=1e-12)


@pytest.mark.parametrize("case", ["continuous_ties_both", "binary_ties", "two_subjects_tied"])
def test_order_of_subjects_has_no_part(case):
    """Thirty orders of tied subjects give one number, to the bit of rounding."""
    scores, risks = GIVEN[f"{case}__uncertainty"], GIVEN[f"{case}__residuals"]
    rng, first = np.random.default_rng(0), rc.risk_coverage(scores, risks)
    for _ in range(30):
        order = rng.permutation(len(scores))
        found = rc.risk_coverage(scores[order], risks[order])
        for name in ("aurc", "augrc", "eaurc", "spearman"):
            np.testing.assert_allclose(found[name], first[name], atol=1e-12)


@pytest.fixture(scope="module")
def subjects():
    rng = np.random.default_rng(3)
    risks = np.clip(rng.beta(1, 4, 80), 0, 1)
    return np.round(risks + rng.normal(0, 0.2, 80), 1), risks


def test_failures_against_scikit_learn(subjects):
    """AUROC of Dice below the threshold with ties, and rank correlation, are others' numbers; all or none failed is NaN."""
    scores, risks = subjects
    found = rc.risk_coverage(scores, risks, failure=0.3)
    assert found["auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(risks > 0.3, scores))
    assert found["spearman"] == pytest.approx(scipy.stats.spearmanr(scores, risks).statistic)
    assert np.isnan(rc.risk_coverage(scores, risks, failure=2)["auroc"])
    assert np.isnan(rc.risk_coverage(scores, risks, failure=-1)["auroc"])


def test_a_dice_at_the_threshold_has_not_failed():
    """0.7 itself is no failure, whatever 1 - 0.7 is in binary."""
    assert np.isnan(rc.risk_coverage([0.1, 0.2], [1 - 0.7, 0.0])["auroc"])


def test_resampled_sets_one_by_one(subjects):
    """What is computed of all resampled sets at once is what each of them gives by itself, its oracle anew."""
    scores, risks = subjects
    indices = np.random.default_rng(1).integers(0, 80, (50, 80))
    found = rc.resampled(scores, risks, indices)
    for row, index in enumerate(indices):
        alone = rc.risk_coverage(scores[index], risks[index])
        for name in ("aurc", "augrc", "auroc", "spearman", "random", "oracle"):
            np.testing.assert_allclose(found[name][row], alone[name], atol=1e-12, err_msg=name)


def test_what_can_not_be_ranked():
    """Other shapes, nobody, and NaN are one line."""
    for scores, risks in (([1, 2], [1]), ([], []), ([[1]], [[1]]), ([np.nan, 1], [0, 1]), ([1, 2], [np.inf, 0])):
        with pytest.raises(UserError, match="scores and risks"):
            rc.risk_coverage(scores, risks)
