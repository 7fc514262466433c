"""NIfTI files by subjects' names, and the checks that an array passes before a voxel of it is counted."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from data_prep.base import artefacts, notices, stores
from data_prep.base.errors import UserError
from data_prep.readers import labels, nifti
from data_prep.readers.file_names import ENDINGS
from data_prep.readers.nifti import Space
from tfunc.scoring import channels, npz

COPY = "copy it again"  # what helps where a file is damaged that we did not make


def read(path: pathlib.Path, do: str | None = None, softmax: bool = False) -> tuple[NDArray, Space]:
    """A file's array [depth, height, width], in its own dtype, and where it lies; raises `UserError`, with the remedy `do`.

    A 2-D map has depth 1. softmax: whether two channels may stand for a probability, see `channels.spatial`. An `.npz` is
    nnU-Net's probabilities.
    """
    if path.suffix == npz.ENDING:
        array, beside = npz.read(path)
        array = channels.spatial(path, array, softmax)
        return array, Space(str(path), array.shape, beside)
    more = {} if do is None else {"do": do}
    array, affine = nifti.read_map(path, dimensions=channels.DIMENSIONS, **more)
    array = channels.spatial(path, array, softmax)
    return array, Space(str(path), array.shape, affine)


def is_softmax(path: pathlib.Path) -> bool:
    """Whether a file has two channels, by its header."""
    if path.suffix == npz.ENDING:
        return channels.softmax_axis(npz.shape(path)) is not None
    return channels.softmax_axis(nifti.read_header(path, dimensions=channels.DIMENSIONS).shape) is not None


def read_labels(path: pathlib.Path, do: str | None = None) -> tuple[NDArray, Space]:
    """`read` for a file of labels, uint8 or uint16, which must be whole numbers from 0 on; else `UserError`."""
    array, space = read(path, do)
    return labels.whole(array, path), space


def read_segmentation(
    path: pathlib.Path, rule: labels.Rule, method: str, mask: NDArray | None = None
) -> tuple[NDArray, Space]:
    """A method's segmentation, uint8 {0, 1}, and where it lies. mask: where it is 0, NaN is background.

    0 and 1 are as they stand; other numbers mean what `rule` says of the labels, as several classes do. The label that
    `rule` ignores is a class that nobody scores: predicted where the label is another, it is background, which is said.
    Raises `UserError` for what is no segmentation, or none whose meaning is known.
    """
    array, space = read(path)
    if mask is not None and array.dtype.kind == "f" and array.shape == mask.shape:
        array = np.where(np.isnan(array) & (mask == 0), array.dtype.type(0), array)
    array = labels.whole(array, path)
    what = f"segmentations of {method}"
    array = _without_ignored(array, path, rule, what)
    highest = array.max()
    if highest > 1:
        return labels.meaning(array, path, dataclasses.replace(rule, ignore=None), what).foreground, space
    if highest and rule.label_map is None:
        notices.choice(what, 1, path)
    elif highest and rule.label_map is not None and not rule.label_map.get(1, 1):
        do = "write the foreground's segmentation with another number, or all classes by their own"
        raise UserError(path, expected="a segmentation by the numbers of --label_map", found="0 and 1, with 1:0", do=do)
    return array.astype(np.uint8, copy=False), space


def _without_ignored(array, path, rule, what):
    """A segmentation whose ignored class is 0.

    One of 0 and that number alone, where no map names another foreground, is binary, as 0 and 255 are: `labels.require_same`
    refuses it beside others of the set that have classes.
    """
    if not rule.ignore or not (ignored := array == rule.ignore).any():  # 0 is background already
        return array
    rest = set(np.unique(array[~ignored]).tolist()) - {0}
    if not rest and rule.label_map is None:
        return array
    if rule.ignore == 1 and not rest:
        do = "write the foreground's segmentation with another number, or all classes by their own"
        found = "0 and 1, with --ignore_label=1"
        raise UserError(path, expected="a segmentation by the numbers of --label_map", found=found, do=do)
    line = f"{path}: the ignored label {rule.ignore} is background in {what}, where the label is another"
    notices.once(f"ignored in {what}", line)
    return np.where(ignored, array.dtype.type(0), array)


def find_one(folder: pathlib.Path | str, names: Sequence[str], what: str) -> pathlib.Path:
    """The one file of these names, with either ending, that is there; raises `UserError` for none and for two.

    what: it is, for the message.
    """
    folder = pathlib.Path(folder)
    paths = [folder / (name + ending) for name in names for ending in ENDINGS]
    present = [path for path in paths if path.exists()]
    if len(present) == 1:
        return present[0]
    if present:
        found = " and ".join(path.name for path in present)
        raise UserError(folder, expected=what, found=found, do="keep the one that is meant")
    raise UserError(folder / (names[0] + ENDINGS[0]), expected=what, found="no such file")


def state(paths: Iterable[pathlib.Path]) -> str:
    """Digest of files' full paths and contents: names, sizes and times alone would pass another file for the same."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(stores.shown(path.absolute())) + f" {artefacts.sha256(path)}\n".encode())
    return digest.hexdigest()


def former_state(paths: Iterable[pathlib.Path]) -> str:
    """The digest that earlier versions kept, of full paths, sizes and times: what their evaluations are recognised by."""
    digest = hashlib.sha256()
    for path in paths:
        found = path.stat()
        digest.update(os.fsencode(path.absolute()) + f" {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()
