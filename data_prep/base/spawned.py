"""Processes that import what their work needs, and not the script that started them.

`multiprocessing` imports the main module anew in every process that it spawns, for functions and classes that are defined there.
Ours are in packages, and what a user hands in becomes plain numbers and texts first. Without it a worker starts sooner, since a
launcher imports more than its work does, and a user's script need not be guarded by `if __name__ == "__main__"`.
"""

from __future__ import annotations

import multiprocessing.context
import threading
from multiprocessing import spawn
from typing import Any

MAIN = ("init_main_from_name", "init_main_from_path")  # of what a new process is told
_ours = (
    threading.local()
)  # whether this thread is starting a process of ours: a user's own are told of the script as ever
_told = spawn.get_preparation_data


class Process(multiprocessing.context.SpawnProcess):
    """A spawned process without the main module of its parent."""

    @staticmethod
    def _Popen(process_obj):
        _ours.starting = True
        try:
            return multiprocessing.context.SpawnProcess._Popen(process_obj)
        finally:
            _ours.starting = False


class Context(multiprocessing.context.SpawnContext):
    """As `multiprocessing.get_context("spawn")`, for functions and classes of modules that can be imported by name."""

    Process = Process


def _preparation_data(name: str) -> dict[str, Any]:
    told = _told(name)
    if getattr(_ours, "starting", False):
        for one in MAIN:
            told.pop(one, None)
    return told


spawn.get_preparation_data = _preparation_data
