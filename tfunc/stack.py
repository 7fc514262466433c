"""The differences between the two TensorFlow stacks, and nothing else.

`current`: TensorFlow 2.16 and later with Keras 3. `addons`: TensorFlow 2.15 with Keras 2.15, the last that TensorFlow
Addons works with. Everything else is written to what both share.
"""

import warnings

import keras
import tensorflow as tf


def name():
    """`current` or `addons`. Optimizer state does not cross from one to the other; weights and records do."""
    return "current" if int(keras.__version__.split(".")[0]) >= 3 else "addons"


def versions():
    """What to write beside an artefact."""
    return {"stack": name(), "tensorflow": tf.__version__, "keras": keras.__version__}


def addons():
    """The module `tensorflow_addons`, which the stack `addons` has; imported where it is used, since it takes a second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it has reached its end of life, on six lines
        import tensorflow_addons
    return tensorflow_addons


def adam(learning_rate, epsilon, variables, decay=None):
    """Adam, built for `variables`; with a `decay` in (0, 1) it also keeps their exponential moving averages.

    After the first step the averages are the variables; after each later one, decay * averages + (1 - decay) * variables.
    Keras 3 does so itself. TensorFlow Addons' `MovingAverage` does so from `start_step=1` on (from 0 it would begin at the
    untrained weights), around Keras' legacy Adam, the only one that it takes. `SWA`, its other, averages evenly and needs
    to be told when to begin, so the two stacks would make different networks.
    """
    if decay is None or name() == "current":
        averages = {} if decay is None else {"use_ema": True, "ema_momentum": decay}
        optimizer = keras.optimizers.Adam(learning_rate, epsilon=epsilon, **averages)
        optimizer.build(variables)
        return optimizer
    legacy = keras.optimizers.legacy.Adam(learning_rate, epsilon=epsilon)
    optimizer = addons().optimizers.MovingAverage(legacy, decay, start_step=1)
    optimizer._create_all_weights(variables)  # a legacy optimizer has no `build`
    return optimizer


def optimizer_variables(optimizer):
    """All that a training must save of an optimizer of `adam`, averages included, as a list."""
    # `MovingAverage.variables()` leaves out the moments of the optimizer that it wraps; its `weights` have them
    return list(optimizer.weights if hasattr(optimizer, "get_slot") else optimizer.variables)


def averages(optimizer, variables):
    """The moving averages of `variables`, in their order, of an `adam` with a decay: a list of variables."""
    if hasattr(optimizer, "get_slot"):
        return [optimizer.get_slot(variable, "average") for variable in variables]
    return list(optimizer._model_variables_moving_average)
