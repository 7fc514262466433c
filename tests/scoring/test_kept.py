"""What an evaluation keeps of its subjects: whole, in order, and small."""

import dataclasses
import pickle

import numpy as np
import pytest

from tfunc.scoring import binary
from tfunc.scoring.counts import Counts
from tfunc.scoring.kept import Kept


@pytest.fixture(scope="module")
def counted():
    """`Counts` of a small subject, of which most bins are empty."""
    random = np.random.default_rng(0)
    label = random.random((4, 16, 16)) < 0.1
    return binary.count(random.random(label.shape).astype(np.float32) ** 4, "probability", label, label, None, None)


def test_values_are_whole_and_in_order(counted):
    """As a dictionary would give them, by name, one after the other, and added up."""
    kept = Kept[Counts]()
    for name in ("b", "a", "c"):
        kept.add(name, counted)
    assert list(kept) == ["b", "a", "c"] and len(kept) == 3 and "d" not in kept
    for found in (kept["a"], *kept.values()):
        for field in dataclasses.fields(Counts):
            assert np.array_equal(getattr(found, field.name), getattr(counted, field.name))
    assert sum(one.calibration.sum() for one in kept.values()) == 3 * counted.calibration.sum()
    with pytest.raises(KeyError):
        kept["d"]


def test_a_value_is_nobodys(counted):
    """Who changes what he was given changes it for himself."""
    kept = Kept[Counts]()
    kept.add("a", counted)
    kept["a"].calibration[:] = -1
    assert np.array_equal(kept["a"].calibration, counted.calibration)


def test_it_is_small(counted):
    """An evaluation of 100,000 subjects keeps them in memory: some hundred bytes each, where objects have thousands."""
    kept = Kept[Counts]()
    kept.add("a", counted)
    assert len(kept._packed["a"]) < 0.5 * len(pickle.dumps(counted))
