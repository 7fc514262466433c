"""Small files that are read once though several ask for them: for their checksum, their pixels, their orientation.

Inside `kept()` what was read of a file stays until the block ends, so a photograph is opened once in place of five times, and
its checksum is of the very bytes that became its record.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import os
import pathlib
from collections.abc import Iterator

from data_prep.base import artefacts, regular
from data_prep.base.errors import UserError

MOST = 512 << 20  # bytes of a file that is read as a whole; 80 million pixels take 320 MB as they are

_kept: contextvars.ContextVar[dict[str, bytes] | None] = contextvars.ContextVar("kept", default=None)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Inside, files are read once. Their bytes stay in memory: meant for one subject's files, not for a cohort's."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def read(path: pathlib.Path | str) -> bytes:
    """The bytes of a regular file. Raises `UserError` for another kind and beyond `MOST`, `OSError` for what can't be read."""
    files = _kept.get()
    if files is not None and (known := files.get(str(path))) is not None:
        return known
    regular.require(path)
    with open(path, "rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > MOST:
            raise UserError(path, expected=f"at most {MOST >> 20} MiB", found=f"{size >> 20} MiB", do="take it away")
        content = file.read(size)  # and no more: a buffer of that many bytes is taken first
    if files is not None:
        files[str(path)] = content
    return content


def sha256(path: pathlib.Path | str) -> str:
    """Checksum of a file as 64 hexadecimal digits; inside `kept` of the bytes that `read` gives."""
    if _kept.get() is None or os.path.getsize(path) > MOST:
        return artefacts.sha256(path)
    return hashlib.sha256(read(path)).hexdigest()
