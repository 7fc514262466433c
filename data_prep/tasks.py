"""What is segmented from what: a frozen `Task`, resolved once by `prepare` and written whole into records and networks.

`TASKS` is the one table of the data sets that are known by name. Everything after `prepare` reads the task from the
records or from the run and never asks for a data set's name.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from data_prep import task_rules
from data_prep.base import documents
from data_prep.base.errors import UserError
from data_prep.base.names import Component, Words
from data_prep.task_rules import MOST_LABEL

IGNORED = 255  # the class index of voxels that count nowhere
_STRANGE = 254  # in a table of labels: one that the task lacks

Normalise = Literal["zscore", "zscore_nonzero", "ct", "unit", "minmax", "none"]


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `ct` makes of raw intensities: clipped to [low, high], then standardised; of the training subjects' foreground."""

    low: float
    high: float
    mean: float
    std: float


class Channel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One channel of the image. normalise: the rule of its intensities. outside: the raw value of what lies outside.

    window: of the rule `ct`, once `prepare` has measured it.
    """

    name: Words
    normalise: Normalise
    outside: float = 0.0
    window: Window | None = None


class Class(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One index of the softmax. labels: the numbers in a raw mask that mean it; the first is what maps are written with."""

    name: Words
    labels: tuple[int, ...]


class Region(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named set of classes that is evaluated as one binary problem. classes: their indices."""

    name: Words
    title: Words
    classes: tuple[int, ...]


class Inside(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where calibration is measured: voxels whose raw intensity in the channel `channel` is above `above`."""

    channel: str
    above: float


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is segmented from what.

    name: of the data set, as given to --dataset.  title: for people.  unit: what one element of a mask is called.
    reader: the module of `data_prep.readers` that finds and loads subjects.  form: `volume`, many slices a subject, or
    `photograph`, one.
    channels: of the image, in order.  classes: by index, the background first.  ignore: a raw label that counts nowhere.
    regions: what is evaluated; the first is the one of a task with two classes.
    inside: where calibration is measured, or None for everywhere.
    trained: which slices are trained on: `above_mean` (a voxel above its channel's mean), `not_empty` or `all`.
    axis: of the file's voxel array that slices are taken along, None for photographs.  spacing: in-plane spacing that
    slices are resampled to, or None.  frame: the common (height, width) of all slices, None where it follows from the data.
    ratio: (train, valid, test) of a split by seed.  per_shard: subjects in a file of records.
    show: names of the channels that pictures show: one for grey, three for colours.
    order: the voxel order that subjects are brought to (see `voxel_order`), of the records or of the run that the task
    stands in; None where it is not known, and for photographs.
    """

    name: Component
    title: Words
    unit: Literal["voxels", "pixels"]
    reader: str
    form: Literal["volume", "photograph"]
    channels: tuple[Channel, ...]
    classes: tuple[Class, ...]
    ignore: int | None = None
    regions: tuple[Region, ...]
    inside: Inside | None = None
    trained: Literal["above_mean", "not_empty", "all"]
    axis: int | None = None
    spacing: tuple[float, float] | None = None
    frame: tuple[int, int] | None = None
    ratio: tuple[int, int, int]
    per_shard: int
    show: tuple[str, ...]
    order: str | None = None

    @property
    def is_photograph(self) -> bool:
        """Whether a subject is one photograph rather than a volume of slices."""
        return self.form == "photograph"

    @property
    def normalise(self) -> Normalise:
        """The rule of the intensities of the first channel, which all share in the tasks of the table."""
        return self.channels[0].normalise

    @property
    def is_binary(self) -> bool:
        """Whether there is one class beside the background."""
        return len(self.classes) == 2

    @property
    def is_known(self) -> bool:
        """Whether the table has a task of this name, which may have been prepared with options of its own."""
        return self.name in TASKS

    @property
    def values(self) -> tuple[int, ...]:
        """The number that maps are written with, for each class: its first raw label.

        0 and 1 for two classes of the table, whose foreground is several labels, and whichever of them a map chose.
        """
        if self.is_binary and self.is_known:
            return 0, 1
        return tuple(one.labels[0] for one in self.classes)

    def class_of(self, raw: NDArray[Any], where: object) -> NDArray[np.uint8]:
        """The index of each voxel's class, `IGNORED` where it counts nowhere. raw: labels, of an unsigned dtype.

        Raises `UserError` naming `where`, the file, for a label that the task lacks.
        """
        table = np.full(MOST_LABEL + 1, _STRANGE, np.uint8)
        for index, one in enumerate(self.classes):
            table[list(one.labels)] = index
        if self.ignore is not None:
            table[self.ignore] = IGNORED
        found = table[raw]
        if (strange := found == _STRANGE).any():
            numbers = np.unique(raw[strange])
            listed = ", ".join(map(str, numbers[:6].tolist())) + (", …" if len(numbers) > 6 else "")
            known = ", ".join(f"{'/'.join(map(str, one.labels))} {one.name}" for one in self.classes)
            known += "" if self.ignore is None else f", {self.ignore} ignored"
            do = "mend the file, or name the label where the data set's labels are named"
            raise UserError(where, expected=f"labels of {self.name}: {known}", found=f"{listed} too", do=do)
        return found

    def load_reader(self) -> ModuleType:
        """The module that finds and loads this task's subjects: `find`, `find_one`, `load`; raises `UserError` for none."""
        try:
            return importlib.import_module(self.reader)
        except (ImportError, ValueError, TypeError) as error:
            raise UserError(f"reader {self.reader!r}", expected="a module of readers", found=error) from None

    def index(self, channel: str) -> int:
        """The position of a channel; raises `ValueError` for a name that is none of them."""
        return [each.name for each in self.channels].index(channel)

    def document(self) -> dict[str, Any]:
        """The task as plain JSON types; `from_document` is the way back."""
        return msgspec.to_builtins(self)


TASKS = {
    task.name: task
    for task in (
        Task(
            name="brats",
            title="BraTS",
            unit="voxels",
            reader="data_prep.readers.brats",
            form="volume",
            channels=tuple(Channel(name, "zscore") for name in ("flair", "t1", "t2", "t1ce")),  # the reference's order
            classes=(Class("background", (0,)), Class("whole tumour", (1, 2, 3, 4))),
            regions=(Region("whole", "whole tumour", (1,)),),
            inside=Inside("t2", 0),
            trained="above_mean",
            axis=2,
            ratio=(100, 25, 160),
            per_shard=4,  # about 100 MB a shard
            show=("flair",),
        ),
        Task(
            name="isic",
            title="ISIC",
            unit="pixels",
            reader="data_prep.readers.isic",
            form="photograph",
            channels=tuple(Channel(name, "unit") for name in ("red", "green", "blue")),
            classes=(Class("background", (0,)), Class("lesion", (1,))),
            regions=(Region("lesion", "lesion", (1,)),),
            trained="all",
            frame=(192, 256),  # the reference's
            ratio=(70, 10, 20),
            per_shard=256,  # about 50 MB a shard
            show=("red", "green", "blue"),
        ),
        Task(
            name="brats_regions",
            title="BraTS by regions",
            unit="voxels",
            reader="data_prep.readers.brats",
            form="volume",
            channels=tuple(Channel(name, "zscore") for name in ("flair", "t1", "t2", "t1ce")),
            classes=(
                Class("background", (0,)),
                Class("necrosis", (1,)),
                Class("edema", (2,)),
                Class("enhancing", (4, 3)),  # 4 to 2021, 3 from 2023 on
            ),
            regions=(
                Region("whole", "whole tumour", (1, 2, 3)),
                Region("core", "tumour core", (1, 3)),
                Region("enhancing", "enhancing tumour", (3,)),
            ),
            inside=Inside("t2", 0),
            trained="above_mean",
            axis=2,
            ratio=(100, 25, 160),
            per_shard=4,
            show=("flair",),
        ),
    )
}

# what a form of task may be asked for
OPTIONS = {"photograph": ("image_size", "intensity"), "volume": ("label_map", "allow_negative")}


def options(task: Task) -> tuple[str, ...]:
    """What `prepare` may be asked for beside the data: volumes that are not of the table say all themselves."""
    return OPTIONS[task.form] if task.is_photograph or task.is_known else ()


def find(name: str) -> Task:
    """The task of that name as the table has it; raises `UserError` listing the names there are."""
    if name not in TASKS:
        raise UserError(f"--dataset={name}", expected=f"one of {', '.join(TASKS)}")
    return TASKS[name]


def resolved(
    task: Task,
    *,
    normalise: Normalise | None = None,
    frame: Sequence[int] | None = None,
    label_map: Mapping[Any, int] | None = None,
    order: str | None = None,
) -> Task:
    """The task with what `prepare` was asked for in place of the table's.

    normalise: the rule of intensities. frame: the slices' (height, width). label_map: {raw label: index of its class}.
    order: of the records' voxels. Raises `UserError` for a map that leaves out one of several classes.
    """
    if label_map is not None:
        targets = {0: 0, **{int(raw): target for raw, target in label_map.items()}}
        labels = [tuple(raw for raw in sorted(targets) if targets[raw] == index) for index in range(len(task.classes))]
        if not task.is_binary and not all(labels):
            found = f"none for {labels.index(())} {task.classes[labels.index(())].name}"
            raise UserError("--label_map", expected="a number for each class", found=found)
        classes = tuple(Class(one.name, found) for one, found in zip(task.classes, labels, strict=True))
        task = msgspec.structs.replace(task, classes=classes)
    if normalise is not None:
        channels = tuple(msgspec.structs.replace(channel, normalise=normalise) for channel in task.channels)
        task = msgspec.structs.replace(task, channels=channels)
    if order is not None:
        task = msgspec.structs.replace(task, order=order)
    return task if frame is None else msgspec.structs.replace(task, frame=(frame[0], frame[1]))


def load_options(task: Task, label_map: dict[int, int] | None = None) -> dict[str, Any]:
    """What the reader's `load` is given so that a subject comes out as the task has it, in plain JSON types.

    Photographs: {"image_size": [height, width], "intensity": the rule that all channels share, if they do}. Volumes: label_map,
    {raw label: class}, without it for a new patient, who has no labels, and {"order": voxel order} where the task knows one.
    """
    if task.is_photograph:
        rules = {channel.normalise for channel in task.channels}
        return {"image_size": list(task.frame or ())} | ({"intensity": task.normalise} if len(rules) == 1 else {})
    options = {"label_map": label_map, "order": task.order}
    return {name: value for name, value in options.items() if value is not None}


def from_document(document: Any, where: object = "task", do: str = "make the file anew") -> Task:
    """The `Task` of plain JSON types, every entry checked; raises `UserError` naming `where`, the file that holds it."""
    task = documents.typed(document, Task, where, do)
    task_rules.require(task, where, do)
    return task
