"""A method's networks at work: subjects in, maps out, batches filled across subjects and spread over replicas."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from data_prep import grid, map_files
from data_prep.base.errors import UserError
from data_prep.map_files import MAPS
from data_prep.subject import Subject
from data_prep.tasks import Task
from tfunc import runs
from tfunc.maps import options as asked
from tfunc.maps import packed, predictives
from tfunc.maps.by_size import BySize
from tfunc.maps.options import Options
from tfunc.maps.predictives import Predictive
from tfunc.methods import Method
from tfunc.nets import engine, trained
from tfunc.nets.graphs import graph
from tfunc.nets.precision import FLOAT32
from tfunc.nets.trained import Trained

Arrays = dict[str, np.ndarray]
ALONE = 128 * 128  # pixels from which on a slice whose samples nothing else shares is a batch of its own


class Predictor:
    """A predictive, ready to run on subjects: one traced graph."""

    def __init__(
        self,
        make_predictive: Callable[[], Predictive],
        channels: int,
        size: int,
        options: Options,
        strategy: tf.distribute.Strategy | None = None,
        task: Task | None = None,
    ):
        """make_predictive: called in the strategy's scope. size: height and width below which slices are refused.

        task: of the networks, whose frame volumes' slices are brought to as in training.
        """
        asked.check_seed(options.seed)
        self.options, self.size = options, size
        self.more: dict[str, type] = (
            {map_files.MUTUAL: np.float32} if options.mutual_information else {}
        )  # maps beside the usual ones that are wanted where the method has them, with dtypes
        self.task = task if task is not None and task.frame and not task.is_photograph else None
        self.strategy = strategy or tf.distribute.get_strategy()
        with self.strategy.scope():
            self.predictive = make_predictive()
        # one slice at a time would leave GPUs, and other replicas, idle
        alone = self.strategy.num_replicas_in_sync == 1 and not tf.config.list_logical_devices("GPU")
        self.shares = alone and getattr(self.predictive, "SHARES", False)
        own_engine = engine.of(options.engine, options.precision)
        if own_engine is not None and self.strategy.num_replicas_in_sync > 1:
            found = f"{self.strategy.num_replicas_in_sync} devices"
            raise UserError(f"--engine={options.engine}", expected="one device, the processor", found=found)
        self.maps = BySize(self.predictive, channels, own_engine, options.precision)
        self.spread = graph(lambda *batch: self.strategy.run(self.predictive, batch))

    def run(self, images: np.ndarray, seeds: np.ndarray) -> Arrays:
        """Maps of a batch as NumPy arrays; the rows are spread over the replicas."""
        replicas = self.strategy.num_replicas_in_sync
        if replicas == 1:
            return {name: values.numpy() for name, values in self.maps(images, seeds).items()}
        count = len(images)
        rows = np.arange(-(-count // replicas) * replicas) % count  # padded by repetition: no replica is empty
        parts = [(images[part], seeds[part]) for part in np.split(rows, replicas)]

        def share(index):
            return self.strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(parts[context.replica_id_in_sync_group][index])
            )

        results = self.spread(share(0), share(1))
        local = self.strategy.experimental_local_results
        return {name: np.concatenate([part.numpy() for part in local(v)])[:count] for name, v in results.items()}

    def subjects(self, subjects: Iterable[Subject]) -> Iterator[tuple[Subject, Arrays]]:
        """`Subject`s -> (subject, {map: array [depth, height, width]}), in order; batches run across subjects.

        A probability of more than two classes has them as a fourth axis. Where options ask for it, `samples` are the voxels
        that two samples share, [regions, T, T].
        """
        pending: list[
            list[Any]
        ] = []  # subjects whose maps are being filled: [subject, maps, slices left, the slices' place]
        batch: list[tuple[Any, ...]] = []  # slices waiting for the next batch
        for subject in subjects:
            depth, height, width = subject.image.shape[:3]
            images = subject.normalised()
            if self.task is not None:
                images, place = framed(images, subject, self.task)
            else:
                place = np.s_[:, :]
            if min(images.shape[1:3]) < self.size:
                found = f"{height}x{width}"
                raise UserError(subject.source, expected=f"slices of at least {self.size}x{self.size}", found=found)
            pending.append([subject, {}, depth, place])
            for index in range(depth):
                seed = self._seed(subject.name, index)
                if batch and self._ends(batch, images[index], seed, pending[-1]):
                    self._run(batch)
                    batch = []
                batch.append((images[index], seed, pending[-1], index))
            del images
            while pending and pending[0][2] == 0:
                yield tuple(pending.pop(0)[:2])
        if batch:
            self._run(batch)
        yield from (tuple(entry[:2]) for entry in pending)

    def _ends(self, batch, image, seed, entry):
        """Whether a slice is not of this batch: it is full, or the slice has another size, or draws of its own.

        The latter where that pays: samples that a whole batch shares go into the weights, which small images don't pay back. In
        float32 they gain a tenth, and a batch of one takes twice as long a slice: photographs go together, volumes are by
        themselves, so that their maps do not depend on what else is predicted.
        """
        (first, own, *_), (*_, before, _) = batch[0], batch[-1]
        if len(batch) == self.options.batch_size or first.shape != image.shape:
            return True
        if not self.shares or seed == own or image.shape[0] * image.shape[1] < ALONE:
            return False
        return self.options.precision != FLOAT32 or (before is not entry and before[0].image.shape[0] > 1)

    def _seed(self, name, index):
        """A slice's seed: its samples do not depend on the batch it is in, nor on the other subjects.

        The slices of a subject share it where each sample is to be one network for the whole of it: samples that differ from
        slice to slice average out, and understate the spread of its volume.
        """
        subject = (self.options.seed << 32) + zlib.crc32(name.encode())
        return subject, index if self.options.draws == "slice" else 0

    def _run(self, batch):
        images, seeds, entries, indices = zip(*batch, strict=True)
        results = self.run(np.stack(images), np.array(seeds, np.int64))
        kept = {**MAPS, **{name: dtype for name, dtype in self.more.items() if name in results}}
        arrays = {name: results[name] for name in kept}
        if self.options.mutual_information and map_files.MUTUAL not in results:
            expected = "a method that averages several predictions, as MC dropout and ensembles do"
            raise UserError("--mutual_information", expected=expected, found="one that makes one", do="leave it out")
        for row, (entry, index) in enumerate(zip(entries, indices, strict=True)):
            subject, maps, _, place = entry
            for name, values in arrays.items():
                if name not in maps:
                    maps[name] = np.empty((*subject.image.shape[:3], *values.shape[3:]), kept[name])
                maps[name][index] = values[row][place]
            if packed.NAME in results:
                self._add_overlaps(maps, results[packed.NAME][row][place])
            entry[2] -= 1

    def _add_overlaps(self, maps, bits):
        count, regions = self.predictive.samples, len(self.options.regions)
        maps[packed.NAME] = maps.get(packed.NAME, 0) + packed.overlaps(bits, count, regions)


def framed(images: np.ndarray, subject: Subject, task: Task) -> tuple[np.ndarray, tuple[slice, slice]]:
    """(slices in the task's frame, where they lie in it): each in the middle, around it what lies outside, as in training.

    images: the subject's, normalised, [depth, height, width, channels]. Slices that the frame does not hold get the next larger
    one that poolings divide.
    """
    size = images.shape[1:3]
    frame = task.frame or size
    if size[0] > frame[0] or size[1] > frame[1]:
        frame = grid.frame_of(size)
    if frame == size:
        return images, np.s_[:, :]
    y0, x0 = ((whole - own) // 2 for whole, own in zip(frame, size, strict=True))
    outside = np.array([channel.outside for channel in task.channels], np.float32)
    empty = dataclasses.replace(subject, image=outside.reshape(1, 1, 1, -1)).normalised()
    found = np.broadcast_to(empty, (len(images), *frame, images.shape[3])).copy()
    place = np.s_[y0 : y0 + size[0], x0 : x0 + size[1]]
    found[:, place[0], place[1]] = images
    return found, place


def of_method(
    method: Method, run_dir: runs.Path, dataset: str, options: Options, strategy: tf.distribute.Strategy | None = None
) -> tuple[Predictor, list[Trained]]:
    """(predictor, trained networks) of a method; raises `NotReady` naming the command for a network not trained."""
    loaded = trained.load_all(run_dir, method.networks, dataset)
    return of_networks(method, loaded, options, strategy), loaded


def of_networks(
    method: Method, loaded: Sequence[Trained], options: Options, strategy: tf.distribute.Strategy | None = None
) -> Predictor:
    """The predictor of a method whose networks are loaded."""
    config, make = loaded[0].config, predictives.of(method)
    models, options = [network.model for network in loaded], options.of(config)
    options = options.spread(method, packed.regions_of(config.task))
    return Predictor(
        lambda: make(models, options.folded), config.channels, config.smallest, options, strategy, config.task
    )
