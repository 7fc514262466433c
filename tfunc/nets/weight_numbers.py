"""The numbers in a file of weights, looked through without a network: they lie in the file itself, and are not too many.

No TensorFlow: whether a file can be trusted is asked where no network is built, too.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import h5py
import numpy as np


def look_through(path: pathlib.Path, most: int) -> None:
    """Raises `ValueError` for a file whose numbers lie elsewhere, are none, or are more than `most`."""
    for _ in datasets(path, most):
        pass


def not_finite(path: pathlib.Path) -> str:
    """The first array of a file of weights with NaN or infinity in it, or an empty string. Raises as `look_through`."""
    for name, values in datasets(path, path.stat().st_size):
        if not np.isfinite(values[()]).all():
            return name
    return ""


def datasets(path: pathlib.Path, most: int) -> Iterator[tuple[str, h5py.Dataset]]:
    """(name, array that is not read yet) of all that lies in a file, as `look_through` allows it."""
    with h5py.File(path, "r") as file:
        left, waiting = most, [file]
        while waiting:
            group = waiting.pop()
            for name in group:
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise ValueError(f"a link to elsewhere at {group.name}/{name}")
                entry = group[name]
                if isinstance(entry, h5py.Group):
                    left -= 1  # hard links can make circles
                    waiting.append(entry)
                elif entry.external or entry.is_virtual:
                    raise ValueError(f"numbers that lie in other files at {entry.name}")
                elif entry.dtype.kind not in "fiu":
                    raise ValueError(f"{entry.dtype} at {entry.name}")
                else:
                    left -= int(np.prod(entry.shape, dtype=object))
                if left < 0:
                    raise ValueError(f"more than the {most} numbers of the network")
                if isinstance(entry, h5py.Dataset):
                    yield entry.name, entry
