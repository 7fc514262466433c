"""What is said of one patient as a whole: the same in predict's JSON, on its line, in Python, and by a server."""

import dataclasses
import json

import msgspec
import numpy as np
import pytest

from data_prep import tasks
from data_prep.readers import nifti_header
from tfunc import kinds
from tfunc.maps import patient, patient_scores
from tfunc.scoring.spread import Spread
from tfunc.scoring.triage import Fit, Known
from tfunc.serving import described
from tfunc.serving.description import Description

TASK = tasks.TASKS["brats"]
SHAPE = (4, 6, 5)
LINE = Fit(
    score="mean_inside", names=("mean_inside",), mean=(0.0,), scale=(1.0,), weights=(-0.5,), intercept=1.0, highest=0.9,
    dice_width=0.1, coverage=0.9, subjects=12,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Lying:
    header: bytes | None
    source: str = "P1"


def made(rng):
    """A subject with voxels of 1 mm^3 and maps of it."""
    probability = rng.random(SHAPE, np.float32)
    prediction = (probability > 0.5).astype(np.uint8)
    uncertainty = kinds.normalised_entropy(probability).astype(np.float32)
    maps = {"probability": probability, "prediction": prediction, "uncertainty": uncertainty}
    return Lying(nifti_header.plain(SHAPE[::-1]).binaryblock), maps


def test_the_document_and_its_line():
    """Volumes in ml with the samples' interval, the uncertainty inside, the Dice of the line through the score, and why."""
    subject, maps = made(np.random.default_rng(1))
    spreads = {"whole": Spread(np.arange(40.0, 61.0), 0.8)}
    scores = patient_scores.of_maps("probability", subject, maps, TASK, spreads)
    found = patient.document(subject, maps, TASK, scores, spreads, known=Known(fits={"whole": LINE}, failure=0.9))
    inside = maps["prediction"] == 1
    volume, dice = found["volumes"]["whole"], found["predicted_dice"]["whole"]
    assert (
        volume["volume"] == pytest.approx(inside.sum() / 1000) and volume["unit"] == "ml" and volume["covers"] is None
    )
    assert (volume["low"], volume["high"]) == pytest.approx((0.041, 0.059))  # 5 % and 95 % of 40, 41, ..., 60
    mean = float(maps["uncertainty"][inside].mean(dtype=float))
    assert found["uncertainty_inside"]["whole"] == pytest.approx(mean)
    assert dice["value"] == pytest.approx(1 - 0.5 * scores["whole"]["mean_inside"]) and dice["fitted_on"].startswith(
        "12 "
    )
    assert found["review"]["whole"] == {"wanted": True, "why": "its predicted Dice is below 0.9"}
    line = patient.line(found)
    assert (
        f"uncertainty {mean:.3f}" in line
        and "(samples 0.041 to 0.059)" in line
        and "review: yes, its predicted Dice" in line
    )
    json.dumps(found, allow_nan=False)
    few = msgspec.structs.replace(LINE, dice_width=None)  # too few subjects for an interval
    found = patient.document(subject, maps, TASK, scores, spreads, known=Known(fits={"whole": few}))
    assert found["predicted_dice"]["whole"]["low"] is found["predicted_dice"]["whole"]["covers"] is None
    assert f"predicted Dice {dice['value']:.2f}, review: " in patient.line(found)


def test_nothing_segmented_and_a_recalibrations_interval():
    """An empty segmentation is flagged without any fit; an interval that promises something takes the samples' place."""
    subject, maps = made(np.random.default_rng(2))
    empty = {**maps, "prediction": np.zeros(SHAPE, np.uint8)}
    found = patient.document(subject, empty, TASK, None)
    assert found["review"]["whole"] == {"wanted": True, "why": "nothing was segmented"}
    assert found["uncertainty_inside"]["whole"] is None and found["predicted_dice"]["whole"] is None
    certified = {"whole": {"volume": 1.0, "low": 0.5, "high": None, "unit": "ml", "covers": 0.9}}
    found = patient.document(subject, maps, TASK, None, {"whole": Spread(np.arange(1.0, 4.0), 0.8)}, certified)
    assert found["volumes"]["whole"]["interval"] == "recalibrated"
    assert "1 ml (0.5 to any in 90% of patients)" in patient.line(found)


def test_a_server_says_what_the_run_knew():
    """The fits and what headers say travel in the description of an export, and come out of it as they went in."""
    known = Known(fits={"whole": LINE}, failure=0.6)
    told = Description(TASK, kinds.get("probability"), False, 0, None, 4, known=known, made_by="tfunc 1, m, networks 0")
    texts = told.texts()

    class Server:
        name, model = "http://host", "m"

        def describe(self):
            return 1, {"describe": {}}

        def predict(self, signature, inputs):
            return {name: [text] for name, text in texts.items()}

    found = described.served(Server())
    assert (found.kind, found.known, found.made_by) == ("probability", known, "tfunc 1, m, networks 0")
    del texts["description"]  # of an earlier version
    assert (described.served(Server()).kind, described.served(Server()).known) == ("", None)
