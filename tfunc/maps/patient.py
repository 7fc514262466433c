"""What is said of one patient as a whole: volumes with intervals, uncertainty, the predicted Dice, and whether to look at it.

The same document stands in the JSON beside the maps of `predict --input`, of `request` and in Python's `Maps`. No TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from data_prep import place
from data_prep.tasks import Task
from tfunc import __version__
from tfunc.maps import patient_scores
from tfunc.scoring import classes, triage
from tfunc.scoring.spread import Spread
from tfunc.scoring.triage import Known

MIDDLE = (0.05, 0.95)  # of the samples' volumes
OF_SAMPLES = "the middle nine tenths of the samples; no guarantee"
Volumes = dict[str, dict[str, Any]]


def volumes(
    subject: patient_scores.Lying, written: np.ndarray, task: Task, spreads: Mapping[str, Spread] | None
) -> tuple[Volumes, dict[str, int]]:
    """({region: volume, low, high, unit, interval, covers}, {region: voxels}) of a segmentation as it is written.

    In ml, of a photograph in pixels. low, high: of the samples' volumes, None of a method without. covers: None, since they
    promise nothing; a recalibration's do (`recalibrated.Applied.volumes`).
    """
    voxel, unit = 1.0, str(task.unit)
    if subject.header is not None:
        voxel, unit = place.voxel_ml(place.of_block(subject.header, subject.source)), "ml"
    index, found, counts = task.class_of(written, subject.source), {}, {}
    for region in task.regions:
        counts[region.name] = count = int(classes.among(index, region).sum())
        drawn = (spreads or {}).get(region.name)
        low, high = (None, None) if drawn is None else (np.quantile(drawn.volumes, MIDDLE) * voxel).tolist()
        interval = None if drawn is None else OF_SAMPLES
        found[region.name] = {
            "volume": count * voxel, "low": low, "high": high, "unit": unit, "interval": interval, "covers": None,
        }  # fmt: skip
    return found, counts


def document(
    subject: patient_scores.Lying,
    maps: Mapping[str, Any],
    task: Task,
    scores: patient_scores.Scores | None,
    spreads: Mapping[str, Spread] | None = None,
    certified: Volumes | None = None,
    known: Known | None = None,
) -> dict[str, Any]:
    """The entries `volumes`, `uncertainty_inside`, `predicted_dice`, `review`, each by region; plain JSON.

    `judged_by` is a digest of what was known, `tfunc` our version.

    maps: as they are written. certified: volumes with a recalibration's intervals, in place of the samples'. known: None
    where no evaluation is at hand.
    """
    written, counts = volumes(subject, maps["prediction"], task, spreads)
    for name, one in (certified or {}).items():
        written[name] |= {**one, "interval": "recalibrated"}
    index, known = task.class_of(maps["prediction"], subject.source), known or Known()
    means: dict[str, float | None] = {}
    dice: dict[str, Any] = {}
    reviews: dict[str, Any] = {}
    for region in task.regions:
        inside = classes.among(index, region)
        means[region.name] = float(maps["uncertainty"][inside].mean(dtype=np.float64)) if inside.any() else None
        own = None if scores is None else scores[region.name]
        judged = triage.judge(known, region.name, own, counts[region.name])
        dice[region.name] = None
        if judged.predicted is not None:
            dice[region.name] = {
                "value": judged.predicted, "low": judged.low, "high": judged.high,
                "covers": judged.coverage, "fitted_on": f"{judged.subjects} validation subjects",
            }  # fmt: skip
        reviews[region.name] = {"wanted": judged.wanted, "why": judged.why}
    return {
        "volumes": written, "uncertainty_inside": means, "predicted_dice": dice, "review": reviews,
        "judged_by": triage.digest(known), "tfunc": __version__,
    }  # fmt: skip


def line(found: Mapping[str, Any]) -> str:
    """What is printed of a patient: of each region its volume, uncertainty and predicted Dice, and whether to look at it."""
    several = len(found["volumes"]) > 1
    return "; ".join(f"{name} " * several + _of_region(found, name, several) for name in found["volumes"])


def _of_region(found, name, several):
    volume, mean, dice = found["volumes"][name], found["uncertainty_inside"][name], found["predicted_dice"][name]
    said = [f"{volume['volume']:.4g} {volume['unit']}{_between(volume)}"]
    if mean is not None:
        said.append(f"uncertainty {mean:.3f}")
    if dice is not None:
        between = "" if dice["low"] is None else f" ({dice['low']:.2f} to {dice['high']:.2f})"
        said.append(f"predicted Dice {dice['value']:.2f}{between}")
    wanted, why = found["review"][name]["wanted"], found["review"][name]["why"]
    said.append(f"review: {('yes, ' + why if wanted else 'no') if wanted is not None else 'not known, ' + why}")
    return ", ".join(said)


def _between(volume):
    if volume["low"] is None:
        return ""
    high = "any" if volume["high"] is None else f"{volume['high']:.4g}"
    if volume["covers"] is None:
        return f" (samples {volume['low']:.4g} to {high})"
    doubt = ", approximately" if volume.get("approximate") else ""
    return f" ({volume['low']:.4g} to {high} in {volume['covers']:.0%} of patients{doubt})"
