"""A signal that comes before a program's work: while it imports what it needs, it ends in one line, without a traceback."""

import os
import signal
import subprocess
import sys
import time

import pytest
import told
from conftest import ROOT, Ended

from data_prep.base import signals
from launch import early, main

# sends itself the signal when NumPy is imported, in the middle of a launcher's imports
SCRIPT = """
import os, runpy, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "absl":
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
sys.argv[0] = {launcher!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("program", main.PROGRAMS)
def test_ctrl_c_while_it_imports(program, tmp_path):
    """Of each program."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(number=int(signal.SIGINT), launcher=str(ROOT / "launch" / f"{program}.py")))
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr == "error: stopped by SIGINT; the same command begins anew\n"
    told.check("Ctrl-C before it is at work", program, Ended(ended.returncode, ended.stdout, ended.stderr))


@pytest.mark.parametrize("number", signals.ASKING)
def test_each_signal(number):
    """With its own code; at any moment of a program that has just been started."""
    started = subprocess.Popen(
        [sys.executable, str(ROOT / "launch" / "main.py"), "phantom", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    time.sleep(0.15)
    os.kill(started.pid, number)
    _, errors = started.communicate(timeout=60)
    assert started.returncode in (128 + number, -number, 0) and b"Traceback" not in errors, errors


def test_an_imported_launcher_changes_nothing():
    """Nor is a signal heard that is ignored, as under nohup."""
    before = [signal.getsignal(number) for number in signals.ASKING]
    early.settle("launch.train")
    assert [signal.getsignal(number) for number in signals.ASKING] == before
    script = (
        "import os, signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from launch import early\nearly.settle('__main__')\nos.kill(os.getpid(), signal.SIGHUP)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=60).returncode == 0
