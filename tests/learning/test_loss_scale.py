"""Training in float16 with a scaled loss: it learns, is taken up again to the bit, and leaves out steps that overflow."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from data_prep.base.errors import Stopped
from tfunc.learning import loss_scale
from tfunc.nets import devices

HALF = {"precision": "float16", "start_filters": 2, "batch_size": 8}


def values(one):
    return [np.asarray(variable) for variable in one.steps.variables()]


def steps(one, count):
    """Takes the first `count` steps of the first epoch; returns their losses."""
    data = iter(one._training_data())
    return [float(one.step_fn(next(data), tf.constant(number, tf.int64))) for number in range(count)]


@pytest.mark.long
def test_it_learns_and_saves_its_scale(trainer, brats_data):
    """The loss falls over the epochs, the scale stands where it began, and it and its count are the state's last entries."""
    one = trainer("baseline", brats_data, **HALF, epochs=2)
    one.run()
    history = one.counters.history
    assert history[1]["loss"] < history[0]["loss"]
    assert values(one)[-2] == loss_scale.FIRST and values(one)[-1] == one.counters.step
    assert one.steps.model.compute == "float16"


@pytest.mark.long
def test_taken_up_again_to_the_bit(trainer, brats_data, tmp_path, monkeypatch):
    """Stopped in the middle of an epoch, at a scale that has changed, and continued: the same as never stopped."""
    monkeypatch.setattr(loss_scale, "GROWS_AFTER", 2)  # so that the scale moves meanwhile

    def make(name):
        keras.utils.set_random_seed(20)  # as `fit` does
        return trainer("baseline", brats_data, **HALF, epochs=2, folder=tmp_path / name)

    whole = make("whole")
    whole.run()
    assert values(whole)[-2] > loss_scale.FIRST
    first = make("parts")
    take, taken = first.step_fn, []

    def stopping(batch, number):
        taken.append(number)
        if len(taken) == 3:
            first._request_stop(15)
        return take(batch, number)

    monkeypatch.setattr(first, "step_fn", stopping)
    with pytest.raises(Stopped):
        first.run()
    second = make("parts")
    second.run()
    for ours, theirs in zip(values(second), values(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.long
@pytest.mark.parametrize("replicas", [1, 2])
def test_a_step_that_overflows_is_left_out(trainer, brats_data, replicas):
    """Its scale is halved, nothing that learns and no moment of Adam has changed; the next step is taken, on each replica."""
    strategy = devices.strategy(["CPU:0", "CPU:1"]) if replicas == 2 else None
    one = trainer("baseline", brats_data, strategy=strategy, **HALF)
    one.steps.scaling.scale.assign(2.0**127)
    learns = [*one.steps.model.trainable_variables, *one.steps.optimizer.variables]
    before = [np.asarray(variable) for variable in learns]
    assert np.isfinite(steps(one, 1)).all()
    for was, variable in zip(before, learns, strict=True):
        np.testing.assert_array_equal(was, np.asarray(variable))
    assert values(one)[-2] == 2.0**126 and values(one)[-1] == 0
    one.steps.scaling.scale.assign(loss_scale.FIRST)
    steps(one, 1)
    assert not np.array_equal(before[0], np.asarray(learns[0])) and values(one)[-1] == 1


@pytest.mark.long
def test_the_scale_takes_no_part_in_the_numbers(trainer, brats_data):
    """Gradients are divided by the power of two that the loss was multiplied by: where nothing under- or overflows, the same."""
    found = []
    for scale in (2.0**8, 2.0**12):
        one = trainer("baseline", brats_data, **HALF)
        one.steps.scaling.scale.assign(scale)
        steps(one, 2)
        found.append([np.asarray(variable) for variable in one.steps.model.trainable_variables])
    for few, many in zip(*found, strict=True):
        np.testing.assert_allclose(few, many, atol=2e-2)


def test_other_precisions_have_no_scale(trainer, brats_data):
    """Their state is what it was: a training of before goes on."""
    assert trainer("baseline", brats_data, precision="bfloat16").steps.scaling is None
