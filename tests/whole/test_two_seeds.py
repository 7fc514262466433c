"""The same study from two seeds, to its end: the first is not trained again, and the spread is of both tables."""

import csv
import json

import pytest

from data_prep.base import artefacts
from tfunc import runs
from whole.conftest import SETTINGS

pytestmark = pytest.mark.long


def test_a_second_seed(whole, launch, tmp_path):
    """Only the other seed's jobs run; seeds.csv holds both runs' numbers of Table 1; a second call does nothing."""
    study = whole.copied(tmp_path)
    before = (study.run / "evaluation" / "table1.csv").read_bytes()
    command = "study", *study.where, *SETTINGS, "--methods=baseline,baseline_mc", "--seeds=2"
    ended = launch(*command)
    assert ended.code == 0, ended.err
    jobs = [line.split()[1] for line in ended.out.splitlines() if line.startswith("[")]
    ran = {f"seed21_{job}" for job in ("train_baseline", "predict_baseline", "predict_baseline_mc", "evaluate")}
    assert set(jobs) == ran and (study.run / "evaluation" / "table1.csv").read_bytes() == before
    other = study.run / "seeds" / "21"
    assert runs.read_config(runs.network_dir(other, "baseline")).seed == 21
    tables = [artefacts.read_json(run / "evaluation" / runs.EVALUATED)["methods"] for run in (study.run, other)]
    with open(study.run / "evaluation" / "seeds.csv", newline="") as file:
        rows = {(row["method"], row["measure"]): row for row in csv.DictReader(file)}
    assert {method for method, _ in rows} == {"baseline", "baseline_mc"}
    for (method, measure), row in rows.items():
        values = [table[method]["table1"][measure]["mean"] for table in tables]
        assert [float(row[f"seed_{seed}"]) for seed in (20, 21)] == values
        assert float(row["mean"]) == pytest.approx(sum(values) / 2)
    assert rows["baseline", "ece"]["sd"] != "0.0" and (study.run / "evaluation" / "seeds.md").read_text() in ended.out
    again = launch(*command)
    assert again.code == 0 and "nothing to do" in again.out and json.dumps(again.out).count("Over seeds") == 1
