"""The allocator keeps what is freed: memory that was used once costs no new pages; what the user chose stays."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

# 30 times 48 MB, filled and freed, in a thread too: pages that the system had to map, after a warm-up
CODE = """
import resource, threading
from data_prep.base import allocator
print(allocator.keep_freed())
def work(times):
    for _ in range(times):
        b"x" * (48 << 20)
work(2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work(20)
thread = threading.Thread(target=work, args=(10,))
thread.start(), thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def ran(**environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    found = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, cwd=ROOT, env={**clean, **environment}
    )
    done, faults = found.stdout.split()
    return done == "True", int(faults)


def is_glibc():
    try:
        return os.confstr("CS_GNU_LIBC_VERSION").startswith("glibc")
    except (AttributeError, OSError, ValueError):
        return False


@pytest.mark.skipif(not is_glibc(), reason="another C library than glibc")
def test_what_is_freed_is_kept():
    """Thirty blocks of 48 MB map less than two blocks' pages; with glibc's own settings many times as many."""
    done, kept = ran()
    assert done and kept < 2 * (48 << 20) // os.sysconf("SC_PAGE_SIZE")
    done, mapped = ran(MALLOC_TOP_PAD_="131072")  # the user's own, which is glibc's
    assert not done and mapped > 5 * kept  # in huge pages, too, where a system has them for all


def test_the_users_own_settings_stay():
    assert ran(GLIBC_TUNABLES="glibc.malloc.trim_threshold=131072")[0] is False
