"""Parts and shards: a part is a converted subject, or several small ones (`parts`), a shard their slices, byte after byte.

    parts/<subject>.part             a converted subject, and those that were converted with it
    <split>-00000-of-00004.tfrecord  a shard: the slices of its subjects' parts
    parts/<shard>.json               written when the shard is whole; only then are its parts deleted

Shards that are no longer planned are taken apart into parts again, so that nothing is converted twice. A part says what
it was made from and for what: where a source's files or the request are no longer the same, it is thrown away.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import itertools
import json
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from data_prep import doubts, records, splits, tf_example
from data_prep import parts as of_subjects
from data_prep.base import artefacts, contents, leftovers, mirrors, notices, stamps, stores
from data_prep.base.documents import Count
from data_prep.base.errors import UserError
from data_prep.base.names import Component
from data_prep.manifest import ShardEntry
from data_prep.readers import labels
from data_prep.subject import Subject
from data_prep.tasks import Task

PARTS = "parts"
FORMER = "converted by an earlier version, which did not keep what it read"


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file to make: its name and the sources of its subjects, in order."""

    name: str
    sources: tuple[splits.Source, ...]


class _Subject(of_subjects.Part, kw_only=True):
    """What a part says of a subject in its shard: which record is its first, and the bytes of its records."""

    name: Component
    first_record: Count
    bytes: Count


class _Joined(msgspec.Struct):
    """The JSON of a shard."""

    shard: ShardEntry
    subjects: list[_Subject]


@dataclasses.dataclass(frozen=True)
class Request:
    """What every part depends on beside its source: the task and the reader's options.

    raw_dir: what files are named relative to. digest: of the rest, as parts keep it: 12 hexadecimal digits that change with
    the records that a source becomes; computed once, before workers are sent it.
    """

    task: Task
    options: Mapping[str, Any]
    raw_dir: str
    digest: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        content = [records.version(self.task), self.task.document(), dict(self.options)]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
        object.__setattr__(self, "digest", digest)

    def stale(self, source: splits.Source, information: Mapping[str, Any]) -> str:
        """Why what was converted of a source can't be used any more; empty where it can.

        information: of its part.
        """
        entry = information["entry"]
        if "request" not in information or "files" not in entry:
            return FORMER
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


def convert_subjects(
    load: Callable[[Any, Mapping[str, Any], Task], Subject],
    request: Request,
    folder: pathlib.Path | str,
    sources: Sequence[splits.Source],
) -> tuple[dict[str, of_subjects.Place], dict[str, UserError]]:
    """Loads some subjects and writes their part into `folder`; runs in a worker.

    load: of the task's reader. Returns ({name: where it lies} of those that are converted, {name: what is wrong} of the others).
    """
    bad: dict[str, UserError] = {}

    def converted():
        for source in sources:
            try:
                yield _converted(load, request, source)
            except UserError as error:
                bad[source.name] = error

    return of_subjects.write(pathlib.Path(folder), converted()), bad


def _converted(load, request, source):
    """(the document, the bytes of the records) of one subject; all that may be wrong with it is raised here."""
    keeping = contents.kept() if request.task.is_photograph else contextlib.nullcontext()
    with keeping, notices.gathered() as noticed:
        read = stamps.taken(source.paths, request.raw_dir)
        subject = load(source, request.options, request.task)
        voxels = None if subject.label is None else labels.of_classes(subject.label, request.task)
        for odd in doubts.of_subject(subject, request.task, source.paths[-1], voxels):
            notices.once(odd.kind, str(odd.error))
    trained = subject.training_slices(request.task)
    examples = records.subject_examples(subject, request.task, trained)
    depth, height, width, _ = subject.image.shape
    information = {
        "slices": depth,
        "training_slices": int(trained.sum()),
        "shape": (depth, height, width),
        "labelled": subject.label is not None,
        "source": stores.shown(subject.source),
        "source_size": subject.source_size,
        "header": None if subject.header is None else base64.b64encode(subject.header).decode(),
        "files": read,
    }
    if voxels is not None:
        information["voxels"] = voxels
    document = {"name": source.name, "request": request.digest, "entry": information, "noticed": noticed.document()}
    first = list(itertools.islice(examples, 1))  # refuses what the schema does not have
    return document, (piece for one in itertools.chain(first, examples) for piece in tf_example.framed(one))


def any_made(data_dir: pathlib.Path) -> bool:
    """Whether anything of a conversion under way is there: a part, a shard, or what an earlier version had for a part."""
    folder = data_dir / PARTS
    return any(leftovers.finished(folder, pattern) for pattern in (f"*{of_subjects.ENDING}", "*.json"))


def read_record(path: pathlib.Path) -> dict[str, Any]:
    """The JSON of a finished shard: `shard` and `subjects`; raises `UserError` for another shape."""
    return artefacts.read_document(path, _Joined, f"remove the folder {path.parent} and prepare the data again")


def shard_done(shard: Shard, data_dir: pathlib.Path) -> bool:
    """Whether the shard is there and whole."""
    record, path = data_dir / PARTS / f"{shard.name}.json", data_dir / shard.name
    return record.exists() and path.exists() and read_record(record)["shard"]["bytes"] == path.stat().st_size


def join(shard: Shard, data_dir: pathlib.Path, places: dict[str, of_subjects.Place]) -> None:
    """Joins the records of a shard's subjects: TFRecord files may be concatenated byte by byte.

    places: of all subjects that are converted and in no shard; this shard's are taken out, and parts of no other removed.
    """
    parts, digest, first, subjects = data_dir / PARTS, hashlib.sha256(), 0, []
    files = {places[source.name].part for source in shard.sources}
    mirrors.fetch_each(parts / name for name in sorted(files))  # of workers on other machines
    with artefacts.aside(data_dir / shard.name) as temporary, open(temporary, "wb") as joined:
        for source in shard.sources:
            start = joined.tell()
            pieces = of_subjects.read(parts, places[source.name])
            information = next(pieces)
            for piece in pieces:
                joined.write(piece)
                digest.update(piece)
            own = {"name": source.name, "first_record": first, "bytes": joined.tell() - start}
            subjects.append({**information, **own})
            first += information["entry"]["slices"]
        total = joined.tell()
    entry = {"name": shard.name, "bytes": total, "records": first, "sha256": digest.hexdigest()}
    whole = artefacts.sealed({"shard": entry, "subjects": subjects})
    document = json.dumps(whole, allow_nan=False)  # not indented: ten times as fast
    artefacts.write_text(parts / f"{shard.name}.json", document)
    for source in shard.sources:
        del places[source.name]
    of_subjects.remove(parts, files - {place.part for place in places.values()})


def take_apart(
    shards: Sequence[Shard], data_dir: pathlib.Path, request: Request
) -> tuple[dict[str, str], dict[str, of_subjects.Place]]:
    """Turns finished shards that are no longer planned back into parts, so that nothing is converted again without need.

    Returns ({subject: why} of what was converted and is stale and removed; {subject: where it lies} of what is whole).
    """
    planned = {shard.name: [source.name for source in shard.sources] for shard in shards}
    sources, parts = {source.name: source for shard in shards for source in shard.sources}, data_dir / PARTS
    stale: dict[str, str] = {}
    done: set[str] = set()

    def look(name, information):
        why = request.stale(sources[name], information) if name in sources else ""
        if why:
            stale[name] = why
        return why

    for record in leftovers.finished(parts, "*.tfrecord.json"):
        content, path = read_record(record), data_dir / record.name.removesuffix(".json")
        held = [subject["name"] for subject in content["subjects"]]
        if path.exists() and path.stat().st_size == content["shard"]["bytes"]:
            why = [look(subject["name"], subject) for subject in content["subjects"]]
            if planned.get(path.name) == held and not any(why):
                done.update(held)
                continue
            with open(path, "rb") as shard:
                for subject in content["subjects"]:
                    _write_part(parts, subject, of_subjects.pieces(shard, subject["bytes"]))
        artefacts.remove(path, missing_ok=True)
        artefacts.remove(record)
    stale |= dict.fromkeys(of_subjects.remove_former(parts, sources), FORMER)
    places: dict[str, of_subjects.Place] = {}
    for part in leftovers.finished(parts, f"*{of_subjects.ENDING}"):
        held = of_subjects.whole(part)
        kept = [(document, place) for document, place in held if document["name"] not in done]
        good = [(document, place) for document, place in kept if not look(document["name"], document)]
        if len(good) < len(held) or not held:  # torn, or with some that are not wanted
            good = of_subjects.alone(parts, part, good)
        places |= {document["name"]: place for document, place in good if document["name"] in sources}
    return stale, places


@dataclasses.dataclass(frozen=True)
class Made:
    """What the finished shards are together.

    entries: of each shard, as the manifest has it. noticed: of all subjects, on whichever run they were converted.
    shapes: that subjects have. voxels: by class, of each subject that is trained on and has a label.
    """

    entries: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    noticed: notices.Notices = dataclasses.field(default_factory=notices.Notices)
    shapes: set[tuple[int, ...]] = dataclasses.field(default_factory=set)
    voxels: list[list[int]] = dataclasses.field(default_factory=list)


def made(shards: Sequence[Shard], data_dir: pathlib.Path, trained: Iterable[str]) -> Made:
    """Looks through the JSON of all shards, which are finished. trained: names of the subjects that are trained on."""
    found, trained = Made(), set(trained)
    for shard in shards:
        content = read_record(data_dir / PARTS / f"{shard.name}.json")
        found.entries.append(content["shard"])
        for subject in content["subjects"]:
            found.noticed.add(notices.from_document(subject.get("noticed")))
            found.shapes.add(tuple(subject["entry"]["shape"]))
            if subject["name"] in trained and "voxels" in subject["entry"]:
                found.voxels.append(subject["entry"]["voxels"])
    return found


def _write_part(parts, subject, pieces):
    """Writes what a shard has of a subject as a part again."""
    document = {name: subject[name] for name in ("name", "request", "entry", "noticed") if name in subject}
    return of_subjects.write(parts, [(document, pieces)])
