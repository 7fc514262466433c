"""Lesion-wise scores equal the challenge's own code, its edge cases by name, and count as its rules say."""

import dataclasses
import pathlib

import numpy as np
import pytest

from tfunc.kinds import MapError
from tfunc.scoring.components import components
from tfunc.scoring.lesion_wise import CHALLENGES, PENALTY, lesion_wise

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "goldens" / "subject_level" / "lesionwise" / "given.npz")
REGIONS = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
GIVEN = [tuple(key.split("__BraTS-")) for key in GOLDEN.files if "__BraTS-" in key and "_lesions_" not in key]
COLUMNS = {
    "Num_TP": "true_positives",
    "Num_FP": "false_positives",
    "Num_FN": "false_negatives",
    "Sensitivity": "sensitivity",
    "Specificity": "specificity",
    "Legacy_Dice": "legacy_dice",
    "Legacy_HD95": "legacy_hd95",
    "GT_Complete_Volume": "label_volume",
    "LesionWise_Score_Dice": "dice",
    "LesionWise_Score_HD95": "hd95",
}


def of(case, region):
    labels = REGIONS[region]
    spacing = GOLDEN[f"{case}__spacing"] if f"{case}__spacing" in GOLDEN.files else (1, 1, 1)
    return np.isin(GOLDEN[f"{case}__pred"], labels), np.isin(GOLDEN[f"{case}__ref"], labels), spacing


@pytest.mark.parametrize(("case", "challenge"), GIVEN)
def test_golden(case, challenge):
    """Scores, counts, what is said of the whole region, and each lesion of the label."""
    for row, region in zip(GOLDEN[f"{case}__BraTS-{challenge}"], GOLDEN["regions"], strict=True):
        found = lesion_wise(*of(case, str(region)), challenge)
        for column, expected in zip(GOLDEN["columns"], row, strict=True):
            assert found[COLUMNS[str(column)]] == pytest.approx(expected, rel=1e-9, abs=1e-9), (region, column)
        table = [(lesion.volume, lesion.dice, lesion.hd95, lesion.matched) for lesion in found["lesions"]]
        expected = GOLDEN[f"{case}__BraTS-{challenge}_lesions_{region}"][:, 1:]
        expected = np.where(np.isinf(expected), PENALTY, expected)
        np.testing.assert_allclose(sorted(table), sorted(expected.tolist()), rtol=1e-9, atol=1e-9)


def test_golden_is_of_every_challenge():
    """The three challenges that differ are tested; the other two count as GLI does."""
    assert {challenge for _, challenge in GIVEN} == {"GLI", "MEN", "MET"}
    assert CHALLENGES["SSA"] == CHALLENGES["PED"] == CHALLENGES["GLI"]


def boxes(*corners, size=4, shape=(30, 30, 30)):
    """A mask of cubes at these first corners."""
    mask = np.zeros(shape, np.uint8)
    for corner in corners:
        mask[tuple(slice(at, at + size) for at in corner)] = 7
    return mask


def test_small_lesions_are_left_out():
    """A lesion of 50 mm^3 costs nothing when missed, one of 51 counts; what hits a small one is no false positive."""
    label = np.zeros((20, 20, 20))
    label[2:7, 2:7, 2:4] = 1  # 50 voxels
    nothing = np.zeros_like(label)
    missed = lesion_wise(nothing, label, (1, 1, 1))
    assert (missed["dice"], missed["hd95"], missed["false_negatives"]) == (1, 0, 0)
    assert lesion_wise(label, label, (1, 1, 1))["false_positives"] == 0
    label[7, 2, 2] = 1
    missed = lesion_wise(nothing, label, (1, 1, 1))
    assert (missed["dice"], missed["hd95"], missed["false_negatives"]) == (0, 374, 1)
    assert lesion_wise(nothing, label, (1, 0.5, 1))["dice"] == 1  # millimetres, not voxels, are counted


def test_a_false_positive_costs_the_penalty():
    """However small it is; and a component that bridges two lesions is matched to both and is none."""
    label = boxes((2, 2, 2), (20, 20, 20))
    extra = label.copy()
    extra[12, 28, 1] = 1
    found = lesion_wise(extra, label, (1, 1, 1))
    assert (found["false_positives"], found["true_positives"]) == (1, 2)
    assert found["dice"] == pytest.approx(2 / 3) and found["hd95"] == pytest.approx(374 / 3)
    bridge = label.copy()
    for at in range(5, 21):
        bridge[at, at, at] = 1
    found = lesion_wise(bridge, label, (1, 1, 1))
    assert found["false_positives"] == 0 and [lesion.matched for lesion in found["lesions"]] == [1, 1]


def test_close_lesions_are_one():
    """Cubes four apart merge when grown by three voxels (GLI) and stay two when grown by one (MET)."""
    label = boxes((2, 2, 2), (2, 2, 10))
    assert len(lesion_wise(label, label, (1, 1, 1), "GLI")["lesions"]) == 1
    assert len(lesion_wise(label, label, (1, 1, 1), "MET")["lesions"]) == 2


def test_a_flat_lesion_in_a_volume():
    """One of a single slice keeps its surfaces across the slices; a volume of a single slice is an image."""
    label = np.zeros((9, 30, 30), bool)
    label[4, 5:25, 5:25] = True
    moved = np.roll(label, 2, axis=0)
    assert lesion_wise(moved, label, (3, 1, 1))["hd95"] == 6
    one, other = label[4], np.roll(label[4], 3, axis=1)
    assert lesion_wise(one, other, (1, 1)) == lesion_wise(one[None], other[None], (5, 1, 1))


def test_what_cannot_be_scored():
    """A challenge that is not known is refused, and shapes that differ; both in one line."""
    mask = boxes((2, 2, 2))
    with pytest.raises(MapError, match=r"GLI, SSA, PED, MEN, MET, found 'BraTS'"):
        lesion_wise(mask, mask, (1, 1, 1), "BraTS")
    with pytest.raises(MapError, match="shapes that differ"):
        lesion_wise(mask, mask[..., :1], (1, 1, 1))


def test_components():
    """They touch by corners, are numbered in order, and say where they are, of any box of the array."""
    mask = np.zeros((8, 9, 10), bool)
    mask[2, 2, 2] = mask[3, 3, 3] = mask[6, 7, 8] = True
    found = components(mask)
    assert found.count == 2 and found.sizes().tolist() == [2, 1]
    assert found.boxes() == [(slice(2, 4),) * 3, (slice(6, 7), slice(7, 8), slice(8, 9))]
    whole = found.within(tuple(slice(0, size) for size in mask.shape))
    np.testing.assert_array_equal(whole != 0, mask)
    np.testing.assert_array_equal(found.within((slice(3, 7), slice(0, 8), slice(0, 20)))[..., :10], whole[3:7, :8])
    nothing = components(np.zeros((4, 5), bool))
    assert (nothing.count, nothing.boxes(), nothing.sizes().size) == (0, [], 0)
    assert not nothing.within((slice(0, 2), slice(0, 2))).any()
    assert dataclasses.is_dataclass(nothing)
