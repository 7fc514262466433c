"""One subject of the raw data, looked at in a worker: read as `prepare` reads it, and kept so that others can be compared."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from data_prep import doubts, windows
from data_prep.base import contents, notices, stamps
from data_prep.base.errors import UserError
from data_prep.base.findings import Finding, finding
from data_prep.readers import labels
from data_prep.splits import Source
from data_prep.subject import Subject
from data_prep.tasks import Task

VOLUME, PHOTOGRAPH = (8, 16, 16), (1, 32, 32)  # blocks of a small copy


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """What was seen of a subject.

    error: why it can't be used, or None; then the rest is what was seen before.  findings: what is odd of it.
    images: {path: SHA-256} of its files.  label: {path: a digest of its voxels}, nothing where there are none of a class.
    voxels: of each class, None without a label.  small: float32, a small copy of the image of mean 0 and length 1, None where it
    has one value.  sample: of `windows.sampled`, where the task asks for it.
    """

    name: str
    error: UserError | None = None
    findings: tuple[Finding, ...] = ()
    images: Mapping[str, str] = dataclasses.field(default_factory=dict)
    label: Mapping[str, str] = dataclasses.field(default_factory=dict)
    voxels: tuple[int, ...] | None = None
    small: NDArray | None = None
    sample: NDArray | None = None
    noticed: notices.Notices = dataclasses.field(default_factory=notices.Notices)


def look(task: Task, options: Mapping[str, Any], source: Source) -> Seen:
    """Reads and judges a subject; raises nothing that the user can mend. options: of the task's reader."""
    sampling = windows.needed(task)
    paths = source.paths[:-1] if source.labelled else source.paths
    keeping = contents.kept() if task.is_photograph else contextlib.nullcontext()
    with keeping, notices.gathered() as noticed:
        try:
            images = _checksums(paths)
        except UserError as error:
            return Seen(source.name, error)
        try:
            subject = task.load_reader().load(source, options, _as_stored(task))
        except UserError as error:
            return Seen(source.name, error, images=images, noticed=noticed)
    counts = None if subject.label is None else labels.of_classes(subject.label, task)
    odd = doubts.of_subject(subject, task, source.paths[-1], counts)
    return Seen(
        source.name,
        findings=(*odd, *_same_channels(images)),
        images=images,
        label={source.paths[-1]: _digest(subject.label)} if counts and any(counts[1:]) else {},
        voxels=None if counts is None else tuple(counts),
        small=small(subject),
        sample=windows.sampled(subject) if sampling and subject.label is not None else None,
        noticed=noticed,
    )


def _as_stored(task):
    """The task as a subject can be read by before the windows of `ct` are known, on its own grid."""
    channels = tuple(
        msgspec.structs.replace(one, normalise="none") if one.normalise == "ct" and one.window is None else one
        for one in task.channels
    )
    return msgspec.structs.replace(task, channels=channels, spacing=None)


def _checksums(paths):
    return {str(path): stamp["sha256"] for path, stamp in zip(paths, stamps.taken(paths), strict=True)}


def _digest(array):
    """16 bytes that change with an array's voxels and shape, as hexadecimal digits."""
    return hashlib.blake2b(repr(array.shape).encode() + array.tobytes(), digest_size=16).hexdigest()


def _same_channels(images):
    """A warning for each file of a subject that is byte for byte another of its files."""
    there: dict[str, str] = {}
    for path, checksum in images.items():
        if (other := there.setdefault(checksum, path)) != path:
            expected, do = "a file of its own for each channel", "restore the file that belongs there"
            yield finding(
                "warning", "same channel twice", path, expected=expected, found=f"the bytes of {other}", do=do
            )


def small(subject: Subject) -> NDArray | None:
    """float32 [blocks]: means of an image's blocks, together of mean 0 and length 1; None for one value everywhere.

    The product of two is their correlation. A photograph's colours are added up.
    """
    blocks = PHOTOGRAPH if subject.is_photograph else VOLUME
    image = subject.image.sum(axis=-1, keepdims=True, dtype=np.float32) if subject.is_photograph else subject.image
    found = np.stack([_means(image[..., index], blocks) for index in range(image.shape[-1])], axis=-1).reshape(-1)
    found -= found.mean(dtype=np.float64)
    length = float(np.linalg.norm(found))
    return found / np.float32(length) if length > 0 else None


def _means(values, blocks):
    """The mean of each block of an array, float32 of the shape `blocks`; a side shorter than its blocks repeats."""
    for axis, count in enumerate(blocks):
        size = values.shape[axis]
        starts = np.arange(count) * size // count
        ends = np.maximum((np.arange(count) + 1) * size // count, starts + 1)
        shape = [1] * values.ndim
        shape[axis] = count
        sums = np.add.reduceat(values, starts, axis=axis, dtype=np.float32)
        values = sums / (ends - starts).astype(np.float32).reshape(shape)
    return values
