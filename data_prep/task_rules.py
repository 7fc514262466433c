"""Values of a task that are of their types and that no data set can have: told by name before anything is computed from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from data_prep.base.errors import UserError

Task: TypeAlias = Any  # of `tasks`, which stands on this
Channel: TypeAlias = Any

MOST_CLASSES = 250  # of a task: an index is one byte, and some of its values mean no class
MOST_LABEL = 65535  # the highest number that a raw label may be
LEAST_MM = 1e-3  # of a spacing; beyond it, or its inverse, no picture of a body is
LARGEST = 1e30  # of an intensity: float32 goes on to 3e38, and squares of what is left are finite in float64
MOST_PIXELS = 1 << 28  # of a frame: 16384 x 16384
MOST = 1_000_000  # of a share of the ratio, and of subjects in a shard
_SIDES = ("RL", "AP", "SI")


def require(task: Task, where: object, do: str | None = None) -> None:
    """Raises `UserError` naming `where`, the file, and the entry of the task that has an impossible value."""
    for entry, (holds, expected, found) in {**_of_what(task), **_of_slices(task)}.items():
        if not holds:
            raise UserError(where, expected=f"`{entry}` to be {expected}", found=_shown(found), do=do)


def _of_what(task: Task) -> Mapping[str, tuple[bool, str, Any]]:
    """Of classes, regions and channels: {entry: (whether it is sensible, what would be, what it is)}."""
    channels = [channel.name for channel in task.channels]
    names = [region.name for region in task.regions]
    labels = [label for one in task.classes for label in one.labels]
    members = [index for region in task.regions for index in region.classes]
    outside = ", ".join(f"{channel.outside:g}" for channel in task.channels)
    return {
        "ignore": (
            task.ignore is None or 0 < task.ignore <= MOST_LABEL,
            f"a number from 1 to {MOST_LABEL}, since 0 is the background",
            task.ignore,
        ),
        "channels": (
            bool(channels) and all(_is_sane(channel) for channel in task.channels),
            "one or more, whose `outside` is finite and whose window rises",
            outside or "none",
        ),
        "show": (
            len(task.show) in (1, 3) and {*task.show} <= {*channels},
            f"one channel of {', '.join(channels)}, or three",
            task.show,
        ),
        "inside": (
            task.inside is None or (task.inside.channel in channels and abs(task.inside.above) <= LARGEST),
            f"a channel of {', '.join(channels)}",
            task.inside and task.inside.channel,
        ),
        "classes": (
            1 < len(task.classes) <= MOST_CLASSES,
            "a class that is not ignored beside the background",
            len(task.classes) - 1,
        ),
        "labels": (
            len({*labels}) == len(labels) and all(0 <= label <= MOST_LABEL for label in labels) and 0 in labels,
            f"different numbers from 0 to {MOST_LABEL}, the background's 0 among them",
            labels,
        ),
        "regions": (len({*names}) == len(names) > 0, "regions of different names", ", ".join(names)),
        "regions' classes": (
            all(region.classes for region in task.regions)
            and all(0 < index < len(task.classes) for index in members),
            f"indices of classes, from 1 to {len(task.classes) - 1}",
            members,
        ),
    }  # fmt: skip


def _of_slices(task: Task) -> Mapping[str, tuple[bool, str, Any]]:
    """Of how slices are made and shared out."""
    return {
        "ratio": (
            all(0 < part <= MOST for part in task.ratio),
            "three numbers above 0, for train, valid and test",
            task.ratio,
        ),
        "per_shard": (0 < task.per_shard <= MOST, "a number above 0", task.per_shard),
        "frame": (
            task.frame is None or (min(task.frame) > 0 and math.prod(task.frame) <= MOST_PIXELS),
            f"a height and a width above 0, of {MOST_PIXELS} pixels or fewer",
            task.frame,
        ),
        "spacing": (
            task.spacing is None or all(LEAST_MM <= size <= 1 / LEAST_MM for size in task.spacing),
            f"millimetres above 0, from {LEAST_MM:g} to {1 / LEAST_MM:g}",
            task.spacing,
        ),
        "axis": (task.axis is None or task.axis in (0, 1, 2), "0, 1 or 2: left-right, front-back, up-down", task.axis),
        "order": (
            task.order is None or _is_order(task.order),
            "a side of each axis, as RAS or LPS",
            task.order,
        ),
    }


def _is_sane(channel: Channel) -> bool:
    window = channel.window
    measured = window is None or (
        -LARGEST <= window.low <= window.high <= LARGEST and abs(window.mean) <= LARGEST and 0 < window.std <= LARGEST
    )
    return abs(channel.outside) <= LARGEST and measured


def _is_order(order: str) -> bool:
    found = [next((index for index, sides in enumerate(_SIDES) if side in sides), None) for side in order]
    return len(order) == 3 and {*found} == {0, 1, 2}


def _shown(found: Any) -> str:
    text = str(found) if not isinstance(found, int) or abs(found) < 10**60 else "a number of many digits"
    return text if len(text) <= 200 else text[:199] + "…"
