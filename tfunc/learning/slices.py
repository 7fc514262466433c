"""Records -> batches of slices: shuffled for training, whole subjects in order for validation.

A batch is a dict of tensors, the first axis the slice:
    image float32 [n, height, width, channels], normalised
    label uint8 [n, height, width], the index of the class, `tasks.IGNORED` where a voxel counts nowhere
    subject int32 [n], position in the list of subjects asked for; slice int32 [n]
    row int32 [n], position in the global batch (padding has that of the slice it repeats)
    weight float32 [n], 1 / (real slices of the global batch), 0 for padding

where there is a second input: segmentation uint8 [n, height, width], indices of classes, to be judged

Height and width are those of the frame that all slices are padded to, of crops while training where they are asked for.

The order is a function of (seed, epoch) alone, so a training can be taken up in the middle of an epoch. It is shuffled over
the whole epoch (`order.py`), but by a buffer where the records are larger than memory, and in trainings of version 1.
"""

from __future__ import annotations

import contextlib
import functools
import math
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context  # the only place that tells the global seed

from data_prep import grid, records
from data_prep.base.errors import UserError
from data_prep.records import Manifest
from data_prep.tasks import Task
from tfunc.learning import augmentation, crops, order
from tfunc.learning.second_input import SecondInput
from tfunc.nets import streams
from tfunc.nets.graphs import graph, plain

SHUFFLE_BYTES = 1 << 30  # serialized slices held by the buffer
INTERLEAVED_SHARDS = 16


def frame(task: Task, sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """(height, width) that slices of these sizes are padded to: the task's, else their own, or room for the largest."""
    if task.frame is not None and not task.is_photograph:
        return task.frame
    sizes = set(sizes)
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    if len(sizes) > 1:
        return grid.frame_of((height, width))
    return height, width


class Slices:
    """The slices of some subjects of a dataset.

    manifest: of the folder `data_dir`. subjects: names; they set the numbers in `subject`.
    Raises `UserError` where there are none and where some have no labels.
    """

    def __init__(self, data_dir: pathlib.Path | str, manifest: Manifest, subjects: Sequence[str], split: str = "train"):
        """split: what to call them in an error."""
        self.data_dir = pathlib.Path(data_dir)
        self.manifest = manifest
        self.second: SecondInput | None = None  # of these subjects in this order; becomes `segmentation`
        self.names = list(subjects)
        self.entries = [manifest.subject(name) for name in self.names]
        where = f"{manifest.path}, split {split}"
        if not self.entries:
            do = "prepare the data with a --split_file or more subjects"
            raise UserError(where, expected="at least one subject", found="none", do=do)
        unlabelled = [entry.name for entry in self.entries if not entry.labelled]
        if unlabelled:
            raise UserError(where, expected="subjects with labels", found=f"{unlabelled[0]} without")
        self.height, self.width = frame(manifest.task, (entry.shape[1:] for entry in self.entries))
        self.channels = len(manifest.channels)
        self.shards = list(dict.fromkeys(entry.shard for entry in self.entries))
        lengths = {shard.name: (shard.bytes, shard.records) for shard in manifest.shards}
        size, count = np.sum([lengths[shard] for shard in self.shards], axis=0)
        self.bytes, self.slice_bytes = int(size), max(1, size // max(1, count))

    def first(self, count: int) -> Slices:
        """The same for the first `count` subjects, in the same frame."""
        few = Slices(self.data_dir, self.manifest, self.names[:count])
        few.second, few.height, few.width = self.second, self.height, self.width
        return few

    @property
    def training_count(self) -> int:
        """Number of slices that are trained on."""
        return sum(entry.training_slices for entry in self.entries)

    @property
    def count(self) -> int:
        """Number of all slices."""
        return sum(entry.slices for entry in self.entries)

    def steps(self, batch_size: int) -> int:
        """Steps of one training epoch; the last, smaller batch is kept."""
        return math.ceil(self.training_count / batch_size)

    def training(
        self,
        batch_size: int,
        seed: int,
        epoch: int,
        skip: int = 0,
        replicas: int = 1,
        augment: str = "none",
        version: int = streams.VERSION,
        crop: tuple[int, int] | None = None,
    ) -> tf.data.Dataset:
        """One epoch of shuffled training slices, from step `skip` on; each element is one replica's share of a batch.

        augment: a level of `augmentation.LEVELS`. version: of the random streams. crop: (height, width) of what is trained
        on; whole slices where it is None. Raises `UserError` for damaged records.
        """
        if version > 1 and self.bytes <= order.MOST_BYTES:
            data = self._places.epoch(seed, epoch, skip * batch_size)
        else:
            data = self._buffered(seed, epoch, version).skip(skip * batch_size)
        if augment == "none" and crop is None:
            return self._batches(data, batch_size, replicas)
        size = crop and (min(crop[0], self.height), min(crop[1], self.width))

        def change(batch, zero):
            names = [name for name in ("label", "segmentation") if name in batch]
            image, labels = batch["image"], tf.stack([batch[name] for name in names], axis=-1)
            place = augmentation.seed_of(seed, epoch, batch["subject"], batch["slice"])
            if augment != "none":
                image, labels = augmentation.apply(augment, image, labels, zero, place, version)
            if size is not None:  # after it, so that what an augmentation brings in is the slice's own surroundings
                at = crops.corner(labels[..., 0], size, place, version)
                image, labels = crops.cut(image, at, size), crops.cut(labels, at, size)
            return {**batch, "image": image, **dict(zip(names, tf.unstack(labels, axis=-1), strict=True))}

        return self._batches(data, batch_size, replicas, change)

    @functools.cached_property
    def _places(self):
        try:
            return order.find([self.data_dir / shard for shard in self.shards], self._keyed)
        except tf.errors.DataLossError as error:
            raise self.explain(error) from None

    def _buffered(self, seed, epoch, version):
        """(serialized, subject, slice) of an epoch, mixed from all shards and then shuffled within a buffer."""
        random = streams.generator("order", version, seed, epoch)
        files = [str(self.data_dir / shard) for shard in random.permutation(self.shards)]
        buffer = int(min(self.training_count, max(1024, SHUFFLE_BYTES // self.slice_bytes)))
        data = tf.data.Dataset.from_tensor_slices(files).interleave(
            tf.data.TFRecordDataset,
            cycle_length=min(INTERLEAVED_SHARDS, len(files)),
            block_length=1,
        )
        data = self._keyed(data).filter(plain(lambda _, subject, slice, train: (subject >= 0) & train))
        with global_seed(seed):  # with which the shuffle combines its own
            data = data.shuffle(buffer, seed=int(random.integers(1 << 31)), reshuffle_each_iteration=False)
        return data.map(_named)

    def in_order(self, batch_size: int, replicas: int = 1) -> tf.data.Dataset:
        """All slices of the subjects, each subject's together and in order."""
        data = tf.data.TFRecordDataset([str(self.data_dir / shard) for shard in self.shards])
        data = self._keyed(data).filter(plain(lambda _, subject, slice, train: subject >= 0)).map(_named)
        return self._batches(data, batch_size, replicas)

    def _keyed(self, data):
        """serialized -> (serialized, subject number or -1, slice, train)."""
        numbers = tf.lookup.KeyValueTensorInitializer(self.names, tf.range(len(self.names), dtype=tf.int32))
        table = tf.lookup.StaticHashTable(numbers, -1)

        def key(serialized):
            subject, slice, train = records.parse_key(serialized)
            return serialized, table.lookup(subject), tf.cast(slice, tf.int32), train

        return data.map(plain(key), num_parallel_calls=tf.data.AUTOTUNE)

    def _batches(self, data, batch_size, replicas, change=None):
        """change: (a slice's entries, its normalised zero) -> the entries to train on."""

        parser = _parser(self.height, self.width, self.channels)

        def parse(serialized, subject, slice):
            parsed = parser(serialized)
            batch = {"image": parsed["image"], "label": parsed["label"], "subject": subject, "slice": slice}
            if self.second is not None:
                batch["segmentation"] = self.second.slice(subject, slice)
            return change(batch, parsed["zero"]) if change else batch

        data = data.map(plain(parse), num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size)
        data = data.map(plain(lambda batch: share(batch, replicas)))
        if replicas > 1:
            data = data.unbatch()
        options = tf.data.Options()
        options.deterministic = True
        return data.with_options(options).prefetch(2 * replicas)

    def explain(self, error: Exception) -> Exception:
        """The `UserError` that names the damaged shard and record behind a pipeline's `DataLossError`, or `error`."""
        return records.locate_damage(self.data_dir, self.shards) or error


@functools.lru_cache(maxsize=32)
def _parser(height, width, channels):
    """`records.parse_slice` of labelled slices, traced once for all epochs, of training as of validation."""

    def parse(serialized):
        return records.parse_slice(serialized, height, width, channels, labelled=True)

    return graph(parse, tf.TensorSpec([], tf.string))


@plain
def _named(serialized, subject, slice, train):
    return serialized, subject, slice


@contextlib.contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Inside the block TensorFlow's global seed is `seed`; after it, what it was."""
    before = context.global_seed()
    tf.random.set_seed(seed)
    try:
        yield
    finally:
        context.set_global_seed(before)


def share(batch: dict[str, Any], replicas: int) -> dict[str, Any]:
    """Adds `row` and `weight` and, for several replicas, splits a batch into equal shares, [replicas, share, ...].

    Where the batch doesn't divide, its first slices are repeated with weight 0: unlike zeros, they leave the statistics
    of batch normalisation what they are; and no replica is ever empty, which convolution's gradient can't bear.
    """
    count = tf.shape(batch["image"])[0]
    per_replica = (count + replicas - 1) // replicas
    row = tf.range(per_replica * replicas)
    batch = {name: tf.gather(values, row % count) for name, values in batch.items()}
    batch["row"] = row % count
    batch["weight"] = tf.where(row < count, 1.0 / tf.cast(count, tf.float32), 0.0)
    if replicas == 1:
        return batch

    def split(values):
        return tf.reshape(values, tf.concat([[replicas, per_replica], tf.shape(values)[1:]], axis=0))

    shared = {name: split(values) for name, values in batch.items()}
    for name, values in shared.items():
        values.set_shape([replicas, None, *batch[name].shape[1:]])
    return shared
