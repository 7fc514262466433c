"""Resizing with an antialiased triangle filter in NumPy, equal to `tf.image.resize` to the bit, without TensorFlow.

A network is served with the resize in its graph, as TensorFlow's operation `ScaleAndTranslate`, and must see what it was trained
on. The operation is reproduced with its roundings: positions and weights in float32, first the rows, then the columns, each a
sum over the filter's span from its first pixel on. `tests/data_prep/test_isic.py` compares the two.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 16  # numbers that are added up at a time


def resized(image: NDArray, height: int, width: int) -> NDArray[np.float32]:
    """float32 [height, width, channels] of an image [rows, columns, channels], whose values are finite."""
    rows = _shortened(image, height)
    return np.ascontiguousarray(_shortened(rows.swapaxes(0, 1), width).swapaxes(0, 1))


def _shortened(image, wanted):
    """float32 [wanted, …] of an image [size, …]: sums of its rows, each in the order of the rows."""
    if len(image) == wanted:  # each row is its own, once
        return image.astype(np.float32, copy=False)
    starts, weights = _spans(len(image), wanted)
    flat = np.ascontiguousarray(image).reshape(len(image), -1)
    found = np.zeros((wanted, flat.shape[1]), np.float32)
    step = max(BLOCK // max(flat.shape[1], 1), 1)
    for first in range(0, wanted, step):  # some rows at a time: what is added up stays in the processor's cache
        rows, at, by = found[first : first + step], starts[first : first + step], weights[first : first + step]
        for tap in range(by.shape[1]):
            rows += flat[np.minimum(at + tap, len(flat) - 1)] * by[:, tap, np.newaxis]
    return found.reshape(wanted, *image.shape[1:])


@functools.lru_cache(maxsize=64)
def _spans(size: int, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """(first pixel [wanted], weights [wanted, span]) of what each wanted pixel is a sum of; weights end with zeros."""
    one, half = np.float32(1), np.float32(0.5)
    inverse = one / (np.float32(wanted) / np.float32(size))
    reach = max(inverse, one)
    span = min(2 * int(np.ceil(reach)) + 1, size)
    at = (np.arange(wanted, dtype=np.float32) + half) * inverse
    starts = np.clip(np.ceil(at - reach - half), 0, size - 1).astype(np.intp)
    ends = np.clip(np.floor(at + reach - half), 0, size - 1).astype(np.intp) + 1
    pixels = starts[:, np.newaxis] + np.arange(span)
    away = np.abs((pixels.astype(np.float32) + half - at[:, np.newaxis]) * (one / reach))
    weights = np.where((away < 1) & (pixels < ends[:, np.newaxis]), one - away, np.float32(0))
    total = np.zeros(wanted, np.float32)
    for step in range(span):  # in this order
        total += weights[:, step]
    weights *= (one / total)[:, np.newaxis]
    weights[(at < 0) | (at > size)] = 0
    return starts, weights
