"""Programs that a scheduler stops in the middle: one line, 128 and the signal's number, and nothing half-written.

Each is stopped by itself, in the function where its work is done, so that no test waits for a moment.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
import told
from conftest import ROOT
from made_up_maps import make_study

SCRIPT = """
import importlib, os, runpy, sys
sys.path.insert(0, {root!r})
sys.argv[0] = {launcher!r}
module = importlib.import_module({module!r})
real = getattr(module, {function!r})

def stopping(*arguments, **named):
    os.kill(os.getpid(), {number})
    return real(*arguments, **named)

setattr(module, {function!r}, stopping)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def stopped(launch, tmp_path):
    """stopped(launcher, "module.function", number, *flags): the launcher, to which the signal comes when that is called."""

    def start(launcher, function, number, *flags):
        module, _, function = function.rpartition(".")
        script = tmp_path / f"stopped_{launcher}.py"
        names = {"launcher": str(ROOT / "launch" / f"{launcher}.py"), "module": module, "function": function}
        script.write_text(SCRIPT.format(root=str(ROOT), number=int(number), **names))
        ended = launch(script, *flags)
        assert ended.code == 128 + number, ended.err
        (line,) = [line for line in ended.err.splitlines() if not line.startswith(("W0000", "I0000"))]
        assert line.startswith(f"error: stopped by {signal.Signals(number).name}; the same command "), line
        if number == signal.SIGTERM:
            told.check("SIGTERM while it is at work", launcher, ended, tmp_path)
        return line

    return start


def left(folder):
    return [path.name for path in pathlib.Path(folder).rglob("*") if path.name.startswith(".partial-")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_prepare(stopped, launch, isic_data, tmp_path, number):
    """With one worker the signal arrives in the reading of a photograph; the same command makes the same records."""
    flags = [
        "--dataset=isic",
        f"--raw_dir={isic_data.parent / 'raw'}",
        f"--data_dir={tmp_path / 'data'}",
        "--workers=1",
    ]
    assert "continues" in stopped("prepare", "data_prep.shards.convert_subjects", number, *flags)
    assert left(tmp_path) == [] and not (tmp_path / "data" / "dataset.json").exists()
    assert launch("prepare", *flags).code == 0


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_predict_and_export(stopped, launch, isic_data, isic_run, tmp_path, number):
    """Maps are whole or not there; an export has no version then."""
    run = shutil.copytree(isic_run, tmp_path / "run")
    flags = ["--method=baseline", "--dataset=isic", f"--data_dir={isic_data}", f"--run_dir={run}"]
    predict = [*flags, "--split=valid"]
    assert "continues" in stopped("predict", "tfunc.maps.writing.write_maps", number, *predict, "--precision=float32")
    assert left(run) == []
    assert launch("predict", *predict).code == 0
    export = [*flags, f"--export_dir={tmp_path / 'export'}"]
    assert "begins anew" in stopped("export", "tfunc.serving.export.write", number, *export)
    assert left(tmp_path) == [] and not (tmp_path / "export").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_evaluate(stopped, tmp_path, number):
    """No table of some of the subjects."""
    make_study(tmp_path, 2)
    flags = [
        f"--predictions={tmp_path / 'maps'}",
        f"--labels={tmp_path / 'labels'}",
        "--kind=probability",
        "--workers=1",
    ]
    flags.append(f"--out_dir={tmp_path / 'out'}")
    assert "begins anew" in stopped("evaluate", "tfunc.scoring.evaluate.count_subject", number, *flags)
    assert left(tmp_path) == [] and not list((tmp_path / "out").glob("*.csv"))


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_check(stopped, isic_data, number):
    """Nothing that it has found so far is told as if it were all."""
    flags = ["--dataset=isic", f"--raw_dir={isic_data.parent / 'raw'}", "--workers=1"]
    assert "begins anew" in stopped("check", "data_prep.check.subjects.look", number, *flags)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_phantom(stopped, tmp_path, number):
    """Made-up subjects too."""
    flags = ["--dataset=isic", f"--raw_dir={tmp_path / 'raw'}", "--subjects=3", "--shape=16,16"]
    assert "begins anew" in stopped("phantom", "data_prep.phantom.write.write", number, *flags)


def test_before_the_work_begins(tmp_path):
    """While TensorFlow is imported: no line but ours, though that import is no place to be left from."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import os, signal, sys, threading\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from launch import program\nfrom data_prep.base import processes\n"
        "def main():\n"
        "    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        "    processes.start_tensorflow()\n"
        "    signal.pause()\n"
        "program.run(main)\n"
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 143, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: stopped by SIGTERM; the same command ")


def test_workers_end_with_it(tmp_path):
    """Ctrl-C in a terminal goes to the workers as well: they say nothing, and are gone when the program is."""
    (tmp_path / "named.py").write_text(
        "import os, time\ndef work(number):\n    open(f'{number}.{os.getpid()}', 'w').close()\n    time.sleep(2)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        f"import named, sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from data_prep.base import pool\nfrom launch import program\n"
        "def main():\n"
        "    with pool.executor(2, tensorflow=False) as executor:\n"
        "        list(pool.results(executor, named.work, range(100)))\n"
        "if __name__ == '__main__':\n    program.run(main)\n"
    )
    started = subprocess.Popen(
        [sys.executable, str(script)], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    begun = time.monotonic()
    while len(list(tmp_path.glob("*.[0-9]*"))) < 2 and time.monotonic() - begun < 60:
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGINT)
    errors = started.communicate(timeout=60)[1]
    assert started.returncode == 130, errors
    (line,) = errors.splitlines()
    assert line.startswith("error: stopped by SIGINT; ")
    for path in tmp_path.glob("*.[0-9]*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.suffix[1:]), 0)
