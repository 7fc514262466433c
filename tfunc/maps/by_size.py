"""A predictive as graphs, one for each size of image: no size is left open, and weights are constants where that pays.

That is what makes it fast: skip connections need no copy, samples that a whole batch shares go into the weights, and oneDNN lays
constant kernels out once. A size costs a second or so once, which its slices pay back.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfunc.maps.predictives import Maps
from tfunc.nets import engine, weights
from tfunc.nets.engine import Engine
from tfunc.nets.graphs import graph
from tfunc.nets.precision import FLOAT32

SIZES = 4  # graphs kept: those used last


class BySize:
    """Callable: images float32 [batch, height, width, channels], seeds int64 [batch, 2] -> maps, as the predictive's."""

    def __init__(
        self,
        predictive: Callable[[tf.Tensor, tf.Tensor], Maps],
        channels: int,
        own_engine: Engine | None = None,
        precision: str = FLOAT32,
    ):
        """own_engine: runs the networks in TensorFlow's place. precision: of the convolutions."""
        self.predictive, self.channels, self.engine = predictive, channels, own_engine
        self.most = weights.most(precision)
        self._graphs: collections.OrderedDict[tuple[int, ...], Any] = collections.OrderedDict()

    def __call__(self, images: np.ndarray, seeds: np.ndarray) -> Maps:
        """Where all rows have one seed, a predictive with `SHARES` is given that one, int64 [1, 2]."""
        shared = getattr(self.predictive, "SHARES", False) and bool((seeds == seeds[:1]).all())
        seeds = seeds[:1] if shared else seeds
        key = *images.shape[1:3], shared, len(images) == 1
        if key not in self._graphs:
            self._graphs[key] = self._traced(*key)
            while len(self._graphs) > SIZES:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(key)
        return self._graphs[key](tf.constant(images), tf.constant(seeds))

    def _traced(self, height, width, shared, alone):
        rows = 1 if alone else None
        images = tf.TensorSpec([rows, height, width, self.channels], tf.float32)
        seeds = tf.TensorSpec(
            [1 if shared else rows, 2], tf.int64
        )  # or what is drawn would have other rows than images
        with weights.constants(self.most), engine.used(self.engine):
            return graph(lambda *batch: self.predictive(*batch), images, seeds).get_concrete_function()
