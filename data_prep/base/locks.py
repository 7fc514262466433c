"""One process at a time: a lock on a file, which the system lifts when the process ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
import pathlib
from typing import IO


def taken(path: pathlib.Path | str) -> IO[str] | None:
    """The open file that now holds the lock of `path`, or None where another process holds it.

    The lock lives as long as the file is open: here, or in a command that inherits it. On a file system without locks
    the file is returned all the same.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a")  # noqa: SIM115 - whoever asked closes it
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP):
            file.close()
            raise
    return file
