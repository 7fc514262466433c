"""What a NIfTI header may say: each field checked, before anything is allocated by it.

Raw headers are nibabel's, of NIfTI-1 or NIfTI-2. Everything here raises `UserError` naming the file.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError

from data_prep.base import notices
from data_prep.base.errors import UserError

MAX_VOXELS = 512**3  # 15 times a BraTS volume
SLACK = 16 << 20  # bytes allowed to header extensions, and to what follows the voxels
FORMS_TOLERANCE = 0.5  # mm by which sform and qform may disagree: far above rounding, below a voxel
QUATERNION_TOLERANCE = 1e-2  # by which its length may be over 1: rounding, not another quantity
READABLE = {np.dtype(name) for name in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")}


def require_single_file(path: object, magic: bytes, do: str) -> None:
    """Refuses half of a .hdr/.img pair and other signatures than those of NIfTI-1 and NIfTI-2."""
    if magic.startswith((b"ni1", b"ni2")):
        raise UserError(path, expected="header and voxels in one file", found="half of a .hdr/.img pair")
    if not magic.startswith((b"n+1", b"n+2")):
        raise UserError(path, expected="the NIfTI signature n+1 or n+2", found=repr(magic[:3]), do=do)


def shape(path: object, dim: np.ndarray, dimensions: tuple[int, ...], do: str) -> tuple[int, ...]:
    """The sizes (x, y, z), of as many dimensions as `dimensions` allows; those of size 1 beyond are dropped."""
    count = int(dim[0])
    sizes = [int(size) for size in dim[1 : 1 + count]] if 1 <= count <= 7 else []
    if not sizes or min(sizes) < 1:
        raise UserError(path, expected="1 to 7 dimensions of at least 1", found=f"{count}: {sizes}", do=do)
    while len(sizes) > max(dimensions) and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) not in dimensions:
        raise UserError(
            path,
            expected=f"{' or '.join(map(str, dimensions))} dimensions",
            found=f"{len(sizes)}: {'x'.join(map(str, sizes))}",
            do="give one file for each modality",
        )
    if math.prod(sizes) > MAX_VOXELS or max(sizes) > 32767:  # NIfTI-1 counts in int16
        raise UserError(
            path, expected=f"at most {MAX_VOXELS} voxels", found=f"a header that asks for {'x'.join(map(str, sizes))}"
        )
    return tuple(sizes)


def dtype(path: object, raw: Any, do: str) -> np.dtype:
    """The dtype of the stored voxels, with their byte order."""
    try:
        stored = raw.get_data_dtype()
    except (HeaderDataError, KeyError):  # nibabel answers an unknown code with KeyError
        stored = None
    if stored is None or stored.newbyteorder("=") not in READABLE:
        code = int(raw["datatype"])
        raise UserError(path, expected="integer or float voxels", found=f"NIfTI datatype {code} ({stored})", do=do)
    return stored


def offset(path: object, stored: float, length: int, do: str) -> int:
    """Where the voxels begin, in bytes. length: of the header."""
    stored = float(stored) or length + 4.0  # 0 means directly after the header and its extension flag
    if not (length <= stored <= SLACK and stored.is_integer()):
        raise UserError(path, expected=f"voxels {length} to {SLACK} bytes into the file", found=f"{stored:g}", do=do)
    return int(stored)


def scaling(path: object, slope: float, inter: float, do: str) -> tuple[float, float]:
    """(slope, intercept) of the stored voxels, (1, 0) where there is none."""
    if slope == 0 or math.isnan(slope):  # NIfTI: unscaled
        return 1.0, 0.0
    if math.isinf(slope) or not math.isfinite(inter):
        raise UserError(path, expected="a finite scl_slope and scl_inter", found=f"{slope:g} and {inter:g}", do=do)
    return slope, inter


def affine(path: object, raw: Any, shape: tuple[int, ...]) -> np.ndarray:
    """float64 [4, 4], voxel x, y, z to mm: the sform where its code is set and it can be used, else the qform.

    That is the standard's order, which nibabel and ITK keep. Contradictions between two usable forms of one code are
    refused, as is a header with none; a form that cannot be used beside one that can is said once.
    """
    (sform, no_sform), (qform, no_qform) = _sform(raw), _qform(raw, len(shape))
    found = qform if sform is None else sform
    if found is None:
        reasons = " and ".join(filter(None, (no_sform, no_qform)))
        raise UserError(
            path,
            expected="the image's place in the patient, an invertible affine",
            found=reasons or "neither sform nor qform (both codes are 0)",
            do="restore the header, or set an sform with its code if you know the orientation",
        )
    if reason := no_sform or no_qform:
        other = "qform" if sform is None else "sform"
        notices.once(
            "form of a header", f"{path}: {reason}, which is left aside: the image's place is that of its {other}"
        )
    if sform is not None and qform is not None and raw["sform_code"] == raw["qform_code"]:
        gap = _displacement(sform, qform, shape)
        if not gap <= FORMS_TOLERANCE:
            raise UserError(
                path,
                expected="sform and qform of the same code to agree",
                found=f"that they place a corner of the image {gap:.3g} mm apart",
                do="restore the header, or set the code of the wrong one to 0",
            )
    return found


def _sform(raw):
    """(the sform, "") where its code is set and it is an invertible affine, else (None, why not, empty for no code)."""
    if raw["sform_code"] <= 0:
        return None, ""
    return _usable(np.asarray(raw.get_sform(), np.float64), "an sform that is no invertible affine")


def _qform(raw, dimensions):
    """The same of the qform, read as the standard and nibabel do where it is a little off.

    pixdim[0], a sign, is 1 where it is 0; a size below 0 is meant without its sign; and a quaternion that rounding made
    longer than 1 is one of length 1.
    """
    if raw["qform_code"] <= 0:
        return None, ""
    raw = raw.copy()
    sizes, quaternion = raw["pixdim"], np.array([raw[f"quatern_{part}"] for part in "bcd"], np.float64)
    sizes[0] = -1 if sizes[0] < 0 else 1
    sizes[1:4] = np.abs(sizes[1:4])
    if dimensions < 3 and sizes[3] == 0:
        sizes[3] = 1
    length = np.linalg.norm(quaternion)
    if not length <= 1 + QUATERNION_TOLERANCE:  # also for NaN
        return None, f"a qform whose quaternion has the length {length:.6g}"
    if length > 1:
        for part, value in zip("bcd", quaternion / length * (1 - 1e-7), strict=True):
            raw[f"quatern_{part}"] = value
    return _usable(np.asarray(raw.get_qform(), np.float64), f"a qform with voxel sizes {sizes[1:4].tolist()}")


def _usable(found, why):
    if not np.isfinite(found).all() or abs(np.linalg.det(found[:3, :3])) < 1e-9:
        return None, why
    return found, ""


def _displacement(first, second, shape):
    """The largest distance in mm between the images of the volume's corners under two affines."""
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, n - 1) for n in (*shape, 1)[:3]))])
    return np.linalg.norm((corners @ (np.asarray(first) - second).T)[:, :3], axis=1).max()


def nifti1_block(raw: Any, shape: tuple[int, ...]) -> bytes:
    """Any header as little-endian NIfTI-1 of `shape`; geometry, units and text are kept."""
    if isinstance(raw, nibabel.Nifti2Header):
        plain = nibabel.Nifti1Header(endianness="<")
        for field in {*plain.keys()} & {*raw.keys()} - {"sizeof_hdr", "magic", "dim"}:
            plain[field] = raw[field]
    else:
        plain = raw.as_byteswapped("<")
    plain["dim"] = 1
    plain["dim"][: len(shape) + 1] = (len(shape), *shape)
    return plain.binaryblock


def plain(shape: tuple[int, ...]) -> nibabel.Nifti1Header:
    """A header of that shape (x, y) or (x, y, z) with an identity affine."""
    header = nibabel.Nifti1Header(endianness="<")
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), code="aligned")
    return header
