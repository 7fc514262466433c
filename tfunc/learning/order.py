"""The order of an epoch: the places of all slices in their shards, shuffled whole, and each slice read at its place.

No slice is held to be shuffled, so memory does not grow with the data. Records that are larger than `MOST_BYTES` may not
stay in the system's file cache, and reading them here and there would wait for the disk: those are shuffled by a buffer.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfunc.nets import streams
from tfunc.nets.graphs import plain

MOST_BYTES = 8 << 30  # of all shards together; three times the paper's BraTS records
FRAME = 16  # bytes around a record in its shard: its length and two checksums
READERS = 16  # records that are read at a time


@dataclasses.dataclass(frozen=True)
class Places:
    """Where the slices that are trained on lie: for each, the file, the byte in it where its record begins, and its name.

    files: paths.  file: int32 [n], which of them.  byte: int64 [n].  subject, slice: int32 [n].
    """

    files: tuple[str, ...]
    file: NDArray[np.int32]
    byte: NDArray[np.int64]
    subject: NDArray[np.int32]
    slice: NDArray[np.int32]

    def epoch(self, seed: int, epoch: int, skip: int) -> tf.data.Dataset:
        """(serialized, subject, slice) in the order of that epoch, a function of seed and epoch alone, from `skip` on."""
        chosen = streams.generator("order", streams.VERSION, seed, epoch).permutation(len(self.file))[skip:]
        files = tf.constant(self.files)

        def record(file, byte, subject, slice):
            # the checksums of a record are looked at wherever it is read
            found = tf.raw_ops.TFRecordDatasetV2(
                filenames=files[file][tf.newaxis], compression_type="", buffer_size=0, byte_offsets=byte[tf.newaxis]
            )
            read = tf.data.experimental.from_variant(found, tf.TensorSpec([], tf.string)).take(1)
            return read.map(plain(lambda serialized: (serialized, subject, slice)))

        places = (self.file[chosen], self.byte[chosen], self.subject[chosen], self.slice[chosen])
        return tf.data.Dataset.from_tensor_slices(places).interleave(
            plain(record), cycle_length=READERS, block_length=1, num_parallel_calls=READERS, deterministic=True
        )


def find(files: Sequence[pathlib.Path], keyed: Callable[[tf.data.Dataset], tf.data.Dataset]) -> Places:
    """The places of the training slices, from one pass over the files.

    keyed: of `Slices`, serialized -> (serialized, subject number or -1, slice, whether it is trained on).
    """
    columns = []
    for number, path in enumerate(files):
        data = keyed(tf.data.TFRecordDataset(str(path)))
        data = data.map(plain(lambda serialized, *key: (tf.strings.length(serialized), *key))).batch(4096)
        parts = [np.concatenate(column) for column in zip(*data.as_numpy_iterator(), strict=True)]
        length, subject, slice, train = parts
        byte = np.cumsum(length.astype(np.int64) + FRAME) - length - FRAME
        chosen = (subject >= 0) & train
        columns.append((np.full(chosen.sum(), number, np.int32), byte[chosen], subject[chosen], slice[chosen]))
    file, byte, subject, slice = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Places(tuple(map(str, files)), file, byte, subject, slice)
