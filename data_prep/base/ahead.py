"""One item ahead: while the caller works on an item the next is being made, in a thread."""

from __future__ import annotations

import concurrent.futures
import contextvars
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yields the items in order. At most one more than the caller has is in memory; what making it raises comes in its turn.

    It pays where making an item waits for files or leaves Python's lock, as reading, inflating and NumPy do.
    """
    waiting = iter(items)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:

        def begin():
            return thread.submit(contextvars.copy_context().run, next, waiting, _END)

        coming = begin()
        while (item := coming.result()) is not _END:
            coming = begin()
            yield item
