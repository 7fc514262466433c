"""The layers of the networks, created in the reference's order, and who feeds whom.

Structure, dropout positions, initialisation and parameter counts are those of the reference code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfunc.nets import low_rank, streams
from tfunc.nets.layers import ChannelDropout, Convolution, UpConvolution, batch_normalisation, torch_initializers


@dataclasses.dataclass(frozen=True)
class Unit:
    """Convolution -> [channel dropout] -> batch normalisation -> ReLU. A plain record: Keras tracks the layers elsewhere."""

    convolution: Convolution
    dropout: ChannelDropout | None
    normalisation: keras.layers.Layer

    def __call__(self, x, training, keep):
        x = self.convolution(x)
        if self.dropout is not None:
            x = self.dropout(x, training=training, keep=keep)
        return tf.nn.relu(self.normalisation(x, training=training))


@dataclasses.dataclass(frozen=True)
class Structure:
    """Who feeds whom. Each block is a tuple of two units; `second_head` is None without the second output.

    rank: 0 where that is the logits' sigma, else that of their covariance (`low_rank.py`).
    """

    down: tuple[tuple[Unit, Unit], ...]
    bottom: tuple[Unit, Unit]
    up: tuple  # pairs (UpConvolution, block), innermost first
    logit_head: tuple  # (Unit, Convolution)
    second_head: tuple | None
    rank: int = 0

    def units(self) -> Iterator[Unit]:
        """All units in the order in which they run."""
        yield from (unit for block in self.down for unit in block)
        yield from self.bottom
        yield from (unit for _, block in self.up for unit in block)
        yield from (head[0] for head in (self.logit_head, self.second_head) if head)


@dataclasses.dataclass(frozen=True)
class Head:
    """The layers of the auxiliary head: three units and the last convolution."""

    layers: tuple


class Builder:
    """Creates layers in order and remembers them; `seed` gives each its own initial values.

    stream: of the initial values. version: of the random streams. Version 1 counts all layers, dropout's too, so that a
    network with fewer of those begins elsewhere; version 2 counts convolutions, so that networks of one seed begin alike,
    as the reference's do.
    """

    def __init__(self, seed: int | None, dtype: str | None, stream: str, version: int):
        self.seed, self.dtype, self.stream, self.version = seed, dtype, stream, version
        self.layers: list[keras.layers.Layer] = []
        self.convolutions = 0

    def convolution(self, cls: type, size: int, fan_channels: int, filters: int) -> keras.layers.Layer:
        """A convolution of kernel `size`, built for `fan_channels` channels in and `filters` out."""
        initial = torch_initializers(size * size * fan_channels, self._seeds())
        self.convolutions += 1
        layer = cls(filters, size, padding="same", dtype=self.dtype, **initial)
        layer.build((None, None, None, fan_channels))
        self.layers.append(layer)
        return layer

    def _seeds(self):
        """The seeds of a convolution's kernel and bias."""
        if self.seed is None:
            return None, None
        if self.version == 1:
            first = 2 * (10_000 * self.seed + len(self.layers))
            return first, first + 1
        return tuple(streams.number(self.stream, self.seed, self.convolutions, part) for part in range(2))

    def unit(self, fan_channels: int, filters: int, dropout: float, size: int = 3) -> Unit:
        """A unit, without the dropout layer where its rate is 0."""
        convolution = self.convolution(Convolution, size, fan_channels, filters)
        drop = None
        if dropout:
            drop = ChannelDropout(dropout, dtype=self.dtype)
            self.layers.append(drop)
        normalisation = batch_normalisation(self.dtype)
        normalisation.build((None, None, None, filters))
        self.layers.append(normalisation)
        return Unit(convolution, drop, normalisation)


def of_unet(
    build: Builder,
    in_channels: int,
    start_filters: int,
    depth: int,
    dropout: float,
    center: bool,
    sigma: bool,
    classes: int,
    rank: int = 0,
) -> Structure:
    """The layers of `unet`, whose arguments these are, created in the reference's order."""
    filters = [start_filters * 2**level for level in range(depth + 1)]
    everywhere = 0.0 if center else dropout  # "center": only before pooling, after upsampling, and in the heads
    down, channels = [], in_channels
    for level in range(depth):
        first = build.unit(channels, filters[level], everywhere)
        down.append((first, build.unit(filters[level], filters[level], dropout)))
        channels = filters[level]
    bottom = (
        build.unit(channels, filters[depth], everywhere),
        build.unit(filters[depth], filters[depth], everywhere),
    )
    up = []
    for level in reversed(range(depth)):
        width = filters[level]
        rise = build.convolution(UpConvolution, 3, 2 * width, width)
        up.append((rise, (build.unit(2 * width, width, dropout), build.unit(width, width, everywhere))))
    heads = []
    second = classes * (1 + rank) if sigma or rank else 0
    for width in filter(None, (classes, second)):
        unit = build.unit(start_filters, start_filters, dropout)
        heads.append((unit, build.convolution(Convolution, 1, start_filters, width)))
    if rank:
        low_rank.start(heads[1][1], classes)
    return Structure(tuple(down), bottom, tuple(up), heads[0], heads[1] if second else None, rank)
