"""A Dask cluster of separate processes: calls run there as they would here, and what goes wrong there is one line here."""

import os
import pathlib
import pickle
import signal
import sys
import threading
import time

import pytest
from clusters import ROOT, cluster

from data_prep.base import cluster as dask
from data_prep.base import pool, processes
from data_prep.base.errors import UserError, command

pytest.importorskip("distributed")


def state_of_the_process(_):
    """What a call finds: its process, our settings, its folder, and whether TensorFlow is imported."""
    return os.getpid(), os.environ.get("TF_ENABLE_ONEDNN_OPTS"), os.getcwd(), "tensorflow" in sys.modules


def refuse(path):
    raise UserError(path, expected="a map", found="none", do=command("predict", method="tta"))


def die_once(marker):
    """The first process that is at it is killed, as by the system where memory runs out."""
    if not pathlib.Path(marker).exists():
        pathlib.Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return marker


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def slowly(number):
    time.sleep(0.11)
    return number


def _from(started, results, function, items):
    """The results of a cluster, within its connection."""
    with pool.executor(scheduler=started.address, tensorflow=False) as executor:
        yield from results(executor, function, items)


@pytest.fixture(scope="module")
def two():
    """A cluster of two workers, for tests that kill none."""
    with cluster(2) as started:
        yield started


@pytest.mark.long
def test_a_clusters_worker_is_made_ready_as_ours_are(two, monkeypatch, tmp_path):
    """Calls run in other processes, in this one's folder, with its settings and TensorFlow, though we did not start them."""
    monkeypatch.chdir(tmp_path)
    for setting in ("0", "1"):  # as it is here, whatever a call before this one has left
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", setting)
        with pool.executor(scheduler=two.address, tensorflow=setting == "1") as executor:
            found = set(pool.results(executor, state_of_the_process, range(8)))
        assert os.getpid() not in {one[0] for one in found}
        assert {one[1:] for one in found} == {(setting, str(tmp_path), setting == "1")}


@pytest.mark.long
def test_the_number_of_threads_travels(two, monkeypatch):
    """The last digits of a training depend on it: a worker computes with as many as the command would."""
    for number in ("1", None):
        monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
        if number:
            monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", number)
        with pool.executor(scheduler=two.address, tensorflow=False) as executor:
            assert set(pool.results(executor, os.environ.get, ["TF_NUM_INTRAOP_THREADS"] * 4)) == {number}


@pytest.mark.long
def test_a_call_is_read_in_a_process_that_is_ready(tmp_path):
    """A module that reads the environment when it is imported, as TensorFlow does, finds ours, not the worker's."""
    (tmp_path / "imported_late.py").write_text(
        "import os\nFOUND = os.environ.get('TF_ENABLE_ONEDNN_OPTS')\ndef found(_):\n    return FOUND\n"
    )
    with pytest.MonkeyPatch.context() as here, cluster(1, environment={"PYTHONPATH": f"{ROOT}:{tmp_path}"}) as started:
        here.syspath_prepend(str(tmp_path))
        here.setenv("TF_ENABLE_ONEDNN_OPTS", "7")
        import imported_late

        assert list(_from(started, pool.results, imported_late.found, [0])) == ["7"]


@pytest.mark.long
def test_a_users_error_comes_back_from_a_cluster(two):
    """Through two picklings: its line, its exit code and the command in it."""
    with pool.executor(scheduler=two.address, tensorflow=False) as executor, pytest.raises(UserError) as raised:
        list(pool.results(executor, refuse, ["maps"]))
    assert str(raised.value) == "maps: expected a map, found none; run `python launch/predict.py --method=tta`"
    assert raised.value.message(lambda one: f"tfunc {one.program}").endswith("run `tfunc predict`")


def test_calls_are_bounded_and_in_order(two):
    """Two a thread are under way, whatever is asked for, so an endless list of items is no memory here."""
    taken = []
    with pool.executor(scheduler=two.address, tensorflow=False) as executor:
        for number in pool.results(executor, slowly, (taken.append(one) or one for one in range(20)), ahead=1000):
            assert len(taken) <= number + 1 + 2 * 2
    assert taken == list(range(20))


@pytest.mark.parametrize("results", [pool.results, pool.unordered])
def test_small_items_share_calls(two, results, monkeypatch):
    """2,000 items that take no time: each once, in some dozens of calls."""
    made = []
    submit = dask.Cluster.submit
    monkeypatch.setattr(dask.Cluster, "submit", lambda *call: made.append(1) or submit(*call))
    with pool.executor(scheduler=two.address, tensorflow=False) as executor:
        found = list(results(executor, str, range(2000)))
    assert (found if results is pool.results else sorted(found, key=int)) == [str(one) for one in range(2000)]
    assert len(made) < 60


def test_a_killed_workers_calls_are_made_by_another(tmp_path):
    """Whatever it was at comes back all the same, in order."""
    items = [str(tmp_path / str(number)) for number in range(5)]
    for item in items[1:]:
        pathlib.Path(item).touch()
    with cluster(2) as started, pool.executor(scheduler=started.address, tensorflow=False) as executor:
        assert list(pool.results(executor, die_once, items)) == items
        assert sorted(worker.poll() is None for worker in started.workers) == [False, True]


@pytest.mark.long
def test_a_call_that_kills_every_worker_is_one_line():
    """Dask gives it up; the line says how many died and where to look."""
    few = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    with cluster(2, environment=few) as started, pytest.raises(UserError) as raised:
        list(_from(started, pool.unordered, die, [0]))
    line = str(raised.value)
    assert line.startswith(
        f"--scheduler={started.address}: expected workers that live through their work, found 2 that died"
    )
    assert "see its log" in line and "\n" not in line


@pytest.mark.long
def test_a_killed_scheduler_is_one_line(capfd):
    """Soon, and nothing of Dask's own words around it."""
    with cluster(1) as started, pytest.raises(UserError) as raised:
        begun = time.monotonic()
        for number in _from(started, pool.results, slowly, range(1000)):
            if number == 3:
                started.scheduler.kill()
    assert str(raised.value) == (
        f"--scheduler={started.address}: expected the scheduler that was there, found no answer any more; start one, and "
        "workers, and run the same command again: what is done stays"
    )
    assert time.monotonic() - begun < 20 and capfd.readouterr() == ("", "")
    with pytest.raises(UserError, match="expected a Dask scheduler there"), pool.executor(scheduler=started.address):
        pass


@pytest.mark.long
def test_a_scheduler_that_is_killed_as_it_is_asked(monkeypatch, capfd):
    """Between the connection and the first call: the same line."""
    with cluster(1) as started:
        asked = dask._asked
        monkeypatch.setattr(dask, "_asked", lambda call: (started.kill(started.scheduler), asked(call))[1])
        with pytest.raises(UserError, match="the scheduler that was there"), pool.executor(scheduler=started.address):
            pass
    assert capfd.readouterr() == ("", "")


def test_a_worker_that_cannot_see_the_folder(two, tmp_path, monkeypatch):
    """The working directory of the command, which relative paths begin at, is named."""
    monkeypatch.chdir(tmp_path)
    settings = processes.settings(tensorflow=False)
    tmp_path.rename(tmp_path.with_name("moved"))
    with pytest.raises(UserError) as raised:
        try:
            processes.run_as_worker(settings, pickle.dumps((str, (1,), {})))
        finally:
            os.chdir(pathlib.Path(__file__).parent)
            tmp_path.with_name("moved").rename(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path}: expected the folder that the command was given in, also on every")


def test_a_worker_whose_folder_is_gone_goes_on(two, tmp_path, monkeypatch):
    """The folder of an earlier command was removed meanwhile: the next one's is what counts."""
    for name in ("earlier", "later"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with pool.executor(scheduler=two.address, tensorflow=False) as executor:
            found = {one[2] for one in pool.results(executor, state_of_the_process, range(8))}
        assert found == {str(tmp_path / name)}
        monkeypatch.chdir(tmp_path)
        (tmp_path / name).rmdir()
    with pool.executor(scheduler=two.address, tensorflow=False) as executor:
        assert {one[2] for one in pool.results(executor, state_of_the_process, range(8))} == {str(tmp_path)}


@pytest.mark.long
@pytest.mark.parametrize("who", ["the scheduler", "tcp://127.0.0.1:"])
@pytest.mark.parametrize(("there", "said"), [("raise ImportError", "none"), ("__version__ = '0.0.1'", "0.0.1")])
def test_processes_with_another_package_are_one_line(who, there, said, tmp_path):
    """Before anything is sent, which the scheduler would have to read too, and which a worker without the package dies of."""
    (tmp_path / "tfunc.py").write_text(there)
    other = {"PYTHONPATH": str(tmp_path)}
    with cluster(0, environment=other if who == "the scheduler" else {}) as started:
        started.environment = {} if who == "the scheduler" else other
        started.add_worker()
        with pytest.raises(UserError) as raised, pool.executor(scheduler=started.address):
            pass
    assert f"in all of its processes, found {said} in {who}" in str(raised.value)
    assert str(raised.value).endswith("; install the same version there, with [cluster]")


def test_without_the_extra_it_is_named(monkeypatch):
    """The package that is missing, and how it is installed."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError) as raised, pool.executor(scheduler="tcp://host:8786"):
        pass
    assert str(raised.value) == (
        "--scheduler=tcp://host:8786: expected dask.distributed, found no such package; pip install 'tfunc[cluster]'"
    )


@pytest.mark.long
@pytest.mark.parametrize("address", ["nowhere://8786", "tcp://127.0.0.1:1", "8786"])
def test_what_is_no_scheduler(address):
    """No such protocol, nobody there: a user's error that names the flag."""
    expected = f"--scheduler={address}: expected a Dask scheduler there"
    with pytest.raises(UserError, match=expected), pool.executor(scheduler=address):
        pass


@pytest.mark.long
def test_jobs_go_where_a_gpu_is_declared():
    """A call that wants one runs on the worker that has it; where none has, anywhere."""
    with cluster(1) as started, pool.for_jobs(1, started.address) as executor:
        assert pool.submit_job(executor, state_of_the_process, 0, gpu=True).result(timeout=30)
        started.add_worker("--resources", "GPU=1")
        found = {pool.submit_job(executor, state_of_the_process, 0, gpu=True).result()[0] for _ in range(4)}
    assert found == {started.workers[1].pid}


@pytest.mark.long
def test_waiting_for_a_gpu_is_said(monkeypatch, caplog):
    """The worker that declared one is gone: the others take no job that was asked for there, and that is said."""
    monkeypatch.setattr(dask, "COUNTED_SECONDS", 0.05)
    monkeypatch.setattr(dask, "WAITED_SECONDS", 0.3)
    with cluster(1) as started:
        started.add_worker("--resources", "GPU=1")
        with pool.for_jobs(1, started.address) as executor:
            first = pool.submit_job(executor, state_of_the_process, 0, gpu=True)
            assert first.result(timeout=30)[0] == started.workers[1].pid
            second = pool.submit_job(executor, time.sleep, 2, gpu=True)
            started.kill(started.workers[1])
            while "waiting for one" not in caplog.text and not second.done():
                time.sleep(0.05)
            started.add_worker("--resources", "GPU=1")
            assert second.result(timeout=60) is None
    assert f"{started.address}: no worker that declares GPU=1 is there; waiting for one" in caplog.text


@pytest.mark.long
def test_waiting_for_workers_is_said(monkeypatch, caplog):
    """A scheduler without workers: the program goes on waiting, and says so."""
    monkeypatch.setattr(dask, "COUNTED_SECONDS", 0.05)
    monkeypatch.setattr(dask, "WAITED_SECONDS", 0.1)
    with cluster(0) as started, pool.executor(scheduler=started.address, tensorflow=False) as executor:
        threading.Timer(1.0, started.add_worker).start()
        assert list(pool.results(executor, slowly, [7])) == [7]
    assert f"{started.address}: no worker is there; waiting for one" in caplog.text
