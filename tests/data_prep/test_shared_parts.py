"""Small subjects are converted together into one part: what a kill, a change or a fault of one of them costs the others."""

import os
import pathlib
import shutil

import pytest
from test_convert import Crash, crash_at, crashes_at

from data_prep import convert, parts, records, shards, work
from data_prep.base import leftovers
from data_prep.base.errors import UserError
from data_prep.readers import isic

OPTIONS = {"image_size": (32, 48), "intensity": "unit"}


@pytest.fixture
def raw_dir(isic_data, tmp_path):
    return shutil.copytree(isic_data.parent / "raw", tmp_path / "raw")


@pytest.fixture
def loaded(monkeypatch):
    """The names of the photographs that were loaded, in order."""
    found, load = [], isic.load
    monkeypatch.setattr(isic, "load", lambda source, *given: found.append(source.name) or load(source, *given))
    return found


def run(raw_dir, data_dir, **settings):
    lines = []
    convert.convert("isic", raw_dir, data_dir, OPTIONS, say=lines.append, **settings)
    return lines


def begun(raw_dir, data_dir, monkeypatch, owner=shards, name="join", number=0):
    """A conversion that stops there; the parts that it left, in order of their names."""
    with monkeypatch.context() as patch, pytest.raises(Crash):
        crash_at(patch, owner, name, number)
        run(raw_dir, data_dir)
    return sorted((data_dir / shards.PARTS).glob("*.part"))


def shard_bytes(folder):
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).glob("*.tfrecord")}


def photograph(raw_dir, name):
    (path,) = [path for path in raw_dir.rglob(f"{name}.*") if "GroundTruth" not in str(path)]
    return path


def test_as_many_as_are_small_lie_in_a_part(tmp_path, monkeypatch):
    """By the bytes of their files and their number; a volume has its own whatever its size."""
    monkeypatch.setattr(parts, "SMALL", 100)
    monkeypatch.setattr(parts, "MOST", 3)

    class Source:
        def __init__(self, size):
            self.size, self.paths = size, (str(tmp_path / f"{size}"),)
            pathlib.Path(self.paths[0]).write_bytes(bytes(size))

    def sizes(*given, alone=False):
        return [[source.size for source in group] for group in parts.together(map(Source, given), alone)]

    assert sizes(40, 50, 20, 10, 10, 10, 300, 1) == [[40, 50], [20, 10, 10], [10], [300], [1]]
    assert sizes(1, 2, alone=True) == [[1], [2]] and sizes() == []


def test_records_are_those_of_subjects_alone(raw_dir, isic_data, tmp_path, monkeypatch):
    """To the byte; ten photographs lie in one part, and in as many where each has its own."""
    (part,) = begun(raw_dir, tmp_path / "together", monkeypatch)
    assert len(parts.whole(part)) == 10
    run(raw_dir, tmp_path / "together")
    monkeypatch.setattr(parts, "MOST", 1)
    run(raw_dir, tmp_path / "alone")
    assert shard_bytes(tmp_path / "together") == shard_bytes(tmp_path / "alone") == shard_bytes(isic_data)
    records.verify(tmp_path / "together")


@pytest.mark.parametrize(("owner", "name"), [(os, "replace"), (pathlib.Path, "unlink")])
def test_stopped_at_any_step_it_ends_the_same(raw_dir, isic_data, loaded, tmp_path, monkeypatch, owner, name):
    """Each rename and each deletion in turn is where it stops; what lies in a part is not loaded again. About 2 s."""
    monkeypatch.setattr(parts, "MOST", 4)  # one part holds subjects of two shards
    for step in range(100):
        data_dir = tmp_path / f"{name}{step}"
        crashed = crashes_at(monkeypatch, owner, name, step, lambda data_dir=data_dir: run(raw_dir, data_dir))
        kept = {document["name"] for part in data_dir.glob("parts/*.part") for document, _ in parts.whole(part)}
        loaded.clear()
        run(raw_dir, data_dir)
        assert shard_bytes(data_dir) == shard_bytes(isic_data) and not (data_dir / "parts").exists()
        assert not kept & set(loaded)
        if not crashed:
            break
    assert step >= {"replace": 10, "unlink": 4}[name]  # and it did stop in many places


def test_one_of_them_changes(raw_dir, loaded, tmp_path, monkeypatch):
    """Of those that lie with it none is loaded again, whether it is the first of its part, which the part is named by, or not."""
    (part,) = begun(raw_dir, tmp_path / "data", monkeypatch)
    names = [document["name"] for document, _ in parts.whole(part)]
    for name in (names[0], names[4]):
        path = photograph(raw_dir, name)
        path.write_bytes(photograph(raw_dir, names[2]).read_bytes())
    loaded.clear()
    lines = run(raw_dir, tmp_path / "data")
    assert sorted(loaded) == sorted([names[0], names[4]])
    assert sum("is another file; converted again" in line for line in lines) == 2
    run(raw_dir, tmp_path / "fresh")
    assert shard_bytes(tmp_path / "data") == shard_bytes(tmp_path / "fresh")


def test_one_of_them_is_taken_away(raw_dir, loaded, tmp_path, monkeypatch):
    """The others are planned anew, in other shards perhaps, and not loaded again; nor where they are in shards already."""
    begun(raw_dir, tmp_path / "parts", monkeypatch)
    begun(raw_dir, tmp_path / "shards", monkeypatch, work, "_finish")
    for path in list(raw_dir.rglob("ISIC_9000003*")):
        path.unlink()
    loaded.clear()
    for name in ("parts", "shards"):
        run(raw_dir, tmp_path / name)
    assert loaded == []
    assert not any(path.name.startswith("ISIC_9000003") for path in raw_dir.rglob("*"))
    run(raw_dir, tmp_path / "fresh")
    assert shard_bytes(tmp_path / "parts") == shard_bytes(tmp_path / "shards") == shard_bytes(tmp_path / "fresh")


def test_one_of_them_cannot_be_converted(raw_dir, loaded, tmp_path):
    """It is named, and the others' part is kept for the next run."""
    broken = photograph(raw_dir, "ISIC_9000002")
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="ISIC_9000002"):
        run(raw_dir, tmp_path / "data")
    broken.write_bytes(whole)
    loaded.clear()
    run(raw_dir, tmp_path / "data")
    assert loaded == ["ISIC_9000002"]


def test_what_a_kill_was_writing_is_not_read(raw_dir, isic_data, loaded, tmp_path, monkeypatch):
    """A part, or a shard's JSON, whole or half, that was to be renamed: it may be swept away at any moment."""
    (part,) = begun(raw_dir, tmp_path / "data", monkeypatch)
    gone = leftovers.partial("x").replace(f"-{os.getpid()}-x", "-999999999-")  # of no process that is alive
    part.rename(part.with_name(gone + part.name))
    (part.parent / f"{gone}train-00000-of-00001.tfrecord.json").write_text('{"shard": {')
    (tmp_path / "data" / f"{gone}train-00000-of-00001.tfrecord").write_bytes(b"half")
    loaded.clear()
    run(raw_dir, tmp_path / "data")
    assert len(loaded) == 10
    assert shard_bytes(tmp_path / "data") == shard_bytes(isic_data)


@pytest.mark.parametrize("how", ["cut", "other", "gone to its beginning"])
def test_a_part_that_is_written_over_meanwhile(raw_dir, isic_data, tmp_path, monkeypatch, how):
    """By a worker that nobody waits for any more: one line, nothing wrong in a shard, and the same command goes on."""

    def written_over(shard, data_dir, places):
        (part,) = (data_dir / shards.PARTS).glob("*.part")
        content = part.read_bytes()
        part.write_bytes({"cut": content[:-9], "other": content[7:]}.get(how, content[:9]))
        join(shard, data_dir, places)

    join = shards.join
    with (
        monkeypatch.context() as patch,
        pytest.raises(UserError, match=r"as it was written.*run the same command again"),
    ):
        patch.setattr(shards, "join", written_over)
        run(raw_dir, tmp_path / "data")
    assert shard_bytes(tmp_path / "data").items() <= shard_bytes(isic_data).items()
    run(raw_dir, tmp_path / "data")
    assert shard_bytes(tmp_path / "data") == shard_bytes(isic_data)


def test_a_torn_part_is_made_anew(raw_dir, isic_data, loaded, tmp_path, monkeypatch):
    """Wholly, as nobody can say where it is torn; the other parts are kept."""
    monkeypatch.setattr(parts, "MOST", 4)
    torn, *others = begun(raw_dir, tmp_path / "data", monkeypatch)
    kept = {document["name"] for part in others for document, _ in parts.whole(part)}
    lost = [document["name"] for document, _ in parts.whole(torn)]
    torn.write_bytes(torn.read_bytes()[:-7])
    loaded.clear()
    run(raw_dir, tmp_path / "data")
    assert kept and set(lost) <= set(loaded) and not kept & set(loaded)
    assert shard_bytes(tmp_path / "data") == shard_bytes(isic_data)
