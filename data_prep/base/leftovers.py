"""What killed processes leave: files and folders that were being written aside. They are found by name and removed.

The name says who writes: the host with the process's own namespace (two containers may have one host's name, and equal
process ids) and the process id.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import re
import shutil
import socket
import time

OLD_SECONDS = 7 * 86400  # no writer leaves what it writes untouched for a week, on whichever host it runs
_LEFT = re.compile(r"\.partial-(?P<writer>.+?)-(?P<process>\d+)-(?P<name>.+)", re.DOTALL)


def partial(name: str) -> str:
    """The name under which this process writes a file or folder aside that shall be called `name`."""
    return f".partial-{_writer()}-{os.getpid()}-{name}"


def writer() -> str:
    """The name of this host and of the namespace of its processes, in which a process's number means it."""
    return _writer()


def is_gone(host: str, process: int) -> bool:
    """Whether a process is known to have ended: one of this host, as `writer` names it, that does not run."""
    return host == _writer() and not _runs(process)


def meant(path: str) -> str:
    """The path under which a file or folder that is being written aside shall be found, as an error names it."""
    return str(pathlib.PurePath(*map(_name_meant, pathlib.PurePath(path).parts))) if ".partial-" in path else path


def finished(folder: pathlib.Path, pattern: str) -> list[pathlib.Path]:
    """What a pattern finds in a folder, in order of names, but for what is being written aside, or was when it was killed."""
    return sorted(path for path in folder.glob(pattern) if meant(path.name) == path.name)


def sweep(folder: pathlib.Path | str) -> None:
    """Removes what is left in `folder` by processes of this host that are gone, and whatever of the kind is a week old.

    What a process that is alive writes stays, and so does what another host or container wrote this week. A folder that
    can't be read or written is left as it is.
    """
    for path in left(folder):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def left(folder: pathlib.Path | str) -> list[pathlib.Path]:
    """What `sweep` would remove from `folder`, in order of name; nothing of a folder that can't be read."""
    try:
        with os.scandir(folder) as entries:
            found = [pathlib.Path(entry.path) for entry in entries if entry.name.startswith(".partial-")]
    except OSError:
        return []
    return sorted(path for path in found if _is_left(path))


@functools.cache
def _sweep_once(folder: str, process: int) -> None:
    sweep(folder)


def sweep_once(folder: pathlib.Path | str) -> None:
    """`sweep`, the first time that this process asks."""
    _sweep_once(os.path.abspath(folder), os.getpid())


def _name_meant(name):
    ours = re.sub(rf"^\.partial-{re.escape(_writer())}-\d+-", "", name)  # a host's name may look like more of it
    found = _LEFT.fullmatch(ours)
    return found["name"] if found else ours


def _is_left(path):
    found = _LEFT.fullmatch(path.name)
    if found is None:
        return False
    process = _process_here(path.name)
    if process is not None:
        return process != os.getpid() and not _runs(process)
    try:
        return time.time() - path.lstat().st_mtime > OLD_SECONDS
    except OSError:  # it has just been renamed
        return False


def _process_here(name):
    """The process of this host that wrote a file of that name, or None where it may be another's.

    Earlier versions wrote the host's name alone; where a number stands in the place of the name's beginning, the host
    may be another whose name goes on, `node` and `node-1`.
    """
    for writer, rest in ((_writer(), r".+"), (socket.gethostname(), r"(?!\d+-).+")):
        if found := re.fullmatch(rf"\.partial-{re.escape(writer)}-(\d+)-{rest}", name, re.DOTALL):
            return int(found[1])
    return None


@functools.cache
def _writer():
    try:
        namespace = re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))
    except OSError:  # no such thing on this system
        return socket.gethostname()
    return f"{socket.gethostname()}.{namespace}"


def _runs(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
