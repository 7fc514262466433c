"""Programs say what they did to any output: of few characters, closed, or full; what they write is UTF-8 all the same."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT
from made_up_maps import make_study


def start(program, *flags, encoding=None, shell="", **environment):
    """A program in a process of its own, as a shell starts it; shell: what stands behind the command, as `2>&-`."""
    environment = {**os.environ, **environment, **({"PYTHONIOENCODING": encoding} if encoding else {})}
    command = [
        "sh",
        "-c",
        f'"$@" {shell}',
        "sh",
        sys.executable,
        str(ROOT / "launch" / f"{program}.py"),
        *map(str, flags),
    ]
    return subprocess.run(command, capture_output=True, env=environment, cwd=ROOT, timeout=300)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Flags of an evaluation of folders, of a method whose name has what Latin-1 lacks."""
    folder = tmp_path_factory.mktemp("streams")
    make_study(folder, 2)
    (folder / "maps").rename(folder / "σ-netz ü")
    (folder / "maps").mkdir()
    (folder / "σ-netz ü").rename(folder / "maps" / "σ-netz ü")
    return [f"--predictions={folder / 'maps'}", f"--labels={folder / 'labels'}", "--kind=probability", "--workers=1"]


@pytest.fixture(scope="module")
def evaluated(folders, tmp_path_factory):
    """(the folder of that evaluation, how the program ended that made it, to an output of ASCII)."""
    folder = tmp_path_factory.mktemp("evaluated") / "out"
    return folder, start("evaluate", *folders, f"--out_dir={folder}", encoding="ascii")


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "ascii:strict"])
def test_output_that_is_not_utf8(folders, evaluated, encoding):
    """Every line comes out; arrows and dashes have their likes in ASCII, other characters can be told; files are UTF-8.

    The first time as the next, which finds the evaluation and shows it again.
    """
    folder, first = evaluated
    again = start("evaluate", *folders, f"--out_dir={folder}", encoding=encoding)
    for found, of in ((first, "ascii"), (again, encoding.partition(":")[0])):
        said = found.stdout.decode(of)
        assert found.returncode == 0, found.stderr.decode()
        assert "ECE % v" in said and "Dice ^" in said and "sigma-netz" in said and "Report: open " in said
    assert "σ-netz ü" in (folder / "table1.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("shell", "code"), [("2>&-", 0), (">&-", 0), (">&- 2>&-", 0), ("<&-", 0), ("<&- >&- 2>&-", 0)])
def test_closed_streams(tmp_path, shell, code):
    """The work is done, and done right, whichever streams are closed."""
    raw = tmp_path / "raw"
    found = start("phantom", "--dataset=isic", f"--raw_dir={raw}", "--subjects=3", "--shape=16,16", shell=shell)
    assert found.returncode == code, found.stderr.decode()
    assert len(list(raw.rglob("*.jpg"))) == 3
    assert (b"3 made-up isic subjects" in found.stdout) == (">&- " not in shell + " " or shell.startswith("2>&-"))


def test_an_error_with_standard_error_closed():
    """It keeps its code, and its line comes out where something is open."""
    found = start("phantom", "--dataset=isic", "--raw_dir=x", "--subjects=1", shell="2>&-")
    assert found.returncode == 2 and found.stdout.startswith(b"error: ")


def test_a_full_standard_output(tmp_path):
    """A disk that takes no line is said in one, not in a traceback at the interpreter's end."""
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    flags = "--dataset=isic", f"--raw_dir={tmp_path / 'raw'}", "--subjects=3", "--shape=16,16"
    found = start("phantom", *flags, shell=">/dev/full")
    last = found.stderr.decode().splitlines()[-1]
    assert found.returncode == 2 and last.startswith(
        ("error: the disk: expected room", "error: standard output: expected room")
    )
    assert "Traceback" not in found.stderr.decode()


def test_a_path_that_is_no_text(tmp_path):
    """A byte that is no UTF-8 in a folder's name is printed as an escape."""
    raw = os.fsdecode(os.fsencode(tmp_path) + b"/r\xfcw")
    found = start("phantom", "--dataset=isic", f"--raw_dir={raw}", "--subjects=3", "--shape=16,16")
    assert found.returncode == 0 and b"r\\udcfcw" in found.stdout


@pytest.mark.long
def test_a_locale_without_utf8(folders, tmp_path):
    """In the C locale as it is, file names are no text to Python: what is written is UTF-8, and the name in it is right."""
    c = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    flags = [flag.encode() for flag in (*folders, f"--out_dir={tmp_path / 'out'}")]
    for _ in range(2):
        command = [sys.executable, str(ROOT / "launch" / "evaluate.py"), *flags]
        found = subprocess.run(command, capture_output=True, env={**os.environ, **c}, timeout=300)
        assert found.returncode == 0, found.stderr.decode()
        assert b"sigma-netz" in found.stdout
    for name in ("table1.md", "subjects.csv", "report.html", "table1.csv"):
        assert "σ-netz ü" in (tmp_path / "out" / name).read_text(encoding="utf-8")
    assert r"$\sigma$-netz ü" in (tmp_path / "out" / "table1.tex").read_text(encoding="utf-8")
