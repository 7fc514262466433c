"""What a served request holds, checked and made ready inside the graph: images, volumes, their bytes, photographs.

The graph may run where nobody can ask it anything, so a bad request is an InvalidArgumentError whose text names the
input, what was expected and what was found. Preparation is that of `data_prep`, in TensorFlow ops.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from data_prep.readers import photographs

LONGEST = 32767  # voxels along an axis; NIfTI-1 counts in int16
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
PNG_HEADER = 33  # bytes of signature and IHDR


def require(condition: tf.Tensor, text: str, *values: tf.Tensor) -> tf.Operation:
    """An op that fails with `text`, each {} in it one of `values`, where `condition` is false."""
    return tf.debugging.Assert(condition, [tf.strings.format(text, values) if values else text])


def after(checks: Sequence[tf.Operation], value: tf.Tensor) -> tf.Tensor:
    """`value`, once the checks have passed."""
    with tf.control_dependencies(checks):
        return tf.identity(value)


def _sizes(value):
    """The sizes of a tensor as they are when it runs, int32 [rank].

    The graph's optimiser replaces tf.shape and tf.rank by what the signature promises, and so a check of them by true.
    It can't see through tf.where.
    """
    sizes = tf.shape(value)
    return tf.gather(sizes, tf.where(sizes >= 0)[:, 0])


def shaped(value: tf.Tensor, name: str, axes: Sequence[str | int]) -> tf.Tensor:
    """`value`, with the axes that it should have: names for free ones, numbers for fixed ones, none of them empty."""
    sizes = _sizes(value)
    fixed = [axis if isinstance(axis, int) else -1 for axis in axes]
    found = tf.concat([sizes, [0] * len(axes)], 0)[: len(axes)]
    right = tf.reduce_all((found == fixed) | ((tf.constant(fixed) < 0) & (found > 0)))
    form = ", ".join(map(str, axes))
    text = f"{name}: expected the shape [{form}], no axis empty, found {{}}"
    return after([require(right & (tf.size(sizes) == len(axes)), text, sizes)], value)


def in_plane(value: tf.Tensor, name: str, smallest: int) -> tf.Tensor:
    """`value` [..., height, width, channels], height and width at least what the network's poolings need."""
    plane = tf.shape(value)[-3:-1]
    text = f"{name}: expected a height and width of at least {smallest}, found {{}}"
    return after([require(tf.reduce_all(plane >= smallest), text, plane)], value)


def images(value: tf.Tensor, channels: int, smallest: int) -> tf.Tensor:
    """float32 [batch, height, width, channels] as the network sees them, checked."""
    value = in_plane(shaped(value, "images", ("batch", "height", "width", channels)), "images", smallest)
    bad = tf.math.count_nonzero(~tf.math.is_finite(value))
    return after([require(bad == 0, "images: expected finite values, found {} that are not", bad)], value)


# ------------------------------------------------------------------------------------------------------------- volumes


def volume(value: tf.Tensor, shape: tf.Tensor, channels: int, smallest: int) -> tf.Tensor:
    """int16 [depth, height, width, channels] of one patient from little-endian bytes.

    shape: int64 [4], or [3] without the channels.
    """
    full = tf.concat([shape, [channels]], 0)[:4]
    good = tf.reduce_all((full >= 1) & (full <= LONGEST)) & (full[3] == channels)
    text = f"shape: expected [depth, height, width, {channels}], each from 1 to {LONGEST}, found {{}}"
    full = after([require(good, text, shape)], full)
    found, expected = tf.cast(tf.strings.length(value), tf.int64), 2 * tf.reduce_prod(full)
    text = "volume: expected {} bytes, two for each voxel of shape {}, found {}"
    value = after([require(found == expected, text, expected, full, found)], value)
    voxels = tf.reshape(tf.io.decode_raw(value, tf.int16, little_endian=True), full)
    return in_plane(tf.ensure_shape(voxels, [None, None, None, channels]), "volume", smallest)


def statistics(voxels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and deviation, float32 [channels], of [depth, height, width, channels]: `data_prep.subject`'s z-score.

    Over the whole volume, background included, ddof 0. Sums are float64 and run slice by slice: exact to float32's
    rounding on any device, and no second copy of the volume.
    """

    def first(index):
        values = tf.cast(voxels[index], tf.float64)
        planes = [function(values, [0, 1]) for function in (tf.reduce_sum, tf.reduce_min, tf.reduce_max)]
        return (*planes, tf.math.count_nonzero(~tf.math.is_finite(values)))

    numbers = tf.range(tf.shape(voxels)[0])
    row = tf.TensorSpec([voxels.shape[-1]], tf.float64)
    sums, lowest, highest, bad = tf.map_fn(
        first, numbers, fn_output_signature=(row, row, row, tf.TensorSpec([], tf.int64))
    )
    bad = tf.reduce_sum(bad)
    finite = require(bad == 0, "volume: expected finite voxels, found {} that are not", bad)
    count = tf.cast(tf.reduce_prod(tf.shape(voxels, tf.int64)[:3]), tf.float64)
    mean = after([finite], tf.reduce_sum(sums, 0) / count)

    def second(index):
        return tf.reduce_sum(tf.square(tf.cast(voxels[index], tf.float64) - mean), [0, 1])

    squares = tf.reduce_sum(tf.map_fn(second, numbers, fn_output_signature=row), 0)
    deviation = tf.cast(tf.sqrt(squares / count), tf.float32)
    with tf.control_dependencies([finite]):
        constant = tf.reduce_min(lowest, 0) >= tf.reduce_max(highest, 0)
        text = "volume: expected voxels that vary, found one value everywhere in the channels {}"
        vary = require(~tf.reduce_any(constant), text, tf.where(constant)[:, 0])
    text = "volume: expected intensities that float32 can standardise, found deviations {}"
    usable = require(tf.reduce_all(tf.math.is_finite(deviation) & (deviation > 0)), text, deviation)
    ready = [vary, usable]
    return after(ready, tf.cast(mean, tf.float32)), after(ready, deviation)


def raw(values: tf.Tensor) -> tf.Tensor:
    """The little-endian bytes of a tensor, as one string. There is no op for it.

    A serialized TensorProto ends with its content, which is those bytes.
    """
    proto, size = tf.io.serialize_tensor(values), tf.size(values) * values.dtype.size
    return tf.strings.substr(proto, tf.strings.length(proto) - size, size)


# --------------------------------------------------------------------------------------------------------- photographs


def photograph(encoded: tf.Tensor) -> tf.Tensor:
    """uint8 [height, width, 3] of one JPEG or PNG; the size in its header is checked before anything is decoded."""
    is_png = _starts(encoded, PNG)
    known = require(is_png | _starts(encoded, JPEG), "images: expected the bytes of a JPEG or PNG file, found others")
    encoded = after([known], encoded)
    with tf.name_scope("images"):  # a damaged file fails in an op whose error names its scope only
        height, width, depth, colours = tf.unstack(tf.cond(is_png, lambda: _png(encoded), lambda: _jpeg(encoded)))
        text = f"images: expected 1 to {photographs.MAX_PIXELS} pixels, found {{}}x{{}}"
        small = require((height > 0) & (width > 0) & (height * width <= photographs.MAX_PIXELS), text, width, height)
        text = "images: expected 8 bits a channel in RGB or grey, found {} bits in {} channels"
        plain = require((depth <= 8) & (colours <= 3), text, depth, colours)
        encoded = after([small, plain], encoded)
        pixels = tf.cond(
            is_png,
            lambda: tf.io.decode_png(encoded, channels=3),
            lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),  # Pillow's
        )
    return tf.ensure_shape(pixels, [None, None, 3])


def _starts(encoded, head):
    return tf.strings.substr(encoded, 0, len(head)) == head


def _png(encoded):
    """int64 [height, width, bits, channels] by the IHDR chunk, which comes first. Alpha, which is dropped, isn't counted."""
    length = tf.strings.length(encoded)
    encoded = after(
        [require(length >= PNG_HEADER, "images: expected a whole PNG file, found {} bytes", length)], encoded
    )
    width, height = tf.unstack(tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.int32, little_endian=False), 2)
    depth = tf.io.decode_raw(tf.strings.substr(encoded, 24, 1), tf.uint8)[0]
    return tf.stack([*(tf.cast(value, tf.int64) for value in (height, width, depth)), 3])


def _jpeg(encoded):
    """The same of a JPEG; only its header is read."""
    height, width, components = tf.unstack(tf.image.extract_jpeg_shape(encoded, tf.int32), 3)
    return tf.stack([*(tf.cast(value, tf.int64) for value in (height, width)), 8, tf.cast(components, tf.int64)])


def intensities(pixels: tf.Tensor, rule: str) -> tf.Tensor:
    """uint8 [height, width, 3] -> float32 in [0, 1] by the rule of `data_prep.normalisation.intensity_statistics`."""
    pixels = tf.cast(pixels, tf.float32)
    if rule == "unit":
        return pixels / 255.0
    lowest, highest = tf.reduce_min(pixels), tf.reduce_max(pixels)
    text = "images: expected pixels that vary, found {} everywhere"
    return after([require(highest > lowest, text, lowest)], (pixels - lowest) / (highest - lowest))
