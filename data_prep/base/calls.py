"""Items as calls of an executor: one each, or several small ones in a call where a call costs more than the work in it."""

from __future__ import annotations

import concurrent.futures
import itertools
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
SECONDS = 0.1  # of work in a call, where it is small: a call costs 5 ms to a cluster, 1 or 2 to a process here
LONGEST = 4 * SECONDS  # after which a call comes back with what is done, where its items turn out to be larger
MOST = 256  # items in a call


class Single(Generic[Item, Result]):
    """One item a call."""

    def __init__(
        self, pool: concurrent.futures.Executor, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> None:
        self._pool, self._function, self._waiting = pool, function, iter(items)

    def begin(self) -> concurrent.futures.Future | None:
        """The next call, under way; None where no items are left."""
        for item in self._waiting:
            return self._pool.submit(self._function, item)
        return None

    def end(self, call: concurrent.futures.Future) -> tuple[list[Result], concurrent.futures.Future | None]:
        """(what a call gives, in the order of its items, the call for those that it has left). Raises what it raised."""
        return [call.result()], None


class Grouped(Single[Item, Result]):
    """As many items in a call as take `SECONDS`, by what those before took."""

    def __init__(
        self, pool: concurrent.futures.Executor, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> None:
        super().__init__(pool, function, items)
        self._size = 1
        self._of: dict[concurrent.futures.Future, list[Item]] = {}

    def begin(self) -> concurrent.futures.Future | None:
        """The next call, under way; None where no items are left."""
        return self._submit(list(itertools.islice(self._waiting, self._size)))

    def end(self, call: concurrent.futures.Future) -> tuple[list[Result], concurrent.futures.Future | None]:
        """(what a call gives, in the order of its items, the call for those that it has left). Raises what it raised."""
        group = self._of.pop(call)
        done, seconds = call.result()
        self._size = min(max(int(SECONDS * len(done) / max(seconds, 1e-6)), 1), MOST)
        return done, self._submit(group[len(done) :])

    def _submit(self, group):
        if not group:
            return None
        call = self._pool.submit(several, self._function, group)
        self._of[call] = group
        return call


def several(function: Callable[[Item], Result], group: list[Item]) -> tuple[list[Result], float]:
    """Runs in a worker -> (results of the first items of a group, all where they are small; seconds that they took).

    An item that raises ends it, too: it is the first of the next call, which raises that, after what came before is known.
    """
    begun, done = time.monotonic(), []
    for item in group:
        try:
            done.append(function(item))
        except Exception:  # raised by the next call, which begins with this item
            if not done:
                raise
            break
        if time.monotonic() - begun >= LONGEST:
            break
    return done, time.monotonic() - begun
