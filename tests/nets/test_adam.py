"""Our Adam in one kernel a variable against Keras' own formula, and its variables, in which trainings of before are saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfunc.nets import stack

SHAPES = [(3, 3, 2, 4), (4,), (1,)]


def variables():
    random = np.random.default_rng(1)
    return [keras.Variable(random.normal(size=shape).astype(np.float32)) for shape in SHAPES]


@pytest.mark.long
@pytest.mark.parametrize("decay", [None, 0.9])
def test_the_steps_are_kerass(decay):
    """Thirty steps move weights, moments and averages as Keras does, to the rounding of 1 - 0.999 in float32."""
    ours, theirs = variables(), variables()
    own = stack.adam(1e-2, 1e-8, ours, decay)
    averages = {"use_ema": True, "ema_momentum": decay} if decay else {}
    keras_own = keras.optimizers.Adam(1e-2, epsilon=1e-8, **averages)
    keras_own.build(theirs)
    random = np.random.default_rng(2)
    for _ in range(30):
        gradients = [tf.constant(random.normal(size=shape).astype(np.float32)) for shape in SHAPES]
        own.apply_gradients(zip(gradients, ours, strict=True))
        keras_own.apply_gradients(zip(gradients, theirs, strict=True))
    for one, other in zip([*ours, *own.variables], [*theirs, *keras_own.variables], strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=3e-5, atol=1e-6)
        assert one.shape == other.shape and one.dtype == other.dtype
    assert int(own.iterations) == 30


def test_a_saved_state_has_keras_order():
    """What `checkpoint` saves in order: steps, rate, and both moments of each variable, as trainings of before did."""
    optimizer = stack.adam(1e-2, 1e-8, variables())
    sizes = [tuple(variable.shape) for variable in stack.optimizer_variables(optimizer)]
    assert sizes == [(), (), *(shape for shape in SHAPES for _ in range(2))]
