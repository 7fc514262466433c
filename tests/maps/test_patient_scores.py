"""The scores of a new patient, as `predict --input` prints and writes them."""

import numpy as np
import pytest

from data_prep.base import artefacts
from data_prep.readers import nifti
from tfunc import methods
from tfunc.maps import unprepared
from tfunc.maps.options import Options
from tfunc.scoring import aggregate, spread
from tfunc.scoring.aggregate import AGGREGATORS


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
