"""One process at a time: a lock on a file, which the system lifts when the process ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
import functools
import logging
import pathlib
from typing import IO

NO_LOCKS = (
    errno.ENOSYS,
    errno.ENOLCK,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EINVAL,
)  # what a file system without them says


def taken(path: pathlib.Path | str) -> IO[str] | None:
    """The open file that now holds the lock of `path`, or None where another process holds it.

    The lock lives as long as the file is open: here, or in a command that inherits it. On a file system without locks
    (Lustre mounted without them, NFS without a lock daemon) the file is returned all the same, and a warning says so.
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
        if error.errno not in NO_LOCKS:
            file.close()
            raise
        _warn(str(path.parent), error.strerror)
    return file


@functools.cache
def _warn(folder: str, reason: str) -> None:
    text = (
        "%s: no lock can be taken here (%s), so nothing stops a second process from doing the same work: start one only"
    )
    logging.getLogger(__name__).warning(text, folder, reason)
