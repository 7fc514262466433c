"""What an uncertainty map is: the one home of everything that depends on it. NumPy only.

A method's `kind` says what its map holds and how evaluation, figures, the report and the served model make an uncertainty
in [0, 1] of it. A new kind is one row of `KINDS` and, where its arithmetic is new, a function here.

| kind | the map | the uncertainty |
| --- | --- | --- |
| probability | probability of the foreground, in [0, 1] | its normalised entropy |
| error | probability that the segmentation is wrong | the map on its subject's own range |
| sigma | |sigma| of the predicted class's logit | the map on the range of the whole set |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data_prep.base.errors import UserError

EPSILON = 1e-5  # rescaled maps lie in [EPSILON, 1 - EPSILON], as in the reference
# probabilities lie in [CLIP, 1 - CLIP] before a temperature acts on their logarithm: float32 has no number between 1 - CLIP and 1
CLIP = 2.0**-24
TOLERANCE = 1e-6  # how far outside [0, 1] a value may be by rounding; it is then clipped

Limits = tuple[float, float]
Array = NDArray[np.floating]


class MapError(ValueError):
    """A map that can't be scored: the message says what is wrong with its values, the caller names the file."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A row of `KINDS`.

    name: as in predictions.json and on the command line.
    entry: which file of a subject is scored, `<subject>_<entry>.nii.gz`.
    scale: whose range becomes [0, 1]: `none` (it is there already), `subject` or `set`.
    uncertainty: values in [0, 1] -> uncertainty in [0, 1]; rising or falling within each of 1024 equal steps, on which
        `scoring.binary` counts.
    foreground: (values in [0, 1], segmentation) -> the foreground probability that calibration is measured of.
    expected: what its maps must hold, for errors; `{limits}` is replaced by the given range.
    measure: what of a method's outputs is written as its uncertainty map.
    raw, scaled, served: what an uncertainty map of this kind is in predictions, in an evaluation, in a served answer.
    rounding: how far a computed uncertainty may be from the true one.
    segments: whether the foreground is where the map is above 0.5, so that it needs no segmentation beside it.
    """

    name: str
    entry: str
    scale: str
    uncertainty: Callable[[Array], Array]
    foreground: Callable[[Array, NDArray], Array]
    expected: str
    measure: str
    raw: str
    scaled: str
    served: str
    rounding: float = 0.0
    segments: bool = False

    def limits(self, score: ArrayLike, set_range: Limits | None = None) -> tuple | None:
        """(lowest, highest) of `score` that become 0 and 1, or None where nothing is rescaled.

        set_range: (lowest, highest) of the whole set, for a kind that is scaled by it. Raises `MapError` for one value
        everywhere, NaN and infinity; the reference scores NaN then.
        """
        if self.scale == "none":
            return None
        if self.scale == "subject":
            lowest, highest = value_range(score)
        elif set_range is not None:
            lowest, highest = (float(limit) for limit in set_range)
        else:
            raise ValueError(f"kind {self.name!r} needs the range of its whole set")
        if not highest > lowest:
            raise MapError(f"one value everywhere, {lowest:g}, which can't be rescaled to [0, 1]")
        return lowest, highest

    def uncertainty_map(self, score: ArrayLike, limits: tuple | None) -> Array:
        """The uncertainty in [0, 1] that a raw map stands for; float64 for probabilities, else the map's dtype.

        limits: of `self.limits`, which may be those of a larger map that `score` is a part of.
        """
        score = floating(score)
        return self.uncertainty(np.clip(score, 0, 1) if limits is None else rescaled(score, *limits))


def normalised_entropy(probability: Array) -> NDArray[np.float64]:
    """Entropy of a two-class distribution over log 2, float64, in [0, 1] up to 3e-9, computed as the reference does.

    Products are taken in the array's own dtype (float32 or float64), their sum in float64; 0 * log 0 is 0.
    """
    total = np.zeros(np.shape(probability))
    with np.errstate(divide="ignore", invalid="ignore"):
        for p in (1 - probability, probability):
            total -= np.where(p > 0, p * np.log(p), 0).astype(np.float64)
    return total / np.log(2)


def softmax_entropy(channels: Sequence[Array]) -> NDArray[np.float64]:
    """Entropy of a distribution over C classes over log C, float64; of two classes, `normalised_entropy` of either.

    channels: the probability of each class, one shape. Products and sums are taken as there.
    """
    total = np.zeros(np.shape(channels[0]))
    with np.errstate(divide="ignore", invalid="ignore"):
        for p in channels:
            total -= np.where(p > 0, p * np.log(p), 0).astype(np.float64)
    return total / np.log(len(channels))


def error_probability(uncertainty: Array, prediction: NDArray) -> Array:
    """Foreground probability y(1 - q/2) + (1 - y)q/2 of a segmentation y with uncertainty q (paper, section 2.4)."""
    half = 0.5 * uncertainty
    return np.where(prediction != 0, 1 - half, half)


def _same(values, prediction=None):
    return values


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "probability",
            entry="probability",
            scale="none",
            uncertainty=normalised_entropy,
            foreground=_same,
            expected="foreground probabilities in [0, 1]",
            measure="predictive entropy",
            raw="normalised entropy of the probability, in [0, 1]",
            scaled="normalised entropy of the foreground probability",
            served="normalised entropy of the probability, in [0, 1]",
            # in float32 each of p log p, (1 - p) log(1 - p) is at most 0.37 and off by at most 4 ulp of log and 1 of the
            # product (1.1e-7), and rounding 1 - p adds 3e-8, so the entropy is off by 3.6e-7
            rounding=1e-6,
            segments=True,
        ),
        Kind(
            "error",
            entry="uncertainty",
            scale="subject",
            uncertainty=_same,
            foreground=error_probability,
            expected="error probabilities that vary",
            measure="error probability",
            raw="error probability, raw; evaluation scales it per subject",
            scaled="error probability, rescaled by each subject's own range",
            served="error probability, scaled by each subject's own range to [0, 1]; raw in serving_default and seeded",
        ),
        Kind(
            "sigma",
            entry="uncertainty",
            scale="set",
            uncertainty=_same,
            foreground=error_probability,
            expected="finite sigmas{limits}",
            measure="sigma",
            raw="|sigma| of the predicted class, raw; evaluation scales it over the whole set",
            scaled="sigma of the predicted class, rescaled by its range over the whole set",
            served="|sigma| of the predicted class, scaled by sigma_range and clipped to [0, 1]",
        ),
    )
}
FORMER = {"confidence": "error"}  # names in files and commands of before; the map is an error probability
NAMES = (*KINDS, *FORMER)  # what a command line takes


def get(name: str, where: object = "kind") -> Kind:
    """The kind of that name, former names included; raises `UserError` naming `where`."""
    name = FORMER.get(name, name)
    if name not in KINDS:
        raise UserError(where, expected=f"a kind of {', '.join(KINDS)}", found=repr(name))
    return KINDS[name]


def floating(score: ArrayLike) -> Array:
    """The map as native float32 or float64."""
    score = np.asarray(score)
    return np.asarray(score, np.float64 if score.dtype.kind == "f" and score.dtype.itemsize >= 8 else np.float32)


def rescaled(score: Array, lowest: float, highest: float) -> Array:
    """`score` mapped linearly from [lowest, highest] to [EPSILON, 1 - EPSILON], in its own dtype."""
    return (score - lowest) / (highest - lowest) * (1 - 2 * EPSILON) + EPSILON


def value_range(score: ArrayLike) -> tuple:
    """(lowest, highest) of a map as scalars of its dtype; raises `MapError` for NaN, infinity or no voxels."""
    score = floating(score)
    if not score.size:
        raise MapError("no voxels")
    lowest, highest = score.min(), score.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise MapError("values that are NaN or infinite")
    return lowest, highest


def common_range(ranges: Iterable[tuple]) -> Limits:
    """(lowest, highest) over the ranges of several maps, as floats: the range of a whole set.

    Each is the shortest decimal that reads back as the float32 or float64 found: the reference passes its range
    through a CSV file, and rounding the float64 of that decimal is what reproduces its rescaled maps bit for bit.
    """
    lowest, highest = zip(*ranges, strict=True)
    return float(str(min(lowest))), float(str(max(highest)))
