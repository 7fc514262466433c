"""The package as a whole: README and the table of methods agree, importing is cheap, help works, no stray paths."""

import configparser
import pathlib
import re
import subprocess
import sys

import pytest
import setuptools
from conftest import ROOT

from tfunc.methods import METHODS

LAUNCHERS = sorted(path.stem for path in (ROOT / "launch").glob("*.py") if "program.run(main)" in path.read_text())


def test_readme_lists_the_methods():
    """README's table has exactly the methods of `METHODS`, in their order, with their titles."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(method.name, method.title) for method in METHODS.values()]


def test_links_lead_somewhere():
    """Every relative link and picture in README and docs exists."""
    broken = []
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert not broken


def test_import_is_cheap():
    """`import tfunc`, the tables and the study's plan touch neither TensorFlow nor Keras nor matplotlib."""
    code = (
        "import sys, tfunc, tfunc.methods, tfunc.runs, tfunc.study.plan, tfunc.study.run, tfunc.reporting.publish\n"
        "print([name for name in ('tensorflow', 'keras', 'matplotlib') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


@pytest.mark.long
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_help_reads_without_tensorflow(launcher):
    """`--helpshort` prints the launcher's docstring and its flags, shared ones too; 0 or 1, absl's code for help."""
    code = (
        f"import runpy, sys; sys.argv = ['{launcher}', '--helpshort']; sys.modules['tensorflow'] = None\n"
        f"runpy.run_path('launch/{launcher}.py', run_name='__main__')"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    first = (ROOT / "launch" / f"{launcher}.py").read_text().splitlines()[0].strip('"')
    assert ended.returncode in (0, 1) and "Traceback" not in ended.stderr, ended.stderr
    assert first in ended.stdout and (
        "--dataset" in ended.stdout or (launcher == "demo" and "--folder" in ended.stdout)
    )


def test_launchers_are_found():
    """The list of launchers that are tested is not empty by accident."""
    assert {"phantom", "prepare", "train", "predict", "evaluate", "study"} <= set(LAUNCHERS)


def test_every_package_is_installed():
    """setuptools finds every folder of code, and setup.cfg names every file in them that is not Python.

    tests/whole/test_wheel.py builds the wheel and looks into it; this says so at once.
    """
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    patterns = config["options.packages.find"]["include"].replace(",", " ").split()
    folders = {path.parent for name in ("tfunc", "data_prep", "launch") for path in (ROOT / name).rglob("*.py")}
    packages = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert packages == set(setuptools.find_packages(str(ROOT), include=patterns))
    listed = {
        path
        for package, files in config["options.package_data"].items()
        for pattern in files.replace(",", " ").split()
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    found = {path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".py"}
    assert {path for path in found if "__pycache__" not in path.parts} == listed


def test_constraints_fit_the_requirements():
    """Every requirement of ours is pinned for both stacks, once for each Python, to a version alone."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    texts = [config["options"]["install_requires"], config["options.extras_require"]["test"]]
    names = re.findall(r"^([a-z][\w-]*)", "\n".join(texts), re.MULTILINE)
    assert "tensorflow" in names and "pytest" in names
    for stack in ("current", "addons"):
        lines = (ROOT / "constraints" / f"{stack}.txt").read_text().splitlines()
        pins = [line for line in lines if line and not line.startswith("#")]
        wrong = [
            line for line in pins if not re.fullmatch(r'[a-z\d-]+==[\w.]+( ; python_version (<|>=) "3\.11")?', line)
        ]
        assert not wrong
        assert set(names) <= {line.partition("==")[0] for line in pins}


def test_no_paths_of_a_machine():
    """No tracked text names a folder of the machine that it was written on, or a package index."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    words = ["/home/", "/root/", "/Users/", "/work/", "/tmp/", "extra-index-url", "index-url", "find-links", "file://"]
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path == pathlib.Path(__file__) or not path.is_file():
            continue
        text = path.read_bytes()
        if b"\0" not in text[:8000]:
            found += [f"{name}: {word}" for word in words if word.encode() in text]
    assert not found
