"""How a method's networks become maps: one graph from normalised slices to probability and raw uncertainty.

A predictive is made from (list of models, options) and called with
    images float32 [batch, height, width, channels], normalised
    seeds int64 [batch, 2], used by sampled methods only; [1, 2] for a class with `SHARES` where all rows draw alike
and gives a dict of [batch, height, width] maps:
    probability float32, of the foreground, or [batch, height, width, C] of all C classes where there are more than two
    prediction uint8, its argmax, the index of a class (ties are the lower one)
    uncertainty float32: normalised entropy, |sigma| of the predicted class, or an error probability
    mutual_information float32, normalised like the entropy, for methods that average several predictions

A method's row names its predictive as `package.module:Class`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Protocol

import keras
import tensorflow as tf

from data_prep.base.errors import UserError
from tfunc.maps.options import Options
from tfunc.methods import Method
from tfunc.nets import classes, engine, folded

Maps = dict[str, tf.Tensor]


class Predictive(Protocol):
    """What a method's row names.

    One with `SHARES` true is faster where all rows of a batch draw alike; `Predictor` makes its batches so.
    """

    def __init__(self, models: Sequence[keras.Model], options: Options) -> None:
        """models: one for each of the method's networks, in order, `ensemble` being all members and `cv` all folds."""

    def __call__(self, images: tf.Tensor, seeds: tf.Tensor) -> Maps:
        """The maps of a batch; see the module's docstring."""


def of(method: Method) -> type[Predictive]:
    """The class of a method's predictive; raises `UserError` for one that isn't there."""
    module, _, name = method.predictive.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError) as error:
        where = f"method {method.name}, predictive {method.predictive!r}"
        raise UserError(where, expected="package.module:Class", found=str(error)) from None


def entropy_maps(probability: tf.Tensor) -> Maps:
    """A map of probabilities -> itself, its argmax, and its normalised entropy as the uncertainty."""
    return {
        "probability": probability,
        "prediction": classes.segmentation(probability),
        "uncertainty": classes.entropy(probability),
    }


class Softmax:
    """One pass, normalised entropy."""

    def __init__(self, models: Sequence[keras.Model], options: Options):
        (model,) = models
        self.network = folded.network(model, options.precision)

    def __call__(self, images: tf.Tensor, seeds: tf.Tensor) -> Maps:
        """See the module's docstring."""
        return self._maps(images)

    @engine.whole
    def _maps(self, images):
        return entropy_maps(classes.probability(self.network(images)))
