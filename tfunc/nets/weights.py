"""Fixed tensors of an inference graph: variables, or constants of the graph where it is traced inside `constants()`.

oneDNN keeps its own layout of a constant kernel, while it lays a variable's out again at every call, which takes a tenth of
a bfloat16 batch. Variables are what a strategy copies to its devices and what the signatures of an export share.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

LARGEST = 2**29  # bytes of a graph's constants: protobuf ends at 2 GB, and each size of image has a graph of its own
_LEFT: contextvars.ContextVar[list[int] | None] = contextvars.ContextVar("constants", default=None)


class Weight:
    """A tensor that never changes."""

    def __init__(self, values: np.ndarray, dtype: tf.DType):
        """values: of any floating type, rounded to `dtype` once."""
        self.values = np.asarray(values).astype(dtype.as_numpy_dtype)
        self._variable = tf.Variable(self.values, trainable=False)

    def __call__(self) -> tf.Tensor:
        """The tensor, in the graph that is being traced."""
        return tf.constant(self.values) if _taken(self.values) else tf.convert_to_tensor(self._variable)

    def part(self, channels: slice) -> tf.Tensor:
        """The input channels `channels` of a kernel [height, width, in, out]."""
        values = self.values[:, :, channels]
        return tf.constant(values) if _taken(values) else tf.convert_to_tensor(self._variable)[:, :, channels]


def are_constants() -> bool:
    """Whether what is traced here is inside `constants()`."""
    return _LEFT.get() is not None


def _taken(values):
    """Whether a tensor becomes a constant; what is left for others is less by its size."""
    left = _LEFT.get()
    if left is None or left[0] < values.nbytes:
        return False
    left[0] -= values.nbytes
    return True


@contextlib.contextmanager
def constants(limit: int = LARGEST) -> Iterator[None]:
    """What is traced inside holds its weights as constants: the first `limit` bytes of them, the others as variables."""
    token = _LEFT.set([limit])
    try:
        yield
    finally:
        _LEFT.reset(token)


@contextlib.contextmanager
def variables() -> Iterator[None]:
    """What is traced inside holds none as constants, also where `constants` is around it."""
    token = _LEFT.set(None)
    try:
        yield
    finally:
        _LEFT.reset(token)
