"""Writes made-up subjects in the official raw layouts, so that everything can be tried and tested without real data.

`phantom.json` in the raw folder says what it is. A subject's bytes, grade and place depend on the seed and its number
only, neither on how many there are nor on the order of writing: a folder can be continued, and grown.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from data_prep.base import locks, made_up, remedies
from data_prep.base.artefacts import difference, read_document, write_document
from data_prep.base.errors import UserError
from data_prep.base.progress import Progress
from data_prep.phantom import organ_layouts
from data_prep.phantom.layouts import LAYOUTS, UNLABELLED, Layout

FORMS = {"organs": organ_layouts.FORMS}  # {data set: {form: layout}} of those that come in several, the usual first
DATASETS = (*LAYOUTS, *FORMS)
SMALLEST, MOST_VOXELS = 16, 64_000_000
RECIPE = 1  # raised whenever the same seed would give other pictures
NOTE = "made-up data, drawn by launch/phantom.py; no patient, of no medical meaning"


class Description(msgspec.Struct):
    """phantom.json, as far as it is read by itself; the settings in it are compared with those asked for."""

    subjects: int
    finished: bool = False


@dataclasses.dataclass(frozen=True)
class Written:
    """What a call of `write` found and did; `shape` and `raw_dir` as used. new, kept: subjects, with and without labels."""

    raw_dir: pathlib.Path
    shape: tuple[int, ...]
    new: int
    kept: int


def write(
    dataset: str,
    raw_dir: pathlib.Path | str,
    subjects: int | None = None,
    shape: Sequence[int] | None = None,
    seed: int = 0,
    form: str | None = None,
) -> Written:
    """Writes the missing ones of subjects 0 … `subjects` - 1; finished ones are kept.

    Args:
        dataset: one of `DATASETS`.
        raw_dir: a folder that is new, empty, or an earlier phantom with the same settings.
        subjects: how many, at least 3; None is the data set's default (20, 40 or 24).
        shape: (depth, height, width) in voxels or (height, width) in pixels, each at least 16; None is the default.
        seed: 0 or more.
        form: how it is laid out, for a data set of several `FORMS`; None is the usual one.

    Returns:
        A `Written`.

    Raises:
        UserError: for a bad argument, a folder that holds something else, or one made with other settings.
    """
    layout = _layout(dataset, form)
    subjects = layout.subjects if subjects is None else subjects
    size = _checked_shape(dataset, layout, layout.shape if shape is None else shape)
    if subjects < 3:
        raise UserError("--subjects", expected="at least 3 (train, validate and test need one each)", found=subjects)
    if seed < 0:
        raise UserError("--seed", expected="0 or more", found=seed)
    raw_dir = pathlib.Path(raw_dir)
    settings: dict[str, Any] = {"dataset": dataset, "seed": seed, "shape": list(size), "recipe": RECIPE}
    if dataset in FORMS:
        settings["form"] = form or next(iter(FORMS[dataset]))
    try:
        with locks.held(raw_dir, "made-up subjects", of=made_up.MARK):
            _claim(raw_dir, settings, subjects)
            new = _write_missing(dataset, layout, raw_dir, subjects, size, seed)
            if new or not read_document(raw_dir / made_up.MARK).get("finished"):
                if layout.describe:
                    layout.describe(raw_dir, subjects, NOTE)
                _describe(raw_dir, settings, subjects, finished=True)
    except OSError as error:
        if (told := remedies.of_error(error, raw_dir)) is None:
            raise
        raise told from None
    return Written(raw_dir, size, new, subjects + layout.unlabelled - new)


def subject_id(dataset: str, index: int) -> str:
    """The name of subject `index`."""
    return _layout(dataset).name(index)


def _layout(dataset: str, form: str | None = None) -> Layout:
    if dataset not in DATASETS:
        raise UserError("--dataset", expected=" or ".join(DATASETS), found=repr(dataset))
    forms = FORMS.get(dataset)
    if forms is None:
        if form is not None:
            raise UserError("--form", expected=f"--dataset={' or '.join(FORMS)} beside it", found=dataset)
        return LAYOUTS[dataset]
    form = form or next(iter(forms))
    if form not in forms:
        raise UserError("--form", expected=" or ".join(forms), found=repr(form))
    return forms[form]


def _checked_shape(dataset, layout, shape):
    shape, axes = tuple(shape), layout.axes
    example = ",".join(map(str, layout.shape))
    if len(shape) != len(axes):
        expected = f"{len(axes)} numbers for {dataset} ({','.join(axes)}), such as {example}"
        raise UserError("--shape", expected=expected, found=",".join(map(str, shape)) or "nothing")
    if min(shape) < SMALLEST or np.prod(shape, dtype=float) > MOST_VOXELS:
        expected = f"each at least {SMALLEST}, the product at most {MOST_VOXELS}"
        raise UserError("--shape", expected=expected, found=",".join(map(str, shape)), do=f"the default is {example}")
    return shape


def _claim(raw_dir, settings, subjects):
    """Makes sure that nothing but this phantom is in the folder, and marks the folder before the first subject."""
    record = raw_dir / made_up.MARK
    if record.exists():
        stored = read_document(record, Description, "choose another --raw_dir, or remove that folder")
        differs = difference({name: stored.get(name) for name in settings}, settings)
        if not differs and stored["subjects"] > subjects:
            differs = f"subjects {stored['subjects']} (there) against {subjects} (asked for)"
        if differs:
            do = "choose another --raw_dir, or remove that folder"
            raise UserError(record, expected="the settings asked for", found=differs, do=do)
        if stored["subjects"] == subjects:
            return
    elif raw_dir.exists():
        others = sorted(path.name for path in raw_dir.iterdir() if not path.name.startswith("."))
        if others:
            expected = "an empty folder or an earlier phantom, so that made-up and real data never mix"
            raise UserError(raw_dir, expected=expected, found=others[0], do="choose another --raw_dir")
    _describe(raw_dir, settings, subjects, finished=False)


def _describe(raw_dir, settings, subjects, finished):
    write_document(raw_dir / made_up.MARK, {"note": NOTE, **settings, "subjects": subjects, "finished": finished})


def _write_missing(dataset, layout, raw_dir, subjects, shape, seed):
    """Returns how many were missing."""
    numbers = (*range(subjects), *range(UNLABELLED, UNLABELLED + layout.unlabelled))
    missing = [index for index in numbers if not layout.is_there(raw_dir, index)]
    if not missing:
        return 0
    with Progress(f"phantom {dataset}", len(missing), unit=" subjects") as progress:
        for index in missing:
            layout.write(raw_dir, index, shape, np.random.default_rng([seed, index]))
            progress.advance(note=layout.name(index))
    return len(missing)
