"""--workers and --scheduler: who does the work of a program."""

from __future__ import annotations

from absl import flags

from launch import ceilings

FEW = "one a CPU, or none beside this for a small set"


def define(by_default: str = FEW) -> None:
    """--workers, which is None where it is not given, and --scheduler. by_default: how many there are then, in words."""
    flags.DEFINE_integer(
        "workers", None, f"processes; by default {by_default}", lower_bound=1, upper_bound=ceilings.PROCESSES
    )
    define_scheduler()


def define_scheduler() -> None:
    """--scheduler alone."""
    flags.DEFINE_string(
        "scheduler",
        None,
        "a Dask scheduler (tcp://host:8786), whose workers take the place of processes on this machine",
    )
