"""How well a score ranks subjects by risk: the risk of those that are left as the least sure are set aside. NumPy only.

One point for each *distinct* score, as fd-shifts has it: subjects that share a score are set aside together, so the order of
files never matters. Curves run from coverage 1 to 0; at 0 the selective risk is that of the surest, the generalised risk 0.

- AURC: area under the selective risk, the mean risk of those that are left (Geifman and El-Yaniv, 2017)
- AUGRC: area under the generalised risk, their sum over the number of all (Traub et al., NeurIPS 2024)
"""

from __future__ import annotations

import dataclasses
import math
import numbers

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data_prep.base.errors import UserError
from tfunc.scoring import area

FAILURE = 0.7  # a segmentation with a lower Dice has failed
Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Curve:
    """coverage, risk, generalised: float64 [distinct scores + 1], from coverage 1 down to 0."""

    coverage: Floats
    risk: Floats
    generalised: Floats

    @property
    def aurc(self) -> float:
        """Area under the selective risk."""
        return float(area.under(self.risk[::-1], self.coverage[::-1]))

    @property
    def augrc(self) -> float:
        """Area under the generalised risk."""
        return float(area.under(self.generalised[::-1], self.coverage[::-1]))


def checked(scores: ArrayLike, risks: ArrayLike) -> tuple[Floats, Floats]:
    """Both as float64 [subjects]; raises `UserError` for other shapes, none at all, and values that are not finite."""
    one, other = np.asarray(scores, np.float64), np.asarray(risks, np.float64)
    if one.ndim != 1 or one.shape != other.shape or not one.size:
        found = f"shapes {one.shape} and {other.shape}"
        raise UserError("scores and risks", expected="one number of each for every subject", found=found)
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise UserError("scores and risks", expected="finite numbers", found="NaN or infinity", do="leave those out")
    return one, other


def curve(scores: ArrayLike, risks: ArrayLike) -> Curve:
    """The `Curve` of scores, higher is less sure, and risks, both [subjects]; errors as `checked`."""
    scores, risks = checked(scores, risks)
    order = np.argsort(scores, kind="stable")
    ranked, count = scores[order], len(scores)
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), count - 1)  # the last of each group, the surest first
    total = np.cumsum(risks[order])[ends]
    kept = ends + 1.0
    selective, generalised = total / kept, total / count
    points = (kept / count)[::-1], selective[::-1], generalised[::-1]
    last = 0.0, selective[0], 0.0
    return Curve(*(np.append(values, end) for values, end in zip(points, last, strict=True)))


def oracle(risks: ArrayLike) -> float:
    """AURC of the best possible order of these subjects, each set aside by itself."""
    risks = np.asarray(risks, np.float64)
    return curve(np.argsort(np.argsort(risks, kind="stable")), risks).aurc


def optimum(risks: Floats) -> float:
    """What excess AURC is in excess of: the oracle's AURC; of failures, 0 and 1 only, its limit for many subjects."""
    if not np.isin(risks, (0, 1)).all():
        return oracle(risks)
    failed = float(risks.mean())
    return failed + (1 - failed) * float(np.log1p(-failed)) if failed < 1 else 1.0


def auroc(scores: Floats, failed: NDArray[np.bool_]) -> float:
    """Probability that a failed subject has a higher score than another, ties a half; NaN where all or none failed."""
    bad, good = scores[failed], scores[~failed]
    if not (bad.size and good.size):
        return float("nan")
    ordered = np.sort(good)
    below = np.searchsorted(ordered, bad, "left") + np.searchsorted(ordered, bad, "right")
    return float(below.sum() / (2 * bad.size * good.size))


def ranks(values: Floats) -> Floats:
    """Ranks from 1, those of equal values their mean, as `scipy.stats.rankdata`, which takes half a second to import."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def spearman(scores: Floats, risks: Floats) -> float:
    """Rank correlation in [-1, 1], positive where the score rises with the risk; NaN where one of them is constant."""
    one, other = (found - found.mean() for found in (ranks(scores), ranks(risks)))
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum() / size) if size > 0 else float("nan")


def risk_coverage(scores: ArrayLike, risks: ArrayLike, failure: float = 1 - FAILURE) -> dict[str, float | Floats]:
    """Everything of a score, higher is less sure, against risks such as 1 - Dice or failures of 0 and 1; both [subjects].

    failure: a risk above it is a failure, for AUROC. Gives aurc, eaurc (in excess of the best order), augrc, auroc (NaN where
    all or none failed), spearman (NaN for constants), random (AURC of no order: the mean risk), oracle (AURC of the best), and
    the curve's coverage and risk [distinct scores + 1]. Raises `UserError` as `checked`.

    >>> found = risk_coverage([0.1, 0.2, 0.9], [0.0, 0.1, 0.8])  # the least sure is the worst: no order is better
    >>> round(found["aurc"], 4), round(found["eaurc"], 4), found["spearman"], found["auroc"]
    (0.0667, 0.0, 1.0, 1.0)
    """
    if not (isinstance(failure, numbers.Real) and math.isfinite(failure)):
        raise UserError("failure", expected="a risk, above which a subject has failed", found=repr(failure))
    scores, risks = checked(scores, risks)
    found = curve(scores, risks)
    return {
        "aurc": found.aurc,
        "eaurc": found.aurc - optimum(risks),
        "augrc": found.augrc,
        "auroc": auroc(scores, risks > failure),
        "spearman": spearman(scores, risks),
        "random": float(risks.mean()),
        "oracle": oracle(risks),
        "coverage": found.coverage,
        "risk": found.risk,
    }


# Many resampled sets of subjects at once


def resampled(
    scores: Floats, risks: Floats, indices: NDArray[np.intp], failed: NDArray[np.bool_] | None = None
) -> dict[str, Floats]:
    """aurc, augrc, auroc, spearman, random, oracle of each of B resampled sets, float64 [B].

    scores, risks: [subjects], checked.  indices: [B, subjects], who is in each.  failed: bool [subjects], for AUROC.
    Subjects that are drawn twice share their score, and are set aside together; the oracle sets aside one by one.
    """
    count = len(scores)
    flat = indices + count * np.arange(len(indices))[:, np.newaxis]
    weights = (
        np.bincount(flat.reshape(-1), minlength=count * len(indices)).reshape(len(indices), count).astype(np.float64)
    )
    areas = _areas(scores, risks, weights)
    ordered = np.sort(risks[indices], axis=1)
    selective = np.cumsum(ordered, axis=1) / np.arange(1, count + 1)
    best = area.under(np.hstack([selective[:, :1], selective]), np.arange(count + 1) / count)
    failed = risks > 1 - FAILURE if failed is None else failed
    return {
        **areas,
        "auroc": _auroc(scores, failed, weights),
        "spearman": _spearman(_ranks(scores, weights), _ranks(risks, weights), weights),
        "random": weights @ risks / count,
        "oracle": best,
    }


def _areas(scores, risks, weights):
    """AURC and AUGRC of every row of weights."""
    order = np.argsort(scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    kept = np.cumsum(weights[:, order], axis=1)[:, ends]
    total = np.cumsum(weights[:, order] * risks[order], axis=1)[:, ends]
    selective = np.divide(total, kept, out=np.full_like(total, np.nan), where=kept > 0)
    first = np.argmax(kept > 0, axis=1)  # groups that nobody was drawn of are at coverage 0, with the surest's risk
    surest = selective[np.arange(len(first)), first][:, np.newaxis]
    selective = np.where(kept > 0, selective, surest)
    coverage = np.hstack([np.zeros_like(surest), kept]) / len(scores)
    generalised = np.hstack([np.zeros_like(surest), total]) / len(scores)
    return {
        "aurc": area.under(np.hstack([surest, selective]), coverage),
        "augrc": area.under(generalised, coverage),
    }


def _grouped(values, weights):
    """(weights of each distinct value [B, values], which of them every subject has)."""
    levels, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(levels)))
    return np.add.reduceat(weights[:, order], starts, axis=1), place


def _auroc(scores, failed, weights):
    """`auroc` of every row of weights."""
    (bad, _), (good, _) = _grouped(scores, weights * failed), _grouped(scores, weights * ~failed)
    total = bad.sum(axis=1) * good.sum(axis=1)
    above = (bad * (np.cumsum(good, axis=1) - good / 2)).sum(axis=1)
    return np.divide(above, total, out=np.full(len(total), np.nan), where=total > 0)


def _ranks(values, weights):
    """`ranks` of every subject in every row of weights, [B, subjects]."""
    grouped, place = _grouped(values, weights)
    return (np.cumsum(grouped, axis=1) - (grouped - 1) / 2)[:, place]


def _spearman(one, other, weights):
    """Correlation of ranks [B, subjects] in every row of weights."""
    middle = (weights.sum(axis=1, keepdims=True) + 1) / 2
    one, other = one - middle, other - middle
    size = np.sqrt((weights * one**2).sum(axis=1) * (weights * other**2).sum(axis=1))
    return np.divide((weights * one * other).sum(axis=1), size, out=np.full(len(size), np.nan), where=size > 0)
