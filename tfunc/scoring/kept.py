"""What is kept of many subjects: packed, an eighth of what objects take, so that the memory of an evaluation hardly grows."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Mapping[str, Value], Generic[Value]):
    """{subject: value}, in the order in which they were added; each is made anew whenever it is asked for.

    So whoever needs several numbers of all subjects goes over them once, and not once for each number.
    """

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}

    def add(self, name: str, value: Value) -> None:
        """Keeps a subject's value; of small arrays and numbers."""
        self._packed[name] = zlib.compress(pickle.dumps(value, pickle.HIGHEST_PROTOCOL), 1)

    def __getitem__(self, name: str) -> Value:
        return pickle.loads(zlib.decompress(self._packed[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)
