"""Should somebody look at this new patient: the fit of an evaluation's choosing set, kept, and asked of one subject. NumPy only.

`review.json` of an evaluation holds, of each method and region, which score ranks, the line from it to the Dice, and how far the
truth lay from that line. It is of certain networks and samples, which it names, and is not asked about maps of others.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import pathlib
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from data_prep.base import artefacts, documents
from data_prep.base.errors import UserError
from tfunc import runs
from tfunc.scoring import failure, recalibration, review
from tfunc.scoring.review import Chosen
from tfunc.scoring.ridge import Ridge

NAME = "review.json"
LARGEST = 1e12  # of a fit's numbers: scores and Dice lie near 1, and products of three of these are finite
NONE_CHOSEN = f"its validation set was not predicted by these networks, or has fewer than {review.LEAST} subjects"
Scores = Mapping[str, float | None]


class Fit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a choosing set says of one region: `review.Chosen`, with the line's numbers by name.

    highest: value of the score that ranks, of the least sure of its subjects. dice_width: None where too few subjects hold it.
    """

    score: str
    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    highest: float
    dice_width: float | None
    coverage: float
    subjects: int

    def __post_init__(self) -> None:
        """Refuses what no fit gives, which a file or a server may say."""
        tables = self.names, self.mean, self.scale, self.weights
        if len({len(one) for one in tables}) > 1 or not self.names:
            raise ValueError("as many numbers as scores")
        numbers = [*self.mean, *self.scale, *self.weights, self.intercept, self.highest, self.dice_width or 0.0]
        if not all(abs(one) <= LARGEST for one in numbers) or not all(one >= 1 / LARGEST for one in self.scale):
            raise ValueError("finite numbers, and scales above 0")
        if (self.dice_width or 0) < 0 or not 0 <= self.coverage <= 1 or self.subjects < 1:
            raise ValueError("a width from 0 on, a coverage in [0, 1] and a subject")


class OfMethod(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """made_by: the networks and samples whose maps it was fitted on, as `recalibration.made_by` says. regions: {name: Fit}."""

    made_by: dict[str, Any]
    regions: dict[str, Fit]


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known of maps of one method: its `Fit` by region, or why nothing is. failure: a lower Dice has failed."""

    fits: dict[str, Fit] = {}
    failure: float = failure.FAILURE
    why: str = "no evaluation is at hand that chose a score on a validation set"


def digest(known: Known) -> str:
    """64 hexadecimal digits by which what was known is told from what is known now."""
    return hashlib.sha256(msgspec.json.encode(known, order="sorted")).hexdigest()


class Fits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file. failure: a lower Dice has failed."""

    schema: Literal[1] = 1
    failure: float
    methods: dict[str, OfMethod]


@dataclasses.dataclass(frozen=True)
class Judged:
    """One region of one new subject. predicted, low, high: its Dice in [0, 1], None where nothing predicts it, the last two
    also where too few subjects hold an interval. wanted: whether somebody should look, None where that can't be said. why: in
    words. subjects, coverage: of the fit."""

    wanted: bool | None
    why: str
    predicted: float | None = None
    low: float | None = None
    high: float | None = None
    subjects: int | None = None
    coverage: float | None = None


def fit_of(chosen: Chosen, scores: Mapping[str, np.ndarray]) -> Fit:
    """The `Fit` that a choosing set's `Chosen` is kept as. scores: {score: [subjects]} of that set."""
    ridge = chosen.line.ridge
    return Fit(
        score=chosen.score,
        names=chosen.line.names,
        mean=tuple(ridge.mean.tolist()),
        scale=tuple(ridge.scale.tolist()),
        weights=tuple(ridge.weights.tolist()),
        intercept=float(ridge.intercept),
        highest=float(np.max(review.ranking(chosen, scores)[1])),
        dice_width=None if math.isinf(chosen.dice_width) else chosen.dice_width,
        coverage=chosen.coverage,
        subjects=chosen.subjects,
    )


def write(folder: pathlib.Path, fits: Fits) -> None:
    """Writes the file into an evaluation's folder, also where there is nothing to keep: an evaluation of before lacks it."""
    artefacts.write_document(folder / NAME, msgspec.to_builtins(fits))


def stored_at(run_dir: runs.Path) -> pathlib.Path:
    """Where the fits of a run's evaluation lie."""
    return runs.evaluation_dir(run_dir) / NAME


def read(file: pathlib.Path) -> Fits:
    """The fits of a file; raises `UserError` for one of another form, or numbers that no fit gives."""
    return documents.typed(artefacts.read_json(file), Fits, file, "evaluate again")


def known(run_dir: runs.Path, method: str, predicted: Mapping[str, Any]) -> Known:
    """What a run's evaluation knows of maps of a method that are made as `predicted` says; why nothing, where it is of others."""
    if not (file := stored_at(run_dir)).exists():
        return Known()
    try:
        fits = read(file)
    except UserError as error:  # no map depends on it
        return Known(why=str(error))
    found, asked = fits.methods.get(method), recalibration.made_by(predicted)
    if found is None:
        return Known(why=f"the evaluation chose no score of {method}: {NONE_CHOSEN}")
    if different := artefacts.difference(found.made_by, asked):
        return Known(why=f"the evaluation is of maps made otherwise, {different}")
    return Known(fits=dict(found.regions), failure=fits.failure)


def judge(known: Known, region: str, scores: Scores | None, voxels: int) -> Judged:
    """What is said of a region of a subject. scores: its own. voxels: of its segmentation.

    Without a fit only an empty segmentation is flagged: any other needs a comparison.
    """
    if voxels == 0:
        return Judged(True, "nothing was segmented")
    if scores is None:
        return Judged(None, "one subject by itself has no score of this uncertainty")
    fit, threshold = known.fits.get(region), known.failure
    if fit is None:
        return Judged(None, known.why)
    values = [scores.get(name) for name in fit.names]
    if any(value is None for value in values):
        missing = failure.title(fit.names[[value is None for value in values].index(True)])
        return Judged(None, f"it has no score {missing!r}, which the prediction of its Dice needs")
    if len(fit.weights) == 1 and fit.weights[0] > 0:
        return Judged(
            None, f"its score, {failure.title(fit.score)}, ranked the {fit.subjects} validation subjects backwards"
        )
    along = float(_ridge(fit).along(np.asarray(values, np.float64)))
    dice = min(max(along, 0.0), 1.0)
    found = Judged(False, "", dice, subjects=fit.subjects)
    if (width := fit.dice_width) is not None:
        low, high = max(dice - width, 0.0), min(dice + width, 1.0)
        found = dataclasses.replace(found, low=low, high=high, coverage=fit.coverage)
    own = 1 - along if fit.score == failure.COMBINATION else float(values[0] or 0.0)
    if dice < threshold:
        return dataclasses.replace(found, wanted=True, why=f"its predicted Dice is below {threshold:g}")
    if own > fit.highest:
        why = f"it is less sure than all {fit.subjects} subjects of the validation set"
        return dataclasses.replace(found, wanted=True, why=why)
    return found


def _ridge(fit):
    return Ridge(np.array(fit.mean), np.array(fit.scale), np.array(fit.weights), fit.intercept, 0.0, 1.0)
