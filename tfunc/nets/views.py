"""Random changes of view and their inverses: flips, rotation, scaling. For augmentation and for test-time augmentation.

A view is a row of eight numbers that maps an output point to the input point it shows, as `stack.projective_transform`
takes it. It turns and scales about the image's centre, so its inverse is exact.
"""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf

UNIFORMS = 4  # random numbers that one view takes


@dataclasses.dataclass(frozen=True)
class Range:
    """What views may do. flip_x, flip_y: whether to mirror left-right and up-down (each half of the time).

    rotation: largest angle to either side, degrees. scaling: smallest and largest factor, drawn log-uniformly.
    """

    flip_x: bool = True
    flip_y: bool = False
    rotation: float = 15.0
    scaling: tuple[float, float] = (0.9, 1.1)


def draw(uniform: tf.Tensor, allowed: Range) -> tuple[tf.Tensor, ...]:
    """uniform float32 [n, 4] in [0, 1) -> (angle in radians, factor, flip_x, flip_y), each float32 [n]; flips are +-1."""
    angle, factor, x, y = tf.unstack(uniform, axis=1)
    low, high = (math.log(bound) for bound in allowed.scaling)

    def side(number, flips):
        return tf.where((number < 0.5) & flips, -1.0, 1.0)

    return (
        math.radians(allowed.rotation) * (2.0 * angle - 1.0),
        tf.exp(low + (high - low) * factor),
        side(x, allowed.flip_x),
        side(y, allowed.flip_y),
    )


def views(drawn: tuple[tf.Tensor, ...], height: tf.Tensor | int, width: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
    """(forth, back): the views that `draw` chose and their inverses, float32 [n, 8] each, for images of that size.

    Seeing an image through `forth`, then the result through `back`, gives the image again, where it stayed in the frame.
    """
    angle, factor, flip_x, flip_y = drawn
    cos, sin = tf.cos(angle), tf.sin(angle)
    # forth: input = R(angle) F output / factor;  back: input = factor F R(-angle) output;  F = diag(flip_x, flip_y)
    forth = (cos * flip_x / factor, -sin * flip_y / factor, sin * flip_x / factor, cos * flip_y / factor)
    back = (cos * flip_x * factor, sin * flip_x * factor, -sin * flip_y * factor, cos * flip_y * factor)
    return _about_centre(forth, height, width), _about_centre(back, height, width)


def _about_centre(linear, height, width):
    """The 2x2 part (xx, xy, yx, yy) as a view that leaves the image's centre where it is."""
    xx, xy, yx, yy = linear
    x, y = (tf.cast(width, tf.float32) - 1.0) / 2.0, (tf.cast(height, tf.float32) - 1.0) / 2.0
    zero = tf.zeros_like(xx)
    return tf.stack([xx, xy, x - xx * x - xy * y, yx, yy, y - yx * x - yy * y, zero, zero], axis=1)
