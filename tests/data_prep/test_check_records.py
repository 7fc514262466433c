"""The data doctor on records: nothing is said of clean ones; what a disk, a hand or a kill did is found, all of it at once."""

import hashlib
import json
import shutil

import own_folders
import pytest

from data_prep import convert, tf_example
from data_prep.base import artefacts, leftovers, pool
from data_prep.check import records
from data_prep.manifest import read_alone


@pytest.fixture
def data(brats_data, tmp_path):
    """A copy of the records of seven phantom subjects, to be broken."""
    return shutil.copytree(brats_data, tmp_path / "data")


def checked(folder):
    """(severity, kind, line) of each finding."""
    found, _ = records.check(folder, pool.Serial())
    return [(one.severity, one.kind, str(one.error)) for one in found]


def only(folder):
    (one,) = checked(folder)
    return one


def edited(folder, change):
    """Changes dataset.json so that it vouches for what it says now."""
    path = folder / "dataset.json"
    document = artefacts.read_json(path)
    change(document)
    artefacts.write_document(path, document)


def shards(folder):
    return sorted(folder.glob("*.tfrecord"))


def test_clean_records_have_no_findings(data, isic_data):
    """Of volumes and of photographs; the manifest is handed back."""
    assert checked(data) == [] == checked(isic_data)
    _, manifest = records.check(data, pool.Serial())
    assert manifest.identity == read_alone(data).identity


def test_records_of_one_s_own_data(tmp_path):
    """Of several classes, whose voxels the manifest counts; one that it counts otherwise is named."""
    convert.convert(own_folders.nnunet(tmp_path / "D").name, tmp_path / "D", tmp_path / "data", say=lambda line: None)
    assert checked(tmp_path / "data") == []

    def change(document):
        document["subjects"][0]["voxels"][1] += 1

    edited(tmp_path / "data", change)
    severity, kind, line = only(tmp_path / "data")
    assert (severity, kind) == ("error", "damaged records") and "voxels by class" in line and "case_" in line


def test_shards_of_several_faults(data):
    """A byte, the end and a whole file: each shard by itself, with the record where one is damaged."""
    first, second, third = shards(data)
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    second.write_bytes(second.read_bytes()[:-1])
    third.unlink()
    said = checked(data)
    assert [severity for severity, *_ in said] == ["error"] * 3
    lines = {path.name: next(line for _, _, line in said if path.name in line) for path in (first, second, third)}
    assert ", record " in lines[first.name] and "bytes" in lines[second.name] and "no file" in lines[third.name]
    assert all("prepare the data again" in line for line in lines.values())


def test_an_unfinished_folder(data):
    """Without its manifest it names the command that finishes it."""
    (data / "dataset.json").unlink()
    severity, _, line = only(data)
    assert severity == "error" and "unfinished" in line and "prepare.py" in line


def test_an_edited_manifest(data):
    """It no longer vouches for itself."""
    path = data / "dataset.json"
    path.write_text(path.read_text().replace('"seed": 100', '"seed": 101'))
    severity, _, line = only(data)
    assert severity == "error" and "edited or damaged" in line


def test_a_manifest_of_an_earlier_version(data):
    """No seal is a note."""
    path = data / "dataset.json"
    document = artefacts.read_json(path)
    path.write_text(json.dumps(document))
    severity, kind, line = only(data)
    assert (severity, kind) == ("note", "earlier version") and "no seal" in line


def shorter(document):
    document["subjects"][0]["training_slices"] += 1


def unlabelled(document):
    document["subjects"][0]["labelled"] = False


def elsewhere(document):
    document["subjects"][0]["first_record"] += 1


@pytest.mark.parametrize(
    ("change", "words"), [(shorter, "slices to train on"), (unlabelled, "no label"), (elsewhere, "in a row")]
)
def test_a_manifest_that_says_something_else(data, change, words):
    """Each entry is held against what the records hold."""
    edited(data, change)
    said = checked(data)
    assert all((severity, kind) == ("error", "damaged records") for severity, kind, _ in said)
    assert any(words in line for _, _, line in said)


def test_records_that_are_none(data):
    """Whole by every checksum, and no example of ours."""
    path = shards(data)[0]
    count = next(shard.records for shard in read_alone(data).shards if shard.name == path.name)
    content = b"".join(bytes(piece) for _ in range(count) for piece in tf_example.framed(b"\xff\xff"))
    path.write_bytes(content)

    def change(document):
        shard = next(shard for shard in document["shards"] if shard["name"] == path.name)
        shard.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    edited(data, change)
    severity, _, line = only(data)
    assert severity == "error" and "records of this schema" in line and path.name in line


def test_folds_of_strangers(data):
    """Names that no subject has."""

    def change(document):
        document["folds"] = [{"train": ["Nobody"], "valid": [document["subjects"][0]["name"]]}]

    edited(data, change)
    severity, _, line = only(data)
    assert severity == "error" and "Nobody" in line


def test_a_patient_in_two_splits(data):
    """As the manifest tells patients apart."""
    names = {}

    def change(document):
        for entry in document["subjects"]:
            if entry["splits"][0] not in names and entry["splits"][0] in ("train", "test"):
                names[entry["splits"][0]] = entry["name"]
                entry["patient"] = "Ann"

    edited(data, change)
    severity, kind, line = only(data)
    assert (severity, kind) == ("warning", "patient in two splits")
    assert "Ann in both train and test" in line and all(name in line for name in names.values())


def test_what_lies_beside(data):
    """A shard that nobody lists, what the making left, and what a killed process was writing."""
    shutil.copy(shards(data)[0], data / "train-00009-of-00010.tfrecord")
    (data / "prepare.json").write_text("{}")
    (data / "parts").mkdir()
    (data / "parts" / "S.part").write_bytes(b"")
    left = data / leftovers.partial("x").replace(f"-{leftovers.os.getpid()}-", "-999999999-")
    left.write_bytes(b"")
    left.with_name(f"{left.name}.tfrecord").write_bytes(b"")  # is left behind, and not "not listed"
    said = {(severity, kind): line for severity, kind, line in checked(data)}
    assert "train-00009" in said["warning", "not listed"]
    assert set(said) == {("warning", "not listed"), ("note", "left behind")}
    lines = [line for _, kind, line in checked(data) if kind == "left behind"]
    assert len(lines) == 4 and any(str(left) in line for line in lines)
    assert left.exists()  # nothing is removed by looking


def test_who_was_left_out(data):
    """Each subject of --skip_bad, with why."""

    def change(document):
        document["skipped"] = [{"name": "Bad", "reason": "its file ends early", "files": []}]

    edited(data, change)
    severity, kind, line = only(data)
    assert (severity, kind) == ("note", "left out") and "Bad" in line and "ends early" in line


@pytest.mark.parametrize(
    "name", ["folds", "subjects", "shards", "splits", "first_record", "shard", "patient", "voxels"]
)
@pytest.mark.parametrize("value", [7, "x", {"a": 1}])
def test_a_manifest_of_any_form(data, name, value):
    """Whoever takes its seal out may write anything; it is said of one file, and nothing ends there."""
    path = data / "dataset.json"
    document = artefacts.read_json(path)
    place = document if name in document else document["subjects"][0]
    place[name] = value
    path.write_text(json.dumps(document))
    assert all(str(data) in line for _, _, line in checked(data))
