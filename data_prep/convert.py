"""Subjects to shards: each is converted in a worker into a part, parts are joined into shards, the manifest comes last.

What lies in the folder, and what a kill at any moment leaves:
    prepare.json                    what was asked for; written first, so that another command does not mix in
    parts/<subject>.tfrecord, .json  a converted subject; the JSON is written second and says that the part is whole
    <split>-00000-of-00004.tfrecord  a shard: the parts of its subjects, byte after byte
    parts/<shard>.json              written when the shard is whole; only then are its parts deleted
    dataset.json                    the manifest; only then are parts/ and prepare.json deleted
A second run redoes no part or shard that its JSON vouches for. If the raw folder has changed meanwhile (a broken
subject was taken away, say), shards that no longer fit are taken apart into parts again.
"""

import base64
import collections
import concurrent.futures
import concurrent.futures.process
import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import itertools
import json
import pathlib
import shutil

from data_prep import records, splits, tasks
from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.base.progress import Progress

PREPARE = "prepare.json"
PARTS = "parts"
PIECE = 1 << 20  # bytes copied at a time


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file to make: its name and the sources of its subjects, in order."""

    name: str
    sources: tuple


def plan(sources, assignment, per_shard):
    """Shards grouped by each subject's first split, `per_shard` whole subjects each. Depends on its arguments alone."""
    by_name = {source.name: source for source in sources}
    belongs = assignment.splits()
    shards = []
    for split in splits.NAMES:
        names = [name for name in assignment.parts[split] if belongs[name][0] == split]
        chunks = [names[start : start + per_shard] for start in range(0, len(names), per_shard)]
        for index, chunk in enumerate(chunks):
            name = f"{split}-{index:05d}-of-{len(chunks):05d}.tfrecord"
            shards.append(Shard(name, tuple(by_name[name] for name in chunk)))
    return shards


def convert(
    dataset,
    raw_dir,
    data_dir,
    options=None,
    *,
    seed=100,
    split_files=(),
    split_fold=None,
    allow_missing=False,
    executor=None,
    workers=1,
    say=print,
):
    """Converts raw data into sharded records with a manifest; continues where a killed run stopped.

    dataset: a name of `tasks.TASKS`. options: handed to the dataset's `load`. seed, split_files, split_fold and
    allow_missing: see `splits.assign`. executor: a `concurrent.futures.Executor`, or None to work in this process.
    workers: how many the executor has; at most twice as many subjects are under way, which bounds memory. say: called
    with each line for the user.
    Returns the `records.Manifest`. Raises `UserError` for raw data, split files or folders that the user must mend.
    """
    options, data_dir = dict(options or {}), pathlib.Path(data_dir)
    task = _task(dataset, options)
    module = task.load_reader()
    asked = _configuration(dataset, raw_dir, options, seed, split_files, split_fold, allow_missing)
    finished = (data_dir / records.MANIFEST).exists()
    if finished and not pathlib.Path(raw_dir).is_dir():  # the raw data may go once they are converted
        return _already(data_dir, asked, say)
    sources = _found(module, raw_dir)
    assignment = splits.assign(sources, task.ratio, seed, split_files, split_fold, allow_missing)
    shards = plan(sources, assignment, task.per_shard)
    asked_and_found = {**asked, "subjects": _fingerprint(shards, assignment)}
    if finished:
        return _already(data_dir, asked_and_found, say)
    for note in assignment.notes:
        say(note)
    with _explained(data_dir), _locked(data_dir):
        _begin(data_dir, asked)
        _make(shards, module.load, options, data_dir, executor, workers, say)
        content = _manifest(task, options, shards, assignment, data_dir, asked_and_found)
        _finish(data_dir, content)
    return records.read_manifest(data_dir)


# What is asked for


def _configuration(dataset, raw_dir, options, seed, split_files, split_fold, allow_missing):
    def checksum(path):
        content = json.dumps(artefacts.read_json(path), sort_keys=True)
        return f"{pathlib.Path(path).name} ({hashlib.sha256(content.encode()).hexdigest()[:12]})"

    asked = {
        "schema_version": records.SCHEMA_VERSION,
        "dataset": dataset,
        "raw_dir": str(pathlib.Path(raw_dir).resolve()),
        **options,
        "seed": seed,
        "split_file": ", ".join(map(checksum, split_files)),
        "split_fold": split_fold,
        "allow_missing": allow_missing,
    }
    return json.loads(json.dumps(asked))  # as it comes back from a file: lists for tuples, text for integer keys


def _fingerprint(shards, assignment):
    """Short text that changes with the subjects, their order and their splits."""
    belongs = assignment.splits()
    names = [(source.name, belongs[source.name], source.labelled) for shard in shards for source in shard.sources]
    return f"{len(names)} ({hashlib.sha256(repr(names).encode()).hexdigest()[:12]})"


def _found(module, raw_dir):
    sources = module.find(raw_dir)
    by_name = {}
    for source in sources:
        other = by_name.setdefault(source.name, source)
        if other is not source:
            found = f"{source.name} at {other.image} too"
            raise UserError(source.image, expected="a name of its own for each subject", found=found, do="rename one")
    if not sources:
        raise UserError(raw_dir, expected="raw subjects", found="none")
    return sources


def _already(data_dir, configuration, say):
    """A finished folder: refuses another configuration, else there is nothing to do."""
    manifest = records.read_manifest(data_dir)
    there = {name: manifest.configuration.get(name) for name in {*manifest.configuration, *configuration}}
    if "subjects" not in configuration:
        del there["subjects"]
    _refuse_difference(data_dir / records.MANIFEST, there, configuration)
    _tidy(data_dir)
    say(f"{manifest.path} is finished, with the same configuration: nothing to do")
    return manifest


def _refuse_difference(path, there, asked):
    difference = artefacts.difference(there, asked)
    if difference:
        do = "choose another --data_dir, or remove this folder"
        raise UserError(path, expected="the configuration asked for", found=f"another: {difference}", do=do)


# The work


def _begin(data_dir, asked):
    prepare = data_dir / PREPARE
    if prepare.exists():
        _refuse_difference(prepare, artefacts.read_json(prepare), asked)
        for folder in (data_dir, data_dir / PARTS):
            for leftover in folder.glob(".partial-*"):  # of a killed run; the lock says that none is under way
                leftover.unlink()
    else:
        artefacts.write_json(prepare, asked)


def _make(shards, load, options, data_dir, executor, workers, say):
    """Makes every shard that isn't there, each as soon as its last subject is converted."""
    parts = data_dir / PARTS
    _take_apart(shards, data_dir)
    shards = [shard for shard in shards if not _shard_done(shard, data_dir)]
    waiting = {shard.name: {s.name for s in shard.sources if not _part_done(s, parts)} for shard in shards}
    owner = {source.name: shard for shard in shards for source in shard.sources}
    todo = [source for shard in shards for source in shard.sources if source.name in waiting[shard.name]]
    for shard in shards:
        if not waiting[shard.name]:
            _join(shard, data_dir)
    if any(parts.glob("*.json")):
        say(f"continuing in {data_dir}: {len(todo)} subjects are left to convert")
    jobs = ((load, source, options, str(parts)) for source in todo)
    if not todo:
        return
    with Progress("converting", len(todo), " subjects") as progress:
        for name in _bounded(executor, 2 * workers, convert_subject, jobs):
            shard = owner[name]
            waiting[shard.name].remove(name)
            if not waiting[shard.name]:
                _join(shard, data_dir)
            progress.advance(note=name)


def _bounded(executor, limit, function, jobs):
    """Yields `function(*job)` of each job as it is done, with at most `limit` submitted at a time."""
    if executor is None:
        yield from itertools.starmap(function, jobs)
        return
    running = set()
    try:
        while True:
            running.update(executor.submit(function, *job) for job in itertools.islice(jobs, limit - len(running)))
            if not running:
                return
            done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        for future in running:
            future.cancel()


def convert_subject(load, source, options, folder):
    """Loads one subject and writes its part; runs in a worker. Returns the subject's name."""
    import tensorflow as tf

    subject, folder = load(source, options), pathlib.Path(folder)
    part = folder / f"{subject.name}.tfrecord"
    with artefacts.aside(part) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
        for example in records.subject_examples(subject):
            writer.write(example)
    depth, height, width, _ = subject.image.shape
    information = {
        "slices": depth,
        "training_slices": int(subject.training_slices().sum()),
        "shape": (depth, height, width),
        "labelled": subject.label is not None,
        "source": str(subject.source),
        "source_size": subject.source_size,
        "header": None if subject.header is None else base64.b64encode(subject.header).decode(),
    }
    artefacts.write_json(folder / f"{subject.name}.json", {"bytes": part.stat().st_size, "entry": information})
    return subject.name


# Parts and shards


def _part_done(source, parts):
    part, information = parts / f"{source.name}.tfrecord", parts / f"{source.name}.json"
    if not (part.exists() and information.exists()):
        return False
    content = artefacts.read_json(information)
    return content["bytes"] == part.stat().st_size and content["entry"]["labelled"] == source.labelled


def _shard_done(shard, data_dir):
    record, path = data_dir / PARTS / f"{shard.name}.json", data_dir / shard.name
    return record.exists() and path.exists() and artefacts.read_json(record)["shard"]["bytes"] == path.stat().st_size


def _join(shard, data_dir):
    """Joins the parts of a shard's subjects: TFRecord files may be concatenated byte by byte."""
    parts, digest, first, subjects = data_dir / PARTS, hashlib.sha256(), 0, []
    with artefacts.aside(data_dir / shard.name) as temporary, open(temporary, "wb") as joined:
        for source in shard.sources:
            information = artefacts.read_json(parts / f"{source.name}.json")
            with open(parts / f"{source.name}.tfrecord", "rb") as part:
                while piece := part.read(PIECE):
                    joined.write(piece)
                    digest.update(piece)
            subjects.append({"name": source.name, "first_record": first, **information})
            first += information["entry"]["slices"]
        size = joined.tell()
    entry = {"name": shard.name, "bytes": size, "records": first, "sha256": digest.hexdigest()}
    artefacts.write_json(parts / f"{shard.name}.json", {"shard": entry, "subjects": subjects})
    for source in shard.sources:
        for ending in ("json", "tfrecord"):
            (parts / f"{source.name}.{ending}").unlink()


def _take_apart(shards, data_dir):
    """Turns finished shards that are no longer planned back into parts, so that nothing is converted again."""
    planned = {shard.name: [(source.name, source.labelled) for source in shard.sources] for shard in shards}
    parts = data_dir / PARTS
    for record in sorted(parts.glob("*.tfrecord.json")):
        content, path = artefacts.read_json(record), data_dir / record.name.removesuffix(".json")
        held = [(subject["name"], subject["entry"]["labelled"]) for subject in content["subjects"]]
        if path.exists() and path.stat().st_size == content["shard"]["bytes"]:
            if planned.get(path.name) == held:
                for name, _ in held:  # a kill between the shard's JSON and this left some
                    for ending in ("json", "tfrecord"):
                        (parts / f"{name}.{ending}").unlink(missing_ok=True)
                continue
            _write_parts(path, content["subjects"], parts)
        path.unlink(missing_ok=True)
        record.unlink()


def _write_parts(path, subjects, parts):
    with open(path, "rb") as shard:
        for subject in subjects:
            with artefacts.aside(parts / f"{subject['name']}.tfrecord") as temporary, open(temporary, "wb") as part:
                left = subject["bytes"]
                while left:
                    left -= part.write(shard.read(min(left, PIECE)))
            information = {name: subject[name] for name in ("bytes", "entry")}
            artefacts.write_json(parts / f"{subject['name']}.json", information)


# The manifest


def _manifest(task, options, shards, assignment, data_dir, configuration):
    belongs, shard_entries, subjects = assignment.splits(), [], []
    for shard in shards:
        content = artefacts.read_json(data_dir / PARTS / f"{shard.name}.json")
        shard_entries.append(content["shard"])
        for source, subject in zip(shard.sources, content["subjects"], strict=True):
            where = {"shard": shard.name, "first_record": subject["first_record"]}
            mine = {"name": source.name, "splits": belongs[source.name], "grade": source.grade}
            subjects.append({**mine, **where, **subject["entry"]})
    height, width = (_common(subject["shape"][axis] for subject in subjects) for axis in (1, 2))
    return {
        "schema_version": records.SCHEMA_VERSION,
        "dataset": task.name,
        "channels": [channel.name for channel in task.channels],
        "label_map": options.get("label_map"),
        "intensity": options.get("intensity", "zscore"),
        "height": height,
        "width": width,
        "members": assignment.members,
        "folds": assignment.folds,
        "configuration": configuration,
        "shards": shard_entries,
        "subjects": subjects,
        "task": task.document(),
    }


def _task(dataset, options):
    """The task of the data set, as it was asked for."""
    task = tasks.find(dataset)
    if not task.is_photograph:
        return task
    return tasks.resolved(task, normalise=options.get("intensity"), frame=options.get("image_size"))


def _common(values):
    values = set(values)
    return values.pop() if len(values) == 1 else None


def _finish(data_dir, content):
    planned = {shard["name"] for shard in content["shards"]}
    for path in data_dir.glob("*-of-*.tfrecord"):
        if path.name not in planned:  # of an earlier plan, killed before its JSON was written
            path.unlink()
    artefacts.write_json(data_dir / records.MANIFEST, content)
    _tidy(data_dir)


def _tidy(data_dir):
    shutil.rmtree(data_dir / PARTS, ignore_errors=True)
    (data_dir / PREPARE).unlink(missing_ok=True)


def summary(manifest):
    """Lines that say what a folder holds: subjects and slices of each split, and the size of all shards."""
    lines, size = [], sum(shard.bytes for shard in manifest.shards)
    count = collections.Counter(split for subject in manifest.subjects for split in subject.splits)
    for split in splits.NAMES:
        if count[split]:
            members = manifest.split(split)
            slices = sum(subject.slices for subject in members)
            trained = f", {sum(s.training_slices for s in members)} trained on" if split == "train" else ""
            lines.append(f"{split:8}{count[split]:6} subjects {slices:8} slices{trained}")
    return [*lines, f"{len(manifest.subjects)} subjects in {len(manifest.shards)} shards, {size / 2**20:.1f} MiB"]


# Trouble


@contextlib.contextmanager
def _locked(data_dir):
    """One preparation at a time in a folder; the system lifts the lock when the process ends, however it ends."""
    (data_dir / PARTS).mkdir(parents=True, exist_ok=True)
    with open(data_dir / PARTS / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = "another prepare at work in it"
            raise UserError(data_dir, expected="a folder of its own", found=found, do="wait for it to end") from None
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP):  # a file system without locks
                raise
        yield


@contextlib.contextmanager
def _explained(data_dir):
    """Turns a full or read-only disk and a worker that was killed into what the user can do about it."""
    try:
        yield
    except concurrent.futures.process.BrokenProcessPool:
        do = "give fewer --workers; the same command continues where it stopped"
        raise UserError("a worker process", expected="it to live", found="it was killed (memory?)", do=do) from None
    except OSError as error:
        if error.errno not in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EROFS,
            errno.EACCES,
            errno.ENOENT,
            errno.ENOTDIR,
            errno.EEXIST,
        ):
            raise
        where = error.filename or data_dir
        do = "mend it; the same command continues where it stopped"
        raise UserError(where, expected="a place to read and write", found=error.strerror, do=do) from None
