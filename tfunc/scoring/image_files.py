"""The image of each subject of an evaluation of anyone's maps: for pictures only, no number depends on it."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data_prep.base.errors import UserError
from data_prep.readers import nifti
from data_prep.readers.nifti import Space

ENDINGS = (".nii.gz", ".nii", "_0000.nii.gz", "_0000.nii")  # the last two are nnU-Net's first channel


@dataclasses.dataclass(frozen=True)
class Pictured:
    """image: [depth, height, width, 1], one channel as it lies in its file."""

    image: NDArray[np.generic]
    is_photograph = False


def find_all(folder: pathlib.Path | str, subjects: Sequence[str]) -> list[pathlib.Path]:
    """Each subject's one image, `<subject>` or `<subject>_0000` with .nii or .nii.gz; raises `UserError` for none and for two."""
    top = pathlib.Path(folder)
    if not top.is_dir():
        raise UserError(top, expected="a folder with an image of each subject", found="no such folder")
    found = []
    for subject in subjects:
        there = [path for ending in ENDINGS if (path := top / f"{subject}{ending}").is_file()]
        if len(there) != 1:
            names = " and ".join(path.name for path in there) or "none"
            do = f"name it {subject}.nii.gz or {subject}_0000.nii.gz"
            raise UserError(top, expected=f"one image of {subject}", found=names, do=do)
        found += there
    return found


def read(folder: pathlib.Path | str, subject: str, space: Space) -> Pictured:
    """A subject's image, which must lie as its label does (`space`); raises `UserError`."""
    (path,) = find_all(folder, [subject])
    header = nifti.read_header(path, dimensions=(2, 3))
    array = nifti.read_array(header)
    array = array[np.newaxis] if array.ndim == 2 else array
    nifti.require_same_space(space, Space(str(path), array.shape, header.affine))
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UserError(path, expected="finite intensities", found="NaN or infinity")
    return Pictured(array[..., np.newaxis])
