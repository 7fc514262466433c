"""NumPy's float32 mean and deviation of a long row, to the bit, several times sooner: in pieces that stay in the cache.

The reference's numbers are those of `array.mean()` and `array.std()` (NumPy 2), whose roundings follow from the order in which
NumPy adds: by pairs, a row cut in two until 128 numbers are left. A piece of that tree is added by NumPy itself, from whichever
dtype the voxels have, and the pieces by the same tree; so nothing of the size of a volume is written, as five arrays of float32
would be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PIECE = 1 << 14  # numbers that are added at a time: 64 KiB of float32


def mean_and_deviation(values: NDArray) -> tuple[np.float32, np.float32]:
    """(mean, standard deviation with ddof 0) of all values, one or more, as of `np.ascontiguousarray(values, np.float32)`.

    values: a dtype that float32 holds, any shape, read in C order.
    """
    row = np.ascontiguousarray(values).reshape(-1)
    work = np.empty(min(row.size, PIECE), np.float32)

    def plain(start, stop):
        piece = work[: stop - start]
        np.copyto(piece, row[start:stop], casting="unsafe")
        return np.add.reduce(piece, initial=0)  # or NumPy 1 takes the first number out of the tree

    mean = np.float32(np.float64(_sum(plain, 0, row.size)) / row.size)

    def squared(start, stop):
        piece = work[: stop - start]
        np.subtract(row[start:stop], mean, out=piece, dtype=np.float32, casting="unsafe")
        np.multiply(piece, piece, out=piece)
        return np.add.reduce(piece, initial=0)

    variance = np.float32(np.float64(_sum(squared, 0, row.size)) / row.size)
    return mean, np.sqrt(variance)


def _sum(of_piece, start, stop):
    """The sum from start to stop by NumPy's tree: two halves, the first of a multiple of eight numbers."""
    size = stop - start
    if size <= PIECE:
        return of_piece(start, stop)
    half = size // 2
    half -= half % 8
    return _sum(of_piece, start, start + half) + _sum(of_piece, start + half, stop)
