"""Resampling by blocks: the numbers of one call for all, whatever the blocks; and areas are SciPy's."""

import numpy as np
import pytest
from scipy import integrate

from tfunc.scoring import area, bootstrap, failure

SUBJECTS, SETS = 37, 60


@pytest.fixture(params=[1, 100, bootstrap.BLOCK])
def block(request, monkeypatch):
    """Blocks of one row, of a few, and one block for all."""
    monkeypatch.setattr(bootstrap, "BLOCK", request.param)
    return request.param


def test_sets_are_those_of_one_call(block):
    """Both layouts go on in NumPy's stream where the block before has stopped."""
    whole = np.random.default_rng(5).integers(0, SUBJECTS, (SETS, SUBJECTS))
    parts = list(bootstrap.by_set(SUBJECTS, SETS, 5))
    assert np.array_equal(np.vstack(parts), whole) and max(map(len, parts)) <= max(block // SUBJECTS, 1)
    whole = np.random.default_rng(5).integers(0, SUBJECTS, (11, SETS))
    assert np.array_equal(np.vstack(list(bootstrap.by_draw(SUBJECTS, 11, SETS, 5))), whole)


def test_means_are_those_of_one_call(block):
    """To the bit, since a sum goes on where the block before has stopped; undefined values are skipped."""
    values = np.random.default_rng(0).random(SUBJECTS)
    drawn = np.random.default_rng(5).integers(0, SUBJECTS, (SUBJECTS, SETS))
    assert np.array_equal(bootstrap.means(values, None, SETS, 5), values[drawn].mean(axis=0))
    values[::4] = np.nan
    assert np.array_equal(bootstrap.means(values, None, SETS, 5), np.nanmean(values[drawn], axis=0))
    assert np.isnan(bootstrap.means(np.full(3, np.nan), None, 4)).all()


def test_detections_do_not_depend_on_blocks(block, monkeypatch):
    """Intervals of every number, the oracle's among them."""
    random = np.random.default_rng(0)
    scores, dice = {"baseline": {"mean_all": random.random(SUBJECTS)}}, {"baseline": random.random(SUBJECTS)}
    (found,) = failure.detections(scores, dice, resamples=SETS)
    monkeypatch.setattr(bootstrap, "BLOCK", 1 << 30)
    (whole,) = failure.detections(scores, dice, resamples=SETS)
    assert found.low == pytest.approx(whole.low, rel=1e-14) and found.high == pytest.approx(whole.high, rel=1e-14)


def test_areas_are_scipys():
    """Of one curve and of many, to the bit."""
    random = np.random.default_rng(0)
    places, values = np.sort(random.random(50)), random.random((3, 50))
    assert np.array_equal(area.under(values, places), integrate.trapezoid(values, places))
    assert area.under(values[0], places) == integrate.trapezoid(values[0], places)
