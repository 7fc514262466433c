"""How a process of ours starts: TensorFlow without its chatter, and a worker that does not outlive its parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

# oneDNN's convolutions are TensorFlow's default only on processors with instructions for neural networks; on others they
# halve the time of a training step all the same (BUILD_NOTES.md)
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1"}


def set_environment() -> None:
    """What TensorFlow is to find when it is imported first; a user's own settings stay."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def start_tensorflow() -> None:
    """Imports TensorFlow and looks for GPUs while standard error is set aside.

    TensorFlow's C++ code prints half a dozen lines about drivers and instruction sets there before any setting reaches
    it; a user's one-line error must not drown in them. If the import fails, the lines are shown.
    """
    set_environment()
    if "tensorflow" in sys.modules:
        return
    with _standard_error_aside():
        import tensorflow as tf

        tf.config.list_physical_devices()


def start_worker() -> None:
    """Initializer of a worker process: it starts TensorFlow, and ends when the process that made it is gone.

    A worker of a killed pool would otherwise wait for work forever.
    """

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    start_tensorflow()


def run_as_worker(function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Result:
    """`function(*args, **kwargs)` in a process that others started, a worker of a cluster, made ready as ours are."""
    start_tensorflow()
    return function(*args, **kwargs)


@contextlib.contextmanager
def _standard_error_aside():
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # no standard error at all
        yield
        return
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            aside.seek(0)
            os.write(kept, aside.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
