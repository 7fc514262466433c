"""Parts and shards: a part is one converted subject, a shard the parts of several, byte after byte.

    parts/<subject>.tfrecord, .json  a converted subject; the JSON is written second and says that the part is whole
    <split>-00000-of-00004.tfrecord  a shard: the parts of its subjects
    parts/<shard>.json               written when the shard is whole; only then are its parts deleted

Shards that are no longer planned are taken apart into parts again, so that nothing is converted twice. A part says what
it was made from and for what: where a source's files or the request are no longer the same, it is thrown away.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_prep import records, splits, tf_example
from data_prep.base import artefacts, notices, stamps
from data_prep.base.errors import UserError
from data_prep.readers import labels
from data_prep.subject import Subject
from data_prep.tasks import Task

PARTS = "parts"
PIECE = 1 << 20  # bytes copied at a time


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file to make: its name and the sources of its subjects, in order."""

    name: str
    sources: tuple[splits.Source, ...]


@dataclasses.dataclass(frozen=True)
class Request:
    """What every part depends on beside its source: the task and the reader's options.

    raw_dir: what files are named relative to. digest: of the rest, as parts keep it.
    """

    task: Task
    options: Mapping[str, Any]
    raw_dir: str

    @property
    def digest(self) -> str:
        """12 hexadecimal digits that change with the records that a source becomes."""
        content = [records.version(self.task), self.task.document(), dict(self.options)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def stale(self, source: splits.Source, information: Mapping[str, Any]) -> str:
        """Why what was converted of a source can't be used any more; empty where it can.

        information: of its part.
        """
        entry = information["entry"]
        if "request" not in information or "files" not in entry:
            return "converted by an earlier version, which did not keep what it read"
        if information["request"] != self.digest:
            return "converted with other options"
        if entry["labelled"] != source.labelled:
            return "it has a label now" if source.labelled else "its label is gone"
        return stamps.changed(entry["files"], source.paths, self.raw_dir)


def plan(sources: Sequence[splits.Source], assignment: splits.Assignment, per_shard: int) -> list[Shard]:
    """Shards grouped by each subject's first split, `per_shard` whole subjects each. Depends on its arguments alone."""
    by_name = {source.name: source for source in sources}
    belongs = assignment.splits()
    shards = []
    for split in assignment.names:
        names = [name for name in assignment.parts[split] if belongs[name][0] == split]
        chunks = [names[start : start + per_shard] for start in range(0, len(names), per_shard)]
        for index, chunk in enumerate(chunks):
            name = f"{split}-{index:05d}-of-{len(chunks):05d}.tfrecord"
            shards.append(Shard(name, tuple(by_name[name] for name in chunk)))
    return shards


def convert_subject(
    load: Callable[[Any, Mapping[str, Any], Task], Subject],
    request: Request,
    folder: pathlib.Path | str,
    source: splits.Source,
) -> tuple[str, UserError | None]:
    """Loads one subject and writes its part into `folder`; runs in a worker.

    load: of the task's reader. Returns the subject's name and what is wrong with it, None where its part is written.
    """
    try:
        read = stamps.taken(source.paths, request.raw_dir)
        with notices.gathered() as noticed:
            subject = load(source, request.options, request.task)
        _write_part(subject, request, pathlib.Path(folder), read, noticed)
    except UserError as error:
        return source.name, error
    return source.name, None


def _write_part(subject, request, folder, files, noticed):
    part, trained = folder / f"{subject.name}.tfrecord", subject.training_slices(request.task)
    with artefacts.aside(part) as temporary, open(temporary, "wb") as file:
        for example in records.subject_examples(subject, request.task, trained):
            file.writelines(tf_example.framed(example))
    depth, height, width, _ = subject.image.shape
    information = {
        "slices": depth,
        "training_slices": int(trained.sum()),
        "shape": (depth, height, width),
        "labelled": subject.label is not None,
        "source": str(subject.source),
        "source_size": subject.source_size,
        "header": None if subject.header is None else base64.b64encode(subject.header).decode(),
        "files": files,
    }
    if subject.label is not None:
        counts = labels.counts(subject.label)
        information["voxels"] = [counts.get(index, 0) for index in range(len(request.task.classes))]
    document = {
        "bytes": part.stat().st_size,
        "request": request.digest,
        "entry": information,
        "noticed": noticed.document(),
    }
    artefacts.write_json(folder / f"{subject.name}.json", document)


def part_done(source: splits.Source, parts: pathlib.Path) -> bool:
    """Whether the folder `parts` has this subject, whole; `take_apart` has thrown away what is stale."""
    part, information = parts / f"{source.name}.tfrecord", parts / f"{source.name}.json"
    if not (part.exists() and information.exists()):
        return False
    return bool(artefacts.read_json(information)["bytes"] == part.stat().st_size)


def shard_done(shard: Shard, data_dir: pathlib.Path) -> bool:
    """Whether the shard is there and whole."""
    record, path = data_dir / PARTS / f"{shard.name}.json", data_dir / shard.name
    return record.exists() and path.exists() and artefacts.read_json(record)["shard"]["bytes"] == path.stat().st_size


def join(shard: Shard, data_dir: pathlib.Path) -> None:
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
    _remove_parts(parts, [source.name for source in shard.sources])


def take_apart(shards: Sequence[Shard], data_dir: pathlib.Path, request: Request) -> dict[str, str]:
    """Turns finished shards that are no longer planned back into parts, so that nothing is converted again without need.

    Returns {subject: why} of what was converted and is stale; its part is removed.
    """
    planned = {shard.name: [source.name for source in shard.sources] for shard in shards}
    sources, parts = {source.name: source for shard in shards for source in shard.sources}, data_dir / PARTS
    stale: dict[str, str] = {}

    def look(name, information):
        why = request.stale(sources[name], information) if name in sources else ""
        if why:
            stale[name] = why
        return why

    for record in sorted(parts.glob("*.tfrecord.json")):
        content, path = artefacts.read_json(record), data_dir / record.name.removesuffix(".json")
        held = [subject["name"] for subject in content["subjects"]]
        if path.exists() and path.stat().st_size == content["shard"]["bytes"]:
            why = [look(subject["name"], subject) for subject in content["subjects"]]
            if planned.get(path.name) == held and not any(why):
                _remove_parts(parts, held)  # a kill after the shard's JSON left some
                continue
            _write_parts(path, content["subjects"], parts)
        path.unlink(missing_ok=True)
        record.unlink()
    for name in sources:
        information = parts / f"{name}.json"
        if information.exists() and look(name, artefacts.read_json(information)):
            _remove_parts(parts, [name])
    return stale


def noticed(shards: Sequence[Shard], data_dir: pathlib.Path) -> notices.Notices:
    """What was noticed of all subjects of the finished shards, on whichever run they were converted."""
    found = notices.Notices()
    for shard in shards:
        for subject in artefacts.read_json(data_dir / PARTS / f"{shard.name}.json")["subjects"]:
            found.add(notices.from_document(subject.get("noticed")))
    return found


def _remove_parts(parts, names):
    for name in names:
        for ending in ("json", "tfrecord"):
            (parts / f"{name}.{ending}").unlink(missing_ok=True)


def _write_parts(path, subjects, parts):
    with open(path, "rb") as shard:
        for subject in subjects:
            with artefacts.aside(parts / f"{subject['name']}.tfrecord") as temporary, open(temporary, "wb") as part:
                left = subject["bytes"]
                while left:
                    left -= part.write(shard.read(min(left, PIECE)))
            information = {name: subject[name] for name in ("bytes", "request", "entry", "noticed") if name in subject}
            artefacts.write_json(parts / f"{subject['name']}.json", information)
