"""The programs on a cluster of separate processes: the same bytes as here, whoever is killed in the middle."""

import filecmp
import re
import shutil
import subprocess
import sys
import time

import pytest
from clusters import ROOT, cluster
from refusals import refused
from threads import users_environment

from tfunc import runs

pytest.importorskip("distributed")
SETTINGS = (
    "--epochs=2", "--start_filters=4", "--depth=2", "--batch_size=8", "--learning_rate=1e-2", "--samples=3",
    "--methods=baseline,baseline_mc",
)  # fmt: skip
TABLES = "*.csv"
SUBJECTS = 12

pytestmark = pytest.mark.long


def same(folder, other, pattern):
    """Compares the files of a pattern, all of which must be there, byte by byte; returns their names."""
    names, others = ({path.name for path in at.glob(pattern)} for at in (folder, other))
    assert names == others and names
    _, different, failed = filecmp.cmpfiles(folder, other, names, shallow=False)
    assert (different, failed) == ([], []), f"{folder} and {other}"
    return names


def started(*command):
    """A program of ours as a user starts it in another process."""
    line = [sys.executable, str(ROOT / "launch" / f"{command[0]}.py"), *command[1:]]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=users_environment())


def ended(process):
    out, err = process.communicate(timeout=400)
    return process.returncode, out, err


def wait_for(seen, process, seconds=120):
    """Until `seen()`, as long as the process runs."""
    until = time.monotonic() + seconds
    while not seen():
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def here(tmp_path_factory, launch):
    """Raw data, records, a study and its evaluation, made by this machine alone."""
    folder = tmp_path_factory.mktemp("here")
    where = "--dataset=brats", f"--data_dir={folder / 'data'}", f"--run_dir={folder / 'run'}"
    raw = f"--raw_dir={folder / 'raw'}"
    for command in (
        ("phantom", "--dataset=brats", raw, f"--subjects={SUBJECTS}", "--shape=16,32,32"),
        ("prepare", "--dataset=brats", raw, f"--data_dir={folder / 'data'}", "--workers=1"),
        ("study", *where, *SETTINGS, "--jobs_per_machine=2"),
    ):
        made = launch(*command)
        assert made.code == 0, made.err
    return folder


@pytest.fixture(scope="module")
def three():
    """A cluster of three workers, for tests that kill none."""
    with cluster(3) as made:
        yield made


def test_records_and_tables_are_the_same_bytes(here, three, launch, tmp_path):
    """prepare, a study, predict and evaluate on three workers against this machine alone."""
    data, run = tmp_path / "data", tmp_path / "run"
    where = "--dataset=brats", f"--data_dir={data}", f"--run_dir={run}", f"--scheduler={three.address}"
    made = launch("prepare", "--dataset=brats", f"--raw_dir={here / 'raw'}", where[1], where[3])
    assert made.code == 0, made.err
    assert len(same(data, here / "data", "*.tfrecord")) > 2
    assert (data / "dataset.json").read_text() == (here / "data" / "dataset.json").read_text()

    made = launch("study", *where, *SETTINGS)
    assert made.code == 0, made.err
    assert {"table1.csv", "subjects.csv"} <= same(run / "evaluation", here / "run" / "evaluation", TABLES)
    assert "[4/4] evaluate" in made.out and len(re.findall(r"^\[", made.out, re.M)) == 4
    assert len(list((run / "study" / "logs").glob("*.log"))) == 4
    again = launch("study", *where, *SETTINGS)
    assert again.code == 0 and "all 4 jobs are done" in again.out

    (run / "evaluation").rename(tmp_path / "by_a_job")
    made = launch("evaluate", *where, "--methods=baseline,baseline_mc")
    assert made.code == 0, made.err
    same(run / "evaluation", tmp_path / "by_a_job", TABLES)

    first = runs.predictions_dir(run, "baseline_mc", "test")
    first.rename(tmp_path / "by_a_job_too")
    made = launch("predict", *where, "--method=baseline_mc", "--samples=3")
    assert made.code == 0, made.err
    same(first, tmp_path / "by_a_job_too", "*.nii.gz")


@pytest.mark.parametrize("who", ["worker", "scheduler"])
def test_prepare_goes_on(here, tmp_path, who):
    """kill -9 of a worker: the others do its part. Of the scheduler: a clear end, and the same command continues."""
    data = tmp_path / "data"
    command = "prepare", "--dataset=brats", f"--raw_dir={here / 'raw'}", f"--data_dir={data}"
    with cluster(2) as made:
        process = started(*command, f"--scheduler={made.address}")
        wait_for(lambda: any((data / "parts").glob("*.part")), process)
        made.kill(made.workers[0] if who == "worker" else made.scheduler)
        code, _, err = ended(process)
    if who == "scheduler":
        assert code == 2, err
        (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
        assert "expected the scheduler that was there" in line and "Traceback" not in err
        with cluster(1) as made:
            code, out, err = ended(started(*command, f"--scheduler={made.address}"))
            assert f"continuing in {data}" in out
    assert code == 0, err
    same(data, here / "data", "*.tfrecord")
    assert not (data / "parts").exists()


@pytest.mark.parametrize("who", ["worker", "scheduler"])
def test_a_study_goes_on(here, tmp_path, who):
    """Killed in a training: the job's process ends with its worker and saves, another worker goes on with it; same tables."""
    run = tmp_path / "run"
    command = "study", "--dataset=brats", f"--data_dir={here / 'data'}", f"--run_dir={run}", *SETTINGS
    state = run / "networks" / "baseline" / "resume.json"
    with cluster(2) as made:
        process = started(*command, f"--scheduler={made.address}")
        wait_for(state.exists, process)
        made.kill(made.workers[0] if who == "worker" else made.scheduler)
        code, _, err = ended(process)
    if who == "scheduler":
        assert code == 2 and "expected the scheduler that was there" in err and "Traceback" not in err
        with cluster(1) as made:
            code, _, err = ended(started(*command, f"--scheduler={made.address}"))
    assert code == 0, err
    same(run / "evaluation", here / "run" / "evaluation", TABLES)


def connected(made):
    """Whether a program is there that has not said goodbye."""
    return "Receive client connection" in made.log("scheduler").rpartition("Remove client")[2]


def went_on(who, command, seen):
    """Runs a program on a cluster and kills `who` once `seen()`; where that is the scheduler, again on another cluster."""
    with cluster(2) as made:
        process = started(*command, f"--scheduler={made.address}")
        wait_for(lambda: seen(made), process)
        made.kill(made.workers[0] if who == "worker" else made.scheduler)
        code, _, err = ended(process)
    if who == "scheduler":
        assert code == 2, err
        (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
        # or, killed in the client's first milliseconds, one that did not answer
        assert re.search("expected (the scheduler that was|a Dask scheduler) there", line) and "Traceback" not in err
        with cluster(1) as made:
            code, _, err = ended(started(*command, f"--scheduler={made.address}"))
    assert code == 0, err


@pytest.mark.parametrize("who", ["worker", "scheduler"])
def test_predict_and_evaluate_go_on(here, tmp_path, who):
    """Killed when the first maps are there, and as subjects begin to be counted: the same bytes, after another call or not.

    Those of MC dropout: each subject is a batch of its own here too, so the maps are the same to the last bit.
    """
    run = shutil.copytree(here / "run", tmp_path / "run")
    maps = runs.predictions_dir(run, "baseline_mc", "test")
    maps.rename(tmp_path / "maps")
    where = "--dataset=brats", f"--data_dir={here / 'data'}", f"--run_dir={run}"
    predict = "predict", *where, "--method=baseline_mc", "--samples=3"
    went_on(who, predict, lambda made: any(maps.glob("*_prediction.nii.gz")))
    same(maps, tmp_path / "maps", "*.nii.gz")
    (run / "evaluation").rename(tmp_path / "evaluation")
    went_on(who, ("evaluate", *where, "--methods=baseline,baseline_mc"), connected)
    same(run / "evaluation", tmp_path / "evaluation", TABLES)


def test_a_stopped_study_ends_its_jobs(here, tmp_path):
    """SIGTERM of the study: its jobs on the workers save and end, and so does it, in one line."""
    run = tmp_path / "run"
    command = "study", "--dataset=brats", f"--data_dir={here / 'data'}", f"--run_dir={run}", *SETTINGS, "--epochs=500"
    with cluster(1) as made:
        process = started(*command, f"--scheduler={made.address}")
        wait_for((run / "networks" / "baseline" / "resume.json").exists, process)
        process.terminate()
        code, _, err = ended(process)
        assert code == 143 and err.splitlines()[-1] == "error: the study was stopped; the same command continues"
        log = (run / "study" / "logs" / "train_baseline.log").read_text()
        assert "stopped" in log.splitlines()[-1]
        assert made.workers[0].poll() is None


def test_a_job_that_fails_twice(here, tmp_path):
    """It is reported with the machine, the worker, its exit code and the end of its log; a user's mistake is not tried again."""
    run = tmp_path / "run"
    where = "--dataset=brats", f"--data_dir={here / 'data'}", f"--run_dir={run}"
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import os, sys\nif sys.orig_argv[1:4] == ['-m', 'tfunc', 'train']:\n"
        "    print('so it ends', flush=True)\n    os._exit(77)\n"
    )
    with cluster(1, environment={"PYTHONPATH": f"{broken}:{ROOT}"}) as made:
        code, out, err = ended(started("study", *where, *SETTINGS, f"--scheduler={made.address}"))
        assert code == 2, err
        assert "job train_" in err and "exit code 77 on " in err and f"worker {made.workers[0].pid}" in err
        log = next((run / "study" / "logs").glob("train_*.log")).read_text()
        assert log.count("so it ends") == 2 and out.endswith("so it ends\n")
    with cluster(1) as made:
        mistake = ended(started("study", *where, *SETTINGS, "--devices=GPU:7", f"--scheduler={made.address}"))
        assert mistake[0] == 2 and "GPU:7" in mistake[2] and "second try" not in mistake[2]


def test_flags_that_do_not_go_together(launch, here, tmp_path):
    """One line each."""
    where = "--dataset=brats", f"--data_dir={here / 'data'}", f"--run_dir={tmp_path}", "--scheduler=tcp://127.0.0.1:1"
    refused(launch("study", *where, "--jobs_per_machine=2"), 2, "--jobs_per_machine=2")
    refused(launch("predict", *where, "--method=baseline", f"--input={tmp_path}", "--out_dir=maps"), 2, "--input")
    refused(launch("predict", *where, "--method=baseline", "--recalibrated"), 2, "--recalibrated")
    refused(launch("study", *where), 2, "expected a Dask scheduler there")
