"""One process at a time: a lock on a file, which the system lifts when the process ends, however it ends.

Where a file system has no such locks (Lustre mounted without them, NFS without a lock daemon) it is a lease (`leases`). In a
folder that stands for a URL it is this machine's lock and a lease in the store (`store_leases`), which keeps other machines out.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import socket
import time
from collections.abc import Iterator
from typing import IO

from data_prep.base import leases, mirrors, store_leases, stores
from data_prep.base.errors import NotReady
from data_prep.base.leases import Lease

# what a file system without locks says
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)  # what a folder says that can only be read
NAME = ".lock"
NAMING_TRIES, NAMING_SECONDS = 20, 0.05


def taken(path: pathlib.Path | str) -> IO[str] | Lease | None:
    """What now holds the lock of `path`, to be closed, or None where another process holds it.

    The lock lives as long as the file is open: here, or in a command that inherits it. A lease lives as long as this process.
    """
    path = pathlib.Path(path)
    found, url = _taken_here(path), stores.of(path)
    if found is None or url is None:
        return found
    try:
        lease = store_leases.taken(url, _self(), found)
    except BaseException:
        found.close()
        raise
    if lease is None:
        found.close()
        return None
    try:
        mirrors.fetch_around(path)  # its last holder may have finished since this process looked
    except BaseException:
        lease.close()
        raise
    return lease


def _taken_here(path):
    """The lock of this machine."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a")  # noqa: SIM115 - whoever asked closes it
        found = _locked(file, path)
        if found is not file or _is_at(file, path):
            return found
        file.close()  # its last holder has removed it since it was opened: the next one would lock another file


def _locked(file, path):
    """The file with its lock, a lease in its place, or None where another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError as error:
        file.close()
        if error.errno not in NO_LOCKS:
            raise
        return leases.taken(_lease(path), _self())
    with contextlib.suppress(OSError):  # on a full disk it is held all the same, and does not say by whom
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), _self().encode())
    return file


def _is_at(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def is_held(path: pathlib.Path | str) -> bool:
    """Whether a process holds the lock of `path`, which is neither made nor changed."""
    url = stores.of(path)
    return _is_held_here(pathlib.Path(path)) or (url is not None and store_leases.holder(url) is not None)


def _is_held_here(path):
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        return error.errno in NO_LOCKS and leases.lives(_lease(path))
    return False


def holder(path: pathlib.Path | str) -> str:
    """Who holds the lock of `path`, in words."""
    url = stores.of(path)
    if url is not None and (found := store_leases.holder(url)) is not None:
        return found
    for _ in range(NAMING_TRIES):
        for file in (_lease(pathlib.Path(path)), pathlib.Path(path)):
            with contextlib.suppress(OSError):
                if text := file.read_text(encoding="utf-8", errors="replace").strip():
                    return text
        time.sleep(NAMING_SECONDS)  # it has just taken it, and writes its name next; on a full disk it has none
    return "another process"


@contextlib.contextmanager
def held(folder: pathlib.Path | str, what: str, of: str = "") -> Iterator[None]:
    """Inside the block no other process writes `what` in the folder; raises `NotReady` that says who does.

    of: what of the folder is held, a name, where others may write the rest; the lock's file is then gone after the block.
    In a folder that can only be read nobody writes, and nothing is held. Folders that are new are gone again where the block
    fails before anything was written.
    """
    path = pathlib.Path(folder) / (f".{of}{NAME}" if of else NAME)
    new = [place for place in (path.parent, *path.parent.parents) if not place.exists()]
    try:
        lock = taken(path)
    except OSError as error:
        if error.errno not in NOT_OURS:
            raise
        yield
        return
    if lock is None:
        expected = f"{what} that nobody else writes"
        raise NotReady(pathlib.Path(folder) / of, expected=expected, found=holder(path), do="wait for it to end")
    with lock:
        try:
            yield
        except BaseException:
            if new:
                _remove_empty(path, new)
            raise
        finally:
            if of:
                path.unlink(missing_ok=True)


def _remove_empty(path, folders):
    """Removes folders in which nothing lies but a lock, the innermost first."""
    with contextlib.suppress(OSError):  # the block may have removed them, and others may have come
        if os.listdir(path.parent) == [path.name]:
            os.unlink(path)
            for folder in folders:
                os.rmdir(folder)


def _self():
    return f"process {os.getpid()} on {socket.gethostname()}"


def _lease(path):
    return path.with_name(f"{path.name}.lease")
