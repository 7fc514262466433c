"""One photograph of one's own data and its mask: colours, or a grey file for each channel, brought to the task's frame."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np

from data_prep import normalisation, subject, tasks
from data_prep.base.errors import UserError
from data_prep.grid import MULTIPLE
from data_prep.readers import labels, photographs
from data_prep.readers.cases import Source

LONGEST = 512  # pixels of a frame's longer side


def frame(sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """The (height, width) that photographs of these sizes are brought to, each a multiple of `grid.MULTIPLE`.

    Their own where all have one size of at most `LONGEST`; else of the median aspect, the longer side the median's, at
    most `LONGEST`.
    """
    found = np.array(list(sizes), float)
    if (found == found[0]).all():
        height, width = found[0]
    else:
        aspect, longer = np.median(found[:, 0] / found[:, 1]), np.median(found.max(axis=1))
        height, width = (longer, longer / aspect) if aspect > 1 else (longer * aspect, longer)
    scale = min(1.0, LONGEST / max(height, width))
    rounded = [max(MULTIPLE, round(float(side) * scale / MULTIPLE) * MULTIPLE) for side in (height, width)]
    return rounded[0], rounded[1]


def read(source: Source, count: int) -> np.ndarray:
    """uint8 [height, width, count]: three colours of one file, or a grey file for each channel."""
    if len(source.files) == 1 and count == 3:
        return photographs.read_photograph(source.image, photographs.ANY)
    planes = [photographs.read_grey(path) for path in source.files]
    for path, plane in zip(source.files[1:], planes[1:], strict=True):
        _require_size(path, plane.shape, source.image, planes[0].shape)
    return np.stack(planes, axis=-1)


def load(source: Source, task: tasks.Task) -> subject.Subject:
    """Decodes, checks and resizes a photograph and its mask.

    Returns a `Subject` with image uint8 [1, height, width, channels] of the task's frame, the numbers of its channels'
    rules, and label: the class of each pixel, by nearest neighbour. Raises `UserError` naming the file at fault.
    """
    height, width = task.frame or (0, 0)
    photograph = read(source, len(task.channels))
    label = None
    if source.seg is None:
        photographs.say_if_turned(source.image)
    else:
        raw_label = labels.whole(photographs.read_labels(source.seg), source.seg)
        photograph = photographs.aligned(photograph, raw_label.shape, source.image, source.seg)
        _require_size(source.seg, raw_label.shape, source.image, photograph.shape[:2])
        label = photographs.resize_mask(task.class_of(raw_label, source.seg), height, width)[np.newaxis]
    image = photographs.resize(photograph, height, width)[np.newaxis]
    mean, std, limits = normalisation.by_channel(image, task.channels, source.image)
    size = (photograph.shape[0], photograph.shape[1])
    return subject.Subject(
        name=source.name,
        image=image,
        mean=mean,
        std=std,
        limits=limits,
        label=label,
        source=source.image,
        source_size=size,
    )


def _require_size(path, size, of, expected):
    if tuple(size) != tuple(expected):
        where = f"the size of {os.path.basename(of)}, {expected[1]}x{expected[0]}"
        do = "restore the file that belongs to it"
        raise UserError(path, expected=where, found=f"{size[1]}x{size[0]}", do=do)
