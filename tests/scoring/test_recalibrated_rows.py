"""`evaluate --recalibrated`: a row more from the same files, whose calibration alone is another."""

import numpy as np
import pytest
from made_up_maps import read_csv, serial, undrawn
from made_up_run import METHOD, write_run

from data_prep.base import artefacts
from data_prep.base.errors import NotReady, UserError
from tfunc import methods, runs
from tfunc.reporting import publish
from tfunc.scoring import recalibrate, recalibration, spread
from tfunc.scoring.evaluate import evaluate as counted

ROW = METHOD + methods.RECALIBRATED


def calibrate(run_dir, data, dataset):
    write_run(run_dir, data)
    write_run(run_dir, data, "test", seed=7)
    return recalibrate.recalibrate(run_dir, data, dataset, METHOD, serial, "calibration", say=lambda line: None)


def evaluated(run_dir, data, dataset, names=(METHOD, ROW)):
    request = publish.Request(run_dir / "evaluation", dataset)
    return publish.evaluate_run(request, run_dir, data, names, serial)


@pytest.mark.parametrize("dataset", ["brats", "brats_regions"])
def test_a_row_below_the_line(calibration_data, tmp_path, monkeypatch, dataset):
    """The recalibrated row stands below the paper's with its title, equal Dice and a lower ECE; the note says T and on whom."""
    undrawn(monkeypatch)
    data = calibration_data[dataset]
    found = calibrate(tmp_path, data, dataset).found
    done = evaluated(tmp_path, data, dataset)
    first, second = read_csv(tmp_path / "evaluation" / "table1.csv")[:2]
    assert (first["method"], second["method"]) == (METHOD, ROW)
    assert "| baseline+MC, recalibrated |" in done.markdown
    assert (
        f"at the temperature {found.temperature.temperature:.4g}, fitted on 12 subjects of calibration."
        in done.markdown
    )
    rows = {
        row["subject"] + row["method"] + row.get("region", ""): row
        for row in read_csv(tmp_path / "evaluation" / "subjects.csv")
    }
    pairs = [(row, rows[key.replace(METHOD, ROW)]) for key, row in rows.items() if row["method"] == METHOD]
    assert pairs and all(one["dice"] == other["dice"] for one, other in pairs)
    assert sum(float(other["ece"]) < float(one["ece"]) for one, other in pairs) > len(pairs) / 2
    assert len(list((tmp_path / "predictions").iterdir())) == 2  # nothing is written twice
    page = (tmp_path / "evaluation" / "report.html").read_text(encoding="utf-8")
    section = page[page.index('id="guarantees"') : page.index('id="thresholds"')]
    before, after = (found.calibration[way].subjects for way in ("before", "temperature"))
    assert f"{100 * before:.2f} → {100 * after:.2f}" in section and "Approximate" not in section
    of = next(iter(found.guarantees.values()))
    assert f"p ≥ {of.thresholds[-1].threshold:.3g}" in section and "needs 19 subjects with a lesion" in section


def test_another_temperature_is_another_evaluation(calibration_data, tmp_path, monkeypatch):
    """The same is found finished; a recalibration that changed makes it out of date, and one of other networks is refused."""
    undrawn(monkeypatch)
    data = calibration_data["brats"]
    calibrate(tmp_path, data, "brats")
    assert evaluated(tmp_path, data, "brats").fresh and not evaluated(tmp_path, data, "brats").fresh
    file = recalibration.path(tmp_path, METHOD)
    document = artefacts.read_json(file)
    artefacts.write_json(file, {**document, "temperature": {**document["temperature"], "temperature": 1.5}})
    assert evaluated(tmp_path, data, "brats").fresh
    artefacts.write_json(file, {**document, "made_by": {**document["made_by"], "networks": {"baseline": "1" * 64}}})
    with pytest.raises(NotReady, match=r"one of other weights; run .*recalibrate.py --method=baseline_mc"):
        evaluated(tmp_path, data, "brats")
    file.unlink()
    with pytest.raises(NotReady, match="the recalibration of baseline_mc, found none"):
        evaluated(tmp_path, data, "brats")


def test_a_recalibration_that_came_later_is_shown(calibration_data, tmp_path, monkeypatch):
    """A finished evaluation without it is out of date: its report shows what is certified."""
    undrawn(monkeypatch)
    data = calibration_data["brats"]
    write_run(tmp_path, data)
    write_run(tmp_path, data, "test", seed=7)
    page = evaluated(tmp_path, data, "brats", (METHOD,)).report
    assert 'id="guarantees"' not in page.read_text(encoding="utf-8")
    recalibrate.recalibrate(tmp_path, data, "brats", METHOD, serial, "calibration", say=lambda line: None)
    assert evaluated(tmp_path, data, "brats", (METHOD,)).fresh
    assert 'id="guarantees"' in page.read_text(encoding="utf-8")
    assert not evaluated(tmp_path, data, "brats", (METHOD,)).fresh


def test_names():
    """A method's recalibration is known by its name, and only a method of the table has one."""
    assert methods.recalibrated_of(ROW) == METHOD and methods.recalibrated_of(METHOD) is None
    assert methods.recalibrated_of("other_recalibrated") is None and methods.title("other") is None
    assert methods.title(ROW) == "baseline+MC, recalibrated" and methods.title(METHOD) == "baseline+MC"


@pytest.mark.parametrize("change", [{"subjects": [], "complete": False}, {"networks": {"baseline": "1" * 64}}])
def test_validation_maps_that_choose_nothing(calibration_data, tmp_path, monkeypatch, change):
    """Validation maps that are not begun, or of other networks than the test's, choose no score and stop no evaluation."""
    undrawn(monkeypatch)
    data = calibration_data["brats"]
    for split in ("test", "valid"):
        write_run(tmp_path, data, split)
    seen = []
    monkeypatch.setattr(
        publish, "evaluate", lambda maps, *rest, **more: seen.append(maps) or counted(maps, *rest, **more)
    )
    assert evaluated(tmp_path, data, "brats", [METHOD]).fresh and len(seen) == 2  # these would choose
    file = runs.predictions_dir(tmp_path, METHOD, "valid") / runs.PREDICTED
    artefacts.write_json(file, {**artefacts.read_json(file), **change})
    assert evaluated(tmp_path, data, "brats", [METHOD]).fresh and len(seen) == 3


def test_samples_of_another_region_are_refused(calibration_data, tmp_path, monkeypatch):
    """The spread of another region's samples is no score of this one."""
    undrawn(monkeypatch)
    data = calibration_data["brats"]
    write_run(tmp_path, data, "test")
    folder = runs.predictions_dir(tmp_path, METHOD, "test")
    subject = artefacts.read_json(folder / runs.PREDICTED)["subjects"][0]
    spread.write(folder, subject, {"core": spread.Spread(np.array([3.0, 4.0]), 0.5)})
    with pytest.raises(UserError, match=f"{subject}_samples.json"):
        evaluated(tmp_path, data, "brats", [METHOD])
