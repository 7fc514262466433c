"""Scores of a subject against segfail, ValUES and aggrigator, their empty cases, and what each is by hand."""

import numpy as np
import pytest
from conftest import GOLDENS

from data_prep.base.errors import UserError
from tfunc.scoring import aggregate
from tfunc.scoring.aggregate import AGGREGATORS, subject_scores

GIVEN = np.load(GOLDENS / "subject_level" / "aggregation" / "given.npz")
CASES = [str(name) for name in GIVEN["cases"]]


@pytest.mark.parametrize("case", CASES)
def test_peers(case):
    """Means over everything, the segmentation and its core at three widths of border, and the highest patch are the peers'."""
    of = {name.split("__")[1]: GIVEN[name] for name in GIVEN.files if name.startswith(case + "__")}
    u, y = of["uncertainty"], of["pred"]
    found = subject_scores(u, u, y)
    assert found["mean_all"] == pytest.approx(float(of["values_image_mean"]), abs=1e-9)
    assert found["mean_all"] == pytest.approx(float(of["aggrigator_mean"]), abs=1e-9)
    assert found["mean_inside"] == pytest.approx(float(of["segfail_foreground_bw0"]), abs=1e-9)
    assert found["mean_core"] == pytest.approx(float(of["segfail_foreground_bw4"]), abs=1e-9)
    for border in (2, 4, 6):
        core = aggregate.mean_core(u, u, y, (1, 1, 1), border)
        assert core == pytest.approx(float(of[f"segfail_foreground_bw{border}"]), abs=1e-9), border
        np.testing.assert_array_equal(
            aggregate.core(y, border), (y > 0) & ~of[f"segfail_boundary_mask_bw{border}"].astype(bool)
        )
    for side in (3, 5, 10):
        highest = aggregate.patch(u, u, y, (1, 1, 1), side)
        assert highest == pytest.approx(-float(of[f"segfail_patch_min_of_minus_u_ps{side}"]), abs=1e-9), side
    if y.any():
        assert found["per_voxel"] == pytest.approx(float(of["values_image_sum"]) / np.count_nonzero(y), abs=1e-9)
    if "samples" in of and of["samples"].max() <= 1:
        pairs = subject_scores(u, u, y, samples=of["samples"])["pairwise_dice"]
        assert pairs == pytest.approx(1 - float(of["segfail_pairwise_meandice_bg0"]), abs=1e-6)


def test_by_hand():
    """Top hundredth, predicted Dice and the coefficient of variation as they are written down."""
    rng = np.random.default_rng(0)
    u, p = rng.random((4, 20, 10)), rng.random((4, 20, 10))
    y = p > 0.5
    samples = rng.random((6, 4, 20, 10)) < p
    found = subject_scores(u, p, y, samples=samples)
    assert found["top"] == pytest.approx(np.sort(u.reshape(-1))[-8:].mean())
    assert found["expected_dice"] == pytest.approx(1 - 2 * p[y].sum() / (p.sum() + y.sum()))
    volumes = samples.reshape(6, -1).sum(axis=1)
    assert found["volume_variation"] == pytest.approx(volumes.std(ddof=1) / volumes.mean())
    assert list(found) == list(AGGREGATORS)


@pytest.mark.parametrize("shape", [(9, 31, 25), (30, 12, 10), (45, 7), (10, 10, 10), (3, 4, 5)])
def test_the_highest_patch_is_found_wherever_it_lies(shape):
    """The highest of all windows, one by one, of maps with few high voxels in a corner, at an end, or everywhere."""
    rng = np.random.default_rng(sum(shape))
    for power in (1, 20, 200):
        u = rng.random(shape) ** power
        window = np.lib.stride_tricks.sliding_window_view(u, [min(10, length) for length in shape])
        every = window.mean(axis=tuple(range(u.ndim, 2 * u.ndim)))
        assert aggregate.patch(u, u, u, (1, 1, 1)) == pytest.approx(every.max(), rel=1e-12)


def test_nothing_segmented():
    """Means over an empty segmentation are those over the volume; nothing probable and nothing segmented agree wholly."""
    u, nothing = np.full((2, 8, 8), 0.25), np.zeros((2, 8, 8))
    found = subject_scores(u, nothing, nothing, samples=np.zeros((2, 2, 8, 8)))
    assert found["mean_inside"] == found["mean_core"] == found["mean_all"] == 0.25
    assert found["expected_dice"] == found["volume_variation"] == found["pairwise_dice"] == 0
    assert found["per_voxel"] == 32


def test_a_float32_map_is_summed_in_float64():
    """A whole brain's voxels: a float32 sum would be off in the fourth digit."""
    u = np.full((64, 256, 256), 0.1, np.float32)
    found = subject_scores(u, u, np.ones(u.shape, np.uint8))
    assert found["mean_all"] == pytest.approx(float(np.float32(0.1)), rel=1e-7)
    assert found["patch"] == pytest.approx(float(np.float32(0.1)), rel=1e-7)


def test_what_is_refused():
    """Other shapes, NaN, values beyond [0, 1] and a single sample are one line each."""
    good = np.full((2, 4, 4), 0.5)
    for u, p, y, more in (
        (good, good[:1], good, {}),
        (good[0, 0], good[0, 0], good[0, 0], {}),
        (good * np.nan, good, good, {}),
        (good, good * 3, good, {}),
        (good, good, good, {"samples": good[np.newaxis]}),
        (good, good, good * np.nan, {}),
        (good, good, good, {"samples": np.stack([good, good * np.nan])}),
    ):
        with pytest.raises(UserError, match="expected"):
            subject_scores(u, p, y, **more)


@pytest.mark.parametrize("case", ["drawn", "sparse", "exactly", "few", "constant", "rising", "two values"])
def test_the_top_of_many_voxels(case):
    """Not all of a large volume is put in order, and the mean is that of the sorted volume all the same, with any ties."""
    rng = np.random.default_rng(5)
    size = 1_200_000
    u = {
        "drawn": rng.random(size),
        "sparse": np.where(rng.random(size) < 0.005, rng.random(size), 0),
        "exactly": np.repeat([0.0, 1.0], [size - size // 100, size // 100]),
        "few": np.repeat([0.25, 0.75], [size - 3, 3]),
        "constant": np.full(size, 0.3),
        "rising": np.linspace(0, 1, size),
        "two values": np.where(rng.random(size) < 0.5, 0.5, 0.25),
    }[case].astype(np.float32 if case == "drawn" else np.float64)
    expected = np.sort(u)[-12_000:].mean(dtype=np.float64)
    assert aggregate.top(u.reshape(100, 120, 100), u, u, ()) == pytest.approx(expected, rel=1e-12)
    assert aggregate.top(u[::-1], u, u, ()) == pytest.approx(expected, rel=1e-12)
