"""A set of subjects to its temperatures, guarantees and calibration before and after: what a `Recalibration` computes.

Each subject is read by a worker and only small numbers come back and are added up: once to fit on, once more to measure at the
temperatures that were found; of several classes a few times between, since the likelihood of a softmax has no histogram.

The temperatures are fitted on these subjects, which a guarantee does not allow. So thresholds and intervals are set on the
probabilities as they were predicted and on segmented volumes, which no temperature changes. NumPy only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.base import pool as workers
from data_prep.base.errors import UserError
from data_prep.base.notices import Notices
from data_prep.base.progress import Progress
from tfunc.scoring import calibration_voxels, conformal, isotonic, metrics, odds, ridge, statistics, temperature
from tfunc.scoring.calibration_voxels import FEATURES, ISOTONIC, Gathered
from tfunc.scoring.counts import Counts, empty_counts
from tfunc.scoring.odds import Odds
from tfunc.scoring.recalibration import (
    BySubject,
    Calibration,
    Curve,
    Errors,
    Guarantees,
    Interval,
    OwnTemperature,
    Temperature,
    Threshold,
)
from tfunc.scoring.sources import Maps
from tfunc.scoring.temperature import Fitted
from tfunc.scoring.truth import RecordsTruth

INTERVALS = 0.1  # intervals cover 90 %
BEFORE, SET, BY_SUBJECT = "before", "temperature", "by_subject"
WAYS = (BEFORE, SET, BY_SUBJECT, ISOTONIC)
FEWEST = 3  # subjects that a regression over subjects is fitted on


@dataclasses.dataclass
class Region:
    """A region over subjects, added up as they come: pooled histogram, loss curves, and a few numbers of each subject."""

    pooled: Odds = dataclasses.field(default_factory=odds.empty)
    missed: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.zeros(odds.CELLS))
    lesions: int = 0
    volumes: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    dices: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    def add(self, one: calibration_voxels.RegionNumbers) -> None:
        """Adds a subject's."""
        self.pooled += one.odds
        if one.missed is not None:
            self.missed += one.missed
            self.lesions += 1
        self.volumes.append((one.volume, one.predicted_volume))
        self.dices.append((one.dice, one.predicted_dice))


@dataclasses.dataclass
class Set:
    """All subjects, added up as they come. before: {subject: {region: Counts}}, calibration as written."""

    own: dict[str, Fitted | None] = dataclasses.field(default_factory=dict)
    features: dict[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)
    before: dict[str, dict[str, Counts]] = dataclasses.field(default_factory=dict)
    regions: dict[str, Region] = dataclasses.field(default_factory=dict)
    voxels: int = 0
    table: Any = None

    def add(self, subject: str, one: Gathered) -> None:
        """Adds a subject."""
        self.own[subject], self.features[subject] = one.own, one.features
        self.before[subject] = {name: region.before for name, region in one.regions.items()}
        for name, region in one.regions.items():
            self.regions.setdefault(name, Region()).add(region)
        self.voxels += one.voxels
        if one.table is not None:
            self.table = one.table if self.table is None else self.table + one.table


def fit(
    maps: Maps, truth: RecordsTruth, pool: Executor, alphas: Sequence[float], say: Callable[[str], object] = print
) -> dict[str, Any]:
    """The entries of `Recalibration` that are computed. say: called with what readers noticed. Raises `UserError`."""
    found = _gathered(maps, truth, pool, say)
    fitted = _temperature(maps, truth, pool, found)
    regression, left_out = _regression(found)
    curves = {name: isotonic.of_odds(region.pooled) for name, region in found.regions.items()}
    measured = {BEFORE: found.before, **_measured(maps, truth, pool, fitted.temperature, left_out, curves)}
    return {
        "temperature": Temperature(**dataclasses.asdict(fitted)),
        "by_subject": regression,
        "temperatures": {name: _own(one, left_out.get(name)) for name, one in found.own.items()},
        "calibration": {way: _calibration(measured[way]) for way in WAYS if way in measured},
        "guarantees": {name: _guarantees(region, alphas) for name, region in found.regions.items()},
    }


def _gathered(maps, truth, pool, say):
    """The `Set`."""
    found, noticed = Set(), Notices()
    items = ((truth, maps.alone(subject), subject) for subject in maps.subjects)
    results = workers.results(pool, calibration_voxels.gather, items)
    with Progress(f"recalibrate {maps.method}", len(maps.subjects), " subjects") as progress:
        for subject, (one, remarks) in zip(maps.subjects, results, strict=True):
            found.add(subject, one)
            noticed.add(remarks)
            progress.advance()
    for line in noticed.lines():
        say(line)
    if not found.voxels:
        raise UserError(maps.folder, expected="voxels where calibration is measured", found="none in any subject")
    return found


def _temperature(maps: Maps, truth: RecordsTruth, pool: Executor, found: Set) -> Fitted:
    """The temperature of the voxels of all subjects together."""
    if found.table is None:
        (region,) = found.regions.values()
        fitted = region.pooled.fitted()
        assert fitted is not None  # there are voxels
        return fitted

    def evaluate(beta):
        items = ((truth, maps.alone(subject), subject, beta) for subject in maps.subjects)
        return sum(workers.results(pool, calibration_voxels.slope, items))

    return temperature.over_passes(found.table, found.voxels, evaluate)


def _regression(found: Set) -> tuple[BySubject | None, dict[str, float]]:
    """(the regression over subjects or None, {subject: the temperature that it gives to one that it did not see})."""
    own = {name: one for name, one in found.own.items() if one and not (one.at_bound or one.undefined)}
    if len(own) < FEWEST:
        return None, {}
    features = np.array([found.features[name] for name in own])
    values = np.log([one.temperature for one in own.values()])
    whole, predicted = ridge.fit(features, values), ridge.left_out(features, values)
    others = (values.sum() - values) / (len(values) - 1)
    left_out = {name: whole.predict(one) for name, one in found.features.items()}
    left_out |= dict(zip(own, predicted, strict=True))
    regression = BySubject(
        features=FEATURES,
        mean=tuple(whole.mean.tolist()),
        scale=tuple(whole.scale.tolist()),
        weights=tuple(whole.weights.tolist()),
        intercept=whole.intercept,
        lowest=whole.lowest,
        highest=whole.highest,
        error=float(np.sqrt(np.mean((predicted - values) ** 2))),
        constant_error=float(np.sqrt(np.mean((others - values) ** 2))),
    )
    return regression, {name: float(np.exp(value)) for name, value in left_out.items()}


def _own(fitted, left_out):
    if fitted is None:
        return OwnTemperature(temperature=None, at_bound=False, undefined=False, left_out=left_out)
    flags = {"at_bound": fitted.at_bound, "undefined": fitted.undefined}
    return OwnTemperature(temperature=fitted.temperature, left_out=left_out, **flags)


# Measuring


def _measured(maps, truth, pool, chosen, left_out, curves):
    """{way: {subject: {region: Counts}}}."""
    ways = {subject: {SET: chosen} | ({BY_SUBJECT: left_out[subject]} if left_out else {}) for subject in maps.subjects}
    items = ((truth, maps.alone(subject), subject, ways[subject], curves) for subject in maps.subjects)
    found: dict[str, dict[str, dict[str, Counts]]] = {}
    for subject, one in zip(maps.subjects, workers.results(pool, calibration_voxels.measure, items), strict=True):
        for way, by_region in one.items():
            found.setdefault(way, {})[subject] = by_region
    return found


def _calibration(by_subject: Mapping[str, Mapping[str, Counts]]) -> Calibration:
    """`Calibration` of {subject: {region: Counts}}."""
    names = list(next(iter(by_subject.values())))
    pooled = {name: sum((one[name] for one in by_subject.values()), empty_counts()) for name in names}
    errors = np.array([[metrics.calibration_error(one[name]) for name in names] for one in by_subject.values()])
    dataset = np.array([metrics.calibration_error(pooled[name]) for name in names])
    subjects = statistics.mean(errors)
    return Calibration(
        dataset=_number(statistics.mean(dataset)),
        subjects=_number(statistics.mean(subjects)),
        regions={
            name: Errors(dataset=_number(dataset[index]), subjects=_number(subjects[index]))
            for index, name in enumerate(names)
        },
        by_subject={name: _number(own) for name, own in zip(by_subject, statistics.mean(errors.T), strict=True)},
        curves={name: _curve(one) for name, one in pooled.items()},
    )


def _curve(pooled):
    curve = metrics.calibration(pooled)
    return Curve(
        count=tuple(curve.count.tolist()),
        mean_probability=tuple(map(_number, curve.mean_probability)),
        positive_fraction=tuple(map(_number, curve.positive_fraction)),
    )


def _guarantees(region: Region, alphas: Sequence[float]) -> Guarantees:
    true, predicted = np.array(region.volumes).T
    dice, expected = np.array(region.dices).T
    return Guarantees(
        lesions=region.lesions,
        thresholds=tuple(_threshold(region.missed, region.lesions, alpha) for alpha in alphas),
        volume=_interval(conformal.volume_residuals(true, predicted)),
        dice=_interval(np.abs(dice - expected)),
    )


def _threshold(total, count, alpha):
    needed = conformal.needed(alpha)
    if count < needed:
        return Threshold(alpha=alpha, threshold=None, bound=None, needed=needed)
    index = conformal.risk_control(total, count, alpha)
    threshold, bound = float(odds.thresholds()[index]), float((total[index] + 1) / (count + 1))
    return Threshold(alpha=alpha, threshold=threshold, bound=bound, needed=needed)


def _interval(residuals):
    width, count = conformal.interval(residuals, INTERVALS), len(residuals)
    covered = conformal.coverage(count, INTERVALS)
    return Interval(alpha=INTERVALS, width=None if math.isinf(width) else width, coverage=covered, subjects=count)


def _number(value):
    return None if np.isnan(value) else float(value)
