"""JSON as text in pieces, so that a document of many subjects is written and hashed without being in memory several times.

The pieces together are what `json` makes of the whole, and nothing depends on where they are cut.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

_plain = json.JSONEncoder(allow_nan=False).encode
_in_order = json.JSONEncoder(sort_keys=True).encode
DEEP = 2  # levels that are taken apart: a document, its list of subjects; one subject is a piece


class Each:
    """A list whose entries are made each time it is gone through: of a document of many, they are never all in memory."""

    def __init__(self, make: Callable[[], Iterable[Any]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        return iter(self._make())


def indented(value: Any, level: int = 0) -> Iterator[str]:
    """The text of `json.dumps(value, indent=1)`, which Python itself would indent ten times as slowly; `ValueError` for NaN."""
    if level >= DEEP or not _is_taken_apart(value):
        yield _formatted(value).replace("\n", "\n" + " " * level)
        return
    named = isinstance(value, dict)
    head = "{" if named else "["
    for entry in value.items() if named else value:
        yield head + "\n" + " " * (level + 1)
        if named:
            name, entry = entry
            yield f"{json.dumps(_key(name))}: "
        yield from indented(entry, level + 1)
        head = ","
    yield ("\n" + " " * level if head == "," else head) + ("}" if named else "]")


def ordered(value: Any, level: int = 0, as_read: bool = False) -> Iterator[str]:
    """The text of the value in one line, as it comes back from a file, its keys in order: what a checksum is of.

    as_read: it does come from a file, so its keys are text already, and its lists are lists.
    """
    if level >= DEEP or not _is_taken_apart(value):
        yield _in_order(value if as_read else json.loads(_plain(value)))
        return
    named = isinstance(value, dict)
    head = "{" if named else "["
    # of two names that are one as text the last counts, as when it is read
    entries = {_key(name): one for name, one in value.items()} if named else value
    for entry in sorted(entries.items(), key=lambda pair: pair[0]) if named else entries:
        yield head
        if named:
            name, entry = entry
            yield f"{json.dumps(name)}: "
        yield from ordered(entry, level + 1, as_read)
        head = ", "
    yield ("" if head == ", " else head) + ("}" if named else "]")


def _is_taken_apart(value):
    return isinstance(value, (dict, list, tuple, Each))


def _key(name):
    """An entry's name as JSON has it, which is text."""
    return name if isinstance(name, str) else next(iter(json.loads(json.dumps({name: 0}))))


def _formatted(value):
    plain = _plain(value)
    try:
        return msgspec.json.format(plain, indent=1)
    except msgspec.DecodeError:  # a byte of a file's name that is no text
        return json.dumps(value, indent=1, allow_nan=False)
