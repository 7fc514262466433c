"""Retention curves equal the peers' numbers at the scale of voxels, lesions and patients; ties and nothing at all are settled."""

import pathlib

import numpy as np
import pytest

from tfunc.kinds import MapError
from tfunc.scoring.retention import (
    FRACTIONS,
    lesion_f1_retention,
    lesion_precision_retention,
    patient_retention,
    voxel_retention,
)

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "goldens" / "subject_level" / "retention" / "given.npz")


def of(case, name, stable=True):
    """A peer's number; that of its run on stable ranks, where it depends on the order of equals."""
    key = f"{case}__{name}"
    return GOLDEN[f"{key}_stable" if stable and f"{key}_stable" in GOLDEN.files else key]


def test_golden_fractions():
    """The fractions of retained voxels are the peers'."""
    np.testing.assert_allclose(FRACTIONS, GOLDEN["fracs_linspace"], rtol=1e-15)


@pytest.mark.parametrize("case", GOLDEN["voxel_cases"])
def test_golden_voxels(case):
    """Dice and normalised Dice over the retained voxels, and the areas above."""
    given = (GOLDEN[f"vox_{case}__{name}"] for name in ("unc", "pred", "y"))
    uncertainty, prediction, label = given
    for normalised, name in ((False, "DSC"), (True, "nDSC")):
        found = voxel_retention(uncertainty, prediction, label, normalised=normalised)
        np.testing.assert_allclose(found.values, of(f"vox_{case}", f"ms_{name}_curve"), atol=1e-12)
        assert found.above == pytest.approx(float(of(f"vox_{case}", f"ms_{name}_aac")), abs=1e-12)
        assert found.values[-1] == pytest.approx(float(GOLDEN[f"vox_{case}__ms_{name.lower()}"]), abs=1e-12)


@pytest.mark.parametrize("case", GOLDEN["lesion_cases"])
def test_golden_precision_of_lesions(case):
    """LPPV as uncertain false positives are taken away."""
    found = lesion_precision_retention(GOLDEN[f"les_{case}__unc"], GOLDEN[f"les_{case}__types"])
    np.testing.assert_allclose(found.values, GOLDEN[f"les_{case}__lppv_curve"], atol=1e-12)
    assert found.above == pytest.approx(float(GOLDEN[f"les_{case}__lppv_aac"]), abs=1e-12)


@pytest.mark.parametrize("case", GOLDEN["lesion_f1_cases"])
def test_golden_f1_of_lesions(case):
    """F1 of lesions, with missed ones corrected in their turn, and with missed ones that stay missed."""
    uncertainty, outcomes = GOLDEN[f"lf1_{case}__unc"], GOLDEN[f"lf1_{case}__types"]
    found = lesion_f1_retention(uncertainty, outcomes)
    np.testing.assert_allclose(found.values, GOLDEN[f"lf1_{case}__with_fn_curve"], atol=1e-12)
    assert found.above == pytest.approx(float(GOLDEN[f"lf1_{case}__with_fn_aac"]), abs=1e-12)
    kept, missed = outcomes != "fn", int(GOLDEN[f"lf1_{case}__n_fn"])
    found = lesion_f1_retention(uncertainty[kept], outcomes[kept], missed)
    if f"lf1_{case}__nofn_error" in GOLDEN.files:  # the peer divides by zero: nothing was found, so nothing is right
        assert found.above == 1
        return
    np.testing.assert_allclose(found.values, GOLDEN[f"lf1_{case}__nofn_curve"], atol=1e-12)
    assert found.above == pytest.approx(float(GOLDEN[f"lf1_{case}__nofn_aac"]), abs=1e-12)


@pytest.mark.parametrize("case", GOLDEN["patient_cases"])
def test_golden_patients(case):
    """A metric's mean as uncertain patients are corrected: the area under it, and that of its error."""
    uncertainty, metric = GOLDEN[f"pat_{case}__unc"], GOLDEN[f"pat_{case}__metric"]
    found = patient_retention(uncertainty, metric)
    np.testing.assert_allclose(found.values, of(f"pat_{case}", "curve"), atol=1e-12)
    assert found.under == pytest.approx(float(of(f"pat_{case}", "auc")), abs=1e-12)
    error = patient_retention(uncertainty, 1 - metric, corrected=0)
    if len(np.unique(uncertainty)) == len(uncertainty):
        assert error.under == pytest.approx(float(GOLDEN[f"pat_{case}__error_auc"]), abs=1e-12)
    assert error.under + found.under == pytest.approx(1)


def test_voxels_outside_the_mask_are_none():
    """A mask is the same as leaving voxels out; shapes of any kind are voxels."""
    rng = np.random.default_rng(4)
    uncertainty, prediction, label, mask = rng.random((6, 7, 8)), *(rng.random((3, 6, 7, 8)) > 0.5)
    found = voxel_retention(uncertainty, prediction, label, mask)
    np.testing.assert_array_equal(
        found.values, voxel_retention(uncertainty[mask], prediction[mask], label[mask]).values
    )


def test_all_foreground_and_no_voxels():
    """Where all is foreground there is no false positive to weight; of no voxels nothing is wrong."""
    label, prediction = np.ones(10), np.arange(10) < 5
    found = voxel_retention(np.arange(10), prediction, label, normalised=True)
    assert found.values[-1] == pytest.approx(2 * 5 / 15) and found.values[0] == 1
    assert voxel_retention([], [], []).under == 1


def test_no_lesions():
    """Nothing to find and nothing found is right, something missed is not, and a precision of nothing is undefined."""
    assert lesion_f1_retention([], []).under == lesion_f1_retention([], [], missed=0).under == 1
    assert lesion_f1_retention([], [], missed=2).under == 0
    assert np.isnan(lesion_precision_retention([], []).values).all()


def test_what_cannot_be_retained():
    """NaN, shapes that differ and outcomes that are none are refused in one line."""
    with pytest.raises(MapError, match="shapes that differ"):
        voxel_retention(np.ones((2, 3)), np.ones((2, 3)), np.ones(3))
    with pytest.raises(MapError, match="NaN"):
        voxel_retention([0, np.nan], [0, 1], [0, 1])
    with pytest.raises(MapError, match="found fn"):
        lesion_precision_retention([0.1, 0.2], ["tp", "fn"])
    with pytest.raises(MapError, match="shapes that differ"):
        lesion_f1_retention([0.1, 0.2], ["tp"])
    with pytest.raises(MapError, match="found none"):
        patient_retention([], [])
