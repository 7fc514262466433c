"""Arrays in NumPy's own files, read with suspicion: a header of some bytes can ask for any amount of memory."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from data_prep.base import regular
from data_prep.base.errors import UserError

DEFLATE_RATIO = 1032  # deflate cannot shrink further
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """(shape, dtype) that the array in a stream says it has; raises `ValueError` for another format, and for sizes below 0."""
    version = np.lib.format.read_magic(stream)
    if version not in _READERS:
        raise ValueError(f"version {version} of the format")
    shape, _, dtype = _READERS[version](stream)
    if any(size < 0 for size in shape):
        raise ValueError(f"a shape of {shape}")
    return tuple(shape), dtype


@contextlib.contextmanager
def told(path: pathlib.Path, expected: str, do: str) -> Iterator[None]:
    """What a damaged archive raises inside becomes a `UserError` naming `path`.

    zipfile and NumPy raise a dozen kinds, zlib.error, struct.error and tokenize.TokenError among them.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise UserError(path, expected="a file that can be read", found=error.strerror, do=do) from None
        raise UserError(path, expected=expected, found=str(error)[:200] or type(error).__name__, do=do) from None


def read_all(path: pathlib.Path, expected: str, do: str) -> list[NDArray[Any]]:
    """All arrays of numbers in an .npz file, in the order of their names; raises `UserError` for anything else.

    What each header asks for is compared with what the file can hold before anything is allocated.
    """
    regular.require(path)
    with told(path, expected, do), zipfile.ZipFile(path) as archive:
        return [_read(archive, archive.getinfo(name), path) for name in sorted(archive.namelist())]


def _read(archive, member, path):
    if member.compress_size > os.path.getsize(path) or member.file_size > DEFLATE_RATIO * (member.compress_size + 1):
        raise ValueError(f"{member.filename} of {member.file_size} bytes, which the file cannot hold")
    with archive.open(member) as stream:
        shape, dtype = header(stream)
    if dtype.kind not in "fiub" or math.prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"{member.filename} with a header that asks for {shape} of {dtype}")
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)
