"""Evaluation of folders and runs: files, columns, numbers, ranges, and every refusal."""

import csv
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

import nibabel
import numpy as np
import PIL.Image
import pytest

from data_prep import convert
from data_prep.base import artefacts
from data_prep.base import pool as engine
from data_prep.base.errors import NotReady, UserError
from data_prep.phantom import write as phantom
from data_prep.readers import nifti
from tfunc.scoring import evaluate as evaluation
from tfunc.scoring import metrics, sources
from tfunc.scoring import statistics as tables

ROOT = pathlib.Path(__file__).parents[2]
TABLE = ROOT / "tests" / "goldens" / "table1"
KINDS = {"baseline": "probability", "auxiliary_feat": "confidence", "aleatoric": "sigma"}
AFFINE = np.array([[-1, 0.1, 0, 10], [0.1, 1, 0, -20], [0, 0, 2, 5], [0, 0, 0, 1.0]])


@pytest.fixture
def pictures():
    """Tests that ask for this draw; the others leave drawing out, which takes a second each time."""


@pytest.fixture(autouse=True)
def _undrawn(request, monkeypatch):
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr(evaluation.figures, "write_all", lambda *_: ())
        monkeypatch.setattr(evaluation.figures, "overlay", lambda *_: ())


def serial(_):
    return engine.executor(1)


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.asarray(array).T, affine), path)


def make_study(folder, subjects=3, shape=(4, 9, 7), seed=0):
    """Labels, masks and maps of `subjects` made-up volumes, all kinds in one folder: returns their arrays."""
    rng, arrays = np.random.default_rng(seed), {}
    for index in range(subjects):
        name = f"case_{index}"
        label, mask = (rng.random((2, *shape)) < [[[[0.3]]], [[[0.8]]]]).astype(np.uint8)
        probability = np.clip(0.6 * label + rng.random(shape) * 0.5 - 0.05, 0, 1).astype(np.float32)
        uncertainty = (rng.random(shape) * (index + 1)).astype(np.float32)
        prediction = (probability > 0.5).astype(np.uint8)
        arrays[name] = dict(
            label=label, mask=mask, probability=probability, uncertainty=uncertainty, prediction=prediction
        )
        write(folder / "labels" / f"{name}_seg.nii.gz", label)
        write(folder / "masks" / f"{name}.nii.gz", mask)
        for part in ("probability", "uncertainty", "prediction"):
            write(folder / "maps" / f"{name}_{part}.nii.gz", arrays[name][part])
    return arrays


def evaluate_study(folder, kind="probability", **request):
    maps = sources.folder_maps(folder / "maps", kind)
    truth = sources.FolderTruth(str(folder / "labels"), str(folder / "masks"))
    return evaluation.evaluate_folders(evaluation.Request(folder / "out", **request), maps, truth, serial)


@pytest.mark.parametrize("kind", metrics.KINDS)
def test_folder_of_maps(tmp_path, kind):
    """The numbers in subjects.csv and calibration.csv are those of `metrics` on the arrays, masks and ranges applied."""
    arrays = make_study(tmp_path)
    finished = evaluate_study(tmp_path, kind)
    everything = np.stack([of["uncertainty"] for of in arrays.values()])
    sigma_range = [float(str(everything.min())), float(str(everything.max()))]
    assert finished.summary["methods"]["maps"]["sigma_range"] == (sigma_range if kind == "sigma" else None)
    rows, curves = read_csv(tmp_path / "out" / "subjects.csv"), read_csv(tmp_path / "out" / "calibration.csv")
    assert [row["subject"] for row in rows] == list(arrays) and {row["method"] for row in rows} == {"maps"}
    pooled = metrics.empty_counts()
    for row, of in zip(rows, arrays.values(), strict=True):
        score = of[sources.ENTRY[kind]]
        counts = metrics.count(score, kind, of["prediction"], of["label"], of["mask"], sigma_range)
        pooled = pooled + counts
        outcome = metrics.outcome(counts)
        assert float(row["dice"]) == metrics.dice(counts)
        assert float(row["ece"]) == metrics.calibration_error(counts)
        assert [int(row[name]) for name in ("tp", "fp", "tn", "fn")] == [outcome.tp, outcome.fp, outcome.tn, outcome.fn]
        for index, t in enumerate(metrics.THRESHOLDS):
            assert int(row[f"fpu_{t:.2f}"]) == outcome.fpu[index]
            overlap = row[f"ue_{t:.2f}"]
            assert (float(overlap) if overlap else np.nan) == pytest.approx(
                metrics.error_overlap(counts)[index], rel=0, nan_ok=True
            )
    together = [row for row in curves if row["subject"] == "all"]
    assert [int(row["count"]) for row in together] == metrics.calibration(pooled).count.tolist()
    assert len(curves) == 10 * (len(arrays) + 1)


def test_columns_and_empty_cells(tmp_path):
    """subjects.csv has the promised columns; undefined values are empty cells; empty bins are there."""
    zero = np.zeros((2, 3, 4), np.uint8)
    write(tmp_path / "maps" / "a_probability.nii.gz", zero.astype(np.float64))
    write(tmp_path / "labels" / "a.nii.gz", zero)
    truth = sources.FolderTruth(str(tmp_path / "labels"))
    finished = evaluation.evaluate_folders(
        evaluation.Request(tmp_path / "out"), sources.folder_maps(tmp_path / "maps", "probability"), truth, serial
    )
    (row,) = read_csv(tmp_path / "out" / "subjects.csv")
    for t in metrics.THRESHOLDS:
        assert row[f"ue_{t:.2f}"] == row[f"error_precision_{t:.2f}"] == row[f"error_recall_{t:.2f}"] == ""
        assert row[f"corrected_dice_{t:.2f}"] == "1.0"
        assert [row[f"{name}_{t:.2f}"] for name in ("tpu", "fpu", "tnu", "fnu")] == ["0"] * 4
    assert row["dice"] == "1.0" and row["ece"] == "0.0"
    bins = read_csv(tmp_path / "out" / "calibration.csv")
    assert [(b["bin"], b["count"]) for b in bins[:10]] == [("0", "24")] + [(str(i), "0") for i in range(1, 10)]
    assert bins[1]["mean_probability"] == bins[1]["positive_fraction"] == ""
    assert "–" in finished.markdown


def test_golden_table_from_files(launch, tmp_path):
    """Three of the authors' methods as NIfTI folders through the command: their means, and exit code 0."""
    expected = json.loads((TABLE / "expected.json").read_text())["raw_means"]
    subjects = np.load(TABLE / "counts.npz")["subjects"]
    for method, kind in KINDS.items():
        arrays = np.load(TABLE / f"{method}.npz")
        score, prediction, target = (arrays[name] for name in ("score", "prediction", "target"))
        folder = tmp_path / "methods" / method
        for index, name in enumerate(subjects):
            nifti.write_map(folder / f"{name}_{sources.ENTRY[kind]}.nii", score[index])
            nifti.write_map(folder / f"{name}_prediction.nii", prediction[index].astype(np.uint8))
            nifti.write_map(tmp_path / "labels" / f"{name}_label.nii", target[index].astype(np.uint8))
        (folder / "predictions.json").write_text(json.dumps({"kind": kind, "subjects": subjects.tolist()}))
    command = ["--predictions", tmp_path / "methods", "--labels", tmp_path / "labels", "--out_dir", tmp_path / "out"]
    done = launch("evaluate", *command)
    assert done.code == 0, done.err
    assert "| baseline | **2.821 (1)**" in done.out and "figure1.png" in done.out
    rows = {row["title"]: row for row in read_csv(tmp_path / "out" / "table1.csv")}
    for method in KINDS:
        theirs, ours = expected[tables.title(method)], rows[tables.title(method)]
        for name, column in (("ece", "ece"), ("error", "ue"), ("benefit", "bnf"), ("dice", "dice")):
            np.testing.assert_allclose(float(ours[column]), theirs[name], rtol=1e-9)
        assert float(ours["ue_threshold"]) == theirs["error_threshold"]
    again = launch("evaluate", *command)
    assert again.code == 0 and "nothing to do" in again.out


def run(*arguments):
    command = [sys.executable, ROOT / "launch" / "evaluate.py", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--predictions=nowhere"], "--predictions: expected --labels=DIR"),
        (["--predictions=p", "--labels=l", "--out_dir=o", "--methods="], "--methods: expected `all`, or names"),
        (["--dataset=brats", "--methods="], "--methods: expected `all`, or names"),
    ],
)
def test_bad_flags(flags, message):
    """A missing partner flag or an empty list is one line and exit code 2."""
    done = run(*flags)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1


def test_other_settings_are_refused_and_new_inputs_evaluated(tmp_path):
    """Same again: nothing to do. Another range: refused by name. Changed maps: computed anew."""
    make_study(tmp_path)
    assert evaluate_study(tmp_path, "sigma").fresh
    assert not evaluate_study(tmp_path, "sigma").fresh
    with pytest.raises(UserError, match="sigma_range"):
        evaluate_study(tmp_path, "sigma", sigma_range=(0.0, 9.0))
    make_study(tmp_path, seed=1)
    assert evaluate_study(tmp_path, "sigma").fresh
    (tmp_path / "out" / "table1.md").unlink()
    assert evaluate_study(tmp_path, "sigma").fresh


def test_other_segmentations_are_other_inputs(tmp_path):
    """A segmentation that is replaced, or appears, or vanishes, and maps elsewhere, are evaluated, with their Dice."""
    arrays = make_study(tmp_path)
    path = tmp_path / "maps" / "case_0_prediction.nii.gz"

    def dice():
        finished = evaluate_study(tmp_path)
        assert finished.fresh and not evaluate_study(tmp_path).fresh
        return float(read_csv(tmp_path / "out" / "subjects.csv")[0]["dice"])

    wrong = 1 - arrays["case_0"]["label"]
    before = dice()
    write(path, wrong)
    assert before > dice() == 0
    path.unlink()
    assert dice() == before
    write(path, wrong)
    assert dice() == 0
    elsewhere = tmp_path / "elsewhere" / "maps"
    shutil.copytree(tmp_path / "maps", elsewhere)  # with the same names, sizes and times
    truth = sources.FolderTruth(str(tmp_path / "labels"), str(tmp_path / "masks"))
    maps = sources.folder_maps(elsewhere, "probability")
    assert evaluation.evaluate_folders(evaluation.Request(tmp_path / "out"), maps, truth, serial).fresh


def test_labels_without_a_prediction_are_counted(tmp_path):
    """Labels of subjects that nobody predicted stand in a line under the table; other files there are not labels."""
    arrays = make_study(tmp_path)
    assert "have no prediction" not in evaluate_study(tmp_path).markdown
    for name in ("case_1", "case_2"):
        for path in (tmp_path / "maps").glob(f"{name}_*"):
            path.rename(tmp_path / "labels" / path.name)
    for name in ("case_0.nii.gz.txt", ".case_9_seg.nii.gz", "case_0_t1.nii.gz"):
        (tmp_path / "labels" / name).touch()
    line = "2 of 3 labels have no prediction"
    finished = evaluate_study(tmp_path)
    assert finished.summary["subjects"] == 1 and line in finished.markdown and line in finished.report.read_text()
    assert not evaluate_study(tmp_path).fresh
    write(tmp_path / "labels" / "case_3_seg.nii.gz", arrays["case_0"]["label"])
    assert "3 of 4 labels have no prediction" in evaluate_study(tmp_path).markdown


def test_a_given_sigma_range(tmp_path):
    """--sigma_range is used and kept; a sigma beyond it names the file."""
    make_study(tmp_path)
    assert evaluate_study(tmp_path, "sigma", sigma_range=(0.0, 9.0)).summary["methods"]["maps"]["sigma_range"] == [0, 9]
    with pytest.raises(UserError, match=r"case_0_uncertainty\.nii\.gz.*given range"):
        make_study(tmp_path / "b")
        evaluate_study(tmp_path / "b", "sigma", sigma_range=(0.0, 0.5))


def not_counted(*_):
    raise AssertionError("asked for workers to count with")


@pytest.mark.parametrize("sigma_range", [(0.0, float("inf")), (float("-inf"), 1.0)])
def test_an_infinite_sigma_range(tmp_path, monkeypatch, sigma_range):
    """A range without an end would make every uncertainty 0; it is refused before anything is counted."""
    make_study(tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "serial", not_counted)
    with pytest.raises(UserError, match=r"--sigma_range: expected two finite numbers, found .*inf"):
        evaluate_study(tmp_path, "sigma", sigma_range=sigma_range)


def test_a_sigma_range_is_for_sigmas(tmp_path):
    """With maps of another kind only, --sigma_range would be ignored; it is refused."""
    make_study(tmp_path)
    with pytest.raises(UserError, match="--sigma_range: expected maps of --kind=sigma, found probability"):
        evaluate_study(tmp_path, "probability", sigma_range=(0.0, 9.0))


@pytest.mark.parametrize("out_dir", ["file", "file/below"])
def test_a_file_where_the_folder_should_be(tmp_path, out_dir):
    """An --out_dir that can't become a folder is refused before anything is counted."""
    make_study(tmp_path)
    (tmp_path / "file").write_text("mine")
    maps, truth = sources.folder_maps(tmp_path / "maps", "sigma"), sources.FolderTruth(str(tmp_path / "labels"))
    with pytest.raises(UserError, match=r"file: expected a folder.*--out_dir"):
        evaluation.evaluate_folders(evaluation.Request(tmp_path / out_dir), maps, truth, not_counted)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_subject_named_all(tmp_path):
    """`all` is the data set's name in calibration.csv: a subject of that name would lose its rows, and is refused."""
    make_study(tmp_path)
    for folder in ("labels", "masks", "maps"):
        for path in (tmp_path / folder).glob("case_1*"):
            path.rename(path.with_name(path.name.replace("case_1", "all")))
    with pytest.raises(UserError, match="maps: expected subjects' names, found 'all'"):
        evaluate_study(tmp_path)


def test_kind_against_predictions_json(tmp_path):
    """--kind may repeat what predictions.json says; another one is refused, not dropped."""
    make_study(tmp_path)
    index = {"kind": "confidence", "subjects": ["case_0", "case_1", "case_2"]}
    (tmp_path / "maps" / "predictions.json").write_text(json.dumps(index))
    assert [maps.kind for maps in sources.folder_maps(tmp_path / "maps", "confidence")] == ["confidence"]
    with pytest.raises(UserError, match=r"predictions\.json: expected --kind=sigma, found maps of kind confidence"):
        sources.folder_maps(tmp_path / "maps", "sigma")


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
        evaluate_study(tmp_path, "confidence")


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
        ("confidence", "maps/case_1_uncertainty.nii.gz", np.full((4, 9, 7), 0.2), "case_1_unc.*one value everywhere"),
        ("sigma", "maps/case_1_uncertainty.nii.gz", np.full((4, 9, 7), np.inf), "case_1_unc.*infinite"),
        ("probability", "maps/case_1_probability.nii.gz", np.zeros((4, 9, 8)), "7x9x4, found 8x9x4"),
        ("probability", "maps/case_1_prediction.nii.gz", np.zeros((4, 9, 8)), "7x9x4, found 8x9x4"),
        ("probability", "maps/case_1_prediction.nii.gz", np.full((4, 9, 7), 0.4), "whole numbers.*fractions"),
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
    assert [maps.kind for maps in sources.folder_maps(tmp_path / "methods", "confidence")] == ["confidence"]
    for path in (tmp_path / "methods" / "aleatoric").glob("*_probability.nii.gz"):
        path.unlink()
    assert [maps.kind for maps in sources.folder_maps(tmp_path / "methods", "probability")] == ["sigma"]
    for folder in ("empty", "absent"):
        if folder == "empty":
            (tmp_path / folder).mkdir()
        with pytest.raises(UserError, match=folder):
            sources.folder_maps(tmp_path / folder, "probability")


def test_methods_need_the_same_subjects(tmp_path):
    """Methods are compared on the same subjects only."""
    make_study(tmp_path)
    one = sources.Maps("a", "probability", str(tmp_path / "maps"), ("case_0", "case_1"))
    two = sources.Maps("b", "probability", str(tmp_path / "maps"), ("case_0",))
    with pytest.raises(NotReady, match="case_1"), engine.executor(1) as pool:
        evaluation.evaluate([one, two], sources.FolderTruth(str(tmp_path / "labels")), pool)


def test_processes_give_the_same(tmp_path):
    """Two processes give the counts that one gives, in the same order; a worker's error comes back whole."""
    make_study(tmp_path, subjects=5)
    maps = sources.folder_maps(tmp_path / "maps", "sigma")
    truth = sources.FolderTruth(str(tmp_path / "labels"))
    with engine.executor(1) as pool:
        one = evaluation.evaluate(maps, truth, pool)
    with engine.executor(2) as pool:
        two = evaluation.evaluate(maps, truth, pool)
        assert evaluation.subjects_lines(one) == evaluation.subjects_lines(two)
        write(tmp_path / "maps" / "case_3_uncertainty.nii.gz", np.full((4, 9, 7), np.nan))
        with pytest.raises(UserError, match="case_3_uncertainty"):
            evaluation.evaluate(maps, truth, pool)
        with pytest.raises(UserError, match="a worker process died"):
            list(engine.results(pool, os._exit, [1]))


def test_results_are_bounded_and_in_order():
    """No more than `ahead` calls are under way, and results keep the items' order."""
    taken = []

    def items():
        for index in range(20):
            taken.append(index)
            yield index

    results = engine.results(engine.Serial(), str, items(), ahead=1)
    assert next(results) == "0" and len(taken) == 1
    assert list(results) == [str(index) for index in range(1, 20)]
    with pytest.raises(ZeroDivisionError):
        list(engine.results(engine.Serial(), lambda x: 1 / x, [1, 0, 1]))


def test_dask(tmp_path):
    """The same evaluation on a Dask cluster by its scheduler's address; what is no address is a user's error."""
    import distributed  # here: its import takes a second

    with pytest.raises(UserError, match="--scheduler=nowhere"), engine.executor(scheduler="nowhere://8786"):
        pass
    make_study(tmp_path)
    maps = sources.folder_maps(tmp_path / "maps", "sigma")
    truth = sources.FolderTruth(str(tmp_path / "labels"))
    with engine.executor(1) as pool:
        expected = evaluation.subjects_lines(evaluation.evaluate(maps, truth, pool))
    cluster = distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None)
    with cluster, engine.executor(scheduler=cluster.scheduler_address) as pool:
        assert evaluation.subjects_lines(evaluation.evaluate(maps, truth, pool)) == expected


# A run: predictions of prepared records.


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brats")
    phantom.write("brats", folder / "raw", subjects=6, shape=(16, 24, 20))
    convert.convert("brats", folder / "raw", folder / "data", {"label_map": None})
    return folder / "data"


def predict(data_dir, run_dir, method, kind, split="test", seed=0):
    """Made-up maps of a method where predict would write them: returns them with the truth by subject."""
    truth, rng, made = sources.RecordsTruth(str(data_dir)), np.random.default_rng(seed), {}
    folder = sources.prediction_folder(run_dir, method, split)
    names = [entry.name for entry in truth.manifest.split(split)]
    for name in names:
        subject, of = truth.subject(name), truth.read(name)
        probability = np.clip(0.7 * of.label + rng.random(of.label.shape) * 0.4 - 0.05, 0, 1).astype(np.float32)
        for part, array in (
            ("probability", probability),
            ("prediction", (probability > 0.5).astype(np.uint8)),
            ("uncertainty", (1 - probability) * rng.random()),
        ):
            nifti.write_map(folder / f"{name}_{part}.nii.gz", array.astype(np.float32 if part[1] != "r" or part[2] == "o"
                                                                           else np.uint8), subject.header)  # fmt: skip
        made[name] = probability, of
    (folder / "predictions.json").write_text(json.dumps({"kind": kind, "subjects": names}))
    return made


def evaluate_run(data_dir, run_dir, names, **request):
    asked = evaluation.Request(run_dir / "evaluation", "brats", **request)
    return evaluation.evaluate_run(asked, run_dir, data_dir, names, serial)


def test_run(data_dir, tmp_path, pictures):
    """A run's evaluation takes labels and brain masks from the records and writes every promised file."""
    made = predict(data_dir, tmp_path, "baseline", "probability")
    predict(data_dir, tmp_path, "aleatoric", "sigma")
    assert evaluation.available_methods(tmp_path, "brats") == ["baseline", "aleatoric"]
    finished = evaluate_run(data_dir, tmp_path, ["baseline", "aleatoric"])
    for name in ("subjects.csv", "calibration.csv", "thresholds.csv", "supplementary.csv", "summary.json", "table1.csv",
                 "table1.md", "table1.tex", "figure1.png", "figure1.pdf", "overlay.png"):  # fmt: skip
        assert (tmp_path / "evaluation" / name).stat().st_size > 0
    rows = [row for row in read_csv(tmp_path / "evaluation" / "subjects.csv") if row["method"] == "baseline"]
    for row, (name, (probability, of)) in zip(rows, made.items(), strict=True):
        counts = metrics.count(probability, "probability", probability > 0.5, of.label, of.mask)
        assert row["subject"] == name and 0 < of.mask.sum() < of.mask.size
        assert float(row["ece"]) == metrics.calibration_error(counts) and float(row["dice"]) == metrics.dice(counts)
    lowest, highest = json.loads((tmp_path / "evaluation" / "summary.json").read_text())["methods"]["aleatoric"][
        "sigma_range"
    ]
    assert 0 <= lowest < highest <= 1 and finished.summary["complete"] is False
    assert not list((tmp_path / "evaluation").glob(".partial*"))
    with pytest.raises(UserError, match="expected aleatoric among the methods"):
        evaluate_run(data_dir, tmp_path, ["baseline"])


def test_tensorboard(tmp_path):
    """Scalars of the table and the pictures reach an event file, and a second evaluation replaces it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    make_study(tmp_path)
    finished = evaluate_study(tmp_path)
    picture = tmp_path / "figure1.png"
    PIL.Image.new("RGB", (8, 6)).save(picture)
    for _ in range(2):
        folder = evaluation.tensorboard(dataclasses.replace(finished, pictures=(picture,)))
    assert len(list(folder.iterdir())) == 1
    events = EventAccumulator(str(folder)).Reload()
    assert {"evaluation/dice/maps", "evaluation/figure1"} <= set(events.Tags()["tensors"])


def test_thresholds_of_the_validation_set(data_dir, tmp_path):
    """--threshold_split=valid needs predictions of that split, and takes each method's thresholds from it."""
    predict(data_dir, tmp_path, "baseline", "probability")
    with pytest.raises(NotReady, match="--method=baseline --dataset=brats --split=valid"):
        evaluate_run(data_dir, tmp_path, ["baseline"], threshold_split="valid")
    predict(data_dir, tmp_path, "baseline", "probability", "valid", seed=3)
    finished = evaluate_run(data_dir, tmp_path, ["baseline"], threshold_split="valid")
    with engine.executor(1) as pool:
        maps = sources.run_maps(tmp_path, "brats", "baseline", "valid")
        valid = evaluation.evaluate([maps], sources.RecordsTruth(str(data_dir)), pool)
    chosen = tables.thresholds(valid.scores["baseline"])
    cells = finished.summary["methods"]["baseline"]["table1"]
    assert cells["ue"]["threshold"] == metrics.THRESHOLDS[chosen["ue"]]
    assert "best per method on the valid set" in finished.markdown


def test_run_is_not_ready(data_dir, tmp_path):
    """Nothing predicted, or an unfinished folder: exit code 3, naming the predict command."""
    with pytest.raises(NotReady, match=r"predict\.py --method=baseline --dataset=brats`"):
        evaluation.available_methods(tmp_path, "brats")
    predict(data_dir, tmp_path, "baseline", "probability")
    (tmp_path / "predictions" / "baseline" / "predictions.json").unlink()
    with pytest.raises(NotReady, match="an unfinished folder"):
        evaluate_run(data_dir, tmp_path, ["baseline"])
    with pytest.raises(NotReady, match=r"prepare\.py"):
        predict(data_dir, tmp_path, "baseline", "probability")
        evaluate_run(tmp_path / "nowhere", tmp_path, ["baseline"])


def test_a_part_of_the_test_set_is_not_ready(data_dir, tmp_path):
    """Some subjects predicted: exit code 3 with the command that predicts the rest, in one line."""
    names = list(predict(data_dir, tmp_path, "baseline", "probability"))
    index = tmp_path / "predictions" / "baseline" / "predictions.json"
    whole = {"kind": "probability", "subjects": names, "complete": True, "samples": 5, "seed": 7}
    index.write_text(json.dumps({**whole, "subjects": names[:1], "complete": False}))
    command = "--dataset=brats", f"--data_dir={data_dir}", f"--run_dir={tmp_path}"
    done = run(*command)  # a process of its own, whose TensorFlow must be quiet
    assert done.returncode == 3 and done.stderr.count("\n") == 1, done.stderr
    assert f"all subjects of the test split, found 1 of {len(names)}; run `python launch/predict.py" in done.stderr
    flags = f"--method=baseline --dataset=brats --samples=5 --seed=7 --data_dir={data_dir} --run_dir={tmp_path}`"
    assert flags in done.stderr and not (tmp_path / "evaluation").exists()


def test_predictions_of_other_records_are_refused(data_dir, tmp_path):
    """Maps that were predicted from records with another checksum: exit code 2, naming both files."""
    names = list(predict(data_dir, tmp_path, "baseline", "probability"))
    index = tmp_path / "predictions" / "baseline" / "predictions.json"
    about = {"kind": "probability", "subjects": names, "records": artefacts.sha256(data_dir / "dataset.json")}
    index.write_text(json.dumps(about))
    assert evaluate_run(data_dir, tmp_path, ["baseline"]).fresh
    index.write_text(json.dumps({**about, "records": "0" * 64}))
    with pytest.raises(UserError, match=r"baseline/predictions\.json: expected.*data/dataset\.json.*000…") as caught:
        evaluate_run(data_dir, tmp_path, ["baseline"])
    assert caught.value.exit_code == 2


def test_examples_by_name(data_dir, tmp_path):
    """Subjects of Figure 1 can be named; one that wasn't evaluated is refused."""
    made = predict(data_dir, tmp_path, "baseline", "probability")
    with pytest.raises(UserError, match="--figure_subjects"):
        evaluate_run(data_dir, tmp_path, ["baseline"], figure_subjects=("nobody",))
    finished = evaluate_run(data_dir, tmp_path, ["baseline"], figure_subjects=(next(iter(made)),))
    assert finished.summary["figure1_subjects"] == {"S1": next(iter(made))}
