"""Folders below a folder, links to folders followed: whatever links there are, in finite time."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator


def walk(top: pathlib.Path) -> Iterator[tuple[pathlib.Path, list[str]]]:
    """(folder, sorted names of its files) of `top` and all folders below, in order of their names; hidden ones left out.

    A link to a folder that it lies in leads nowhere new and is not followed.
    """
    yield from _walk(top, ())


def _walk(folder, above):
    here = os.path.realpath(folder)
    if here in above:
        return
    names, below = [], []
    with os.scandir(folder) as entries:
        for entry in (entry for entry in entries if not entry.name.startswith(".")):
            if not entry.is_dir():
                names.append(entry.name)
            elif not entry.name.startswith("__MACOSX"):
                below.append(entry.name)
    yield folder, sorted(names)
    for name in sorted(below):
        yield from _walk(folder / name, (*above, here))


def same_file(one: pathlib.Path | str, other: pathlib.Path | str) -> bool:
    """Whether two paths lead to one file: the same, a link to it, or linked both."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
