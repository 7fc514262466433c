"""A small ridge regression with what it would have said of each subject had it not seen it. NumPy only."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

PENALTY = (
    1.0  # on weights of standardised features, beside the sum of squared errors; fixed, since few subjects choose badly
)


@dataclasses.dataclass(frozen=True)
class Ridge:
    """mean, scale, weights: [features].  lowest, highest: of the values that it was fitted on, which it does not leave."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    intercept: float
    lowest: float
    highest: float

    def predict(self, features: ArrayLike) -> float:
        """The value of one subject's [features]."""
        return float(np.clip(self.along(features), self.lowest, self.highest))

    def along(self, features: ArrayLike) -> NDArray[np.float64]:
        """The same of [..., features], wherever it leads."""
        return self.intercept + (np.asarray(features, np.float64) - self.mean) / self.scale @ self.weights


def fit(features: ArrayLike, values: ArrayLike, penalty: float = PENALTY) -> Ridge:
    """The ridge regression of values [subjects] on features [subjects, features], which are standardised; at least one subject.

    A feature that is the same for all has no weight; the intercept is not penalised.
    """
    given, target = np.asarray(features, np.float64), np.asarray(values, np.float64)
    mean, scale = given.mean(axis=0), given.std(axis=0)
    scale = np.where(scale > 1e-12 * np.maximum(np.abs(mean), 1), scale, 1.0)
    standard = (given - mean) / scale
    gram = standard.T @ standard + penalty * np.eye(given.shape[1])
    weights = np.linalg.solve(gram, standard.T @ (target - target.mean()))
    return Ridge(mean, scale, weights, float(target.mean()), float(target.min()), float(target.max()))


def left_out(features: ArrayLike, values: ArrayLike, penalty: float = PENALTY) -> NDArray[np.float64]:
    """[subjects] what a regression on all the others predicts of each: two subjects at least."""
    given, target = np.asarray(features, np.float64), np.asarray(values, np.float64)
    others = ~np.eye(len(target), dtype=bool)
    return np.array(
        [fit(given[row], target[row], penalty).predict(one) for row, one in zip(others, given, strict=True)]
    )
