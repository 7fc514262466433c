"""Guarantees that hold for whatever network: thresholds and intervals that are set on subjects which chose nothing.

Both assume that patients are exchangeable: the next one is drawn as those were that the numbers were set on. They speak of the
average over patients, not of one of them. With n subjects a level below 1 / (n + 1) can't be certified. NumPy only.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data_prep.base.errors import UserError

WIDEST = 700.0  # of a volume's logarithm, beyond which its factor is no number any more
FLOOR = 100.0  # voxels added to both volumes before their ratio: below that, a factor says little
_ROUNDING = 1e-9


def least_alpha(count: int) -> float:
    """The least level that `count` subjects certify: 1 / (count + 1)."""
    return 1 / (count + 1)


def needed(alpha: float) -> int:
    """How many subjects certify a level in (0, 1)."""
    return math.ceil(1 / alpha - 1 - _ROUNDING)


def require_certified(alpha: float, count: int, of: str = "subjects with a lesion") -> None:
    """Raises `UserError` for a level outside (0, 1), and for one that `count` subjects can't certify."""
    if not 0 < alpha < 1:
        raise UserError(f"alpha {alpha:g}", expected="a share between 0 and 1")
    if count < needed(alpha):
        expected = f"{needed(alpha)} {of}, which alpha {alpha:g} needs"
        do = f"these allow {least_alpha(count):.3g} or more" if count else "give labelled subjects"
        raise UserError(f"alpha {alpha:g}", expected=expected, found=str(count), do=do)


def risk_control(total: ArrayLike, count: int, alpha: float) -> int:
    """Index of the largest threshold at which a new subject's expected loss is at most alpha.

    Angelopoulos, Bates, Fisch, Lei and Schuster, Conformal risk control, 2022: n / (n + 1) times the mean loss + 1 / (n + 1)
    must not exceed alpha. total: [thresholds] the subjects' losses in [0, 1] added up, rising with the threshold from 0 on;
    the thresholds are fixed beforehand. count: of subjects, those with a lesion only. Raises `UserError` for an alpha that
    they can't certify.
    """
    require_certified(alpha, count)
    return int(np.flatnonzero(np.asarray(total, np.float64) + 1 <= alpha * (count + 1) + _ROUNDING)[-1])


def _rank(count, alpha):
    return math.ceil((count + 1) * (1 - alpha) - _ROUNDING)


def coverage(count: int, alpha: float) -> float:
    """The share of new subjects whom an interval from `count` subjects covers, where no two residuals are equal.

    ceil((n + 1)(1 - alpha)) / (n + 1); 1 where n is too small and the interval holds everything.
    """
    return min(_rank(count, alpha) / (count + 1), 1.0)


def interval(residuals: ArrayLike, alpha: float = 0.1) -> float:
    """Half the width of the interval about a prediction that covers at least 1 - alpha of new subjects: split conformal.

    residuals: [n] sizes of the errors of subjects that chose nothing. It is the ceil((n + 1)(1 - alpha))-th smallest of them,
    and infinite where there are fewer.
    """
    ordered: NDArray[np.float64] = np.sort(np.asarray(residuals, np.float64))
    rank = _rank(len(ordered), alpha)
    return float(ordered[rank - 1]) if rank <= len(ordered) else math.inf


def volume_residuals(true: ArrayLike, predicted: ArrayLike) -> NDArray[np.float64]:
    """[n] how many times too large or small volumes are, as a logarithm: |log((true + 100) / (predicted + 100))|, in voxels.

    A factor, since large tumours are missed by more; with a floor, since no volume is a factor of an empty one.
    """
    true, predicted = np.asarray(true, np.float64), np.asarray(predicted, np.float64)
    return np.abs(np.log((true + FLOOR) / (predicted + FLOOR)))


def volume_interval(predicted: float, width: float) -> tuple[float, float]:
    """(lowest, highest) volume in voxels for a predicted one. width: of `interval` over `volume_residuals`; may be infinite."""
    if width > WIDEST:
        return 0.0, math.inf
    return max((predicted + FLOOR) * math.exp(-width) - FLOOR, 0.0), (predicted + FLOOR) * math.exp(width) - FLOOR
