"""Anyone's Keras segmentation model as a network of ours: logits of its classes, and its dropout live on demand.

Only dropout is ever live: batch normalisation stays on its moving statistics, noise and augmentation layers stay off, and the
model's weights and states are not touched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from data_prep.base.errors import UserError

OUTPUTS = ("logits", "probability")
_FINAL = {"linear": "logits", "softmax": "probability", "sigmoid": "probability"}  # by the last layer's activation
_SPATIAL = {"SpatialDropout1D": 1, "SpatialDropout2D": 2, "SpatialDropout3D": 3}  # axes that share a draw
MOST_CLASSES = 256  # a class is written as one byte
_LEAST = 1e-7  # probabilities are above it before their logarithm is taken


class ForeignNetwork:
    """A Keras model of images [batch, height, width, channels] -> [batch, height, width, C], or one channel of two classes.

    classes: how many; 2 for one channel.  dropouts: its layers of dropout. Raises `UserError` for a model of another form.
    """

    def __init__(self, model: keras.Model, outputs: str = "auto"):
        self.model = model
        shape = getattr(model, "output_shape", None)
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] is None:
            expected = "a built model with one output [batch, height, width, classes]"
            raise UserError("model", expected=expected, found=f"output {shape}", do="call it once on an image first")
        if shape[-1] > MOST_CLASSES:
            raise UserError("model", expected=f"at most {MOST_CLASSES} classes", found=str(shape[-1]))
        self.single = shape[-1] == 1
        self.classes = 2 if self.single else int(shape[-1])
        self.outputs = _outputs(model, outputs, self.single)
        self.dropouts = [layer for layer in _layers(model) if isinstance(layer, _kinds()) and layer.rate > 0]

    def require(self, shape: tuple[int, ...]) -> None:
        """Raises `UserError` for images of a shape that the model does not take, or whose maps have another size."""
        taken = tuple(self.model.input_shape)
        if len(taken) != 4 or any(own not in (None, given) for own, given in zip(taken[1:], shape[1:], strict=True)):
            raise UserError("images", expected=f"shape {taken}, as the model takes them", found=f"{shape}")
        given = tuple(self.model.compute_output_shape((1, *shape[1:])))
        if given[1:3] != tuple(shape[1:3]):
            do = "wrap a model that ends at the size of its images"
            raise UserError(
                "model", expected=f"an output of {shape[1]}x{shape[2]}", found=f"{given[1]}x{given[2]}", do=do
            )

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """float32 logits [batch, height, width, classes] of one pass without dropout."""
        with _calling(self.dropouts, lambda number, layer: _silent):  # also of a layer that drops by itself
            return self._logits(self.model(images, training=False))

    def sampled(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The same of one pass with live dropout, one draw for all rows. seed: int64 [2], of this pass."""

        def live(number, layer):
            return _dropping(layer, tf.random.experimental.stateless_fold_in(seed, number))

        with _calling(self.dropouts, live):
            return self._logits(self.model(images, training=False))

    def _logits(self, found):
        found = tf.cast(found, tf.float32)
        if self.outputs == "probability":
            if self.single:
                found = tf.concat([1.0 - found, found], axis=-1)
            return tf.math.log(tf.maximum(found, _LEAST))
        return tf.concat([tf.zeros_like(found), found], axis=-1) if self.single else found


def _outputs(model, asked, single):
    """`logits` or `probability`: as asked for, or as the activation of the layer says that makes the output.

    Sigmoids of several channels need not exclude each other, so what they mean must be said.
    """
    if asked in OUTPUTS:
        return asked
    if asked != "auto":
        raise UserError("outputs", expected=f"auto, {' or '.join(OUTPUTS)}", found=repr(asked))
    last = getattr(model, "layers", [None])[-1]
    made_by = getattr(getattr(model, "output", None), "_keras_history", (last,))[0]
    name = getattr(getattr(last, "activation", None), "__name__", "")
    found = _FINAL.get(name) if made_by is last and (single or name != "sigmoid") else None
    if found is None:
        expected = "a last layer with a linear or softmax activation, or one channel with a sigmoid"
        do = "give outputs='logits', or outputs='probability' of classes that exclude each other"
        raise UserError("model", expected=expected, found="another", do=do)
    return found


def _kinds():
    return keras.layers.Dropout, keras.layers.GaussianDropout, *(getattr(keras.layers, name) for name in _SPATIAL)


def _layers(model):
    """All layers, those of nested models included, in order."""
    return [layer for layer in model._flatten_layers(include_self=False, recursive=True)]


@contextlib.contextmanager
def _calling(layers: list[Any], make: Callable[[int, Any], Callable[..., tf.Tensor]]) -> Iterator[None]:
    """Inside, each of the layers is called as `make(its number, layer)`, whatever it is told of training.

    Their own random states stay as they are.
    """
    try:
        for number, layer in enumerate(layers):
            layer.call = make(number, layer)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("call", None)  # of the instance: the class's own is seen again


def _silent(inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
    return inputs


def _dropping(layer: Any, seed: tf.Tensor) -> Callable[..., tf.Tensor]:
    def call(inputs, training=None):
        shape = _noise_shape(layer, inputs)
        if isinstance(layer, keras.layers.GaussianDropout):
            deviation = (layer.rate / (1.0 - layer.rate)) ** 0.5
            noise = tf.random.stateless_normal(shape, seed, 1.0, deviation)
        else:
            kept = tf.random.stateless_uniform(shape, seed) >= layer.rate
            noise = tf.cast(kept, tf.float32) / (1.0 - layer.rate)
        return inputs * tf.cast(noise, inputs.dtype)

    return call


def _noise_shape(layer, inputs):
    """The draw's shape: 1 for the batch, so that each pass is one network for all rows, and where the layer shares draws."""
    shape = tf.shape(inputs)
    axes = _SPATIAL.get(type(layer).__name__)
    if axes is not None:
        first = getattr(layer, "data_format", "channels_last") == "channels_first"
        ones = tf.ones([axes], tf.int32)
        return tf.concat([[1], shape[1:2], ones] if first else [[1], ones, shape[-1:]], axis=0)
    own = getattr(layer, "noise_shape", None)
    if own is None:
        return tf.concat([[1], shape[1:]], axis=0)
    return tf.stack([1, *(shape[axis] if size is None else size for axis, size in enumerate(own) if axis)])
