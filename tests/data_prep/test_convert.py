"""Conversion gives the same files however many workers there are and wherever it was killed, and redoes nothing."""

import collections
import concurrent.futures.process
import dataclasses
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest

from data_prep import convert, normalisation, records, shards, splits, subject, tasks, tf_example, work
from data_prep.base import artefacts, locks, notices, pool
from data_prep.base.errors import NotReady, UserError

ROOT = pathlib.Path(__file__).parents[2]

# A dataset of its own, this module: a subject is a JSON file {"seed", "labelled"} in the raw folder. Each load is
# logged beside the raw folder, so that conversions can be counted across processes.


def add_task(module=__name__):
    """The table's entry of this data set."""
    brats = tasks.TASKS["brats"]
    tasks.TASKS["fake"] = msgspec.structs.replace(brats, name="fake", reader=module, ratio=(3, 1, 2), per_shard=2)


@dataclasses.dataclass(frozen=True)
class Source:
    name: str
    image: str
    labelled: bool = True
    grade: str | None = None
    split: str | None = None

    @property
    def paths(self):
        return (self.image,) if self.image else ()


def find(raw_dir):
    paths = sorted(pathlib.Path(raw_dir).glob("*.json"))
    return [Source(path.stem, str(path), artefacts.read_json(path)["labelled"]) for path in paths]


def load(source, options, task=None):
    with open(pathlib.Path(source.image).parent.with_suffix(".log"), "a") as log:
        log.write(source.name + "\n")
    if source.name == options.get("killed_at"):
        os.kill(os.getpid(), signal.SIGKILL)
    if options.get("remarked"):
        notices.once("remark", f"{source.image}: a remark")
        notices.values("labels", {0: 10, 4: 2})
    if source.name in (options.get("broken") or ()):
        raise UserError(source.image, expected="a whole file", found="half of one")
    generator = np.random.default_rng(artefacts.read_json(source.image)["seed"])
    image = np.zeros((3, 6, 5, 4), np.int16)
    image[:, 1:4, 2:5] = generator.integers(1, 999, (3, 3, 3, 4))
    mean, std = normalisation.zscore_statistics(image, source.image)
    label = (image[..., 0] > 500).astype(np.uint8) if source.labelled else None
    return subject.Subject(source.name, image, mean, std, label, label, bytes(348), source.image)


def loads(raw_dir):
    log = raw_dir.with_suffix(".log")
    return log.read_text().split() if log.exists() else []


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    monkeypatch.setattr(tasks, "TASKS", dict(tasks.TASKS))
    add_task()


def raw(folder, number=6, unlabelled=1):
    folder.mkdir(parents=True)
    for index in range(number + unlabelled):
        content = {"seed": index, "labelled": index < number}
        (folder / f"s{index}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def raw_dir(tmp_path):
    return raw(tmp_path / "raw")


def run(raw_dir, data_dir, options=None, **settings):
    lines = []
    manifest = convert.convert("fake", raw_dir, data_dir, options, say=lines.append, **settings)
    return manifest, lines


def contents(folder):
    """Name and content of every file, the configuration's own path left out."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# The plan


def test_what_readers_notice_is_said_once(raw_dir, tmp_path):
    """One line for all files, and the labels' numbers, at the end; also of subjects that a stopped run converted."""
    with pytest.raises(UserError, match="half of one"):
        run(raw_dir, tmp_path / "data", {"remarked": True, "broken": "s3"})
    (raw_dir / "s3.json").unlink()
    _, lines = run(raw_dir, tmp_path / "data", {"remarked": True, "broken": "s3"})
    assert sum("a remark" in line for line in lines) == 1
    assert any(line.endswith("a remark (and 5 more)") for line in lines)
    said = "labels of 6 files, numbers and their voxels: 0 in 60, 4 in 12; foreground: 4"
    assert lines.count(said) == 1


def test_plan_keeps_subjects_whole_and_splits_apart():
    """Two a shard, grouped by the first split, in the split's order; nothing else decides."""
    sources = [Source(f"s{index}", "") for index in range(8)]
    parts = {"train": ("s3", "s0", "s5"), "valid": ("s1",), "test": ("s1", "s2", "s4"), "predict": ("s7",)}
    planned = shards.plan(sources, splits.Assignment(parts), 2)
    assert {shard.name: [source.name for source in shard.sources] for shard in planned} == {
        "train-00000-of-00002.tfrecord": ["s3", "s0"],
        "train-00001-of-00002.tfrecord": ["s5"],
        "valid-00000-of-00001.tfrecord": ["s1"],
        "test-00000-of-00001.tfrecord": ["s2", "s4"],
        "predict-00000-of-00001.tfrecord": ["s7"],
    }
    assert planned == shards.plan(sources[::-1], splits.Assignment(parts), 2)


# The result


def test_a_converted_folder(raw_dir, tmp_path):
    """Manifest, checksums, subjects and splits are all there, and nothing else is."""
    manifest, lines = run(raw_dir, tmp_path / "data")
    records.verify(tmp_path / "data")
    assert records.read_manifest(tmp_path / "data", stamped=False) == manifest
    assert [len(manifest.split(name)) for name in splits.NAMES] == [3, 1, 2, 1]
    assert (manifest.height, manifest.width, manifest.intensity) == (6, 5, "zscore")
    assert [shard.records for shard in manifest.shards] == [6, 3, 3, 6, 3]
    for source in find(raw_dir):
        found, expected = records.read_subject(tmp_path / "data", manifest, source.name), load(source, {})
        np.testing.assert_array_equal(found.image, expected.image)
        np.testing.assert_array_equal(found.normalised(), expected.normalised())
        assert (found.label is None) == (not source.labelled) and found.header == expected.header
        assert manifest.subject(source.name).training_slices == 3
    assert set(contents(tmp_path / "data")) == {"dataset.json", *(shard.name for shard in manifest.shards)}
    assert [path.name for path in (tmp_path / "data").iterdir() if path.is_dir()] == []
    assert lines == ["subjects without a label, kept for prediction: 1"]
    assert convert.summary(manifest)[0].split() == ["train", "3", "subjects", "9", "slices,", "9", "trained", "on"]


def test_members_and_folds_reach_the_manifest(raw_dir, tmp_path):
    """And a subject in valid and test is stored once."""
    names = [f"s{index}" for index in range(6)]
    path = tmp_path / "cv.json"
    held_out = [names[:2], names[4:], names[2:4]]
    folds = {"train": [names[2:], names[:4], names[:2] + names[4:]], "valid": held_out, "test": held_out}
    path.write_text(json.dumps(folds))
    manifest, _ = run(raw_dir, tmp_path / "data", split_files=[path], split_fold=1)
    assert manifest.folds[1] == {"train": tuple(names[:4]), "valid": ("s4", "s5")}
    assert manifest.subject("s4").splits == ("valid", "test")
    assert [entry.name for entry in manifest.split("test")] == ["s4", "s5"]
    assert len(manifest.subjects) == 7


def test_the_number_of_workers_changes_nothing(raw_dir, tmp_path):
    """Byte for byte, in this process, and with three threads that end in any order."""
    run(raw_dir, tmp_path / "one")
    with concurrent.futures.ThreadPoolExecutor(3) as executor:
        run(raw_dir, tmp_path / "three", executor=executor, workers=3)
    assert contents(tmp_path / "one") == contents(tmp_path / "three")


def test_process_pool(raw_dir, tmp_path):
    """Two spawned workers, as the launcher has them, and an error that comes back from one."""
    with pool.executor(2, tensorflow=False) as executor:
        with pytest.raises(UserError, match=r"s2\.json.*half of one"):
            run(raw_dir, tmp_path / "broken", {"broken": ["s2"]}, executor=executor, workers=2)
        run(raw_dir, tmp_path / "two", executor=executor, workers=2)
    run(raw_dir, tmp_path / "one")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


# Again, and after a kill


def test_a_finished_folder_is_left_alone(raw_dir, tmp_path):
    """The same command says so and loads nothing, also when the raw data are gone."""
    run(raw_dir, tmp_path / "data")
    before, number = contents(tmp_path / "data"), len(loads(raw_dir))
    assert run(raw_dir, tmp_path / "data")[1] == [
        f"{tmp_path / 'data' / 'dataset.json'} is finished, with the same configuration: nothing to do"
    ]
    raw_dir.rename(tmp_path / "gone")
    run(raw_dir, tmp_path / "data")
    assert contents(tmp_path / "data") == before and len(loads(raw_dir)) == number


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"seed": 1}, r"seed 100 \(there\) against 1 \(asked for\)"),
        ({"options": {"label_map": {1: 1}}}, "label_map"),
        ({"allow_missing": True}, "allow_missing"),
        ({"raw": "other"}, "raw_dir"),
        ({"add": True}, "subjects '7"),
    ],
)
def test_another_configuration_is_refused(raw_dir, tmp_path, change, match):
    """The difference is named, and nothing is touched."""
    run(raw_dir, tmp_path / "data")
    before = contents(tmp_path / "data")
    if change.pop("add", False):
        (raw_dir / "s7.json").write_text('{"seed": 7, "labelled": true}')
    other = raw(tmp_path / change.pop("raw")) if "raw" in change else raw_dir
    with pytest.raises(UserError, match=match):
        run(other, tmp_path / "data", **change)
    assert contents(tmp_path / "data") == before


def test_an_unfinished_folder_refuses_another_configuration_too(raw_dir, tmp_path, monkeypatch):
    """What one command began and a kill stopped no other continues."""
    with monkeypatch.context() as patch, pytest.raises(Crash):
        crash_at(patch, shards, "join", 1)
        run(raw_dir, tmp_path / "data", {"image_size": [5, 6]})
    with pytest.raises(UserError, match="image_size"):
        run(raw_dir, tmp_path / "data")


def test_a_refused_command_claims_nothing(raw_dir, tmp_path):
    """The flag that its message advises is taken, and what was converted under other options is converted again."""
    with pytest.raises(UserError, match=r"s3\.json"):
        run(raw_dir, tmp_path / "data", {"broken": ["s3"]})
    assert not (tmp_path / "data" / "prepare.json").exists()
    before = len(loads(raw_dir))
    _, lines = run(raw_dir, tmp_path / "data", {"broken": None})
    assert len(loads(raw_dir)) == before + 7 and any(
        "converted with other options; converted again" in x for x in lines
    )
    run(raw_dir, tmp_path / "fresh", {"broken": None})
    assert contents(tmp_path / "data") == contents(tmp_path / "fresh")


def test_where_no_subject_can_be_converted_nothing_is_left(tmp_path):
    """Not even the folder."""
    raw_dir = raw(tmp_path / "raw", 3, 0)
    with pytest.raises(UserError, match="3 subjects that can be converted, found 3 that cannot"):
        run(raw_dir, tmp_path / "data", {"broken": ["s0", "s1", "s2"]})
    assert not (tmp_path / "data").exists()


def test_every_bad_subject_is_said_and_may_be_left_out(raw_dir, tmp_path):
    """One line each and a count; with skip_bad the rest is as if they were not there, and the manifest lists them."""
    lines, broken = [], {"broken": ["s1", "s4"]}
    with pytest.raises(UserError, match=r"expected 7 subjects.*found 2 that cannot \(s1, s4\).*--skip_bad"):
        convert.convert("fake", raw_dir, tmp_path / "data", broken, say=lines.append)
    assert [line.split(":")[0] for line in lines if "half of one" in line] == ["s1", "s4"]
    before = len(loads(raw_dir))
    manifest, lines = run(raw_dir, tmp_path / "data", broken, skip_bad=True)
    assert len(loads(raw_dir)) == before + 2  # the good ones were kept
    assert [skipped.name for skipped in manifest.skipped] == ["s1", "s4"]
    assert "half of one" in manifest.skipped[0].reason and sum("left out: s" in line for line in lines) == 2
    assert run(raw_dir, tmp_path / "data", broken)[1][-1] == "left out when it was made: s1, s4"
    for name in ("s1", "s4"):
        (raw_dir / f"{name}.json").rename(tmp_path / f"{name}.json")
    fresh, _ = run(raw_dir, tmp_path / "fresh", broken)
    assert fresh.identity == manifest.identity and fresh.skipped == ()
    (tmp_path / "s1.json").write_text('{"seed": 1, "labelled": true, "mended": true}')
    (tmp_path / "s1.json").rename(raw_dir / "s1.json")
    with pytest.raises(UserError, match="subjects"):  # the mended one belongs in, and the folder is finished without it
        run(raw_dir, tmp_path / "data", broken)


@pytest.mark.parametrize("kept_times", [False, True])
def test_a_changed_source_is_converted_again(raw_dir, tmp_path, monkeypatch, kept_times):
    """Its name, size and even its time of writing may be the old ones: it is said and done anew, and the rest is kept."""
    with monkeypatch.context() as patch, pytest.raises(Crash):
        crash_at(patch, work, "_finish", 0)
        run(raw_dir, tmp_path / "data")
    path, content = raw_dir / "s2.json", '{"seed": 9, "labelled": true}'
    assert len(content) == path.stat().st_size
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_text(content)
    if kept_times:
        os.utime(path, ns=times)
    os.utime(raw_dir / "s3.json")  # touched, and still the same file
    _, lines = run(raw_dir, tmp_path / "data")
    assert loads(raw_dir)[7:] == ["s2"] and "s2: s2.json is another file; converted again" in lines
    run(raw_dir, tmp_path / "fresh")
    shards_of = lambda name: {k: v for k, v in contents(tmp_path / name).items() if k.endswith("tfrecord")}  # noqa: E731
    assert shards_of("data") == shards_of("fresh")


def test_a_finished_folder_says_that_its_sources_changed(raw_dir, tmp_path):
    """It is not "nothing to do"; nor is it made anew under networks that were trained on it."""
    run(raw_dir, tmp_path / "data")
    before = contents(tmp_path / "data")
    (raw_dir / "s2.json").write_text('{"seed": 9, "labelled": true}')
    lines = []
    with pytest.raises(UserError, match=r"s2 \(s2\.json is another file\); choose another --data_dir"):
        convert.convert("fake", raw_dir, tmp_path / "data", say=lines.append)
    assert lines == []  # and not "nothing to do" before
    assert contents(tmp_path / "data") == before


class Crash(BaseException):
    """Stands for a kill: nothing catches it."""


def crash_at(monkeypatch, owner, name, number):
    """Makes the `number`-th call of a function end the run before it does anything."""
    original, calls = getattr(owner, name), iter(range(10**6))

    def crashing(*arguments, **settings):
        if next(calls) == number:
            raise Crash
        return original(*arguments, **settings)

    monkeypatch.setattr(owner, name, crashing)


def crashes_at(monkeypatch, owner, name, number, act):
    """Whether `act` has so many calls of a function, the `number`-th of which ends it."""
    with monkeypatch.context() as patch:
        crash_at(patch, owner, name, number)
        try:
            act()
        except Crash:
            return True
    return False


@pytest.mark.parametrize(("owner", "name"), [(os, "replace"), (pathlib.Path, "unlink")])
def test_stopped_at_any_step_it_ends_the_same(raw_dir, tmp_path, monkeypatch, owner, name):
    """Each rename and each deletion in turn is where it stops; the next run redoes no finished part. About 3 s."""
    run(raw_dir, tmp_path / "whole")
    for step in range(200):
        data_dir, before = tmp_path / f"{name}{step}", len(loads(raw_dir))
        crashed = crashes_at(monkeypatch, owner, name, step, lambda data_dir=data_dir: run(raw_dir, data_dir))
        parts = data_dir / "parts"
        finished = len(list(parts.glob("s?.part")))
        between = len(loads(raw_dir))
        run(raw_dir, data_dir)
        assert contents(data_dir) == contents(tmp_path / "whole")
        assert not parts.exists()
        if not crashed:
            break
        assert len(loads(raw_dir)) - between <= 7 - finished  # what had its part was not loaded again
        assert len(loads(raw_dir)) - before <= 8  # at most one was under way
    least = {"replace": 15, "unlink": 6}  # each file that is written; each part that is removed
    assert step > least[name]  # and it did stop in many places


@pytest.mark.parametrize("damage", ["cut", "zeros", "a bit", "no slice", "an earlier version's"])
def test_a_torn_part_is_made_anew(raw_dir, tmp_path, monkeypatch, damage):
    """Parts are not forced to the disk: what a loss of power leaves of one is told from a whole one, which is kept."""
    tasks.TASKS["fake"] = msgspec.structs.replace(tasks.TASKS["fake"], per_shard=3)
    run(raw_dir, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Crash):
        crash_at(patch, shards, "join", 0)
        run(raw_dir, tmp_path / "data")
    part, *others = sorted((tmp_path / "data" / "parts").glob("s?.part"))
    assert len(others) == 2
    content = part.read_bytes()
    if damage == "an earlier version's":
        part.unlink()
        for ending in (".json", ".tfrecord"):
            part.with_suffix(ending).write_text("{}")
    else:
        last = len(content) - 16 - len(list(tf_example.records(io.BytesIO(content)))[-1])
        torn = {"cut": content[:-1], "zeros": bytes(len(content)), "a bit": content[:-20] + b"?" + content[-19:]}
        part.write_bytes(torn.get(damage, content[:last]))
    before = len(loads(raw_dir))
    _, lines = run(raw_dir, tmp_path / "data")
    assert part.stem in loads(raw_dir)[before:] and len(loads(raw_dir)) - before == 5  # seven, less the two whole ones
    assert any("converted by an earlier version" in line for line in lines) == (damage == "an earlier version's")
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")


def test_killed_for_real(raw_dir, launch, tmp_path):
    """kill -9 in the midst of a subject, in a process of its own; the other five are not converted again."""
    program = tmp_path / "program.py"
    program.write_text(
        f"import pathlib, sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r}); import test_convert as t;"
        "t.add_task('test_convert');"
        f"t.run(pathlib.Path({str(raw_dir)!r}), pathlib.Path({str(tmp_path / 'data')!r}),"
        "{'killed_at': t.victim()})"
    )
    ended = launch(program)
    assert ended.code == -signal.SIGKILL, ended.err[-2000:]
    assert not (tmp_path / "data" / "dataset.json").exists()
    first = loads(raw_dir)
    assert first[-1] == victim() and len(first) == 6
    (tmp_path / "data" / "parts" / ".partial-1-s9.part").write_bytes(b"half")  # as a kill leaves it
    revived(raw_dir, tmp_path / "data")
    assert sorted(loads(raw_dir)[6:]) == sorted({f"s{i}" for i in range(7)} - set(first[:-1]))
    records.verify(tmp_path / "data")
    assert not (tmp_path / "data" / "parts").exists()


def victim():
    """The sixth subject to be converted, by the plan for six labelled subjects and one without label."""
    sources = [Source(f"s{i}", "", i < 6) for i in range(7)]
    planned = shards.plan(sources, splits.assign(sources, (3, 1, 2)), 2)
    return [source.name for shard in planned for source in shard.sources][5]


def revived(raw_dir, data_dir):
    """The same configuration again, with a `load` that survives it."""
    original = os.kill
    os.kill = lambda *_: None
    try:
        run(raw_dir, data_dir, {"killed_at": victim()})
    finally:
        os.kill = original


def test_taking_a_broken_subject_away_redoes_no_other(raw_dir, tmp_path):
    """Shards that the new plan does not have are taken apart and joined anew; the result is that of a fresh run."""
    with pytest.raises(UserError, match=r"s6\.json"):
        run(raw_dir, tmp_path / "data", {"broken": ["s6"]})
    assert len(list((tmp_path / "data").glob("*.tfrecord"))) == 4  # all but s6, which comes last
    assert len(loads(raw_dir)) == 7
    (raw_dir / "s6.json").unlink()
    (raw_dir / "s0.json").unlink()
    run(raw_dir, tmp_path / "data", {"broken": ["s6"]})
    assert len(loads(raw_dir)) == 7
    run(raw_dir, tmp_path / "fresh", {"broken": ["s6"]})
    assert contents(tmp_path / "data") == contents(tmp_path / "fresh")
    assert collections.Counter(loads(raw_dir))["s6"] == 1


def test_a_part_is_redone_where_its_label_came_later(raw_dir, tmp_path, monkeypatch):
    """What was converted without a label does not pass for labelled; the rest is kept, though the whole plan changes."""
    with monkeypatch.context() as patch, pytest.raises(Crash):
        crash_at(patch, work, "_finish", 0)
        run(raw_dir, tmp_path / "data")
    (raw_dir / "s6.json").write_text('{"seed": 6, "labelled": true}')
    manifest, _ = run(raw_dir, tmp_path / "data")
    assert loads(raw_dir)[7:] == ["s6"]
    assert manifest.split("predict") == [] and manifest.subject("s6").labelled
    assert records.read_subject(tmp_path / "data", manifest, "s6").label.any()


# Trouble


def test_two_subjects_of_one_name_are_refused(raw_dir, tmp_path, monkeypatch):
    """Both culprits are named."""
    twice = [Source("s0", "here/s0.json"), Source("s0", "there/s0.json")]
    monkeypatch.setattr(sys.modules[__name__], "find", lambda _: twice)
    with pytest.raises(UserError, match=r"there/s0\.json.*here/s0\.json"):
        run(raw_dir, tmp_path / "data")


def test_no_subjects_and_no_place_are_refused(tmp_path):
    """An empty raw folder; a file where the folder should be."""
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match="raw subjects"):
        run(tmp_path / "raw", tmp_path / "data")
    (tmp_path / "data").write_text("")
    with pytest.raises(UserError, match=r"data.*Not a directory"):
        run(raw(tmp_path / "full"), tmp_path / "data")


def test_two_preparations_at_once_are_refused(raw_dir, tmp_path):
    """The second is told to wait."""
    with (
        locks.held(tmp_path / "data" / shards.PARTS, "records"),
        pytest.raises(NotReady, match=r"expected records that nobody else writes, found process \d+ on .*; wait"),
    ):
        run(raw_dir, tmp_path / "data")
    run(raw_dir, tmp_path / "data")


def test_a_full_disk_and_a_dead_worker_are_explained(raw_dir, tmp_path, monkeypatch):
    """Both can be mended, and the same command goes on."""
    full, dead = OSError(28, "No space left on device"), concurrent.futures.process.BrokenProcessPool()
    for name, error, match in (
        ("join", full, "room on the disk.*the same command goes on"),
        ("convert_subjects", dead, "worker process died.*same command again"),
    ):
        with monkeypatch.context() as patch, pytest.raises(UserError, match=match):
            patch.setattr(shards, name, lambda *_, error=error: (_ for _ in ()).throw(error))
            run(raw_dir, tmp_path / "data")
    run(raw_dir, tmp_path / "data")


def test_workers_die_with_their_parent(tmp_path):
    """kill -9 of the parent leaves no worker behind. About 2 s: two processes."""
    program = tmp_path / "parent.py"
    program.write_text(
        "import os\nfrom data_prep.base import pool\n"
        "with pool.executor(2, tensorflow=False) as executor:\n"
        "    print(executor.submit(os.getpid).result(), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, program], env=environment, stdout=subprocess.PIPE, timeout=60)
    worker = int(ended.stdout)
    until = time.monotonic() + 10
    while running(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not running(worker)


def running(process):
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# The launcher


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ("--dataset=brats", "--raw_dir"),
        ("--raw_dir=.", "--dataset"),
        ("--dataset=brats --raw_dir=none", "none"),
        ("--dataset=isic --raw_dir=.", "ISIC"),
        ("--dataset=brats --raw_dir=. --image_size=3,4", "--image_size"),
        ("--dataset=isic --raw_dir=. --image_size=3x4", "--image_size=3x4"),
        ("--dataset=brats --raw_dir=. --label_map=1:2", "--label_map=1:2"),
        ("--dataset=brats --raw_dir=. --split_file=no.json", "no.json"),
        ("--dataset=brats --raw_dir=. --workers=0", "--workers"),
        ("--dataset=other", "other"),
        ("--unknown", "unknown"),
    ],
)
def test_launcher_refuses_in_one_line(tmp_path, arguments, match):
    """Exit code 2 and one line that says what is wrong. Half a second each."""
    program = [sys.executable, ROOT / "launch" / "prepare.py", *arguments.split()]
    ended = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and match in ended.stderr and ended.stderr.count("\n") == 1, ended.stderr
