"""`tfunc.metrics` and what else the package offers: found when asked for, equal to the goldens, one line for what is wrong."""

import ast
import doctest
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from conftest import GOLDENS, ROOT

import tfunc
from data_prep.base.errors import UserError
from tfunc import kinds, metrics

CASES = json.loads((GOLDENS / "metrics" / "cases.json").read_text())
PROBABILITIES = [name for name, case in CASES.items() if case["entry"] == "probabilities"]
SUBJECT = GOLDENS / "subject_level"


def given(area):
    return np.load(SUBJECT / area / "given.npz")


def asked(code):
    """What a new process prints."""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not ended.stderr
    return ended.stdout.strip()


def test_importing_loads_nothing():
    """`import tfunc` prints nothing and loads neither NumPy nor TensorFlow; `tfunc.metrics` loads no TensorFlow."""
    heavy = "[name for name in ('numpy', 'scipy', 'tensorflow', 'keras', 'matplotlib') if name in sys.modules]"
    assert asked(f"import sys, tfunc; print({heavy})") == "[]"
    found = asked(f"import sys, tfunc; tfunc.metrics.dice; tfunc.subject_scores; tfunc.temperature; print({heavy})")
    assert set(ast.literal_eval(found)) <= {"numpy", "scipy"}


def test_what_the_package_offers():
    """Every offer is found, listed, and the same each time; another name is an AttributeError as of any module."""
    for name in tfunc.OFFERS:
        assert name in dir(tfunc) and getattr(tfunc, name) is getattr(tfunc, name)
    assert tfunc.metrics is metrics and callable(tfunc.subject_scores) and callable(tfunc.temperature)
    with pytest.raises(AttributeError, match="module 'tfunc' has no attribute 'metricz'"):
        tfunc.metricz  # noqa: B018
    assert all(callable(getattr(metrics, name)) for name in metrics.__all__)


@pytest.mark.parametrize("name", [*metrics.__all__, "subject_scores", "temperature"])
def test_its_example_is_right(name):
    """Each function has an example in its docstring, small enough to be counted by hand, and it says what comes out."""
    function = getattr(metrics, name, None) or getattr(tfunc, name)
    (example,) = doctest.DocTestFinder(recurse=False).find(function, name)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def test_editors_know_what_the_package_offers():
    """The stub names every offer and nothing else, from where it is loaded."""
    stub = ast.parse((pathlib.Path(tfunc.__file__).parent / "__init__.pyi").read_text(encoding="utf-8"))
    named = {}
    for statement in stub.body:
        if isinstance(statement, ast.ImportFrom):
            (alias,) = statement.names
            assert alias.asname == alias.name  # exported, as PEP 484 has it
            module = f"tfunc.{alias.name}" if statement.module == "tfunc" else f"{statement.module}:{alias.name}"
            named[alias.name] = module
    assert named == tfunc.OFFERS


@pytest.mark.parametrize("name", PROBABILITIES)
def test_golden_voxels(name):
    """Dice, ECE with and without the mask, and U-E at each threshold are the reference code's."""
    case = CASES[name]
    arrays = dict(np.load(GOLDENS / "metrics" / f"{case.get('file', name)}.npz"))
    probability = arrays["score"].astype(case["score_dtype"])
    prediction, target, mask = arrays["prediction"], arrays["target"], arrays.get("mask")
    assert metrics.dice(prediction, target) == pytest.approx(case["dice"], rel=1e-9)
    expected = case["ece_nomask_proportion"]
    assert metrics.ece(probability, target) == pytest.approx(expected["ece"], rel=1e-9)
    if mask is not None and "ece_mask_proportion" in case:
        assert metrics.ece(probability, target, mask) == pytest.approx(case["ece_mask_proportion"]["ece"], rel=1e-9)
    found = metrics.reliability(probability, target)
    filled = np.array(expected["bins_non_zero"])
    assert found["count"][filled].tolist() == expected["bins_count"] and not found["count"][~filled].any()
    for entry, peer in (("mean_probability", "avg_confidence"), ("positive_fraction", "positive_fraction")):
        np.testing.assert_allclose(found[entry][filled], expected[f"bins_{peer}"], rtol=1e-9)
    uncertainty = kinds.get("probability").uncertainty_map(probability, None)
    for row in case["thresholds"]:
        overlap = metrics.uncertainty_error(uncertainty, prediction, target, row["threshold"])
        assert (1 if np.isnan(overlap) else overlap) == pytest.approx(row["error_overlap"]["error_dice"], rel=1e-9)


def test_voxels_against_loops():
    """ECE with other bins, and U-E at any threshold, are what plain NumPy gives."""
    rng = np.random.default_rng(9)
    probability = rng.random((5, 6, 7)).astype(np.float32)
    probability[0, 0] = [0, 1, 0.25, 0.5, 0.75, 1, 0]
    label, prediction = rng.random(probability.shape) < probability, probability > 0.5
    bins = np.minimum((probability.astype(float) / (1 + 1e-8) * 4).astype(int), 3)
    expected = sum(abs((probability.astype(float) - label)[bins == index].sum()) for index in range(4)) / label.size
    assert metrics.ece(probability, label, bins=4) == pytest.approx(expected)
    assert metrics.reliability(probability, label, bins=4)["count"].tolist() == np.bincount(bins.reshape(-1)).tolist()
    wrong, uncertain = prediction != label, probability > np.float32(0.37)
    expected = 2 * (wrong & uncertain).sum() / (wrong.sum() + uncertain.sum())
    assert metrics.uncertainty_error(probability, prediction, label, 0.37) == pytest.approx(expected)
    assert np.isnan(metrics.uncertainty_error(probability * 0, label, label, 0.5))
    assert metrics.dice(np.zeros(3), np.zeros(3)) == 1
    assert np.isnan(metrics.ece(probability, label, mask=label & ~label))


def test_golden_surfaces():
    """HD95 and surface Dice of each case, from lists too; a stated penalty where one is empty."""
    golden = given("surface")
    for case in golden["cases"]:
        pair = golden[f"{case}__pred"], golden[f"{case}__ref"]
        spacing = golden[f"{case}__spacing"].tolist()
        found = metrics.hd95(*pair, spacing), metrics.surface_dice(*pair, spacing, 1)
        if pair[0].any() and pair[1].any():
            expected = golden[f"{case}__metricsreloaded_hd95"], golden[f"{case}__deepmind_nsd"][1]
            assert found == pytest.approx(tuple(map(float, expected)), abs=1e-9)
        elif pair[0].any() or pair[1].any():
            assert found == (pytest.approx(np.linalg.norm(np.multiply(pair[0].shape, spacing))), 0)
        else:
            assert found == (0, 1)
    assert metrics.hd95([[0, 1], [0, 0]], [[0, 0], [0, 1]], (2, 1)) == 2


def test_golden_lesions_scores_and_samples():
    """One golden case each through the facade: lesion-wise, QU-BraTS, energy distance, risk and coverage."""
    golden = given("lesionwise")
    masks = [np.isin(golden[f"three_one_fn_one_fp__{name}"], (1, 2, 3)) for name in ("pred", "ref")]
    found = metrics.lesion_wise(*masks, (1, 1, 1), "GLI")
    row = golden["three_one_fn_one_fp__BraTS-GLI"][0]
    counts = [found[name] for name in ("true_positives", "false_positives", "false_negatives")]
    assert [*counts, found["dice"], found["hd95"]] == pytest.approx([*row[:3], *row[-2:]], abs=1e-9)
    assert len(json.loads(json.dumps(found))["lesions"]) == 3  # plain values only
    golden = given("qubrats")
    label, prediction = golden["normal_float__ref"] > 0, golden["normal_float__pred"] > 0
    uncertainty = golden["normal_float__unc_WT"] / np.float32(100)
    found = metrics.qu_brats(uncertainty, prediction, label, golden["normal_float__brain_mask"])
    assert found["score"] == pytest.approx(golden["normal_float__paper_score_n40"][0], abs=1e-6)
    golden = given("ged")
    found = metrics.ged(golden["ged_some_empty__samples"], golden["ged_some_empty__references"])
    assert found == pytest.approx(float(golden["ged_some_empty__ssn_ged"]), abs=1e-9)
    golden = given("risk_coverage")
    case = next(str(name) for name in golden["cases"] if "tie" in str(name))
    found = metrics.risk_coverage(golden[f"{case}__uncertainty"], golden[f"{case}__residuals"])
    assert found["aurc"] == pytest.approx(float(golden[f"{case}__fd_aurc"]), abs=1e-12)
    assert {"aurc", "eaurc", "augrc", "auroc", "spearman", "coverage", "risk"} <= set(found)


def test_volume_difference():
    """In ml and relative, signed: above 0 too much was segmented."""
    label = np.zeros((4, 10, 10))
    label[:2] = 1
    assert metrics.volume_difference(np.ones_like(label), label, (3, 1, 2)) == {"ml": 1.2, "relative": 1}


MASK, OTHER = np.ones((3, 4, 5)), np.ones((3, 4, 1))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: metrics.dice(MASK, OTHER),
        lambda: metrics.dice(MASK, 1),
        lambda: metrics.ece(MASK, OTHER),
        lambda: metrics.ece(MASK, MASK, OTHER),
        lambda: metrics.ece(MASK * 2, MASK),
        lambda: metrics.ece(MASK, MASK, bins=0),
        lambda: metrics.reliability(MASK, OTHER),
        lambda: metrics.uncertainty_error(MASK, MASK, OTHER, 0.5),
        lambda: metrics.uncertainty_error(MASK, MASK, MASK, 50),
        lambda: metrics.hd95(MASK, OTHER, (1, 1, 1)),
        lambda: metrics.hd95(MASK, MASK, (1, 1)),
        lambda: metrics.surface_dice(MASK, OTHER, (1, 1, 1), 1),
        lambda: metrics.surface_dice(MASK, MASK, (1, 1, 1), float("nan")),
        lambda: metrics.volume_difference(MASK, OTHER, (1, 1, 1)),
        lambda: metrics.risk_coverage([1, 2], [1]),
        lambda: metrics.qu_brats(MASK, MASK, OTHER),
        lambda: metrics.lesion_wise(MASK, OTHER, (1, 1, 1)),
        lambda: metrics.lesion_wise(MASK, MASK, (1, 1, 1), "gliomas"),
        lambda: metrics.ged(MASK, OTHER),
        lambda: metrics.dice(MASK * np.nan, MASK),
        lambda: metrics.dice(None, None),
        lambda: metrics.dice(["a"], ["b"]),
        lambda: metrics.hd95(MASK * np.nan, MASK, (1, 1, 1)),
        lambda: metrics.lesion_wise(MASK, MASK * np.nan, (1, 1, 1)),
        lambda: metrics.lesion_wise(MASK, MASK, (1, 1, 1), ["GLI"]),
        lambda: metrics.volume_difference(MASK * np.nan, MASK, (1, 1, 1)),
        lambda: metrics.surface_dice(MASK, MASK, (1, 1, 1), "1"),
        lambda: metrics.surface_dice(MASK, MASK, (1, 1, 1), None),
        lambda: metrics.ece(MASK, None),
        lambda: metrics.ece(MASK, MASK * np.nan),
        lambda: metrics.ece(MASK, MASK, MASK * np.nan),
        lambda: metrics.ece(MASK, MASK, bins=True),
        lambda: metrics.uncertainty_error(MASK, None, MASK, 0.5),
        lambda: metrics.uncertainty_error(MASK, MASK, MASK, "0.5"),
        lambda: metrics.qu_brats(MASK, None, MASK),
        lambda: metrics.qu_brats(MASK, MASK, None),
        lambda: metrics.ged([["a"]], [["a"]]),
        lambda: metrics.ged([MASK], [MASK], classes="2"),
        lambda: metrics.risk_coverage([1, 2], [0, 1], failure="0.3"),
        lambda: metrics.risk_coverage([1, 2], [0, 1], failure=float("nan")),
    ],
)
def test_what_is_wrong_is_said_in_one_line(wrong):
    """Nothing is broadcast and nothing passes silently: a ValueError or UserError of one line."""
    with pytest.raises((ValueError, UserError)) as error:
        wrong()
    assert str(error.value) and "\n" not in str(error.value) and "broadcast" not in str(error.value)


def test_no_risk_at_all_is_zero():
    """An area is never minus zero, which a table would print as -0.0; NumPy's integers are bins, too."""
    found = metrics.risk_coverage([1, 2, 3], [0, 0, 0])
    assert not any(np.signbit(found[name]) for name in ("aurc", "augrc", "eaurc", "oracle"))
    assert metrics.ece(MASK, MASK, bins=np.int64(10)) == 0
