"""How much room the records of raw data take at the least, told before any is read: by headers, and by the task's frame.

A disk that can't hold that much can't hold the records. What they really take is known when they are made: slices are cropped
to what is not empty, and how much that is no header says.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Sequence

from data_prep import grid, splits
from data_prep.base import leftovers, notices, room
from data_prep.base.errors import UserError
from data_prep.readers import nifti
from data_prep.tasks import Task

MOST_HEADERS = 64  # that are read; of more subjects the rest is taken to be alike
# of the voxels, behind the cropping: brains in BraTS' frame keep 0.4, abdomens and photographs nearly all, but for black borders
LEAST_KEPT = 0.2
VOXEL = 2  # bytes of a channel: int16, or float32 where it was resampled


def require_room(data_dir: pathlib.Path, task: Task, sources: Sequence[splits.Source]) -> None:
    """Raises `UserError` where the disk of `data_dir` clearly can't hold the records of these subjects.

    What an unfinished conversion has made already is counted.
    """
    made = (*leftovers.finished(data_dir, "*.tfrecord"), *leftovers.finished(data_dir / "parts", "*.part"))
    there = sum(path.stat().st_size for path in made)
    room.require(
        data_dir, max(0, least(task, sources) - there), f"the records of {len(sources)} subjects, at the least"
    )


def least(task: Task, sources: Sequence[splits.Source]) -> int:
    """Bytes that the records of these subjects take at the least; 0 where nothing tells."""
    channels = len(task.channels)
    if task.is_photograph:
        height, width = task.frame or (0, 0)
        return int(LEAST_KEPT * sum(height * width * (channels + source.labelled) for source in sources))
    every = -(-len(sources) // MOST_HEADERS)
    read = [_voxels(task, source) * (channels * VOXEL + source.labelled) for source in sources[:: max(1, every)]]
    return int(LEAST_KEPT * len(sources) * sum(read) / len(read)) if read else 0


def _voxels(task, source):
    """Of a subject on the task's grid, before slices are cropped; 0 for a file that can't be read, which is said later."""
    with contextlib.suppress(UserError, OSError), notices.gathered():
        header = nifti.read_header(source.image, dimensions=(3, 4))
        depth, height, width = header.shape[-3:]
        if task.spacing is None or task.order is None:
            return depth * height * width
        shape, spacing = grid.Place(header.shape[-3:], header.affine).in_order(task.order)
        height, width = grid.size_of(shape[1:], spacing[1:], task)
        return shape[0] * height * width
    return 0
