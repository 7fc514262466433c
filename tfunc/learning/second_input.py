"""Written segmentations as a second input: what auxiliary segm. learns from.

Each must come from a network that never saw its subject: the cross-validation's held-out predictions. A subject outside
the cross-validation (the official validation photographs) takes the real baseline's. `settings.inputs` finds them.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from data_prep import voxel_order
from data_prep.base.errors import UserError
from data_prep.readers import nifti
from data_prep.records import SubjectEntry


class SecondInput:
    """The segmentations of some subjects, packed to one bit a voxel, looked up by (subject number, slice) in a pipeline.

    155 slices of 240x240 of 125 subjects take 140 MB.
    """

    def __init__(self, entries: Sequence[SubjectEntry], folders: Mapping[str, pathlib.Path], order: str | None = None):
        """folders: {subject: where its segmentation lies}. order: the voxel order of the records, which the slices are in.

        Raises `UserError` for a file of another shape.
        """
        self.height, self.width = entries[0].shape[1:]
        first, packed, count = [], [], 0
        for entry in entries:
            path = pathlib.Path(folders[entry.name]) / f"{entry.name}_prediction.nii.gz"
            values, _ = nifti.read_map(path)
            if values.size != np.prod(entry.shape):
                expected = f"a segmentation of {entry.shape}"
                raise UserError(path, expected=expected, found="another shape", do="predict again")
            if entry.header is not None:
                values = voxel_order.permuted(values, voxel_order.of_header(entry.header), order)
            packed.append(np.packbits(values.reshape(entry.slices, -1) > 0, axis=1))
            first.append(count)
            count += entry.slices
        self.first, self.bits = tf.constant(first, tf.int32), tf.constant(np.concatenate(packed))

    def slice(self, subject: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """uint8 {0, 1} [height, width] of slice `index` of subject number `subject`, int32 scalars."""
        row = self.bits[self.first[subject] + index]
        places = tf.constant([[7, 6, 5, 4, 3, 2, 1, 0]], tf.uint8)  # np.packbits puts the first voxel highest
        bits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(row[:, tf.newaxis], places), tf.constant(1, tf.uint8))
        return tf.reshape(tf.reshape(bits, [-1])[: self.height * self.width], [self.height, self.width])
