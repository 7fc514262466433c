"""Programs that write, killed at random moments: the same command makes what it would have made, and nothing else is left.

TFUNC_KILLS is how many kills of each program, 1 by default and then of the quick ones only; of studies it is a quarter.
TFUNC_KILLS_LOG names a file to which each is written as a line. docs/reference/reliability.md has the outcome of a long run.
"""

import os
import pathlib
import signal
import time
import zlib

import numpy as np
import pytest
import writing_programs
from writing_programs import tried  # noqa: F401 - a fixture

COUNT = int(os.environ.get("TFUNC_KILLS", "1"))
QUICK = ("phantom", "prepare", "predict", "predict --input", "recalibrate")
LOG = os.environ.get("TFUNC_KILLS_LOG")


def family(process):
    """The process and all that it and they have started."""
    parents = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def kill(process, whole):
    """SIGKILL to the process alone, as one that has taken too much memory gets it, or to all that it has started as well."""
    for one in family(process) if whole else [process]:
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue


def log(*words):
    if LOG:
        with open(LOG, "a") as file:
            print(time.strftime("%H:%M:%S"), *words, sep="\t", file=file)


@pytest.mark.long
@pytest.mark.parametrize("name", writing_programs.BY_NAME)
def test_a_killed_program_loses_nothing(tried, name):  # noqa: F811
    """Each time from the beginning: killed at a moment of its own, then run to its end."""
    program = writing_programs.BY_NAME[name]
    count = (COUNT + 3) // 4 if program.heavy else COUNT
    if COUNT < 2 and name not in QUICK:
        pytest.skip("some seconds for each; TFUNC_KILLS=2 kills these too")
    rng = np.random.default_rng([zlib.crc32(name.encode()), COUNT])
    _, seconds = tried.undisturbed(program)
    faults, number = [], 0
    while number < count:
        tried.lay_out(program)
        started = tried.start(program)
        moment, whole = rng.uniform(0, seconds), number % 2 == 1
        time.sleep(moment)
        kill(started[0], whole)
        if tried.launch.end(started).code != -signal.SIGKILL:
            seconds = moment  # it is over sooner than once measured, on a machine that had more to do
            continue
        number += 1
        again = tried.run(program)
        different = again.err.splitlines()[-1:] if again.code else tried.differences(program)
        faults += [(round(moment, 2), different)] if different else []
        log(name, f"{moment:.2f} of {seconds:.1f} s", "all" if whole else "one", different)
    assert faults == []
