"""Dynamic scaling of the loss, without which gradients of float16 underflow: Micikevicius et al., ICLR 2018, section 3.2.

The loss is multiplied by a power of two before its gradients are computed, and they are divided by it before they are
applied, in float32 and so exactly. A step whose gradients overflow is left out and halves the scale; a long row of others
doubles it. Scale and count are part of what a training saves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

FIRST = 2.0**15
GROWS_AFTER = 2000  # steps in a row without an overflow; Keras' and torch's number


class LossScale:
    """The scale of a training's loss and how many steps in a row it held. Made in the strategy's scope."""

    def __init__(self) -> None:
        self.scale = keras.Variable(FIRST, trainable=False, dtype="float32", name="loss_scale")
        self.held = keras.Variable(0, trainable=False, dtype="int32", name="loss_scale_held")

    @property
    def variables(self) -> list[Any]:
        """What a training saves of it, always in one order."""
        return [self.scale, self.held]

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        """The loss whose gradients are computed."""
        return loss * tf.convert_to_tensor(self.scale)

    def unscaled(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The gradients of the loss itself."""
        return [gradient / tf.convert_to_tensor(self.scale) for gradient in gradients]

    def guard(self, finite: tf.Tensor, apply: Callable[[], Any]) -> None:
        """Calls `apply` where `finite` [] says that no gradient overflowed, and moves the scale. Outside of replicas."""

        def held():
            apply()
            grows = tf.convert_to_tensor(self.held) + 1 >= GROWS_AFTER
            self.scale.assign(tf.convert_to_tensor(self.scale) * tf.where(grows, 2.0, 1.0))
            self.held.assign(tf.where(grows, 0, tf.convert_to_tensor(self.held) + 1))
            return tf.constant(0)

        def overflowed():
            self.scale.assign(tf.maximum(tf.convert_to_tensor(self.scale) / 2, 1.0))
            self.held.assign(0)
            return tf.constant(0)

        tf.cond(finite, held, overflowed)


def overflows(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """int32 []: how many of the gradients hold a number that is not finite."""
    return tf.add_n([tf.cast(~tf.reduce_all(tf.math.is_finite(one)), tf.int32) for one in gradients])
