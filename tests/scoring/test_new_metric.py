"""The how-to's examples work as written: docs/howto/new_metric.md."""

import dataclasses
import json
import pathlib
import re

import numpy as np
import pytest
from made_up_maps import evaluate_study, make_study, read_csv, undrawn

from data_prep.base import artefacts
from tfunc.reporting import tensorboard
from tfunc.scoring import measures, metrics
from tfunc.scoring.aggregate import AGGREGATORS
from tfunc.scoring.companions import COMPANIONS
from tfunc.scoring.counts import THRESHOLDS
from tfunc.scoring.measures import MEASURES, Measure

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "howto" / "new_metric.md"
FORMER = ("subjects.csv", "calibration.csv", "thresholds.csv", "supplementary.csv", "table1.csv")
LATER = ("lesions.csv", "lesion_curves.csv", "comparisons.csv", "sample_sizes.csv")


@pytest.fixture
def added(monkeypatch):
    """The page's functions in `metrics` and its rows in the table."""
    blocks = re.findall(r"```python\n(# in (\S+).*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    rows = []
    for code, where in blocks:
        if where == "MEASURES,":
            row = eval(code, {"Measure": Measure, "metrics": metrics})
            monkeypatch.setitem(MEASURES, row.name, row)
            rows.append(row)
        else:
            names = dict(metrics.__dict__)
            exec(code, names)
            (name,) = names.keys() - metrics.__dict__.keys()
            monkeypatch.setattr(metrics, name, names[name], raising=False)
    assert [row.name for row in rows] == ["volume_error", "certain_errors"]
    return rows


@pytest.fixture
def evaluated(tmp_path, monkeypatch, added):
    """Made-up maps, evaluated with the new metrics: (arrays by subject, Finished)."""
    undrawn(monkeypatch)
    return make_study(tmp_path), evaluate_study(tmp_path)


def test_every_file_and_form_has_them(evaluated):
    """subjects.csv, thresholds.csv, Table 1 in three forms, summary.json, and the report's table, curves and notes."""
    _, finished = evaluated
    folder = finished.folder
    header = (folder / "subjects.csv").read_text().splitlines()[0].split(",")
    later = ["volume_error", *(f"certain_errors_{t:.2f}" for t in THRESHOLDS)]
    assert header[-len(later) :] == later
    assert (folder / "thresholds.csv").read_text().splitlines()[0].endswith(",error_recall,certain_errors")
    assert "dice_published,volume_error,volume_error_low" in (folder / "table1.csv").read_text()
    assert "| Dice ↑ | volume error % ↓ | certain errors ↓ |" in finished.markdown
    assert (
        r"Dice $\uparrow$ & volume error \% $\downarrow$ & certain errors $\downarrow$"
        in (folder / "table1.tex").read_text()
    )
    assert artefacts.read_json(folder / "summary.json")["columns"]["volume_error"]["title"] == "volume error %"
    page = finished.report.read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    assert data["measures"]["certain_errors"] == "certain errors, share of the kept voxels"
    assert data["lower"] == ["certain_errors"] and len(data["methods"][0]["curves"]["certain_errors"]) == 11
    assert ">volume error % ↓<" in page and "over the true one, mean over subjects; lower is better" in page
    assert "undefined where the target is empty" in page


def test_their_numbers(evaluated):
    """Each subject's values are those of plain NumPy; Table 1 has their means, and the lowest threshold value."""
    arrays, finished = evaluated
    rows = read_csv(finished.folder / "subjects.csv")
    for row, found in zip(rows, arrays.values(), strict=True):
        volume, target = found["prediction"].sum(dtype=int), found["label"].sum(dtype=int)
        assert float(row["volume_error"]) == pytest.approx(abs(volume - target) / target)
        p = found["probability"].astype(np.float64).clip(1e-300, 1)
        entropy = -(p * np.log2(p) + (1 - p) * np.log2((1 - p).clip(1e-300, 1)))
        for t in THRESHOLDS:
            kept = entropy <= t
            wrong = (found["prediction"] != found["label"])[kept].mean()
            assert float(row[f"certain_errors_{t:.2f}"]) == pytest.approx(wrong)
    table = finished.summary["methods"]["maps"]["table1"]
    assert table["volume_error"]["mean"] == pytest.approx(np.mean([float(row["volume_error"]) for row in rows]))
    means = [np.mean([float(row[f"certain_errors_{t:.2f}"]) for row in rows]) for t in THRESHOLDS]
    best = table["certain_errors"]
    assert best["mean"] == pytest.approx(min(means)) and best["threshold"] == THRESHOLDS[int(np.argmin(means))]
    assert best["rank"] == 1 and best["low"] <= best["mean"] <= best["high"]


def test_tensorboard_has_them(evaluated):
    """Their means are scalars among the others."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tensorboard.write(evaluated[1]) / "methods" / "maps")).Reload()
    assert {"when evaluated/volume_error", "when evaluated/certain_errors"} <= set(events.Tags()["tensors"])


def test_columns_of_before_stay(tmp_path, evaluated, monkeypatch):
    """With the new rows, every file begins with what it held without them."""
    with_them = {path.name: path.read_text().splitlines() for path in evaluated[1].folder.glob("*.csv")}
    for name in ("volume_error", "certain_errors"):
        monkeypatch.delitem(MEASURES, name)
    (tmp_path / "out" / "summary.json").unlink()
    without = evaluate_study(tmp_path).folder
    for name, lines in with_them.items():
        before = (without / name).read_text().splitlines()
        if name == "sample_sizes.csv":  # a row for each measure
            assert before == lines[: len(before)] and len(lines) == len(before) + 2
            continue
        assert len(before) == len(lines) and all(map(str.startswith, lines, before))
        if name in ("subjects.csv", "thresholds.csv", "table1.csv"):
            assert len(lines[0]) > len(before[0])


def test_the_page_explains_every_entry():
    """A field of `Measure` that the page does not name would be found by reading code only."""
    text = PAGE.read_text(encoding="utf-8")
    assert [field.name for field in dataclasses.fields(Measure) if f"`{field.name}`" not in text] == []


def test_the_table_is_whole():
    """Rows say what they are; what has a curve depends on the threshold, and docs/reference/report.md names every column."""
    text = (PAGE.parents[1] / "reference" / "report.md").read_text(encoding="utf-8")
    for name, measure in MEASURES.items():
        assert measure.name == name and measure.definition and measure.title
        assert measure.by_threshold or not measure.curve
        column = f"{measure.subject_column}_t" if measure.by_threshold else measure.subject_column
        assert f"`{column}`" in text, column
    for name, companion in COMPANIONS.items():
        assert companion.name == name and companion.definition and companion.title and f"`{name}`" in text, name
    for name, score in AGGREGATORS.items():
        assert score.name == name and score.definition and score.title and f"`{score.column}`" in text, name
    assert [measure.name for measure in measures.table1()] == ["ece", "ue", "bnf", "bnf_inequality", "dice"]


def test_every_file_and_column_is_explained(evaluated):
    """docs/reference/report.md names each CSV file of an evaluation, and in the paragraph of each later one its columns."""
    text = (PAGE.parents[1] / "reference" / "report.md").read_text(encoding="utf-8")
    files = {path.name: read_csv(path) for path in evaluated[1].folder.glob("*.csv")}
    assert set(files) == {*FORMER, *LATER, "failures.csv", "review.csv", "companions.csv"}
    for name, rows in files.items():
        assert f"`{name}`" in text, name
        if name in FORMER:
            continue
        _, paragraph = text.split(f"**{name}**")
        paragraph = paragraph.split("\n**")[0]
        for column in (evaluated[1].folder / name).read_text(encoding="utf-8").splitlines()[0].split(","):
            base = re.sub("_(low|high)$", "", column)
            known = f"`{column}`" in paragraph or (base in COMPANIONS and name == "companions.csv")
            known = known or (f"`{base}`" in paragraph and "`_low`" in paragraph) or re.fullmatch(r"width_\d+", column)
            assert known, (name, column)
        assert rows or name == "comparisons.csv"  # of one method there is no pair
