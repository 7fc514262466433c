"""The QU-BraTS score is the challenge's, at its own thresholds too, and its edge cases are what the formulas say."""

import pathlib

import numpy as np
import pytest

from tfunc.kinds import MapError
from tfunc.scoring.qu_brats import qu_brats

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "goldens" / "subject_level" / "qubrats" / "given.npz")
REGIONS = {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
GIVEN = [
    (case, levels) for case in GOLDEN["cases"] for levels in (40, 10, 100) if f"{case}__auc_n{levels}" in GOLDEN.files
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("case", "levels"), GIVEN)
def test_golden(case, levels, dtype):
    """The three areas and the paper's score, for the challenge's map over 100, divided in either dtype."""
    for index, (region, labels) in enumerate(REGIONS.items()):
        uncertainty = GOLDEN[f"{case}__unc_{region}"].astype(dtype) / dtype(100)
        masks = (np.isin(GOLDEN[f"{case}__{name}"], labels) for name in ("pred", "ref"))
        found = qu_brats(uncertainty, *masks, GOLDEN[f"{case}__brain_mask"], levels)
        areas = [found["dice_auc"], found["ftp_auc"], found["ftn_auc"]]
        np.testing.assert_allclose(areas, GOLDEN[f"{case}__auc_n{levels}"][index], atol=1e-6)
        assert found["score"] == pytest.approx(GOLDEN[f"{case}__paper_score_n{levels}"][index], abs=1e-6)
        if levels == 40:
            np.testing.assert_allclose(found["thresholds"] * 100, GOLDEN[f"{case}__thresholds_n40"][::-1])
            curves = np.stack([found["dice"], found["ftp"], found["ftn"]], axis=1)
            np.testing.assert_allclose(
                curves, GOLDEN[f"{case}__curves_n40"][::-1, 3 * index : 3 * index + 3], atol=1e-6
            )


@pytest.mark.parametrize("levels", [1, 10, 40, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_value_on_a_threshold_stays(levels, dtype):
    """A voxel of exactly 100 k / levels in the challenge's scale, over 100, is kept at the threshold k / levels."""
    steps = np.arange(levels + 1)
    uncertainty = (100 * steps / levels).astype(dtype) / dtype(100)
    found = qu_brats(uncertainty, np.ones(levels + 1), np.ones(levels + 1), levels=levels)
    np.testing.assert_allclose(found["ftp"], 1 - (steps + 1) / (levels + 1), atol=1e-12)


def test_constant_maps():
    """All at 1: nothing is ever filtered at 1, half a step of the area is lost; all at 0: Dice itself, nothing filtered."""
    rng = np.random.default_rng(8)
    prediction, label = rng.random((2, 6, 7, 8)) < 0.4
    sure, unsure = (qu_brats(np.full(label.shape, value), prediction, label) for value in (0.0, 1.0))
    assert unsure["ftp_auc"] == unsure["ftn_auc"] == pytest.approx(1 - 0.5 / 40)
    assert (sure["ftp_auc"], sure["ftn_auc"]) == (0, 0)
    dice = 2 * (prediction & label).sum() / (prediction.sum() + label.sum())
    assert sure["dice_auc"] == pytest.approx(dice)


def test_nothing_to_find():
    """Both empty: Dice 1 and no true positive to filter; the score is lost by filtered true negatives only."""
    nothing = np.zeros((4, 5))
    found = qu_brats(np.full((4, 5), 0.5), nothing, nothing)
    assert (found["dice_auc"], found["ftp_auc"]) == (1, 0)
    assert found["score"] == pytest.approx((3 - found["ftn_auc"]) / 3)
    assert qu_brats(np.zeros(0), np.zeros(0), np.zeros(0))["score"] == 1


def test_the_mask_limits_the_shares_only():
    """Dice sees every voxel, true positives and negatives those in the mask."""
    prediction = label = np.array([1, 1, 0, 0])
    found = qu_brats([0.9, 0, 0.9, 0], prediction, label, mask=[0, 1, 0, 1], levels=10)
    assert found["ftp_auc"] == found["ftn_auc"] == 0
    found = qu_brats([0.9, 0, 0, 0], prediction, [0, 1, 0, 0], mask=[0, 1, 0, 1], levels=10)
    assert found["dice"].tolist() == pytest.approx([1] * 9 + [2 / 3] * 2)


def test_what_cannot_be_scored():
    """The challenge's own scale, NaN, shapes and levels that are none are refused in one line."""
    mask = np.ones((3, 4))
    with pytest.raises(MapError, match=r"values from 0 to 100 where \[0, 1\]"):
        qu_brats(np.linspace(0, 100, 12).reshape(3, 4), mask, mask)
    with pytest.raises(MapError, match="NaN"):
        qu_brats(np.full((3, 4), np.nan), mask, mask)
    with pytest.raises(MapError, match="shapes that differ"):
        qu_brats(np.zeros((3, 4)), mask, mask[:1])
    for levels in (0, 2.5):
        with pytest.raises(MapError, match="levels"):
            qu_brats(np.zeros((3, 4)), mask, mask, levels=levels)
