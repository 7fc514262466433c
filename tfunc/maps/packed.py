"""The samples' segmentations as bits: T of them take T bits a voxel and region, whatever else a prediction holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from data_prep.subject import Subject
from data_prep.tasks import Task
from tfunc.nets import classes
from tfunc.scoring import spread
from tfunc.scoring.spread import Spread

NAME = "samples"  # among a predictive's maps: uint8 [batch, height, width, regions * bytes]
Regions = Sequence[Sequence[int]]


def regions_of(task: Task) -> tuple[tuple[int, ...], ...]:
    """The classes of each region of a task."""
    return tuple(tuple(region.classes) for region in task.regions)


def width(samples: int) -> int:
    """Bytes that the bits of one region take."""
    return -(-samples // 8)


def none_yet(images: tf.Tensor, samples: int, regions: Regions) -> tf.Tensor:
    """No sample's bits, for a batch of images [batch, height, width, channels]."""
    return tf.zeros(tf.concat([tf.shape(images)[:3], [len(regions) * width(samples)]], axis=0), tf.uint8)


def bits(probability: tf.Tensor, index: tf.Tensor | int, samples: int, regions: Regions) -> tf.Tensor:
    """The bits of sample `index` alone, to be added to those of others. probability: as `classes.probability` gives it."""
    inside = tf.cast(classes.in_regions(classes.segmentation(probability), regions), tf.uint8)
    index = tf.convert_to_tensor(index)
    bit = tf.bitwise.left_shift(tf.constant(1, tf.uint8), tf.cast(index % 8, tf.uint8))
    byte = bit * tf.one_hot(index // 8, width(samples), dtype=tf.uint8)
    placed = inside[..., tf.newaxis] * byte
    return tf.reshape(placed, tf.concat([tf.shape(inside)[:3], [len(regions) * width(samples)]], axis=0))


def overlaps(packed: np.ndarray, samples: int, regions: int) -> np.ndarray:
    """[regions, samples, samples] voxels that two samples share, of uint8 [..., regions * bytes]."""
    rows = packed.reshape(-1, regions, width(samples))
    found = []
    for region in range(regions):
        used = rows[:, region][rows[:, region].any(axis=-1)]
        unpacked = np.unpackbits(used, axis=-1, bitorder="little")[:, :samples]
        found.append(spread.shared(unpacked.T.astype(bool)))
    return np.stack(found)


def of_subject(maps: Mapping[str, np.ndarray], subject: Subject, task: Task) -> dict[str, Spread] | None:
    """{region: `Spread`} of a subject's maps, in voxels of its own grid; None where there are not two samples in them."""
    if (total := maps.get(NAME)) is None or total.shape[-1] < 2:
        return None
    height, width = subject.image.shape[1:3]
    scale = 1.0 if subject.own_size is None else subject.own_size[0] * subject.own_size[1] / (height * width)
    return {region.name: spread.of_overlaps(one, scale) for region, one in zip(task.regions, total, strict=True)}
