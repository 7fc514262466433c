"""What a reader noticed and went on with: said once, however many files it holds for and whichever process met it.

A function that reads calls `once` for a remark and `values` for the numbers that it found. Where nobody gathers, as in a
prediction of one patient, a remark is logged the first time its topic occurs in the process. A worker gathers instead
(`gathered`) and hands its `Notices` back, so that the program says each remark one time, with how many files it is of.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import dataclasses
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from data_prep.base.documents import Count

_said: set[str] = set()
_gathering: contextvars.ContextVar[Notices | None] = contextvars.ContextVar("gathering", default=None)


class Document(msgspec.Struct):
    """The form of `Notices.document`."""

    remarks: dict[str, tuple[str, Count]] = {}
    found: dict[str, dict[int, Count]] = {}
    files: dict[str, Count] = {}


@dataclasses.dataclass
class Notices:
    """What was noticed.

    remarks: {topic: (first line, of how many files)}.  found: {of what: {value: how many elements}}, such as the labels.
    files: {of what: how many files its values were found in}.
    chosen: {of what: {value that was taken for the foreground, being the only one: the first file}}.
    """

    remarks: dict[str, tuple[str, int]] = dataclasses.field(default_factory=dict)
    found: dict[str, collections.Counter[int]] = dataclasses.field(default_factory=dict)
    files: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    chosen: dict[str, dict[int, str]] = dataclasses.field(default_factory=dict)
    _lines: set[str] = dataclasses.field(default_factory=set, repr=False, compare=False)  # a file may be read twice

    def add(self, other: Notices) -> None:
        """Adds what another part of the same work noticed."""
        for topic, (line, count) in other.remarks.items():
            first, before = self.remarks.get(topic, (line, 0))
            self.remarks[topic] = first, before + count
        for what, counts in other.found.items():
            self.found.setdefault(what, collections.Counter()).update(counts)
        self.files.update(other.files)
        for what, values in other.chosen.items():
            self.chosen[what] = {**values, **self.chosen.get(what, {})}

    def lines(self) -> list[str]:
        """A line for each remark, that of the first file, and of how many more it holds."""
        return [f"{line} (and {count - 1} more)" if count > 1 else line for line, count in self.remarks.values()]

    def document(self) -> dict[str, Any]:
        """Remarks and values as plain JSON types; `from_document` is the way back."""
        found = {what: {str(value): count for value, count in counts.items()} for what, counts in self.found.items()}
        return {"remarks": {k: list(v) for k, v in self.remarks.items()}, "found": found, "files": dict(self.files)}


def from_document(document: Mapping[str, Any] | None) -> Notices:
    """The `Notices` of `Notices.document`, whose shape was looked at; empty ones of None."""
    read = msgspec.convert(document or {}, Document, str_keys=True)
    found = {what: collections.Counter(counts) for what, counts in read.found.items()}
    return Notices(read.remarks, found, collections.Counter(read.files))


@contextlib.contextmanager
def gathered() -> Iterator[Notices]:
    """What is noticed inside, in this thread, is kept in the `Notices` that this yields, and not logged."""
    notices = Notices()
    token = _gathering.set(notices)
    try:
        yield notices
    finally:
        _gathering.reset(token)


def once(topic: str, line: str) -> None:
    """Says `line` the first time that `topic` occurs. The line names the file."""
    notices = _gathering.get()
    if notices is not None:
        if line not in notices._lines:
            notices._lines.add(line)
            notices.add(Notices({topic: (line, 1)}))
    elif topic not in _said:
        _said.add(topic)
        logging.getLogger(__name__).warning("%s", line)


def values(what: str, counts: Mapping[int, int]) -> None:
    """Keeps how often each value was found in a file of `what`, for the one line that says it of all files."""
    notices = _gathering.get()
    if notices is not None:
        notices.add(Notices(found={what: collections.Counter(counts)}, files=collections.Counter({what: 1})))


def choice(what: str, value: int, path: object) -> None:
    """Keeps that `value` was taken for the foreground of a file of `what`, being the only one there."""
    notices = _gathering.get()
    if notices is not None:
        notices.add(Notices(chosen={what: {value: str(path)}}))
