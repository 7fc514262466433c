"""All programs with every folder on an S3 server: the same files as on a disk, whichever machine goes on, whenever killed."""

import json
import os
import pathlib
import shutil
import signal

import pytest
from conftest import ISIC_SHAPE
from s3_server import files, upload, where

from data_prep import records
from data_prep.base import artefacts, mirrors, stores
from data_prep.base.errors import NotReady
from tfunc import runs

TINY = ("--start_filters=4", "--depth=1", "--batch_size=8", "--epochs=2")
SIZE = f"--image_size={ISIC_SHAPE[0]},{ISIC_SHAPE[1]}"


@pytest.fixture
def reader(s3, tmp_path, monkeypatch):
    """reader(url): the folder as this process finds it, on a machine that had nothing of it."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(stores.ROOT, "")
    count = [0]

    def read(url):
        count[0] += 1
        os.environ[stores.CACHE] = str(tmp_path / f"reader_{count[0]}")
        os.environ.pop(stores.ROOT, None)
        folder = stores.local(url)
        mirrors.fetch(folder)
        return folder

    monkeypatch.setenv(stores.CACHE, "")
    return read


@pytest.fixture
def top(s3, isic_data, isic_run):
    """A URL below which lie raw data, records and a trained run."""
    url = f"s3://{s3.bucket()}/a study"
    upload(s3, isic_data.parent / "raw", f"{url}/raw")
    upload(s3, isic_data, f"{url}/data")
    upload(s3, isic_run, f"{url}/run")
    return url


def study_of(run, top):
    """Prepares, trains, predicts and evaluates, each by `run()`, below `top`."""
    both = ["--dataset=isic", *where(top, "data", "run")]
    run()("prepare", "--dataset=isic", *where(top, "raw", "data"), SIZE)
    run()("train", "--method=baseline", *both, *TINY)
    run()("predict", "--method=baseline", *both)
    return run()("evaluate", *both)


@pytest.mark.long
def test_the_same_files_as_on_a_disk(launch, machine, s3, isic_data, tmp_path):
    """Every program on a machine of its own, which had nothing."""
    url = f"s3://{s3.bucket()}/a study"
    upload(s3, isic_data.parent / "raw", f"{url}/raw")
    shutil.copytree(isic_data.parent / "raw", tmp_path / "disk" / "raw")
    there = study_of(machine, url)
    here = study_of(lambda: launch, tmp_path / "disk")
    assert there.out.replace("'", "") == here.out.replace(str(tmp_path / "disk"), url)
    stored, kept = s3.content(url), files(tmp_path / "disk")
    assert {name for name in stored if "tfevents" not in name} == {name for name in kept if "tfevents" not in name}
    assert [name for name in stored if "tfevents" in name]
    same = [name for name in kept if name.endswith((".tfrecord", ".nii.gz", ".h5", ".png", ".csv", ".md", ".tex"))]
    assert len(same) > 30
    assert not [name for name in same if stored[name] != kept[name]]
    told = json.loads(stored["data/dataset.json"])
    assert told["configuration"]["raw_dir"] == f"{url}/raw"
    assert told["subjects"][0]["source"].startswith(f"{url}/raw/")
    assert not [name for name, content in stored.items() if str(tmp_path).encode() in content]


@pytest.mark.long
def test_what_is_finished_is_found_finished_elsewhere(machine, s3, top):
    both = ["--dataset=isic", *where(top, "data", "run")]
    for name in s3.content(f"{top}/data"):
        s3.client.delete_object(Bucket=top.split("/")[2], Key=f"a study/data/{name}")
    machine()("prepare", "--dataset=isic", *where(top, "raw", "data"), SIZE)
    machine()("predict", "--method=baseline", *both)
    machine()("evaluate", *both)
    before = len(s3.writes)
    assert (
        "finished, with the same configuration"
        in machine()("prepare", "--dataset=isic", *where(top, "raw", "data"), SIZE).out
    )
    assert "finished already" in machine()("predict", "--method=baseline", *both).out
    assert "already holds this evaluation" in machine()("evaluate", *both).out
    assert {path.rpartition("/")[0][-11:] for _, path in s3.writes[before:]} <= {".lock.lease"}


def killed(s3, machine, at, *command):
    """Starts a program and kills it before the store has taken the write that `at(method, path)` means."""
    started, done = [], []

    def step(method, path):
        if not done and at(method, path):
            done.append(path)
            os.kill(started[0][0], signal.SIGKILL)
            return True
        return bool(done)  # what was still on its way

    with s3.stepping_in(step):
        started.append(machine.start(*command))
        ended = machine.launch.end(started[0])
    assert ended.code == -signal.SIGKILL and done, ended.err


def put(ending):
    return lambda method, path: method == "PUT" and path.endswith(ending)


@pytest.mark.long
@pytest.mark.parametrize("ending", [".part", "test-00000-of-00001.tfrecord", "dataset.json"])
def test_a_preparation_that_is_killed(machine, reader, s3, isic_data, ending):
    url = f"s3://{s3.bucket()}/isic"
    upload(s3, isic_data.parent / "raw", f"{url}/raw")
    command = ["prepare", "--dataset=isic", *where(url, "raw", "data"), SIZE]
    killed(s3, machine(), put(ending), *command)
    with pytest.raises(NotReady):
        records.read_manifest(reader(f"{url}/data"))
    machine()(*command)
    folder = reader(f"{url}/data")
    assert records.read_manifest(folder).identity == records.read_manifest(isic_data).identity
    assert {path.name for path in folder.iterdir()} == {path.name for path in isic_data.iterdir()}
    assert [
        name for name, content in files(isic_data).items() if ".tfrecord" in name and files(folder)[name] != content
    ] == []


@pytest.mark.long
@pytest.mark.parametrize("ending", ["/best.weights.h5", "finished.json"])
def test_a_training_that_is_killed(launch, machine, reader, s3, isic_data, tmp_path, ending):
    """It goes on elsewhere and comes to the same weights as one that was not."""
    url = f"s3://{s3.bucket()}/isic"
    upload(s3, isic_data, f"{url}/data")
    flags = ["--method=baseline", "--dataset=isic", *TINY]
    killed(s3, machine(), put(ending), "train", *flags, *where(url, "data", "run"))
    assert runs.finished(runs.network_dir(reader(f"{url}/run"), "baseline")) is None
    machine()("train", *flags, *where(url, "data", "run"))
    launch("train", *flags, f"--data_dir={isic_data}", f"--run_dir={tmp_path / 'run'}")
    found, own = (
        artefacts.read_document(runs.network_dir(run, "baseline") / runs.FINISHED)
        for run in (reader(f"{url}/run"), tmp_path / "run")
    )
    assert found == own
    runs.require_network(reader(f"{url}/run"), "baseline", None)


@pytest.mark.long
@pytest.mark.parametrize("ending", ["_probability.nii.gz", "predictions.json"])
def test_predictions_that_are_killed(machine, reader, s3, top, ending):
    command = ["predict", "--method=baseline", "--dataset=isic", *where(top, "data", "run")]
    killed(s3, machine(), put(ending), *command)
    assert runs.read_predictions(runs.predictions_dir(reader(f"{top}/run"), "baseline")) is None
    machine()(*command)
    folder = runs.predictions_dir(reader(f"{top}/run"), "baseline")
    assert runs.read_predictions(folder)["complete"]
    assert {path.name for path in folder.glob("*.nii.gz")} == {
        f"{name}_{what}.nii.gz"
        for name in runs.read_predictions(folder)["subjects"]
        for what in ("probability", "prediction", "uncertainty")
    }


@pytest.mark.long
@pytest.mark.parametrize("ending", ["summary.json", ".v2"])
def test_an_evaluation_that_is_killed(machine, reader, s3, top, ending):
    """The last: in the middle of a folder for TensorBoard."""
    both = ["--dataset=isic", *where(top, "data", "run")]
    machine()("predict", "--method=baseline", *both)
    killed(s3, machine(), put(ending), "evaluate", *both)
    folder = runs.evaluation_dir(reader(f"{top}/run"))
    assert (folder / runs.EVALUATED).exists() == (ending == ".v2")
    assert not (folder / "tensorboard").exists()
    machine()("evaluate", *both)
    folder = runs.evaluation_dir(reader(f"{top}/run"))
    assert (folder / runs.EVALUATED).exists() and (folder / "tensorboard").is_dir()


@pytest.mark.long
def test_new_maps_over_old_ones_are_unfinished_meanwhile(machine, reader, s3, isic_data):
    """What vouches for the old ones is gone from the store before the first of them is."""
    top = f"s3://{s3.bucket()}/isic"
    upload(s3, isic_data, f"{top}/data")
    both = ["--dataset=isic", *where(top, "data", "run")]
    machine()("train", "--method=baseline", *both, *TINY[:3], "--epochs=1")
    machine()("predict", "--method=baseline", *both)
    for name in s3.content(f"{top}/run/networks"):
        s3.client.delete_object(Bucket=top.split("/")[2], Key=f"isic/run/networks/{name}")
    machine()("train", "--method=baseline", *both, *TINY[:3], "--epochs=1", "--seed=7")
    killed(s3, machine(), put("_probability.nii.gz"), "predict", "--method=baseline", *both)
    assert runs.read_predictions(runs.predictions_dir(reader(f"{top}/run"), "baseline")) is None


@pytest.mark.long
def test_a_training_goes_on_from_another_machine_after_a_signal(machine, s3, isic_data):
    """It says so, saves, and takes its TensorBoard file to the store."""
    url = f"s3://{s3.bucket()}/isic"
    upload(s3, isic_data, f"{url}/data")
    command = ["train", "--method=baseline", "--dataset=isic", *TINY[:3], "--epochs=4", *where(url, "data", "run")]
    started = []

    def step(method, path):
        if path.endswith("resume.json"):
            os.kill(started[0][0], signal.SIGTERM)

    first = machine()
    with s3.stepping_in(step):
        started.append(first.start(*command))
        ended = first.launch.end(started[0])
    assert ended.code == 128 + signal.SIGTERM and "the same command continues" in ended.err, ended.err
    stored = s3.content(f"{url}/run/networks/baseline")
    assert "resume.json" in stored and [name for name in stored if "tfevents" in name]
    assert "baseline: continues at epoch" in machine()(*command).out


REFUSED = {
    "s3://no-such-bucket/isic": "expected a bucket there",
    "s3://bucket": "expected a bucket and a folder in it",
    "nothing://bucket/isic": "expected a protocol that fsspec knows",
    "gs://bucket/isic": "pip install gcsfs",
}


@pytest.mark.parametrize("url", REFUSED)
def test_what_cannot_be_opened_is_one_line(machine, url):
    ended = machine()("train", "--method=baseline", "--dataset=isic", f"--data_dir={url}", code=2)
    (line,) = ended.err.splitlines()
    assert line.startswith("error: ") and url.partition("://")[0] in line and REFUSED[url] in line


def test_no_credentials_are_one_line(machine, tmp_path):
    one = machine()
    one.environment.update(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", HOME=str(tmp_path))
    ended = one("evaluate", "--dataset=isic", "--run_dir=s3://bucket/isic", code=2)
    assert "s3://bucket/isic: expected credentials" in ended.err and len(ended.err.splitlines()) == 1


def test_a_store_that_can_only_be_read(machine, s3, top):
    """What is finished is found; what is to be made says that it may not."""
    both = ["--dataset=isic", *where(top, "data", "run")]
    machine()("predict", "--method=baseline", *both)
    with s3.stepping_in(lambda method, path: True):
        assert "finished already" in machine()("predict", "--method=baseline", *both).out
        ended = machine()("evaluate", *both, code=2)
    (line,) = [line for line in ended.err.splitlines() if line.startswith("error")]
    assert line.startswith(f"error: {top}/run/evaluation/") and "expected permission" in line


@pytest.mark.long
def test_new_patients_by_url(machine, s3, top):
    photo = next(name for name in s3.content(f"{top}/raw") if name.endswith(".jpg"))
    flags = ["--method=baseline", "--dataset=isic", f"--run_dir={top}/run", f"--input={top}/raw/{photo}"]
    machine()("predict", *flags, f"--out_dir={top}/maps")
    name = pathlib.Path(photo).stem
    stored = s3.content(f"{top}/maps")
    assert {f"{name}.json", f"{name}_probability.nii.gz"} <= set(stored)
    assert json.loads(stored[f"{name}.json"])["source"] == f"{top}/raw/{photo}"
    assert "finished already" in machine()("predict", *flags, f"--out_dir={top}/maps").out
