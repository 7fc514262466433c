"""Standard output and error as a program of ours needs them: open, and able to take any character that we print.

A terminal or pipe may be Latin-1 or ASCII, a name may be no valid text, and whoever started the program may have closed
its streams. None of that is a reason to lose an evaluation at its last line.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import sys
from typing import IO

PLAIN = "tfunc.plain"  # the name of our way with characters that an encoding lacks
INSTEAD = {
    "↓": "v", "↑": "^", "→": "->", "←": "<-", "–": "-", "—": "-", "…": "...", "·": "-", "×": "x", "±": "+-", "≤": "<=",
    "≥": ">=", "σ": "sigma", "°": " degrees", "µ": "u", "²": "2", "³": "3", "’": "'", "‘": "'", "“": '"', "”": '"',
}  # fmt: skip

_SURROGATE = re.compile("[\udc80-\udcff]+")  # how Python keeps a byte of a name that the locale can't decode
missing: set[int] = set()  # of 1 and 2, those that were closed when the program started


def settle() -> None:
    """Opens what is closed of standard input, output and error on the null device, and makes writing never fail at a character.

    A closed descriptor would be given to the next file that is opened, a map or the weights, and the lines that others'
    code writes to standard error would go into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            _open_null(number)
            missing.add(number)
    sys.stdin = sys.stdin or _text(0, "r")
    sys.stdout = sys.stdout or _text(1, "w")
    sys.stderr = sys.stderr or _text(2, "w")
    codecs.register_error(PLAIN, _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's or a test's stream takes everything
            stream.reconfigure(errors=PLAIN)


def text_of(name: str) -> str:
    """Text with files' names in it as UTF-8 can hold it, whatever the locale made of them; `\\xfc` for a byte that is none."""
    if not _SURROGATE.search(name):
        return name
    return _SURROGATE.sub(
        lambda found: found[0].encode("ascii", "surrogateescape").decode("utf-8", "backslashreplace"), name
    )


def say_error(line: str) -> None:
    """Prints a line to standard error or, where the user closed that, to standard output; nothing where neither takes it."""
    stream: IO[str] = sys.stdout if 2 in missing and 1 not in missing else sys.stderr
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        print(line, file=stream, flush=True)


def abandon(number: int) -> None:
    """Nothing that is written to the descriptor 1 or 2 from here on fails: its reader has gone, or its disk is full."""
    _open_null(number)


def _text(number, mode):
    return open(number, mode, encoding="utf-8", closefd=False)


def _open_null(number):
    descriptor = os.open(os.devnull, os.O_RDWR)
    if descriptor != number:
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.set_inheritable(number, True)  # a command that this process starts has it too


def _plain(error):
    """Characters that look alike in ASCII, and `\\u1234` for the rest, of which a path can still be told."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    pieces = (INSTEAD.get(one) or one.encode("ascii", "backslashreplace").decode("ascii") for one in text)
    return "".join(pieces), error.end
