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
    known, unit, voxel = known or Known(), str(task.unit), 1.0
    if subject.header is not None:
        unit, voxel = "ml", place.voxel_ml(place.of_block(subject.header, subject.source))
    index = task.class_of(maps["prediction"], subject.source)
    written: Volumes = {}
    means: dict[str, float | None] = {}
    dice: dict[str, Any] = {}
    reviews: dict[str, Any] = {}
    for region in task.regions:
        name, inside = region.name, classes.among(index, region)
        count = int(inside.sum())
        written[name] = _volume(count * voxel, unit, voxel, (spreads or {}).get(name), (certified or {}).get(name))
        means[name] = float(maps["uncertainty"][inside].mean(dtype=np.float64)) if count else None
        judged = triage.judge(known, name, None if scores is None else scores.get(name), count)
        dice[name] = None
        if judged.predicted is not None:
            dice[name] = {
                "value": judged.predicted, "low": judged.low, "high": judged.high,
                "covers": judged.coverage, "fitted_on": f"{judged.subjects} validation subjects",
            }  # fmt: skip
        reviews[name] = {"wanted": judged.wanted, "why": judged.why}
    return {
        "volumes": written, "uncertainty_inside": means, "predicted_dice": dice, "review": reviews,
        "judged_by": triage.digest(known), "tfunc": __version__,
    }  # fmt: skip


def _volume(volume, unit, voxel, drawn, certified):
    """A region's volume, low, high, unit, interval and covers: with a recalibration's interval, else the samples', else none.

    covers is None of the samples', which promise nothing.
    """
    if certified is not None:
        return {**certified, "interval": "recalibrated"}
    low, high = (None, None) if drawn is None else (np.quantile(drawn.volumes, MIDDLE) * voxel).tolist()
    interval = None if drawn is None else OF_SAMPLES
    return {"volume": volume, "low": low, "high": high, "unit": unit, "interval": interval, "covers": None}


def line(found: Mapping[str, Any]) -> str:
    """What is printed of a patient: of each region its volume, uncertainty and predicted Dice, and whether to look at it.

    found: a `document`, or that of an earlier version, which had none of it.
    """
    if "review" not in found:
        return "of an earlier version, which says no more"
    several = len(found["volumes"]) > 1
    return "; ".join(f"{name} " * several + _of_region(found, name) for name in found["volumes"])


def _of_region(found, name):
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
