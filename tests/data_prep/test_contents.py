"""Files that several ask for are read once, and the bytes that are hashed are the bytes that are used."""

import hashlib
import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from data_prep.base import artefacts, contents, json_text, notices
from data_prep.base.errors import UserError
from data_prep.readers import photographs


def test_what_is_kept_is_read_once(tmp_path):
    """A file that changes meanwhile has the checksum of what was used; outside of the block it is read anew."""
    path = tmp_path / "a.png"
    path.write_bytes(b"before")
    with contents.kept():
        assert contents.read(path) == b"before"
        path.write_bytes(b"after")
        assert contents.read(path) == b"before"
        assert contents.sha256(path) == hashlib.sha256(b"before").hexdigest()
    assert contents.read(path) == b"after" and contents.sha256(path) == artefacts.sha256(path)


def test_a_photograph_is_opened_once(tmp_path, monkeypatch):
    """By the checksum, the depth, the orientation and the pixels together."""
    path, opened = tmp_path / "a.png", []
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(path)
    once = contents.regular.require
    monkeypatch.setattr(contents.regular, "require", lambda path: opened.append(path) or once(path))
    with contents.kept():
        contents.sha256(path)
        photographs.read_photograph(path)
        photographs.say_if_turned(path)
    assert opened == [path]


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    """One of more bytes than any photograph has is refused before it is in memory; its checksum can be taken all the same."""
    path = tmp_path / "a.png"
    path.write_bytes(bytes(20))
    monkeypatch.setattr(contents, "MOST", 10)
    with pytest.raises(UserError, match=r"a\.png: expected at most"):
        photographs.read_photograph(path)
    with contents.kept():
        assert contents.sha256(path) == artefacts.sha256(path)


@pytest.mark.parametrize("mode", ["1", "L"])
def test_the_numbers_of_a_mask_are_those_of_its_pixels(tmp_path, mode):
    """Black and white of one bit are 0 and 1, and not the 255 that they are shown as."""
    path = tmp_path / "a_segmentation.png"
    pixels = np.zeros((4, 5), bool)
    pixels[1, 2:] = True
    image = Image.fromarray(pixels) if mode == "1" else Image.fromarray(7 * pixels.astype(np.uint8))
    image.save(path)
    with notices.gathered() as noticed:
        assert photographs.read_mask(path).tolist() == pixels.astype(int).tolist()
    assert noticed.found == {"masks": {0: 17, 1 if mode == "1" else 7: 3}}


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"a": [], "b": {}, "c": [1, 2.5, 1e-7, {"d": None, "e": 'ü"\\u2028'}]},
        {"name": "x\udc80"},
        [[[]]],
        "text",
        {1: (2, {"deep": [{"deeper": [{}, [], [1, [2]]]}]}), None: True, 2.5: ["x\udc80", {"y\udc80": "two\nlines"}]},
    ],
)
def test_json_is_indented_as_python_does(tmp_path, value):
    """To the byte, also where a file's name is no text: checksums of earlier files are of it."""
    path = tmp_path / "a.json"
    artefacts.write_json(path, value)
    assert path.read_text() == json.dumps(value, indent=1) + "\n"


@pytest.mark.parametrize("entries", [[], [{"b": 1, "a": [2]}], [3, {"x": {}}, []]])
def test_a_list_made_as_it_is_written_is_that_list(entries):
    """In the file and in its seal, though the entries are made anew for each."""
    made, listed = ({"z": 1, "subjects": subjects} for subjects in (json_text.Each(lambda: iter(entries)), entries))
    for text in (json_text.indented, json_text.ordered):
        assert "".join(text(made)) == "".join(text(listed))


@pytest.mark.parametrize("value", [{}, [], 1.5, {"b": [{"z": 1, "a": (2, {3: None})}], 10: {"y": [], "x": {}}, "9": 0}])
def test_a_checksum_is_of_the_ordered_text(value):
    """As it comes back from a file, keys as text and in order: the seals of documents that are there already stay true."""
    as_read = json.loads(json.dumps(value))
    assert "".join(json_text.ordered(value)) == json.dumps(as_read, sort_keys=True)


def test_a_long_document_is_never_in_memory_as_text(tmp_path):
    """Writing 2,000 entries of a kilobyte takes a small part of their text."""
    document = {"subjects": [{"name": f"{index}", "header": "x" * 1000} for index in range(2000)]}
    artefacts.write_document(tmp_path / "a.json", document)  # what is imported or cached on the way
    tracemalloc.start()
    try:
        artefacts.write_document(tmp_path / "a.json", document)
        assert tracemalloc.get_traced_memory()[1] < (tmp_path / "a.json").stat().st_size / 10
    finally:
        tracemalloc.stop()


def test_a_small_file_takes_little_memory(tmp_path):
    """What is asked of memory is the file's own size and not the most that one may have."""
    path = tmp_path / "a.png"
    path.write_bytes(bytes(1000))
    contents.read(path)  # what is imported or cached on the way
    tracemalloc.start()
    try:
        assert len(contents.read(path)) == 1000
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
