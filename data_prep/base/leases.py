"""A lock for file systems that have none: a file that only one process can make, and that its owner keeps touching.

Used by `locks` alone. A lease that was not touched for `LAPSED` seconds is nobody's: its process was killed, or its machine is
gone. The clocks of the machines must agree to within a minute or so, as those of a cluster do.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
import time
from typing import IO

BEAT, LAPSED = 15.0, 120.0  # seconds


class Lease:
    """What a process holds; ends with `close`, with the block that it is used in, or some time after the process."""

    def __init__(self, path: pathlib.Path, file: IO[str]):
        self.path, self._file = path, file
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beats, daemon=True)
        self._thread.start()

    def _beats(self):
        while not self._ended.wait(BEAT):
            with contextlib.suppress(OSError):  # removed by hand, or a file system that is away for a while
                os.utime(self.path)

    def fileno(self) -> int:
        """Of the open file, for a command to inherit; it does not prolong the lease."""
        return self._file.fileno()

    def close(self) -> None:
        """Lets go."""
        if not self._ended.is_set():
            self._ended.set()
            self._thread.join()
            self._file.close()
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def taken(path: pathlib.Path, holder: str) -> Lease | None:
    """The lease at `path`, which says who its holder is, or None where another process keeps it alive."""
    for _ in range(2):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            if not _lapsed(path):
                return None
            with contextlib.suppress(FileNotFoundError):
                # by renaming first: of two that find it lapsed one moves it, and neither removes what the other has made since
                aside = path.with_name(f"{path.name}.{os.getpid()}.lapsed")
                os.rename(path, aside)
                aside.unlink()
            continue
        with contextlib.suppress(OSError):  # on a full disk it is held all the same, and does not say by whom
            os.write(descriptor, holder.encode())
        return Lease(path, os.fdopen(descriptor, "w", encoding="utf-8"))
    return None


def lives(path: pathlib.Path) -> bool:
    """Whether a process holds the lease at `path`."""
    return not _lapsed(path)


def _lapsed(path):
    try:
        return time.time() - path.stat().st_mtime > LAPSED
    except FileNotFoundError:
        return True
