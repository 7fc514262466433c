"""A little fuzzing in every test run, always of the same inputs; `make fuzz` goes on for as long as it is given.

TFUNC_FUZZ_EXAMPLES is how many inputs each target gets, 15 by default; those that need TensorFlow get two.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

import hypothesis.strategies as st
import pytest
from conftest import ROOT
from fuzz import harness

from data_prep.base.errors import UserError

EXAMPLES = int(os.environ.get("TFUNC_FUZZ_EXAMPLES", "15"))


@pytest.mark.long
@pytest.mark.parametrize(("tensorflow", "examples"), [("none", EXAMPLES), ("only", 2)])
def test_every_input_ends_in_a_result_or_a_line(tensorflow, examples):
    """Without TensorFlow in a process in which memory is told apart; the output names the first input of each fault."""
    command = [sys.executable, str(ROOT / "tests" / "fuzz" / "run_fuzz.py"), f"--examples={examples}", "--seed=20"]
    ended = subprocess.run(
        [*command, f"--tensorflow={tensorflow}", "--together", "--minutes=0.3"], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]


def grows(given):
    bytearray(2 << 30)


def waits(given):
    time.sleep(5)


def fails(given):
    raise KeyError("shape")


def says(given):
    raise UserError("a.json", expected="x", found="y")


def two_lines(given):
    error = UserError("a.json")
    error.args = ("one\ntwo",)
    raise error


@pytest.mark.parametrize(
    ("act", "fault"), [(grows, "MemoryError"), (waits, "TooSlow"), (fails, "KeyError: 'shape'"), (two_lines, "no line")]
)
def test_what_is_no_line_is_a_fault(act, fault):
    """Memory, time, tracebacks and errors of several lines; the first input is kept."""
    target = harness.Target("t", st.just(b"x"), act, seconds=0.2)
    tally = harness.tallied(target, 1, 5.0, 1)
    assert (tally.inputs, tally.errors, tally.tracebacks) == (1, 0, 1)
    ((where, (count, given)),) = tally.faults.items()
    assert fault in where and count == 1 and given == "b'x'"


def test_lines_and_results_are_counted():
    """And the limits are gone afterwards."""
    both = harness.Target("t", st.booleans(), lambda given: says(given) if given else None)
    tally = harness.tallied(both, 50, 5.0, 1)
    assert tally.tracebacks == 0 and 0 < tally.errors < tally.inputs
    with contextlib.suppress(AttributeError):
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
