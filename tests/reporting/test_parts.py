"""The files of several classes: a table for the mean, each region and the class map, and rows that say whose they are."""

import csv
import io
import shutil

import msgspec
import numpy as np
import pytest
from made_up_classes import TASK, evaluate_classes, make_classes
from made_up_maps import evaluate_study, make_study, read_csv, undrawn

from data_prep.base import artefacts
from data_prep.tasks import Region
from tfunc.reporting import parts
from tfunc.scoring.counts import THRESHOLDS

NAMES = ["mean", "whole", "core", "three", "classes"]


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    undrawn(monkeypatch)


def test_files_of_several_classes(tmp_path):
    """Every part has its table in three forms and its rows; the mean is that of the regions' rows of a subject."""
    make_classes(tmp_path)
    finished = evaluate_classes(tmp_path)
    folder = tmp_path / "out"
    assert {path.name for path in folder.glob("table1*")} == {
        f"table1{part}.{ending}"
        for part in ("", "_whole", "_core", "_three", "_classes")
        for ending in ("csv", "md", "tex")
    }
    rows = read_csv(folder / "subjects.csv")
    assert list(rows[0])[-2:] == ["ece_class", "region"] and [row["region"] for row in rows[::3]] == NAMES
    for subject in ("case_0", "case_1"):
        by_name = {row["region"]: row for row in rows if row["subject"] == subject}
        for column in ("dice", "ece", "corrected_dice_0.50", "benefit_0.50", "ece_near"):
            values = [float(by_name[name][column]) for name in NAMES[1:4] if by_name[name][column]]
            assert float(by_name["mean"][column]) == pytest.approx(np.mean(values), rel=1e-12)
        assert by_name["mean"]["tp"] == by_name["classes"]["tp"] == by_name["classes"]["corrected_dice_0.50"] == ""
        assert by_name["whole"]["ece_class"] == "" and 0 < float(by_name["classes"]["ece_class"]) < 1
        assert by_name["classes"]["dice"] == by_name["mean"]["dice"]
    curves = read_csv(folder / "calibration.csv")
    assert {row["region"] for row in curves} == {*NAMES} - {"mean"} and len(curves) == 4 * 4 * 10
    thresholds = read_csv(folder / "thresholds.csv")
    assert [row["region"] for row in thresholds[:: len(THRESHOLDS)]] == NAMES
    assert thresholds[-1]["bnf"] == "" != thresholds[-1]["ue"]
    assert [row["region"] for row in read_csv(folder / "supplementary.csv")] == NAMES
    assert "Mean over the regions: whole, core, three." in finished.markdown and "ECE near %" in finished.markdown
    text = (folder / "table1_classes.md").read_text()
    assert text.startswith("| method | top-label ECE % ↓ | class-wise ECE % ↓ | U-E ↑ | mean Dice ↑ |\n")
    assert "core: one, three." in (folder / "table1_core.md").read_text()
    summary = artefacts.read_json(folder / "summary.json")
    assert list(summary["regions"]) == NAMES[1:4] and summary["regions"]["core"]["classes"] == ["one", "three"]
    assert summary["regions"]["core"]["methods"]["maps"]["table1"]["dice"]["rank"] == 1
    assert list(summary["classes"]["methods"]["maps"]["table1"]) == ["ece_top", "ece_class", "ue", "dice"]
    assert not evaluate_classes(tmp_path).fresh


def test_thresholds_are_each_tables_own(tmp_path):
    """U-E and BnF of a region at its own best threshold, of the mean at the best mean."""
    make_classes(tmp_path, seed=3)
    evaluate_classes(tmp_path)
    rows = read_csv(tmp_path / "out" / "thresholds.csv")
    for name in NAMES:
        values = {row["threshold"]: float(row["ue"]) for row in rows if row["region"] == name}
        file = "table1.csv" if name == "mean" else f"table1_{name}.csv"
        (row,) = read_csv(tmp_path / "out" / file)
        assert float(row["ue"]) == max(values.values())
        assert values[f"{float(row['ue_threshold']):.2f}"] == max(values.values())


def test_maps_that_know_no_region_are_marked(tmp_path):
    """Error and sigma maps are not ranked among regions, which is said; the class map's table ranks all."""
    make_classes(tmp_path)
    for name in ("baseline", "auxiliary_feat", "aleatoric"):  # a probability, an error, a sigma
        shutil.copytree(tmp_path / "maps", tmp_path / "methods" / name)
    finished = evaluate_classes(tmp_path, None, maps="methods")
    lines = finished.markdown.splitlines()
    assert lines[3].startswith("| *unranked* |") and [line.split(" |")[0] for line in lines[4:6]] == [
        "| auxiliary feat. †",
        "| aleatoric †",
    ]
    assert "† Not ranked: its map also marks errors between classes inside a region." in finished.markdown
    ranked = {row["method"]: row for row in read_csv(tmp_path / "out" / "table1_core.csv")}
    assert [ranked[name]["ranked"] for name in ("baseline", "auxiliary_feat", "aleatoric")] == ["1", "0", "0"]
    assert ranked["aleatoric"]["note"].startswith("its map also marks") and ranked["baseline"]["note"] == ""
    assert ranked["aleatoric"]["ue_rank"] == ""
    rows = read_csv(tmp_path / "out" / "table1_classes.csv")
    assert [row["ranked"] for row in rows] == ["1"] * 3 and sorted(row["ue_rank"] for row in rows) == ["1", "2", "3"]
    assert r"$\dagger$" in (tmp_path / "out" / "table1.tex").read_text()


def test_names_that_files_can_have(tmp_path):
    """A region named as a path, as another part, or as another region but for its case, has a file of its own."""
    regions = tuple(
        Region(name, name, (index % 3 + 1,)) for index, name in enumerate(("a/b c", "mean", "CLASSES", "A_b_c"))
    )
    task = msgspec.structs.replace(TASK, regions=regions)
    make_classes(tmp_path)
    evaluate_classes(tmp_path, task=task)
    assert {row["region"] for row in read_csv(tmp_path / "out" / "subjects.csv")} == {
        "mean", "a_b_c", "mean_", "CLASSES_", "A_b_c_", "classes",
    }  # fmt: skip
    assert (tmp_path / "out" / "table1_a_b_c.csv").exists() and (tmp_path / "out" / "table1_A_b_c_.csv").exists()


def test_one_region_is_its_own_mean(tmp_path):
    """Of several classes with one region, the mean is the region's table, number for number."""
    task = msgspec.structs.replace(TASK, regions=TASK.regions[:1])
    make_classes(tmp_path)
    evaluate_classes(tmp_path, task=task)
    assert (tmp_path / "out" / "table1.csv").read_text() == (tmp_path / "out" / "table1_whole.csv").read_text()


def test_two_classes_have_one_table(tmp_path):
    """No region's column, row or file; the calibration near the foreground stands where there is no mask."""
    make_study(tmp_path)
    finished = evaluate_study(tmp_path)
    assert {path.name for path in (tmp_path / "out").glob("table1*")} == {"table1.csv", "table1.md", "table1.tex"}
    rows = read_csv(tmp_path / "out" / "subjects.csv")
    assert "region" not in rows[0] and rows[0]["ece_near"] == "" and "near" not in finished.markdown
    assert "regions" not in finished.summary and finished.summary["methods"]["maps"]["ece_near"] is None
    assert [part.name for part in parts.parts(_evaluated(tmp_path))] == [""]


def _evaluated(folder):
    from data_prep.base import pool
    from tfunc.scoring import sources
    from tfunc.scoring.evaluate import evaluate
    from tfunc.scoring.truth import FolderTruth

    with pool.executor(1) as workers:
        return evaluate(
            sources.folder_maps(folder / "maps", "probability"), FolderTruth(str(folder / "labels")), workers
        )


def test_csv_can_be_read_by_anyone(tmp_path):
    """Every row of every CSV file has as many cells as its header."""
    make_classes(tmp_path)
    evaluate_classes(tmp_path)
    for path in (tmp_path / "out").glob("*.csv"):
        rows = list(csv.reader(io.StringIO(path.read_text())))
        assert {len(row) for row in rows} == {len(rows[0])}, path.name
