"""Resampled sets of subjects, a block at a time: memory is flat in the number of subjects. NumPy only.

Whatever the blocks, the numbers drawn are those that one call for all of them would draw.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
SEED = 0
BLOCK = 1 << 18  # numbers drawn at a time: 2 MB, of which whoever uses them makes some arrays of that size


def by_set(subjects: int, resamples: int = RESAMPLES, seed: int = SEED) -> Iterator[NDArray[np.int64]]:
    """Blocks [sets, subjects] of who is in each of the `resamples` sets, 0 to subjects - 1, drawn with replacement."""
    yield from _blocks(subjects, resamples, subjects, seed)


def by_draw(
    subjects: int, size: int | None = None, resamples: int = RESAMPLES, seed: int = SEED
) -> Iterator[NDArray[np.int64]]:
    """Blocks [draws, resamples] of the subject that each set draws next; `size` draws in all, by default as many as subjects."""
    yield from _blocks(subjects, subjects if size is None else size, resamples, seed)


def _blocks(subjects, rows, columns, seed):
    random = np.random.default_rng(seed)
    step = max(BLOCK // max(columns, 1), 1)
    for start in range(0, rows, step):
        yield random.integers(0, subjects, (min(step, rows - start), columns))


def means(
    values: NDArray[np.float64], size: int | None = None, resamples: int = RESAMPLES, seed: int = SEED
) -> NDArray:
    """Mean of what is defined in each set, float64 [resamples]; NaN where nothing is.

    values: [subjects], NaN where undefined. size: subjects in a set, by default as many as there are.
    """
    defined = ~np.isnan(values)
    numbers = np.where(defined, values, 0.0)
    total, number = np.zeros(resamples), np.zeros(resamples, np.int64)
    for drawn in by_draw(len(values), size, resamples, seed):
        total = np.vstack([total, numbers[drawn]]).sum(axis=0)  # one after the other, as a sum of all would add them
        number += defined[drawn].sum(axis=0)
    return np.divide(total, number, out=np.full(resamples, np.nan), where=number > 0)
