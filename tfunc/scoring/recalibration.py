"""What a recalibration says: `<run_dir>/recalibration/<method>.json`, its form, and whether it is of the maps at hand.

It knows the predictions that it was fitted on by the checksum of their predictions.json, and the networks that made them by
theirs: it is applied to maps of the same networks and samples only. NumPy only.
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from data_prep.base import artefacts, documents
from data_prep.base.errors import Command, NotReady, UserError, command
from tfunc import methods, runs
from tfunc.kinds import KINDS
from tfunc.scoring import conformal, temperature

FOLDER = "recalibration"
SCHEMA = 1
MADE_BY = ("networks", "samples", "draws", "streams")  # of predictions.json: what makes other probabilities


class Temperature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The one temperature of the set, fields as `temperature.Fitted` has them."""

    temperature: float
    likelihood: float
    before: float
    at_bound: bool
    undefined: bool


class OwnTemperature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A subject's: fitted on its label, None without voxels; left_out: predicted by a regression on the others, or None."""

    temperature: float | None
    at_bound: bool
    undefined: bool
    left_out: float | None


class BySubject(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The regression of log T on features of a map without its label, fields as `ridge.Ridge` has them; None with too few.

    error, constant_error: root mean squared error of log T, each subject left out, of the regression and of the others' mean.
    """

    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    lowest: float
    highest: float
    error: float
    constant_error: float


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A reliability diagram of the whole set; None in empty bins."""

    count: tuple[int, ...]
    mean_probability: tuple[float | None, ...]
    positive_fraction: tuple[float | None, ...]


class Errors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """ECE in [0, 1] of the set's voxels together, and the mean of the subjects' own."""

    dataset: float | None
    subjects: float | None


class Calibration(Errors, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Means over the regions, each region's, every subject's, and each region's reliability diagram."""

    regions: dict[str, Errors]
    by_subject: dict[str, float | None]
    curves: dict[str, Curve]


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The outer mask p >= threshold misses at most alpha of a lesion in expectation; None where `needed` are more than there
    are. p is the probability as it was predicted, not at the temperature. bound: what was certified, at most alpha."""

    alpha: float
    threshold: float | None
    bound: float | None
    needed: int


class Interval(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """width of `conformal.interval`, None for infinite; coverage that n subjects give, at least 1 - alpha."""

    alpha: float
    width: float | None
    coverage: float
    subjects: int


class Guarantees(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of a region. lesions: subjects that have one. volume: of `volume_residuals`. dice: of |Dice - predicted Dice|."""

    lesions: int
    thresholds: tuple[Threshold, ...]
    volume: Interval
    dice: Interval


class Recalibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file. approximate: the subjects chose an epoch, so no guarantee is exact. settings: what was asked for.

    calibration: {before, temperature, by_subject, isotonic: `Calibration`}; by_subject has each subject left out, the
    others are measured on the subjects that they were fitted on.
    """

    schema: Literal[1] = 1
    method: str
    dataset: str
    split: str
    alphas: tuple[float, ...]
    approximate: bool
    assumed: str
    subjects: tuple[str, ...]
    records: str
    predictions: str
    made_by: dict[str, Any]
    temperature: Temperature
    by_subject: BySubject | None
    temperatures: dict[str, OwnTemperature]
    calibration: dict[str, Calibration]
    guarantees: dict[str, Guarantees]
    version: str

    @property
    def fitted_on(self) -> str:
        """Whom the temperature was fitted on, in words."""
        return f"{len(self.subjects)} subject{'s' * (len(self.subjects) != 1)} of {self.split}"

    def command(self, **flags: object) -> Command:
        """The command that makes it."""
        split = None if self.split == "valid" else self.split
        return command("recalibrate", method=self.method, dataset=self.dataset, calibration_split=split, **flags)

    def threshold(self, region: str, alpha: float) -> float:
        """The threshold of a region's outer mask; raises `UserError` for a level that was not asked for or not certified."""
        found = {one.alpha: one for one in self.guarantees[region].thresholds}
        if alpha not in found:
            known = ", ".join(f"{one:g}" for one in found)
            wanted = ",".join(f"{one:g}" for one in sorted([*found, alpha]))
            do = ("remove its recalibration, then run ", self.command(alphas=wanted))
            raise UserError(f"alpha {alpha:g}", expected=f"one of {known}", do=do)
        threshold = found[alpha].threshold
        if threshold is None:
            conformal.require_certified(alpha, self.guarantees[region].lesions)
        return float(threshold or 0.0)

    def volume(self, region: str, predicted: float) -> tuple[float, float | None]:
        """(lowest, highest) voxels of a region that was segmented with so many; None is infinite."""
        width = self.guarantees[region].volume.width
        low, high = conformal.volume_interval(predicted, math.inf if width is None else width)
        return low, None if math.isinf(high) else high


def path(run_dir: runs.Path, method: str) -> pathlib.Path:
    """Where the recalibration of a method lies."""
    return pathlib.Path(run_dir) / FOLDER / f"{method}.json"


def made_by(predicted: Mapping[str, Any]) -> dict[str, Any]:
    """What predictions.json, or what a prediction is asked for, says of how its probabilities were made."""
    found = {name: predicted.get(name) for name in MADE_BY}
    return {**found, "stratified": True} if predicted.get("stratified") else found  # an earlier version knew of none


def write(run_dir: runs.Path, found: Recalibration) -> pathlib.Path:
    """Writes the file, whole or not at all; returns its path."""
    file = path(run_dir, found.method)
    artefacts.write_document(file, msgspec.to_builtins(found))
    return file


def stored(run_dir: runs.Path, method: str) -> Recalibration | None:
    """The file's content, or None where there is none; raises `UserError` for another form, or numbers that no fit gives."""
    file = path(run_dir, method)
    if not file.exists():
        return None
    do = f"remove {file} and recalibrate again"
    document = artefacts.read_document(file, do=do)
    if document.get("schema") != SCHEMA:
        raise UserError(file, expected=f"schema {SCHEMA}", found=repr(document.get("schema")), do=do)
    found = documents.typed(document, Recalibration, file, do)
    if wrong := _impossible(found, method):
        raise UserError(file, expected=f"a recalibration of {method}, as it was written", found=wrong, do=do)
    return found


def _impossible(found: Recalibration, method: str) -> str | None:
    """What no fit gives: a file that was edited, or is another method's."""
    if found.method != method:
        return f"one of {found.method}"
    if not temperature.LOWEST <= found.temperature.temperature <= temperature.HIGHEST:  # also true for NaN
        return f"a temperature of {found.temperature.temperature:g}"
    if not found.subjects:
        return "no subjects"
    if missing := {"before", "temperature"} - set(found.calibration):
        return f"no calibration called {min(missing)}"
    for name, region in found.guarantees.items():
        if any(one.threshold is not None and not 0 <= one.threshold <= 1 for one in region.thresholds):
            return f"a threshold of {name} outside [0, 1]"
        if any(one.width is not None and not 0 <= one.width < math.inf for one in (region.volume, region.dice)):
            return f"an interval of {name} whose width is no number from 0 on"
    return None


def available(run_dir: runs.Path, dataset: str, names: Sequence[str]) -> list[str]:
    """Those of some methods that have a recalibration; `NotReady` naming the command where none of them has."""
    found = [name for name in names if path(run_dir, name).exists()]
    if not found:
        able = [name for name in names if KINDS[methods.get(name).kind].segments]
        first = able[0] if able else next(iter(methods.METHODS))
        do = command("recalibrate", method=first, dataset=dataset)
        raise NotReady(path(run_dir, first), expected=f"the recalibration of {first}", found="none", do=do)
    return found


def require(run_dir: runs.Path, method: str, dataset: str, predicted: Mapping[str, Any]) -> Recalibration:
    """The recalibration of a method, to be applied to maps that were made as `predicted` says.

    Raises `NotReady` naming the command where there is none, and where its networks are not those of the maps; `UserError`
    for other samples.
    """
    found, file = stored(run_dir, method), path(run_dir, method)
    if found is None:
        do = command("recalibrate", method=method, dataset=dataset)
        raise NotReady(file, expected=f"the recalibration of {method}", found="none", do=do)
    own, asked = found.made_by, made_by(predicted)
    if own.get("networks") != asked["networks"]:
        expected = f"a recalibration of the networks that made the maps of {method}"
        raise NotReady(file, expected=expected, found="one of other weights", do=found.command())
    if different := artefacts.difference(own, asked):
        how = ("predict as those were, or predict its split again and run ", found.command())
        raise UserError(file, expected="maps made as those that it was fitted on", found=different, do=how)
    return found
