"""A part: one converted subject in one file, which says itself whether it is whole.

    parts/<subject>.part  a TFRecord file: first a JSON document, then the subject's slices, as many as the document says

A part lives until its shard is written, and there may be thousands: it is written aside and renamed, but not forced to the
disk, which for a photograph would take longer than all the rest. A kill leaves it whole or not there. A machine that loses its
power may leave it torn, or full of zeros: every record has its checksums, so a conversion that goes on reads what it finds and
makes anew what is not `whole`.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import msgspec

from data_prep import tf_example
from data_prep.base import artefacts, documents, notices
from data_prep.base.documents import Count
from data_prep.base.errors import UserError

ENDING = ".part"
FORMER = (".json", ".tfrecord")  # the two files that a part was in earlier versions
PIECE = 1 << 20  # bytes copied at a time


class Entry(msgspec.Struct):
    """What the manifest will say of a subject beside its name, split and place."""

    slices: Count
    training_slices: Count
    shape: tuple[Count, Count, Count]
    labelled: bool
    source: str
    source_size: tuple[Count, Count] | None
    header: str | None
    files: list[dict[str, Any]] = []
    voxels: list[Count] = []


class Part(msgspec.Struct):
    """The document of a part: the digest of what it was converted by, and what was noticed; an earlier version's lacks both."""

    entry: Entry
    request: str = ""
    noticed: notices.Document | None = None


def path(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Where the part of the subject `name` lies in the folder of parts."""
    return folder / f"{name}{ENDING}"


def write(folder: pathlib.Path, name: str, document: Mapping[str, Any], pieces: Iterable[Any]) -> None:
    """Writes a part. document: plain JSON types, with `entry.slices`. pieces: bytes of that many framed records."""
    head = json.dumps(document, allow_nan=False).encode()
    with artefacts.aside(path(folder, name), sync=False) as temporary, open(temporary, "wb") as file:
        file.writelines(tf_example.framed(head))
        file.writelines(pieces)


def whole(folder: pathlib.Path, name: str) -> dict[str, Any] | None:
    """The document of a part that is there to its last byte, all checksums read; else None."""
    try:
        with open(path(folder, name), "rb") as file:
            records = tf_example.records(file)
            document = _head(next(records), path(folder, name))
            slices = sum(1 for _ in records)
    except (FileNotFoundError, StopIteration, ValueError, UserError):  # converted again
        return None
    return document if slices == document["entry"]["slices"] else None


def _head(record: bytes, where: object) -> dict[str, Any]:
    try:
        document = documents.parsed(record.decode())
    except ValueError as error:
        raise UserError(where, expected="JSON at the head of a part", found=error, do="remove it") from None
    return documents.checked(document, Part, where, "remove it")


def read(file: BinaryIO) -> tuple[dict[str, Any], Iterator[bytes]]:
    """(the document, the bytes of the records piece by piece) of a part's open file, which is known to be whole."""
    return _head(next(tf_example.records(file)), file.name), pieces(file)


def pieces(file: BinaryIO, size: int | None = None) -> Iterator[bytes]:
    """The next `size` bytes of a file, or all that follow, piece by piece."""
    while size is None or size > 0:
        piece = file.read(PIECE if size is None else min(size, PIECE))
        if not piece:
            return
        if size is not None:
            size -= len(piece)
        yield piece


def remove(folder: pathlib.Path, names: Iterable[str]) -> None:
    """Removes the parts of these subjects, those that are there."""
    for name in names:
        artefacts.remove(path(folder, name), missing_ok=True)


def remove_former(folder: pathlib.Path, name: str) -> bool:
    """Removes what an earlier version converted of a subject; whether there was anything."""
    former = [found for ending in FORMER if (found := folder / f"{name}{ending}").exists()]
    for found in former:
        artefacts.remove(found, missing_ok=True)
    return bool(former)
