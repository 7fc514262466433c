"""The tasks as they were when files only named their data set: frozen, so that no edit of the table reaches old files.

dataset.json and config.json of before hold a name and what `prepare` was asked for; the rest is what that version did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from data_prep import tasks
from data_prep.tasks import Channel, Class, Inside, Region, Task

TASKS = {
    "brats": Task(
        name="brats",
        title="BraTS",
        unit="voxels",
        reader="data_prep.readers.brats",
        form="volume",
        channels=tuple(Channel(name, "zscore") for name in ("flair", "t1", "t2", "t1ce")),
        classes=(Class("background", (0,)), Class("whole tumour", (1, 2, 3, 4))),
        regions=(Region("whole", "whole tumour", (1,)),),
        inside=Inside("t2", 0),
        trained="above_mean",
        axis=2,
        ratio=(100, 25, 160),
        per_shard=4,
        show=("flair",),
    ),
    "isic": Task(
        name="isic",
        title="ISIC",
        unit="pixels",
        reader="data_prep.readers.isic",
        form="photograph",
        channels=tuple(Channel(name, "unit") for name in ("red", "green", "blue")),
        classes=(Class("background", (0,)), Class("lesion", (1,))),
        regions=(Region("lesion", "lesion", (1,)),),
        trained="all",
        frame=(192, 256),
        ratio=(70, 10, 20),
        per_shard=256,
        show=("red", "green", "blue"),
    ),
}


def task(
    name: str,
    intensity: str | None = None,
    size: Sequence[int] | None = None,
    label_map: Mapping[str, int] | None = None,
) -> Task:
    """The task of a file that names its data set only; raises `KeyError` for a name that the toolkit did not have.

    intensity, size: of photographs, the rule and (height, width) that they were prepared with. label_map: of volumes.
    """
    found = TASKS[name]
    if found.is_photograph and intensity is not None and size is not None:
        return tasks.resolved(found, normalise=intensity, frame=size)  # type: ignore[arg-type]
    return tasks.resolved(found, label_map=label_map)
