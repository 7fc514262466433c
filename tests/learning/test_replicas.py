"""Two logical CPUs under a MirroredStrategy do the arithmetic of one, ragged batches included.

A whole training on them is in test_averaging.py.
"""

import numpy as np
import pytest
import tensorflow as tf

from tfunc.nets import devices
from tfunc.nets import trained as models
from tfunc.nets.layers import BatchNormalisation

RAGGED = 7  # rows: shares of 4 and 4, of which one is padding


@pytest.fixture(scope="module")
def two():
    """The strategy that `--devices=CPU:0,CPU:1` gives."""
    strategy = devices.strategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    return strategy


def per_replica(strategy, batches):
    """One batch of `Slices.training(replicas=2)`, its two shares placed on their replicas."""
    return {
        name: strategy.experimental_distribute_values_from_function(
            lambda context, name=name: tf.constant(batches[context.replica_id_in_sync_group][name])
        )
        for name in batches[0]
    }


def loss_and_gradients(trainer, batch, step=5):
    """The global batch's loss and gradients, summed over replicas."""
    loss, gradients = trainer.steps.strategy.run(
        lambda batch: trainer.steps.gradients(batch, tf.constant(step, tf.int64)), [batch]
    )
    return [trainer.steps.strategy.reduce("SUM", value, axis=None).numpy() for value in (loss, *gradients)]


def with_mask(batch):
    """Adds the second input of auxiliary segm., made of the label."""
    return {**batch, "segmentation": np.roll(batch["label"], 3, axis=-1)}


@pytest.mark.parametrize("network", ["center", "ensemble_01", "auxiliary_feat", "auxiliary_segm"])
def test_two_replicas_give_one_devices_loss_and_gradients(network, trainer, two, brats_data, brats_run, shaken):
    """Same global batch, dropout on (masks follow rows, not replicas), batch normalisation on moving statistics."""
    base = models.load(brats_run, "baseline", "brats") if network == "auxiliary_feat" else None
    results = []
    for strategy in (None, two):
        one = trainer(network, brats_data, strategy, base, batch_size=RAGGED)
        shaken(one.steps.model)
        for layer in one.steps.model.layers:
            layer.trainable = not isinstance(layer, BatchNormalisation)
        count = one.steps.strategy.num_replicas_in_sync
        batches = list(one.train.training(RAGGED, 1, 0, replicas=count).take(count).as_numpy_iterator())
        if network == "auxiliary_segm":
            batches = [with_mask(batch) for batch in batches]
        assert sum((batch["weight"] > 0).sum() for batch in batches) == RAGGED
        batch = {name: tf.constant(v) for name, v in batches[0].items()} if count == 1 else per_replica(two, batches)
        results.append(loss_and_gradients(one, batch))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    scale = max(np.abs(gradient).max() for gradient in results[0][1:])
    assert scale > 1e-3
    for single, double in zip(*results, strict=True):
        np.testing.assert_allclose(double, single, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.long
def test_without_dropout_too(trainer, two, brats_data, shaken, monkeypatch):
    """The same with dropout off, so that nothing rests on the masks."""
    results = []
    for strategy in (None, two):
        one = trainer("baseline", brats_data, strategy, depth=1)
        monkeypatch.setattr(one.steps, "keeps", lambda batch, step: None)
        shaken(one.steps.model).trainable = False  # every layer on its inference path, dropout's included
        rows = one.steps.objective.rows
        monkeypatch.setattr(one.steps.objective, "rows", lambda batch, _, *rest, rows=rows: rows(batch, False, *rest))
        one.steps.model.trainable = True
        count = one.steps.strategy.num_replicas_in_sync
        batches = list(one.train.training(RAGGED, 1, 0, replicas=count).take(count).as_numpy_iterator())
        batch = {name: tf.constant(v) for name, v in batches[0].items()} if count == 1 else per_replica(two, batches)
        results.append(loss_and_gradients(one, batch))
    for single, double in zip(*results, strict=True):
        np.testing.assert_allclose(double, single, rtol=1e-4, atol=1e-5 * np.abs(results[0][0]))


def test_validation_counts_every_slice_once(trainer, two, brats_data, shaken):
    """The same weights have the same validation Dice and loss on two replicas as on one; batches of five are ragged."""
    scores = []
    for strategy in (None, two):
        one = trainer("baseline", brats_data, strategy, batch_size=5, depth=1)
        shaken(one.steps.model)
        scores.append(one.score())
    assert scores[0][0] == scores[1][0] and 0 < scores[0][0] < 1
    assert scores[0][1] == pytest.approx(scores[1][1], rel=1e-5)


@pytest.mark.long
def test_more_replicas_than_rows(trainer, two, brats_data):
    """A batch of one slice leaves no replica empty: the second repeats it with weight 0."""
    one = trainer("baseline", brats_data, two, batch_size=1, depth=1)
    batches = list(one.train.training(1, 1, 0, replicas=2).take(2).as_numpy_iterator())
    loss, *gradients = loss_and_gradients(one, per_replica(two, batches))
    assert np.isfinite(loss) and all(np.isfinite(gradient).all() for gradient in gradients)
