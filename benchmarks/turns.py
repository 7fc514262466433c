"""Candidates that take turns: each environment is one process that prepares everything, then works only when it is its turn.

A machine whose speed drifts so treats all alike, and none works while another is timed. Any Python runs this module; a
script of workers ends with `serve(parts, versions)`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

SECONDS = 1.0  # a turn lasts at least so long, and at least one call, after one that is not timed


def serve(parts: Mapping[str, tuple[Callable[[], Any], int]], versions: Mapping[str, str]) -> None:
    """Says which parts there are, and answers each line of standard input that names one with the seconds of its calls.

    parts: {name: (call, images a call)}. All are called once first: they trace, compile and warm up.
    """
    ready = {}
    for name, (call, images) in parts.items():
        try:
            call()
        except Exception as error:  # a candidate that an engine cannot run is left out, and said
            first = str(error).strip().splitlines() or [type(error).__name__]
            print(f"{name}: left out, {first[0][:200]}", file=sys.stderr, flush=True)
            continue
        ready[name] = images
    print(json.dumps([dict(versions), ready]), flush=True)
    for line in sys.stdin:
        call, _ = parts[line.strip()]
        call()  # not timed: threads and memory that lay idle while others worked come back
        times: list[float] = []
        while not times or sum(times) < SECONDS:
            times.append(_seconds(call))
        print(json.dumps(times), flush=True)


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Worker:
    """A script in the environment of `python`, ready when this returns. Ends with it: its standard input closes."""

    def __init__(self, python: str, script: str, arguments: Sequence[str] = ()):
        pipe = subprocess.PIPE
        command = [python, script, *arguments]
        environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=environment, start_new_session=True
        )  # Ctrl-C is ours
        self.versions, self.images = self._answer()

    def _answer(self) -> Any:
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"error: {' '.join(self.process.args)} ended with exit code {self.process.wait()}")
        return json.loads(line)

    def turn(self, part: str) -> list[float]:
        """Seconds of each call of one turn."""
        self.process.stdin.write(f"{part}\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Lets the process end."""
        self.process.stdin.close()
        self.process.wait()


def measure(workers: Sequence[Worker], rounds: int) -> dict[str, list[float | None]]:
    """{part: images a second of each worker, None where it has no such part}: medians over the calls of all rounds.

    Says each round, and on Ctrl-C gives what was measured until then.
    """
    names = list(dict.fromkeys(name for one in workers for name in one.images))
    times: dict[tuple[str, int], list[float]] = {}
    try:
        for number in range(rounds):
            start = time.perf_counter()
            for name in names:
                for index, one in enumerate(workers):
                    if name in one.images:
                        times.setdefault((name, index), []).extend(one.turn(name))
            seconds = time.perf_counter() - start
            print(f"round {number + 1} of {rounds}: {seconds:.0f} s", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        if any((name, index) not in times for name in names for index, one in enumerate(workers) if name in one.images):
            sys.exit("stopped before the first round was over: nothing to report")
        print("stopped; what was measured until now:", file=sys.stderr, flush=True)
    return {
        name: [
            one.images[name] / statistics.median(times[name, index]) if (name, index) in times else None
            for index, one in enumerate(workers)
        ]
        for name in names
    }


def once(python: str, script: str, arguments: Sequence[str] = ()) -> None:
    """Runs a script to its end, for what it writes."""
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
    ended = subprocess.run([python, script, *arguments], env=environment, stdin=subprocess.DEVNULL)
    if ended.returncode:
        sys.exit(f"error: {python} {script} ended with exit code {ended.returncode}")
