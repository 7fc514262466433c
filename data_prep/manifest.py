"""The manifest of prepared records, `dataset.json`: what lies in the folder, and what it is. Reading it takes no TensorFlow."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import pathlib
from typing import Any

import msgspec

from data_prep import former, task_rules, tasks, voxel_order
from data_prep.base import artefacts, documents, json_text, names
from data_prep.base.documents import Count
from data_prep.base.errors import NotReady, UserError, command
from data_prep.tasks import Task

VERSIONS = (1, 2)  # of the schema that are read: see `examples`, which says which of them a task's records have
MANIFEST = "dataset.json"
_DO = "remove the folder and prepare the data again"
# the entries of a task that its records depend on; one that is added later joins where it is not its default
IDENTIFYING = (
    "name", "form", "channels", "classes", "ignore", "regions", "inside", "trained", "axis", "spacing", "frame",
)  # fmt: skip
# what of a subject's entry its records depend on; the rest says where it came from
IDENTIFYING_OF_SUBJECT = (
    "name", "splits", "shard", "first_record", "slices", "training_slices", "shape", "labelled",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ShardEntry:
    """A file of the dataset: its name, size in bytes, number of records and SHA-256."""

    name: str
    bytes: Count
    records: Count
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True)
class SubjectEntry:
    """What the manifest says of a subject: its records are `slices` many in `shard`, from `first_record` on."""

    name: str
    splits: tuple[str, ...]
    grade: str | None
    shard: str
    first_record: Count
    slices: Count
    training_slices: Count
    shape: tuple[Count, Count, Count]  # depth, height, width
    labelled: bool
    source: str
    source_size: tuple[Count, Count] | None  # height, width
    header: bytes | None
    patient: str | None = None  # None: a patient of its own
    files: tuple[dict[str, Any], ...] = ()  # stamps of what was read; none in older files, and where nobody asks
    voxels: tuple[Count, ...] = ()  # of each class, where there is a label; not of two classes of the table


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A subject that --skip_bad left out: why, and stamps of its files."""

    name: str
    reason: str
    files: tuple[dict[str, Any], ...] = ()


class _Before(msgspec.Struct):
    """What the task of a file without one is made from."""

    dataset: str
    intensity: str
    height: Count | None
    width: Count | None
    label_map: dict[str, int] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Document:
    """What `dataset.json` holds, once it has a task; the schema's number is looked at before.

    height and width are None where the subjects differ; members and folds as in `splits.py`.  task: what is segmented from what.
    made_up: whether the raw data said that they were drawn; records of before this entry do not say it.
    """

    dataset: str
    task: Task
    channels: tuple[str, ...]
    height: Count | None
    width: Count | None
    intensity: str
    label_map: dict[str, int] | None
    subjects: tuple[SubjectEntry, ...]
    shards: tuple[ShardEntry, ...]
    members: tuple[tuple[str, ...], ...] | None
    folds: tuple[dict[str, tuple[str, ...]], ...] | None
    configuration: dict[str, Any]
    skipped: tuple[Skipped, ...] = ()
    made_up: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest(Document):
    """`dataset.json` that was read, at `path`."""

    path: pathlib.Path

    @functools.cached_property
    def identity(self) -> str:
        """What a run knows these records by: a hash of their content and task, so the same data prepared anew are the same.

        Where they lie, what they were made from and how the JSON is written have no part in it.
        """
        task = {name: msgspec.to_builtins(getattr(self.task, name)) for name in IDENTIFYING}
        for channel in task["channels"]:
            if channel["window"] is None:  # it came later: records without keep the identity that they had
                del channel["window"]
        subjects = [[getattr(entry, name) for name in IDENTIFYING_OF_SUBJECT] for entry in self.subjects]
        content = [task, [dataclasses.astuple(shard) for shard in self.shards], subjects, self.members, self.folds]
        if self.patients:  # folds and blocks depend on them; records without keep the identity that they had
            content.append(sorted(self.patients.items()))
        return artefacts.digest(json_text.ordered(content))

    def is_same(self, identity: str) -> bool:
        """Whether a run's record of its records, of any version of this toolkit, means these."""
        return identity == self.identity or (self.path.exists() and identity in self._checksums)

    @functools.cached_property
    def _checksums(self) -> tuple[str, ...]:
        """Of the file, today's and as it was before tasks: runs named records so before records had an identity."""
        before = {name: value for name, value in artefacts.read_json(self.path).items() if name != "task"}
        return artefacts.sha256(self.path), artefacts.digest(itertools.chain(json_text.indented(before), "\n"))

    @functools.cached_property
    def patients(self) -> dict[str, str]:
        """{subject: patient} of those that are not a patient of their own."""
        return {entry.name: entry.patient for entry in self.subjects if entry.patient not in (None, entry.name)}

    @functools.cached_property
    def _by_name(self) -> dict[str, SubjectEntry]:
        return {entry.name: entry for entry in self.subjects}

    def split(self, name: str) -> list[SubjectEntry]:
        """The subjects of a split, in order: the shards' order."""
        return [subject for subject in self.subjects if name in subject.splits]

    def subject(self, name: str) -> SubjectEntry:
        """The entry of one subject; raises `UserError`."""
        if (found := self._by_name.get(name)) is not None:
            return found
        raise UserError(f"subject {name!r}", expected=f"one of the {len(self.subjects)} in {self.path}", found="none")


def read_manifest(data_dir: pathlib.Path | str, stamped: bool = True) -> Manifest:
    """Reads `dataset.json` and compares each shard's size with it (`verify` compares the checksums).

    stamped: whether subjects have the stamps of the files they were made from, half of the document, for who compares them.

    Raises `NotReady` where the folder is absent or unfinished, and `UserError` for another schema version or a shard
    that is missing or of another size.
    """
    manifest = _read(data_dir, stamped)
    for shard in manifest.shards:
        if (error := wrong_size(manifest, shard)) is not None:
            raise error
    return _with_known_shards(manifest)


def wrong_size(manifest: Manifest, shard: ShardEntry) -> UserError | None:
    """The error for a shard that is missing or of another size than the manifest says."""
    file = manifest.path.parent / shard.name
    size = file.stat().st_size if file.exists() else None
    if size == shard.bytes:
        return None
    return damaged(file, f"{shard.bytes} bytes", "no file" if size is None else f"{size} bytes")


def read_alone(data_dir: pathlib.Path | str) -> Manifest:
    """`read_manifest` without a look at the shards."""
    return _with_known_shards(_read(data_dir))


def _read(data_dir, stamped=True):
    path = pathlib.Path(data_dir) / MANIFEST
    if not path.exists():
        raise NotReady(
            path,
            expected="prepared records",
            found="an unfinished folder" if path.parent.is_dir() else "no such folder",
            do=(
                "run ",
                command("prepare", dataset="…", raw_dir="…"),
                " (the same command continues an unfinished one); without data of your own, ",
                command("phantom"),
                " makes some first",
            ),
        )
    content = documents.checked(artefacts.read_json(path, apart="subjects"), dict, path, _DO)
    version = content.get("schema_version")
    if version is None:  # raw data in nnU-Net's form have a file of this name too
        raise UserError(
            path,
            expected="prepared records",
            found="a file of another program, as raw data have",
            do=("give as --data_dir the folder that is made by ", command("prepare")),
        )
    if version not in VERSIONS:
        do = "prepare the data again into another folder"
        raise UserError(path, expected=f"schema version {' or '.join(map(str, VERSIONS))}", found=repr(version), do=do)
    if "task" not in content:
        documents.typed(content, _Before, path, _DO)
    try:
        upgraded = upgrade(content)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, "every entry of the manifest", f"none or a wrong one for {error}") from None
    manifest = _manifest(path, upgraded, stamped)
    _require_names(manifest)
    _require_places(manifest)
    return manifest


def _with_known_shards(manifest):
    """The manifest; raises `UserError` where a subject's records lie in a shard that it does not list."""
    if lost := {entry.shard for entry in manifest.subjects} - {shard.name for shard in manifest.shards}:
        raise damaged(manifest.path, "subjects in the shards that it lists", names.shown(min(lost)))
    return manifest


def _require_names(manifest):
    """Raises `UserError` for names of which paths are made, here and in a run, that are none of a file in its folder."""
    shards = [shard.name for shard in manifest.shards]
    splits = dict.fromkeys(split for entry in manifest.subjects for split in entry.splits)
    do = "prepare the data again under other names"
    for what, given in (
        ("a subject", [entry.name for entry in manifest.subjects]),
        ("a shard", shards),
        ("a split", splits),
    ):
        names.require(given, what, manifest.path, do)


def _require_places(manifest):
    """Raises `UserError` for subjects whose slices lie outside their shard, and for one that is there twice."""
    records = {shard.name: shard.records for shard in manifest.shards}
    seen = set()
    for entry in manifest.subjects:
        if entry.first_record + entry.slices > records.get(entry.shard, math.inf) or entry.slices != entry.shape[0]:
            expected = f"{entry.shape[0]} slices of {names.shown(entry.name)} among the records of its shard"
            raise damaged(manifest.path, expected, f"{entry.slices} from {entry.first_record} on")
        if entry.name in seen:
            raise damaged(manifest.path, "each subject once", names.shown(entry.name))
        seen.add(entry.name)


def upgrade(content: dict[str, Any]) -> dict[str, Any]:
    """A manifest of any earlier form as today's: those from before tasks get the task that their version had."""
    if "task" in content:
        return content
    size = content["height"], content["width"]
    task = former.task(content["dataset"], content["intensity"], size, content["label_map"])
    return {**content, "task": task.document()}


def _manifest(path, content, stamped):
    given, subjects = content.get("subjects"), ()
    if isinstance(given, (list, json_text.Each)):
        try:  # each before the next is parsed, so that all are never in memory in both forms
            subjects, given = tuple(_subject(entry, stamped) for entry in given), []
        except (msgspec.ValidationError, UnicodeEncodeError):  # is said below, by its place
            given = list(given)
    said = documents.typed({**content, "subjects": given}, Document, path, _DO)
    task_rules.require(said.task, path, _DO)
    read = {field.name: getattr(said, field.name) for field in dataclasses.fields(said)}
    read |= {"subjects": subjects, "task": _with_order(said.task, subjects)}
    return Manifest(**read, path=path)


def _subject(entry, stamped):
    if not stamped and isinstance(entry, dict):
        entry = {name: value for name, value in entry.items() if name != "files"}
    return msgspec.convert(entry, SubjectEntry, str_keys=True)


def _with_order(task, subjects):
    """The task with the voxel order that earlier records were made in: that of all their headers, None where they differ."""
    if task.is_photograph or task.order is not None:
        return task
    orders = {voxel_order.of_header(header) for header in {entry.header for entry in subjects} if header}
    return tasks.resolved(task, order=orders.pop()) if len(orders) == 1 else task


def damaged(where: object, expected: object, found: object) -> UserError:
    """The error for a folder of records that is not as it was written."""
    return UserError(where, expected=expected, found=found, do=_DO)
