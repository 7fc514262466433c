"""JSON of a wrong shape is one line that names the place in it; what the standard does not allow is no JSON."""

import json

import msgspec
import pytest

from data_prep import tasks
from data_prep.base import artefacts, documents, json_text, names
from data_prep.base.documents import Count
from data_prep.base.errors import UserError
from data_prep.base.names import Component


class Subject(msgspec.Struct):
    name: Component
    slices: Count
    by_class: dict[str, list[Count]] = {}


class Document(msgspec.Struct):
    subjects: list[Subject]
    means: dict[str, float | None] = {}
    patients: dict[Component, str] = {}
    counts: dict[int, Count] = {}


WHOLE = {"subjects": [{"name": "a", "slices": 1}, {"name": "b", "slices": 2, "by_class": {"x": [1], "y": [2, 3]}}]}


def subject(**change):
    return {"subjects": [WHOLE["subjects"][0], {**WHOLE["subjects"][1], **change}]}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "a.json: expected object, found array"),
        ({}, "a.json: expected the entry subjects, found none"),
        ({"subjects": 3}, "a.json: subjects: expected array, found int 3"),
        ({"subjects": None}, "a.json: subjects: expected array, found null"),
        (subject(slices="2"), "a.json: subjects[1].slices: expected int, found str '2'"),
        (subject(slices=2.5), "a.json: subjects[1].slices: expected int, found float 2.5"),
        (subject(slices=-1), "a.json: subjects[1].slices: expected int >= 0, found -1"),
        (subject(slices=10**90), "slices: expected int <= 9223372036854775807, found a number of many digits"),
        (subject(name="../b"), "a.json: subjects[1].name: expected a name of characters"),
        (subject(by_class={"x": [1], "y": [2, None]}), "subjects[1].by_class.y[1]: expected int, found null"),
        ({**WHOLE, "means": {"dice": 0.5, "ece": "low"}}, "a.json: means.ece: expected float | null, found str 'low'"),
        ({**WHOLE, "patients": {"a": "p", "b/c": "p"}}, "a.json: patients.b/c: expected another name"),
        ({**WHOLE, "counts": {"1": 2, "one": 2}}, "a.json: counts.one: expected another name (int)"),
    ],
)
def test_the_place_is_named(document, said):
    """Also below objects that may have any entries, of which msgspec names none."""
    with pytest.raises(UserError) as raised:
        documents.checked(document, Document, "a.json", "mend it")
    assert said in str(raised.value) and str(raised.value).endswith("; mend it") and len(str(raised.value)) < 300


def test_what_a_later_version_added_stays():
    """In the document; the typed value knows nothing of it."""
    later = {**subject(laterality="left"), "more": {"of": ["it"]}, "counts": {"1": 2}}
    assert documents.checked(later, Document, "a.json") is later
    assert documents.typed(later, Document, "a.json").counts == {1: 2}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": NaN}', "NaN, which is no number in JSON"),
        (b'{"a": -Infinity}', "-Infinity, which is no number in JSON"),
        (b'{"a": 1e999}', "the number 1e999, which is too large"),
        (b'{"a": 1, "b": {"train": [1], "train": [2]}}', "the entry 'train' twice"),
        (b'{"a": "\\ud800"}', "surrogates not allowed"),
        (b"\xff\xfe{\x00}\x00", "can't decode"),
        (b"[" * 5000 + b"]" * 5000, "more than 100 levels"),
        (b"[" * 102 + b"]" * 102, "more than 100 levels"),
        (b"1" * 5000, "Exceeds the limit"),
    ],
)
def test_what_is_no_json_is_one_line(tmp_path, content, said):
    """Where Python's own reader goes on, and where it gives up in its own words."""
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        artefacts.read_json(path)
    assert str(raised.value).startswith(f"{path}: expected a JSON file, found") and said in str(raised.value)


def test_what_is_json_is_read(tmp_path):
    """Nested as deep as is allowed, a character beyond 16 bits, a byte of a file's name that is no text."""
    path = tmp_path / "a.json"
    path.write_text("[" * 100 + "]" * 100)
    assert str(artefacts.read_json(path)) == "[" * 100 + "]" * 100
    artefacts.write_document(path, {"a": "\U0001f9e0", "raw_dir": "M\udcfcller", "n": 10**400})
    assert artefacts.read_json(path) == {"a": "\U0001f9e0", "raw_dir": "M\udcfcller", "n": 10**400}


def test_a_file_of_any_size_is_not_read(tmp_path, monkeypatch):
    """It says how large it is."""
    monkeypatch.setattr(artefacts, "LARGEST", 10)
    (tmp_path / "a.json").write_text("[1, 2, 3, 4]")
    with pytest.raises(UserError, match="found 12 bytes, more than the 10 that are read"):
        artefacts.read_json(tmp_path / "a.json")


OF_MANY = json.dumps({"a": {"subjects": []}, "subjects": [{"n": 1, "in": [{}, []]}, {"n": 2}], "more": ["]"]}, indent=1)


@pytest.mark.parametrize(
    ("apart", "text"),
    [
        (True, OF_MANY),
        (True, json.dumps({"subjects": [{"n": 1}]}, indent=1)),
        (True, OF_MANY.replace('{\n   "n": 2\n  }', "[\n   2\n  ]")),  # another kind of entry
        (True, json.dumps({"subjects": [{"n": "\n  },\n"}, {"n": 2}], "shards": [{"n": 3}, {"n": 4}]}, indent=1)),
        (False, json.dumps(json.loads(OF_MANY))),  # not indented
        (False, OF_MANY.replace("\n", "\r\n")),
        (False, OF_MANY.replace("\n  },", "\n  } ,")),
        (False, json.dumps({"subjects": []}, indent=1)),
        (False, json.dumps([{"subjects": [{"n": 1}]}], indent=1)),
        (False, '{"a": {\n "subjects": [\n  {\n  }\n ]}}'),  # inside of something else
        (False, '{"subjects": 1, "a": {\n "subjects": [\n  {\n  }\n ]}}'),
        (False, OF_MANY.replace("\n  },", "\n  }")),  # none of the rest is JSON
        (False, OF_MANY.replace("2\n  }", "2\n  },")),
        (False, OF_MANY.replace("2\n  }\n ]", "2\n  }")),
        (False, OF_MANY.replace('"n": 2', '"n": NaN')),
        (False, OF_MANY.replace('"n": 2', '"n": 2, "n": 3')),
        (False, OF_MANY.replace('"more"', '"subjects"')),
        (False, OF_MANY.removesuffix("}")),
        (False, OF_MANY + "}"),
        (False, ""),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 1 << 16])
def test_a_list_of_many_is_read_entry_by_entry(tmp_path, monkeypatch, apart, text, piece):
    """Where it stands as we write it; any other file is read, or refused, in the words for the whole.

    piece: bytes that are read at a time, so that entries and delimiters are cut anywhere.
    """
    monkeypatch.setattr(documents, "PIECE", piece)

    def read(**how):
        try:
            return artefacts.read_json(path, **how)
        except UserError as error:
            return str(error)

    path = tmp_path / "a.json"
    path.write_text(text, newline="")
    whole, found = read(), read(apart="subjects")
    assert (isinstance(found, dict) and isinstance(found.get("subjects"), json_text.Each)) == apart
    if apart:
        assert list(found["subjects"]) == list(found["subjects"])  # it can be gone through again
        found["subjects"] = list(found["subjects"])
    assert found == whole


def test_an_entry_that_is_none_of_ours_is_not_looked_through_for_long(tmp_path, monkeypatch):
    """So large that what is looked through again and again would take time; the file is read as a whole."""
    monkeypatch.setattr(documents, "PIECE", 16)
    monkeypatch.setattr(documents, "LARGE", 64)
    for text, kind in (("a" * 20, json_text.Each), ("a" * 200, list)):
        (tmp_path / "a.json").write_text(json.dumps({"subjects": [{"n": text}, {"n": 2}]}, indent=1))
        found = artefacts.read_json(tmp_path / "a.json", apart="subjects")["subjects"]
        assert isinstance(found, kind) and list(found) == [{"n": text}, {"n": 2}]


def test_a_list_of_many_is_of_one_file(tmp_path):
    """One that is written anew while it is read is not mixed with what was there; the seal is of all entries."""
    path, document = tmp_path / "a.json", json.loads(OF_MANY)
    artefacts.write_document(path, document)
    found = artefacts.read_json(path, apart="subjects")["subjects"]
    assert list(found) == document["subjects"]
    artefacts.write_document(path, document)
    with pytest.raises(UserError, match="one file while it is read, found another; run the command again"):
        list(found)
    kept = path.rename(tmp_path / "b.json")
    with pytest.raises(UserError, match="one file while it is read, found No such file"):
        list(found)
    path = kept
    path.write_text(path.read_text().replace('"n": 2', '"n": 3'))
    with pytest.raises(UserError, match="expected the file as it was written"):
        artefacts.read_json(path, apart="subjects")


@pytest.mark.parametrize("place", ["title", "name", "channel"])
def test_half_a_character_is_refused_in_a_line_that_can_be_printed(place):
    """JSON can hold a half by itself, which no file can; a byte of a file's name stands for itself."""
    document = tasks.TASKS["brats"].document()
    broken = (
        {**document, place: "x\ud800"}
        if place != "channel"
        else {**document, "inside": {"channel": "\ud800", "above": 0}}
    )
    with pytest.raises(UserError) as refused:
        tasks.from_document(broken)
    assert "\\ud800" in str(refused.value) and str(refused.value).encode()
    assert tasks.from_document({**document, "title": "x\udcfc"}).title == "x\udcfc"
    assert names.wrong("x\ud800") and not names.wrong("x\udcfc")
