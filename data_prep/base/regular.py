"""Only regular files are opened: a pipe waits for a writer that may never come, a device has no end."""

from __future__ import annotations

import os
import pathlib
import stat

from data_prep.base.errors import UserError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def require(path: pathlib.Path | str) -> None:
    """Raises `UserError` for what is there, links followed, and no regular file; what is not there is said by who opens it."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        found = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise UserError(path, expected="a regular file", found=found, do="put the file itself there, or take this away")
