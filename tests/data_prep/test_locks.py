"""One process at a time: who is second is told who is first; where a file system has no locks a lease does it."""

import errno
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from data_prep.base import leases, locks
from data_prep.base.errors import NotReady

HOLDER = """
import sys, time
from data_prep.base import leases, locks
leases.BEAT = 0.05
if {without}:
    def flock(file, how):
        raise OSError(38, "Function not implemented")
    locks.fcntl.flock = flock
with locks.held({folder!r}, "maps"):
    print("held", flush=True)
    time.sleep(60)
"""


def without_locks(monkeypatch):
    def flock(file, how):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(locks.fcntl, "flock", flock)


@pytest.fixture(params=[False, True], ids=["flock", "lease"])
def other(request, tmp_path, monkeypatch):
    """Another process that holds the folder; by a lease where the file system has no locks."""
    if request.param:
        without_locks(monkeypatch)
    code = HOLDER.format(folder=str(tmp_path), without=request.param)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_is_told_who_is_first(other, tmp_path):
    with (
        pytest.raises(NotReady, match=rf"expected maps that nobody else writes, found process {other.pid} on .*; wait"),
        locks.held(tmp_path, "maps"),
    ):
        pass


def test_a_killed_one_holds_nothing(other, tmp_path, monkeypatch):
    """A lock falls with its process; a lease some time after, here a second."""
    monkeypatch.setattr(leases, "LAPSED", 1.0)
    other.kill()
    other.wait()
    end = time.monotonic() + 10
    while True:
        try:
            with locks.held(tmp_path, "maps"):
                break
        except NotReady:
            assert time.monotonic() < end
            time.sleep(0.1)


@pytest.mark.long
def test_a_living_one_keeps_its_lease(other, tmp_path, monkeypatch):
    """However long it works: it touches the file."""
    monkeypatch.setattr(leases, "LAPSED", 4.0)  # many beats, also of a process that must wait for the processor
    time.sleep(5)
    with pytest.raises(NotReady), locks.held(tmp_path, "maps"):
        pass


def test_a_lease_ends_with_its_block(tmp_path, monkeypatch):
    """And leaves no file that another would take for one; a failed block lets go, too."""
    without_locks(monkeypatch)
    for _ in range(2):
        with pytest.raises(KeyError), locks.held(tmp_path, "maps"):
            assert locks.taken(tmp_path / locks.NAME) is None
            raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == [locks.NAME]


def test_a_new_folder_is_gone_where_nothing_was_written(tmp_path):
    """A refusal leaves no folder behind; one in which something lies stays."""
    for written in (False, True):
        with pytest.raises(KeyError), locks.held(tmp_path / "new" / "maps", "maps"):
            if written:
                (tmp_path / "new" / "maps" / "file").write_text("")
            raise KeyError
        assert (tmp_path / "new").exists() == written


def test_a_full_disk_has_locks(tmp_path, monkeypatch):
    """Where the holder's name finds no room the lock is held all the same."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(locks.os, "write", full)
    with locks.held(tmp_path, "maps"):
        assert locks.taken(tmp_path / locks.NAME) is None


def test_a_folder_that_can_only_be_read_is_held_by_nobody(tmp_path, monkeypatch):
    """What is finished there can still be shown."""

    def refuse(path, mode):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(locks, "open", refuse, raising=False)
    with locks.held(tmp_path, "an evaluation"):
        pass


def test_a_part_of_a_folder_is_held(tmp_path):
    """Others may hold other parts meanwhile; its file is gone afterwards, and so is a new folder where nothing was written."""
    with locks.held(tmp_path, "maps", of="a"):
        with locks.held(tmp_path, "maps", of="b"), pytest.raises(NotReady, match=rf"^{tmp_path / 'a'}: expected maps"):
            locks.held(tmp_path, "maps", of="a").__enter__()
        assert [path.name for path in tmp_path.iterdir()] == [".a.lock"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError), locks.held(tmp_path / "new", "maps", of="a"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_file_was_removed_meanwhile(tmp_path, monkeypatch):
    """Whoever opened it before its holder took it away has a lock on nothing, and takes the next one."""
    real = locks.fcntl.flock
    removed = []

    def flock(file, how):
        real(file, how)
        if not removed:
            removed.append(path.unlink())

    path = tmp_path / locks.NAME
    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with locks.held(tmp_path, "maps"):
        assert path.exists()
        monkeypatch.setattr(locks.fcntl, "flock", real)
        assert locks.taken(path) is None


def test_a_lease_on_a_full_disk(tmp_path, monkeypatch):
    """It is held without a name, and is nobody's afterwards."""
    without_locks(monkeypatch)
    monkeypatch.setattr(
        leases.os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device"))
    )
    with locks.held(tmp_path, "maps"):
        assert locks.taken(tmp_path / locks.NAME) is None
    with locks.held(tmp_path, "maps"):
        pass


def test_whether_it_is_held(other, tmp_path, monkeypatch):
    """By whomever, without a trace; nothing that is not there is held."""
    path = tmp_path / locks.NAME
    before = path.stat().st_mtime_ns
    assert locks.is_held(path) and not locks.is_held(tmp_path / "none")
    other.kill()
    other.wait()
    monkeypatch.setattr(leases, "LAPSED", 0.0)
    assert not locks.is_held(path) and path.stat().st_mtime_ns == before


def test_a_holder_that_has_not_yet_said_its_name(tmp_path, monkeypatch):
    """Is given a moment to write it."""
    path = tmp_path / locks.NAME
    path.write_text("")
    monkeypatch.setattr(locks.time, "sleep", lambda _: path.write_text("process 7 on host"))
    assert locks.holder(path) == "process 7 on host"
    path.write_text("")
    monkeypatch.setattr(locks.time, "sleep", lambda _: None)
    assert locks.holder(path) == "another process"
