"""How functions become graphs here: never by autograph, which takes most of the tracing's time and of which nothing is needed.

Loops are `tf.while_loop` and `tf.map_fn`, conditions on tensors `tf.cond`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

plain = tf.autograph.experimental.do_not_convert  # for the functions of a `tf.data` pipeline


def graph(function: Callable[..., Any], *signature: Any) -> Any:
    """A `tf.function` without XLA. signature: specs of its arguments, for which it is traced once; none, for any."""
    return tf.function(function, input_signature=signature or None, jit_compile=False, autograph=False)
