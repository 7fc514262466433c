"""The benchmark that shows how measures settle: its numbers are the evaluation's, its draws anew, its subsets different."""

import csv
import importlib.util
import itertools

import numpy as np
import pytest
from conftest import ROOT
from refusals import refused

from data_prep import records
from tfunc import methods
from tfunc.maps import predictor
from tfunc.maps.options import Options
from tfunc.scoring import metrics, statistics
from tfunc.scoring.binary import count


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("settling", ROOT / "benchmarks" / "settling.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_subsets_differ(script):
    """Of each number, all subsets where they are few, else as many different ones as asked for; the same for one seed."""
    found = script.subsets(5, 6, 1)
    assert found == script.subsets(5, 6, 1) and list(found) == [1, 2, 3, 4, 5]
    assert [len(every) for every in found.values()] == [5, 6, 6, 5, 1]
    for number, every in found.items():
        assert len(set(every)) == len(every) and set(every) <= set(itertools.combinations(range(5), number))


@pytest.mark.long
def test_rows_are_the_evaluations(script, launch, brats_run, brats_data, tmp_path):
    """ECE, U-E, Dice and mean entropy of a draw are those of the maps predicted from its seed; draws differ."""
    where = [f"--run_dir={brats_run}", f"--data_dir={brats_data}", f"--out_dir={tmp_path / 'out'}"]
    sizes = ["--methods=baseline_mc", "--samples=3,2", "--draws=2", "--seed=7"]
    ended = launch(ROOT / "benchmarks" / "settling.py", "--dataset=brats", *where, *sizes)
    assert ended.code == 0, ended.err
    rows = list(csv.DictReader((tmp_path / "out" / "settling.csv").open()))
    assert [(row["number"], row["draw"]) for row in rows] == [("2", "0"), ("2", "1"), ("3", "0"), ("3", "1")]
    assert len({row["entropy"] for row in rows}) == 4 and (tmp_path / "out" / "settling.png").exists()
    manifest = records.read_manifest(brats_data)
    options = Options(samples=3, seed=7 + 3001)
    made, _ = predictor.of_method(methods.get("baseline_mc"), brats_run, "brats", options)
    counts, entropies = {}, []
    names = [entry.name for entry in manifest.split("test")]
    for subject, maps in made.subjects(records.read_subjects(brats_data, manifest, names)):
        inside = subject.inside(manifest.task)
        p = maps["probability"]
        counts[subject.name] = count(p, "probability", maps["prediction"], subject.label, inside)
        entropies.append(maps["uncertainty"][inside != 0].mean())
    scores = statistics.scores(counts)
    row = rows[3]
    assert float(row["ece"]) == pytest.approx(np.mean([metrics.calibration_error(one) for one in counts.values()]))
    assert float(row["dice"]) == pytest.approx(float(scores.mean("dice")))
    assert float(row["ue"]) == pytest.approx(np.nanmax(scores.mean("ue")))
    assert float(row["entropy"]) == pytest.approx(np.mean(entropies), abs=1e-5)


def test_what_has_no_samples_is_refused(launch, brats_run, brats_data, tmp_path):
    """A softmax settles at once: one line."""
    where = [f"--run_dir={brats_run}", f"--data_dir={brats_data}", f"--out_dir={tmp_path / 'out'}"]
    ended = launch(ROOT / "benchmarks" / "settling.py", "--dataset=brats", *where, "--methods=baseline")
    refused(ended, 2, "--methods: expected methods that average samples or members, found baseline")
    assert not (tmp_path / "out").exists()
