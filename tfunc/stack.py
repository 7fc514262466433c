"""The differences between the two TensorFlow stacks, and nothing else.

`current`: TensorFlow 2.16 and later with Keras 3. `addons`: TensorFlow 2.15 with Keras 2.15, the last that TensorFlow
Addons works with. Everything else is written to what both share.
"""

import warnings

import keras
import tensorflow as tf


def name():
    """`current` or `addons`. Optimizer state does not cross from one to the other; weights and records do."""
    return "current" if int(keras.__version__.split(".")[0]) >= 3 else "addons"


def versions():
    """What to write beside an artefact."""
    return {"stack": name(), "tensorflow": tf.__version__, "keras": keras.__version__}


def projective_transform(images, transforms, interpolation="bilinear", fill_mode="constant"):
    """Images seen through projective transforms, zero outside; TensorFlow Addons' or Keras' own.

    images: float32 or uint8 [batch, height, width, channels]. transforms: float32 [batch, 8]; a row (a0 … a5, c0, c1)
    maps the *output* point (x, y) to the input point ((a0 x + a1 y + a2) / k, (a3 x + a4 y + a5) / k) with
    k = c0 x + c1 y + 1, pixel centres at whole numbers. interpolation: `bilinear` or `nearest`. fill_mode: `constant`
    (neighbours outside count as 0) or `reflect`.
    """
    if name() == "addons":
        return _addons().transform(images, transforms, interpolation=interpolation, fill_mode=fill_mode)
    return keras.ops.image.affine_transform(images, transforms, interpolation=interpolation, fill_mode=fill_mode)


def dense_warp(image, points, interpolation="bilinear"):
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
        return _addons().dense_image_warp(padded[tf.newaxis], flow[tf.newaxis])[0, 1:-1, 1:-1]
    coordinates = tf.transpose(points, [2, 0, 1])
    order = 0 if nearest else 1
    channels = [keras.ops.image.map_coordinates(one, coordinates, order=order) for one in tf.unstack(image, axis=-1)]
    return tf.stack(channels, axis=-1)


def _addons():
    """`tensorflow_addons.image`, without the notice of its end of life: BUILD_NOTES.md has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorflow_addons import image  # here: its import takes seconds
    return image
