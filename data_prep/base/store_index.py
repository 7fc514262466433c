"""What each local file was when it equalled an object of a store, so that nothing is brought twice: a journal in the cache.

A line for each file that was brought or sent: its path below the cache, the object's tag, and the file's size and time of
change. The last line of a path counts. A line that is lost costs a download and nothing else: what lies in a store is what
the store lists, never what a journal remembers.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

NAME, LOCK = "index.jsonl", "index.lock"
LOOKING, PLACES = "looking-{}.lock", 64
CROWDED = 4, 10_000  # lines for a path, and lines, from which on the journal is written anew


class Known(NamedTuple):
    """An object's tag, and size and time of change (ns) of the file that equalled it."""

    tag: str
    size: int
    modified: int


def stat_of(path: pathlib.Path | str) -> tuple[int, int] | None:
    """(size, time of change in ns) of a file, None where there is none."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size, found.st_mtime_ns


@contextlib.contextmanager
def settling(root: str) -> Iterator[None]:
    """Inside the block no other process of this cache renames a file over another, or takes one away.

    A cache on a file system without locks goes without.
    """
    os.makedirs(root, mode=0o700, exist_ok=True)
    with open(os.path.join(root, LOCK), "a") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def alone(root: str, url: str) -> Iterator[None]:
    """Inside the block no other thread or process of this cache brings the folder or file of a URL.

    Several URLs may share a lock, whose file is one of few: a block does not stand in another.
    """
    number = int(hashlib.sha256(url.encode(errors="surrogateescape")).hexdigest(), 16) % PLACES
    os.makedirs(root, mode=0o700, exist_ok=True)
    with open(
        os.path.join(root, LOOKING.format(number)), "a"
    ) as file:  # each opening has a lock of its own, of threads too
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def add(root: str, path: pathlib.Path | str, tag: str) -> None:
    """Notes that a file is what the store has under that tag."""
    if (found := stat_of(path)) is not None:
        line = json.dumps([os.path.relpath(path, root), tag, *found])
        with open(os.path.join(root, NAME), "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f"{line}\n")  # one write: lines of several processes do not mix


def read(root: str) -> dict[str, Known]:
    """{path below the cache: what is known}; lines that are torn are left out."""
    known: dict[str, Known] = {}
    lines = 0
    try:
        with open(os.path.join(root, NAME), encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                lines += 1
                with contextlib.suppress(ValueError, TypeError):
                    path, tag, size, modified = json.loads(line)
                    known[path] = Known(str(tag), int(size), int(modified))
    except FileNotFoundError:
        return known
    each, least = CROWDED
    if lines > max(least, each * len(known)):
        _write_anew(root, known)
    return known


def _write_anew(root, known):
    with settling(root):
        temporary = os.path.join(root, f"{NAME}.{os.getpid()}")
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(f"{json.dumps([path, *one])}\n" for path, one in known.items())
        os.replace(temporary, os.path.join(root, NAME))
