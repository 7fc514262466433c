"""Small items share a call to another process; what comes back is the same, in the same order, however long each takes."""

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


class Clock:
    """A clock that goes on by as much as an item is said to take, and by no more, however busy the machine is."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def item(self, seconds):
        """A function that takes so many seconds for an item."""

        def take(one):
            self.now += seconds(one)
            return one

        return take


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(calls, "time", made)
    return made


def test_small_items_share_a_call(clock):
    """The first goes alone, to be timed; then as many as take the time that a call should, and never more than a limit."""
    found, sizes = all_of(Grouped(pool.Serial(), clock.item(lambda one: calls.SECONDS / 25.5), iter(range(60))))
    assert found == list(range(60)) and sizes == [1, 25, 25, 9]
    found, sizes = all_of(Grouped(pool.Serial(), clock.item(lambda one: 0.0), iter(range(600))))
    assert found == list(range(600)) and sizes == [1, calls.MOST, calls.MOST, 600 - 1 - 2 * calls.MOST]


def test_large_items_go_alone(clock):
    """As anywhere else, so that a worker that dies loses little."""
    found, sizes = all_of(Grouped(pool.Serial(), clock.item(lambda one: 0.6 * calls.SECONDS), iter(range(5))))
    assert found == list(range(5)) and sizes == [1] * 5


def test_a_call_whose_items_grow_comes_back_early(clock):
    """Small items, then large ones in one call: the rest is asked for again, in its place, and comes back early too."""
    work = clock.item(lambda one: calls.LONGEST if one > 20 else 0.0)
    found, sizes = all_of(Grouped(pool.Serial(), work, iter(range(24))))
    assert found == list(range(24)) and sizes == [1, 21, 1, 1]


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


def test_an_error_comes_as_it_was_raised(clock):
    """After what the items before it gave, as if each had been a call: what is wrong with those is found first."""
    asked, found = Grouped(pool.Serial(), lambda one: 1 / one, [2, 1, 0, 4]), []
    call = asked.begin()
    with pytest.raises(ZeroDivisionError):
        while call is not None:
            done, rest = asked.end(call)
            found += done
            call = rest or asked.begin()
    assert found == [0.5, 1.0]


@pytest.mark.parametrize("through", [pool.results, pool.unordered])
def test_processes_of_this_machine_are_sent_several_at_a_time(through, monkeypatch):
    """Every item comes back once; in this process each is a call of its own, as there is nothing to save."""
    calls_made = []
    with pool.executor(2, tensorflow=False) as executor:
        submit = executor.submit
        monkeypatch.setattr(executor, "submit", lambda *given: calls_made.append(1) or submit(*given))
        assert sorted(through(executor, abs, range(-400, 0))) == list(range(1, 401))
    assert len(calls_made) < 100
    one, before = pool.Serial(), len(calls_made)
    monkeypatch.setattr(one, "submit", lambda *given: calls_made.append(1) or pool.Serial().submit(*given))
    assert list(through(one, abs, range(-3, 0))) == [3, 2, 1] and len(calls_made) == before + 3
