"""What of one subject in memory is taken as it is and seldom meant: a channel of one value, an empty mask, one outside the body.

`prepare` says it of each subject that it converts, `check` of each that it looks at. Whatever cannot be right is refused by the
readers before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data_prep.base.findings import Finding, finding
from data_prep.subject import Subject
from data_prep.tasks import IGNORED, Task

SHARE = 0.05  # of the labelled voxels, from which on those outside of the body are no rounding at its edge


def of_subject(subject: Subject, task: Task, label_path: object, voxels: Sequence[int] | None) -> list[Finding]:
    """The findings, each a warning. label_path: the file of the label. voxels: of each class, None without a label."""
    found = []
    for index, channel in enumerate(task.channels):
        values = subject.image[..., index]
        if is_constant(values):
            seen = f"{values[0, 0, 0]:g} everywhere in channel {channel.name}"
            do = "look whether it is the file that is meant"
            found.append(
                finding("warning", "constant channel", subject.source, expected="voxels that vary", found=seen, do=do)
            )
    if subject.label is None or voxels is None:
        return found
    if not any(voxels[1:]):
        found.append(
            finding(
                "warning",
                "empty mask",
                label_path,
                expected="a voxel of a class",
                found="background only" if voxels[0] else "ignored voxels only",
                do="restore the label, unless there is nothing to be found in this subject",
            )
        )
    elif not subject.is_photograph and (share := outside_share(subject, task)) >= SHARE:
        found.append(
            finding(
                "warning",
                "label outside the body",
                label_path,
                expected="labels where the image shows something",
                found=f"{share:.0%} of the labelled voxels where it is empty",
                do="look at both in a viewer: the label may be shifted, flipped or another subject's",
            )
        )
    return found


def is_constant(values: NDArray) -> bool:
    """Whether an array [depth, height, width] has one value everywhere. Mostly a few voxels of a slice tell that it has not."""
    first = values[0, 0, 0]
    return bool((values[len(values) // 2, ::8, ::8] == first).all() and (values == first).all())


def outside_share(subject: Subject, task: Task) -> float:
    """Which share of a volume's labelled voxels, from 0 to 1, lies where its image is empty.

    That is outside of the mask that the task measures calibration in, or where all channels have the value of what lies outside.
    """
    label = subject.label
    if label is None:
        return 0.0
    labelled = label != 0
    if task.ignore is not None:
        labelled &= label != IGNORED
    if task.inside is not None:
        values = subject.image[..., task.index(task.inside.channel)][labelled]
        empty = ~(values > task.inside.above)
    else:
        empty = np.ones(np.count_nonzero(labelled), bool)
        for index, channel in enumerate(task.channels):
            empty &= subject.image[..., index][labelled] == channel.outside
    return float(np.count_nonzero(empty)) / max(1, empty.size)
