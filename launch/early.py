"""What a launcher does before it imports anything that takes time: a signal ends it in one line, where `program.run` is not yet.

Importing NumPy and our own modules takes a good part of a second, and Python answers Ctrl-C in it with a traceback.
"""

from __future__ import annotations

import os
import signal

from data_prep.base import signals

USUAL = (signal.SIG_DFL, signal.default_int_handler)


def settle(name: str) -> None:
    """From here on a signal that asks to end does so with its line and code. name: the launcher's `__name__`.

    Only for a program: imported, a launcher changes nothing. A signal that is ignored stays ignored.
    """
    if name != "__main__":
        return
    for number in signals.ASKING:
        if signal.getsignal(number) in USUAL:
            signal.signal(number, _end)


def _end(number, frame):
    line = f"error: stopped by {signal.Signals(number).name} before it began; give the same command again\n"
    os.write(2, line.encode())
    os._exit(128 + number)
