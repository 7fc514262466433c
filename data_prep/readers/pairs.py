"""Photographs and their masks in two folders, images and masks, paired by name; the masks' numbers are the classes.

eyes/images/left_07.jpg     also imgs, img or image
eyes/masks/left_07.png      also masks, mask, labels or label; left_07_mask.png and left_07_segmentation.png too
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Mapping

import numpy as np

from data_prep import tasks
from data_prep.base.errors import Faults, UserError
from data_prep.readers import (
    described,
    folders,
    labels,
    new_cases,
    nnunet,
    own_folds,
    own_photographs,
    own_words,
    photographs,
)
from data_prep.readers.cases import Source

IMAGES = ("images", "imgs", "image", "img")
MASKS = ("masks", "labels", "mask", "label")
MOST_NUMBERS = 64  # in all masks: more are grey levels
COLOURS = ("red", "green", "blue")
_MASK = re.compile(r"(?P<name>.+)[_-](mask|segmentation)", re.IGNORECASE)
_DO = "write one number for each class, as a PNG, and resize by nearest neighbour only"


def accepts(folder: pathlib.Path | str) -> bool:
    """Whether a folder looks like this form: a folder of images and one of masks."""
    folder = pathlib.Path(folder)
    return _folder(folder, IMAGES) is not None and _folder(folder, MASKS) is not None


def task(folder: pathlib.Path | str) -> tasks.Task:
    """The `Task` that all masks and tfunc.json say; raises `UserError` naming the file at fault.

    Numbers other than 0 become classes in their order. One number is called the foreground, several `label 128`.
    """
    folder = pathlib.Path(folder)
    images, masks = _both(folder)
    found: dict[int, pathlib.Path] = {}
    for path in masks.values():
        numbers = np.unique(labels.whole(photographs.read_labels(path), path)).tolist()
        found |= {number: path for number in numbers if number not in found}
        if len(found) > MOST_NUMBERS:
            seen = f"{len(found)} by {path.name}, as grey levels have"
            raise UserError(path, expected=f"at most {MOST_NUMBERS} numbers in all masks", found=seen, do=_DO)
    numbers = sorted(set(found) - {0})
    if not numbers:
        where = next(iter(masks.values())).parent
        raise UserError(where, expected="a number other than 0 in the masks", found="0 only", do="draw what is sought")
    names = ["foreground"] if len(numbers) == 1 else [f"label {number}" for number in numbers]
    classes = (tasks.Class(name, (number,)) for name, number in zip(names, numbers, strict=True))
    made = tasks.Task(
        name=folder.resolve().name,
        title=described.title(folder),
        unit="pixels",
        reader=__name__,
        form="photograph",
        channels=tuple(tasks.Channel(name, "unit") for name in COLOURS),
        classes=(tasks.Class("background", (0,)), *classes),
        regions=tuple(tasks.Region(name, name, (index,)) for index, name in enumerate(names, 1)),
        trained="all",
        frame=own_photographs.frame(photographs.size(path) for path in images.values()),
        ratio=described.RATIO,
        per_shard=described.PHOTOGRAPHS,
        show=COLOURS,
    )
    return own_words.laid_over(made, folder)


def find(raw_dir: pathlib.Path | str) -> list[Source]:
    """The photographs with their masks, sorted by name.

    Raises `UserError` for a folder without pairs; `Faults`, with the pairs that are right, for a photograph without mask, a
    mask without photograph, and a name that is there twice.
    """
    images, masks = _both(pathlib.Path(raw_dir))
    faults: dict[str, UserError] = {}
    for name in sorted(images.keys() - masks.keys()):
        do = "draw it, or move the photograph to another folder, to be predicted"
        faults[name] = UserError(images[name], expected=f"its mask {name}.png", found="no such file", do=do)
    for name in sorted(masks.keys() - images.keys()):
        do = "add the photograph, or take the mask away"
        faults[name] = UserError(masks[name], expected=f"its photograph {name}", found="no such file", do=do)
    found = [Source(name, (str(images[name]),), str(masks[name])) for name in sorted(images.keys() & masks.keys())]
    if faults:
        raise Faults(faults, found)
    return found


def find_new(
    path: pathlib.Path | str, modalities: Mapping[str, str] | None = None, task: tasks.Task | None = None
) -> list[Source]:
    """The `Source`s of new photographs, in order of name: of one file, or of those in a folder; masks are left out."""
    path = pathlib.Path(path)
    if modalities:
        expected = "a task of several files a subject"
        raise UserError("--modalities", expected=expected, found="photographs", do="leave it out")
    names = [file.name for file in path.iterdir() if file.is_file()] if path.is_dir() else [path.name]
    stems = {name: _stem(name) for name in sorted(names) if not name.startswith(".")}
    found = [(stem, path / name if path.is_dir() else path) for name, stem in stems.items() if stem]
    found = [(stem, file) for stem, file in found if not _MASK.fullmatch(stem) and file.is_file()]
    if not found:
        seen = "none" if path.exists() else "nothing there"
        raise UserError(path, expected=f"photographs ({', '.join(new_cases.PHOTOGRAPHS)})", found=seen)
    return [Source(stem, (str(file),)) for stem, file in sorted(found)]


def find_one(
    path: pathlib.Path | str, modalities: Mapping[str, str] | None = None, task: tasks.Task | None = None
) -> Source:
    """The `Source` of one new photograph; arguments as `find_new`. Raises `UserError` for several."""
    return nnunet.only(find_new(path, modalities, task), path)


load = nnunet.load


def folds(folder: pathlib.Path | str) -> own_folds.Folds | None:
    """The folds of splits_final.json, each a dict with `train` and `valid`; None where there is no such file."""
    folder = pathlib.Path(folder)
    return own_folds.read(folder, set(_both(folder)[0]))


def _folder(folder, names):
    """The folder of one of these names, in any case; None where there is none."""
    if not folder.is_dir():
        return None
    there = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    return next((there[name] for name in names if name in there), None)


def _both(folder):
    """({name: photograph}, {name: mask}), neither empty; raises `UserError` for a name that is there twice, and JPEG masks."""
    both = []
    for names, what in ((IMAGES, "photographs"), (MASKS, "masks")):
        below = _folder(folder, names)
        found = {} if below is None else _named(below, what == "masks")
        if not found:
            expected = f"{what} ({', '.join(new_cases.PHOTOGRAPHS)})"
            raise UserError(below or folder / names[0], expected=expected, found="none", do="add them")
        both.append(found)
    return both


def _named(folder, masks):
    found = {}
    for name in folders.files(folder):
        stem = _stem(name)
        if stem is None:
            continue
        if masks and name.lower().endswith((".jpg", ".jpeg")):
            do = "draw it again as a PNG: JPEG changes the numbers at every border"
            raise UserError(folder / name, expected="a mask as PNG, BMP or TIFF", found="a JPEG", do=do)
        match = _MASK.fullmatch(stem) if masks else None
        stem = match["name"] if match else stem
        if stem in found:
            do = "take one of them away"
            raise UserError(folder / name, expected="each name once", found=f"{found[stem].name} too", do=do)
        found[stem] = folder / name
    return found


def _stem(name):
    return new_cases.stem(os.path.basename(name), new_cases.PHOTOGRAPHS)
