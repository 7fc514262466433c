"""The differences between the two TensorFlow stacks, and nothing else.

`current`: TensorFlow 2.16 and later with Keras 3. `addons`: TensorFlow 2.15 with Keras 2.15, the last that TensorFlow
Addons works with. Everything else is written to what both share.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfunc.nets.own_settings import FORMAT, own_settings


def name() -> str:
    """`current` or `addons`. Optimizer state does not cross from one to the other; weights and records do."""
    return "current" if int(keras.__version__.split(".")[0]) >= 3 else "addons"


def versions() -> dict[str, str]:
    """What to write beside an artefact."""
    return {"stack": name(), "tensorflow": tf.__version__, "keras": keras.__version__}


def adam(
    learning_rate: float, epsilon: float, variables: Sequence[Any], decay: float | None = None
) -> keras.optimizers.Optimizer:
    """Adam, built for `variables`; with a `decay` in (0, 1) it also keeps their exponential moving averages.

    After the first step the averages are the variables; after each later one, decay * averages + (1 - decay) * variables.
    Keras 3 does so itself. TensorFlow Addons' `MovingAverage` does so from `start_step=1` on (from 0 it would begin at the
    untrained weights), around Keras' legacy Adam, the only one that it takes. `SWA`, its other, averages evenly and needs
    to be told when to begin, so the two stacks would make different networks.
    """
    with own_settings():  # the learning rate is a variable of Keras' floatx: 1e-8 in float16 is 0
        return _adam(learning_rate, epsilon, variables, decay)


def _adam(learning_rate, epsilon, variables, decay):
    if decay is None or name() == "current":
        averages = {} if decay is None else {"use_ema": True, "ema_momentum": decay}
        make = _Adam if name() == "current" else keras.optimizers.Adam
        optimizer = make(learning_rate, epsilon=epsilon, name="adam", **averages)
        optimizer.build(variables)
        return optimizer
    legacy = keras.optimizers.legacy.Adam(learning_rate, epsilon=epsilon)
    optimizer = _addons().optimizers.MovingAverage(legacy, decay, start_step=1)
    optimizer._create_all_weights(variables)  # a legacy optimizer has no `build`
    return optimizer


class _Adam(keras.optimizers.Adam):
    """Keras 3's own, its variables and their order, with one kernel for each trained variable in place of a dozen.

    The formula is the same to rounding, epsilon's place included.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any) -> None:
        """Moves one variable and its two moments, in place."""
        number = tf.cast(tf.convert_to_tensor(self.iterations) + 1, tf.float32)
        index = self._get_variable_index(variable)
        moments = [one[index].value for one in (self._momentums, self._velocities)]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=moments[0].handle,
            v=moments[1].handle,
            beta1_power=tf.pow(self.beta_1, number),
            beta2_power=tf.pow(self.beta_2, number),
            lr=tf.cast(tf.convert_to_tensor(learning_rate), tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )


def optimizer_variables(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """All that a training must save of an optimizer of `adam`, averages included, as a list."""
    # `MovingAverage.variables()` leaves out the moments of the optimizer that it wraps; its `weights` have them
    return list(optimizer.weights if hasattr(optimizer, "get_slot") else optimizer.variables)


def averages(optimizer: keras.optimizers.Optimizer, variables: Sequence[Any]) -> list[Any]:
    """The moving averages of `variables`, in their order, of an `adam` with a decay: a list of variables."""
    if hasattr(optimizer, "get_slot"):
        return [optimizer.get_slot(variable, "average") for variable in variables]
    return list(optimizer._model_variables_moving_average)


def projective_transform(
    images: tf.Tensor, transforms: tf.Tensor, interpolation: str = "bilinear", fill_mode: str = "constant"
) -> tf.Tensor:
    """Images seen through projective transforms, zero outside; TensorFlow Addons' or Keras' own.

    images: float32 or uint8 [batch, height, width, channels]. transforms: float32 [batch, 8]; a row (a0 … a5, c0, c1)
    maps the *output* point (x, y) to the input point ((a0 x + a1 y + a2) / k, (a3 x + a4 y + a5) / k) with
    k = c0 x + c1 y + 1, pixel centres at whole numbers. interpolation: `bilinear` or `nearest`. fill_mode: `constant`
    (neighbours outside count as 0) or `reflect`.
    """
    if name() == "addons":
        return _addons().image.transform(images, transforms, interpolation=interpolation, fill_mode=fill_mode)
    return keras.ops.image.affine_transform(
        images, transforms, interpolation=interpolation, fill_mode=fill_mode, data_format=FORMAT
    )


def dense_warp(image: tf.Tensor, points: tf.Tensor, interpolation: str = "bilinear") -> tf.Tensor:
    """One image read at points of its own; neighbours outside count as 0. TensorFlow Addons' or Keras' own.

    image: float32 [height, width, channels], its shape known while tracing. points: float32 [height, width, 2], the
    (y, x) in `image` of each output pixel, pixel centres at whole numbers. interpolation: `bilinear` or `nearest`.
    Returns float32 of the image's shape.
    """
    nearest = interpolation == "nearest"
    if nearest:  # TensorFlow Addons has bilinear only, which at whole points is the nearest
        points = tf.round(points)
    if name() == "addons":
        # It clamps at the edge and subtracts the flow: a border of one zero pixel makes the outside 0
        height, width = image.shape[:2]
        rows, columns = tf.meshgrid(tf.range(height + 2.0), tf.range(width + 2.0), indexing="ij")
        here = tf.stack([rows, columns], axis=-1)
        padded = tf.pad(image, [[1, 1], [1, 1], [0, 0]])
        flow = here - tf.pad(points + 1.0, [[1, 1], [1, 1], [0, 0]])
        return _addons().image.dense_image_warp(padded[tf.newaxis], flow[tf.newaxis])[0, 1:-1, 1:-1]
    coordinates = tf.transpose(points, [2, 0, 1])
    order = 0 if nearest else 1
    channels = [keras.ops.image.map_coordinates(one, coordinates, order=order) for one in tf.unstack(image, axis=-1)]
    return tf.stack(channels, axis=-1)


def _addons():
    """The package `tensorflow_addons`, without the notice of its end of life: BUILD_NOTES.md has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow_addons  # here: its import takes seconds
    return tensorflow_addons
