"""The lesions of an evaluation in its files: every one that is listed, and how many are not."""

import numpy as np
import pytest
from made_up_classes import evaluate_classes, make_classes
from made_up_maps import evaluate_study, make_study, read_csv, undrawn, write
from scipy import ndimage

from data_prep.readers.nifti import Space
from tfunc import kinds
from tfunc.reporting import lesion_figures, lesion_files
from tfunc.reporting.parts import Part
from tfunc.scoring import findings, lesion_curves, lesions
from tfunc.scoring.evaluate import Evaluated


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    undrawn(monkeypatch)


def test_a_row_for_each(tmp_path):
    """As many rows as SciPy finds components, with their voxels, their volume in ml, centre and mean uncertainty."""
    arrays = make_study(tmp_path)
    rows = read_csv(evaluate_study(tmp_path).folder / "lesions.csv")
    for subject, given in arrays.items():
        u = np.clip(kinds.normalised_entropy(given["probability"]), 0, 1)
        for source in ("prediction", "label"):
            own = [row for row in rows if row["subject"] == subject and row["source"] == source]
            index, count = ndimage.label(given[source], np.ones((3, 3, 3)))
            assert [int(row["number"]) for row in own] == list(range(1, count + 1))
            for number, row in enumerate(own, 1):
                part = index == number
                assert int(row["voxels"]) == part.sum() and row["lesions"] == "1"
                assert float(row["volume"]) == pytest.approx(part.sum() * 2 * 1.01 / 1000)
                centre = [float(row[f"centre_{axis}"]) for axis in ("depth", "height", "width")]
                np.testing.assert_allclose(centre, np.argwhere(part).mean(axis=0))
                assert float(row["uncertainty"]) == pytest.approx(u[part].mean())
                assert row["outcome"] in (("tp", "fp") if source == "prediction" else ("tp", "fn"))


def test_what_is_not_listed_is_counted(tmp_path, monkeypatch):
    """Of a prediction of many lesions the largest have rows, and one row says how many more there are; the label's have all."""
    arrays = make_study(tmp_path)
    dots = np.zeros((4, 9, 7), np.uint8)
    dots[0, ::2, ::2] = dots[2, 0, 0] = dots[3, 0, 0] = dots[2, 4, :3] = 1
    for subject in arrays:
        write(tmp_path / "maps" / f"{subject}_prediction.nii.gz", dots)
        write(tmp_path / "labels" / f"{subject}_seg.nii.gz", dots)
    function = lesions.listed
    monkeypatch.setattr(lesions, "listed", lambda found: function(found, most=3))
    rows = read_csv(evaluate_study(tmp_path).folder / "lesions.csv")
    for subject in arrays:
        of = {
            source: [row for row in rows if row["subject"] == subject and row["source"] == source]
            for source in ("prediction", "label", "unlisted")
        }
        assert [int(row["voxels"]) for row in of["prediction"]] == [1, 2, 3]  # in the order of their first voxels
        assert len(of["label"]) == 22
        (rest,) = of["unlisted"]
        assert (rest["lesions"], rest["voxels"]) == ("19", "19") and float(rest["volume"]) == pytest.approx(
            19 * 2.02e-3
        )
        assert rest["outcome"] == rest["number"] == rest["dice"] == ""


def test_the_largest_are_listed():
    """By voxels, of equals the first, in their order; nothing is left out of few."""
    prediction = np.array([[1, 0, 1, 1, 0, 1, 0, 1, 1, 1]])
    found = lesions.lesions(prediction, prediction, np.zeros((1, 10)), (1, 1))
    kept, rest = lesions.listed(found, most=2)
    assert [one.number for one in kept if one.source == "prediction"] == [2, 4] and rest == lesions.Rest(2, 2)
    assert [one.number for one in kept if one.source == "label"] == [1, 2, 3, 4]
    assert lesions.listed(found) == (found, lesions.Rest())
    assert [one.number for one in lesions.listed(found, most=3)[0]][:3] == [1, 2, 4]


def test_of_regions(tmp_path):
    """Each region has its rows and a column that names it; their mean and the class map have none."""
    make_classes(tmp_path)
    rows = read_csv(evaluate_classes(tmp_path).folder / "lesions.csv")
    assert {row["region"] for row in rows} == {"whole", "core", "three"}
    assert list(rows[0])[-1] == "region" and list(rows[0])[:-1] == list(lesion_files.LESIONS)


def test_a_photograph_is_one_slice():
    """Its lesions lie in slice 0 and their volume is in pixels; of a volume it is in ml."""
    label = np.zeros((1, 4, 5), bool)
    label[0, 1:3, 2] = True
    region = findings.Region(label, None, Space("p", label.shape, None))
    one = findings.find(label.astype(np.float32), "probability", label, region)
    (row, _) = lesion_files.rows(one)
    assert row[:8] == ["prediction", "1", "1", "2", "2.0", "0.0", "1.5", "2.0"]
    assert np.isnan(one.companions["lesion_dice"]) and one.companions["lesion_f1"] == 1
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    region = findings.Region(label.repeat(2, axis=0), None, Space("p", (2, 4, 5), affine))
    one = findings.find(region.label.astype(np.float32), "probability", region.label, region)
    assert next(lesion_files.rows(one))[4] == "0.024" and one.companions["lesion_dice"] == 1
    assert findings.mean([one, one]).lesions == () and findings.mean([one, one]).tally is None


def study_of(masks, folder):
    """Evaluates predictions and labels {subject: (prediction, label, probability)} of volumes."""
    for name, (prediction, label, probability) in masks.items():
        write(folder / "labels" / f"{name}_seg.nii.gz", label)
        write(folder / "masks" / f"{name}.nii.gz", np.ones_like(label))
        write(folder / "maps" / f"{name}_prediction.nii.gz", prediction)
        write(folder / "maps" / f"{name}_probability.nii.gz", probability)
    return evaluate_study(folder).folder


def two_subjects():
    """One found surely, one false and less sure, one missed."""
    label, prediction, probability = np.zeros((3, 2, 9, 9), np.float32)
    label[:, 1:3, 1:3] = label[:, 6:8, 6:8] = 1
    prediction[:, 1:3, 1:3] = prediction[:, 6:8, 1:3] = 1
    probability[:, 1:3, 1:3], probability[:, 6:8, 1:3] = 0.99, 0.7
    one = prediction.astype(np.uint8), label.astype(np.uint8), probability
    return {"case_0": one, "case_1": (one[1], one[1], label * 0.9)}


def test_curves(tmp_path):
    """Detection by both rules and the F1 over the set, in the file and in the picture, whose last points are marked."""
    rows = read_csv(study_of(two_subjects(), tmp_path) / "lesion_curves.csv")
    for curve in ("match", "touch"):
        found = [[row[name] for name in lesion_files.CURVES[3:7]] for row in rows if row["curve"] == curve]
        assert found == [["1", "0.25", "0.0", "0.0"], ["3", "0.75", "0.0", "0.0"], ["4", "0.75", "0.5", "0.25"]]
    f1 = [(float(row["at"]), float(row["f1"])) for row in rows if row["curve"] == "f1"]
    assert len(f1) == 400 and f1[0] == (0, 1) and f1[-1] == (1, (0.5 + 1) / 2)


def test_the_picture(tmp_path):
    """Each method has its line in each panel and its mark at all of its lesions; both forms are written."""
    tallies = [lesion_curves.Tally.of(lesions.lesions(*one, (1, 1, 1))) for one in two_subjects().values()]
    found = {"baseline": lesion_curves.curves(tallies), "ours": lesion_curves.curves(tallies[:1])}
    figure = lesion_figures.lesions_figure(found, "core")
    touch, match, kept = figure.axes
    assert [len(axes.lines) for axes in figure.axes] == [4, 4, 2]
    np.testing.assert_allclose(touch.lines[0].get_xydata()[-1], [0.5, 0.75])
    np.testing.assert_allclose(match.lines[3].get_xydata(), [[1, 0.5]])
    assert "core" in touch.get_title(loc="left") and len(kept.lines[0].get_xdata()) == 400


def test_a_label_without_a_lesion(tmp_path, capsys, monkeypatch):
    """Nothing to find: no curve, no picture, and a line that says so."""
    nothing = {name: (one, 0 * two, three) for name, (one, two, three) in two_subjects().items()}
    folder = study_of(nothing, tmp_path)
    assert read_csv(folder / "lesion_curves.csv") == [] and len(read_csv(folder / "lesions.csv")) > 0
    part = Part("", "", "", Evaluated((), {}, {}, findings={"m": {"s": findings.Findings({}, {})}}), [])
    monkeypatch.undo()
    assert lesion_figures.write(tmp_path, [part], {"": lesion_files.curves(part)}, most=3) == ()
    assert "no label has a lesion" in capsys.readouterr().out


def test_many_points_become_few():
    """Of more points than are wanted some are kept, the first and the last among them; each is one there was."""
    rng = np.random.default_rng(0)
    tally = lesion_curves.Tally(
        rng.random(5000), rng.random(5000) > 0.5, rng.random(5000) > 0.5, rng.random(9), rng.random(9), rng.random(3)
    )
    every = lesion_curves.detection([tally])
    few = lesion_curves.thinned(every)
    assert len(few.threshold) <= 200 and set(few.threshold) <= set(every.threshold)
    assert (few.kept[0], few.kept[-1]) == (1, 5000)
    at = np.searchsorted(every.threshold, few.threshold)
    np.testing.assert_array_equal(few.sensitivity, every.sensitivity[at])
