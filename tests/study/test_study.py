"""The study: its plan, what is done, what is claimed, and what happens when a job fails or is killed."""

import dataclasses
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import ClassVar

import pytest
from clusters import cluster
from made_up import manifest

from data_prep.base import artefacts, gpus
from data_prep.base.errors import NotReady, Stopped, UserError
from tfunc import methods, networks, runs
from tfunc.learning import settings as trainings
from tfunc.maps import artefact
from tfunc.reporting import finished
from tfunc.study import commands, run
from tfunc.study.jobs import Job
from tfunc.study.plan import plan
from tfunc.study.run import Study


def jobs_by_name(*args, **kwargs):
    return {job.name: job for job in plan(*args, **kwargs)}


def test_plan_of_all_methods():
    """Every network once, every method predicted once, each job after what it needs, and the evaluation last."""
    jobs = jobs_by_name(manifest(), methods.parse(["all"]), {"ensemble_size": 3, "folds": 2})
    names = list(jobs)
    assert [name for name in names if name.startswith("train_")].__len__() == 3 + 3 + 2 + 2
    assert {name for name in names if name.startswith("predict_") and "@" not in name} >= {
        f"predict_{method.name}" for method in methods.parse(["all"])
    }
    for job in jobs.values():
        assert all(names.index(need) < names.index(job.name) for need in job.needs)
    assert names[-1] == "evaluate" and len(jobs["evaluate"].needs) == len(methods.parse(["all"]))


def test_the_ensemble_of_folds_is_planned_where_it_is_named():
    """It trains all folds, which auxiliary segm. shares, and is not among `all`."""
    assert "cv_ensemble" not in [method.name for method in methods.parse(["all"])]
    chosen = methods.parse(["auxiliary_segm", "cv_ensemble"])
    jobs = jobs_by_name(manifest(), chosen, {"folds": 3})
    assert jobs["predict_cv_ensemble"].needs == ("train_cv_0", "train_cv_1", "train_cv_2")
    assert [name for name in jobs if name.startswith("train_cv")] == ["train_cv_0", "train_cv_1", "train_cv_2"]
    alone = jobs_by_name(manifest(), methods.parse(["cv_ensemble"]), {"folds": 2})
    assert list(alone) == ["train_cv_0", "train_cv_1", "predict_cv_ensemble", "evaluate"]


def test_networks_are_shared():
    """baseline, baseline_mc and both auxiliaries stand on one trained baseline."""
    jobs = jobs_by_name(manifest(), methods.parse(["baseline", "baseline_mc", "auxiliary_feat"]))
    assert [name for name in jobs if name.startswith("train_")] == ["train_baseline", "train_auxiliary_feat"]
    assert "train_baseline" in jobs["predict_baseline_mc"].needs


def test_auxiliary_segmentation_waits_for_all_held_out_predictions():
    """On ISIC also for the real baseline's predictions of the validation images."""
    needs = jobs_by_name(manifest("isic"), methods.parse(["auxiliary_segm"]), {"folds": 3})[
        "train_auxiliary_segm"
    ].needs
    assert {f"predict_cv_{k}_heldout" for k in range(3)} | {"predict_baseline_valid"} <= set(needs)
    needs = jobs_by_name(manifest("brats"), methods.parse(["auxiliary_segm"]), {"folds": 3})[
        "train_auxiliary_segm"
    ].needs
    assert "predict_baseline_valid" not in needs


def test_honest_thresholds_need_the_validation_split():
    """With `valid`, every method predicts that split too."""
    jobs = jobs_by_name(manifest(), methods.parse(["baseline"]), threshold_split="valid")
    assert {"predict_baseline", "predict_baseline_valid"} <= set(jobs["evaluate"].needs)


def test_recalibration_is_planned_where_it_is_asked_for(tmp_path):
    """Every method's validation maps, a recalibration of each probability, and rows for them in the evaluation."""
    jobs = jobs_by_name(manifest(), methods.parse(["baseline", "aleatoric"]), recalibrate=True)
    assert {"predict_baseline_valid", "predict_aleatoric_valid", "recalibrate_baseline"} <= set(jobs["evaluate"].needs)
    assert "recalibrate_aleatoric" not in jobs and jobs["recalibrate_baseline"].needs == ("predict_baseline_valid",)
    assert jobs["recalibrate_baseline"].flags(tmp_path) == ["--method=baseline"]
    assert not jobs["recalibrate_baseline"].is_done(tmp_path)
    assert jobs["evaluate"].flags(tmp_path) == ["--methods=baseline,aleatoric,baseline_recalibrated"]


# A study of made-up jobs: the "launcher" is a script that notes its start and writes its artefact

SCRIPT = textwrap.dedent(
    """
    import pathlib, sys, time
    name, artefact, seconds, code, log = sys.argv[1:6]
    with open(log, "a") as file:
        file.write(name + chr(10))
    time.sleep(float(seconds))
    if int(code) == 0:
        path = pathlib.Path(artefact)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("done")
        print(name, "made")
    else:
        print("error: it went wrong")
    sys.exit(int(code))
    """
)


@dataclasses.dataclass(frozen=True)
class MadeUp(Job):
    """A job of the script: done when the file of its name is there."""

    seconds: float
    code: int
    starts: pathlib.Path
    program: ClassVar[str] = "job"

    def flags(self, run_dir):
        return [self.name, str(run_dir / self.name), str(self.seconds), str(self.code), str(self.starts)]

    def is_done(self, run_dir):
        return (run_dir / self.name).exists()


@pytest.fixture
def made_up(tmp_path):
    """made_up({name: (needs, seconds, exit code)}) -> Study, whose starts are noted in `starts`."""
    (tmp_path / "job.py").write_text(SCRIPT)
    told, starts = [], tmp_path / "starts"

    def program(name):
        return [sys.executable, str(tmp_path / f"{name}.py")]

    def make(jobs):
        made = [MadeUp(name, needs, 1.0, seconds, code, starts) for name, (needs, seconds, code) in jobs.items()]
        one = Study(made, tmp_path / "run", program, {}, told.append)
        one.told = told
        one.starts = lambda: starts.read_text().split() if starts.exists() else []
        return one

    return make


def test_runs_in_order_and_only_once(made_up):
    """Needs first; a second run starts nothing and says so."""
    jobs = {"a": ((), 0, 0), "b": (("a",), 0, 0), "c": (("b",), 0, 0)}
    one = made_up(jobs)
    one.run()
    assert one.starts() == ["a", "b", "c"]
    assert one.told[-1] == "[3/3] c 0:00, 0:00 left: c made"
    made_up(jobs).run()
    assert one.starts() == ["a", "b", "c"]
    assert "all 3 jobs are done; nothing to do" in one.told[-1]


def test_failure_stops_and_names_the_log(made_up):
    """The first failure ends the study with the job's own words and its log; what follows is not started."""
    one = made_up({"a": ((), 0, 2), "b": (("a",), 0, 0)})
    with pytest.raises(UserError, match=r"job a failed: error: it went wrong; see .*logs.a\.log"):
        one.run()
    assert one.starts() == ["a"]
    again = made_up({"a": ((), 0, 0), "b": (("a",), 0, 0)})
    again.run()
    assert again.starts() == ["a", "a", "b"]


def test_several_jobs_at_a_time(made_up, monkeypatch):
    """With two slots, independent jobs overlap."""
    monkeypatch.setattr(gpus, "counted", lambda: 0)
    one = made_up({"a": ((), 0.5, 0), "b": ((), 0.5, 0), "c": (("a", "b"), 0, 0)})
    one.run(slots=2)
    assert set(one.starts()[:2]) == {"a", "b"} and one.starts()[2] == "c"


def test_the_time_left_is_of_what_is_left(monkeypatch):
    """A training that an earlier process brought to nine tenths counts one tenth: what is left takes as long as it took."""
    now = [0.0]
    monkeypatch.setattr(run.time, "monotonic", lambda: now[0])
    clock = run._Clock({"resumed": 100 * (1 - 0.9), "whole": 100.0})
    now[0] = 60.0
    assert clock.left("resumed") == "10:00"


def test_how_far_a_training_is(tmp_path):
    """Its epochs of those that it is to have, of a folder that was begun; nothing of one that was not."""
    job = jobs_by_name(manifest(), methods.parse(["baseline"]))["train_baseline"]
    assert job.part_done(tmp_path) == 0.0
    folder = runs.network_dir(tmp_path, "baseline")
    config = trainings.resolve(job.network, job.manifest, job.settings)
    artefacts.write_json(folder / runs.CONFIG, config.document())
    state = {
        "file": "resume-00000003.npz",
        "sha256": "0" * 64,
        "stack": "current",
        "epoch": config.epochs // 2,
        "step": 3,
    }
    state |= {
        "step_in_epoch": 0,
        "loss_sum": 0.0,
        "best": 0.5,
        "best_epoch": 1,
        "kept_epoch": 1,
        "waited": 0,
        "history": [],
    }
    artefacts.write_json(folder / "resume.json", state)
    assert job.part_done(tmp_path) == 0.5


SAYS_ITS_GPU = """
import os, pathlib, sys, time
name, artefact = sys.argv[1:3]
time.sleep(0.3)
text = os.environ.get("CUDA_VISIBLE_DEVICES", "unset") + " " + os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH", "-")
path = pathlib.Path(artefact)
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(text)
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("user", "seen", "jobs", "expected", "said"),
    [
        (None, 0, 3, ["unset -"] * 3, "3 jobs at a time share the CPU: TensorFlow sees no GPU"),
        (None, 2, 2, ["0 -", "1 -"], None),
        (None, 1, 3, ["0 true"] * 3, "3 jobs at a time share 1 GPU (0)"),
        ("", 0, 2, [" -"] * 2, "2 jobs at a time share the CPU"),
        ("-1", 0, 2, ["-1 -"] * 2, "2 jobs at a time share the CPU"),
        ("4,7", 2, 3, ["4 true", "4 true", "7 true"], "3 jobs at a time share 2 GPUs (4, 7)"),
        ("4,7", 1, 2, ["4 true"] * 2, "2 jobs at a time share 1 GPU (4)"),
        ("4,7", 0, 2, ["4 -", "7 -"], "CUDA_VISIBLE_DEVICES=4,7 names GPUs, but TensorFlow sees none"),
        ("GPU-1a2b,-1,3", 1, 2, ["GPU-1a2b true"] * 2, "2 jobs at a time share 1 GPU (GPU-1a2b)"),
    ],
)
def test_which_gpu_each_job_sees(made_up, tmp_path, monkeypatch, user, seen, jobs, expected, said):
    """Those that the user's CUDA_VISIBLE_DEVICES allows and no other; sharing, and seeing none, is said."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if user is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", user)
    monkeypatch.setattr(gpus, "counted", lambda: seen)
    one = made_up({f"job{index}": ((), 0, 0) for index in range(jobs)})
    (tmp_path / "job.py").write_text(SAYS_ITS_GPU)
    one.run(slots=jobs)
    assert sorted((tmp_path / "run" / f"job{index}").read_text() for index in range(jobs)) == sorted(expected)
    assert [line.startswith(said) for line in one.told[:1]] == [True] if said else one.told[0].startswith("[")


def test_no_gpu_is_counted_where_the_user_forbids_them(monkeypatch):
    """An empty CUDA_VISIBLE_DEVICES is an answer: nobody is asked, and one job at a time asks nobody either."""
    monkeypatch.setattr(gpus.subprocess, "run", lambda *a, **k: pytest.fail("asked"))
    for none in ("", "-1", "-1,0"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", none)
        assert gpus.counted() == 0


def test_one_job_of_the_list(made_up):
    """For array jobs: a job whose needs are unfinished is refused with exit code 3 and their names."""
    one = made_up({"a": ((), 0, 0), "b": (("a",), 0, 0)})
    with pytest.raises(NotReady, match="unfinished: a") as raised:
        one.run_one("b")
    assert raised.value.exit_code == 3
    one.run_one("a")
    one.run_one("b")
    one.run_one("b")
    assert one.starts() == ["a", "b"] and one.told[-1] == "b: done already"


def test_a_claimed_job_is_left_alone(made_up):
    """A job that another study runs is not started; when its lock falls, without the job done, it is."""
    one = made_up({"a": ((), 0, 0)})
    order = one.order(one.jobs["a"])
    lock = commands.claim(order)
    assert commands.claim(order) is None
    with pytest.raises(NotReady, match=f"found one that process {os.getpid()} on .* runs; wait for it"):
        one.run_one("a")
    lock.close()
    one.run_one("a")
    assert one.starts() == ["a"]


def test_a_run_that_can_only_be_read(made_up, monkeypatch):
    """What is done needs no lock; what is not is named with the folder, in one line."""
    one = made_up({"a": ((), 0, 0)})
    one.run()

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(run.locks, "taken", refuse)
    one.run()
    one.run_one("a")
    with pytest.raises(
        UserError, match="run: expected a run folder that can be written, as b is not done, found Permission"
    ):
        made_up({"a": ((), 0, 0), "b": ((), 0, 0)}).run()


def test_the_lock_lives_as_long_as_the_command(made_up, tmp_path):
    """A study killed with its job still running does not free the job; the job's own end does."""
    one = made_up({"a": ((), 1.0, 0)})
    order = one.order(one.jobs["a"])
    lock = commands.claim(order)
    process = commands.start(order, lock)
    lock.close()  # as if the study had died
    assert commands.claim(order) is None
    process.kill()
    process.wait()
    freed = commands.claim(order)
    assert freed is not None
    freed.close()


SAVES_SLOWLY = """
import signal, sys, time
asked = []
def saved(number, frame):
    asked.append(number)
    if len(asked) > 1:  # as our programs end at a second request
        sys.exit(1)
signal.signal(signal.SIGTERM, saved)
open(sys.argv[2] + ".begun", "w").close()
while not asked:
    time.sleep(0.05)
until = time.monotonic() + 3 * float(sys.argv[3])
while time.monotonic() < until:
    time.sleep(0.05)
open(sys.argv[2] + ".saved", "w").close()
sys.exit(143)
"""


def test_a_job_is_asked_once_and_waited_for(made_up, tmp_path, monkeypatch):
    """It may save for longer than the study waits before it looks for more to end: a second signal would end it unsaved."""
    monkeypatch.setattr(commands, "ASKED_SECONDS", 0.3)
    one = made_up({"a": ((), 0.5, 0)})
    (tmp_path / "job.py").write_text(SAVES_SLOWLY)
    (tmp_path / "run").mkdir()

    def stop():
        while not (tmp_path / "run" / "a.begun").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop).start()
    with pytest.raises(Stopped):
        one.run()
    assert (tmp_path / "run" / "a.saved").exists()


@pytest.mark.long
def test_a_study_without_workers_is_stopped_at_once(made_up):
    """Jobs that wait for a worker are given up, not waited for."""
    pytest.importorskip("distributed")
    with cluster(0) as started:
        one = made_up({"a": ((), 0, 0)})
        one.scheduler = started.address
        begun = time.monotonic()
        timer = threading.Timer(3, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        with pytest.raises(Stopped):
            one.run()
        assert time.monotonic() - begun < 20


def test_two_studies_share_a_folder(made_up, tmp_path):
    """A study that starts while another process runs a job waits for it, and does not run it again."""
    one = made_up({"a": ((), 0, 0), "b": (("a",), 0, 0)})
    path = tmp_path / "run" / "study" / "locks" / "a.lock"
    path.parent.mkdir(parents=True)
    other = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
            import fcntl, pathlib, time
            file = open({str(path)!r}, "a")
            fcntl.flock(file, fcntl.LOCK_EX)
            print("locked", flush=True)
            time.sleep(1)
            pathlib.Path({str(tmp_path / "run" / "a")!r}).write_text("made by the other")
        """),
        ],
        stdout=subprocess.PIPE,
    )
    assert other.stdout.readline() == b"locked\n"
    start = time.monotonic()
    one.run()
    assert one.starts() == ["b"] and time.monotonic() - start > 0.3
    other.wait()


def test_what_a_job_writes_behind_its_artefact_is_waited_for(made_up, tmp_path):
    """A job that a killed study left at work: its artefact is there, and the study ends when it has ended too."""
    one = made_up({"a": ((), 0, 0)})
    script = "import sys, time\nopen(sys.argv[1], 'w').close()\ntime.sleep(1)\nopen(sys.argv[1] + '.more', 'w').close()"
    with commands.claim(one.order(one.jobs["a"])) as lock:
        command = [sys.executable, "-c", script, str(tmp_path / "run" / "a")]
        orphan = subprocess.Popen(command, pass_fds=(lock.fileno(),))
    one.run()
    assert (tmp_path / "run" / "a.more").exists() and one.starts() == []
    orphan.wait()


def test_lock_is_the_kernels(made_up):
    """The lock is an flock on a file, so it cannot outlive its processes."""
    one = made_up({"a": ((), 0, 0)})
    with (
        commands.claim(one.order(one.jobs["a"])),
        open(one.folder / "locks" / "a.lock") as file,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


# The real jobs: each recognises its artefact as the program that made it would


def job(name):
    """How a study's command of a launcher begins, here one that nobody starts."""
    return [name]


def trained(run_dir, data, settings, name="baseline", checksum="a", **changed):
    """A finished network in the run, by the configuration that its training would write."""
    config = trainings.resolve(networks.get(name), data, {**trainings.defaults(), **settings})
    folder = runs.network_dir(run_dir, name)
    artefacts.write_json(folder / runs.CONFIG, {**config.document(), **changed})
    artefacts.write_json(folder / runs.FINISHED, {"weights_sha256": checksum})


def test_another_training_is_not_done(tmp_path):
    """A network of another configuration, of other records or unfinished is asked for again; a flag it ignores is not."""
    data, settings = manifest(), {"epochs": 2, "batch_size": 8, "precision": "float32"}
    study = Study(plan(data, methods.parse(["baseline"]), settings), tmp_path, job, {})
    train = study.jobs["train_baseline"]
    assert not study.done(train)
    trained(tmp_path, data, settings)
    assert study.done(train)
    for change in ({"epochs": 1}, {"records": "others"}, {"precision": "bfloat16"}, {"train_subjects": 7}):
        trained(tmp_path, data, settings, **change)
        assert study.done(train) == (change == {"train_subjects": 20}), change
    trained(tmp_path, data, settings)
    (runs.network_dir(tmp_path, "baseline") / runs.FINISHED).unlink()
    assert not study.done(train)
    other = Study(plan(data, methods.parse(["baseline"]), {**settings, "folds": 3}), tmp_path, job, {})
    trained(tmp_path, data, settings)
    assert other.done(other.jobs["train_baseline"])  # folds are the cross-validation's


def test_recognising_looks_at_no_weights(tmp_path):
    """A study asks several times a second; missing weights are told by the job that needs them."""
    data, settings = manifest(), {"epochs": 2}
    study = Study(plan(data, methods.parse(["auxiliary_feat"]), settings), tmp_path, job, {})
    trained(tmp_path, data, settings)
    inputs = trainings.inputs(networks.get("auxiliary_feat"), data, tmp_path, {**trainings.defaults(), **settings})
    head = trainings.resolve(networks.get("auxiliary_feat"), data, {**trainings.defaults(), **settings}, inputs)
    artefacts.write_json(runs.network_dir(tmp_path, "auxiliary_feat") / runs.CONFIG, head.document())
    artefacts.write_json(runs.network_dir(tmp_path, "auxiliary_feat") / runs.FINISHED, {"weights_sha256": "b"})
    assert not list(tmp_path.rglob("*.h5"))
    assert study.done(study.jobs["train_auxiliary_feat"]) and any("done" in line for line in study.describe())


def test_another_prediction_is_not_done(tmp_path):
    """Maps by other weights or records, of some subjects, or with other samples are asked for again."""
    data, settings = manifest(), {"epochs": 2}
    study = Study(plan(data, methods.parse(["baseline_mc"]), settings, samples=5), tmp_path, job, {})
    predict = study.jobs["predict_baseline_mc"]
    trained(tmp_path, data, settings)
    method = methods.get("baseline_mc")
    made = artefact.document(
        method,
        {"samples": 5, "seed": 20},
        "float32",
        {"baseline": "a"},
        {"baseline": runs.configuration(tmp_path, "baseline")},
        split="test",
        records=data.identity,
    )
    path = runs.predictions_dir(tmp_path, "baseline_mc") / runs.PREDICTED
    for change, done in (
        ({}, True),
        ({"samples": 2}, False),
        ({"seed": 3}, True),  # a study has no flag for it
        ({"complete": False}, False),
        ({"networks": {"baseline": "b"}}, False),
        ({"configurations": {"baseline": "b"}}, False),
        ({"records": "others"}, False),
        ({"precision": "bfloat16"}, True),  # they serve as well
        ({"predictive": "Softmax"}, False),
    ):
        artefacts.write_json(path, {**made, "complete": True, **change})
        assert study.done(predict) == done, change


def test_an_old_evaluation_is_not_done(tmp_path):
    """One that lacks a method, chose its thresholds elsewhere, or is older than a prediction is asked for again."""
    study = Study(plan(manifest(), methods.parse(["baseline"])), tmp_path, job, {})
    evaluate, index = study.jobs["evaluate"], runs.predictions_dir(tmp_path, "baseline") / runs.PREDICTED
    summary = runs.evaluation_dir(tmp_path) / runs.EVALUATED
    artefacts.write_json(index, {})
    written = {"methods": {"baseline": {}, "center": {}}, "settings": {"threshold_split": "test"}}
    artefacts.write_json(summary, written)
    assert not study.done(evaluate)  # it lacks the tables that came later
    for name in finished.TABLES:
        (summary.parent / name).touch()
    assert study.done(evaluate)
    artefacts.write_json(summary, {**written, "methods": {"center": {}}})
    assert not study.done(evaluate)
    artefacts.write_json(summary, {**written, "settings": {"threshold_split": "valid"}})
    assert not study.done(evaluate)
    artefacts.write_json(summary, written)
    os.utime(index, (time.time() + 9, time.time() + 9))
    assert not study.done(evaluate)


def test_a_table_is_extended_never_cut(tmp_path):
    """The evaluation's command names the methods that were evaluated before, beside its own."""
    study = Study(plan(manifest(), methods.parse(["center"])), tmp_path, job, {"evaluate": ["--dataset=brats"]})
    summary = runs.evaluation_dir(tmp_path) / runs.EVALUATED
    artefacts.write_json(summary, {"methods": {"baseline": {}}, "settings": {"threshold_split": "test"}})
    command = study.command(study.jobs["evaluate"])
    assert command == ["evaluate", "--dataset=brats", "--methods=baseline,center"]
