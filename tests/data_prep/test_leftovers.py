"""What killed processes left goes when the next one writes there; what a living one writes, here or elsewhere, stays."""

import os
import socket
import subprocess
import sys
import time

import pytest

from data_prep.base import artefacts, leftovers

HOST = socket.gethostname()


@pytest.fixture(scope="module")
def gone():
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def make(folder, name, days=0):
    path = folder / name
    path.write_bytes(b"half")
    then = time.time() - days * 86400
    os.utime(path, (then, then))
    return path


def test_the_first_write_removes_them(tmp_path, gone):
    """Files and folders, of today's names and of earlier versions', of files whose names hold dashes and brackets."""
    writer = leftovers._writer()
    for name in (f"{HOST}-{gone}-resume-00000007.npz", f"{HOST}-{gone}-seed[1]*-x.nii.gz", f"{writer}-{gone}-7-y.json"):
        make(tmp_path, f".partial-{name}")
    (tmp_path / f".partial-{writer}-{gone}-1").mkdir()
    make(tmp_path / f".partial-{writer}-{gone}-1", "saved_model.pb")
    artefacts.write_json(tmp_path / "config.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_what_may_be_alive_stays(tmp_path, gone):
    """This process's, another living one's, another host's or container's, and what only looks alike."""
    kept = [
        make(tmp_path, f".partial-{HOST}-{os.getpid()}-a"),
        make(tmp_path, f".partial-{leftovers._writer()}-{os.getppid()}-b"),
        make(tmp_path, f".partial-elsewhere-{gone}-c"),
        make(tmp_path, f".partial-{HOST}.1-{gone}-d"),  # another container with this host's name
        make(tmp_path, f".partial-{HOST}-1-{gone}-e"),  # perhaps of a host that is called like this one and -1
        make(tmp_path, ".partial-notes", days=30),
        make(tmp_path, "partial-x-1-y", days=30),
    ]
    make(tmp_path, f".partial-elsewhere-{gone}-f", days=8)
    leftovers.sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_a_folder_that_cannot_be_read(tmp_path):
    """Nothing to remove is no error."""
    leftovers.sweep(tmp_path / "none")
