"""One progress line: a bar that redraws itself on a terminal, a line now and then in a log."""

import sys
import time


class Progress:
    """Counts up to `total` and prints `title 12/100 3.1/s 0:28 left`.

    On a terminal it redraws at most ten times a second; elsewhere (a log, CI) it prints a line at most every
    `log_seconds` and one at the end.
    """

    def __init__(self, title, total, unit="", stream=None, log_seconds=30.0):
        self.title, self.total, self.unit, self.stream = title, total, unit, stream or sys.stderr
        self.start = self.shown = time.monotonic()
        self.done = 0
        self.terminal = self.stream.isatty()
        self.interval = 0.1 if self.terminal else log_seconds

    def advance(self, count=1, note=""):
        self.done += count
        now = time.monotonic()
        if now - self.shown >= self.interval:
            self.shown = now
            self._show(note)

    def close(self, note=""):
        self._show(note)
        if self.terminal:
            self.stream.write("\n")

    def _show(self, note):
        seconds = time.monotonic() - self.start
        rate = self.done / seconds if seconds > 0 else 0.0
        left = duration((self.total - self.done) / rate) if rate else "?"
        text = f"{self.title} {self.done}/{self.total}{self.unit} {rate:.1f}/s"
        text += f" {left} left" if self.done < self.total else f" in {duration(seconds)}"
        text += f" {note}" if note else ""
        self.stream.write(f"\r\x1b[K{text}" if self.terminal else text + "\n")
        self.stream.flush()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if kind is None:
            self.close()
        elif self.terminal:
            self.stream.write("\n")


def duration(seconds):
    """Seconds as h:mm:ss or m:ss."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
