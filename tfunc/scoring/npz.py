"""nnU-Net's probabilities, `CASE.npz`: read under limits, with what lies beside them. NumPy only.

The array `probabilities` is [class, depth, height, width] as it stands; the file knows no geometry. A `CASE.pkl` beside it is
never read: a pickle is code. Where the voxels lie, the segmentation `CASE.nii.gz` says, or the label's shape alone.
"""

from __future__ import annotations

import math
import pathlib
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.base import notices, npy, regular
from data_prep.base.errors import UserError
from data_prep.readers import nifti
from data_prep.readers.file_names import ENDINGS

ENDING = ".npz"
ENTRY = "probabilities"
MOST_VALUES = 16 * 512**3  # of a file: 16 classes of the largest volume
DO = "predict again with nnU-Net's --save_probabilities"


def names(folder: pathlib.Path) -> list[str]:
    """Cases whose probabilities lie in a folder, in order; none where no archive there holds any."""
    found = sorted(path for path in folder.glob(f"*{ENDING}") if path.name[0] != ".")
    return [path.stem for path in found] if any(map(_holds_them, found)) else []


def _holds_them(path):
    regular.require(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{ENTRY}.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return True  # it is one by its name, and refused by it where it is read


def shape(path: pathlib.Path) -> tuple[int, ...]:
    """The array's shape by its header; raises `UserError`."""
    return _opened(path, None)[0]


def read(path: pathlib.Path) -> tuple[NDArray, NDArray | None]:
    """(the array as the file has it, the affine of the segmentation beside it or None); raises `UserError`.

    Its size is compared with what the file holds, and with a limit, before anything is allocated.
    """
    if path.with_suffix(".pkl").exists():
        line = f"{path.with_suffix('.pkl')} is not read, since a pickle is code: the label and the segmentation say where it lies"
        notices.once("pickles", line)
    array = _opened(path, np.lib.format.read_array)[1]
    beside = segmentation(path)
    affine = None if beside is None else nifti.read_header(beside, dimensions=(2, 3)).affine
    return array, affine


def segmentation(path: pathlib.Path) -> pathlib.Path | None:
    """The segmentation beside the probabilities, or None; raises `UserError` where there are two."""
    found = [path.with_name(path.stem + ending) for ending in ENDINGS]
    found = [other for other in found if other.exists()]
    if len(found) > 1:
        listed = " and ".join(other.name for other in found)
        raise UserError(
            path.parent, expected="one segmentation of a case", found=listed, do="keep the one that is meant"
        )
    return found[0] if found else None


def _opened(path: pathlib.Path, read_array: Any) -> tuple[tuple[int, ...], Any]:
    regular.require(path)
    with npy.told(path, "probabilities as nnU-Net writes them", DO), zipfile.ZipFile(path) as archive:
        try:
            member = archive.getinfo(f"{ENTRY}.npy")
        except KeyError:
            listed = ", ".join(name.removesuffix(".npy") for name in archive.namelist()[:4])
            raise UserError(path, expected=f"an array {ENTRY!r}", found=listed or "none", do=DO) from None
        with archive.open(member) as stream:
            found = _header(path, stream, member.file_size)
        if read_array is None:
            return found, None
        with archive.open(member) as stream:
            return found, read_array(stream, allow_pickle=False)


def _header(path, stream, size):
    """The shape by the array's header, its dtype and size judged."""
    found, dtype = npy.header(stream)
    if dtype.kind not in "fiub":
        raise UserError(path, expected="probabilities as numbers", found=f"an array of {dtype}", do=DO)
    count = math.prod(found)
    if count > MOST_VALUES or count * dtype.itemsize > size:
        asked = f"a header that asks for {'x'.join(map(str, found))}"
        raise UserError(path, expected=f"at most {MOST_VALUES} values, all in the file", found=asked, do=DO)
    return found
