"""Maps and labels of anyone: how they are found, what they are, and every refusal."""

import json

import numpy as np
import pytest
from made_up_maps import AFFINE, evaluate_study, make_study, undrawn, write

from data_prep.base.errors import UserError
from tfunc.scoring import sources


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    undrawn(monkeypatch)


def test_kind_against_predictions_json(tmp_path):
    """--kind may repeat what predictions.json says; another one is refused, not dropped."""
    make_study(tmp_path)
    index = {"kind": "error", "subjects": ["case_0", "case_1", "case_2"]}
    for written in ("error", "confidence"):  # what it was called before
        (tmp_path / "maps" / "predictions.json").write_text(json.dumps({**index, "kind": written}))
        for asked in (None, "error", "confidence"):
            assert [maps.kind for maps in sources.folder_maps(tmp_path / "maps", asked)] == ["error"]
        with pytest.raises(UserError, match=r"predictions\.json: expected --kind=sigma, found maps of kind error"):
            sources.folder_maps(tmp_path / "maps", "sigma")
    (tmp_path / "maps" / "predictions.json").write_text(json.dumps({**index, "kind": "doubt"}))
    with pytest.raises(
        UserError, match=r"predictions\.json: expected a kind of probability, error, sigma, found 'doubt'"
    ):
        sources.folder_maps(tmp_path / "maps")


def test_probability_without_a_segmentation(tmp_path):
    """Without _prediction the segmentation is probability > 0.5; an uncertainty map needs one."""
    make_study(tmp_path)
    before = evaluate_study(tmp_path).summary["methods"]["maps"]["table1"]
    for path in (tmp_path / "maps").glob("*_prediction.nii.gz"):
        path.unlink()
    (tmp_path / "out" / "summary.json").unlink()
    assert evaluate_study(tmp_path).summary["methods"]["maps"]["table1"] == before
    (tmp_path / "out" / "summary.json").unlink()
    with pytest.raises(UserError, match="the segmentation of case_0, which an uncertainty map needs"):
        evaluate_study(tmp_path, "error")


def broken(tmp_path, kind, breaking, message, error=UserError):
    make_study(tmp_path)
    breaking(tmp_path)
    with pytest.raises(error, match=message):
        evaluate_study(tmp_path, kind)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "path", "array", "message"),
    [
        ("probability", "maps/case_1_probability.nii.gz", np.full((4, 9, 7), 1.5), r"case_1_prob.*\[0, 1\]"),
        ("probability", "maps/case_1_probability.nii.gz", np.full((4, 9, 7), np.nan), "case_1_prob.*NaN"),
        ("error", "maps/case_1_uncertainty.nii.gz", np.full((4, 9, 7), 0.2), "case_1_unc.*one value everywhere"),
        ("sigma", "maps/case_1_uncertainty.nii.gz", np.full((4, 9, 7), np.inf), "case_1_unc.*infinite"),
        ("probability", "maps/case_1_probability.nii.gz", np.zeros((4, 9, 8)), "7x9x4, found 8x9x4"),
        ("probability", "maps/case_1_prediction.nii.gz", np.zeros((4, 9, 8)), "7x9x4, found 8x9x4"),
        ("probability", "maps/case_1_prediction.nii.gz", np.full((4, 9, 7), 0.4), "whole numbers as labels, found 0.4"),
        ("probability", "masks/case_1.nii.gz", np.zeros((4, 9, 8)), "7x9x4, found 8x9x4"),
        ("probability", "labels/case_1_seg.nii.gz", np.full((4, 9, 7), -1.0), "whole numbers.*-1"),
    ],
)
def test_bad_maps(tmp_path, kind, path, array, message):
    """Values, shapes and labels that can't be scored name the file; nothing is written."""
    broken(tmp_path, kind, lambda folder: write(folder / path, array), message)


def test_other_space(tmp_path):
    """A map elsewhere in the patient is refused; a shift below a thousandth is not."""
    near, far = AFFINE.copy(), AFFINE.copy()
    near[0, 3] += 5e-4
    far[0, 3] += 0.1
    arrays = make_study(tmp_path / "near")
    write(tmp_path / "near" / "maps" / "case_1_probability.nii.gz", arrays["case_1"]["probability"], near)
    assert evaluate_study(tmp_path / "near").fresh
    message = r"case_1_probability\.nii\.gz: expected the affine of .*case_1_seg"
    moved = lambda f: write(f / "maps" / "case_1_probability.nii.gz", arrays["case_1"]["probability"], far)  # noqa: E731
    broken(tmp_path / "far", "probability", moved, message)


def test_missing_and_double_files(tmp_path):
    """A missing label is named, two labels are refused, a truncated map is named."""
    label = "labels/case_2_seg.nii.gz"
    broken(tmp_path / "a", "probability", lambda f: (f / label).unlink(), "case_2.*one label of case_2.*no such file")
    double = lambda f: write(f / "labels" / "case_2.nii.gz", np.zeros((4, 9, 7), np.uint8))  # noqa: E731
    broken(tmp_path / "b", "probability", double, "found case_2.nii.gz and case_2_seg.nii.gz")

    def truncate(folder):
        path = folder / "maps" / "case_2_probability.nii.gz"
        path.write_bytes(path.read_bytes()[:-40])

    broken(tmp_path / "c", "probability", truncate, "case_2_probability")


def test_finding_methods(tmp_path):
    """A folder is one method or a folder of them; its kind comes from predictions.json, then --kind, then its name."""
    make_study(tmp_path)
    with pytest.raises(UserError, match="add --kind"):
        sources.folder_maps(tmp_path / "maps")
    (tmp_path / "methods").mkdir()
    (tmp_path / "maps").rename(tmp_path / "methods" / "aleatoric")
    assert [maps.kind for maps in sources.folder_maps(tmp_path / "methods")] == ["sigma"]
    assert [maps.kind for maps in sources.folder_maps(tmp_path / "methods", "error")] == ["error"]
    for path in (tmp_path / "methods" / "aleatoric").glob("*_probability.nii.gz"):
        path.unlink()
    assert [maps.kind for maps in sources.folder_maps(tmp_path / "methods", "probability")] == ["sigma"]
    for folder in ("empty", "absent"):
        if folder == "empty":
            (tmp_path / folder).mkdir()
        with pytest.raises(UserError, match=folder):
            sources.folder_maps(tmp_path / folder, "probability")
