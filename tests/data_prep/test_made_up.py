"""Made-up data say so: what draws them leaves a mark, and what prepares them carries it into the manifest."""

import json

from made_up_run import make_records

from data_prep import convert, records
from data_prep.base import artefacts, made_up
from data_prep.phantom import write as phantom


def test_records_of_a_phantom_are_marked(tmp_path):
    """Those of the same files without the mark are not, and are the same records all the same."""
    marked = records.read_manifest(make_records(tmp_path))
    assert marked.made_up
    (tmp_path / "raw" / made_up.MARK).unlink()
    split = [str(tmp_path / "split.json")]
    plain = convert.convert("brats", tmp_path / "raw", tmp_path / "plain", split_files=split, say=lambda line: None)
    assert not plain.made_up and "made_up" not in artefacts.read_json(plain.path)
    assert plain.identity == marked.identity


def test_records_of_before_are_read(tmp_path):
    """A manifest without the entry is one of data that nobody called made up; one with another type is refused elsewhere."""
    path = make_records(tmp_path) / records.MANIFEST
    content = {name: value for name, value in artefacts.read_json(path).items() if name not in ("made_up", "seal")}
    path.write_text(json.dumps(content))
    assert records.read_manifest(path.parent).made_up is False


def test_the_mark_lies_in_the_folder_or_around_it(tmp_path):
    """nnU-Net's labels lie in a folder of the raw data; no further out is looked."""
    phantom.write("organs", tmp_path / "raw" / "Dataset900", subjects=3, shape=(16, 16, 16))
    labels = tmp_path / "raw" / "Dataset900" / "labelsTr"
    assert made_up.is_marked(labels) and made_up.is_marked(labels.parent)
    (labels / "inner").mkdir()
    assert not made_up.is_marked(labels / "inner") and not made_up.is_marked(tmp_path)
