"""Random changes of training slices: the same geometry for image and segmentations, other intensities for the image.

What happens to a slice depends on (seed, epoch, subject, slice) only, so a resumed training sees what an uninterrupted
one does, whatever the batch or the replica. The paper trains without any.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tfunc.nets import stack, streams, views

UNIFORMS = views.UNIFORMS + 2  # and one for the shift, one for gamma


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How much is changed.

    view: flips, rotation, scaling. elastic: standard deviation of the displacement, as a share of the shorter side; the
    deformation is smooth between a grid of `knots` x `knots` points. shift: largest shift of a channel's intensities, in
    its standard deviations. gamma: smallest and largest exponent on a channel's own range, drawn uniformly.
    """

    view: views.Range
    shift: float
    gamma: tuple[float, float]
    elastic: float = 0.0
    knots: int = 5


LEVELS: dict[str, Augmentation | None] = {
    "none": None,
    "light": Augmentation(views.Range(), shift=0.1, gamma=(0.9, 1.1)),
    "strong": Augmentation(
        views.Range(flip_y=True, rotation=45.0, scaling=(0.75, 1.35)), shift=0.3, gamma=(0.7, 1.5), elastic=0.02
    ),
}


def seed_of(seed: int, epoch: int, subject: tf.Tensor, slice: tf.Tensor) -> tf.Tensor:
    """int64 [2], the seed of one slice in one epoch. seed, epoch: Python integers; subject, slice: int32 scalars."""
    place = tf.cast(subject, tf.int64) * 2**32 + tf.cast(slice, tf.int64)
    return tf.stack([tf.constant(seed * 2**20 + epoch, tf.int64), place])


def apply(
    level: str,
    image: tf.Tensor,
    labels: tf.Tensor,
    zero: tf.Tensor,
    seed: tf.Tensor,
    version: int = streams.VERSION,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One slice, changed as `LEVELS[level]` says.

    image: float32 [height, width, channels], normalised, its shape known while tracing. labels: uint8
    [height, width, number], indices of classes, which move with the image, by nearest pixel; background is what comes in.
    zero: float32 [channels], what an intensity of what lies outside became under normalisation; it fills the background.
    seed: int64 [2]. version: of the random streams.
    """
    how = LEVELS[level]
    own = streams.fold(seed, "augmentation", version)
    uniform = tf.random.stateless_uniform([1, UNIFORMS], own, alg=streams.ALGORITHM)
    elastic = streams.fold(seed, "elastic", version)
    image, labels = _move(how, image - zero, labels, uniform[:, : views.UNIFORMS], elastic)
    return _recolour(how, image + zero, uniform[0, views.UNIFORMS :]), labels


def _move(how, image, labels, uniform, elastic):
    height, width, _ = image.shape
    if how.elastic:
        points = elastic_points(height, width, how.elastic, how.knots, elastic)
        image = stack.dense_warp(image, points)
        labels = tf.cast(stack.dense_warp(tf.cast(labels, tf.float32), points, interpolation="nearest"), tf.uint8)
    forth, _ = views.views(views.draw(uniform, how.view), height, width)
    return (
        stack.projective_transform(image[tf.newaxis], forth)[0],
        stack.projective_transform(labels[tf.newaxis], forth, interpolation="nearest")[0],
    )


def elastic_points(height: int, width: int, deviation: float, knots: int, seed: tf.Tensor) -> tf.Tensor:
    """Where each pixel comes from under a smooth random deformation: float32 [height, width, 2] of (y, x).

    deviation: of a knot's displacement along each axis, as a share of the shorter side.
    """
    rows, columns = tf.meshgrid(tf.range(height, dtype=tf.float32), tf.range(width, dtype=tf.float32), indexing="ij")
    coarse = tf.random.stateless_normal([knots, knots, 2], seed, alg=streams.ALGORITHM)
    smooth = tf.image.resize(coarse * (deviation * min(height, width)), [height, width], method="bicubic")
    return tf.stack([rows, columns], axis=-1) + smooth


def _recolour(how, image, uniform):
    """Gamma on each channel's own range, which leaves its ends where they are, then a shift of all channels alike."""
    low, high = (reduce(image, axis=[0, 1]) for reduce in (tf.reduce_min, tf.reduce_max))
    extent = tf.maximum(high - low, 1e-6)
    gamma = how.gamma[0] + (how.gamma[1] - how.gamma[0]) * uniform[0]
    image = tf.pow(tf.clip_by_value((image - low) / extent, 0.0, 1.0), gamma) * extent + low
    return image + how.shift * (2.0 * uniform[1] - 1.0) * tf.math.reduce_std(image, axis=[0, 1])
