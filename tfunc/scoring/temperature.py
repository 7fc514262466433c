"""Temperature scaling: one number that logits are divided by, so that probabilities say how often they are right.

Guo et al., On calibration of modern neural networks, ICML 2017. The temperature is that of the least mean negative
log-likelihood (NLL), between 0.01 and 100. The NLL is convex in 1 / T, so it is found as the zero of its slope; a slope that has
no zero in between is least at a bound, and one that is 0 everywhere leaves T undefined. NumPy and SciPy only.

Two classes: the probability or logit is the foreground's, of any shape. Several: the classes are the last axis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from data_prep.base.errors import UserError
from tfunc.kinds import CLIP

LOWEST, HIGHEST = 0.01, 100.0
BLOCK = 1 << 16  # voxels at a time
NODES = np.logspace(np.log10(1 / HIGHEST), np.log10(1 / LOWEST), 17)  # inverse temperatures that a first pass looks at
MOST_PASSES = 10
_ABOVE_HALF = np.nextafter(np.float32(0.5), np.float32(1))

Slope = Callable[[float], float]


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A temperature; `float(fitted)` is the number.

    likelihood: mean NLL at it, in nats.  before: mean NLL at T = 1.  at_bound: the least NLL lies beyond 0.01 or 100.
    undefined: any temperature does as well, and T is 1.
    """

    temperature: float
    likelihood: float
    before: float
    at_bound: bool = False
    undefined: bool = False

    def __float__(self) -> float:
        return self.temperature


def temperature(label: ArrayLike, logits: ArrayLike | None = None, probability: ArrayLike | None = None) -> Fitted:
    """The temperature that fits the labels best; exactly one of `logits` and `probability` is given.

    label: of two classes 0 and 1, any shape; of C classes indices 0 to C - 1.  logits, probability: the label's shape, of the
    foreground, or that shape with the C classes as a last axis. Probabilities are clipped to [2^-24, 1 - 2^-24]; logits are
    taken as they are, so saturated ones count in full. Raises `UserError` for other shapes, labels and numbers.

    >>> found = temperature([1, 1, 1, 0], logits=[2.0, 2.0, 2.0, 2.0])  # three of four: log 3 is right, 2 is too sure
    >>> bool(abs(2 / found.temperature - np.log(3)) < 1e-6)
    True
    """
    if (logits is None) == (probability is None):
        found = "neither" if logits is None else "both"
        raise UserError("temperature", expected="logits or probability, one of them", found=found)
    name, given = ("probability", probability) if logits is None else ("logits", logits)
    values, target = np.asarray(given, np.float64), np.asarray(label)
    several = values.ndim == target.ndim + 1 and values.shape[:-1] == target.shape
    _check(name, values, target, several)
    if not several:
        scores = values if logits is not None else logit(values)
        return of_margins(np.where(target.reshape(-1) != 0, 1.0, -1.0) * scores.reshape(-1))
    scores = values if logits is not None else np.log(clipped(values))
    return of_classes(scores.reshape(-1, values.shape[-1]).T, target.reshape(-1).astype(np.intp))


def _check(name, values, target, several):
    where = "temperature"
    if not several and values.shape != target.shape:
        expected = f"{name} of the label's shape {target.shape}, or with the classes as a last axis"
        raise UserError(where, expected=expected, found=f"{values.shape}")
    if not values.size or (several and values.shape[-1] < 2):
        raise UserError(where, expected="a voxel at least, of two classes or more", found=f"the shape {values.shape}")
    if not np.isfinite(values).all():
        raise UserError(where, expected=f"finite {name}", found="NaN or infinity")
    if name == "probability" and not (values.min() >= 0 and values.max() <= 1):
        raise UserError(where, expected="probabilities in [0, 1]", found=f"{values.min():g} to {values.max():g}")
    count = values.shape[-1] if several else 2
    if not ((target >= 0) & (target < count) & (target == np.floor(target))).all():
        raise UserError(where, expected=f"labels from 0 to {count - 1}", found=f"{target.min()} to {target.max()}")


def clipped(probability: ArrayLike) -> NDArray[np.float64]:
    """Probabilities, float64, in [2^-24, 1 - 2^-24]: what their logarithm is taken of."""
    return np.clip(np.asarray(probability, np.float64), CLIP, 1 - CLIP)


def logit(probability: ArrayLike) -> NDArray[np.float64]:
    """Log-odds of foreground probabilities, clipped, float64, between -16.64 and 16.64."""
    return special.logit(clipped(probability))


# Fitting


def of_margins(margins: NDArray[np.float64], weights: NDArray | None = None) -> Fitted:
    """The temperature of two classes. margins: logit of the foreground, its sign turned where the label is background.

    weights: how many voxels each stands for; None: one.
    """
    total = len(margins) if weights is None else weights.sum()

    def mean(values):
        return float((values.sum() if weights is None else values @ weights) / total)

    def slope(beta):
        return mean(-margins * special.expit(-beta * margins))

    def nll(beta):
        return mean(np.logaddexp(0, -beta * margins))

    return fitted(slope, nll)


def of_classes(logits: NDArray[np.floating], label: NDArray) -> Fitted:
    """The temperature of several classes. logits: [classes, voxels].  label: [voxels], index of the class."""

    def mean(beta, index):
        return float(moments(logits, label, beta)[index] / len(label))

    return fitted(lambda beta: mean(beta, 1), lambda beta: mean(beta, 0))


def moments(logits: NDArray[np.floating], label: NDArray, beta: float) -> NDArray[np.float64]:
    """[3]: the NLL at the inverse temperature `beta`, its slope and its curvature in beta, each summed over voxels.

    logits: [classes, voxels].  label: [voxels]. In blocks, so that memory does not grow.
    """
    total = np.zeros(3)
    for start in range(0, len(label), BLOCK):
        own, index = logits[:, start : start + BLOCK].astype(np.float64), label[start : start + BLOCK]
        own -= own.max(axis=0)  # equal logits become 0, whose slope is 0 exactly
        power = np.exp(beta * own)
        norm = power.sum(axis=0)
        weighted = power * own
        first, second = weighted.sum(axis=0) / norm, (weighted * own).sum(axis=0) / norm
        right = own[index, np.arange(len(index))]
        total += (np.log(norm) - beta * right).sum(), (first - right).sum(), (second - first**2).sum()
    return total


def fitted(slope: Slope, nll: Slope) -> Fitted:
    """The `Fitted` of a mean NLL that is convex in beta = 1 / T, and of its slope in beta."""
    coldest, hottest = slope(1 / LOWEST), slope(1 / HIGHEST)
    if coldest == 0 and hottest == 0:
        return Fitted(1.0, nll(1.0), nll(1.0), undefined=True)
    at_bound = coldest <= 0 or hottest >= 0
    if at_bound:
        found = LOWEST if coldest <= 0 else HIGHEST
    else:
        from scipy import optimize  # here: workers that fit nothing need not wait for its import

        root = optimize.brentq(lambda log: slope(np.exp(-log)), np.log(LOWEST), np.log(HIGHEST), xtol=1e-12)
        found = float(np.exp(root))
    return Fitted(found, nll(1 / found), nll(1.0), at_bound=at_bound)


def over_passes(table: NDArray[np.float64], voxels: int, evaluate: Callable[[float], NDArray[np.float64]]) -> Fitted:
    """The `Fitted` of a set that is too large to hold: by Newton's steps, each of which reads all of it once.

    table: [NODES, 3] `moments` of all voxels at each of `NODES`.  evaluate: the same, [3], at any other inverse temperature.
    """
    nodes, slopes = np.log(NODES), table[:, 1]
    before = float(table[len(nodes) // 2, 0] / voxels)
    if slopes[0] >= 0 or slopes[-1] <= 0:
        end = 0 if slopes[0] >= 0 else -1
        if slopes[0] == slopes[-1] == 0:
            return Fitted(1.0, before, before, undefined=True)
        return Fitted((HIGHEST, LOWEST)[end], float(table[end, 0] / voxels), before, at_bound=True)
    above = int(np.flatnonzero(slopes > 0)[0])
    low, high = nodes[above - 1 : above + 1]
    place = low + (high - low) * slopes[above - 1] / (slopes[above - 1] - slopes[above])
    for _ in range(MOST_PASSES):
        nll, slope, curvature = evaluate(float(np.exp(place)))
        low, high = (place, high) if slope < 0 else (low, place)
        step = slope / (curvature * np.exp(place)) if curvature > 0 else np.inf
        following = place - step if low < place - step < high else (low + high) / 2
        place, moved = following, abs(following - place)
        if moved < 1e-6 or slope == 0:
            break
    return Fitted(float(np.exp(-place)), float(nll / voxels), before)


# Use


def apply(probability: NDArray, temperature: float) -> NDArray[np.float32]:
    """The foreground's probability at a temperature: sigmoid(logit(p) / T) of the clipped p, float32, the same shape.

    What is above 0.5 stays above, so the segmentation is kept, though rounding might say otherwise; NaN stays NaN.
    """
    given = np.asarray(probability, np.float32)
    found = np.empty(given.shape, np.float32)
    flat, out = given.reshape(-1), found.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        part = flat[start : start + BLOCK]
        own = special.expit(logit(part) / temperature).astype(np.float32)
        out[start : start + BLOCK] = np.where(part > 0.5, np.maximum(own, _ABOVE_HALF), own)
    return found


def apply_classes(channels: Sequence[NDArray] | NDArray, temperature: float) -> NDArray[np.float32]:
    """Probabilities of several classes at a temperature: softmax(log(p) / T) of the clipped p, float32.

    channels: of each class, one shape, classes first; as the result. The class of the highest probability, ties to the lower
    class, is kept.
    """
    given = [np.asarray(one, np.float32).reshape(-1) for one in channels]
    found = np.empty((len(given), given[0].size), np.float32)
    for start in range(0, given[0].size, BLOCK):
        own = np.stack([one[start : start + BLOCK] for one in given])
        made = special.softmax(np.log(clipped(own)) / temperature, axis=0).astype(np.float32)
        found[:, start : start + BLOCK] = _with_winner(made, own.argmax(axis=0))
    return found.reshape(len(given), *np.shape(channels[0]))


def _with_winner(made, winner):
    """Probabilities [classes, voxels] with that class the highest where rounding made a lower class as high."""
    lost = np.flatnonzero(made.argmax(axis=0) != winner)  # argmax gives the first of equals
    made[winner[lost], lost] = np.nextafter(made[:, lost].max(axis=0), np.float32(1))
    return made
