"""The package as a newcomer meets it: README, imports, help."""

import configparser
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from tfunc.methods import METHODS

LAUNCHERS = sorted(path.stem for path in (ROOT / "launch").glob("*.py") if "program.run(main)" in path.read_text())


def tracked():
    """Files that git tracks, or None outside a checkout."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    return [ROOT / name for name in listed.stdout.splitlines()] if listed.returncode == 0 else None


def test_readme_lists_the_methods():
    """The README's table has exactly the methods of the table in the code, in its order, with the paper's names."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows == [(method.name, method.title) for method in METHODS.values()]


def test_readme_links_lead_somewhere():
    """Every relative link and picture of README and docs exists."""
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page.name}: {link}"


def test_importing_is_quick():
    """`import tfunc`, the tables and the study's plan import neither TensorFlow nor matplotlib."""
    code = "import sys, tfunc, tfunc.methods, tfunc.study; print(sorted({'tensorflow', 'keras', 'matplotlib'} & {*sys.modules}))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_help_reads_without_tensorflow(launcher):
    """`--helpshort` prints the launcher's docstring and its flags."""
    script = f"import sys, runpy; sys.argv = ['{launcher}', '--helpshort']; sys.modules['tensorflow'] = None; " \
        f"runpy.run_path('launch/{launcher}.py', run_name='__main__')"  # fmt: skip
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert "Traceback" not in ended.stderr and "--dataset" in ended.stdout, ended.stderr


def test_data_files_are_packaged():
    """What the report is written from is declared as package data, or a wheel would lack it."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    declared = {name.strip() for name in config["options.package_data"]["tfunc"].split(",")}
    assert declared == {path.name for path in (ROOT / "tfunc").iterdir() if path.suffix in (".html", ".css", ".js")}


def test_no_path_of_a_machine():
    """No tracked text file names a home or work folder of the machine it was written on."""
    files = tracked()
    if files is None:
        pytest.skip("not a git checkout")
    pattern = re.compile(r"/(?:root|home|work|tmp/envs)/")
    for path in files:
        if (
            path.suffix in (".py", ".md", ".cfg", ".toml", ".txt", ".html", ".js", ".css")
            and path.name != "test_package.py"
        ):
            assert not pattern.search(path.read_text()), path
