"""The wheel holds every module and file, and works from an environment and a folder of its own."""

import pathlib
import subprocess
import sys
import sysconfig
import venv
import zipfile

import notebook_runs
import pytest
from conftest import ROOT

PACKAGES = ("data_prep", "tfunc", "launch")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel, built from the files that git knows, so that nothing of an earlier build gets in."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((ROOT / name).read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        source,
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (path,) = folder.glob("*.whl")
    return path


def tracked():
    """Files of the packages and what a build reads, by git where there is one."""
    wanted = [*PACKAGES, "setup.cfg", "pyproject.toml", "PACKAGE.md", "LICENSE"]
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *wanted]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_every_file_of_the_packages_is_in_the_wheel(wheel):
    """A room or a page that setup.cfg forgets would be missing from what users install."""
    inside = set(zipfile.ZipFile(wheel).namelist())
    expected = {name for name in tracked() if name.split("/")[0] in PACKAGES}
    assert expected <= inside and len(expected) > 80
    assert not {name for name in inside if name.startswith("tests")}


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """The `tfunc` command of a new environment that holds the wheel; its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    site = next((folder / "lib").glob("python*")) / "site-packages"
    # as a plain folder on the path: what a .pth in it says, such as this checkout's editable installation, is not read
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True, capture_output=True, text=True)
    found = subprocess.run(
        [python, "-c", "import tfunc, launch, data_prep; print(tfunc.__file__)"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert pathlib.Path(found.stdout.strip()).is_relative_to(folder)
    return folder / "bin" / "tfunc"


def test_it_works_from_another_folder(installed, tmp_path):
    """`tfunc phantom`, `prepare`, and a study that trains, predicts and evaluates, each as a user would type it."""

    def run(*arguments):
        ended = subprocess.run([installed, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert "tfunc prepare --dataset=brats --raw_dir=raw" in run(
        "phantom", "--dataset=brats", "--raw_dir=raw", "--subjects=6", "--shape=16,16,16"
    )
    assert "tfunc train --method=baseline --dataset=brats" in run("prepare", "--dataset=brats", "--raw_dir=raw")
    network = ["--epochs=1", "--start_filters=2", "--depth=1", "--batch_size=4"]
    assert "tfunc predict --method=baseline --dataset=brats" in run(
        "train", "--method=baseline", "--dataset=brats", *network
    )
    assert "| baseline |" in run("study", "--methods=baseline", "--dataset=brats", *network)
    assert (tmp_path / "runs" / "brats" / "evaluation" / "report.html").exists()


@pytest.mark.long
def test_the_notebook(installed, tmp_path):
    """docs/tutorial/first_hour.ipynb runs from the wheel outside the checkout, every call of Python's contract in it.

    What depends on no rounding is what the document shows; importing and predicting print nothing of TensorFlow's.
    """
    made = notebook_runs.run(installed.parent / "python", tmp_path)
    said, shown = notebook_runs.text(made), notebook_runs.text(notebook_runs.stored())
    for line in ("(16, 48, 48, 4) True", "<Wrapped baseline_mc of 1 model, 2 classes>"):
        assert line in said and line in shown
    kinds = [set(output.get("data", {})) for cell in made.cells for output in cell.get("outputs", ())]
    assert any("text/html" in one for one in kinds) and any("text/markdown" in one for one in kinds)
    python = [cell for cell in made.cells if cell.cell_type == "code" and not cell.source.startswith("%%bash")]
    errors = [output.text for cell in python for output in cell.outputs if output.get("name") == "stderr"]
    assert all(line.startswith("evaluate ") for one in errors for line in one.splitlines()), errors  # how far it is
    source = "\n".join(cell.source for cell in python)
    for call in (
        "load(",
        ".predict(",
        "subject_scores(",
        "temperature(",
        "evaluate(",
        "wrap(",
        "register(",
        "methods()",
    ):
        assert call in source


def test_a_program_that_is_none(installed, tmp_path):
    """A slip of the pen is one line and exit code 2."""
    ended = subprocess.run([installed, "trian"], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1 and "did you mean train?" in ended.stderr
