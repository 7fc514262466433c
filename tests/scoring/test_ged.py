"""The energy distance is SSN's, binary and of several classes, and empty samples and labels are as it says."""

import pathlib

import numpy as np
import pytest

from tfunc.kinds import MapError
from tfunc.scoring.ged import distances, diversity, ged

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "goldens" / "subject_level" / "ged" / "given.npz")


def of(case):
    return GOLDEN[f"{case}__samples"], GOLDEN[f"{case}__references"]


@pytest.mark.parametrize("case", GOLDEN["ged_cases"])
def test_golden_binary(case):
    """GED^2 and the diversity of samples and of labels, empty ones among them."""
    samples, labels = of(f"ged_{case}")
    expected = [float(GOLDEN[f"ged_{case}__ssn_{name}"]) for name in ("ged", "diversity_samples", "diversity_refs")]
    assert [ged(samples, labels), diversity(samples), diversity(labels)] == pytest.approx(expected, abs=1e-9)
    assert ged(samples * 255, labels * 255) == pytest.approx(expected[0], abs=1e-9)


@pytest.mark.parametrize("case", ["ged_mc", "ged_mc_absent3"])
def test_golden_of_classes(case):
    """Of four classes, one of which may occur nowhere and then agrees everywhere."""
    samples, labels = of(case)
    found = [ged(samples, labels, 4), diversity(samples, 4), diversity(labels, 4)]
    np.testing.assert_allclose(found, GOLDEN[f"{case}__ssn"], atol=1e-9)


def test_against_loops():
    """Distances are what loops over pairs and classes give; without a number of classes, of those that occur."""
    rng = np.random.default_rng(6)
    maps = rng.choice([0, 1, 2, 4], size=(5, 6, 7))
    maps[0] = 0
    for classes, names in ((None, (1, 2, 4)), (5, (1, 2, 3, 4))):
        found = distances(maps, classes)
        for one, first in enumerate(maps):
            for other, second in enumerate(maps):
                pairs = [(first == name, second == name) for name in names]
                iou = [(a & b).sum() / (a | b).sum() if (a | b).any() else 1 for a, b in pairs]
                assert found[one, other] == pytest.approx(1 - np.mean(iou), abs=1e-12)


def test_one_rater_needs_no_axis():
    """A label of the shape of one sample is one rater's; the same set twice is at distance 0; nothing at all too."""
    rng = np.random.default_rng(6)
    samples = rng.random((4, 8, 9)) > 0.5
    assert ged(samples, samples[0]) == ged(samples, samples[:1]) > 0
    assert ged(samples, samples) == pytest.approx(0, abs=1e-12)
    assert ged(np.zeros((3, 8, 9)), np.zeros((8, 9))) == 0


def test_what_cannot_be_compared():
    """Shapes that differ, probabilities and classes that are too many are refused in one line."""
    samples = np.ones((3, 4, 5), int)
    with pytest.raises(MapError, match="shapes that differ"):
        ged(samples, np.ones((3, 4, 1), int))
    with pytest.raises(MapError, match="numbers between"):
        ged(samples * 0.5, samples)
    with pytest.raises(MapError, match="samples hold 255 alone and labels 1"):
        ged(samples * 255, samples)
    with pytest.raises(MapError, match="expected 2 classes"):
        ged(samples * 3, samples, classes=2)
    with pytest.raises(MapError, match="found shape"):
        ged(np.zeros((0, 4)), np.zeros((1, 4)))
    with pytest.raises(MapError, match="numbers between"):
        ged(samples, np.full((4, 5), np.nan))
