"""Companions of Dice and scores of each subject in subjects.csv: what the functions give of the files, in mm and ml."""

import numpy as np
import pytest
from made_up_maps import evaluate_study, make_study, read_csv, undrawn

from data_prep.readers.nifti import Space
from tfunc import kinds
from tfunc.scoring import aggregate, companions, findings, qu_brats, surface
from tfunc.scoring.spread import Spread

AFFINE = np.diag([0.5, 2.0, 3.0, 1.0])  # x, y, z


def found(kind="probability", affine=AFFINE, counted=None, depth=4, mask=None, **more):
    rng = np.random.default_rng(0)
    score = rng.random((depth, 12, 10)).astype(np.float32) ** 3
    prediction, label = score > 0.5, rng.random(score.shape) > 0.7
    if counted is not None:
        label &= counted
    region = findings.Region(label, mask, Space("p1", score.shape, affine), counted)
    return score, prediction, label, findings.find(score, kind, prediction, region, **more)


def test_a_volume():
    """Distances and volumes by the axes' spacings in array order; scores of the entropy and the probability."""
    score, prediction, label, one = found()
    assert one.companions["hd95"] == pytest.approx(surface.hd95(prediction, label, (3.0, 2.0, 0.5)))
    assert one.companions["volume"] == pytest.approx(np.count_nonzero(prediction) * 3 / 1000)
    assert one.companions["volume_difference"] == pytest.approx(
        (np.count_nonzero(prediction) - np.count_nonzero(label)) * 3 / 1000
    )
    assert one.companions["expected_volume"] == pytest.approx(score.sum(dtype=np.float64) * 3 / 1000)
    expected = aggregate.subject_scores(np.clip(kinds.normalised_entropy(score), 0, 1), score, prediction)
    assert {name: one.scores[name] for name in expected} == pytest.approx(expected)
    assert np.isnan(one.scores["pairwise_dice"]) and list(one.scores) == list(aggregate.AGGREGATORS)
    assert list(one.companions) == list(companions.COMPANIONS)


def test_an_error_probability():
    """Its uncertainty is on the subject's own range, its probability 1 - u/2 in the segmentation and u/2 outside."""
    score, prediction, _, one = found("error")
    u = kinds.rescaled(score, score.min(), score.max())
    p = np.where(prediction, 1 - u / 2, u / 2)
    expected = aggregate.subject_scores(u, p, prediction)
    assert {name: one.scores[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_one_slice_is_a_plane():
    """Windows, borders and surfaces of a photograph lie in its plane, in pixels; of a slice of a volume, its volume is in ml."""
    score, prediction, label, one = found(affine=None, depth=1)
    assert one.companions["hd95"] == pytest.approx(surface.hd95(prediction[0], label[0], (1, 1)))
    assert one.companions["volume"] == np.count_nonzero(prediction)
    plane = aggregate.subject_scores(np.clip(kinds.normalised_entropy(score[0]), 0, 1), score[0], prediction[0])
    assert one.scores["mean_core"] == pytest.approx(plane["mean_core"])
    of_volume = found(depth=1)[-1]
    assert of_volume.companions["volume"] == pytest.approx(np.count_nonzero(prediction) * 3 / 1000)


def test_samples_and_what_does_not_count():
    """Samples' spread gives its two scores; voxels that count nowhere are background that the map is sure of."""
    samples = Spread(np.array([10.0, 14.0]), 0.8)
    assert found(samples=samples)[-1].scores["pairwise_dice"] == pytest.approx(0.2)
    assert found(samples=samples)[-1].scores["volume_variation"] == pytest.approx(samples.variation)
    counted = np.ones((4, 12, 10), bool)
    counted[2:] = False
    score, prediction, _, one = found(counted=counted)
    u = np.clip(kinds.normalised_entropy(score), 0, 1)
    assert one.scores["mean_all"] == pytest.approx(u[:2].sum(dtype=np.float64) / u.size)
    assert one.companions["volume"] == pytest.approx(np.count_nonzero(prediction[:2]) * 3 / 1000)


@pytest.mark.parametrize("counts", [(False, False), (True, False), (False, True), (True, True)])
def test_qu_brats(counts, monkeypatch):
    """The challenge's score and areas of the map's entropy, shares of what is inside the mask and counts; reckoned once."""
    rng = np.random.default_rng(1)
    mask, counted = (
        given if asked else None for given, asked in zip(rng.random((2, 4, 12, 10)) > 0.3, counts, strict=True)
    )
    calls, function = [], qu_brats.qu_brats
    monkeypatch.setattr(qu_brats, "qu_brats", lambda *given: calls.append(given) or function(*given))
    score, prediction, label, one = found(mask=None if mask is None else mask.astype(np.uint8), counted=counted)
    everywhere = np.ones(score.shape, bool)
    inside, counting = (everywhere if given is None else given for given in (mask, counted))
    u = np.where(counting, np.clip(kinds.normalised_entropy(score), 0, 1), 0)
    expected = function(u, prediction & counting, label, inside & counting)
    assert len(calls) == 1
    for name, key in (("brats", "score"), ("dice_auc", "dice_auc"), ("ftp_auc", "ftp_auc"), ("ftn_auc", "ftn_auc")):
        assert one.companions[f"qu_{name}"] == pytest.approx(expected[key], abs=1e-12)
    assert 0 < one.companions["qu_ftn_auc"] < 1


def test_an_empty_mask_has_the_penalty():
    """Label without segmentation: the distance is the diagonal and is marked; both empty: 0, and not."""
    shape = (4, 5, 6)
    empty, some = np.zeros(shape, np.float32), np.zeros(shape, bool)
    some[1:3, 2, 2] = True
    space = Space("p1", shape, AFFINE)
    one = findings.find(empty, "probability", empty, findings.Region(some, None, space))
    assert one.has_penalty and one.companions["hd95"] > 10 and one.companions["surface_dice"] == 0
    both = findings.find(empty, "probability", empty, findings.Region(~some & some, None, space))
    assert not both.has_penalty and both.companions["hd95"] == 0 and both.companions["surface_dice"] == 1
    without = findings.find(empty, "probability", empty, findings.Region(some, None, space, surfaces=False))
    assert np.isnan(without.companions["hd95"]) and without.companions["true_volume"] > 0


def test_columns_of_subjects(tmp_path, monkeypatch):
    """subjects.csv has a column for each, with the numbers of the subject's own files."""
    undrawn(monkeypatch)
    arrays = make_study(tmp_path)
    rows = read_csv(evaluate_study(tmp_path).folder / "subjects.csv")
    for row, given in zip(rows, arrays.values(), strict=True):
        for name in ("mean_inside", "top", "expected_dice"):
            u = np.clip(kinds.normalised_entropy(given["probability"]), 0, 1)
            expected = aggregate.subject_scores(u, given["probability"], given["prediction"])[name]
            assert float(row[f"score_{name}"]) == pytest.approx(expected)
        assert row["score_pairwise_dice"] == "" and float(row["hd95"]) >= 0
