"""One subject as recalibration sees it: read once to fit on, once more to measure what was fitted. NumPy only.

What comes back is small: histograms, curves over thresholds and a few numbers. Calibration is of the voxels that Table 1's ECE is
of, inside the task's mask; what a guarantee speaks of, volumes and the share of a lesion, is of the whole volume.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from data_prep.base import notices
from data_prep.base.notices import Notices
from data_prep.tasks import Task
from tfunc.scoring import aggregate, class_files, classes, counts, odds, temperature
from tfunc.scoring.counts import Counts
from tfunc.scoring.odds import Odds
from tfunc.scoring.sources import Maps, naming
from tfunc.scoring.temperature import Fitted
from tfunc.scoring.truth import RecordsTruth

FEATURES = (
    "log of 1 + segmented voxels",
    "mean uncertainty, 1 - p of the top class",
    "mean uncertainty in the segmentation",
    "mean log-odds of the top class",
    "share of voxels with a top class below 0.9",
)
ISOTONIC = "isotonic"
Channels = tuple[NDArray[np.float32], ...]


@dataclasses.dataclass(frozen=True)
class Voxels:
    """A subject's voxels that count, each array [voxels].

    channels: the foreground's probability of two classes, else that of each class.  label, prediction: index of the class.
    inside: bool, where calibration is measured; None is everywhere.
    """

    channels: Channels
    label: NDArray
    prediction: NDArray
    inside: NDArray[np.bool_] | None
    task: Task

    def within(self, array: NDArray) -> NDArray:
        """The voxels of an array where calibration is measured."""
        return array if self.inside is None else array[self.inside]

    def inner(self) -> Voxels:
        """Those where calibration is measured alone."""
        parts = tuple(map(self.within, self.channels))
        return Voxels(parts, self.within(self.label), self.within(self.prediction), None, self.task)

    def regions(
        self, channels: Channels
    ) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]]:
        """(name, probability, where its label is, where it is segmented) of each region. channels: at some temperature."""
        for region in self.task.regions:
            own = channels[0] if self.task.is_binary else classes.region_probability(channels, region.classes)
            yield region.name, own, classes.among(self.label, region), classes.among(self.prediction, region)

    def at(self, chosen: float) -> Channels:
        """The probabilities at a temperature."""
        if self.task.is_binary:
            return (temperature.apply(self.channels[0], chosen),)
        return tuple(temperature.apply_classes(self.channels, chosen))


@dataclasses.dataclass(frozen=True)
class RegionNumbers:
    """What a region of one subject comes down to.

    odds: histogram, and `before`, calibration, where it is measured.  missed: `odds.missed` of its label, None without one.
    volume, predicted_volume: voxels.  dice, predicted_dice: of its segmentation, true and by its probabilities.
    """

    odds: Odds
    before: Counts
    missed: NDArray[np.float64] | None
    volume: int
    predicted_volume: int
    dice: float
    predicted_dice: float


@dataclasses.dataclass(frozen=True)
class Gathered:
    """What is fitted on, of one subject.

    own: its own temperature, None without voxels.  voxels: where calibration is measured.  table: [NODES, 3] moments of the
    likelihood of several classes.  features: [FEATURES].
    """

    own: Fitted | None
    voxels: int
    table: NDArray[np.float64] | None
    regions: dict[str, RegionNumbers]
    features: NDArray[np.float64]


Item = tuple[RecordsTruth, Maps, str]


def read(where: RecordsTruth, maps: Maps, subject: str) -> Voxels:
    """The `Voxels` of one subject; raises `UserError` for maps that are no probabilities or lie elsewhere."""
    truth, task = where.read(subject), where.task
    inside = None if truth.mask is None else truth.only(truth.mask) != 0
    with naming(maps, subject):
        if truth.classes is None:
            score, prediction, _ = maps.read_with_gaps(subject, truth)
            channels: Channels = (np.asarray(counts.within_unit(truth.only(score)), np.float32),)
        else:
            found, _ = class_files.read(maps, subject, truth, task)
            channels, prediction = tuple(map(truth.only, found.channels)), found.prediction
    return Voxels(
        channels=tuple(one.reshape(-1) for one in channels),
        label=truth.only(truth.label).reshape(-1),
        prediction=np.asarray(truth.only(prediction), np.uint8).reshape(-1),
        inside=None if inside is None else inside.reshape(-1),
        task=task,
    )


def gather(item: Item) -> tuple[Gathered, Notices]:
    """(`Gathered` of one subject, what was noticed). item: (where its label is, its method's maps, its name)."""
    with notices.gathered() as noticed:
        voxels = read(*item)
    regions = {name: _numbers(voxels, *arrays) for name, *arrays in voxels.regions(voxels.channels)}
    first = next(iter(regions.values())).odds
    own, table = (first.fitted(), None) if voxels.task.is_binary else _of_classes(voxels)
    return Gathered(own, int(first.voxels.sum()), table, regions, features(voxels)), noticed


def _numbers(voxels, probability, label, made):
    within = voxels.within(probability), voxels.within(label)
    return RegionNumbers(
        odds=odds.count(*within),
        before=calibration(*within),
        missed=odds.missed(probability[label]),
        volume=int(label.sum()),
        predicted_volume=int(made.sum()),
        dice=_dice(label, made),
        predicted_dice=1 - aggregate.expected_dice(probability, probability, made, ()),
    )


def slope(item: tuple[RecordsTruth, Maps, str, float]) -> NDArray[np.float64]:
    """`temperature.moments` of one subject of several classes. item: as of `gather`, and the inverse temperature."""
    where, maps, subject, beta = item
    with notices.gathered():
        logits, label = _logits(read(where, maps, subject))
    return temperature.moments(logits, label, beta)


def measure(
    item: tuple[RecordsTruth, Maps, str, Mapping[str, float], Mapping[str, NDArray[np.float32]]],
) -> dict[str, dict[str, Counts]]:
    """{way: {region: calibration}} of one subject. item: as of `gather`, {way: temperature}, {region: isotonic curve}."""
    where, maps, subject, temperatures, curves = item
    with notices.gathered():
        voxels = read(where, maps, subject).inner()
    found = {
        way: {
            name: calibration(probability, label) for name, probability, label, _ in voxels.regions(voxels.at(chosen))
        }
        for way, chosen in temperatures.items()
    }
    found[ISOTONIC] = {
        name: calibration(curves[name][odds.cells(probability)], label)
        for name, probability, label, _ in voxels.regions(voxels.channels)
    }
    return found


def calibration(probability: NDArray[np.float32], label: NDArray) -> Counts:
    """`Counts` of which only the calibration is counted, all voxels being inside."""
    empty = counts.empty_counts()
    if not probability.size:
        return empty
    voxels, sums = counts.calibration_counts(probability, label)
    return dataclasses.replace(empty, calibration=voxels, probability=sums)


def features(voxels: Voxels) -> NDArray[np.float64]:
    """[FEATURES] of a map, without its label, of the voxels where calibration is measured."""
    parts = [voxels.within(one) for one in voxels.channels]
    top = np.maximum(parts[0], 1 - parts[0]) if len(parts) == 1 else np.max(parts, axis=0)
    made = voxels.within(voxels.prediction) != 0
    if not top.size:
        return np.zeros(len(FEATURES))
    own = 1 - top[made]
    log_odds = temperature.logit(top).mean()
    uncertainty = 1 - top.mean(dtype=np.float64), own.mean(dtype=np.float64) if own.size else 0.0
    return np.array([np.log1p(made.sum()), *uncertainty, log_odds, (top < 0.9).mean()])


def _dice(label, made):
    total = np.count_nonzero(label) + np.count_nonzero(made)
    return 2 * np.count_nonzero(label & made) / total if total else 1.0


def _logits(voxels):
    """([classes, voxels] float32, [voxels] labels) where calibration is measured."""
    parts = [np.log(temperature.clipped(voxels.within(one))).astype(np.float32) for one in voxels.channels]
    return np.stack(parts), voxels.within(voxels.label).astype(np.intp)


def _of_classes(voxels):
    """(temperature or None, [NODES, 3] moments) of several classes."""
    logits, label = _logits(voxels)
    table = np.array([temperature.moments(logits, label, beta) for beta in temperature.NODES])
    if not label.size:
        return None, table

    def evaluate(beta):
        return temperature.moments(logits, label, beta)

    return temperature.over_passes(table, label.size, evaluate), table
