"""`tfunc completion`: the shells' scripts name every program, its flags and their choices; bash completes with its script."""

import shutil
import subprocess

import pytest

from launch import completion, main
from tfunc import methods


@pytest.fixture(scope="module")
def words():
    """{program: its words}, asked once."""
    return {name: completion.words_of(name) for name in ("train", "demo")}


def test_words(words):
    """Flags that take a value end in `=`, those with choices have each, of yes or no both; absl's own are left out."""
    assert {f"--method={name}" for name in methods.METHODS if name != "cv_ensemble"} <= set(words["train"])
    assert {"--average_weights", "--noaverage_weights", "--epochs="} <= set(words["train"])
    assert not any("helpshort" in word or "logtostderr" in word for word in words["train"])
    assert words["demo"] == ["--folder=", "--noorgans", "--organs"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tfunc de", ["demo"]),
        ("tfunc demo --f", ["--folder="]),
        ("tfunc train --augment=l", ["light"]),
        ("tfunc train --noav", ["--noaverage_weights"]),
    ],
)
def test_bash(words, line, expected):
    """What bash offers at the end of a line; behind `=` the choice alone, since bash takes it for a word of its own."""
    code = f"""{completion._bash(words)}
COMP_LINE={line!r} COMP_POINT={len(line)} COMP_WORDS=({line}) COMP_CWORD={line.count(" ")} COMP_WORDBREAKS=$' ='
_tfunc; echo "${{COMPREPLY[@]}}" """
    ended = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == expected, ended.stderr


def test_other_shells(words, launch, monkeypatch):
    """zsh runs bash's; fish has a line for each program; another shell is one line."""
    assert completion._zsh(words).endswith(completion._bash(words)) and "bashcompinit" in completion._zsh(words)
    lines = completion._fish(words).splitlines()
    assert len(lines) == 1 + len(words) and "--folder=" in lines[-1]
    ended = launch(main.HERE / "main.py", "completion", "csh")
    assert ended.code == 2 and ended.err.startswith(
        "error: tfunc completion: expected one of bash, zsh, fish, found csh"
    )
