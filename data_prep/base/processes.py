"""How a process of ours starts: on settings of its own, TensorFlow without its chatter; and a worker that ends with its parent.

What the user keeps for other work (a keras.json, KERAS_BACKEND, a matplotlibrc) must not change a number of ours.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

from data_prep.base import allocator, mirrors, signals, stores, streams
from data_prep.base.errors import UserError

# oneDNN's convolutions are TensorFlow's default only on processors with instructions for neural networks; on others they
# halve the time of a training step all the same (docs/reference/measurements.md)
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1"}
# what our code is written for, whatever the user set for other work; HDF5's locks would fail where a file system has
# none, and each of our files has one writer, which writes it aside
KERAS = {"KERAS_BACKEND": "tensorflow", "KERAS_NNX_ENABLED": "false"}
# what Keras imports where it is installed, for functions that none of our programs calls: a third of a start's time
UNUSED = ("IPython", "huggingface_hub", "matplotlib", "pandas", "sklearn")
_starting = threading.Lock()
RELIED_ON = {**KERAS, "MPLBACKEND": "Agg", "HDF5_USE_FILE_LOCKING": "FALSE"}
PARENT = "TFUNC_PARENT"  # the process that a program ends with, by its number, where its starter asks for that
WATCH_SECONDS = 1.0
# Dask's nannies set the first three to one thread for whatever their workers start; on the last two a training's digits depend
THREADS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)  # fmt: skip


def set_environment() -> None:
    """What TensorFlow, Keras and matplotlib are to find when they are imported first.

    A user's own `ENVIRONMENT` stays; what is `RELIED_ON` does not.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.update(RELIED_ON)


def choose_backend() -> None:
    """The same of Keras' backend alone, for a process that is not ours: before Keras is imported there, not after."""
    if "keras" not in sys.modules:
        os.environ.update(KERAS)


def start_quietly() -> None:
    """Imports TensorFlow, unless it is there already, without its lines on standard error, in a process that is not ours.

    Its settings, matplotlib's backend and the user's keras.json stay as they are; only Keras' backend is ours.
    """
    choose_backend()
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with _starting:
        if "tensorflow" not in sys.modules:
            with _standard_error_aside():
                _import()


def start_tensorflow() -> None:
    """Imports TensorFlow and Keras, the latter without the user's keras.json, and looks for GPUs; standard error is set aside.

    TensorFlow's C++ code prints half a dozen lines about drivers and instruction sets there before any setting reaches
    it; a user's one-line error must not drown in them. If the import fails, the lines are shown.
    """
    set_environment()
    with _starting:  # a cluster's worker may call from several threads, and the environment is of the whole process
        if "tensorflow" in sys.modules:
            return
        allocator.keep_freed()
        _start()


def _start():
    with _standard_error_aside(), _without_keras_json(), _without(UNUSED):
        _import()


def _import():
    collected = gc.isenabled()
    gc.disable()  # what an import makes stays: looking through it for garbage takes a fifth of the time
    try:
        import keras  # noqa: F401 - its settings are read when it is imported first
        import tensorflow as tf
    finally:
        if collected:
            gc.enable()
    tf.config.list_physical_devices()


@contextlib.contextmanager
def _without(packages):
    """Inside, these packages are not installed, so far as whoever imports them can tell, unless they were imported before."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # as Python's documentation has it: None makes an import fail
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


@contextlib.contextmanager
def _without_keras_json():
    """Keras looks for its settings in a folder that is empty; it writes its defaults there, not into the user's home."""
    before = os.environ.get("KERAS_HOME")
    with tempfile.TemporaryDirectory(prefix="keras-") as empty:
        os.environ["KERAS_HOME"] = empty
        try:
            yield
        finally:
            if before is None:
                os.environ.pop("KERAS_HOME", None)
            else:
                os.environ["KERAS_HOME"] = before


def start_worker(tensorflow: bool = True) -> None:
    """Initializer of a worker process: it starts TensorFlow, and ends when the process that made it is gone.

    A worker of a killed pool would otherwise wait for work forever.  tensorflow: whether its work needs it; starting it takes
    seconds.
    """

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    signals.ignore_in_worker()
    streams.settle()
    threading.Thread(target=watch, daemon=True).start()
    if tensorflow:
        start_tensorflow()


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a process of ours runs under, for one that others started, a worker of a cluster: it travels with every call.

    environment: {variable: value, None where it is not set}.  folder: the working directory, which relative paths begin at.
    tensorflow: whether the work needs it; starting it takes seconds.  brought: its folders by URL, which are brought to the
    other machine too, once for each of `of`, a process.
    """

    environment: Mapping[str, str | None]
    folder: str
    tensorflow: bool
    brought: Mapping[str, mirrors.Wants] = dataclasses.field(default_factory=dict)
    of: str = ""

    def apply(self) -> None:
        """Makes this process as the one that called; raises `UserError` where it cannot see that one's folder."""
        for name, value in self.environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        try:
            os.chdir(self.folder)  # whatever this process was in, which may be gone
        except OSError as error:
            raise UserError(
                self.folder,
                expected="the folder that the command was given in, also on every machine of the cluster",
                found=error.strerror,
                do="mount it there, or give the command in a folder that all of them see",
            ) from None
        mirrors.fetch_once(self.of, self.brought)
        if self.tensorflow:
            start_tensorflow()


def settings(tensorflow: bool = True) -> Settings:
    """Those of this process. tensorflow: whether the work that they go with needs it."""
    names = (*ENVIRONMENT, *RELIED_ON, *THREADS, stores.ROOT)
    environment = {name: os.environ.get(name) for name in names}
    return Settings(environment, os.getcwd(), tensorflow, mirrors.brought(), uuid.uuid4().hex)


def end_with_starter() -> None:
    """Where whoever started this program asked for it (`PARENT`): when that process is gone, this one is asked to end.

    A worker of a cluster that is killed leaves its job to another worker, and must not leave a process that goes on with it.
    """
    if (number := os.environ.pop(PARENT, "")) == "":
        return

    def watch():
        while str(os.getppid()) == number:
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)  # as a scheduler asks: it saves its state

    threading.Thread(target=watch, daemon=True).start()


def run_as_worker(settings: Settings, call: bytes) -> Any:
    """A call in a process that others started, a worker of a cluster, made ready as ours are before any module of it is imported.

    call: (function, arguments, arguments by name), pickled; reading it imports what the function needs, TensorFlow perhaps.
    """
    settings.apply()
    function, arguments, named = pickle.loads(call)
    return function(*arguments, **named)


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
        except Exception:  # a signal that asks to end is none, and needs no lines
            aside.seek(0)
            os.write(kept, aside.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
