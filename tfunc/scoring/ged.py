"""How far a set of samples is from a set of labels: the generalised energy distance. NumPy only.

GED^2 = 2 E d(S, Y) - E d(S, S') - E d(Y, Y') over all pairs, each with itself too (a V-statistic, so it is never negative), as
Monteiro et al. compute it (2020; biomedia-mira/stochastic_segmentation_networks). d is 1 - IoU (Kohl et al., 2018), with the
mean IoU over the foreground classes; a class that both lack has IoU 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfunc.kinds import MapError
from tfunc.scoring.spread import shared


def ged(samples: ArrayLike, labels: ArrayLike, classes: int | None = None) -> float:
    """GED^2 of samples and labels, in [0, 2]; 0 where both are the same set.

    samples: [samples, …] class indices or a mask each, any shape.  labels: [raters, …], or of the shape of one sample, which is
    one rater's.  classes: how many there are with the background, 0; None: those that occur anywhere, so that two values,
    whatever they are, are background and foreground. Raises `MapError` for shapes that differ, for values that are no classes.

    >>> ged([[1, 1, 0, 0], [1, 0, 0, 0]], [[1, 1, 0, 0]])  # one sample is the label, one has half of it
    0.25
    """
    drawn, truth = _sets(samples, labels, classes)
    apart = distances(np.concatenate([drawn, truth]), classes)
    count = len(drawn)
    return float(2 * apart[:count, count:].mean() - apart[:count, :count].mean() - apart[count:, count:].mean())


def diversity(samples: ArrayLike, classes: int | None = None) -> float:
    """The mean distance of two samples, each with itself too, in [0, 1]; arguments and errors as of `ged`."""
    return float(distances(_checked(samples), classes).mean())


def distances(maps: NDArray, classes: int | None = None) -> NDArray[np.float64]:
    """[n, n] 1 - mean IoU over the foreground classes, of each two of n maps [n, …]; 0 where there is no class."""
    flat = maps.reshape(len(maps), -1)
    names = _classes(flat, classes)
    total = np.zeros((len(maps), len(maps)))
    for name in names:
        both = shared(flat == name).astype(np.float64)
        size = np.diagonal(both)
        union = size[:, None] + size - both
        total += np.divide(both, union, out=np.ones_like(both), where=union > 0)
    return 1 - total / len(names) if len(names) else total


def _sets(samples, labels, classes):
    drawn, truth = _checked(samples), np.asarray(labels)
    truth = _checked(truth[None] if truth.ndim == drawn.ndim - 1 else truth)
    if drawn.shape[1:] != truth.shape[1:]:
        raise MapError(f"shapes that differ: samples of {drawn.shape[1:]}, labels of {truth.shape[1:]}")
    if classes is None:
        names = [found[found != 0].tolist() for found in (np.unique(drawn), np.unique(truth))]
        if len(names[0]) == len(names[1]) == 1 and names[0] != names[1]:  # masks of 255 and of 1, or two classes?
            raise MapError(
                f"samples hold {names[0][0]} alone and labels {names[1][0]}; give `classes`, or masks of bool"
            )
    return drawn, truth


def _checked(maps):
    maps = np.asarray(maps)
    if maps.ndim < 2 or not len(maps):
        raise MapError(f"expected a set of maps, [n, …], found shape {maps.shape}")
    if maps.dtype.kind not in "buif":
        raise MapError(f"expected class indices or masks, found values of {maps.dtype}")
    if maps.dtype.kind == "f" and not np.array_equal(maps, np.floor(maps)):
        raise MapError("expected class indices or masks, found numbers between them")
    return maps


def _classes(flat, classes):
    """The foreground classes to compare."""
    found = np.unique(flat)
    if classes is None:
        return found[found != 0]
    if not isinstance(classes, (int, np.integer)):
        raise MapError(f"expected a number of classes, found {classes!r}")
    if classes < 2 or (found.size and not 0 <= found[0] <= found[-1] < classes):
        raise MapError(f"expected {classes} classes, at least 2, in 0 to {classes - 1}, found {found.tolist()[:10]}")
    return np.arange(1, classes)
