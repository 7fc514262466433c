"""Methods of one's own: for this process by `register`, for every one by an entry point of an installed package."""

import dataclasses
import subprocess
import sys

import pytest
from conftest import ROOT

import tfunc
from data_prep.base.errors import UserError
from tfunc import methods

MINE = dataclasses.replace(methods.get("baseline"), name="mine", title="mine", in_paper=False)


@pytest.fixture
def table(monkeypatch):
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))


def test_the_table_is_called(table):
    """Rows in order; a registered one is the last, and is found by its name; twice is once."""
    before = tfunc.methods()
    assert [one.name for one in before] == list(methods.METHODS) and before[0].name == "baseline"
    assert tfunc.register(MINE) is MINE and tfunc.register(MINE) is MINE
    assert tfunc.methods() == (*before, MINE) and methods.get("mine") is MINE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "baseline"}, "another method of that name"),
        ({"name": "a/b"}, "expected a name for a method"),
        ({"name": "mine_recalibrated"}, "does not end in _recalibrated"),
        ({"name": "mine@valid"}, "without comma and @"),
        ({"kind": "entropy"}, "expected a kind of"),
        ({"name": "all"}, "other than all"),
        ({"name": "a,b"}, "without comma"),
        ({"name": "Baseline"}, "baseline"),
        ({"in_paper": True}, "expected in_paper=False"),
        ({"coherent": "volume"}, "expected coherent"),
        ({"networks": ("nosuch",)}, "networks that are trained here"),
        ({"networks": ["baseline"]}, "expected a tuple of networks"),
        ({"predictive": None}, "expected texts"),
        ({"kind": []}, "expected texts"),
        ({"networks": ()}, "expected a tuple of networks"),
        ({"networks": "baseline"}, "expected a tuple of networks"),
        ({"predictive": "mine"}, "package.module:Class"),
    ],
)
def test_what_is_no_method_is_refused(change, words, table):
    """In one line; the table stays as it was."""
    before = tfunc.methods()
    with pytest.raises(UserError, match=words):
        tfunc.register(dataclasses.replace(MINE, **change))
    with pytest.raises(UserError, match="expected a Method"):
        tfunc.register("baseline")
    assert tfunc.methods() == before


def test_an_installed_package_adds_methods(tmp_path):
    """To programs of every process, without a line of ours; one that is broken is said and left out."""
    (tmp_path / "my_package.py").write_text(
        "import dataclasses\nfrom tfunc.methods import get\n"
        "MINE = dataclasses.replace(get('baseline'), name='mine', title='mine', in_paper=False)\n"
    )
    entries = "[tfunc.methods]\nmine = my_package:MINE\nbroken = my_package:NOTHING\n"
    info = tmp_path / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entries)
    script = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\nimport tfunc\nprint(tfunc.methods()[-1].name)"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stdout == "mine\n", ended.stderr
    assert "tfunc.methods broken = my_package:NOTHING" in ended.stderr and "left out" in ended.stderr
    first = script.replace("import tfunc", "import my_package, tfunc")
    ended = subprocess.run([sys.executable, "-c", first], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stdout == "mine\n", ended.stderr
