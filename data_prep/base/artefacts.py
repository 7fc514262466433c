"""Files that are either whole or not there: written aside, then renamed."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from data_prep.base import documents, json_text, leftovers, regular, stores
from data_prep.base.errors import UserError
from data_prep.base.streams import text_of

FULL = {
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)
}  # what only a write says
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # NumPy's words for a disk that took a part
_written: contextvars.ContextVar[list[pathlib.Path] | None] = contextvars.ContextVar("written", default=None)
LARGEST = 1 << 29  # bytes of a JSON file that is read; the manifest of 100,000 subjects has a quarter of it
LONGEST = 200  # characters of a value in a difference
SEAL = "seal"  # the entry of our JSON documents by which they vouch for themselves


@contextlib.contextmanager
def aside(path: pathlib.Path | str, sync: bool = True) -> Iterator[pathlib.Path]:
    """Yields a temporary path beside `path` (same ending, so that writers choose the same format); renames it at the end.

    A kill leaves at most a file named `.partial-<host>-<pid>-<name>`, which nothing reads and the next process that writes
    into the folder removes (`leftovers.sweep`). On an exception the temporary file is removed and `path` stays as it was.
    sync: forced to the disk before it is renamed; without, a file can be torn when the machine loses its power, and whoever
    reads it must see that.
    """
    path = pathlib.Path(path)
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    leftovers.sweep_once(path.parent)
    temporary = path.with_name(leftovers.partial(path.name))
    try:
        with _naming(temporary, path):
            yield temporary
        if sync:
            _sync(temporary)
        stores.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        _sync(path.parent)
    if (listed := _written.get()) is not None:
        listed.append(path)


@contextlib.contextmanager
def written() -> Iterator[list[pathlib.Path]]:
    """Yields a list of the files that `aside` has renamed inside, in order; it grows."""
    listed: list[pathlib.Path] = []
    token = _written.set(listed)
    try:
        yield listed
    finally:
        _written.reset(token)


@contextlib.contextmanager
def folder_aside(path: pathlib.Path | str) -> Iterator[pathlib.Path]:
    """The same for a folder: yields a new one beside `path` and renames it at the end, which needs `path` not to be there.

    What killed processes left in that folder is removed.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    leftovers.sweep(path.parent)
    temporary = path.with_name(leftovers.partial(path.name))
    temporary.mkdir()
    try:
        with _naming(temporary, path):
            yield temporary
        for written in [*temporary.rglob("*"), temporary]:
            _sync(written)
        try:
            stores.publish_folder(temporary, path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise UserError(path, expected="nothing there", found="what another process wrote meanwhile") from None
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _naming(temporary, path):
    """An error of what is written at `temporary` names `path`, which is what the user knows.

    An error of a write has no file's name, and NumPy's no number either; one of reading must not get this name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None and SHORT_WRITE.search(str(error)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        if error.filename is None and error.errno in FULL:
            error.filename = str(path)
        elif isinstance(error.filename, str) and error.filename.startswith(str(temporary)):
            error.filename = str(path) + error.filename.removeprefix(str(temporary))
        raise


def rename(source: pathlib.Path | str, path: pathlib.Path | str) -> None:
    """Gives a file that is whole another name, in place of what has it."""
    stores.rename(source, path)


def remove(path: pathlib.Path | str, missing_ok: bool = False) -> None:
    """Removes a file that `aside` wrote. What vouches for others goes before them."""
    stores.remove(path, missing_ok)


def remove_tree(path: pathlib.Path | str) -> None:
    """Removes a folder and all in it, so far as it can be removed."""
    stores.remove_tree(path)


def naming(path: pathlib.Path | str) -> contextlib.AbstractContextManager[None]:
    """Inside the block a full disk's error without a file's name gets that of `path`, which grows there: a log."""
    return _naming(path, path)


def _sync(path):
    """Forces a file, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = leftovers.meant(str(path))
        raise
    finally:
        os.close(descriptor)


def check_room(path: pathlib.Path | str, size: int) -> None:
    """Raises the `OSError` of a full disk or quota, naming `path`, where a file of `size` bytes can't be written there now.

    For a writer that does not survive the error: HDF5 crashes when a file that it could not write is closed.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with _naming(path, path), open(path, "ab") as file:
        if size > (before := file.tell()):
            try:
                os.posix_fallocate(file.fileno(), before, size - before)
            finally:
                file.truncate(before)


def write_text(path: pathlib.Path | str, text: str) -> None:
    """Writes `text` as UTF-8, atomically, whatever the locale; for a byte of a file's name that is no text stands `\\xfc`."""
    write_pieces(path, [text])


def write_pieces(path: pathlib.Path | str, pieces: Iterable[str]) -> None:
    """Writes a text as `write_text` does, of which only a piece is in memory at a time."""
    with aside(path) as temporary, open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(map(text_of, pieces))


def write_json(path: pathlib.Path | str, value: Any) -> None:
    """Writes `value` as indented JSON, atomically. NaN is refused: it isn't JSON."""
    write_pieces(path, itertools.chain(json_text.indented(value), "\n"))


def write_document(path: pathlib.Path | str, document: Mapping[str, Any]) -> None:
    """Writes a JSON object that vouches for itself, as all of ours do: its last entry is a checksum of the others."""
    write_json(path, sealed(document))


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its seal, as it is written."""
    return {**document, SEAL: digest(json_text.ordered(dict(document)))}


def digest(pieces: Iterable[str]) -> str:
    """SHA-256 of a text, 64 hexadecimal digits."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece.encode())
    return found.hexdigest()


def read_json(path: pathlib.Path | str, apart: str | None = None) -> Any:
    """Reads a JSON file, without its seal where it has one; raises `UserError` naming the file where it is missing or broken.

    A document of ours that is not as it was written is broken, whether a disk or a hand did it: what is made from it would not
    be what it says. Files of others, and of earlier versions, have no seal. What no file of JSON is, a pipe or a device, is
    not opened. Whoever reads entries of it has their shape looked at first: `documents.checked`, or `read_document`.
    apart: the name of its list of many, which may come as a `json_text.Each`, see `documents.read_apart`.
    """
    path = pathlib.Path(path)
    regular.require(path)
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise ValueError(f"{size:,} bytes, more than the {LARGEST:,} that are read")
        if apart is not None:
            return unsealed(documents.read_apart(path, apart), path)
        return unsealed(documents.parsed(path.read_text(encoding="utf-8")), path)
    except FileNotFoundError:
        raise UserError(path, expected="a JSON file", found="nothing") from None
    except (ValueError, OSError) as error:
        raise UserError(path, expected="a JSON file", found=f"{error}", do="remove it or make it anew") from None


def is_sealed(path: pathlib.Path | str) -> bool:
    """Whether a JSON document vouches for itself; those of earlier versions do not. Raises as `read_json`."""
    read_json(path)
    return SEAL in json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def unsealed(value: Any, where: object) -> Any:
    """What was read, without its seal; raises `UserError` naming `where` for a seal that is not the content's."""
    if not isinstance(value, dict) or SEAL not in value:
        return value
    rest = {name: entry for name, entry in value.items() if name != SEAL}
    if digest(json_text.ordered(rest, as_read=True)) != value[SEAL]:
        do = "restore it, or remove it and make it anew"
        raise UserError(where, expected="the file as it was written", found="one that was edited or damaged", do=do)
    return rest


def read_document(path: pathlib.Path | str, form: type = dict, do: str = "remove it or make it anew") -> dict[str, Any]:
    """Reads a JSON object of the shape of `form`, all its entries; raises `UserError` naming the file and the place in it."""
    return documents.checked(read_json(path), form, path, do)


def sha256(path: pathlib.Path | str) -> str:
    """Checksum of a file as 64 hexadecimal digits, read in pieces of 1 MiB; raises `UserError` for a pipe or a device."""
    regular.require(path)
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """One phrase naming the first entries in which two documents differ, or an empty string.

    Entries of nested documents are named by their path: `network.dropout 0.05 (there) against 0.1 (asked for)`.
    """
    old, new = flattened(old), flattened(new)
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    shown = [(name, *(_shown(document.get(name)) for document in (old, new))) for name in names[:3]]
    return ", ".join(f"{name} {there} (there) against {asked} (asked for)" for name, there, asked in shown)


def _shown(value):
    """A value in a line that people read; where both begin alike for so long, the entry's name must do."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def flattened(document: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """{path: value} of a document of plain JSON types; lists are values unless they hold documents."""
    leaves: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, (list, tuple)) and value and all(isinstance(entry, dict) for entry in value):
            value = dict(enumerate(value))
        if isinstance(value, dict):
            leaves.update(flattened(value, f"{prefix}{name}."))
        else:
            leaves[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return leaves
