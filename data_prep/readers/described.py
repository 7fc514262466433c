"""A description of a data set as a `Task`: names of channels to rules of intensities, labels to classes and regions."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np

from data_prep import tasks
from data_prep.readers.dataset_json import Description

NORMALISE: dict[str, tasks.Normalise] = {  # nnU-Net's names of channels, in lower case; every other name is z-scored
    "ct": "ct",
    "nonorm": "none",
    "rescale_to_0_1": "minmax",
    "rgb_to_0_1": "unit",
}
AIR = -1024.0  # in Hounsfield units: what lies outside a scanner's circle
KEPT = 0.75  # nnU-Net's: z-scores leave out what is 0 where cropping to what is not keeps less of the images than that
RATIO, VOLUMES, PHOTOGRAPHS = (70, 10, 20), 4, 256  # of a split by seed; subjects in a file of records


def task(
    folder: pathlib.Path,
    description: Description,
    reader: str,
    form: Literal["volume", "photograph"],
    kept: Callable[[], float] = lambda: 1.0,
    frame: tuple[int, int] | None = None,
) -> tasks.Task:
    """The `Task` of a folder whose dataset.json says `description`.

    reader: the module that reads this form.  kept: what share of the training images cropping them to what is not 0
    keeps (see `kept`); asked only where a channel is z-scored.  frame: of photographs.
    """
    rules: list[tasks.Normalise] = [NORMALISE.get(name.casefold(), "zscore") for name in description.channels]
    if "zscore" in rules and kept() < KEPT:
        rules = ["zscore_nonzero" if rule == "zscore" else rule for rule in rules]
    channels = tuple(
        tasks.Channel(name, rule, AIR if rule == "ct" else 0.0)
        for name, rule in zip(description.channels, rules, strict=True)
    )
    classes = _classes(description)
    everything = form == "photograph" or "ct" in rules
    return tasks.Task(
        name=folder.resolve().name,
        title=title(folder),
        unit="pixels" if form == "photograph" else "voxels",
        reader=reader,
        form=form,
        channels=channels,
        classes=classes,
        ignore=description.ignore,
        regions=_regions(description, classes),
        trained="all" if everything else "not_empty",
        frame=frame,
        ratio=RATIO,
        per_shard=PHOTOGRAPHS if form == "photograph" else VOLUMES,
        show=tuple(one.name for one in channels)
        if form == "photograph" and len(channels) == 3
        else (channels[0].name,),
    )


def title(folder: pathlib.Path) -> str:
    """A data set's name for people: `Hippocampus` of Dataset004_Hippocampus, of Task004_Hippocampus and of Hippocampus."""
    name = folder.resolve().name
    start, _, rest = name.partition("_")
    return rest if rest and start.rstrip("0123456789") in ("Dataset", "Task") and start[-1].isdecimal() else name


def _classes(description: Description) -> tuple[tasks.Class, ...]:
    """A class for each raw label, in order of the numbers; named by the region that is this label alone, if there is one."""
    numbers = sorted({number for region in description.regions.values() for number in region})
    alone = {region[0]: name for name, region in reversed([*description.regions.items()]) if len(region) == 1}
    named = (tasks.Class(alone.get(number, f"label {number}"), (number,)) for number in numbers)
    return (tasks.Class("background", (0,)), *named)


def _regions(description, classes):
    """The file's regions in the file's order; where each is one label, in the order of the classes."""
    index = {one.labels[0]: position for position, one in enumerate(classes)}
    found = [(name, tuple(sorted(index[number] for number in region))) for name, region in description.regions.items()]
    if all(len(members) == 1 for _, members in found):
        found.sort(key=lambda region: region[1])
    return tuple(tasks.Region(name, name, members) for name, members in found)


def kept(images: Iterable[Iterable[np.ndarray[Any, Any]]]) -> float:
    """The median share of images that is kept where they are cropped to what is not 0 in all channels; 1 without images.

    images: for each, its channels.
    """
    shares = []
    for channels in images:
        masks = [np.asarray(channel) != 0 for channel in channels]
        if len({mask.shape for mask in masks}) > 1:  # said where the image is read
            continue
        filled = functools.reduce(np.logical_or, masks)
        sides = [
            np.flatnonzero(filled.any(axis=tuple(set(range(filled.ndim)) - {axis}))) for axis in range(filled.ndim)
        ]
        if all(len(side) for side in sides):
            shares.append(np.prod([float(side[-1] - side[0] + 1) for side in sides]) / filled.size)
    return float(np.median(shares)) if shares else 1.0
