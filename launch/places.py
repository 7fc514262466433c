"""Flags that name folders and files: where one is a URL, the program works on the local folder that stands for it.

Before the program's work the folder is brought up to date, so far as this program reads it; while it works, what it writes aside
goes to the store at once (`data_prep/base/stores.py`) and its logs every half minute; what it prints has the URL.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

from absl import flags

from data_prep.base import mirrors, stores
from data_prep.base.errors import UserError

FLAGS = flags.FLAGS
PLACES = (
    "dataset", "raw_dir", "data_dir", "run_dir", "out_dir", "export_dir", "input", "predictions", "labels", "masks", "images",
    "init_from", "patients", "split_file",
)  # fmt: skip
PUSH_SECONDS = 30.0
SMALL = (
    ".json",
    ".csv",
    ".md",
    ".txt",
)  # of a run: all programs bring them; networks and maps are for those that read them
# of a run: which of its folders a program reads beside those; other programs read all
READS = {
    "train": ("networks",),
    "predict": ("networks", "recalibration", "predictions"),
    "evaluate": ("predictions", "recalibration", "evaluation"),
    "recalibrate": ("predictions", "recalibration"),
    "export": ("networks", "recalibration", "export"),
    "study": ("evaluation",),
}


@contextlib.contextmanager
def settled() -> Iterator[None]:
    """Inside, no flag of `PLACES` holds a URL any more; at the end all that was written is in its store."""
    given = {name: found for name in PLACES if name in FLAGS and (found := _urls(FLAGS[name].value))}
    if not given:
        yield
        return
    folders = [stores.local(url) for urls in given.values() for url in urls]
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Shown(sys.stdout), _Shown(sys.stderr)
    try:
        for name in given:
            _bring(name)
        with _pushing(folders):
            yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        sys.stdout, sys.stderr = before


def _urls(value):
    values = value if isinstance(value, list) else [value]
    return [one for one in values if stores.is_url(one)]


def _bring(name):
    """Brings what a flag names and gives it the local path."""
    value = FLAGS[name].value
    found = []
    for one in value if isinstance(value, list) else [value]:
        if not stores.is_url(one):
            found.append(one)
            continue
        path = stores.local(one)
        mirrors.fetch(path, _wants() if name == "run_dir" else mirrors.everything)
        found.append(str(path))
    FLAGS[name].value = found if isinstance(value, list) else found[0]


@dataclasses.dataclass(frozen=True)
class Wants:
    """What of a run a program reads.

    asked: the names of the method and the network that it was given. learns_from_maps: whether what it trains takes the
    segmentations of other networks. It travels to workers on other machines, which bring the same.
    """

    program: str
    asked: tuple[str, ...]
    learns_from_maps: bool = False

    def __call__(self, name: str) -> bool:
        """Whether a file is read, by its name in the run."""
        parts = pathlib.PurePosixPath(name).parts
        if parts[0] == "seeds" and len(parts) > 2:  # a run of another seed
            parts = parts[2:]
        if self.program not in READS or name.endswith(SMALL) or len(parts) == 1:
            return True
        top = parts[0].partition("@")[0]
        if top == "predictions" and self.program in ("train", "predict"):
            return self._are_read(parts[1])
        return top in READS[self.program]

    def _are_read(self, folder):
        """Whether the maps of a folder are: those that a network learns from, and those beside which a method's are written."""
        method, _, split = folder.partition("@")
        if self.program == "train":
            return split in ("heldout", "valid") and self.learns_from_maps
        return any(method.startswith(name) for name in self.asked)


def _wants():
    from tfunc import methods, networks  # here: who has no folder by URL need not wait for them

    given = {name: FLAGS[name].value for name in ("method", "network") if name in FLAGS and FLAGS[name].value}
    method = methods.METHODS.get(given.get("method", ""))
    trained = {*(method.networks if method else ()), given.get("network", "")}
    learns = any(networks.SINGLE[name].second_input for name in trained & set(networks.SINGLE))
    return Wants(pathlib.Path(sys.argv[0]).stem, tuple(given.values()), learns)


@contextlib.contextmanager
def _pushing(folders: list[pathlib.Path]) -> Iterator[None]:
    """Inside, logs are taken to the store every half minute; and once more at the end, however it ends."""
    ended = threading.Event()

    def push():
        while not ended.wait(PUSH_SECONDS):
            with contextlib.suppress(UserError, OSError):  # the last one says it
                _push(folders)

    thread = threading.Thread(target=push, daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        ended.set()
        thread.join()  # it writes its copies under the same names
        with contextlib.suppress(UserError, OSError):  # what ended it is what is said
            _push(folders)
        raise
    ended.set()
    thread.join()
    _push(folders)


def _push(folders):
    for folder in folders:
        mirrors.push(folder)


class _Shown:
    """A stream in which the paths of the cache are their URLs."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        """As the stream's."""
        return self._stream.write(stores.told(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
