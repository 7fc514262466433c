"""What a file was when something was made from it, and whether it still is: by path, size, times and checksum.

Whether work may be reused is decided by this alone, never by a name. Equal size and times are taken for equal content,
as git's index does it: a file that is written to gets another time of change, which nobody can set back. Where a time
differs, as after a copy or a `touch`, the checksum decides.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable
from typing import Any

import msgspec

from data_prep.base import artefacts, contents, regular, stores
from data_prep.base.errors import UserError


class Stamp(msgspec.Struct, frozen=True):
    """A file's path, size in bytes, times of its content and of its entry in the file system (ns), and SHA-256."""

    path: str
    bytes: int
    modified: int
    changed: int
    sha256: str


def taken(paths: Iterable[pathlib.Path | str], root: pathlib.Path | str | None = None) -> list[dict[str, Any]]:
    """A stamp of each file, as plain JSON types. root: paths are kept relative to it where they lie below.

    Taken *before* the files are read: what changes afterwards is then seen by the next look. Raises `UserError` for a file
    that can't be read.
    """
    return [msgspec.to_builtins(_taken(path, root)) for path in paths]


def _taken(path, root):
    regular.require(path)
    try:
        found = os.stat(path)
        return Stamp(_relative(path, root), found.st_size, found.st_mtime_ns, found.st_ctime_ns, contents.sha256(path))
    except OSError as error:
        raise UserError(path, expected="a file that can be read", found=error.strerror or str(error)) from None


def changed(stamps: Any, paths: Iterable[pathlib.Path | str], root: pathlib.Path | str | None = None) -> str:
    """What is no longer as the stamps have it, as `S0_seg.nii.gz is another file`; an empty string where nothing is.

    stamps: of `taken`. paths: the files that would be read now, of the same root, in the same order: each place has its role.
    """
    try:
        known = {one.path: one for one in msgspec.convert(stamps, list[Stamp])}
    except (msgspec.ValidationError, UnicodeError):  # a document that somebody edited
        return "what it was made from is not known any more"
    found = {_relative(path, root): path for path in paths}
    said = [f"{os.path.basename(name)} is gone" for name in known if name not in found]
    said += [f"{os.path.basename(name)} is new" for name in found if name not in known]
    said += [
        f"{os.path.basename(name)} is another file"
        for name, path in found.items()
        if name in known and not _same(known[name], path)
    ]
    if not said and list(known) != list(found):
        said = [
            f"{os.path.basename(name)} is in another role"
            for name, one in zip(found, known, strict=True)
            if name != one
        ]
    return ", ".join(said)


def _same(stamp, path):
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return False
    if found.st_size != stamp.bytes:
        return False
    if (found.st_mtime_ns, found.st_ctime_ns) == (stamp.modified, stamp.changed):
        return True
    return artefacts.sha256(path) == stamp.sha256


def _relative(path, root):
    text, above = os.fspath(path), os.path.join(root or "", "")
    if len(above) > 1 and text.startswith(above) and os.path.normpath(text) == text:
        return text[len(above) :].replace(os.sep, "/")  # as below, and sooner
    path = pathlib.Path(path).absolute()
    if root is None:
        return stores.shown(path)
    try:
        return path.relative_to(pathlib.Path(root).absolute()).as_posix()
    except ValueError:
        return stores.shown(path)
