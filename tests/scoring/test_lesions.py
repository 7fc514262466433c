"""The table of lesions is what loops over components give and agrees with the peers' outcomes; noise stays cheap."""

import itertools
import math
import pathlib
import time

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import numpy as np
import pytest
from scipy import ndimage

from tfunc.kinds import MapError
from tfunc.scoring.lesion_curves import Tally, detection, f1_retention
from tfunc.scoring.lesions import lesions

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "goldens" / "subject_level" / "retention" / "given.npz")
CASES = GOLDEN["f1_cases"]
DIRECT, EDGES = 1, 2  # neighbours by faces: Shifts'; by edges too: Molchanova's


def of(case, match=0.25, connectivity=None):
    prediction, label = GOLDEN[f"f1_{case}__pred"], GOLDEN[f"f1_{case}__ref"]
    return lesions(prediction, label, np.zeros(label.shape), (1, 1, 1), match, connectivity)


@pytest.mark.parametrize("match", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("case", CASES)
def test_golden_f1(case, match):
    """F1 of the outcomes is Shifts', with its 6 neighbours."""
    outcomes = [
        lesion.outcome for lesion in of(case, match, DIRECT) if lesion.source == "prediction" or lesion.outcome == "fn"
    ]
    right, wrong = outcomes.count("tp"), len(outcomes) - outcomes.count("tp")
    expected = float(GOLDEN[f"f1_{case}__shifts_f1_iou{match}"])
    assert (right / (right + wrong / 2) if outcomes else 1) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_golden_outcomes(case):
    """True and false positives are Molchanova's with 18 neighbours; its missed lesions are those that nothing touches."""
    structure = ndimage.generate_binary_structure(3, EDGES)
    masks = {"tp": np.zeros((32, 32, 24), bool), "fp": np.zeros((32, 32, 24), bool), "fn": np.zeros((32, 32, 24), bool)}
    index = {
        source: ndimage.label(GOLDEN[f"f1_{case}__{name}"], structure)[0]
        for source, name in (("prediction", "pred"), ("label", "ref"))
    }
    for lesion in of(case, connectivity=EDGES):
        outcome = lesion.outcome if lesion.source == "prediction" else "" if lesion.detected else "fn"
        if outcome:
            masks[outcome] |= index[lesion.source] == lesion.number
    for outcome, mask in masks.items():
        np.testing.assert_array_equal(mask, GOLDEN[f"f1_{case}__ms_{outcome}_mask"], err_msg=outcome)


@st.composite
def subjects(draw):
    """(prediction, label, uncertainty, spacing) of a small volume or image."""
    axes = draw(st.sampled_from([2, 3]))
    shape = draw(st.tuples(*[st.integers(1, 7)] * axes))
    codes = draw(hypothesis.extra.numpy.arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 0, 1, 2, 3])))
    values = draw(hypothesis.extra.numpy.arrays(np.float32, shape, elements=st.sampled_from([0, 0.25, 0.5, 1])))
    return codes & 1, codes >> 1, values, draw(st.tuples(*[st.sampled_from([0.5, 1.0, 3.0])] * axes))


@hypothesis.settings(max_examples=200, deadline=None, derandomize=True, database=None)
@hypothesis.given(subjects())
def test_against_loops(made):
    """Every entry of every lesion is what a loop over whole arrays finds."""
    *masks, values, spacing = made
    full = np.ones((3,) * values.ndim)
    parts = []
    for mask in masks:
        index, count = ndimage.label(mask, full)
        parts.append([index == number for number in range(1, count + 1)])
    found = iter(lesions(*masks, values, spacing))
    for side, source in enumerate(("prediction", "label")):
        for number, (part, lesion) in enumerate(zip(parts[side], found, strict=False), 1):
            touching = [other for other in parts[1 - side] if (other & part).any()]
            iou = [(other & part).sum() / (other | part).sum() for other in touching]
            union = np.any(touching, axis=0) if touching else np.zeros_like(part)
            outcome = "tp" if max(iou, default=0) >= 0.25 else ("fp", "fn")[side]
            scores = [values[other].mean() for other in touching]
            matching = [score for score, of_it in zip(scores, iou, strict=True) if of_it >= 0.25]
            assert (lesion.source, lesion.number, lesion.voxels) == (source, number, part.sum())
            assert (lesion.touches, lesion.detected, lesion.outcome) == (len(touching), bool(touching), outcome)
            expected = [part.sum() * np.prod(spacing), values[part].mean(), max(iou, default=0)]
            expected += [2 * (union & part).sum() / (union.sum() + part.sum()), *np.argwhere(part).mean(axis=0)]
            expected += [min(scores, default=math.nan), min(matching, default=math.nan)]
            entries = [lesion.volume, lesion.uncertainty, lesion.iou, lesion.dice, *lesion.centre]
            np.testing.assert_allclose([*entries, lesion.first_touch, lesion.first_match], expected, rtol=1e-6)
    assert next(found, None) is None


def made(prediction, label, uncertainty):
    """The lesions of one row of voxels, written as strings and a list."""
    rows = ([[int(voxel) for voxel in row]] for row in (prediction, label))
    return lesions(*rows, [uncertainty], (1, 1))


FIRST = Tally.of(made("1101100110", "1100000111", [0.1, 0.1, 0, 0.5, 0.5, 0, 0, 0.3, 0.3, 0.8]))
SECOND = Tally.of(made("1000100", "0001110", [0.7, 0, 0, 0.9, 0.2, 0.9, 0]))


def test_detection_by_match():
    """Over two subjects: what each of the prediction's lesions adds, in the order of their uncertainty."""
    found = detection([FIRST, SECOND])
    np.testing.assert_allclose(found.threshold, [0.1, 0.2, 0.3, 0.5, 0.7], rtol=1e-6)
    np.testing.assert_array_equal(found.kept, [1, 2, 3, 4, 5])
    np.testing.assert_allclose(found.sensitivity, [1 / 3, 2 / 3, 1, 1, 1])
    np.testing.assert_allclose(found.false_positives, [0, 0, 0, 0.5, 1])
    np.testing.assert_allclose(found.false_discovery, [0, 0, 0, 1 / 4, 2 / 5])


def test_detection_by_touch_and_of_equals():
    """A touch is less than a match, and lesions of one uncertainty are kept together."""
    subject = made("1000001", "1111100", [0.2] * 7)
    assert [lesion.outcome for lesion in subject] == ["fp", "fp", "fn"]
    by_match, by_touch = (detection([Tally.of(subject)], by) for by in ("match", "touch"))
    assert (by_match.sensitivity.tolist(), by_match.false_positives.tolist()) == ([0], [2])
    assert (by_touch.sensitivity.tolist(), by_touch.false_positives.tolist()) == ([1], [1])
    assert by_touch.kept.tolist() == [2] and by_touch.false_discovery.tolist() == [0.5]


def test_curves_of_nothing():
    """No lesion in the prediction: no point. None in the labels: the sensitivity is undefined. No subject: an error."""
    empty, wrong = (Tally.of(made(row, "000", [0, 0, 0])) for row in ("000", "100"))
    assert detection([empty]).threshold.size == 0
    assert np.isnan(detection([wrong]).sensitivity).all()
    with pytest.raises(MapError, match="no subject"):
        detection([])
    assert f1_retention([empty]).under == 1 and np.isnan(f1_retention([]).values).all()


def test_f1_retention_is_the_mean_of_subjects():
    """Each subject's own curve, TP and FP of its prediction, FN of its label; their mean."""
    curves = [f1_retention([subject]).values for subject in (FIRST, SECOND)]
    np.testing.assert_allclose(f1_retention([FIRST, SECOND]).values, np.mean(curves, axis=0))
    assert curves[0][-1] == pytest.approx(2 / 2.5) and curves[1][-1] == pytest.approx(1 / 1.5)
    missed = f1_retention([Tally.of(made("1000", "1001", [0, 0, 0, 1]))]).values
    assert missed[-1] == pytest.approx(1 / 1.5) and missed[0] == 1


def test_noise_of_thousands_is_cheap():
    """Thousands of lesions in a volume take seconds at most: nothing loops over the volume for each."""
    rng = np.random.default_rng(2)
    prediction, label = rng.random((40, 120, 120)) < 0.01, np.zeros((40, 120, 120), bool)
    label[10:30, 40:80, 40:80] = True
    started = time.perf_counter()
    found = lesions(prediction, label, rng.random(label.shape), (1, 1, 1))
    assert len(found) > 4000 and found[-1].touches > 100
    assert time.perf_counter() - started < 5


def test_what_has_no_lesions():
    """Shapes, spacings and uncertainties that are wrong are refused in one line; arrays of no voxel have no lesion."""
    mask = np.ones((4, 5))
    with pytest.raises(MapError, match="shapes that differ"):
        lesions(mask, mask, np.zeros((4, 1)), (1, 1))
    with pytest.raises(MapError, match="2 positive numbers"):
        lesions(mask, mask, np.zeros((4, 5)), (1, 1, 1))
    with pytest.raises(MapError, match="NaN"):
        lesions(mask, mask, np.full((4, 5), np.nan), (1, 1))
    for match in itertools.chain((0, 1.5), [math.nan]):
        with pytest.raises(MapError, match="IoU"):
            lesions(mask, mask, np.zeros((4, 5)), (1, 1), match)
    assert lesions(np.zeros((0, 5)), np.zeros((0, 5)), np.zeros((0, 5)), (1, 1)) == ()
