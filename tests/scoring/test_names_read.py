"""Names that a run's documents and anyone's folders hold: refused where they are read, before a path is made of them."""

import json

import pytest

from data_prep.base.errors import UserError
from tfunc import runs
from tfunc.reporting import finished
from tfunc.scoring import sources


@pytest.mark.parametrize(
    "change",
    [
        {"subjects": ["a", "../../x"]},
        {"subjects": ["a", "A"]},
        {"subjects": [1]},
        {"networks": {"../baseline": "0" * 64}},
    ],
)
def test_predictions(tmp_path, change):
    """predictions.json names subjects and networks; ordinary ones are read as they were."""
    index = {"schema": 2, "kind": "probability", "subjects": ["a", "b c"], "networks": {"baseline": "0" * 64}}
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(index))
    assert runs.read_predictions(tmp_path)["subjects"] == ["a", "b c"]
    path.write_text(json.dumps({**index, **change}))
    with pytest.raises(UserError, match="predict again") as error:
        runs.read_predictions(tmp_path)
    assert str(error.value).startswith(f"{path}: ") and "expected" in str(error.value)


@pytest.mark.parametrize(
    "change", [{"methods": {"../x": {}}}, {"pictures": ["../x.png"]}, {"files": {"/etc/passwd": "0" * 64}}]
)
def test_summaries(tmp_path, change):
    """summary.json names methods, and files of its own folder."""
    path = tmp_path / "summary.json"
    path.write_text(json.dumps({"methods": {}, "settings": {}, **change}))
    with pytest.raises(UserError, match="evaluate again"):
        finished.is_done(tmp_path, [], "test", [])


@pytest.mark.parametrize("names", [("a", "A"), ("",), ("a\nb",)])
def test_folders_that_are_scored(tmp_path, names):
    """Files whose subjects have no name, a line break in it, or one that another disk would take for another's."""
    for name in names:
        (tmp_path / f"{name}_probability.nii.gz").touch()
    with pytest.raises(UserError, match=r"expected (a name for a subject|names that differ)"):
        sources.folder_maps(tmp_path, "probability")
