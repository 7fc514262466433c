"""Folders below a folder, links followed: whatever links there are, in finite time, and not out of the raw data unasked."""

from __future__ import annotations

import contextlib
import contextvars
import os
import pathlib
from collections.abc import Iterator

from data_prep.base.errors import UserError

# the real folder that links may not leave; None: they lead wherever they lead, as in a folder of new patients
_bounds: contextvars.ContextVar[str | None] = contextvars.ContextVar("bounds", default=None)


@contextlib.contextmanager
def kept_within(top: pathlib.Path | str, follow_links: bool = False) -> Iterator[None]:
    """Inside, a link out of `top` is an error that names it. `top` may be a link itself. follow_links: no, it is followed."""
    token = _bounds.set(None if follow_links else os.path.realpath(top))
    try:
        yield
    finally:
        _bounds.reset(token)


def require_within(path: pathlib.Path | str) -> None:
    """Raises `UserError` for what is there and lies, its links followed, outside of the folder that links are kept within."""
    bounds, real = _bounds.get(), os.path.realpath(path)
    if bounds is None or _is_in(real, bounds) or not os.path.exists(real):
        return
    do = "give --follow_links if it is meant, or put what it leads to into the folder"
    raise UserError(path, expected=f"raw data inside {bounds}", found=f"a link to {real}", do=do)


def walk(top: pathlib.Path) -> Iterator[tuple[pathlib.Path, list[str]]]:
    """(folder, sorted names of its files) of `top` and all folders below, in order of their names; hidden ones left out.

    A link to a folder is followed once, from the first place where it is met: first where no other link leads, so links
    among links end. A link to a folder that it lies in leads nowhere new and is not followed. Raises `UserError` for a link
    that leaves `kept_within`.
    """
    found: dict[pathlib.Path, list[str]] = {}
    followed: set[tuple[int, int]] = set()
    waiting = [top]
    for start in waiting:  # grows: links wait until all that needs none of them has been seen
        waiting += _without_links(start, os.path.realpath(top), found, followed)
    yield from sorted(found.items(), key=lambda item: item[0].parts)


def files(folder: pathlib.Path) -> list[str]:
    """The sorted names of a folder's files, hidden ones left out; raises `UserError` for a link that leaves `kept_within`."""
    require_within(folder)
    return sorted(entry.name for entry in _entries(folder) if not _is_folder(entry))


def _without_links(start, top, found, followed):
    """Adds {folder: names} of `start` and below but for links to folders; returns those that lead somewhere new."""
    links, folders = [], [start]
    for folder in folders:  # grows
        names = found[folder] = []
        for entry in _entries(folder):
            if not _is_folder(entry):
                names.append(entry.name)
            elif entry.name.startswith("__MACOSX"):
                continue
            elif not entry.is_symlink():
                folders.append(folder / entry.name)
            elif _is_new(entry, (top, os.path.realpath(folder)), followed):
                links.append(folder / entry.name)
        names.sort()
    return sorted(links)


def _is_new(entry, places, followed):
    """Whether a link was not followed yet and leads to no folder that these real places lie in."""
    own, real = entry.stat(follow_symlinks=False), os.path.realpath(entry.path)
    if (own.st_dev, own.st_ino) in followed or any(_is_in(place, real) for place in places):
        return False
    followed.add((own.st_dev, own.st_ino))
    return True


def _is_folder(entry):
    """Whether it is one, or a link to one; a link to itself is none, as a link to nothing."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entries(folder):
    """What lies in a folder, hidden things left out."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                if entry.is_symlink():
                    require_within(entry.path)
                yield entry


def _is_in(path, top):
    return path == top or path.startswith(top.rstrip(os.sep) + os.sep)


def same_file(one: pathlib.Path | str, other: pathlib.Path | str) -> bool:
    """Whether two paths lead to one file: the same, a link to it, or linked both."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
