"""Keras' global settings as our networks are written for, wherever a network or an optimizer is made.

A program of ours imports Keras without the user's keras.json (`processes.start_tensorflow`). Where tfunc is a library of a
process that has its own `floatx`, image format or mixed precision, those hold for that process; a network of ours is made
under these all the same, and leaves the process's as they were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

from data_prep.base.errors import UserError

FLOATX, FORMAT, EPSILON, POLICY = "float32", "channels_last", 1e-7, "float32"


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """Inside the block Keras has our settings; after it, those from before.

    Raises `UserError` where Keras was imported with another backend than TensorFlow, which nothing can change any more.
    """
    found = keras.backend.backend() if hasattr(keras.backend, "backend") else "tensorflow"
    if found != "tensorflow":
        do = "set KERAS_BACKEND=tensorflow before Keras is imported"
        raise UserError("Keras' backend", expected="tensorflow", found=found, do=do)
    backend = keras.backend
    before = backend.floatx(), backend.image_data_format(), backend.epsilon(), _policy()
    _set(FLOATX, FORMAT, EPSILON, POLICY)
    try:
        yield
    finally:
        _set(*before)


def _policy():
    precision = keras.mixed_precision
    return precision.global_policy() if hasattr(precision, "global_policy") else precision.dtype_policy()


def _set(floatx, image_format, epsilon, policy):
    keras.backend.set_floatx(floatx)
    keras.backend.set_image_data_format(image_format)
    keras.backend.set_epsilon(epsilon)
    keras.mixed_precision.set_global_policy(policy)
