"""What a disk, a permission or too little memory says through others' exceptions, as what the user can do about it.

TensorFlow's and HDF5's errors are told by their names and words, since a launcher need not have imported either.
"""

from __future__ import annotations

import ast
import errno
import os
import re

from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.base.remedies import FULL, REMEDIES, told

TOO_LITTLE_MEMORY = (
    "memory: not enough for this; give a smaller --batch_size, fewer --workers or --jobs_per_machine, or train a"
    " smaller network"
)

_WORDS = {os.strerror(number): number for number in REMEDIES}
_TENSORFLOW = re.compile(rf"^(?P<path>.*?); (?P<words>{'|'.join(map(re.escape, _WORDS))})", re.MULTILINE | re.DOTALL)
_BEFORE = re.compile(r"^(\{\{[^}]*\}\} *|\(\d+\) [\w ]+: |[A-Z][\w ]*: )+")  # the op, the kind, what was tried
_AFTER = re.compile(r"\s*\[Op:\w+\].*$", re.DOTALL)
_TEMPORARY = re.compile(r"(\.tmp[0-9a-f]{32}|\.tempstate\d+)$")  # what TensorFlow calls a file that it writes
_HDF5 = re.compile(r"name = '(?P<path>.*?)', .*?errno = (?P<number>[1-9]\d*), error message", re.DOTALL)
_LOOP = re.compile(r"Symlink loop from (?P<path>.*)", re.DOTALL)  # of pathlib before Python 3.13, not as an OSError
_MEMORY = re.compile(r"\bOOM\b|out.of.memory|failed to allocate|unable to allocate", re.IGNORECASE)


def explained(error: BaseException) -> UserError | None:
    """What the user can mend, or None for what may be a bug of ours.

    An error that was raised while one of a full disk or memory was on its way is that one's doing.
    """
    found = _mendable(error)
    if found is not None:
        return _told(*found)
    for cause in _causes(error):
        found = _mendable(cause)
        if found is not None and (found[1] in FULL or found[1] == errno.ENOMEM):
            return _told(*found)
    return None


def is_of_hdf5(error: BaseException) -> bool:
    """Whether HDF5 could not write: what it still holds of the file would end the process with a crash."""
    return any(_HDF5.search(str(one)) for one in (error, *_causes(error)) if isinstance(one, (OSError, RuntimeError)))


def _told(where, number, words):
    if number == errno.ENOMEM:
        return UserError(TOO_LITTLE_MEMORY)
    if number is None:  # damage
        do = "restore the file that was read, or make it anew"
        return UserError(where or "a file that was read", expected="it as it was written", found=words, do=do)
    return told(where, number)


def _mendable(error):
    """(the file, the system's number or None for damage, its words)."""
    if isinstance(error, MemoryError):
        return None, errno.ENOMEM, ""
    if isinstance(error, (OSError, RuntimeError)) and (found := _HDF5.search(str(error))):
        return _known(found["path"], int(found["number"]))
    if type(error) is RuntimeError and (found := _LOOP.fullmatch(str(error))):
        return _known(ast.literal_eval(found["path"]), errno.ELOOP)
    if isinstance(error, OSError):
        if error.errno is None and artefacts.SHORT_WRITE.search(str(error)):
            return _known(error.filename, errno.ENOSPC)
        return _known(error.filename, error.errno)
    return _of_tensorflow(error) if _is_tensorflow(error) else None


def _known(where, number):
    if number == errno.ENOMEM:
        return None, number, ""
    return (where, number, os.strerror(number)) if number in REMEDIES else None


def _is_tensorflow(error):
    return any(kind.__name__ in ("OpError", "ResourceExhaustedError") for kind in type(error).__mro__)


def _of_tensorflow(error):
    message = _BEFORE.sub("", _AFTER.sub("", str(getattr(error, "message", error))))
    if found := _TENSORFLOW.search(message):
        path = _BEFORE.sub("", found["path"].splitlines()[-1].strip()) if found["path"] else None
        return path and _TEMPORARY.sub("", path), _WORDS[found["words"]], found["words"]
    if (path := message.removesuffix(" is not a directory")) != message:
        return path, errno.ENOTDIR, os.strerror(errno.ENOTDIR)
    name = type(error).__name__
    if name == "ResourceExhaustedError" or _MEMORY.search(message):
        return None, errno.ENOMEM, ""
    return (None, None, message) if name == "DataLossError" else None


def _causes(error):
    seen = {id(error)}
    while (error := error.__cause__ or error.__context__) is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
