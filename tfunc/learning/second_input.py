"""Written segmentations as a second input: what auxiliary segm. learns from.

Each must come from a network that never saw its subject: the cross-validation's held-out predictions. A subject outside
the cross-validation (the official validation photographs) takes the real baseline's. `settings.inputs` finds them.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from data_prep import grid, tasks, voxel_order
from data_prep.base.errors import UserError
from data_prep.readers import nifti
from data_prep.records import SubjectEntry
from data_prep.tasks import Task


class SecondInput:
    """The segmentations of some subjects, looked up by (subject number, slice) in a pipeline.

    They are held as indices of classes in as few bits a voxel as the classes take: 155 slices of 240x240 of 125 subjects
    in two classes take 140 MB.
    """

    def __init__(
        self,
        entries: Sequence[SubjectEntry],
        folders: Mapping[str, pathlib.Path],
        task: Task,
        frame: tuple[int, int],
    ):
        """folders: {subject: where its segmentation lies}. task: of the records. frame: (height, width) of the slices.

        Raises `UserError` for a file of another shape.
        """
        self.height, self.width = frame
        self.bits = bits_of(len(task.classes))
        first, packed, count = [], [], 0
        for entry in entries:
            path = pathlib.Path(folders[entry.name]) / f"{entry.name}_prediction.nii.gz"
            values = padded(read(path, entry, task), frame)
            packed.append(pack(values.reshape(entry.slices, -1), self.bits))
            first.append(count)
            count += entry.slices
        self.first, self.packed = tf.constant(first, tf.int32), tf.constant(np.concatenate(packed))

    def slice(self, subject: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """uint8 [height, width], the classes in slice `index` of subject number `subject`, int32 scalars."""
        row = self.packed[self.first[subject] + index]
        shifts = tf.constant([list(range(8 - self.bits, -1, -self.bits))], tf.uint8)
        mask = tf.constant(2**self.bits - 1, tf.uint8)
        values = tf.bitwise.bitwise_and(tf.bitwise.right_shift(row[:, tf.newaxis], shifts), mask)
        return tf.reshape(tf.reshape(values, [-1])[: self.height * self.width], [self.height, self.width])


def read(path: pathlib.Path, entry: SubjectEntry, task: Task) -> NDArray[np.uint8]:
    """Classes [depth, height, width] of a written segmentation on the subject's grid of records; raises `UserError`."""
    values, _ = nifti.read_map(path)
    if task.is_binary:
        found = (values > 0).astype(np.uint8)
    else:
        found = task.class_of(values, path)
        found[found == tasks.IGNORED] = 0  # no network says so, and it is no class
    moved = _on_grid(found, entry, task)
    if moved is None:
        expected = f"a segmentation of {entry.shape}"
        raise UserError(path, expected=expected, found="another shape", do="predict again")
    return moved


def _on_grid(values, entry, task):
    """Classes as the subject's file lies -> as its records do, which is what a network sees; None for other shapes."""
    if task.spacing is None:
        if entry.header is not None:
            values = voxel_order.permuted(values, voxel_order.of_header(entry.header), task.order)
        return values.reshape(entry.shape) if values.size == np.prod(entry.shape) else None
    moved = grid.to_network(values, entry.shape[1:], entry.header, task.order)
    return moved if moved.shape == entry.shape else None


def padded(values: NDArray, frame: tuple[int, int]) -> NDArray:
    """[depth, height, width] with background around it up to the frame, as `records.parse_slice` pads a slice."""
    before = [(room - size) // 2 for room, size in zip(frame, values.shape[1:], strict=True)]
    around = [(at, room - size - at) for at, room, size in zip(before, frame, values.shape[1:], strict=True)]
    return np.pad(values, [(0, 0), *around])


def bits_of(classes: int) -> int:
    """Bits of a voxel that hold the indices of so many classes: 1, 2, 4 or 8, so that none lies across two bytes."""
    return next(bits for bits in (1, 2, 4, 8) if classes <= 2**bits)


def pack(rows: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Rows of small numbers, several to a byte, the first highest: uint8 [rows, numbers] -> [rows, bytes]."""
    each = 8 // bits
    rows = np.pad(rows, [(0, 0), (0, -rows.shape[1] % each)]).reshape(len(rows), -1, each)
    packed = np.zeros(rows.shape[:2], np.uint8)
    for place in range(each):
        packed |= rows[..., place] << np.uint8(8 - bits * (place + 1))
    return packed
