"""`--average_weights`: the exponential moving average of the weights is what is validated and kept; raw weights learn on.

That a training killed anywhere ends with the same averages is shown in test_trainer.py.
"""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import make_trainer
from made_up import manifest

from data_prep.base import artefacts
from data_prep.base.errors import UserError
from tfunc import networks, runs
from tfunc.learning import claim, settings, steps
from tfunc.nets import devices, stack

DECAY = steps.AVERAGE_DECAY


@pytest.fixture(scope="module")
def small(isic_data, tmp_path_factory):
    """small(**settings): a trainer of four steps an epoch for two epochs, under the global seed that `fit` sets."""

    def make(strategy=None, folder=None, **settings):
        keras.utils.set_random_seed(20)
        settings = {"depth": 1, "start_filters": 2, "batch_size": 2, "average_weights": True, **settings}
        return make_trainer(
            "baseline", isic_data, strategy, None, folder or tmp_path_factory.mktemp("small"), **settings
        )

    return make


def arrays(variables):
    return [np.array(variable) for variable in variables]


def walk(one):
    """Trains to the end; returns the raw weights after each step, and those that were scored and shown each epoch."""
    weights, seen = one.steps.model.trainable_variables, types.SimpleNamespace(path=[], scored=[], shown=[])
    for where, name, notes, after in (
        (one, "step_fn", seen.path, True),
        (one, "score", seen.scored, False),
        (one.monitor, "epoch", seen.shown, False),
    ):
        setattr(where, name, _noting(getattr(where, name), weights, notes, after))
    one.run()
    return seen


def _noting(function, weights, notes, after):
    def noted(*arguments):
        if not after:
            notes.append(arrays(weights))
        result = function(*arguments)
        if after:
            notes.append(arrays(weights))
        return result

    return noted


def moving_average(path):
    """The formula in float64: the first weights, then decay * average + (1 - decay) * weights."""
    average = [np.float64(weight) for weight in path[0]]
    for weights in path[1:]:
        average = [DECAY * old + (1 - DECAY) * np.float64(new) for old, new in zip(average, weights, strict=True)]
    return average


def close(ours, theirs, atol=2e-6):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=atol, rtol=0)


def equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def distance(ours, theirs):
    return max(np.abs(one - other).max() for one, other in zip(ours, theirs, strict=True))


@pytest.fixture(scope="module")
def whole(small):
    """An averaging trainer that ran to its end, and what `walk` noted."""
    one = small()
    return one, walk(one)


@pytest.mark.long
def test_the_averages_follow_the_formula(whole):
    """After eight steps they are NumPy's average of the weights after each; inside `averaged` the model has them.

    After the block, also one that ends in an error, the raw weights are back, to the bit. The running statistics never
    change.
    """
    one, seen = whole
    assert len(seen.path) == 8
    expected, variables = moving_average(seen.path), one.steps.model.trainable_variables
    assert distance(expected, seen.path[-1]) > 1e-2 and distance(seen.path[0], seen.path[-1]) > 1e-2
    close(arrays(stack.averages(one.steps.optimizer, variables)), expected)
    before = arrays(one.steps.model.variables)
    fixed = [variable for variable in one.steps.model.variables if not variable.trainable]
    still = arrays(fixed)
    with pytest.raises(UserError), one.steps.averaged():
        close(arrays(variables), expected)
        equal(arrays(fixed), still)
        raise UserError("validation")
    assert fixed
    equal(arrays(one.steps.model.variables), before)
    equal(arrays(variables), seen.path[-1])


def test_validated_and_kept_are_the_averages(whole):
    """What is scored, shown and written at the end of an epoch is the averaged network."""
    one, seen = whole
    expected = moving_average(seen.path[:4]), moving_average(seen.path)
    assert len(seen.scored) == len(seen.shown) == 2
    for found, wanted in zip((*seen.scored, *seen.shown), (*expected, *expected), strict=True):
        close(found, wanted)
    kept = runs.finished(one.checkpoint.folder)["kept_epoch"]
    other = make_copy(one)
    close(arrays(other.trainable_variables), expected[kept - 1])
    assert distance(arrays(other.trainable_variables), seen.path[4 * kept - 1]) > 1e-3


def make_copy(one):
    """A new model of the same kind with the weights that were kept."""
    from tfunc.nets import trained as models

    model = models.build(one.config.network, one.config.channels, one.config.start_filters, one.config.depth)
    model.load_weights(str(one.checkpoint.folder / runs.WEIGHTS))
    return model


@pytest.mark.long
def test_averaging_leaves_the_training_alone(whole, small):
    """The raw weights take the path that they take without; there `averaged` changes nothing and nothing is averaged."""
    plain, (averaging, seen) = small(average_weights=False), whole
    expected = walk(plain)
    if stack.name() == "current":
        for found, wanted in zip(seen.path, expected.path, strict=True):
            equal(found, wanted)
    else:  # there another Adam averages, whose rounding a training enlarges step by step
        close(seen.path[0], expected.path[0])
    equal(expected.scored[-1], expected.path[-1])
    with plain.steps.averaged():
        equal(arrays(plain.steps.model.trainable_variables), expected.path[-1])
    count = len(plain.steps.model.trainable_variables)
    extra = len(stack.optimizer_variables(averaging.steps.optimizer)) - len(
        stack.optimizer_variables(plain.steps.optimizer)
    )
    assert extra == count


def test_one_adam(small):
    """With and without averages, Adam of the same gradients takes the steps of its formula in NumPy, Keras' epsilon."""
    random, rate, epsilon = np.random.default_rng(3), 1e-2, 1e-8
    gradients = random.normal(0, 1e-3, (6, 4, 3)).astype("f4")
    weights, first, second = random.normal(0, 1, (4, 3)), 0.0, 0.0
    layers = [keras.layers.Dense(3, use_bias=False) for _ in range(2)]
    optimizers = []
    for layer, decay in zip(layers, (None, DECAY), strict=True):
        layer.build((None, 4))
        layer.set_weights([weights])
        optimizers.append(stack.adam(rate, epsilon, layer.trainable_variables, decay))
    for step, gradient in enumerate(np.float64(gradients), start=1):
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        alpha = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        weights = weights - alpha * first / (np.sqrt(second) + epsilon)
        for optimizer, layer in zip(optimizers, layers, strict=True):
            optimizer.apply_gradients([(tf.constant(gradient, tf.float32), layer.trainable_variables[0])])
            close(layer.get_weights(), [weights], 1e-6)


@pytest.mark.long
def test_replicas_train_and_average_alike(small):
    """On two devices the averages follow the formula too, and both replicas hold the same, averaged, raw and running.

    Seven slices in batches of four: each second batch is ragged, and yet each graph is traced once. It validates, saves
    and finishes, and every variable has moved.
    """
    two = devices.strategy(["CPU:0", "CPU:1"])
    one = small(two, batch_size=4, epochs=2)
    graphs, before = (one.step_fn, one.count_fn), one.steps.model.get_weights()
    path = walk(one).path
    assert [graph.experimental_get_tracing_count() for graph in graphs] == [1, 1]
    done = runs.finished(one.checkpoint.folder)
    assert done["steps"] == 4 and (one.checkpoint.folder / runs.WEIGHTS).exists()
    for variable, old in zip(one.steps.model.weights, before, strict=True):
        alike(two, [variable])
        assert not np.array_equal(np.asarray(variable), old)
    expected, variables = moving_average(path), one.steps.model.trainable_variables
    assert len(path) == 4 and distance(expected, path[-1]) > 1e-3
    averages = stack.averages(one.steps.optimizer, variables)
    close(arrays(averages), expected)
    alike(two, averages)
    with one.steps.averaged():
        close(arrays(variables), expected)
        alike(two, variables)
    alike(two, variables)
    equal(arrays(variables), path[-1])


def alike(strategy, variables):
    """The replicas' copies of each variable are two, and equal."""
    for variable in variables:
        mirrored = variable if isinstance(variable, tf.distribute.DistributedValues) else variable.value  # Keras 2, 3
        first, second = strategy.experimental_local_results(mirrored)
        np.testing.assert_array_equal(first, second)


def test_a_folder_from_before_the_flag(tmp_path):
    """It counts as one that was trained without: the same settings find it done, averaging is another training."""
    data = manifest()
    made = settings.resolve(networks.get("baseline"), data, {**settings.defaults(), "average_weights": False})
    flat = {name: value for name, value in made.document().items() if name not in ("schema", "network", "task")}
    for later in ("average_weights", "augment", "streams", "init_from", "prolonged"):
        del flat[later]
    before = {**flat, "network": "baseline", "dataset": "brats", "channels": 4, "input": {}, "count": 0}
    artefacts.write_json(tmp_path / runs.CONFIG, before)
    artefacts.write_json(tmp_path / runs.RESUME, {})
    begun = claim.as_begun(tmp_path, made, settings.defaults())
    assert begun.streams == 1
    claim.claim(tmp_path, begun, data.is_same, print)
    averaged = settings.resolve(networks.get("baseline"), data, {**settings.defaults(), "average_weights": True})
    with pytest.raises(UserError, match=r"average_weights False \(there\) against True"):
        claim.claim(tmp_path, claim.as_begun(tmp_path, averaged, settings.defaults()), data.is_same, print)
    assert artefacts.read_json(tmp_path / runs.CONFIG) == before  # brought along in memory only
