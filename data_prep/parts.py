"""Parts: subjects that are converted, in files which say themselves whether they are whole.

    parts/<subject>.part  a TFRecord file: a JSON document, then the subject's slices, as many as the document says; then
                          likewise of those that were converted with it, where they are small

A part lives until its subjects' shards are written, and there may be thousands: it is written aside and renamed, but not forced
to the disk, which for a photograph would take longer than all the rest. A kill leaves it whole or not there. A machine that
loses its power may leave it torn, or full of zeros: every record has its checksums, so a conversion that goes on reads what it
finds and makes anew what is not `whole`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import msgspec

from data_prep import splits, tf_example
from data_prep.base import artefacts, documents, notices
from data_prep.base.documents import Count
from data_prep.base.errors import UserError
from data_prep.base.names import Component

ENDING = ".part"
FORMER = (".json", ".tfrecord")  # the two files that a part was in earlier versions
PIECE = 1 << 20  # bytes copied at a time
SMALL = 1 << 20  # bytes of the files of all subjects in one part: making it takes as long as decoding a small one
MOST = 32  # subjects in one part


class Place(NamedTuple):
    """Where a converted subject lies: its part, and from which byte of it to which."""

    part: str
    start: int
    end: int


Whole = list[tuple[dict[str, Any], Place]]


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
    """What a part says of a subject: the digest of what it was converted by, and what was noticed.

    An earlier version's lacks these, and its name, which is that of the file.
    """

    entry: Entry
    name: Component | None = None
    request: str = ""
    noticed: notices.Document | None = None


def together(sources: Iterable[splits.Source], alone: bool) -> Iterator[tuple[splits.Source, ...]]:
    """Yields the sources of each part, in order: as many as are small. alone: one each, whatever their size."""
    group: list[splits.Source] = []
    size = 0
    for source in sources:
        own = SMALL if alone else sum(_size(file) for file in source.paths)
        if group and (size + own > SMALL or len(group) == MOST):
            yield tuple(group)
            group, size = [], 0
        group.append(source)
        size += own
    if group:
        yield tuple(group)


def _size(file):
    with contextlib.suppress(OSError):  # is said when it is read
        return os.path.getsize(file)
    return 0


def path(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Where the part lies whose first subject is `name`, in the folder of parts."""
    return folder / f"{name}{ENDING}"


def write(folder: pathlib.Path, subjects: Iterable[tuple[Mapping[str, Any], Iterable[Any]]]) -> dict[str, Place]:
    """Writes one part of several subjects, {name: where each lies}; nothing for no subjects, which are made as they are written.

    subjects: of each its document, plain JSON types with `name` and `entry.slices`, and the bytes of that many framed records.
    """
    subjects = iter(subjects)
    places: dict[str, Place] = {}
    for first in subjects:
        file_path = path(folder, first[0]["name"])
        with artefacts.aside(file_path, sync=False) as temporary, open(temporary, "wb") as file:
            for document, records in itertools.chain([first], subjects):
                start = file.tell()
                file.writelines(tf_example.framed(json.dumps(document, allow_nan=False).encode()))
                file.writelines(records)
                places[document["name"]] = Place(file_path.name, start, file.tell())
    return places


def whole(part: pathlib.Path) -> Whole:
    """(the document of each subject, where it lies) of a part that is there to its last byte, all checksums read; else none."""
    found: Whole = []
    try:
        with open(part, "rb") as file:
            records = tf_example.records(file)
            for head in records:
                document, start = _head(head, part), found[-1][1].end if found else 0
                slices = document["entry"]["slices"]
                if sum(1 for _ in itertools.islice(records, slices)) < slices:
                    return []
                found.append((document, Place(part.name, start, file.tell())))
    except (FileNotFoundError, ValueError, UserError):  # converted again
        return []
    return found


def _head(record: bytes, where: pathlib.Path) -> dict[str, Any]:
    try:
        document = documents.parsed(record.decode())
    except ValueError as error:
        raise UserError(where, expected="JSON at the head of a part", found=error, do="remove it") from None
    return {"name": where.stem, **documents.checked(document, Part, where, "remove it")}


def read(folder: pathlib.Path, place: Place) -> Iterator[Any]:
    """Yields a subject's document, then the bytes of its records piece by piece. Raises `UserError` for another part than was
    written, as a worker that was given up for dead may leave it."""
    part = folder / place.part
    changed = UserError(part, expected="the part as it was written", found="another", do="run the same command again")
    with open(part, "rb") as file:
        file.seek(place.start)
        try:
            head = next(tf_example.records(file), None)
        except ValueError:
            raise changed from None
        if head is None:
            raise changed
        yield _head(head, part)
        yield from pieces(file, place.end - file.tell())
        if file.tell() != place.end:
            raise changed


def pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The next `size` bytes of a file, piece by piece."""
    while size > 0 and (piece := file.read(min(size, PIECE))):
        size -= len(piece)
        yield piece


def alone(folder: pathlib.Path, part: pathlib.Path, subjects: Whole) -> Whole:
    """Gives these subjects of a part, of which the others are not wanted, parts of their own; what `whole` says of those."""
    found: Whole = []
    # last comes the subject whose own part replaces this one
    for document, place in sorted(subjects, key=lambda one: path(folder, one[0]["name"]) == part):
        records = read(folder, place)
        next(records)
        found.append((document, write(folder, [(document, records)])[document["name"]]))
    if part.name not in {place.part for _, place in found}:
        remove(folder, [part.name])
    return found


def remove(folder: pathlib.Path, parts: Iterable[str]) -> None:
    """Removes these parts, those that are there."""
    for part in parts:
        artefacts.remove(folder / part, missing_ok=True)


def remove_former(folder: pathlib.Path, names: Iterable[str]) -> set[str]:
    """Removes what an earlier version converted of these subjects; of whom there was something."""
    there, found = set(os.listdir(folder)) if folder.is_dir() else set(), set()
    for name in names:
        for former in (f"{name}{ending}" for ending in FORMER):
            if former in there:
                artefacts.remove(folder / former, missing_ok=True)
                found.add(name)
    return found
