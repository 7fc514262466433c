"""Flags of every program, with values of every kind: numbers out of range, paths that are pipes, devices, folders or not there.

Each command runs in a fork, as its own process would, up to where it would import TensorFlow: what it answers comes before.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import os
import pathlib
import re
import resource
import runpy
import shutil
import signal
import sys
import time
import traceback

import hypothesis.strategies as st
import whole_inputs
from harness import MEMORY, Target

from data_prep.base.errors import UserError
from tfunc.learning.settings import SETTINGS

ROOT = pathlib.Path(__file__).resolve().parents[2]
NUMBERS = (
    "0", "1", "2", "-1", "3", "10", "1e9", "1e400", "nan", "inf", "-inf", "0.5", "-0.5", "1.5", "9" * 19, "9" * 30, "9" * 5000,
    "0x10",
    "1_000", "٣", "1,2", "3,1,1", "0,0", "-1,-1", "9999999,9999999", "1e3,1e3", "16,16", "0.1,0.2", "1:1", "1:1,2:2", "1:99999",
    "a:b",
    "1:1,1:2", ":", "1:-1",
)  # fmt: skip
WORDS = (
    "", " ", "a", "brats", "isic", "baseline", "baseline_mc", "ensemble", "test", "valid", "train", "predict", "auto",
    "true", "none",
    "é", "x" * 300, "x" * 5000, "a/b", "../x", "..", "/", "a,b,,c", ",", "module:Class", "os:system", "a=b", "-", "--",
    "%s", "{}",
    "\n", "a\tb", "🧠", "\udcff", "whole", "whole=1,2", "whole=1", "a=", "=1", "flair=x", "case_00", "seg[1]*", "tcp://127.0.0.1:1",
    "http://127.0.0.1:1", "grpc://127.0.0.1:1", "http://", "LPS", "RAS", "XYZ", "module.py", "nnunet",
)  # fmt: skip
A_MINUTE = (
    60.0  # a whole evaluation of two subjects takes 6 s of a processor, and no less than twice that of a busy one
)
FEW = ("workers", "jobs_per_machine", "members", "subjects")  # of which many would take this machine


class Arrived(SystemExit):
    """It would import TensorFlow now."""


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("tensorflow", "keras", "openvino", "distributed"):
            raise Arrived(0)


def all_of(place: pathlib.Path) -> list[Target]:
    """A target for each program."""
    made, odd = whole_inputs.folders(place), _odd_places(place / "odd")
    run, records = place / "flags" / "run", whole_inputs.FIXTURES / "isic"
    shutil.copytree(whole_inputs.FIXTURES / "run", run, dirs_exist_ok=True)
    maps = run / "predictions" / whole_inputs.METHOD
    whole = [
        str(made["nnunet"]),
        str(made["records"]),
        str(run),
        str(records),
        str(maps),
        str(made["nnunet"] / "imagesTs"),
    ]
    labels = place / "flags" / "labels"
    labels.mkdir(parents=True, exist_ok=True)
    for file in maps.glob("*_prediction.nii.gz"):
        shutil.copyfile(file, labels / file.name.replace("_prediction", ""))
    of_run = {"dataset": "isic", "run_dir": str(run), "data_dir": str(records)}
    bases = {
        "prepare": {"dataset": str(made["nnunet"]), "data_dir": "data", "workers": "1"},
        "phantom": {"dataset": "isic", "raw_dir": "raw", "subjects": "3", "shape": "16,16"},
        "evaluate": {"predictions": str(maps), "labels": str(labels), "out_dir": "out", "workers": "1"},
        "predict": {**of_run, "method": whole_inputs.METHOD},
        "train": {**of_run, "network": "baseline"},
        "study": {**of_run, "dry_run": "true"},
        "recalibrate": {**of_run, "method": whole_inputs.METHOD},
        "export": {**of_run, "method": "baseline", "export_dir": "export"},
        "request": {
            "server": "http://127.0.0.1:1",
            "model": "m",
            "input": str(made["nnunet"] / "imagesTs"),
            "out_dir": "out",
        },
    }
    values = [*NUMBERS, *WORDS, *odd, *whole]
    return [
        Target(
            f"flags of {program}", _flags(program, base, values), _Command(program, place / "flags" / "here"), A_MINUTE
        )
        for program, base in bases.items()
    ]


def _odd_places(folder):
    """Paths that are no plain file or folder of data."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "empty").mkdir(parents=True)
    (folder / "file").write_text("{")
    (folder / "nothing").write_bytes(b"")
    (folder / "list.json").write_text("[1, 2]")
    os.mkfifo(folder / "pipe.json")
    os.mkfifo(folder / "pipe.nii.gz")
    (folder / "dangling").symlink_to(folder / "gone")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "holds_pipe").mkdir()
    for name in (
        "dataset.json",
        "tfunc.json",
        "config.json",
        "summary.json",
        "predictions.json",
        "case_00_0000.nii.gz",
    ):
        os.mkfifo(folder / "holds_pipe" / name)
    with open(folder / "large.json", "wb") as file:
        file.truncate(1 << 40)  # sparse
    return [
        *map(str, sorted(folder.iterdir())),
        str(folder / "gone"),
        str(folder / "file" / "x"),
        "/dev/zero",
        "/dev/stdin",
        "/dev/null",
    ]


def _kinds(program):
    """{flag: its kind, as absl defines it}."""
    text = (ROOT / "launch" / f"{program}.py").read_text(encoding="utf-8")
    kinds = {name: kind for kind, name in re.findall(r'DEFINE_(\w+)\(\s*"(\w+)"', text)}
    if "define_dataset" in text:
        kinds |= {"dataset": "string", "data_dir": "string", "run_dir": "string", "devices": "list"}
    if "define_training" in text:
        kinds |= {row.name: "enum" if row.choices else row.kind.__name__ for row in SETTINGS}
    return kinds


def _flags(program, base, values):
    """Mostly values of the flag's own kind, which pass its parser; one to four flags are changed, at times one is left out."""
    integers = [value for value in NUMBERS if re.fullmatch(r"-?\d{1,19}", value)]
    few = [value for value in integers if len(value) < 2]
    by_kind = {
        "boolean": ["true", "false"],
        "bool": ["true", "false"],
        "integer": integers,
        "int": integers,
        "float": list(NUMBERS),
    }

    def of(flag):
        name, kind = flag
        own = few if name in FEW else by_kind.get(kind, values)
        return st.tuples(st.just(name), st.sampled_from([*own] * 9 + [*values[: len(own)]]))

    kinds = {name: kind for name, kind in _kinds(program).items() if kind != "enum" and name != "dry_run"}
    changes = st.lists(st.sampled_from(sorted(kinds.items())).flatmap(of), min_size=1, max_size=4)
    dropped = st.sampled_from([*(name for name in base if name != "dry_run"), *[None] * 30])

    def made(drawn):
        changed, without = drawn
        given = {**base, **dict(changed)}
        given.pop(without, None)
        return [f"--{name}={value}" for name, value in given.items()]

    return st.tuples(changes, dropped).map(made)


class _Command:
    """Runs one program with flags: code 0, 2 or 3, and on standard error one line where it is not 0."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def __call__(self, arguments):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        said, child = self.folder / "stderr", os.fork()
        if child == 0:
            _become(self.program, arguments, self.folder, said)
        code = _waited(child)
        lines = said.read_text(encoding="utf-8", errors="replace").splitlines()
        if code == 0:
            return lines
        assert code in (2, 3), f"exit code {code}: {lines[-1:]} {_at(lines)}"
        errors = [line for line in lines if line.startswith("error: ")]
        assert len(errors) == 1 and lines[-1] == errors[0], f"not one line: {lines[:3]} {_at(lines)}"
        raise UserError(errors[0][:1000])


def _at(lines):
    ours = [line.strip() for line in lines if re.search(r'File ".*/(data_prep|tfunc|launch)/', line)]
    return ours[-1][-120:] if ours else ""


def _waited(child):
    end = time.monotonic() + A_MINUTE - 1
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("hangs")


def _become(program, arguments, folder, said):
    os.setsid()
    code = 1
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
        for path, number in ((said, 2), (folder / "stdout", 1)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(folder)
        sys.meta_path.insert(0, _Finder())
        sys.argv = [str(ROOT / "launch" / f"{program}.py"), *arguments]
        runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
