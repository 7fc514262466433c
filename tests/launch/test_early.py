"""A signal that comes before a program's work: while it imports what it needs, it ends in one line, without a traceback."""

import signal
import subprocess
import sys

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
    assert ended.stderr == "error: stopped by SIGINT before it began; give the same command again\n"
    told.check("Ctrl-C before it is at work", program, Ended(ended.returncode, ended.stdout, ended.stderr))


@pytest.mark.parametrize("number", signals.ASKING)
def test_each_signal(number, tmp_path):
    """With its own code, also under the one command, which is imported where it is installed."""
    script = tmp_path / "tfunc"
    launcher = str(ROOT / "launch" / "main.py")
    text = SCRIPT.format(number=int(number), launcher=str(script)).partition("runpy.run_path")[0]
    script.write_text(f"{text}sys.path.insert(0, {str(ROOT)!r})\nsys.argv[1:] = ['--help']\nimport launch.main, absl\n")
    for own in (script, tmp_path / "as_a_file.py"):
        if own != script:
            own.write_text(SCRIPT.format(number=int(number), launcher=launcher))
        ended = subprocess.run([sys.executable, str(own)], capture_output=True, text=True, timeout=100)
        assert ended.returncode == 128 + number, ended.stderr
        assert ended.stderr == f"error: stopped by {number.name} before it began; give the same command again\n"


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
