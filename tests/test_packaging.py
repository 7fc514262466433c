"""What others build from this checkout: the package's page and classifiers, the container, the workflow of hosted CI."""

import configparser
import re

import yaml
from conftest import ROOT

PYTHONS = [f"3.{minor}" for minor in range(10, 14)]


def metadata():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config["metadata"], config["options"]


def test_classifiers():
    """They name the Pythons that the Makefile takes and `python_requires` begins with, and no licence beside the expression."""
    values, options = metadata()
    classifiers = values["classifiers"].split("\n")
    named = re.findall(r"Python :: (3\.\d+)", values["classifiers"])
    assert named == PYTHONS and options["python_requires"] == f">={PYTHONS[0]}"
    assert (
        f"require_python,{PYTHONS[-1].partition('.')[2]},{PYTHONS[0]} to {PYTHONS[-1]}"
        in (ROOT / "Makefile").read_text()
    )
    assert "Typing :: Typed" in classifiers and not [line for line in classifiers if line.startswith("License")]
    assert all((ROOT / package / "py.typed").exists() for package in ("tfunc", "data_prep"))


def test_the_package_page_needs_nothing_beside_it():
    """A package index shows it alone: no picture and no link by place."""
    page = ROOT / metadata()[0]["long_description"].removeprefix("file: ")
    text = page.read_text(encoding="utf-8")
    assert "![" not in text and not [
        link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://")
    ]


def instructions():
    """(word, rest) of each instruction of the Dockerfile, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


def test_the_dockerfile():
    """Every instruction is one; bases are pinned; the wheel is installed with our versions; the user is not root."""
    found = instructions()
    known = {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in found} <= known
    (base,) = [rest.partition("=")[2] for word, rest in found if word == "ARG" and rest.startswith("BASE=")]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) and base.split(":")[1].rsplit(".", 1)[0] in PYTHONS
    assert all(rest.split()[0] == "${BASE}" for word, rest in found if word == "FROM")
    (install,) = [rest for word, rest in found if word == "RUN" and "pip install" in rest]
    assert "-c /opt/tfunc/constraints.txt" in install and "${EXTRAS:+[$EXTRAS]}" in install
    assert [rest for word, rest in found if word == "USER"] == [
        "1000"
    ] and "useradd --create-home --uid 1000" in install
    assert found[-2:] == [("ENTRYPOINT", '["tfunc"]'), ("CMD", '["--help"]')]


def test_what_the_dockerfile_copies_is_there():
    """And passes .dockerignore, which keeps out all else; the wheel's build finds the page that setup.cfg names."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        name for word, rest in instructions() if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]
    ]
    assert set(copied) == allowed and all((ROOT / name).exists() for name in copied)
    assert metadata()[0]["long_description"].removeprefix("file: ") in copied


def workflow():
    return yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))


def test_the_workflow():
    """It tests every Python, may read and no more, and names actions of GitHub's own by their major version."""
    found = workflow()
    assert found["permissions"] == {"contents": "read"} and set(found[True]) == {
        "push",
        "pull_request",
    }  # `on` is true in YAML
    assert found["jobs"]["test"]["strategy"]["matrix"]["python"] == PYTHONS
    steps = [step for job in found["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert used and all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used)
    assert all(job["runs-on"].startswith("ubuntu-") and job["timeout-minutes"] for job in found["jobs"].values())


def test_the_workflows_commands_exist():
    """It runs what .ci/run runs and the long tests, by targets of the Makefile, and builds the container."""
    runs = [step["run"] for job in workflow()["jobs"].values() for step in job["steps"] if "run" in step]
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = {run.removeprefix("make ") for run in runs if run.startswith("make ")}
    assert made == {"lint", "docs", "test LONG=1", "test-whole LONG=1", "test-addons LONG=1"}
    assert {name.split()[0] for name in made} <= targets
    assert "docker build --tag tfunc ." in runs and all(run.startswith(("make ", "docker ")) for run in runs)
