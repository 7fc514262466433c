"""The schema of the records, versions 1 and 2: the one place that writes and parses examples.

One `tf.train.Example` is one slice. Its arrays are little-endian bytes with shape and dtype beside them, cropped in the
plane to the subject's bounding box; everything that is needed to undo the crop and to normalise is in each slice.

    subject, slice                              name and number
    shape [3], offset [2]                       depth, height, width of the whole; y0, x0 of the box
    image, image_shape, image_dtype             [height, width, channels] of the box, in the source's dtype
    label, label_shape, label_dtype             uint8 [height, width] of the box, classes, where there is a ground truth
    regions, regions_shape, regions_dtype       likewise, the raw labels, where there are any
    mean, std                                   float32 [channels], of the whole volume
    train                                       1 if the slice is trained on

Version 2 adds what two classes and zero around a head never needed; a task that needs nothing of it is written as before:

    outside                                     float32 [channels], the raw value of what lies outside of the box
    low, high                                   float32 [channels], what intensities are clipped to before they are normalised
    own_size [2]                                height and width of the slice before it was resampled in its plane, and
    own_label, own_label_shape, own_label_dtype the label at that size, whole

TensorFlow is imported where it is needed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep import tf_example
from data_prep.base.errors import UserError
from data_prep.normalisation import NO_LIMIT
from data_prep.subject import Subject
from data_prep.tasks import Task

if TYPE_CHECKING:
    import tensorflow as tf

DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "float32")  # those that float32 arithmetic starts from
ARRAYS = {"image": "image", "label": "label", "regions": "raw_label"}  # name of the feature: of the subject's field


# Writing


def version(task: Task) -> int:
    """The schema that a task's records have: 1 where it needs nothing of 2, so that they are what they were."""
    plain = all(channel.outside == 0 and channel.normalise != "ct" for channel in task.channels)
    same = len({channel.normalise for channel in task.channels}) == 1
    return 1 if task.is_binary and task.ignore is None and task.spacing is None and plain and same else 2


def bounding_box(subject: Subject, outside: tuple[float, ...] = ()) -> tuple[int, int, int, int]:
    """(y0, x0, height, width) of what is not empty in any slice's image, label or raw label; zeros where nothing is.

    outside: of each channel the value of what is empty; 0 where it isn't given.
    """
    image = subject.image
    if any(outside):
        used = np.any(image != np.array(outside), axis=(0, 3))
        if image.dtype.kind == "f":
            used = used | np.any(np.signbit(image), axis=(0, 3))
    elif all(edge.any() for edge in (image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1])):
        return 0, 0, *image.shape[1:3]  # photographs are seldom black at an edge
    else:  # any bit: -0.0 counts, so that the round trip is exact to the bit
        bits = np.bitwise_or.reduce(image.view(f"u{image.itemsize}"), axis=0)
        used = np.any([bits[..., channel] != 0 for channel in range(bits.shape[-1])], axis=0)
    for extra in (subject.label, subject.raw_label):
        if extra is not None:
            used = used | (np.bitwise_or.reduce(extra, axis=0) != 0)
    rows, columns = np.flatnonzero(np.any(used, axis=1)), np.flatnonzero(np.any(used, axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(columns[0]), int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)


def subject_examples(subject: Subject, task: Task, trained: np.ndarray | None = None) -> Iterator[bytes]:
    """Yields one serialized `tf.train.Example` a slice, all slices in order, cropped in the plane to the bounding box.

    trained: the subject's `training_slices`, where the caller has them already. Raises `UserError` for an image of a dtype
    that the schema doesn't have.
    """
    if subject.image.dtype.name not in DTYPES:
        raise UserError(subject.source, expected=f"voxels of {', '.join(DTYPES)}", found=str(subject.image.dtype))
    outside = tuple(channel.outside for channel in task.channels)
    y0, x0, height, width = bounding_box(subject, outside)
    box = np.s_[:, y0 : y0 + height, x0 : x0 + width]
    train = subject.training_slices(task) if trained is None else trained
    common = {
        "subject": tf_example.of_bytes(subject.name.encode()),
        "mean": tf_example.of_floats(subject.mean),
        "std": tf_example.of_floats(subject.std),
    }
    again = {"offset": _integers("offset", y0, x0), "shape": _integers("shape", *subject.image.shape[:3])}
    if version(task) > 1:
        limits = np.full((2, len(outside)), NO_LIMIT) * [[-1], [1]] if subject.limits is None else subject.limits
        for name, values in zip(("outside", "low", "high"), (outside, *limits), strict=True):
            common[name] = tf_example.of_floats(values)
    if subject.own_size is not None:
        again["own_size"] = _integers("own_size", *subject.own_size)
    arrays = {name: getattr(subject, field) for name, field in ARRAYS.items()}
    cropped = {name: volume[box] for name, volume in arrays.items() if volume is not None}
    if subject.own_label is not None:
        cropped["own_label"] = subject.own_label
    for name, volume in cropped.items():
        again[f"{name}_shape"] = _integers(f"{name}_shape", *volume.shape[1:])
        again[f"{name}_dtype"] = _dtype(f"{name}_dtype", volume.dtype)
    again |= {name: tf_example.entry(name, feature) for name, feature in common.items()}
    for index in range(len(subject.image)):
        own = {"slice": _integers("slice", index), "train": _integers("train", int(train[index]))}
        for name, volume in cropped.items():
            own[name] = tf_example.entry(name, tf_example.of_bytes(_little(volume[index])))
        yield tf_example.example(again | own)


@functools.lru_cache(maxsize=1024)
def _integers(name, *values):
    """The entry of a feature that is the same in many records."""
    return [b"".join(tf_example.entry(name, tf_example.of_integers(values)))]


@functools.lru_cache(maxsize=64)
def _dtype(name, dtype):
    return [b"".join(tf_example.entry(name, tf_example.of_bytes(dtype.name.encode())))]


def _little(array):
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


# Parsing


def parse_slice(serialized: tf.Tensor, height: int, width: int, channels: int, labelled: bool) -> dict[str, tf.Tensor]:
    """Parses one example, eagerly or in a `tf.data` pipeline.

    height, width: the size to pad to, at least the subject's own, which then lies in the middle. labelled: whether a label
    must be there.
    Returns image float32 [height, width, channels], normalised exactly as `Subject.normalised` does, around it what lies
    outside; label uint8 [height, width], classes, zeros unless `labelled` and around it; zero float32 [channels], what an
    intensity of what lies outside became; subject string, slice int64 and train bool, scalars.
    """
    import tensorflow as tf

    wanted = _features(channels)
    if labelled:
        wanted["label"] = tf.io.FixedLenFeature([], tf.string)
    parsed = tf.io.parse_single_example(serialized, wanted)
    image = tf.reshape(_decode(parsed["image"], parsed["image_dtype"]), parsed["image_shape"])
    middle = (tf.constant([height, width], tf.int64) - parsed["shape"][1:]) // 2
    around = _padding(middle + parsed["offset"], parsed["image_shape"][:2], height, width)
    empty = tf.pad(tf.zeros(parsed["image_shape"][:2]), around, constant_values=1.0)[..., tf.newaxis]
    image = tf.pad(image, tf.concat([around, [[0, 0]]], axis=0)) + parsed["outside"] * empty
    image = tf.ensure_shape(image, [height, width, channels])

    def normalised(values):
        return (tf.clip_by_value(values, parsed["low"], parsed["high"]) - parsed["mean"]) / parsed["std"]

    label = tf.zeros([height, width], tf.uint8)
    if labelled:
        label = tf.reshape(tf.io.decode_raw(parsed["label"], tf.uint8), parsed["image_shape"][:2])
        label = tf.ensure_shape(tf.pad(label, around), [height, width])
    return {
        "image": normalised(image),
        "label": label,
        "zero": normalised(parsed["outside"]),
        "subject": parsed["subject"],
        "slice": parsed["slice"],
        "train": parsed["train"] > 0,
    }


def _features(channels):
    """What every example has, or has by default."""
    import tensorflow as tf

    def by_channel(value):
        return tf.io.FixedLenFeature([channels], tf.float32, [value] * channels)

    return {
        "shape": tf.io.FixedLenFeature([3], tf.int64),
        "outside": by_channel(0.0),
        "low": by_channel(-NO_LIMIT),
        "high": by_channel(NO_LIMIT),
        "subject": tf.io.FixedLenFeature([], tf.string),
        "slice": tf.io.FixedLenFeature([], tf.int64),
        "train": tf.io.FixedLenFeature([], tf.int64),
        "offset": tf.io.FixedLenFeature([2], tf.int64),
        "mean": tf.io.FixedLenFeature([channels], tf.float32),
        "std": tf.io.FixedLenFeature([channels], tf.float32),
        "image": tf.io.FixedLenFeature([], tf.string),
        "image_shape": tf.io.FixedLenFeature([3], tf.int64),
        "image_dtype": tf.io.FixedLenFeature([], tf.string),
    }


def parse_key(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(subject string, slice int64, train bool) of one example, without decoding its arrays: what a filter needs."""
    import tensorflow as tf

    integer = tf.io.FixedLenFeature([], tf.int64)
    wanted = {"subject": tf.io.FixedLenFeature([], tf.string), "slice": integer, "train": integer}
    parsed = tf.io.parse_single_example(serialized, wanted)
    return parsed["subject"], parsed["slice"], parsed["train"] > 0


def _decode(data, dtype):
    """Bytes to float32, whichever of `DTYPES` they hold; only the branch that fits runs."""
    import tensorflow as tf

    def branch(name):
        return lambda: tf.cast(tf.io.decode_raw(data, tf.as_dtype(name)), tf.float32)

    known = tf.equal(dtype, tf.constant(DTYPES))
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_any(known), ["unknown image_dtype", dtype])]):
        index = tf.argmax(tf.cast(known, tf.int32), output_type=tf.int32)
    return tf.switch_case(index, [branch(name) for name in DTYPES])


def _padding(offset, size, height, width):
    import tensorflow as tf

    return tf.stack([offset, tf.constant([height, width], tf.int64) - offset - size], axis=1)


def array(features: Any, name: str) -> np.ndarray:
    """An array of one example's features, in its own dtype and native byte order: what `subject_examples` put there."""
    dtype = np.dtype(features[f"{name}_dtype"].bytes_list.value[0].decode())
    little = np.frombuffer(features[name].bytes_list.value[0], dtype.newbyteorder("<"))
    return little.reshape(tuple(features[f"{name}_shape"].int64_list.value)).astype(dtype, copy=False)
