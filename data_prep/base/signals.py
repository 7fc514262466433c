"""The signals that ask a long command to end: Ctrl-C, a scheduler's SIGTERM, and SIGHUP where it isn't ignored."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

ASKING = tuple(
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP")  # there is no SIGHUP on Windows
    if (number := getattr(signal, name, None)) is not None
)


@contextlib.contextmanager
def caught(call: Callable[[int], object]) -> Iterator[None]:
    """Calls `call` with the signal's number when one arrives while the block runs.

    A signal that is ignored, as SIGHUP is under nohup, stays ignored. A second Ctrl-C interrupts at once. Outside the main
    thread nothing is caught: whoever runs us there handles signals.
    """

    def handle(number, frame):
        if number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
        call(number)

    before = {}
    try:
        for number in ASKING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handle)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
