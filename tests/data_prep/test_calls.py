"""Small items share a call of a cluster; what comes back is the same, in the same order, however long each takes."""

import time

import pytest

from data_prep.base import calls, pool
from data_prep.base.calls import Grouped, Single


def all_of(asked):
    """(results in order, items of each call) of calls that are made one after the other."""
    found, sizes = [], []
    while (call := asked.begin()) is not None:
        while call is not None:
            done, call = asked.end(call)
            found += done
            sizes.append(len(done))
    return found, sizes


def test_small_items_share_a_call():
    """The first goes alone, to be timed; then as many as take the time that a call should."""
    found, sizes = all_of(Grouped(pool.Serial(), str, iter(range(1000))))
    assert found == [str(one) for one in range(1000)]
    assert sizes[0] == 1 and max(sizes) == calls.MOST and len(sizes) < 10


def test_large_items_go_alone(monkeypatch):
    """As anywhere else, so that a worker that dies loses little."""
    monkeypatch.setattr(calls, "SECONDS", 0.01)
    found, sizes = all_of(Grouped(pool.Serial(), lambda one: time.sleep(0.012) or one, iter(range(5))))
    assert found == list(range(5)) and sizes == [1] * 5


def test_a_call_whose_items_grow_comes_back_early(monkeypatch):
    """Small items, then large ones in one call: the rest is asked for again, in its place."""
    monkeypatch.setattr(calls, "LONGEST", 0.01)
    found, sizes = all_of(Grouped(pool.Serial(), lambda one: time.sleep(0.012 * (one > 20)) or one, iter(range(40))))
    assert found == list(range(40))
    assert sizes[0] == 1 and sizes[1] == 21 and set(sizes[2:]) == {1}


@pytest.mark.parametrize("kind", [Single, Grouped])
def test_an_endless_list_is_taken_as_it_is_needed(kind):
    """Beginning a call takes its own items only."""
    taken = []
    asked = kind(pool.Serial(), str, (taken.append(1) or one for one in iter(int, 1)))
    asked.end(asked.begin())
    assert len(taken) == 1


@pytest.mark.parametrize("kind", [Single, Grouped])
def test_nothing_is_no_call(kind):
    """Nor is there one later."""
    asked = kind(pool.Serial(), str, [])
    assert asked.begin() is None and asked.begin() is None


def test_an_error_comes_as_it_was_raised():
    """From whichever item of a call."""
    asked = Grouped(pool.Serial(), lambda one: 1 / one, [2, 1, 0])
    assert asked.end(asked.begin())[0] == [0.5]
    with pytest.raises(ZeroDivisionError):
        asked.end(asked.begin())
