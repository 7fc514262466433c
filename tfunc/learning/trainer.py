"""Fits one network: slices in, best weights by subject Dice out. It can be killed at any moment and taken up again.

Randomness is a function of (seed, epoch) for the order of the data and of (seed, step, row) for dropout, so the state of
a training is its variables and its counters, and a resumed training equals an uninterrupted one.
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
import signal
import time

import numpy as np
import tensorflow as tf

from data_prep.base import artefacts, progress
from data_prep.base.errors import Stopped, UserError
from tfunc import runs
from tfunc.learning import checkpoint as state
from tfunc.learning import monitor
from tfunc.learning.objectives import OBJECTIVES
from tfunc.nets import sampling, stack
from tfunc.nets import trained as models
from tfunc.nets.graphs import graph

ADAM_EPSILON = 1e-8  # torch's; Keras adds it before the bias correction, which matters only to gradients near 1e-8
AVERAGE_DECAY = 0.99  # of `--average_weights`: the last hundred steps or so; Keras' and TensorFlow Addons' own default
SAVE_SECONDS = 300
FOUND = 0.05  # a lower Dice is as good as none


@dataclasses.dataclass
class Counters:
    """Where a training stands. `history` has one entry an epoch: epoch, step, loss, validation loss, Dice."""

    epoch: int = 0
    step: int = 0
    step_in_epoch: int = 0
    loss_sum: float = 0.0
    best: float = -1.0
    best_loss: float = 0.0
    best_epoch: int = 0
    kept_epoch: int = 0
    waited: int = 0
    history: list = dataclasses.field(default_factory=list)


def dice_score(intersection, predicted, target, smooth):
    """Dice from voxel counts. smooth: (2 I + 1) / (P + T + 1), the reference's score on ISIC; else 1 where both are empty."""
    if smooth:
        return (2 * intersection + 1) / (predicted + target + 1)
    return 2 * intersection / (predicted + target) if predicted + target else 1.0


def save_weights(model, path):
    """Writes a `.weights.h5` file, atomically; returns its checksum."""
    with artefacts.aside(path) as temporary:
        # Keras insists on the ending, which `aside` keeps
        model.save_weights(str(temporary))
        return artefacts.sha256(temporary)


class Trainer:
    """One training. `run` does it all; `step_fn` and `count_fn` are its two graphs."""

    def __init__(self, network, config, train, valid, folder, strategy=None, report=print, base=None):
        self.network, self.config, self.folder, self.report = network, config, folder, report
        self.train, self.valid = train, valid
        self.strategy = strategy or tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        self.smooth = config.dataset == "isic" and network.objective in ("segmentation", "aleatoric")
        with self.strategy.scope():
            if base is not None:  # built again in this scope, so that every replica has it
                base = models.copy(base)
            self.objective = OBJECTIVES[network.objective](network, config, base)
            self.model = self.objective.model
            decay = AVERAGE_DECAY if config.average_weights else None
            self.optimizer = stack.adam(config.learning_rate, ADAM_EPSILON, self.model.trainable_variables, decay)
        self.counters = Counters()
        self.monitor = monitor.Monitor(folder, config, valid, self.objective.show)
        self.stop = False

    # The graphs

    # Each is traced once, for batches of any length.

    @functools.cached_property
    def step_fn(self):
        """One optimizer step: (global batch, step int64) -> the loss, a mean over the batch's real slices."""
        spec = self._training_data().element_spec
        return graph(self._step, spec, tf.TensorSpec([], tf.int64))

    def _step(self, batch, step):
        def replica(batch):
            loss, gradients = self.gradients(batch, step)
            self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
            return loss

        return self.strategy.reduce("SUM", self.strategy.run(replica, args=(batch,)), axis=None)

    def gradients(self, batch, step):
        """This replica's share of the loss and its gradients; their sums over replicas are the global batch's."""
        keeps = self._keeps(batch, step)
        seed = tf.stack([self.config.seed, tf.cast(step, tf.int32) * self.replicas + _replica()])
        with tf.GradientTape() as tape:
            rows, _, _ = self.objective.rows(batch, True, keeps, seed)
            loss = tf.reduce_sum(rows * batch["weight"])
        return loss, tape.gradient(loss, self.model.trainable_variables)

    def _keeps(self, batch, step):
        rates = getattr(self.model, "dropout_rates", [])
        if not rates:
            return None
        size = self.config.batch_size
        uniform = sampling.training_uniform(self.config.seed, step, batch["row"], size, rates)
        return sampling.keeps(uniform, rates)

    @functools.cached_property
    def count_fn(self):
        """Validation counts: global batch -> (subject, intersection, predicted, target, loss, real) on each replica."""
        return graph(self._count, self._validation_data.element_spec)

    def _count(self, batch):
        def replica(batch):
            rows, predicted, target = self.objective.rows(batch, False, None, tf.constant([0, 0]))
            counts = [tf.math.count_nonzero(m, axis=[1, 2]) for m in (predicted & target, predicted, target)]
            return (batch["subject"], *counts, rows, batch["weight"] > 0)

        return self.strategy.run(replica, args=(batch,))

    # The loop

    def run(self):
        """Trains to the end, from the saved state where there is one. Returns the content of `finished.json`."""
        self.resume()
        steps = self._steps()
        total = self._total_steps(steps)
        self.report(f"{self.network.name}: {self.model.count_params():,} parameters, {steps} steps an epoch")
        with self._sigterm(), self.monitor, progress.Progress(self.network.name, total, " steps") as bar:
            bar.advance(self.counters.step)
            while not self._over(total):
                self._epoch(steps, total, bar)
                with self.averaged():
                    self._validate()
                self.save()
        return self._finish()

    def _epoch(self, steps, total, bar):
        c = self.counters
        saved = time.monotonic()
        for batch in self._guard(self._training_data(), self.train):
            if c.step >= total:
                break
            loss = float(self.step_fn(batch, tf.constant(c.step, tf.int64)))
            if not np.isfinite(loss):
                raise UserError(f"{self.network.name}, step {c.step}", expected="a finite loss", found=str(loss))
            c.step, c.step_in_epoch, c.loss_sum = c.step + 1, c.step_in_epoch + 1, c.loss_sum + loss
            bar.advance(note=f"loss {c.loss_sum / c.step_in_epoch:.4f}")
            if self.stop or time.monotonic() - saved > SAVE_SECONDS:
                self.save()
                saved = time.monotonic()
            if self.stop:
                raise Stopped(f"{self.network.name}: stopped at step {c.step}; the same command continues from there")

    def _validate(self):
        """Scores every validation subject, keeps the best weights, and closes the epoch."""
        c = self.counters
        score, loss = self.score()
        if not np.isfinite(loss):
            where = f"{self.network.name}, epoch {c.epoch + 1}"
            raise UserError(where, expected="a finite validation loss", found=str(loss), do="lower --learning_rate")
        c.epoch += 1
        entry = {"epoch": c.epoch, "step": c.step, "loss": c.loss_sum / max(1, c.step_in_epoch)}
        c.step_in_epoch, c.loss_sum = 0, 0.0
        c.history.append({**entry, "valid_loss": loss, "valid_dice": score})
        better = self._better(score, loss)
        c.waited = 0 if better else c.waited + 1
        if better:
            c.best, c.best_loss, c.best_epoch = score, loss, c.epoch
        if better if self.config.keeps == "best" else self._over(self._total_steps(self._steps())):
            c.kept_epoch = c.epoch
            save_weights(self.model, self._candidate())
        self._write_log()
        self.monitor.epoch(c.history[-1])
        self.report(
            f"{self.network.name} epoch {c.epoch}/{self.config.epochs} loss {c.history[-1]['loss']:.4f} "
            f"valid Dice {score:.4f}{' *' if better else f' (best {c.best:.4f} at {c.best_epoch})'}"
        )

    def _better(self, score, loss):
        """Whether an epoch is the best so far: by a strictly greater Dice, as in the reference.

        An error is rarely likelier than not, so an auxiliary network's Dice can stay at 0 or at a few voxels of chance; the
        reference then keeps its first epoch, and we the one of the lowest validation loss.
        """
        c = self.counters
        if not self.config.reference_quirks and c.best >= 0 and max(score, c.best) < FOUND:
            return loss < c.best_loss
        return score > c.best

    def score(self):
        """(mean Dice over the validation subjects, mean loss), from counts streamed slice by slice."""
        counts = np.zeros((len(self.valid.names), 3), np.int64)
        loss_sum, slices = 0.0, 0
        for batch in self._guard(self._validation_data, self.valid):
            for subject, *columns, rows, real in self._each_replica(self.count_fn(batch)):
                np.add.at(counts, subject[real], np.stack(columns, axis=1)[real])
                loss_sum, slices = loss_sum + float(rows[real].sum()), slices + int(real.sum())
        scores = [dice_score(*map(int, row), self.smooth) for row in counts]
        return float(np.mean(scores)), loss_sum / slices

    @contextlib.contextmanager
    def averaged(self):
        """Inside the block the model has its averaged weights, where they are asked for; after it, those that learn.

        Only what is trained is averaged. The running statistics of batch normalisation stay: they are averages already.
        """
        if not self.config.average_weights:
            yield
            return
        variables = self.model.trainable_variables
        raw = [np.asarray(variable) for variable in variables]
        # assigned, both ways: TensorFlow Addons' own swap adds and subtracts, after which the raw weights are rounded
        self._assign(variables, stack.averages(self.optimizer, variables))
        try:
            yield
        finally:
            self._assign(variables, raw)

    @staticmethod
    def _assign(variables, values):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(np.asarray(value))

    # Saving and resuming

    def _variables(self):
        return [*self.model.variables, *stack.optimizer_variables(self.optimizer)]

    def save(self):
        arrays = [np.asarray(variable) for variable in self._variables()]
        state.save(self.folder, arrays, {"stack": stack.name(), **dataclasses.asdict(self.counters)})
        self._settle_weights()

    def _candidate(self):
        return self.folder / f"epoch-{self.counters.kept_epoch:04}.weights.h5"

    def _settle_weights(self):
        """Makes the kept epoch's weights the best ones once the state that knows them is saved.

        A kill between the two is mended on resume; weights of an epoch that the state doesn't know are dropped.
        """
        if self._candidate().exists():
            os.replace(self._candidate(), self.folder / runs.WEIGHTS)
        for lost in self.folder.glob("epoch-*.weights.h5"):
            lost.unlink()

    def resume(self):
        """Takes up the saved state; raises `UserError` where it was saved by the other stack."""
        saved = state.load(self.folder)
        if saved is None:
            return
        arrays, counters = saved
        if counters["stack"] != stack.name():
            raise UserError(
                self.folder / state.POINTER,
                expected=f"a training of this stack ({stack.name()})",
                found=f"one of the stack {counters['stack']}, whose optimizer state does not cross",
                do="continue it there, or train into another --run_dir",
            )
        self._assign(self._variables(), arrays)
        names = {field.name for field in dataclasses.fields(Counters)}
        self.counters = Counters(**{name: value for name, value in counters.items() if name in names})
        self._settle_weights()
        self.report(f"{self.network.name}: continues at epoch {self.counters.epoch + 1}, step {self.counters.step}")

    def _finish(self):
        c = self.counters
        done = {
            "weights_sha256": artefacts.sha256(self.folder / runs.WEIGHTS),
            "last_sha256": self._fingerprint(),
            "epochs": c.epoch,
            "steps": c.step,
            "kept_epoch": c.kept_epoch,
            "best_epoch": c.best_epoch,
            "valid_dice": c.best,
            **stack.versions(),
        }
        artefacts.write_json(self.folder / runs.FINISHED, done)
        state.discard(self.folder)
        return done

    def _fingerprint(self):
        """Checksum of the last step's weights and optimizer, which are not kept: two equal trainings have the same."""
        digest = hashlib.sha256()
        for variable in self._variables():
            digest.update(np.ascontiguousarray(variable).tobytes())
        return digest.hexdigest()

    def _write_log(self):
        columns = list(self.counters.history[0])
        lines = [",".join(columns)]
        lines += [",".join(repr(entry[name]) for name in columns) for entry in self.counters.history]
        artefacts.write_text(self.folder / "log.csv", "\n".join(lines) + "\n")

    # Small parts

    def _steps(self):
        return self.train.steps(self.config.batch_size)

    def _total_steps(self, steps):
        total = steps * self.config.epochs
        return min(total, self.config.max_steps) if self.config.max_steps else total

    def _over(self, total):
        c, patience = self.counters, self.config.patience
        if c.step_in_epoch:  # stopped between an epoch's last step and its validation
            return False
        return c.step >= total or (patience is not None and c.waited >= patience)

    def _training_data(self):
        """The rest of the epoch that is due."""
        c, config = self.counters, self.config
        return self._distribute(
            lambda _: self.train.training(
                config.batch_size, config.seed, c.epoch, c.step_in_epoch, self.replicas, config.augment
            )
        )

    @functools.cached_property
    def _validation_data(self):
        return self._distribute(lambda _: self.valid.in_order(self.config.batch_size, self.replicas))

    def _distribute(self, make):
        if self.replicas == 1:
            return make(None)
        return self.strategy.distribute_datasets_from_function(make)

    def _each_replica(self, values):
        """The values of each replica as a tuple of NumPy arrays."""
        locals_ = [self.strategy.experimental_local_results(value) for value in values]
        return [tuple(np.asarray(value) for value in replica) for replica in zip(*locals_, strict=True)]

    def _guard(self, data, source):
        """Iterates; a damaged record becomes a `UserError` that names it."""
        try:
            yield from data
        except tf.errors.DataLossError as error:
            raise source.explain(error) from None

    def _sigterm(self):
        return _OnSigterm(self)


class _OnSigterm:
    """Sets `trainer.stop` when SIGTERM arrives, while the block runs; does nothing outside the main thread."""

    def __init__(self, trainer):
        self.trainer = trainer

    def __enter__(self):
        def handle(signum, frame):
            self.trainer.stop = True

        try:
            self.before = signal.signal(signal.SIGTERM, handle)
        except ValueError:  # not the main thread: whoever runs us there handles signals
            self.before = None

    def __exit__(self, *_):
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)


def _replica():
    context = tf.distribute.get_replica_context()
    identifier = context.replica_id_in_sync_group if context else 0
    return tf.cast(identifier, tf.int32)
