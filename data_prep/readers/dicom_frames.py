"""The slices in a DICOM file: where each lies in the patient, and what its numbers mean, single or in an enhanced multi-frame.

Every entry is looked at before anything is computed from it; what no slice of a volume can be is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import Any

import numpy as np

from data_prep.base.errors import UserError
from data_prep.readers.dicom_file import AGAIN, Facts, reading

MOST_PIXELS = 1 << 26  # of one slice: 8192 x 8192
MOST_FRAMES = 1 << 16  # of one file


@dataclasses.dataclass(frozen=True)
class Frame:
    """Where one slice lies, and what its numbers mean. index: in its file. position: mm, of the first pixel's centre, towards
    the patient's left, back and head. row, column: unit vectors along which the column's and the row's number grow.
    spacing: (between rows, between columns) in mm. slope, intercept: stored number -> its value."""

    index: int
    position: tuple[float, ...]
    row: tuple[float, ...]
    column: tuple[float, ...]
    spacing: tuple[float, ...]
    slope: float = 1.0
    intercept: float = 0.0


def frames_of(given: Facts) -> list[Frame]:
    """The slices of a file of image(s), in its own order; raises `UserError` for what no slice of a volume can be."""
    _require_grey(given)
    with reading(given.path):
        shared = _groups(given.dataset.get("SharedFunctionalGroupsSequence"))
        each = [_groups([item]) for item in given.dataset.get("PerFrameFunctionalGroupsSequence") or ()]
    if not each and given.count > 1:
        do = "export it as single images or as enhanced multi-frame"
        raise UserError(given.path, expected="a place for each frame", found=f"{given.count} frames without", do=do)
    if each and len(each) != given.count:
        found = f"{len(each)} places"
        raise UserError(given.path, expected=f"a place for each of {given.count} frames", found=found, do=AGAIN)
    return [_frame(given, index, [own, shared, given.dataset]) for index, own in enumerate(each or [{}])]


def _require_grey(given):
    path = given.path
    if given.samples != 1 or given.colour not in ("MONOCHROME1", "MONOCHROME2"):
        found = f"{given.colour or 'no'} pixels of {given.samples} samples"
        raise UserError(
            path, expected="a grey image (MONOCHROME)", found=found, do="give the series that it is made of"
        )
    if "MOSAIC" in given.kind:
        do = "export it with its slices apart, or convert it with dcm2niix and give the NIfTI file"
        raise UserError(path, expected="a slice", found="a mosaic of slices", do=do)
    if not (0 < given.rows * given.columns <= MOST_PIXELS and 0 < given.count <= MOST_FRAMES):
        expected = f"at most {MOST_PIXELS} pixels a slice and {MOST_FRAMES} frames"
        found = f"a header that asks for {given.columns}x{given.rows}, {given.count} times"
        raise UserError(path, expected=expected, found=found, do=AGAIN)
    if given.bits not in (8, 16, 32):
        raise UserError(path, expected="pixels of 8, 16 or 32 bits", found=f"{given.bits}", do=AGAIN)


def _groups(items):
    """The entries of functional groups laid flat: {keyword: value} of each group's first item."""
    flat: dict[str, Any] = {}
    for item in list(items or ())[:1]:
        for element in item:
            if element.VR == "SQ" and len(element.value):
                flat |= {one.keyword: one.value for one in element.value[0] if one.keyword}
    return flat


def _frame(given, index, places):
    """places: where an entry may stand, the nearest first."""
    with reading(given.path):
        stored = {name: _first(places, name) for name in _COUNTS}
        lut = _first(places, "ModalityLUTSequence")
    if lut is not None:
        do = "export it with RescaleSlope and RescaleIntercept"
        raise UserError(given.path, expected="stored numbers by slope and intercept", found="a lookup table", do=do)
    values = {name: _numbers(given.path, name, stored[name], count) for name, count in _COUNTS.items()}
    spacing, orientation = values["PixelSpacing"], values["ImageOrientationPatient"]
    if min(spacing) <= 0:
        raise UserError(given.path, expected="a PixelSpacing above 0", found=f"{min(spacing):g}", do=AGAIN)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    if abs(np.linalg.norm(row) - 1) > 1e-2 or abs(np.linalg.norm(column) - 1) > 1e-2 or abs(row @ column) > 1e-2:
        found = ", ".join(f"{one:g}" for one in orientation)
        raise UserError(given.path, expected="an ImageOrientationPatient of two perpendicular directions", found=found)
    slope, intercept = values["RescaleSlope"][0], values["RescaleIntercept"][0]
    if slope == 0:
        raise UserError(given.path, expected="a RescaleSlope that is not 0", found="0", do=AGAIN)
    row /= np.linalg.norm(row)
    column -= (column @ row) * row
    column /= np.linalg.norm(column)
    return Frame(
        index, values["ImagePositionPatient"], tuple(row.tolist()), tuple(column.tolist()), spacing, slope, intercept
    )


_COUNTS = {
    "ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2, "RescaleSlope": 1, "RescaleIntercept": 1,
}  # fmt: skip
_OTHERWISE = {"RescaleSlope": (1.0,), "RescaleIntercept": (0.0,)}
_LARGEST = 1e6  # of a place in mm, and of a number beside pixels


def _first(places, name):
    return next((value for place in places if (value := place.get(name)) not in (None, "")), None)


def _numbers(path, name, stored, count):
    """The `count` finite numbers of an entry; raises `UserError` for others."""
    if stored is None and name in _OTHERWISE:
        return _OTHERWISE[name]
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        found = tuple(
            float(one) for one in (stored if hasattr(stored, "__len__") and not isinstance(stored, str) else [stored])
        )
        if len(found) == count and all(math.isfinite(one) and abs(one) <= _LARGEST for one in found):
            return found
    seen = "none" if stored is None else str(stored)[:80]
    do = "give a series of slices: CT, MR or PET" if stored is None else AGAIN
    raise UserError(path, expected=f"an entry {name} of {count} number{'s' * (count > 1)}", found=seen, do=do)
