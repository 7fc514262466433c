"""One progress line: a bar that redraws itself on a terminal, a line now and then in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from types import TracebackType
from typing import TextIO

AT_ONCE = 0.1  # seconds in which nobody has done several things yet


class Progress:
    """Counts up to `total` and prints `title 12/100 3.1/s 0:28 left`.

    On a terminal it redraws at most ten times a second; elsewhere (a log, CI) it prints a line at most every
    `log_seconds` and one at the end. The rate and the time left are of the work of this process: what was done before it
    is given as `done`; several things that are reported at once, before anything else, count as done before, too.
    Where the stream can't be written any more, as a terminal that was closed, the work goes on without it.
    """

    def __init__(
        self,
        title: str,
        total: int,
        unit: str = "",
        stream: TextIO | None = None,
        log_seconds: float = 30.0,
        done: int = 0,
    ):
        self.title, self.total, self.unit, self.stream = title, total, unit, stream or sys.stderr
        self.start = self.shown = time.monotonic()
        self.done = self.before = done
        self.terminal = self.stream is not None and self.stream.isatty()
        self.interval = 0.1 if self.terminal else log_seconds

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more are done. note: shown at the end of the line."""
        now = time.monotonic()
        if self.done == 0 and count > 1 and now - self.start < AT_ONCE:
            self.before = count
        self.done += count
        if now - self.shown >= self.interval:
            self.shown = now
            self._show(note)

    def close(self, note: str = "") -> None:
        """Shows the last line; on a terminal also ends it."""
        self._show(note)
        if self.terminal:
            self._write("\n")

    def _show(self, note: str) -> None:
        seconds = time.monotonic() - self.start
        rate = (self.done - self.before) / seconds if seconds > 0 else 0.0
        left = duration((self.total - self.done) / rate) if rate else "?"
        text = f"{self.title} {self.done}/{self.total}{self.unit} {rate:.1f}/s"
        text += f" {left} left" if self.done < self.total else f" in {duration(seconds)}"
        text += f" {note}" if note else ""
        self._write(f"\r\x1b[K{text}" if self.terminal else text + "\n")

    def _write(self, text: str) -> None:
        if self.stream is None:  # closed, in a process that is not a program of ours
            return
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(text)
            self.stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self.terminal:
            self._write("\n")


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
