"""The U-Net of the paper and its variants, and the auxiliary head on its features.

Structure, dropout positions, padding rule, initialisation and parameter counts are those of the reference code.
"""

from __future__ import annotations

from collections.abc import Iterable

import keras
import tensorflow as tf

from tfunc.nets import streams
from tfunc.nets.layers import Convolution
from tfunc.nets.structure import Builder, Head, of_unet

CLASSES = 2  # of the auxiliary head, error or not, and of a network that isn't asked for more


def without_sequence(model: keras.Model) -> list[str]:
    """`dir` of a model without `sequence`, its list of layers.

    Keras 2.15 saves what it finds walking the names from the last, Keras 3 from the first; both must find the weights
    under the same name, `layers`, for a weights file to cross.
    """
    return [name for name in object.__dir__(model) if name != "sequence"]


def pad_to(x: tf.Tensor, skip: tf.Tensor) -> tf.Tensor:
    """Zero rows below and columns to the right until `x` has the height and width of `skip` (pooling floors odd sizes)."""
    missing = tf.shape(skip)[1:3] - tf.shape(x)[1:3]
    before = missing // 2
    paddings = tf.stack([[0, 0], [before[0], missing[0] - before[0]], [before[1], missing[1] - before[1]], [0, 0]])
    return tf.pad(x, paddings)


class AuxiliaryHead(keras.Model):
    """The paper's auxiliary feat. network: three 1x1 convolutions, each with batch normalisation and ReLU, and a last one.

    Features [batch, height, width, channels] -> float32 logits [batch, height, width, 2] of "the segmentation is wrong
    here". The reference's PostNet; no dropout.
    """

    def __init__(
        self, channels: int, seed: int | None = None, dtype: str | None = None, version: int = streams.VERSION
    ):
        super().__init__()
        build = Builder(seed, dtype, "head_weights", version)
        units = [build.unit(channels, channels, 0.0, size=1) for _ in range(3)]
        self.structure = Head((*units, build.convolution(Convolution, 1, channels, CLASSES)))
        self.sequence = build.layers
        self.compute = build.layers[0].compute_dtype
        self.built = True

    __dir__ = without_sequence

    def build(self, input_shape: object = None) -> None:
        """Nothing to do: every layer is built where it is created."""

    def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Features [batch, height, width, channels] -> float32 logits [batch, height, width, 2]."""
        *units, last = self.structure.layers
        x = tf.cast(features, self.compute)
        for unit in units:
            x = unit(x, training, None)
        return tf.cast(last(x), tf.float32)


class UNet(keras.Model):
    """See `unet`. `layers` lists the layers in creation order; `structure` says how they are joined."""

    def __init__(
        self,
        in_channels: int,
        start_filters: int,
        depth: int,
        dropout: float,
        center: bool,
        sigma: bool,
        seed: int | None,
        dtype: str | None,
        version: int,
        classes: int = CLASSES,
        rank: int = 0,
    ):
        super().__init__()
        build = Builder(seed, dtype, "weights", version)
        structure = of_unet(build, in_channels, start_filters, depth, dropout, center, sigma, classes, rank)
        self.sequence = build.layers
        self.structure = structure
        self.compute = build.layers[0].compute_dtype
        self.built = True

    __dir__ = without_sequence

    def build(self, input_shape: object = None) -> None:
        """Nothing to do: every layer is built where it is created, since all widths are known."""

    @property
    def dropout_rates(self) -> list[tuple[float, int]]:
        """(rate, channels) of every unit with dropout, in the order in which they run."""
        return [(u.dropout.rate, u.convolution.filters) for u in self.structure.units() if u.dropout is not None]

    def features(
        self, images: tf.Tensor, training: bool = False, keeps: Iterable[tf.Tensor] | None = None
    ) -> tf.Tensor:
        """The last decoder block's output [batch, height, width, start_filters], after its ReLU."""
        keep = self._keeps(keeps)
        x, skips = tf.cast(images, self.compute), []
        for block in self.structure.down:
            for unit in block:
                x = unit(x, training, next(keep) if unit.dropout is not None else None)
            skips.append(x)
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        for unit in self.structure.bottom:
            x = unit(x, training, next(keep) if unit.dropout is not None else None)
        for rise, block in self.structure.up:
            skip = skips.pop()
            x = tf.concat([pad_to(rise(x), skip), skip], axis=-1)
            for unit in block:
                x = unit(x, training, next(keep) if unit.dropout is not None else None)
        return x

    def heads(
        self, features: tf.Tensor, training: bool = False, keeps: Iterable[tf.Tensor] | None = None
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """Features -> float32 logits [..., classes], or (logits, what the second head says of them)."""
        outputs = []
        keep = self._keeps(keeps)
        for head in (self.structure.logit_head, self.structure.second_head):
            if head is not None:
                unit, last = head
                kept = next(keep) if unit.dropout is not None else None
                outputs.append(tf.cast(last(unit(features, training, kept)), tf.float32))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def call(
        self, images: tf.Tensor, training: bool = False, keeps: Iterable[tf.Tensor] | None = None
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """`keeps`: one [batch, channels] multiplier for each entry of `dropout_rates`; turns dropout on by itself."""
        if keeps is None:
            return self.heads(self.features(images, training), training)
        keeps = list(keeps)
        heads = 2 if self.structure.second_head else 1
        heads = heads if self.structure.logit_head[0].dropout is not None else 0
        split = len(keeps) - heads
        return self.heads(self.features(images, training, keeps[:split]), training, keeps[split:])

    @staticmethod
    def _keeps(keeps):
        return iter(keeps) if keeps is not None else _nothing()


def _nothing():
    while True:
        yield None


def unet(
    in_channels: int,
    start_filters: int = 32,
    depth: int = 4,
    dropout: float = 0.05,
    center: bool = False,
    sigma: bool = False,
    seed: int | None = None,
    dtype: str | None = None,
    version: int = streams.VERSION,
    classes: int = CLASSES,
    rank: int = 0,
) -> UNet:
    """The U-Net of the paper, section 2.2, as the reference code builds it.

    Takes float images [batch, height, width, in_channels] of any height and width of at least 2**depth and gives float32
    logits [batch, height, width, classes], or the tuple (logits, sigma) of that shape where `sigma` is True; sigma is the raw
    output of the second head and may be negative. With a `rank` the second is the covariance's parameters
    [batch, height, width, classes * (1 + rank)], which `low_rank.parts` takes apart.

    start_filters: channels of the outermost level; each of the `depth` poolings doubles them.
    dropout: rate of the channel dropout between convolution and batch normalisation; 0 leaves the layers out.
    center: dropout only before each pooling, after each upsampling and in the heads (the paper's "center").
    seed: fixes the initial weights; None draws them from Keras' global state.
    dtype: a Keras dtype policy such as "mixed_bfloat16"; None is Keras' global one.
    version: of the random streams behind the initial weights.
    classes: of the softmax, at least 2.
    rank: of the logits' covariance over the slice; 0 for a network without one.
    """
    if sigma and rank:
        raise ValueError("unet: sigma and rank are each a second head, of which there is one")
    if depth < 1 or start_filters < 1 or in_channels < 1 or not 0 <= dropout < 1 or classes < CLASSES or rank < 0:
        raise ValueError(
            f"unet: depth, start_filters and in_channels must be at least 1, dropout in [0, 1) and classes at least 2, "
            f"got {depth}, {start_filters}, {in_channels}, {dropout}, {classes}"
        )
    return UNet(in_channels, start_filters, depth, dropout, center, sigma, seed, dtype, version, classes, rank)
