"""Where an image lies in the patient, by its NIfTI header: sform and qform, read as the standard and nibabel do.

Raw headers are nibabel's, of NIfTI-1 or NIfTI-2.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from data_prep.base import notices
from data_prep.base.errors import UserError

FORMS_TOLERANCE = 0.5  # mm by which sform and qform may disagree: far above rounding, below a voxel
QUATERNION_TOLERANCE = 1e-2  # by which its length may be over 1: rounding, not another quantity


def of_block(block: bytes, path: object) -> np.ndarray:
    """The affine, float64 [4, 4], of a stored header (348 bytes, little-endian NIfTI-1); raises as `affine` does.

    Remarks were made when the file was read.
    """
    import nibabel  # photographs do without, and it is half of what a process imports

    raw = nibabel.Nifti1Header(block, "<", check=False)
    with notices.gathered():
        return affine(path, raw, tuple(int(size) for size in raw["dim"][1 : 1 + raw["dim"][0]]))


def voxel_ml(affine: np.ndarray) -> float:
    """Millilitres of one voxel of an affine [4, 4], the product of its sizes."""
    return float(math.prod(np.linalg.norm(affine[:3, :3], axis=0).tolist()) / 1000)


@np.errstate(all="ignore")  # of numbers beyond all bounds: what comes out is looked at
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
