"""`tfunc.evaluate`: the program's evaluation of anyone's folders, from Python."""

import pytest
from made_up_maps import make_study, read_csv, undrawn

import tfunc
from data_prep.base.errors import UserError


def test_it_is_the_programs(launch, tmp_path, monkeypatch):
    """The same tables to the byte; what is there already is read; shown in Jupyter as Table 1."""
    undrawn(monkeypatch)
    make_study(tmp_path, 2)
    folders = {name: tmp_path / name for name in ("labels", "masks")}
    found = tfunc.evaluate(tmp_path / "maps", **folders, kind="probability", out_dir=tmp_path / "ours")
    flags = [f"--{name}={path}" for name, path in folders.items()]
    ended = launch(
        "evaluate",
        f"--predictions={tmp_path / 'maps'}",
        *flags,
        "--kind=probability",
        f"--out_dir={tmp_path / 'theirs'}",
    )
    assert ended.code == 0, ended.err
    for name in ("subjects.csv", "table1.md", "thresholds.csv"):
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()
    (method,) = found.methods
    rows = read_csv(tmp_path / "ours" / "subjects.csv")
    assert found.methods[method]["dice"] == pytest.approx(sum(float(row["dice"]) for row in rows) / 2)
    assert found._repr_markdown_() == found.markdown and found.report.exists() and str(found.folder) in repr(found)
    again = tfunc.evaluate(tmp_path / "maps", **folders, kind="probability", out_dir=tmp_path / "ours")
    assert again.summary == found.summary


def test_without_a_folder_it_goes_to_a_new_one(tmp_path, monkeypatch):
    """Which stays."""
    undrawn(monkeypatch)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    make_study(tmp_path, 1)
    found = tfunc.evaluate(tmp_path / "maps", tmp_path / "labels", kind="probability")
    assert found.folder.parent == tmp_path and (found.folder / "subjects.csv").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"workers": 0}, "workers: expected 1 or more"),
        ({"workers": "2"}, "workers: expected 1 or more, found '2'"),
        ({"regions": {"whole": 1}}, "regions: expected a list of raw labels for each, found whole: 1"),
        ({"label_map": [1, 2]}, "label_map: expected a dictionary"),
        ({"regions": {"whole": [1]}, "label_map": {1: 1}}, "label_map: expected no regions"),
        ({"regions": {"whole": [0]}}, "regions"),
        ({"kind": "best"}, "expected a kind of"),
        ({"ignore_label": 1, "label_map": {1: 1}}, "mapped or ignored"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(more, words, tmp_path):
    """Before anything is written."""
    make_study(tmp_path, 1)
    with pytest.raises(UserError, match=words):
        tfunc.evaluate(tmp_path / "maps", tmp_path / "labels", tmp_path / "out", **{"kind": "probability", **more})
    assert not (tmp_path / "out").exists()
