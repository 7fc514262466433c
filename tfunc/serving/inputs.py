"""What a served request holds, checked and made ready inside the graph: images, volumes, their bytes, photographs.

The graph may run where nobody can ask it anything, so a bad request is an InvalidArgumentError whose text names the
input, what was expected and what was found. Preparation is that of `data_prep`, in TensorFlow ops.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from data_prep import normalisation
from data_prep.readers import photographs
from data_prep.tasks import Channel

Z_SCORES = ("zscore", "zscore_nonzero")
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
    """float32 [depth, height, width, channels] of one patient from little-endian bytes: int16, or float32 by their number.

    shape: int64 [4], or [3] without the channels.
    """
    full = tf.concat([shape, [channels]], 0)[:4]
    good = tf.reduce_all((full >= 1) & (full <= LONGEST)) & (full[3] == channels)
    text = f"shape: expected [depth, height, width, {channels}], each from 1 to {LONGEST}, found {{}}"
    full = after([require(good, text, shape)], full)
    found, expected = tf.cast(tf.strings.length(value), tf.int64), 2 * tf.reduce_prod(full)
    text = "volume: expected {} bytes, two for each voxel of shape {}, or {}, four, found {}"
    right = (found == expected) | (found == 2 * expected)
    value = after([require(right, text, expected, full, 2 * expected, found)], value)
    voxels = tf.cond(
        found == expected,
        lambda: tf.cast(tf.io.decode_raw(value, tf.int16, little_endian=True), tf.float32),
        lambda: tf.io.decode_raw(value, tf.float32, little_endian=True),
    )
    voxels = tf.ensure_shape(tf.reshape(voxels, full), [None, None, None, channels])
    return in_plane(voxels, "volume", smallest)


def statistics(
    voxels: tf.Tensor, channels: Sequence[Channel] | None = None, name: str = "volume"
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and deviation, float32 [channels], of [depth, height, width, channels]: `data_prep.normalisation`'s.

    channels: whose rules say of what; None: a z-score of all. Z-scores are over the whole volume, background included, or
    over what is not 0, ddof 0. name: of the input, in errors. Sums are float64 and run slice by slice: exact to float32's
    rounding on any device, and no second copy of the volume.
    """
    rules = ["zscore"] * voxels.shape[-1] if channels is None else [channel.normalise for channel in channels]
    inside = _inside(rules)
    sums, counts, lowest, highest, bad = _totals(voxels, inside)
    finite = require(bad == 0, f"{name}: expected finite voxels, found {{}} that are not", bad)
    mean = after([finite], sums / counts)
    scored = tf.constant([rule in Z_SCORES for rule in rules])
    deviation = tf.zeros_like(mean, tf.float32)
    if any(rule in Z_SCORES for rule in rules):
        deviation = tf.cast(tf.sqrt(_squares(voxels, mean, inside) / counts), tf.float32)
    with tf.control_dependencies([finite]):
        constant = (lowest >= highest) & (scored | tf.constant([rule == "minmax" for rule in rules]))
        text = f"{name}: expected voxels that vary, found one value everywhere in the channels {{}}"
        vary = require(~tf.reduce_any(constant), text, tf.where(constant)[:, 0])
    text = f"{name}: expected intensities that float32 can standardise, found deviations {{}}"
    right = tf.math.is_finite(deviation) & (deviation > 0)
    ready = [vary, require(tf.reduce_all(right | ~scored), text, deviation)]
    mean = tf.cast(mean, tf.float32)
    if channels is not None:
        mean, deviation = _by_rule(channels, mean, deviation, lowest, highest)
    return after(ready, mean), after(ready, deviation)


def given(mean: tf.Tensor, deviation: tf.Tensor, patients: tf.Tensor, channels: int) -> tuple[tf.Tensor, tf.Tensor]:
    """A request's own mean and deviation, float32 [patients, channels], of volumes that were resampled since."""
    found = []
    for name, values, least in (("mean", mean, -float("inf")), ("deviation", deviation, 0.0)):
        values = shaped(values, name, ("patients", channels))
        text = f"{name}: expected a row for each of {{}} volumes, found {{}}"
        one = require(tf.shape(values)[0] == patients, text, patients, tf.shape(values)[0])
        right = tf.reduce_all(tf.math.is_finite(values) & (values > least))
        text = f"{name}: expected finite numbers{' above 0' if least == 0 else ''}, found {{}}"
        found.append(after([one, require(right, text, values)], values))
    return found[0], found[1]


def finite(voxels: tf.Tensor) -> tf.Tensor:
    """`voxels`, all finite."""
    bad = tf.math.count_nonzero(~tf.math.is_finite(voxels))
    return after([require(bad == 0, "volume: expected finite voxels, found {} that are not", bad)], voxels)


def _inside(rules):
    """values [..., channels] -> where they count by each channel's rule; None where they count everywhere."""
    if "zscore_nonzero" not in rules:
        return None
    everywhere = tf.constant([rule != "zscore_nonzero" for rule in rules])
    return lambda values: (values != 0) | everywhere


def _totals(voxels, inside):
    """(sums, counts, lowest, highest), float64 [channels], of the voxels that count, and how many of all are not finite."""
    count = tf.cast(tf.reduce_prod(tf.shape(voxels, tf.int64)[:3]), tf.float64)

    def of_slice(index):
        values = tf.cast(voxels[index], tf.float64)
        bad = tf.math.count_nonzero(~tf.math.is_finite(values))
        low = high = values
        if inside is not None:
            low, high = (tf.where(inside(values), values, beyond) for beyond in (float("inf"), -float("inf")))
        sums = tf.reduce_sum(values, [0, 1])
        counts = tf.zeros_like(sums) if inside is None else tf.reduce_sum(tf.cast(inside(values), tf.float64), [0, 1])
        return sums, counts, tf.reduce_min(low, [0, 1]), tf.reduce_max(high, [0, 1]), bad

    row = tf.TensorSpec([voxels.shape[-1]], tf.float64)
    specs = row, row, row, row, tf.TensorSpec([], tf.int64)
    found = tf.map_fn(of_slice, tf.range(tf.shape(voxels)[0]), fn_output_signature=specs)
    sums, counts, lowest, highest, bad = found
    counts = count if inside is None else tf.maximum(tf.reduce_sum(counts, 0), 1.0)
    return tf.reduce_sum(sums, 0), counts, tf.reduce_min(lowest, 0), tf.reduce_max(highest, 0), tf.reduce_sum(bad)


def _squares(voxels, mean, inside):
    """Sums of squared differences from the mean, float64 [channels]."""

    def of_slice(index):
        values = tf.cast(voxels[index], tf.float64)
        squares = tf.square(values - mean)
        return tf.reduce_sum(squares if inside is None else tf.where(inside(values), squares, 0.0), [0, 1])

    row = tf.TensorSpec([voxels.shape[-1]], tf.float64)
    return tf.reduce_sum(tf.map_fn(of_slice, tf.range(tf.shape(voxels)[0]), fn_output_signature=row), 0)


def _by_rule(channels, mean, deviation, lowest, highest):
    """Of each channel the two numbers that its rule takes."""
    lowest, highest = tf.cast(lowest, tf.float32), tf.cast(highest, tf.float32)
    found = []
    for index, channel in enumerate(channels):
        known = {
            "zscore": (mean[index], deviation[index]),
            "zscore_nonzero": (mean[index], deviation[index]),
            "minmax": (lowest[index], highest[index] - lowest[index]),
            "unit": (0.0, 255.0),
            "none": (0.0, 1.0),
            "ct": (channel.window.mean, channel.window.std) if channel.window else None,
        }
        found.append(known[channel.normalise])
    return tuple(tf.stack([tf.cast(each, tf.float32) for each in row]) for row in zip(*found, strict=True))


def normalised(values: tf.Tensor, mean: tf.Tensor, deviation: tf.Tensor, channels: Sequence[Channel]) -> tf.Tensor:
    """float32 [..., channels] as the network sees them: clipped where the channel's rule is `ct`, then standardised."""
    values = tf.cast(values, tf.float32)
    if any(channel.normalise == "ct" for channel in channels):
        windows = [channel.window if channel.normalise == "ct" else None for channel in channels]
        low = [window.low if window else -normalisation.NO_LIMIT for window in windows]
        high = [window.high if window else normalisation.NO_LIMIT for window in windows]
        values = tf.clip_by_value(values, tf.constant(low, tf.float32), tf.constant(high, tf.float32))
    return (values - mean) / deviation


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


def by_channel(pixels: tf.Tensor, channels: Sequence[Channel]) -> tf.Tensor:
    """uint8 [height, width, channels] -> float32 by each channel's own rule."""
    mean, deviation = statistics(pixels[tf.newaxis], channels, "images")
    return normalised(pixels, mean, deviation, channels)


def grey(pixels: tf.Tensor) -> tf.Tensor:
    """uint8 [height, width, 1] of a decoded photograph without colours."""
    plain = require(tf.reduce_all(pixels == pixels[..., :1]), "images: expected grey photographs, found colours")
    return after([plain], pixels[..., :1])
