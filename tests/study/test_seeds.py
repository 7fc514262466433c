"""A study from several seeds: its jobs, each in its own run, and the spread of the numbers."""

import csv
import json
import shutil
import statistics

import pytest
from conftest import TINY
from made_up import manifest
from refusals import refused

from data_prep import records
from data_prep.base import artefacts
from data_prep.base.errors import UserError
from tfunc import methods, runs
from tfunc.learning import settings
from tfunc.scoring import measures
from tfunc.study import seeds
from tfunc.study.plan import plan
from tfunc.study.run import Study

CHOSEN = ("baseline", "baseline_mc")
SETTINGS = {**settings.defaults(), "seed": 5}


def test_each_seed_has_the_whole_study_in_its_own_run(tmp_path):
    """The first is the run itself, job for job; another seed's jobs are the same ones, renamed, with its run and its seed."""
    chosen = methods.parse(CHOSEN)
    single = plan(manifest(), chosen, SETTINGS)
    jobs = seeds.jobs(manifest(), chosen, SETTINGS, seeds.of(SETTINGS, 3))
    assert jobs[: len(single)] == single
    assert seeds.jobs(manifest(), chosen, SETTINGS, [5]) == single
    other = jobs[2 * len(single) :]
    assert [job.name for job in other] == [f"seed7_{job.name}" for job in single]
    assert [job.needs for job in other] == [tuple(f"seed7_{need}" for need in job.needs) for job in single]
    shared = {"train": ["--dataset=brats", f"--run_dir={tmp_path}", "--seed=5"]}
    study = Study(jobs, tmp_path, lambda name: [name], shared)
    command = study.command(study.jobs["seed7_train_baseline"])
    own = tmp_path / "seeds" / "7"
    assert command == ["train", *shared["train"], "--network=baseline", f"--run_dir={own}", "--seed=7"]
    predicted = study.command(study.jobs["seed7_predict_baseline_mc"])
    assert predicted[-1] == f"--run_dir={own}" and not any(flag.startswith("--seed") for flag in predicted)
    assert study.command(study.jobs["train_baseline"])[-1] == "--network=baseline"


@pytest.mark.long
def test_a_job_is_done_in_its_own_run(isic_data, isic_run, train, tmp_path):
    """By what lies in the seed's folder, trained from that very seed."""
    run_dir = shutil.copytree(isic_run, tmp_path / "run")
    data, asked = records.read_manifest(isic_data), {**settings.defaults(), **TINY}
    jobs = {job.name: job for job in seeds.jobs(data, methods.parse(["baseline"]), asked, [20, 21, 22])}
    train("baseline", "isic", isic_data, seeds.run_folder(run_dir, 21), seed=21)
    shutil.copytree(seeds.run_folder(run_dir, 21), seeds.run_folder(run_dir, 22))  # of another seed than its folder's
    trained = [
        jobs[name].is_done(run_dir) for name in ("train_baseline", "seed21_train_baseline", "seed22_train_baseline")
    ]
    assert trained == [True, True, False]
    assert jobs["seed21_train_baseline"].part_done(run_dir) == 1 and jobs["seed21_evaluate"].part_done(run_dir) == 0


def evaluated(folder, **values):
    """An evaluation whose Table 1 says these numbers of `baseline`, and others of another method."""
    table = {measure.name: {"mean": values.get(measure.name, 0.5)} for measure in measures.table1()}
    other = {name: {"mean": cell["mean"] and cell["mean"] / 2} for name, cell in table.items()}
    document = {"methods": {"baseline": {"table1": table}, "center": {"table1": other}}}
    artefacts.write_json(runs.evaluation_dir(folder) / runs.EVALUATED, document)


def test_mean_and_spread_of_every_measure(tmp_path):
    """Python's own statistics of the values: sample deviation, range, and the values beside them; undefined stays so."""
    dice = [0.81, 0.86, 0.84]
    for folder, value, ue in zip(
        (tmp_path, tmp_path / "seeds" / "6", tmp_path / "seeds" / "7"), dice, (0.4, None, 0.41), strict=True
    ):
        evaluated(folder, dice=value, ue=ue, ece=value / 10)
    paths = seeds.write(tmp_path, ["baseline", "center"], [5, 6, 7])
    assert paths["csv"] == tmp_path / "evaluation" / "seeds.csv"
    rows = list(csv.DictReader(paths["csv"].open()))
    assert [(row["method"], row["measure"]) for row in rows] == [
        (method, measure.name) for method in ("baseline", "center") for measure in measures.table1()
    ]
    found = {(row["method"], row["measure"]): row for row in rows}
    row = found["baseline", "dice"]
    assert [float(row[f"seed_{seed}"]) for seed in (5, 6, 7)] == dice and row["seeds"] == "3"
    assert float(row["mean"]) == pytest.approx(statistics.mean(dice), rel=1e-12)
    assert float(row["sd"]) == pytest.approx(statistics.stdev(dice), rel=1e-12)
    assert (float(row["lowest"]), float(row["highest"])) == (0.81, 0.86)
    undefined = found["baseline", "ue"]
    assert undefined["mean"] == undefined["sd"] == undefined["seed_6"] == "" and undefined["seed_7"] == "0.41"
    text = paths["md"].read_text()
    assert "0.837 ± 0.025 [0.810, 0.860]" in text and "8.367 ± 0.252 [8.100, 8.600]" in text and "| – |" in text
    assert "seeds 5 to 7" in text and text.count("\n| ") == 3


def test_an_evaluation_that_lacks_a_method(tmp_path):
    """It is named, and nothing is written."""
    evaluated(tmp_path)
    evaluated(tmp_path / "seeds" / "6")
    with pytest.raises(UserError, match=r"summary.json: expected an evaluation of tta"):
        seeds.write(tmp_path, ["tta"], [6, 6])
    assert not (tmp_path / "evaluation" / "seeds.csv").exists()


@pytest.mark.long
def test_the_launcher_plans_them(launch, isic_data, tmp_path):
    """--dry_run lists all jobs, one a line; no seeds, or more than there are, are refused in one line."""
    flags = ["--dataset=isic", f"--data_dir={isic_data}", f"--run_dir={tmp_path}", "--methods=baseline", "--dry_run"]
    ended = launch("study", *flags, "--seeds=2")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert [line.split()[2] for line in lines] == [
        *(f"{name}" for name in ("train_baseline", "predict_baseline", "evaluate")),
        *(f"seed21_{name}" for name in ("train_baseline", "predict_baseline", "evaluate")),
    ]
    refused(launch("study", *flags, "--seeds=0"), 2, "seeds")
    refused(launch("study", *flags, "--seeds=2", f"--seed={settings.LARGEST_SEED}"), 2, "--seeds=2")


def test_defaults_are_one():
    """One seed is the study as ever."""
    assert seeds.of(settings.defaults(), 1) == [20] and json.dumps(seeds.of(SETTINGS, 2)) == "[5, 6]"
