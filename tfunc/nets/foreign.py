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
        self.single = shape[-1] == 1
        self.classes = 2 if self.single else int(shape[-1])
        self.outputs = _outputs(model, outputs)
        self.dropouts = [layer for layer in _layers(model) if isinstance(layer, _kinds()) and layer.rate > 0]

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """float32 logits [batch, height, width, classes] of one pass without dropout."""
        return self._logits(self.model(images, training=False))

    def sampled(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The same of one pass with live dropout, one draw for all rows. seed: int64 [2], of this pass."""
        with _live(self.dropouts, seed):
            return self._logits(self.model(images, training=False))

    def _logits(self, found):
        found = tf.cast(found, tf.float32)
        if self.outputs == "probability":
            if self.single:
                found = tf.concat([1.0 - found, found], axis=-1)
            return tf.math.log(tf.maximum(found, _LEAST))
        return tf.concat([tf.zeros_like(found), found], axis=-1) if self.single else found


def _outputs(model, asked):
    """`logits` or `probability`: as asked for, or as the last layer's activation says."""
    if asked in OUTPUTS:
        return asked
    if asked != "auto":
        raise UserError("outputs", expected=f"auto, {' or '.join(OUTPUTS)}", found=repr(asked))
    activation = getattr(getattr(model, "layers", [None])[-1], "activation", None)
    found = _FINAL.get(getattr(activation, "__name__", ""))
    if found is None:
        do = f"give outputs={' or outputs='.join(map(repr, OUTPUTS))}"
        raise UserError(
            "model", expected="a last layer with a linear, softmax or sigmoid activation", found="another", do=do
        )
    return found


def _kinds():
    return keras.layers.Dropout, keras.layers.GaussianDropout, *(getattr(keras.layers, name) for name in _SPATIAL)


def _layers(model):
    """All layers, those of nested models included, in order."""
    return [layer for layer in model._flatten_layers(include_self=False, recursive=True)]


@contextlib.contextmanager
def _live(layers: list[Any], seed: tf.Tensor) -> Iterator[None]:
    """Inside, these layers drop by the seed, whatever they are told of training; their own random states stay as they are."""
    try:
        for number, layer in enumerate(layers):
            layer.call = _dropping(layer, tf.random.experimental.stateless_fold_in(seed, number))
        yield
    finally:
        for layer in layers:
            del layer.call  # of the instance: the class's own is seen again


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
