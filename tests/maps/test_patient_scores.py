"""The scores of a new patient, as `predict --input` prints and writes them."""

import shutil

import numpy as np
import pytest

from data_prep.base import artefacts
from data_prep.readers import nifti
from tfunc import methods, runs
from tfunc.maps import unprepared
from tfunc.maps.options import Options
from tfunc.scoring import aggregate, recalibration, spread, triage
from tfunc.scoring.aggregate import AGGREGATORS


@pytest.mark.long
@pytest.mark.parametrize("method", ["baseline", "baseline_mc", "aleatoric"])
def test_a_new_patient_has_them(brats_run, brats_raw, tmp_path, method):
    """In its JSON by region and in a line: those of the written maps, with its samples'; a sigma by itself has none."""
    folder = sorted(path for path in brats_raw.glob("*/*") if path.is_dir())[0]
    said: list[str] = []
    options = Options(samples=3, seed=20)
    where = methods.get(method), "brats", folder, brats_run, tmp_path, options
    ((subject, _),) = unprepared.predict_inputs(*where, say=said.append)
    stored = artefacts.read_json(tmp_path / f"{subject.name}.json")["scores"]
    if method == "aleatoric":
        said = artefacts.read_json(tmp_path / f"{subject.name}.json")["review"]["whole"]
        assert stored is None and said == {
            "wanted": None,
            "why": "one subject by itself has no score of this uncertainty",
        }
        return
    (scores,) = stored.values()
    assert list(scores) == list(AGGREGATORS)
    maps = {
        name: nifti.read_map(tmp_path / f"{subject.name}_{name}.nii.gz")[0] for name in ("probability", "prediction")
    }
    u = np.clip(aggregate_entropy(maps["probability"]), 0, 1)
    expected = aggregate.subject_scores(u, maps["probability"], maps["prediction"])
    assert {name: scores[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    drawn = spread.read(tmp_path, subject.name)
    if method == "baseline":
        assert drawn is None and scores["pairwise_dice"] is None
    else:
        (only,) = drawn.values()
        assert scores["pairwise_dice"] == pytest.approx(1 - only.pairwise_dice)


def aggregate_entropy(probability):
    """Binary entropy over log 2, as it is written down."""
    p = np.asarray(probability, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log2(p), 0) + np.where(p < 1, (1 - p) * np.log2(1 - p), 0)
    return -terms


def test_maps_that_are_there_are_judged_by_a_new_evaluation(brats_run, brats_raw, tmp_path):
    """And get what an earlier version did not say; the maps stay as they are."""
    run, folder = (
        shutil.copytree(brats_run, tmp_path / "run"),
        sorted(path for path in brats_raw.glob("*/*") if path.is_dir())[0],
    )
    where = methods.get("baseline"), "brats", folder, run, tmp_path / "maps", Options()
    ((subject, _),) = unprepared.predict_inputs(*where, say=lambda line: None)
    index = tmp_path / "maps" / f"{subject.name}.json"
    first = artefacts.read_json(index)
    assert first["predicted_dice"] == {"whole": None}
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "maps").glob("*.nii.gz")}
    line = triage.Fit(
        score="mean_inside", names=("mean_inside",), mean=(0.0,), scale=(1.0,), weights=(-0.5,), intercept=1.0,
        highest=1.0, dice_width=0.1, coverage=0.9, subjects=12,
    )  # fmt: skip
    made_by = recalibration.made_by(first)
    fits = triage.Fits(failure=0.7, methods={"baseline": triage.OfMethod(made_by=made_by, regions={"whole": line})})
    triage.write(runs.evaluation_dir(run), fits)
    for stored in (first, {name: value for name, value in first.items() if name not in ("review", "judged_by")}):
        artefacts.write_document(index, stored)
        ((_, maps),) = unprepared.predict_inputs(*where, say=lambda line: None)
        again = artefacts.read_json(index)
        assert maps is None and again["files"] == first["files"] and again["volumes"] == first["volumes"]
        assert again["predicted_dice"]["whole"]["value"] == pytest.approx(
            1 - again["scores"]["whole"]["mean_inside"] / 2
        )
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "maps").glob("*.nii.gz")}
