"""The small regressions behind recalibration are scikit-learn's: ridge with leave-one-out, and isotonic."""

import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tfunc.scoring import isotonic, odds, ridge


@pytest.fixture
def drawn():
    rng = np.random.default_rng(3)
    features = rng.normal(5, [1, 10, 0.1], (12, 3))
    return features, features @ [0.5, -0.02, 1] + rng.normal(0, 0.1, 12)


def test_ridge(drawn):
    """Predictions are scikit-learn's on standardised features, and stay within the values that were seen."""
    features, values = drawn
    theirs = make_pipeline(StandardScaler(), Ridge(ridge.PENALTY)).fit(features, values)
    ours = ridge.fit(features, values)
    expected = np.clip(theirs.predict(features), values.min(), values.max())
    np.testing.assert_allclose([ours.predict(one) for one in features], expected)
    assert ours.predict(features[0] * 1000) == values.max()


def test_left_out(drawn):
    """What is left out has no part in its own prediction, not in the standardisation either."""
    features, values = drawn
    found = ridge.left_out(features, values)
    for index in range(len(values)):
        others = np.arange(len(values)) != index
        theirs = make_pipeline(StandardScaler(), Ridge(ridge.PENALTY)).fit(features[others], values[others])
        expected = np.clip(theirs.predict(features[[index]])[0], values[others].min(), values[others].max())
        assert found[index] == pytest.approx(expected)
    changed = values.copy()
    changed[4] += 100
    assert ridge.left_out(features, changed)[4] == found[4]


def test_a_feature_that_is_the_same_for_all():
    """It has no weight and divides by no zero; one subject is its own mean."""
    found = ridge.fit([[1.0, 2.0], [1.0, 3.0]], [0.0, 1.0])
    assert found.weights[0] == 0 and np.isfinite(found.weights).all()
    assert ridge.fit([[1.0, 2.0]], [0.7]).predict([9, 9]) == 0.7


WEIGHTED = st.lists(st.tuples(st.floats(0, 1, width=32), st.integers(1, 1000)), min_size=1, max_size=30)


@hypothesis.given(WEIGHTED)
def test_isotonic(pairs):
    """Pooling adjacent violators gives scikit-learn's curve."""
    values, weights = map(np.array, zip(*pairs, strict=True))
    order = np.arange(len(values))
    theirs = IsotonicRegression().fit(order, values, weights).predict(order)
    np.testing.assert_allclose(isotonic.rising(values, weights), theirs, atol=1e-6)


def test_isotonic_of_a_map():
    """Of a map it is scikit-learn's curve of the voxels by their cell, and rises from end to end."""
    rng = np.random.default_rng(4)
    probability = rng.random(5000).astype(np.float32)
    label = rng.random(5000) < probability**2
    found = isotonic.of_odds(odds.count(probability, label))
    cells = odds.cells(probability)
    np.testing.assert_allclose(found[cells], IsotonicRegression().fit(cells, label).predict(cells), atol=1e-6)
    assert (np.diff(found) >= 0).all() and found.shape == (odds.CELLS,)
    assert (isotonic.of_odds(odds.empty()) == 0.5).all()
