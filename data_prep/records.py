"""A folder of prepared records, as everything else reads it: the manifest, whole subjects, single slices, and its checks.

`manifest` and `examples` say what is in it. None of it takes TensorFlow, whose import takes longer than a subject does.
"""

from __future__ import annotations

import functools
import os
import pathlib
import struct
from collections.abc import Iterable, Iterator

import numpy as np

from data_prep import tf_example
from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.examples import ARRAYS, array, parse_key, parse_slice, subject_examples, version
from data_prep.manifest import MANIFEST, Manifest, ShardEntry, SubjectEntry, damaged, read_manifest
from data_prep.normalisation import NO_LIMIT
from data_prep.subject import Subject

__all__ = [
    "MANIFEST",
    "Manifest",
    "ShardEntry",
    "SubjectEntry",
    "locate_damage",
    "parse_key",
    "parse_slice",
    "read_manifest",
    "read_subject",
    "read_subjects",
    "record_count",
    "subject_examples",
    "verify",
    "version",
]


def read_subject(data_dir: pathlib.Path | str, manifest: Manifest, name: str) -> Subject:
    """The `Subject` of that name, equal to the bit to the one that was written. Raises `UserError`."""
    return next(read_subjects(data_dir, manifest, [name]))


def read_subjects(data_dir: pathlib.Path | str, manifest: Manifest, names: Iterable[str]) -> Iterator[Subject]:
    """Yields the subjects of these names in this order; a shard is read once where the order follows the manifest's."""
    at, shard = 0, None
    stream: Iterator[bytes] = iter(())
    for name in names:
        entry = manifest.subject(name)
        if shard != entry.shard or entry.first_record < at:
            at, shard = entry.first_record, entry.shard
            stream = _records(pathlib.Path(data_dir) / shard, skip=at)
        while at < entry.first_record:
            next(stream)
            at += 1
        yield _assemble(pathlib.Path(data_dir) / shard, entry, stream, manifest.task)
        at += entry.slices


def _records(path, skip=0):
    """Yields the serialized examples of a shard from number `skip` on; damage becomes a `UserError` that names it."""
    index = skip
    try:
        with open(path, "rb") as file:
            stat = os.fstat(file.fileno())
            starts = _starts(str(path), stat.st_size, stat.st_mtime_ns)
            if skip < len(starts):
                file.seek(starts[skip])
                for record in tf_example.records(file):
                    yield record
                    index += 1
    except ValueError as error:
        raise locate_damage(path.parent, [path.name]) or damaged(path, "intact records", f"{error}") from None
    raise damaged(path, f"more than {index} records", "no more")


@functools.lru_cache(maxsize=16)
def _starts(path, *_):
    """Where the records of a shard begin: who asks for one subject after the other would read it from its beginning each time."""
    with open(path, "rb") as file:
        return tf_example.starts(file)


def _assemble(path, entry, stream, task):
    """Puts a subject's slices back into the full volume."""
    arrays, shape = {}, (entry.slices, *entry.shape[1:])
    outside = [channel.outside for channel in task.channels]
    for index in range(entry.slices):
        try:
            features = tf_example.parsed(next(stream)).features.feature
        except ValueError as error:
            raise damaged(
                f"{path}, record {entry.first_record + index}", "records of this schema", f"{error}"
            ) from None
        found = (features["subject"].bytes_list.value[0].decode(), features["slice"].int64_list.value[0])
        if found != (entry.name, index):
            where = f"{path}, record {entry.first_record + index}"
            raise damaged(where, f"slice {index} of {entry.name}", f"slice {found[1]} of {found[0]}")
        y0, x0 = features["offset"].int64_list.value
        for name, field in ARRAYS.items():
            if name in features:
                part = array(features, name)
                if field not in arrays:
                    arrays[field] = np.zeros((*shape, *part.shape[2:]), part.dtype)
                    if field == "image" and part.size < arrays[field][0].size and any(outside):
                        arrays[field][:] = outside
                arrays[field][index, y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
        if "own_label" in features:
            part = array(features, "own_label")
            arrays.setdefault("own_label", np.zeros((entry.slices, *part.shape), part.dtype))[index] = part
    statistics = {name: np.array(features[name].float_list.value, np.float32) for name in ("mean", "std")}
    if "low" in features:
        limits = np.array([features[name].float_list.value for name in ("low", "high")], np.float32)
        if (np.abs(limits) < NO_LIMIT).any():
            statistics["limits"] = limits
    if "own_size" in features:
        height, width = features["own_size"].int64_list.value
        arrays["own_size"] = height, width
    return Subject(
        name=entry.name,
        **statistics,
        **arrays,
        header=entry.header,
        source=entry.source,
        source_size=entry.source_size,
        order=task.order,
    )


def record_count(path: pathlib.Path | str) -> int:
    """Number of records of a TFRecord file, from the lengths alone. Raises `UserError` where they don't add up."""
    size, at, count = pathlib.Path(path).stat().st_size, 0, 0
    with open(path, "rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(8)
            at += 16 + struct.unpack("<Q", head)[0] if len(head) == 8 else size  # length, its CRC, data, its CRC
            if at > size:
                raise damaged(f"{path}, record {count}", "a whole record", "the end of the file")
            count += 1
    return count


def verify(data_dir: pathlib.Path | str) -> Manifest:
    """Compares every shard's checksum and record count with the manifest; returns it, raises `UserError`."""
    manifest = read_manifest(data_dir)
    for shard in manifest.shards:
        verify_shard(data_dir, shard)
    return manifest


def verify_shard(data_dir: pathlib.Path | str, shard: ShardEntry) -> None:
    """The same of one shard, which is there; raises `UserError`."""
    path = pathlib.Path(data_dir) / shard.name
    found = artefacts.sha256(path)
    if found != shard.sha256:
        raise locate_damage(data_dir, [shard.name]) or damaged(path, f"checksum {shard.sha256}", found)
    records = record_count(path)
    if records != shard.records:
        raise damaged(path, f"{shard.records} records", str(records))


def locate_damage(data_dir: pathlib.Path | str, shards: Iterable[str]) -> UserError | None:
    """The `UserError` naming the first damaged shard and record, or None; a pipeline's `DataLossError` names none."""
    for name in shards:
        path, index = pathlib.Path(data_dir) / name, 0
        try:
            with open(path, "rb") as file:
                for _ in tf_example.records(file):
                    index += 1
        except (ValueError, FileNotFoundError) as error:
            return damaged(f"{path}, record {index}", "an intact record", f"{error}")
    return None
