"""What the user can do about what a disk, a folder or a limit of the system says, in one wording for all programs."""

from __future__ import annotations

import errno
import os

from data_prep.base import leftovers
from data_prep.base.errors import UserError

_FULL = (
    "room on the disk",
    "make room there, or choose another folder; the same command goes on from what is whole",
)
_CLOSED = ("permission to read and write there", "mend its permissions, or choose another folder")
_ABSENT = ("a file or folder there", "look at the path, and whether another process removes or moves it")
_FORM = ("a folder where one is needed, and a file where one is", "look at the path, or choose another")
_ILL = ("a disk that reads and writes", "look at the disk or the network share, then run the same command again")
_FILES = ("fewer open files", "raise the limit, as with `ulimit -n 4096`, or give fewer --workers")
_LARGE = ("files of any size", "raise the limit, as with `ulimit -f unlimited`, or choose another file system")
_LOOP = ("a path that leads somewhere", "look at its links, one of which leads back to itself")
_LONG = ("a path that the disk can hold", "choose a folder with a shorter path")
_BY_NAME = {
    "ENOSPC": _FULL, "EDQUOT": _FULL, "EACCES": _CLOSED, "EPERM": _CLOSED, "EROFS": _CLOSED, "ENOENT": _ABSENT,
    "ENOTDIR": _FORM, "EEXIST": _FORM, "EISDIR": _FORM, "EIO": _ILL, "ESTALE": _ILL, "EREMOTEIO": _ILL, "ENODEV": _ILL,
    "ENXIO": _ILL, "ENOTCONN": _ILL, "EHOSTDOWN": _ILL, "EMFILE": _FILES, "ENFILE": _FILES, "EFBIG": _LARGE,
    "ENAMETOOLONG": _LONG, "ELOOP": _LOOP,
}  # fmt: skip
# {the system's number: (what was expected, what to do)}
REMEDIES = {number: told for name, told in _BY_NAME.items() if (number := getattr(errno, name, None)) is not None}
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def told(where: str | bytes | None, number: int) -> UserError:
    """The line for a number of `REMEDIES`. where: the file, also under the name that it is written aside by; None: unknown."""
    expected, do = REMEDIES[number]
    named = leftovers.meant(os.fsdecode(where)) if where else "the disk"
    return UserError(named, expected=expected, found=os.strerror(number), do=do)


def of_error(error: OSError, where: object) -> UserError | None:
    """The line for an error of the system, or None where no remedy is known. where: what it is about, if it names no file."""
    if error.errno is None or error.errno not in REMEDIES:
        return None
    return told(error.filename if isinstance(error.filename, (str, bytes)) else str(where), error.errno)
