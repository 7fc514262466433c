"""What runs as the graphs of a training: an optimizer step and the counts of a validation batch, on one device or many.

Randomness is a function of (seed, step, row) for dropout and of (seed, step, replica) for what an objective draws, each a
stream of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfunc.learning.checkpoint import arrays_of, assign
from tfunc.learning.loss_scale import LossScale, overflows
from tfunc.learning.objectives import contract
from tfunc.nets import precision, sampling, stack, streams, trained
from tfunc.nets.own_settings import own_settings
from tfunc.nets.trained import Trained
from tfunc.runs import Config

ADAM_EPSILON = 1e-8  # torch's; Keras adds it before the bias correction, which matters only to gradients near 1e-8
AVERAGE_DECAY = 0.99  # of `--average_weights`: the last hundred steps or so; Keras' and TensorFlow Addons' own default


class Steps:
    """What is trained: the objective's model and its optimizer, made in the strategy's scope, and what runs as their graphs."""

    def __init__(self, config: Config, strategy: tf.distribute.Strategy, base: Trained | None = None):
        """base: the trained network that the objective stands on."""
        self.config, self.strategy = config, strategy
        self.replicas = strategy.num_replicas_in_sync
        with strategy.scope(), own_settings():
            # the base is built again in this scope, so that every replica has it
            below = trained.copy(base) if base is not None else None
            self.objective = contract.find(config.network.objective)(config, below)
            self.model: keras.Model = self.objective.model
            decay = AVERAGE_DECAY if config.average_weights else None
            self.optimizer = stack.adam(config.learning_rate, ADAM_EPSILON, self.model.trainable_variables, decay)
            self.scaling = LossScale() if config.precision == precision.FLOAT16 else None

    def variables(self) -> list[Any]:
        """All that a training must save, always in one order."""
        scaling = self.scaling.variables if self.scaling is not None else []
        return [*self.model.variables, *stack.optimizer_variables(self.optimizer), *scaling]

    def distribute(self, make: Callable[[Any], tf.data.Dataset]) -> Any:
        """The dataset `make` gives, spread over the replicas where there are several."""
        return make(None) if self.replicas == 1 else self.strategy.distribute_datasets_from_function(make)

    def step(self, batch: contract.Batch, number: tf.Tensor) -> tf.Tensor:
        """One optimizer step, number `number`, on a global batch -> the loss, a mean over the batch's real slices.

        In float16 a step whose gradients overflow changes no weight; the running statistics have moved all the same.
        """

        def replica(batch):
            loss, gradients = self.gradients(batch, number)
            if self.scaling is not None:
                return loss, gradients, overflows(gradients)
            self._apply(gradients)
            return (loss,)

        loss, *scaled = self.strategy.run(replica, args=(batch,))
        if self.scaling is not None:
            gradients, overflowed = scaled
            finite = self.strategy.reduce("SUM", overflowed, axis=None) == 0
            self.scaling.guard(finite, lambda: self.strategy.run(self._apply, args=(gradients,)))
        return self.strategy.reduce("SUM", loss, axis=None)

    def _apply(self, gradients: Sequence[tf.Tensor]) -> None:
        """One step of the optimizer, by the sums of all replicas' gradients."""
        if self.scaling is not None:
            gradients = self.scaling.unscaled(gradients)
        self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))

    def gradients(self, batch: contract.Batch, step: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """This replica's share of the loss and its gradients; their sums over replicas are the global batch's.

        In float16 the gradients are those of the scaled loss.
        """
        keeps = self.keeps(batch, step)
        config = self.config
        seed = streams.objective_seed(config.seed, step, _replica(), self.replicas, config.streams)
        with tf.GradientTape() as tape:
            rows, _, _ = self.objective.rows(batch, True, keeps, seed)
            loss = tf.reduce_sum(rows * batch["weight"])
            learnt = loss if self.scaling is None else self.scaling.scaled(loss)
        return loss, tape.gradient(learnt, self.model.trainable_variables)

    def keeps(self, batch: contract.Batch, step: tf.Tensor) -> list[tf.Tensor] | None:
        """Dropout's multipliers of this replica's rows, or None for a model without dropout."""
        rates = getattr(self.model, "dropout_rates", [])
        if not rates:
            return None
        seed, size = self.config.seed, self.config.batch_size
        uniform = sampling.training_uniform(seed, step, batch["row"], size, rates, self.config.streams)
        return sampling.keeps(uniform, rates)

    def count(self, batch: contract.Batch) -> tuple[Any, ...]:
        """Validation counts of a global batch: (subject, intersection, predicted, target, loss, real) on each replica.

        The three counts are [n, regions].
        """

        def replica(batch):
            rows, predicted, target = self.objective.rows(batch, False, None, tf.constant([0, 0]))
            counts = [_voxels(where) for where in (predicted & target, predicted, target)]
            return (batch["subject"], *counts, rows, batch["weight"] > 0)

        return self.strategy.run(replica, args=(batch,))

    def each_replica(self, values: tuple[Any, ...]) -> list[tuple[np.ndarray, ...]]:
        """The values of each replica as a tuple of NumPy arrays."""
        locals_ = [self.strategy.experimental_local_results(value) for value in values]
        return [tuple(np.asarray(value) for value in replica) for replica in zip(*locals_, strict=True)]

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside the block the model has its averaged weights, where they are asked for; after it, those that learn.

        Only what is trained is averaged. The running statistics of batch normalisation stay: they are averages already.
        """
        if not self.config.average_weights:
            yield
            return
        variables = self.model.trainable_variables
        raw = arrays_of(variables)
        # assigned, both ways: TensorFlow Addons' own swap adds and subtracts, after which the raw weights are rounded
        assign(variables, stack.averages(self.optimizer, variables))
        try:
            yield
        finally:
            assign(variables, raw)


def _voxels(where):
    """bool [n, height, width, regions], or of one region [n, height, width] -> int64 [n, regions]."""
    count = tf.math.count_nonzero(where, axis=[1, 2])
    return count if count.shape.rank == 2 else count[:, tf.newaxis]


def _replica():
    context = tf.distribute.get_replica_context()
    identifier = context.replica_id_in_sync_group if context else 0
    return tf.cast(identifier, tf.int32)
