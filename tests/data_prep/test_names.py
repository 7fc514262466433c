"""Names that become paths: what is one component of a path and what is not, wherever a name enters."""

import json

import msgspec
import own_folders
import pytest

from data_prep import convert, datasets, tasks
from data_prep.base import names
from data_prep.base.errors import Faults, UserError
from data_prep.readers import cases, finding, own_words

ORDINARY = (
    "BraTS18_2013_2_1",
    "case 1",
    "a.b.c",
    "..a",
    "Müller-Łódź",
    "患者1",
    "x@y",
    "-1",
    "=1",
    "a" * 200,
    "a\\b",
    "x\udcfc",
)
WRONG = ("", " ", ".", "..", "/", "../../x", "a/b", "/etc/passwd", "a\0b", "a\nb", "\x1b[31mred", "a\u2028b", "é" * 101)


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_names_are_taken(name):
    """Spaces, dots inside, letters of any alphabet and bytes that are no text are fine."""
    assert names.checked(name, "a subject", "x") == name


@pytest.mark.parametrize("name", (*WRONG, ".partial-host-1-x", 5, None, ["a"]))
def test_others_are_one_line(name):
    """What leaves its folder, breaks a line, or is too long is named, and the message is one printable line."""
    with pytest.raises(UserError, match="expected a name for a subject") as error:
        names.checked(name, "a subject", "dataset.json")
    assert str(error.value).startswith("dataset.json: ") and str(error.value).isprintable()


def test_the_types_of_documents_say_the_same():
    """What msgspec refuses in an entry of a document, `checked` refuses too."""
    for kind, slash in ((names.Component, False), (names.Words, True)):
        for name in (*ORDINARY[:-1], *WRONG[:-1]):
            try:
                msgspec.convert(name, kind)
                fits = bool(name.strip())
            except msgspec.ValidationError:
                fits = False
            assert fits == (not names.wrong(name, slash)), (name, kind)


@pytest.mark.parametrize(("one", "other"), [("Case", "case"), ("\u00e9", "e\u0301"), ("STRASSE", "straße")])
def test_names_that_a_disk_may_fold(one, other):
    """Two names that differ by case or Unicode form are refused together, the same name twice is none of our business."""
    names.require([one, one, "x"], "a subject", "w")
    with pytest.raises(UserError, match="differ by more than case"):
        names.require([one, "x", other], "a subject", "w")


def test_paths_that_files_list():
    """A listed path stays in its folder."""
    assert str(names.inside("./a/b.png", "w")) == "a/b.png"
    for path in ("../a", "a/../../b", "/a", "", "a\0", 3):
        with pytest.raises(UserError, match="files inside the folder"):
            names.inside(path, "w")


def test_a_manifest_with_a_path_for_a_name(tmp_path, brats_data):
    """Names of subjects, shards and splits in dataset.json; what is read must be in a shard that is listed."""
    from data_prep import manifest

    content = json.loads((brats_data / "dataset.json").read_text())
    del content["seal"]
    (tmp_path / "data").mkdir()
    for shard in content["shards"]:
        (tmp_path / "data" / shard["name"]).symlink_to(brats_data / shard["name"])

    def read(change):
        changed = json.loads(json.dumps(content))
        change(changed)
        (tmp_path / "data" / "dataset.json").write_text(json.dumps(changed))
        return manifest.read_manifest(tmp_path / "data")

    def subject(entry, value):
        return lambda document: document["subjects"][0].update({entry: value})

    assert read(lambda document: None).subjects
    for change in (
        subject("name", "../../../../x"),
        subject("name", content["subjects"][1]["name"].lower()),
        subject("splits", ["../x"]),
        subject("shard", "../x.tfrecord"),
        lambda document: document["shards"][0].update(name="../x.tfrecord"),
        lambda document: document["task"].update(name="../x"),
        lambda document: document["task"]["regions"][0].update(name="a\nb"),
    ):
        with pytest.raises(UserError) as error:
            read(change)
        assert str(error.value).startswith(str(tmp_path / "data" / "dataset.json")), error.value


def source(name, file="f.nii"):
    return cases.Source(name, (f"raw/{file}",))


def test_what_a_reader_finds():
    """Subjects under names that none can have, or that fold to another's, are faults beside those that can be used."""
    kept, faults = finding.sources(lambda: [source("A"), source("a\tb"), source("a"), source("B")])
    assert [one.name for one in kept] == ["A", "B"] and list(faults) == ["'a\\tb'", "a"]
    assert finding.sources(list) == ([], {})
    with pytest.raises(UserError, match="name for a subject"):
        finding.sources(lambda: [source("..")])

    def partly():
        raise Faults({"x": UserError("x")}, [source("A"), source("a")])

    kept, faults = finding.sources(partly)
    assert [one.name for one in kept] == ["A"] and set(faults) == {"x", "a"}


def test_prepare_refuses_such_subjects(tmp_path):
    """A raw case whose name has a tab is one line, before any record is whole."""
    raw = own_folders.nnunet(tmp_path / "Dataset008_Two", cases=4)
    for path in [*raw.rglob("case_00*")]:
        path.rename(path.with_name(path.name.replace("case_00", "case\t00")))
    with pytest.raises(UserError, match="control character in 'case\\\\t00'"):
        convert.convert(datasets.find(str(raw))[0], raw, tmp_path / "data", say=lambda line: None)
    assert not (tmp_path / "data" / "dataset.json").exists()


def test_words_of_a_task(tmp_path):
    """A class or region may have a slash, as `NCR/NET` has, and no line break."""
    raw = own_folders.nnunet(tmp_path / "Dataset008_Two")
    task = datasets.find(str(raw))[0]
    first = str(task.classes[1].labels[0])
    (raw / "tfunc.json").write_text(json.dumps({"classes": {first: "NCR/NET"}}))
    made = own_words.laid_over(task, raw)
    assert tasks.from_document(made.document()) == made and made.classes[1].name == "NCR/NET"
    for words in ({"classes": {first: "a\nb"}}, {"regions": [{"name": "a\x1bb", "classes": [1]}]}):
        (raw / "tfunc.json").write_text(json.dumps(words))
        with pytest.raises(UserError, match="control character"):
            own_words.laid_over(task, raw)
