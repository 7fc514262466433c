"""What the rule `ct` is measured by: the intensities of the foreground of the training subjects, and of nobody else.

As nnU-Net does: up to `SAMPLES` voxels a subject, so that a large organ of one counts as much as a small one's of another; their
0.5 and 99.5 percentiles are what all is clipped to, their mean and deviation what is then standardised by.
"""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from data_prep.base import notices, pool
from data_prep.base.errors import UserError
from data_prep.base.progress import Progress
from data_prep.splits import Source
from data_prep.subject import Subject
from data_prep.tasks import IGNORED, Task, Window

SAMPLES = 10_000
PERCENTILES = (0.5, 99.5)


def needed(task: Task) -> bool:
    """Whether a channel of the rule `ct` waits for its window."""
    return any(channel.normalise == "ct" and channel.window is None for channel in task.channels)


def measured(
    task: Task,
    train: Sequence[Source],
    options: Mapping[str, Any],
    executor: concurrent.futures.Executor,
    workers: int,
) -> Task:
    """The task whose channels of the rule `ct` have their window; the same task where none has that rule.

    train: the training subjects. options: of the reader. Subjects that cannot be read are left out, and said when they are
    converted. Raises `UserError` where no training subject has any foreground, and where its intensities are all alike.
    """
    if not needed(task):
        return task
    sample = functools.partial(foreground, task, dict(options))
    found: dict[str, NDArray] = {}
    faults: dict[str, UserError] = {}
    with Progress("intensities", len(train), " subjects") as progress:
        for name, values in pool.unordered(executor, sample, list(train), ahead=2 * workers):
            if isinstance(values, UserError):
                faults[name] = values
            else:
                found[name] = values
            progress.advance(note=name)
    return of_samples(task, found, faults)


def of_samples(task: Task, found: Mapping[str, NDArray], faults: Mapping[str, UserError]) -> Task:
    """The task with the windows that follow from training subjects' intensities. found: by subject, as of `sampled`.

    faults: why of others there are none. Raises as `measured`.
    """
    inside = [found[name] for name in sorted(found) if len(found[name])]
    if not inside and faults:
        raise faults[min(faults)]
    if not inside:
        do = "ct is measured there; patients without labels are predicted with predict --input"
        where = "background only" if found else "no training subject"
        raise UserError(task.name, expected="voxels of a class in the training labels", found=where, do=do)
    values = np.concatenate(inside)
    channels = tuple(
        msgspec.structs.replace(channel, window=_window(values[:, index], channel.name))
        if channel.normalise == "ct" and channel.window is None
        else channel
        for index, channel in enumerate(task.channels)
    )
    return msgspec.structs.replace(task, channels=channels)


def foreground(task: Task, options: Mapping[str, Any], source: Source) -> tuple[str, NDArray | UserError]:
    """(the subject's name, raw intensities [voxels, channels] of up to `SAMPLES` of its foreground, evenly taken).

    Runs in a worker. In place of the intensities what is wrong with a subject that cannot be read.
    """
    plain = tuple(msgspec.structs.replace(channel, normalise="none") for channel in task.channels)
    try:
        with notices.gathered():
            subject = task.load_reader().load(
                source, options, msgspec.structs.replace(task, channels=plain, spacing=None)
            )
    except UserError as error:  # of others it is said when they are converted
        return source.name, error
    return source.name, sampled(subject)


def sampled(subject: Subject) -> NDArray:
    """float32 [voxels, channels]: raw intensities of up to `SAMPLES` of a subject's foreground, evenly taken."""
    inside = np.flatnonzero((subject.label != 0) & (subject.label != IGNORED))
    chosen = inside[np.linspace(0, len(inside) - 1, min(SAMPLES, len(inside))).astype(np.intp)]
    return subject.image.reshape(-1, subject.image.shape[-1])[chosen].astype(np.float32)


def _window(values, name):
    low, high = (float(value) for value in np.percentile(values, PERCENTILES))
    mean, std = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    if not (high > low and std > 0):
        found = f"{low:g} almost everywhere"
        raise UserError(f"channel {name}", expected="intensities that vary in the foreground", found=found)
    return Window(low, high, mean, std)
