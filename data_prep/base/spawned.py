"""Processes that import what their work needs, and not the script that started them.

`multiprocessing` imports the main module anew in every process that it spawns, for functions that are defined there. Ours are
in packages. Without it a worker starts sooner, since a launcher imports more than its work does, and a user's script need not be
guarded by `if __name__ == "__main__"`.
"""

from __future__ import annotations

import contextlib
import multiprocessing.context
import sys
import threading
from collections.abc import Iterator
from typing import Any

TELL = ("__spec__", "__file__")  # where a module came from
_starting = threading.Lock()


class Process(multiprocessing.context.SpawnProcess):
    """A spawned process without the main module of its parent."""

    @staticmethod
    def _Popen(process_obj):
        with _starting, _main_untold():
            return multiprocessing.context.SpawnProcess._Popen(process_obj)


class Context(multiprocessing.context.SpawnContext):
    """As `multiprocessing.get_context("spawn")`, for functions of modules that can be imported by name."""

    Process = Process


@contextlib.contextmanager
def _main_untold() -> Iterator[None]:
    """Inside, nothing tells where the main module came from: a new process is told that, and so imports it.

    Its functions stay what they are for other threads, which might pickle one meanwhile.
    """
    main: dict[str, Any] = sys.modules["__main__"].__dict__
    told = {name: main[name] for name in TELL if name in main}
    main.update(dict.fromkeys(TELL))
    try:
        yield
    finally:
        for name in TELL:
            del main[name]
        main.update(told)
