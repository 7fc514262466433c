"""Fixed tensors of an inference graph: variables, or constants of the graph where it is traced inside `constants()`.

oneDNN keeps its own layout of a constant kernel, while it lays a variable's out again at every call, which takes a tenth of
a bfloat16 batch, and of a float32 one nothing that could be measured. Constants cost memory: while a graph is made it is there
some twenty times. Variables are what a strategy copies to its devices and what the signatures of an export share.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfunc.nets.precision import FLOAT32

LARGEST = (
    2**26
)  # bytes of a graph's constants: three of the paper's networks in bfloat16; for a moment twenty times that
_LEFT: contextvars.ContextVar[list[int] | None] = contextvars.ContextVar("constants", default=None)


class Weight:
    """A tensor that never changes."""

    def __init__(self, values: np.ndarray, dtype: tf.DType):
        """values: of any floating type, rounded to `dtype` once."""
        self._variable = tf.Variable(np.asarray(values).astype(dtype.as_numpy_dtype), trainable=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return tuple(self._variable.shape)

    @property
    def values(self) -> np.ndarray:
        """The variable's, which is the only one that keeps them; not for a graph that is traced on several devices."""
        with tf.init_scope():
            return self._variable.numpy()

    def __call__(self) -> tf.Tensor:
        """The tensor, in the graph that is being traced."""
        return tf.constant(self.values) if self._taken(self.shape) else tf.convert_to_tensor(self._variable)

    def part(self, channels: slice) -> tf.Tensor:
        """The input channels `channels` of a kernel [height, width, in, out]."""
        height, width, count, out = self.shape
        if self._taken((height, width, len(range(count)[channels]), out)):
            return tf.constant(self.values[:, :, channels])
        return tf.convert_to_tensor(self._variable)[:, :, channels]

    def _taken(self, shape):
        """Whether a tensor of that shape becomes a constant; what is left for others is less by its size."""
        left, size = _LEFT.get(), math.prod(shape) * self._variable.dtype.size
        if left is None or left[0] < size:
            return False
        left[0] -= size
        return True


def most(precision: str) -> int:
    """Bytes of constants that pay in a graph of that precision."""
    return 0 if precision == FLOAT32 else LARGEST


def are_constants() -> bool:
    """Whether what is traced here is inside `constants()`."""
    return _LEFT.get() is not None


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
