"""How many threads TensorFlow has: in the tests' processes, which share the cores, and in the programs that they start."""

import os

THREADS = "TF_NUM_INTRAOP_THREADS"


def share():
    """Gives a process of pytest-xdist its part of the cores; else they wait for each other's threads."""
    if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
        os.environ.setdefault(THREADS, str(max(1, os.cpu_count() // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))))


def users_environment():
    """The environment of a program as a user starts it: with all threads, on which the last digits of a training depend."""
    return {name: value for name, value in os.environ.items() if name != THREADS}
