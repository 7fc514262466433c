"""NIfTI files by subjects' names, and the checks that an array passes before a voxel of it is counted."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from data_prep.base.errors import UserError
from data_prep.readers import nifti
from data_prep.readers.nifti import Space
from tfunc.scoring import channels

ENDINGS = (".nii.gz", ".nii")
COPY = "copy it again"  # what helps where a file is damaged that we did not make


def read(path: pathlib.Path, do: str | None = None, softmax: bool = False) -> tuple[NDArray, Space]:
    """A file's array [depth, height, width], in its own dtype, and where it lies; raises `UserError`, with the remedy `do`.

    A 2-D map has depth 1. softmax: whether two channels may stand for a probability, see `channels.spatial`.
    """
    more = {} if do is None else {"do": do}
    array, affine = nifti.read_map(path, dimensions=channels.DIMENSIONS, **more)
    array = channels.spatial(path, array, softmax)
    return array, Space(str(path), array.shape, affine)


def is_softmax(path: pathlib.Path) -> bool:
    """Whether a file has two channels, by its header."""
    return channels.softmax_axis(nifti.read_header(path, dimensions=channels.DIMENSIONS).shape) is not None


def read_labels(path: pathlib.Path, do: str | None = None) -> tuple[NDArray, Space]:
    """`read` for a file of labels, which must be whole numbers from 0 on; else `UserError`."""
    array, space = read(path, do)
    lowest = array.min()
    whole = array.dtype.kind in "bui" or bool((array == np.floor(array)).all())
    if not (whole and lowest >= 0):
        found = f"{lowest:g}" if whole else "fractions"
        raise UserError(path, expected="whole numbers, 0 for background", found=found)
    return array, space


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


def stem(path: pathlib.Path) -> str:
    """A file's name without its ending."""
    return next(path.name[: -len(ending)] for ending in ENDINGS if path.name.endswith(ending))


def state(paths: Iterable[pathlib.Path]) -> str:
    """Digest of files' full paths, sizes and modification times: another one means another content."""
    digest = hashlib.sha256()
    for path in paths:
        found = path.stat()
        digest.update(os.fsencode(path.absolute()) + f" {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()
