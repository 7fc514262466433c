"""Dice and HD95 of each lesion, as BraTS 2023 scores them (rachitsaluja/BraTS-2023-Metrics). NumPy and SciPy.

Lesions of the label are the components of the label grown by a few voxels, so that close parts count as one. Every component
of the prediction that touches a grown lesion is matched to it, to several lesions if it touches several, and the lesion is
scored against the union of what it is matched to. Lesions up to a volume are left out, whether they were found or not, but
what is matched to them is no false positive; a component that touches no grown lesion is one, however small it is. Each false
positive enters the means with Dice 0 and the penalty. Where nothing is left to score, Dice is 1 and HD95 0.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from tfunc.kinds import MapError
from tfunc.scoring.components import Components, components, joined, overlaps
from tfunc.scoring.foreground import Spacing, box, measured
from tfunc.scoring.surface import apart

PENALTY = 374.0  # mm: the diagonal of BraTS' volumes, which the challenge takes where there is no distance


@dataclasses.dataclass(frozen=True)
class Challenge:
    """How a challenge counts: voxels that a label is grown by, and up to which volume in mm^3 a lesion is left out."""

    grown: int
    left_out: float


CHALLENGES = {
    "GLI": Challenge(3, 50),
    "SSA": Challenge(3, 50),
    "PED": Challenge(3, 50),
    "MEN": Challenge(1, 50),
    "MET": Challenge(1, 2),
}


@dataclasses.dataclass(frozen=True)
class LabelLesion:
    """One lesion of the label: its volume in mm^3, its Dice and HD95 against all that it is matched to, how many components
    of the prediction those are (0: it was missed, Dice is 0, HD95 the penalty), and whether it counts."""

    volume: float
    dice: float
    hd95: float
    matched: int
    counts: bool


def lesion_wise(prediction: ArrayLike, label: ArrayLike, spacing: Spacing, challenge: str = "GLI") -> dict[str, Any]:
    """The challenge's numbers of one region of one subject.

    prediction, label: [depth, height, width] or [height, width], non-zero is foreground.  spacing: in mm
    along each axis of the arrays, rounded to float32 as in a NIfTI header.  challenge: GLI, SSA, PED, MEN or MET.

    Returns dice, hd95: the lesion-wise scores; true_positives, false_negatives: lesions that count, found and missed;
    false_positives: components of the prediction; sensitivity, specificity (of the voxels), legacy_dice, legacy_hd95, of the
    whole region; label_volume in mm^3 (mm^2 of an image); lesions: a tuple of `LabelLesion`. Raises `MapError` for shapes
    that differ, for what is no spacing and for other challenges.
    """
    table = lesion_scores(prediction, label, spacing, challenge)
    of_lesions = table.pop("lesions")
    found, truth, exact = measured(prediction, label, spacing)
    return {**table, **_whole(found, truth, _rounded(exact)), "lesions": of_lesions}


def lesion_scores(prediction: ArrayLike, label: ArrayLike, spacing: Spacing, challenge: str = "GLI") -> dict[str, Any]:
    """Of `lesion_wise`, whose arguments and errors it has, what is of lesions: dice, hd95, the three counts, and lesions."""
    if not isinstance(challenge, str) or challenge not in CHALLENGES:
        raise MapError(f"expected a challenge of {', '.join(CHALLENGES)}, found {challenge!r}")
    found, truth, exact = measured(prediction, label, spacing)
    voxel, rule = _rounded(exact), CHALLENGES[challenge]
    table, matched, count = _lesions(found, truth, voxel, rule)
    counting = [lesion for lesion in table if lesion.counts]
    wrong, hit = count - matched, sum(lesion.matched > 0 for lesion in counting)
    scored = len(counting) + wrong
    return {
        "dice": sum(lesion.dice for lesion in counting) / scored if scored else 1.0,
        "hd95": (sum(lesion.hd95 for lesion in counting) + PENALTY * wrong) / scored if scored else 0.0,
        "true_positives": hit,
        "false_negatives": len(counting) - hit,
        "false_positives": wrong,
        "lesions": table,
    }


def _rounded(spacing):
    """As a NIfTI header has it."""
    return spacing.astype(np.float32).astype(np.float64)


def _whole(found, truth, voxel):
    """The challenge's numbers of all voxels; a share of no voxels is 0, but sensitivity 1 where both are empty."""
    both, segmented, true = (int(np.count_nonzero(mask)) for mask in (found & truth, found, truth))
    negative, rejected = found.size - true, found.size - (segmented + true - both)
    return {
        "sensitivity": both / true if true else float(not segmented),
        "specificity": rejected / negative if negative else 0.0,
        "legacy_dice": _dice(both, segmented, true),
        "legacy_hd95": apart(found, truth, voxel, 95, PENALTY),
        "label_volume": _volume(true, voxel),
    }


def _lesions(
    found: NDArray[np.bool_], truth: NDArray[np.bool_], voxel: NDArray[np.float64], rule: Challenge
) -> tuple[tuple[LabelLesion, ...], int, int]:
    """(the label's lesions in order, how many components of the prediction touch one, how many there are)."""
    predicted, grown = components(found), _grown(truth, rule.grown)
    pairs, _ = overlaps(grown.index, predicted.within(grown.box))
    boxes, table = predicted.boxes(), []
    for number, held in enumerate(grown.boxes(), 1):
        touching = pairs[pairs[:, 0] == number, 1]
        around = joined(held, *(boxes[index - 1] for index in touching))
        lesion = (grown.within(around) == number) & truth[around]
        union = np.isin(predicted.within(around), touching)
        size = int(np.count_nonzero(lesion))
        dice = _dice(int(np.count_nonzero(lesion & union)), int(np.count_nonzero(union)), size)
        distance = apart(union, lesion, voxel, 95, PENALTY)
        volume = _volume(size, voxel)
        table.append(LabelLesion(volume, dice, distance, len(touching), volume > rule.left_out))
    return tuple(table), len(np.unique(pairs[:, 1])), predicted.count


def _grown(truth: NDArray[np.bool_], voxels: int) -> Components:
    """The components of the label grown by so many voxels, each time by the 18 neighbours, within the array."""
    held = box(truth, voxels)
    out = np.zeros_like(truth)
    if held is not None:
        around = ndimage.generate_binary_structure(truth.ndim, 2)
        out[held] = ndimage.binary_dilation(truth[held], structure=around, iterations=voxels)
    return components(out)


def _dice(both: int, one: int, other: int) -> float:
    return 2 * both / (one + other) if one + other else 1.0


def _volume(voxels: int, spacing: NDArray[np.float64]) -> float:
    volume = float(voxels)
    for step in spacing:  # in the challenge's order, so that a lesion of exactly the limit is on the same side of it
        volume *= float(step)
    return volume
