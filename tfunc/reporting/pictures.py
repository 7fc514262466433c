"""What a picture of a subject shows: the task's channels, grey ones with their contrast stretched."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_prep.tasks import Task


def shown_channels(image: NDArray, task: Task) -> NDArray:
    """The channels that the task shows: [..., 3] of three, [...] of one. image: [..., channels]."""
    channels = [task.index(name) for name in task.show]
    return image[..., channels[0]] if len(channels) == 1 else image[..., channels]


def filled(image: NDArray, task: Task) -> NDArray[np.bool_]:
    """Where there is something to see, [...]: any channel is not 0; where what lies outside is not 0 but air, above black."""
    if task.channels[task.index(task.show[0])].outside == 0:
        return np.asarray(image.any(axis=-1))
    return windowed(shown_channels(image, task), task) > 1 / 64


def windowed(image: NDArray, task: Task | None = None) -> NDArray[np.float32]:
    """A grey image in [0, 1], low and high stretched to 0 and 1: the limits of the shown channel's window, where it has one.

    Else they are the 0.5 and 99.5 percentiles of the voxels, of those that are not 0 where 0 is what lies outside, as it does
    unless the task says otherwise.
    """
    low, high = limits(image, task)
    return np.clip((image.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1)


def limits(image: NDArray, task: Task | None = None) -> tuple[float, float]:
    """(low, high) of the raw values that `windowed` makes 0 and 1."""
    channel = None if task is None else task.channels[task.index(task.show[0])]
    if channel is not None and channel.window is not None:
        return channel.window.low, channel.window.high
    inside = image[image != 0] if channel is None or channel.outside == 0 else image
    if not inside.size:
        return 0, 1
    low, high = np.percentile(inside, (0.5, 99.5))
    return low, high
