"""One input under limits: it must end in a result or in one line for the user, soon, and without much memory.

A target is what reads one kind of input. Whatever its `act` raises that a program does not say in one line counts as a
traceback, as do a line that is none, more than `SECONDS`, and more than `MEMORY` bytes beside what the process has.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import re
import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import hypothesis

from data_prep.base import notices
from data_prep.base.errors import UserError
from launch import edge

SECONDS = 10  # of one input
MEMORY = 1 << 30  # bytes of address space that one input may take beside what the process has
LONGEST_LINE = 2000  # characters of what is said


@dataclasses.dataclass(frozen=True)
class Target:
    """name: of the row. inputs: their strategy. act: called with one; returns what was read. seconds: that one may take."""

    name: str
    inputs: Any
    act: Callable[[Any], object]
    seconds: float = SECONDS


@dataclasses.dataclass
class Tally:
    """What came of a target's inputs. faults: {kind and place: (how many, the first input)}."""

    inputs: int = 0
    errors: int = 0
    slowest: float = 0.0
    faults: dict[str, list[Any]] = dataclasses.field(default_factory=lambda: collections.defaultdict(lambda: [0, None]))

    @property
    def tracebacks(self) -> int:
        return sum(count for count, _ in self.faults.values())


class TooSlow(BaseException):
    """Not an `Exception`: nothing on the way may take it for its own."""


@contextlib.contextmanager
def limited(memory: int = MEMORY, seconds: float = SECONDS):
    """At most so much more address space, and time, inside."""

    def stop(number, frame):
        raise TooSlow(f"more than {seconds:g} s")

    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    handler = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, hard))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))
        signal.signal(signal.SIGALRM, handler)


def ran(target: Target, given: Any) -> UserError | None:
    """The error that was said, or None for a result; raises all else."""
    try:
        with limited(seconds=target.seconds), notices.gathered(), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            target.act(given)
    except MemoryError:  # the program says so in a line; here nothing may need so much
        raise
    except Exception as error:
        error = edge.explained(error) if not isinstance(error, UserError) else error
        if error is None:
            raise
        line = str(error)
        assert line and "\n" not in line and len(line) <= LONGEST_LINE, f"no line: {line[:300]!r}"
        line.encode("utf-8", "surrogateescape")  # as it is printed
        return error
    told = [one for one in warned if not issubclass(one.category, (DeprecationWarning, ResourceWarning))]
    assert not told, f"a warning on the user's terminal: {told[0].category.__name__}: {told[0].message}"
    return None


def tallied(target: Target, examples: int, seconds: float, seed: int) -> Tally:
    """Runs inputs until so many were run or so many seconds have passed, whichever is first; goes on after a fault."""
    if hasattr(target.act, "warm"):
        target.act.warm()
    tally, end = Tally(), time.monotonic() + seconds

    def one(given):
        if tally.inputs >= examples or time.monotonic() > end:
            return
        start = time.monotonic()
        tally.inputs += 1
        try:
            tally.errors += ran(target, given) is not None
        except (Exception, TooSlow) as error:
            fault = tally.faults[place(error)]
            fault[0] += 1
            fault[1] = repr(given)[:4000] if fault[1] is None else fault[1]
        tally.slowest = max(tally.slowest, time.monotonic() - start)

    while tally.inputs < examples and time.monotonic() < end:
        wanted = min(200, examples)
        how = hypothesis.settings(
            max_examples=wanted,
            deadline=None,
            database=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        before = tally.inputs
        hypothesis.seed(seed)(how(hypothesis.given(target.inputs)(one)))()
        seed += 1
        if tally.inputs == before:  # a strategy of few inputs
            break
    return tally


def place(error: BaseException) -> str:
    """Its kind, what it says, and where in our code it came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/tests/" not in frame.filename]
    ours = [
        frame for frame in frames if any(f"/{room}/" in frame.filename for room in ("data_prep", "tfunc", "launch"))
    ]
    last = (ours or frames or [None])[-1]
    where = f"{last.filename.rsplit('/', 3)[-2]}/{last.filename.rsplit('/', 1)[-1]}:{last.lineno}" if last else "?"
    said = re.sub(
        rf"{re.escape(tempfile.gettempdir())}/[^/]+", "…", str(error)
    )  # a machine's paths are in no file of ours
    return f"{type(error).__name__}: {said[:120]} at {where}"
