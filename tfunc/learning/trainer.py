"""Fits one network: slices in, best weights by subject Dice out. It can be killed at any moment and taken up again.

Randomness is a function of (seed, epoch) for the order of the data and of (seed, step, row) for dropout, so the state of
a training is its variables and its counters, and a resumed training equals an uninterrupted one.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from data_prep.base import progress, signals
from data_prep.base.errors import Stopped
from tfunc import paper, runs
from tfunc.learning import initial, selection
from tfunc.learning.checkpoint import Checkpoint
from tfunc.learning.claim import Diverged
from tfunc.learning.monitor import Monitor
from tfunc.learning.selection import Counters
from tfunc.learning.slices import Slices
from tfunc.learning.steps import Steps
from tfunc.nets import devices
from tfunc.nets.graphs import graph
from tfunc.nets.trained import Trained
from tfunc.runs import Config

SAVE_SECONDS = 300


class Trainer:
    """One training: the loop over epochs. `run` does it all; `step_fn` and `count_fn` are its two graphs."""

    def __init__(
        self,
        config: Config,
        train: Slices,
        valid: Slices,
        folder: runs.Path,
        strategy: tf.distribute.Strategy | None = None,
        say: Callable[[str], Any] = print,
        base: Trained | None = None,
        begins: Trained | None = None,
    ):
        """folder: of the network in its run. say: called with each line for the user. base: what the network stands on.

        begins: whose weights it begins from, where they fit.
        """
        self.config, self.train, self.valid, self.say = config, train, valid, say
        self.name, self.begins = config.network.name, begins
        self.steps = Steps(config, strategy or tf.distribute.get_strategy(), base)
        self.smooth = paper.recipe(config.task.name).smoothed and self.steps.objective.segments
        self.counters = Counters()
        self.checkpoint = Checkpoint(folder, config.kept_epochs)
        self.monitor = Monitor(folder, config, valid, self.steps.objective.show)
        self.stop = 0  # the signal that asked for it
        self._batch_spec: Any = None  # of the training data, once they were made

    # Each graph is traced once, for batches of any length.

    @functools.cached_property
    def step_fn(self) -> Callable[[Any, tf.Tensor], tf.Tensor]:
        """`Steps.step` as a graph."""
        if self._batch_spec is None:
            self._training_data()
        return graph(self.steps.step, self._batch_spec, tf.TensorSpec([], tf.int64))

    @functools.cached_property
    def count_fn(self) -> Callable[[Any], tuple[Any, ...]]:
        """`Steps.count` as a graph."""
        return graph(self.steps.count, self._validation_data.element_spec)

    def run(self) -> runs.Document:
        """Trains to the end, from the saved state where there is one. Returns the content of `finished.json`.

        Raises `Diverged` for a loss that is not finite, `UserError` for damaged records, `Stopped` after a signal that asks
        it to end.
        """
        self.resume()
        steps = self.train.steps(self.config.batch_size)
        total = selection.total_steps(self.config, steps)
        if self._over(total):
            self.say(f"{self.name}: nothing is left to train, by --max_steps or --patience if not by its epochs")
        else:
            self.checkpoint.require_room(self.steps.model, self.steps.variables(), self.counters.step)
        used = ", ".join(devices.record(self.checkpoint.folder, self.steps.strategy, self.counters.step))
        self.say(f"{self.name}: {self.steps.model.count_params():,} parameters, {steps} steps an epoch, on {used}")
        bar = progress.Progress(self.name, total, " steps", done=self.counters.step)
        with signals.caught(self._request_stop), self.monitor, bar:
            while not self._over(total):
                self._stop_if_asked()
                self._epoch(total, bar)
                self._stop_if_asked()
                self._validate(total)
                self.save()
        return self.checkpoint.finish(self.steps.variables(), self.counters)

    def resume(self) -> None:
        """Takes up the saved state where there is one, else begins, from the weights of another training if it should."""
        found = self.checkpoint.restore(self.steps.variables())
        if found is not None:
            self.counters = found
            self.say(f"{self.name}: continues at epoch {found.epoch + 1}, step {found.step}")
        elif self.begins is not None:
            count, left = initial.give(self.steps.model, self.begins)
            but = f", but not {len(left)}, which have no place or another size there: {'; '.join(left)}" if left else ""
            self.say(f"{self.name}: begins with the weights of {count} layers of {self.begins.name}{but}")

    def save(self) -> None:
        """Saves all that `resume` needs."""
        self.checkpoint.save(self.steps.variables(), self.counters)

    def score(self) -> tuple[float, float]:
        """(mean Dice over the validation subjects, of each the mean over its regions, and mean loss), streamed by slice."""
        counts: dict[int, np.ndarray] = {}
        loss_sum, slices = 0.0, 0
        for batch in _guarded(self._validation_data, self.valid):
            if self.stop:
                raise _Left
            for subject, *columns, rows, real in self.steps.each_replica(self.count_fn(batch)):
                found = np.stack(columns, axis=-1)  # [slices, regions, 3]
                for number in np.unique(subject[real]):
                    counts[number] = counts.get(number, 0) + found[real & (subject == number)].sum(axis=0)
                loss_sum, slices = loss_sum + float(rows[real].sum()), slices + int(real.sum())
        scores = [selection.mean_dice(counts[number].tolist(), self.smooth) for number in sorted(counts)]
        return float(np.mean(scores)), loss_sum / slices

    def _epoch(self, total, bar):
        counters, saved = self.counters, time.monotonic()
        for batch in _guarded(self._training_data(), self.train):
            if counters.step >= total:
                break
            loss = float(self.step_fn(batch, tf.constant(counters.step, tf.int64)))
            if not np.isfinite(loss):
                raise self._diverged(f"step {counters.step}", "loss", loss)
            counters.take_step(loss)
            bar.advance(note=f"loss {counters.loss_sum / counters.step_in_epoch:.4f}")
            self._stop_if_asked()
            if time.monotonic() - saved > SAVE_SECONDS:
                self.save()
                saved = time.monotonic()

    def _validate(self, total):
        """Scores every validation subject, keeps the best weights, and closes the epoch."""
        try:
            with self.steps.averaged():
                self._close_epoch(total, *self.score())
        except _Left:  # to be validated anew: with the weights that learn, which are back
            self._stop_if_asked()

    def _close_epoch(self, total, score, loss):
        counters = self.counters
        if not np.isfinite(loss):
            raise self._diverged(f"epoch {counters.epoch + 1}", "validation loss", loss)
        better = counters.close_epoch(score, loss, self.config.reference_quirks)
        if selection.is_kept(better, self._over(total), self.config.keeps):
            counters.kept_epoch = counters.epoch
            self.checkpoint.keep(self.steps.model, counters)
        if self.config.kept_epochs:
            self.checkpoint.keep_epoch(self.steps.model, counters)
        self.monitor.epoch(counters.history)
        self.say(
            f"{self.name} epoch {counters.epoch}/{self.config.epochs} loss {counters.history[-1]['loss']:.4f} "
            f"valid Dice {score:.4f}{' *' if better else f' (best {counters.best:.4f} at {counters.best_epoch})'}"
        )

    def _stop_if_asked(self):
        """Saves and ends where a signal asked for it, also between an epoch's last step and its validation."""
        if self.stop:
            self.save()
            said = f"{self.name}: stopped at step {self.counters.step}; the same command continues from there"
            raise Stopped(said, self.stop)

    def _diverged(self, when, what, loss):
        do = f"train again with a lower --learning_rate than {self.config.learning_rate:g}"
        if self.counters.finished:  # prolonged: what was finished stays, of its own configuration
            do += f", into another --run_dir, or remove {self.checkpoint.folder} first"
        else:
            do += f", which begins anew in {self.checkpoint.folder}; with the same, --restart begins anew"
        return Diverged(f"{self.name}, {when}", expected=f"a finite {what}", found=str(loss), do=do)

    def _over(self, total):
        return selection.is_over(self.counters, total, self.config.patience)

    def _training_data(self):
        """The rest of the epoch that is due."""
        counters, config = self.counters, self.config
        place = config.batch_size, config.seed, counters.epoch, counters.step_in_epoch
        how = self.steps.replicas, config.augment, config.streams, config.crop
        data = self.steps.distribute(lambda _: self.train.training(*place, *how))
        self._batch_spec = data.element_spec
        return data

    @functools.cached_property
    def _validation_data(self):
        return self.steps.distribute(lambda _: self.valid.in_order(self.config.batch_size, self.steps.replicas))

    def _request_stop(self, number):
        self.stop = number


class _Left(Exception):
    """A validation that a signal asked to end."""


def _guarded(data, source):
    """Iterates; a damaged record becomes a `UserError` that names it."""
    try:
        yield from data
    except tf.errors.DataLossError as error:
        raise source.explain(error) from None
