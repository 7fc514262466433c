"""What every program stands on: bounded calls, locks, errors that name commands."""

import concurrent.futures
import errno
import io
import json
import os
import pickle
import subprocess
import sys

import msgspec
import pytest

from data_prep.base import artefacts, locks, notices, pool, progress
from data_prep.base.errors import NotReady, UserError, command

LOCKING = {"HDF5_USE_FILE_LOCKING": "TRUE"}  # what a user may have set for other work


def test_few_calls_are_under_way_at_a_time():
    """At most the limit, and the last is handed in before the first batch has ended everywhere."""
    under_way, most = set(), []

    class Lazy(concurrent.futures.Executor):
        def submit(self, function, *arguments):
            future = concurrent.futures.Future()
            under_way.add(future)
            most.append(len(under_way))
            if len(under_way) == 4:  # full: one ends
                future.set_result(function(*arguments))
                under_way.remove(future)
            if arguments == (19,):
                for other in under_way:
                    other.set_result(None)
            return future

    results = list(pool.unordered(Lazy(), lambda number: number, iter(range(20)), ahead=4))
    assert len(results) == 20 and max(most) == 4


def test_the_first_to_be_done_comes_first():
    """Unordered results do not wait for a slow first call."""
    waiting = []

    class Last(concurrent.futures.Executor):
        def submit(self, function, *arguments):
            waiting.append(concurrent.futures.Future())
            if len(waiting) == 3:
                waiting[2].set_result(function(*arguments))
            return waiting[-1]

    found = pool.unordered(Last(), str, range(3), ahead=3)
    assert next(found) == "2"
    waiting[0].set_result("0")
    assert next(found) == "0"
    found.close()
    assert waiting[1].cancelled()


@pytest.mark.parametrize("results", [pool.results, pool.unordered])
def test_an_error_ends_it(results):
    """Nothing more is taken from the items, in either order."""
    taken = iter([1, 0, 1])
    with pytest.raises(ZeroDivisionError):
        list(results(pool.Serial(), lambda x: 1 / x, taken))
    assert list(taken) == [1]


@pytest.mark.parametrize("results", [pool.results, pool.unordered])
def test_a_dead_worker_is_a_users_error(results):
    """As when memory runs out."""

    class Broken(concurrent.futures.Executor):
        def submit(self, function, *arguments):
            raise concurrent.futures.BrokenExecutor

    with pytest.raises(UserError, match=r"a worker process died.*fewer --workers"):
        list(results(Broken(), str, range(3)))


def test_a_lock_is_held_while_its_file_is_open(tmp_path):
    """Another process is refused it, and gets it once the holder has closed the file."""
    path = tmp_path / "locks" / "one.lock"
    ask = f"import sys; from data_prep.base import locks; sys.exit(locks.taken({str(path)!r}) is None)"
    with locks.taken(path) as file:
        assert file is not None and locks.taken(path) is None
        assert subprocess.run([sys.executable, "-c", ask]).returncode == 1
    assert subprocess.run([sys.executable, "-c", ask]).returncode == 0


@pytest.mark.parametrize("reason", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(tmp_path, monkeypatch, reason):
    """A lease does it there, of which there is one at a time, too; any other refusal is an error."""

    def refuse(*_):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    for name in ("one.lock", "two.lock"):
        with locks.taken(tmp_path / name) as file:
            assert file is not None and locks.taken(tmp_path / name) is None
    reason = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        locks.taken(tmp_path / "one.lock")


@pytest.mark.long
def test_how_tensorflow_starts():
    """HDF5's locks, which fail where a file system has none, are off. What Keras imports beside takes no time of ours, and is
    there for who asks for it.
    """
    ask = """
import os, sys
from data_prep.base import processes
processes.start_tensorflow()
import h5py
print(os.environ["HDF5_USE_FILE_LOCKING"], *(name for name in processes.UNUSED if name in sys.modules))
import matplotlib.pyplot, sklearn.metrics
"""
    found = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, env={**os.environ, **LOCKING})
    assert found.stdout.split() == ["FALSE"] and found.returncode == 0, found.stderr


def test_errors_name_commands_as_they_are_typed():
    """A command reads as from a checkout, or as whoever prints the message renders it; also after a way between processes."""
    ready = command("train", method="center", dataset=None)
    error = NotReady("here", expected=("a model of ", command("export")), found="none", do=(ready, ", or leave it"))
    for found in (error, pickle.loads(pickle.dumps(error))):
        assert str(found) == (
            "here: expected a model of `python launch/export.py`, found none; "
            "`python launch/train.py --method=center`, or leave it"
        )
        typed = found.message(lambda asked: f"tfunc {asked.program}")
        assert typed == "here: expected a model of `tfunc export`, found none; `tfunc train`, or leave it"
    assert str(UserError("x", do=ready)) == "x; run `python launch/train.py --method=center`"


class Evaluation(msgspec.Struct):
    methods: dict[str, int]


@pytest.mark.parametrize("text", ["[]", "{}", '"methods"', "{", '{"other": 1}'])
def test_a_document_of_another_kind_is_one_line(tmp_path, text):
    """JSON that is no object, or lacks what is read of it, is named; one that has it is given whole."""
    path = tmp_path / "summary.json"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        artefacts.read_document(path, Evaluation)
    assert str(raised.value).startswith(f"{path}: expected ")
    path.write_text('{"methods": {}, "more": 1}')
    assert artefacts.read_document(path, Evaluation) == {"methods": {}, "more": 1}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("told", [True, False])
def test_the_rate_is_this_processs(monkeypatch, told):
    """Of 50,000 steps 40,000 were done before: at two a second 10,000 take 1:23:20, whoever says so and however."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stream = Terminal()
    bar = progress.Progress("baseline", 50000, " steps", stream, done=40000 if told else 0)
    if not told:
        bar.advance(40000)
    for _ in range(8):
        now[0] += 0.5
        bar.advance()
    last = stream.getvalue().split("\x1b[K")[-1]
    assert last == "baseline 40008/50000 steps 2.0/s 1:23:16 left"
    bar.close()
    assert "2.0/s" in stream.getvalue().split("\x1b[K")[-1]


def test_all_that_is_done_here_counts(monkeypatch):
    """What starts from nothing has the rate that it always had."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with progress.Progress("evaluate", 4, " subjects", stream) as bar:
        for _ in range(4):
            now[0] += 0.5
            bar.advance()
    assert stream.getvalue() == "evaluate 4/4 subjects 2.0/s in 0:02\n"


def test_work_goes_on_where_nobody_can_watch():
    """A terminal that was closed, and no stream at all, end no work."""

    class Gone(Terminal):
        def write(self, text):
            raise OSError(5, "Input/output error")

    with progress.Progress("train", 2, stream=Gone()) as bar:
        bar.interval = 0
        bar.advance()


def test_remarks_are_gathered_and_counted_by_file(caplog):
    """A file that is read twice counts once; inside nothing is logged; outside a topic is logged the first time only."""
    total = notices.Notices()
    for name in ("a", "b"):
        with notices.gathered() as noticed:
            for _ in range(2):
                notices.once("tests: odd", f"{name}: odd")
        total.add(notices.from_document(json.loads(json.dumps(noticed.document()))))
    assert total.lines() == ["a: odd (and 1 more)"] and not caplog.records
    for name in ("c", "d"):
        notices.once("tests: odd", f"{name}: odd")
    assert [record.message for record in caplog.records] == ["c: odd"]
