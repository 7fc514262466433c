"""How a made-up volume is written: NIfTI-1 with both transforms, and the same bytes every time."""

from __future__ import annotations

import gzip
import pathlib

import nibabel
import numpy as np


def write(path: pathlib.Path, volume: np.ndarray, affine: np.ndarray) -> None:
    """[depth, height, width] as NIfTI-1 [x, y, z] with both transforms set; no time and no name in the gzip header."""
    image = nibabel.Nifti1Image(np.ascontiguousarray(volume.T), affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    with open(path, "wb") as file, gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
        packed.write(image.to_bytes())
