"""Commands as users type them: in errors, as next steps, and under the one name `tfunc`."""

import pathlib
import shlex
import subprocess
import sys

import pytest
from absl import flags
from conftest import ROOT
from refusals import refused

import tfunc
from data_prep.base.errors import NotReady, UserError, command
from launch import main, program

TRAIN = command("train", method="center", dataset="brats")


@pytest.fixture
def folders():
    """folders(name=value, …): defines the flags of folders and gives them, as a user who typed them."""
    defined = flags.FlagValues()
    for name in ("data_dir", "run_dir"):
        flags.DEFINE_string(name, None, "", flag_values=defined)

    def give(**values):
        defined(["program", *(f"--{name}={value}" for name, value in values.items())])
        return defined

    return give


def test_a_command_reads_as_from_a_checkout():
    """Without a launcher around it, an error names the program's file and the flags in order; None is left out."""
    assert str(command("predict", method="tta", split=None)) == "python launch/predict.py --method=tta"
    error = NotReady("runs/x", expected="a network", do=TRAIN)
    expected = "runs/x: expected a network; run `python launch/train.py --method=center --dataset=brats`"
    assert str(error) == expected
    both = UserError("x", do=("run ", TRAIN, ", or wait"))
    assert str(both) == "x; run `python launch/train.py --method=center --dataset=brats`, or wait"


def test_the_folders_that_were_given_belong_to_it(folders, monkeypatch):
    """Quoted where a shell needs it, and only those that the program named takes and that it does not name itself."""
    monkeypatch.setattr(program.flags, "FLAGS", folders(data_dir="my data", run_dir="runs/a"))
    assert program.typed(TRAIN).endswith("--method=center --dataset=brats --data_dir='my data' --run_dir=runs/a")
    assert program.typed(command("train", run_dir="runs/b")).endswith("train.py --run_dir=runs/b --data_dir='my data'")
    assert program.typed(command("prepare", dataset="…")) == "python launch/prepare.py --dataset=…"
    assert shlex.split(program.typed(TRAIN))[-2] == "--data_dir=my data"


def test_started_as_tfunc(folders, monkeypatch):
    """Whoever types `tfunc` is told to type `tfunc`, and a study starts its jobs through it."""
    monkeypatch.setattr(program.flags, "FLAGS", folders())
    monkeypatch.setattr(program, "started_as", "tfunc")
    assert program.typed(TRAIN) == "tfunc train --method=center --dataset=brats"
    assert [pathlib.Path(part).name for part in program.argv("train")[1:]] == ["main.py", "train"]
    monkeypatch.setattr(program, "started_as", "python")
    assert [pathlib.Path(part).name for part in program.argv("train")[1:]] == ["train.py"]


def test_every_program_is_listed(launch):
    """`tfunc` without a word lists every launcher with what it does, and needs no TensorFlow for it."""
    names = {path.stem for path in (ROOT / "launch").glob("*.py") if "program.run(main)" in path.read_text()}
    assert set(main.PROGRAMS) == names
    ended = launch(ROOT / "launch" / "main.py")
    assert ended.code == 0 and all(f"\n  {name} " in ended.out for name in names), ended.err


def test_errors_under_tfunc(launch, tmp_path):
    """One line, exit code 2 or 3, and the command in it is `tfunc`'s, with the folder that was given."""
    tfunc = ROOT / "launch" / "main.py"
    refused(launch(tfunc, "pedict"), 2, "tfunc pedict", "did you mean predict?")
    refused(launch(tfunc, "train", "--dataset=brats"), 2, "--method")
    where = f"--data_dir={tmp_path / 'none'}", f"--run_dir={tmp_path / 'run'}"
    ended = launch(tfunc, "evaluate", "--dataset=brats", "--methods=center", *where)
    refused(ended, 3, "tfunc ", "--dataset=")


class ResourceExhaustedError(Exception):
    """TensorFlow's own is told by its name, since a launcher need not have imported TensorFlow."""


@pytest.mark.parametrize(
    "error", [MemoryError(), ResourceExhaustedError("OOM when allocating tensor\\nwith shape[3, 3]")]
)
def test_too_little_memory_is_one_line(monkeypatch, capsys, error):
    """With what to change, and the user's exit code."""

    def fails():
        raise error

    monkeypatch.setattr(program.app, "run", lambda main, flags_parser: main(None))
    with pytest.raises(SystemExit) as ended:
        program.run(fails)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: memory: not enough for this; give a smaller --batch_size")


def test_help_into_a_closed_pipe():
    """`prepare --help | head -1`: no traceback, and no code of an error."""
    command = [sys.executable, str(ROOT / "launch" / "prepare.py"), "--helpfull"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started.stdout.close()
    errors = started.stderr.read()
    assert started.wait() in (0, 141) and "Traceback" not in errors  # 0 where all was written before anybody left


@pytest.mark.parametrize("start", [("launch/main.py",), ("-m", "tfunc")], ids=["main", "module"])
def test_version_and_help(start):
    """Of the command, as a module too; a reader that leaves early gets no traceback."""
    command = [sys.executable, *start]
    ended = subprocess.run([*command, "--version"], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"tfunc {tfunc.__version__}\n", "")
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert listed.returncode == 0 and all(f"  {name} " in listed.stdout for name in main.PROGRAMS)
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(60) == 141 and process.stderr.read() == b""


def test_the_command_itself(monkeypatch):
    """As it can be typed again, however the program was started; a byte that is no UTF-8 becomes text."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/launch/evaluate.py", "--out_dir=a b", "--methods=x\udcfc"])
    monkeypatch.setattr(program, "started_as", "python")
    assert shlex.split(program.started().replace("\\", "/")) == [
        "python", "launch/evaluate.py", "--out_dir=a b", "--methods=x/xfc",
    ]  # fmt: skip
    program.started().encode()
    monkeypatch.setattr(program, "started_as", "tfunc")
    assert program.started().startswith("tfunc evaluate '--out_dir=a b'")
