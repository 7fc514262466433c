"""The signals that ask a long command to end: Ctrl-C, a scheduler's SIGTERM or SIGUSR1, and SIGHUP where it isn't ignored."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

ASKING = tuple(
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  # Windows has neither of the last two
    if (number := getattr(signal, name, None)) is not None
)
# `timeout` sends its signal twice; what a terminal or a scheduler sends to a study and its jobs, the study sends to them again
SAME_SECONDS = 1.0


class Asked(BaseException):
    """A signal asked the program to end. No `Exception`: others' code must not take it for an error of its own.

    number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


class _Heard:
    """When the first signal came, for all blocks of this process that catch them, one inside the other."""

    depth = 0
    first: float | None = None


@contextlib.contextmanager
def caught(call: Callable[[int], object]) -> Iterator[None]:
    """Calls `call` with the signal's number when one arrives while the block runs.

    A signal that is ignored, as SIGHUP is under nohup, stays ignored. One that follows the first within `SAME_SECONDS` is the
    same request and does nothing; a later one ends the process at once. Outside the main thread nothing is caught: whoever runs
    us there handles signals.
    """

    def handle(number, frame):
        if _Heard.first is None:
            _Heard.first = time.monotonic()
            call(number)
        elif time.monotonic() - _Heard.first > SAME_SECONDS:
            _end(number, frame)

    before = {}
    try:
        for number in ASKING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handle)
    except ValueError:  # not the main thread
        yield
        return
    _Heard.depth += 1
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _Heard.depth -= 1
        if _Heard.depth == 0:
            _Heard.first = None


def ignore_in_worker() -> None:
    """A worker of a pool goes on with its work: a terminal sends Ctrl-C to it as well, and it ends with its parent.

    SIGTERM ends it, by which a pool ends those that are left of one that broke.
    """
    for number in ASKING:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)


def _end(number, frame):
    if number == signal.SIGINT:
        signal.default_int_handler(number, frame)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
