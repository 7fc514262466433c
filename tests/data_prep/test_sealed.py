"""Documents vouch for themselves: whatever happens to their bytes is found, or changes nothing that they say."""

import json

import numpy as np
import pytest

from data_prep.base import artefacts
from data_prep.base.errors import UserError

DOCUMENT = {"step": 120, "rate": 1e-3, "names": ["a", "ü"], "of": {"dice": 0.1 + 0.2, "best": None}, "done": True}


def test_it_comes_back_without_its_seal(tmp_path):
    """Tuples are lists and keys text, as JSON has it; floating point numbers are the same to the bit."""
    artefacts.write_document(tmp_path / "a.json", {**DOCUMENT, "by": {1: (2, 3), 10: 4, 9: 5}})
    assert artefacts.read_json(tmp_path / "a.json") == {**DOCUMENT, "by": {"1": [2, 3], "10": 4, "9": 5}}
    assert artefacts.SEAL in json.loads((tmp_path / "a.json").read_text())


def test_every_changed_byte_is_found_or_says_the_same(tmp_path):
    """Each byte of the file in turn becomes three others, or the file ends there: never another content without a word."""
    path, found = tmp_path / "a.json", 0
    artefacts.write_document(path, DOCUMENT)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [whole[:end] for end in range(len(whole))]
    damaged += [
        whole[:place] + bytes([value]) + whole[place + 1 :]
        for place in range(len(whole))
        for value in rng.choice([byte for byte in range(256) if byte != whole[place]], 3, replace=False)
    ]
    for content in damaged:
        path.write_bytes(content)
        try:
            read = artefacts.read_json(path)
        except UserError as error:
            assert str(path) in str(error)
            found += 1
            continue
        assert {name: read.get(name) for name in DOCUMENT} == DOCUMENT
    assert found > 0.9 * len(damaged)


def test_an_edited_one_is_refused(tmp_path):
    """One line names the file and what to do."""
    path = tmp_path / "a.json"
    artefacts.write_document(path, DOCUMENT)
    path.write_text(path.read_text().replace("120", "121"))
    with pytest.raises(
        UserError, match=r"a\.json: expected the file as it was written, found one that was edited or damaged; re"
    ):
        artefacts.read_document(path)


def test_those_of_others_and_of_earlier_versions_have_none(tmp_path):
    """What was never sealed is read as it is, however it is laid out."""
    (tmp_path / "a.json").write_text(json.dumps(DOCUMENT))
    assert artefacts.read_json(tmp_path / "a.json") == DOCUMENT
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="expected a JSON file"):
        artefacts.read_json(tmp_path / "a.json")


def test_what_was_written_is_listed(tmp_path):
    """Files that were renamed inside, also by functions that know nothing of it; not those of before, nor what failed."""
    artefacts.write_text(tmp_path / "before", "")
    with artefacts.written() as listed:
        artefacts.write_text(tmp_path / "a", "1")
        with pytest.raises(KeyError), artefacts.aside(tmp_path / "b"):
            raise KeyError
        artefacts.write_document(tmp_path / "c.json", {})
    artefacts.write_text(tmp_path / "after", "")
    assert [path.name for path in listed] == ["a", "c.json"]
