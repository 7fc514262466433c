"""Distances of surfaces equal the peers' numbers, plain NumPy and plain geometry; empty masks are what the conventions say."""

import itertools
import math
import pathlib
import pickle

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import numpy as np
import pytest
from scipy import ndimage

from tfunc.kinds import MapError
from tfunc.scoring.foreground import box
from tfunc.scoring.surface import diagonal, hd95, robust_hausdorff, surface_dice
from tfunc.scoring.surfels import areas, surfels
from tfunc.scoring.volume_difference import volume_difference

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "goldens" / "subject_level" / "surface" / "given.npz")
CASES = [str(case) for case in GOLDEN["cases"]]
EMPTY = {"empty_pred", "empty_ref", "both_empty"}
FOUND = [case for case in CASES if case not in EMPTY]
QUICK = hypothesis.settings(max_examples=200, deadline=None, derandomize=True, database=None)


def of(case):
    return GOLDEN[f"{case}__pred"], GOLDEN[f"{case}__ref"], GOLDEN[f"{case}__spacing"]


@pytest.mark.parametrize("case", FOUND)
def test_golden_hd95(case):
    """HD95 is Metrics Reloaded's, and MONAI's within its float32."""
    found = hd95(*of(case))
    assert found == pytest.approx(float(GOLDEN[f"{case}__metricsreloaded_hd95"]), abs=1e-9)
    assert found == pytest.approx(float(GOLDEN[f"{case}__monai_hd95"]), abs=1e-4)


@pytest.mark.parametrize("case", FOUND)
def test_golden_area_weighted(case):
    """Surface Dice at every tolerance, the areas of both surfaces, and the robust Hausdorff distances are DeepMind's."""
    prediction, label, spacing = of(case)
    for tolerance, expected in zip(GOLDEN["tolerances"], GOLDEN[f"{case}__deepmind_nsd"], strict=True):
        assert surface_dice(prediction, label, spacing, tolerance) == pytest.approx(expected, abs=1e-9)
    for mask, name in ((prediction, "pred"), (label, "gt")):
        area = surfels(mask, spacing)[1].sum()
        assert area == pytest.approx(float(GOLDEN[f"{case}__deepmind_surfel_area_{name}"]), rel=1e-9)
    for percent in (95, 100):
        found = robust_hausdorff(prediction, label, spacing, percent)
        assert found == pytest.approx(float(GOLDEN[f"{case}__deepmind_hd{percent}"]), abs=1e-9)


def test_empty_masks():
    """Both empty: nothing is wrong; one empty: the image's diagonal or the given penalty, and no surface in common."""
    nothing, something = np.zeros((4, 30, 40)), np.zeros((4, 30, 40))
    something[1:3, 5:9, 5:9] = 1
    spacing = (3, 1, 2)
    for distance in (hd95, robust_hausdorff):
        assert distance(nothing, nothing, spacing) == 0
        for pair in ((nothing, something), (something, nothing)):
            assert distance(*pair, spacing) == pytest.approx(math.sqrt(12**2 + 30**2 + 80**2))
            assert distance(*pair, spacing, penalty=374) == 374
    assert surface_dice(nothing, nothing, spacing, 1) == 1
    assert surface_dice(nothing, something, spacing, 1) == surface_dice(something, nothing, spacing, 1) == 0
    assert math.ceil(diagonal((155, 240, 240), (1, 1, 1))) == 374  # that of BraTS


@st.composite
def pairs(draw):
    """(prediction, label, spacing) of a small volume or image."""
    axes = draw(st.sampled_from([2, 3]))
    shape = draw(st.tuples(*[st.integers(2, 6)] * axes))
    bits = draw(hypothesis.extra.numpy.arrays(np.uint8, shape, elements=st.integers(0, 3)))
    return bits & 1, bits >> 1, draw(st.tuples(*[st.sampled_from([0.5, 0.8, 1.0, 3.0])] * axes))


@pytest.mark.long
@QUICK
@hypothesis.given(pairs())
def test_hd95_against_brute_force(made):
    """HD95 is what loops over all pairs of voxels that have a direct neighbour outside give."""
    prediction, label, spacing = made
    hypothesis.assume(prediction.any() and label.any())
    surfaces = []
    for mask in (prediction, label):
        padded, found = np.pad(mask, 1), []
        for at in itertools.product(*map(range, mask.shape)):
            steps = [np.eye(mask.ndim, dtype=int)[axis] * sign for axis in range(mask.ndim) for sign in (-1, 1)]
            if mask[at] and not all(padded[tuple(np.add(at, 1) + step)] for step in steps):
                found.append(np.multiply(at, spacing))
        surfaces.append(np.array(found))
    between = np.linalg.norm(surfaces[0][:, None] - surfaces[1][None], axis=-1)
    expected = max(np.percentile(between.min(axis=axis), 95) for axis in (0, 1))
    assert hd95(prediction, label, spacing) == pytest.approx(expected, abs=1e-12)


@QUICK
@hypothesis.given(pairs())
def test_area_weighted_against_a_distance_transform(made):
    """Of elements at the corners of the whole array, uncropped, with SciPy's exact distance transform of it."""
    prediction, label, spacing = made
    hypothesis.assume(prediction.any() and label.any())
    at, area, away = [], [], []
    for mask in (prediction, label):
        corners, of_them = surfels(mask != 0, np.array(spacing))
        lattice = np.zeros([size + 1 for size in mask.shape], bool)
        lattice[tuple(corners.T)] = True
        at.append(tuple(corners.T))
        area.append(of_them)
        away.append(ndimage.distance_transform_edt(~lattice, sampling=spacing))
    for tolerance in (0, 0.5, 1.6, 3):
        within = sum(area[k][away[1 - k][at[k]] <= tolerance].sum() for k in (0, 1))
        expected = within / (area[0].sum() + area[1].sum())
        assert surface_dice(prediction, label, spacing, tolerance) == pytest.approx(expected, abs=1e-12)
    expected = max(away[1 - k][at[k]].max() for k in (0, 1))
    assert robust_hausdorff(prediction, label, spacing, 100) == expected


def test_areas_are_symmetric():
    """A surface is that of its complement, and turned or mirrored with its voxels, together with the spacing."""
    spacing = np.array([0.8, 1.2, 2.5])
    table = areas(spacing)
    np.testing.assert_allclose(table, table[::-1], rtol=1e-14)
    for order in itertools.permutations(range(3)):
        turned = areas(spacing[list(order)])
        for code in range(256):
            bits = np.array([code >> bit & 1 for bit in range(8)]).reshape(2, 2, 2)
            for flip in itertools.product((1, -1), repeat=3):
                moved = bits[:: flip[0], :: flip[1], :: flip[2]].transpose(order).reshape(-1)
                assert turned[int(moved @ (1 << np.arange(8)))] == pytest.approx(table[code], rel=1e-14)


def test_area_of_a_box():
    """A large box has the area of its faces but for its edges, which are cut off; an image's contour its length."""
    mask = np.zeros((50, 60, 70), bool)
    mask[5:45, 5:55, 5:65] = True
    spacing = np.array([2.0, 1.0, 0.5])
    corners, area = surfels(mask, spacing)
    faces = 2 * (39 * 49 * 2 + 39 * 59 * 1 + 49 * 59 * 0.5)
    flat = ((corners != [5, 5, 5]) & (corners != [45, 55, 65])).sum(axis=1) == 2  # on one face alone
    assert area[flat].sum() == pytest.approx(faces)
    assert area.sum() < 2 * (40 * 50 * 2 + 40 * 60 + 50 * 60 * 0.5)
    length = surfels(mask[10], spacing[1:])[1].sum()
    assert length == pytest.approx(2 * (49 + 59 * 0.5) + 4 * math.hypot(0.5, 0.25))


def test_a_photograph_is_an_image():
    """[1, height, width] is [height, width]: no surface lies across the axis of length 1."""
    rng = np.random.default_rng(3)
    one, other = (ndimage.gaussian_filter(rng.normal(size=(40, 50)), 4) > 0 for _ in range(2))
    for measure in (hd95, robust_hausdorff, lambda *given: surface_dice(*given, 2)):
        assert measure(one, other, (1, 2)) == measure(one[None], other[None], (7, 1, 2))
    nothing = np.zeros_like(one)
    assert hd95(one[None], nothing[None], (7, 1, 2)) == pytest.approx(math.hypot(40, 100))


def test_volume_difference():
    """Prediction minus label in mm^3 and over the label's; 0 where both are empty, undefined where the label is."""
    label, nothing = np.zeros((4, 10, 10)), np.zeros((4, 10, 10))
    label[:2] = 1
    prediction = np.ones_like(label)
    found = volume_difference(prediction, label, (3, 1, 2))
    assert (found.size, found.ml, found.relative) == (1200, 1.2, 1)
    assert volume_difference(label, prediction, (3, 1, 2)).relative == -0.5
    assert volume_difference(nothing, label, (3, 1, 2)).relative == -1
    assert volume_difference(nothing, nothing, (3, 1, 2)).relative == 0
    assert math.isnan(volume_difference(label, nothing, (3, 1, 2)).relative)
    assert volume_difference(label, nothing, (3, 1, 2)).size == 1200


@pytest.mark.parametrize(
    ("shapes", "spacing", "says"),
    [
        (((4, 5, 6), (4, 5, 1)), (1, 1, 1), "(4, 5, 1)"),
        (((5, 6), (4, 5, 6)), (1, 1, 1), "(5, 6)"),
        (((5,), (5,)), (1,), "two or three axes"),
        (((4, 5, 6), (4, 5, 6)), (1, 1), "3 positive numbers"),
        (((4, 5, 6), (4, 5, 6)), (1, 1, 0), "3 positive numbers"),
        (((4, 5, 6), (4, 5, 6)), (1, 1, math.nan), "3 positive numbers"),
    ],
)
def test_what_cannot_be_measured(shapes, spacing, says):
    """Shapes that differ are not broadcast and a wrong spacing is refused: one line that says what was found."""
    given = [np.ones(shape) for shape in shapes]
    for measure in (hd95, robust_hausdorff, volume_difference, lambda *them: surface_dice(*them, 1)):
        with pytest.raises(MapError) as error:
            measure(*given, spacing)
        assert says in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(MapError, match="tolerance"):
        surface_dice(np.ones((3, 3)), np.ones((3, 3)), (1, 1), -1)


def test_arrays_stay_as_they_are():
    """Nobody's array is written to, and a box holds all foreground and no more."""
    rng = np.random.default_rng(5)
    one, other = (rng.random((8, 9, 10)) > 0.9 for _ in range(2))
    before = pickle.dumps((one, other))
    hd95(one, other, (1, 1, 1)), surface_dice(one, other, (1, 1, 1), 1)
    assert pickle.dumps((one, other)) == before
    held = box(one)
    outside = one.copy()
    outside[held] = False
    assert not outside.any() and all(one[held].any(axis=tuple({0, 1, 2} - {k}))[[0, -1]].all() for k in range(3))
    assert box(np.zeros((3, 3), bool)) is None
