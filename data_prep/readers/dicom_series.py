"""A series of DICOM images as one volume: its slices sorted by where they lie, its grid judged, its numbers in their unit.

The third axis of the affine is the distance between slices by their positions; SliceThickness, which may overlap or leave
gaps, is not asked. What is not one regular grid is refused: resampling is a decision that nobody would see.
"""

from __future__ import annotations

import collections
import dataclasses
import filecmp
import math
import os
from collections.abc import Iterable, Sequence

import nibabel
import numpy as np

from data_prep import place
from data_prep.base.errors import UserError
from data_prep.readers import dicom_file, dicom_frames, nifti, nifti_header
from data_prep.readers.dicom_file import Facts
from data_prep.readers.dicom_frames import Frame

UNEVEN_MM, UNEVEN, MOST_UNEVEN = (
    0.051,
    0.02,
    0.2,
)  # mm that rounding moves a slice; share of the distance; never more of it
TILT = 0.01  # shift in plane by mm along the normal: a little over half a degree
ANGLE = 1e-3  # by which the directions of slices may differ
SPACING = 1e-3  # mm


@dataclasses.dataclass(frozen=True, eq=False)
class Slice:
    """One slice: the file that it is in, and where it lies."""

    file: Facts
    frame: Frame

    @property
    def normal(self) -> np.ndarray:
        """The unit vector along which slices follow each other."""
        return np.cross(self.frame.row, self.frame.column)


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """slices: in their order along the normal. affine: float64 [4, 4], voxel (x, y, z) to mm in RAS."""

    slices: list[Slice]
    affine: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """[depth, height, width]."""
        return len(self.slices), self.slices[0].file.rows, self.slices[0].file.columns


def label(files: Sequence[Facts]) -> str:
    """What a series is called in a line for people: where it lies, its number and its description."""
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(one.path)) for one in files])
    first = files[0]
    number = f" {first.number}" if first.number else ""
    return f"{folder}, series{number}" + (f" {first.description!r}" if first.description else "")


def header(paths: Iterable[str]) -> nifti.Header:
    """What a series of these files says about itself, as of a NIfTI file; no pixel is read until `nifti.read_array` asks.

    Raises `UserError` naming the series, and a file where it is one's fault.
    """
    made = grid([dicom_file.facts(path) for path in paths])
    name = label([one.file for one in made.slices])
    raw = nibabel.Nifti1Header(endianness="<")
    raw.set_data_shape(made.shape[::-1])
    raw.set_xyzt_units("mm")
    raw.set_sform(made.affine, code="scanner")
    raw.set_qform(made.affine, code="scanner")
    block = raw.binaryblock
    affine = place.of_block(block, name)  # as it is stored, in float32
    shape = made.shape
    return nifti.Header(name, shape, np.dtype(np.int16), 352, 1.0, 0.0, affine, block, lambda: voxels(made, name))


def grid(files: Sequence[Facts]) -> Grid:
    """The one grid that the slices of a series lie on; raises `UserError` where it is none."""
    name = label(files)
    files = _each_once(name, files)
    strange = next((one for one in files if not one.is_image), None)
    if strange is not None:
        raise UserError(strange.path, expected="an image", found=f"a {strange.kind[0] or 'DICOM'} object without one")
    slices = [Slice(file, frame) for file in files for frame in dicom_frames.frames_of(file)]
    first = slices[0]
    if len(slices) < 2:
        do = "give the folder of the whole series"
        raise UserError(name, expected="slices of a volume", found="one image", do=do)
    nifti_header.shape(name, np.array([3, first.file.columns, first.file.rows, len(slices)]), (3,), dicom_file.AGAIN)
    for other in slices[1:]:
        _require_alike(name, first, other)
    normal = first.normal
    slices = sorted(slices, key=lambda one: float(np.dot(one.frame.position, normal)))
    places = np.array([one.frame.position for one in slices], np.float64)
    _require_even(name, slices, places @ normal)
    step = float((places[-1] - places[0]) @ normal) / (len(slices) - 1)
    _require_upright(name, slices, places, normal)
    rows, columns = first.frame.spacing
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = np.multiply(first.frame.row, columns), np.multiply(first.frame.column, rows)
    affine[:3, 2], affine[:3, 3] = normal * step, places[0]
    affine[:2] *= -1  # from DICOM's left and back to NIfTI's right and front
    return Grid(slices, affine)


def _each_once(name, files):
    """The files without those that are the same image again, as links and copies are."""
    kept: dict[str, Facts] = {}
    for one in files:
        other = kept.setdefault(one.instance or one.path, one)
        if other is not one and not filecmp.cmp(other.path, one.path, shallow=False):
            found = f"{os.path.basename(other.path)} and {os.path.basename(one.path)} with one SOPInstanceUID"
            raise UserError(name, expected="each image once", found=found, do="take one of them away")
    return list(kept.values())


def _require_alike(name, first, other):
    where = f"{name}, {os.path.basename(other.file.path)}"
    sizes = [f"{one.file.columns}x{one.file.rows}" for one in (first, other)]
    if sizes[0] != sizes[1]:
        raise UserError(where, expected=f"slices of one size, {sizes[0]}", found=sizes[1], do=_APART)
    turned = max(
        np.abs(np.subtract(first.frame.row, other.frame.row)).max(),
        np.abs(np.subtract(first.frame.column, other.frame.column)).max(),
    )
    if turned > ANGLE:
        angle = math.degrees(math.acos(min(1.0, abs(float(first.normal @ other.normal)))))
        found = f"directions that differ, slices {angle:.3g} degrees apart"
        do = f"a localizer? {_APART}"
        raise UserError(where, expected="slices that lie parallel", found=found, do=do)
    if np.abs(np.subtract(first.frame.spacing, other.frame.spacing)).max() > SPACING:
        spacings = ["x".join(f"{size:g}" for size in one.frame.spacing) for one in (first, other)]
        raise UserError(where, expected=f"slices of one PixelSpacing, {spacings[0]}", found=spacings[1], do=_APART)


_APART = "put the images that belong together into a folder of their own"


def _require_even(name, slices, along):
    """Raises `UserError` unless slices lie at even distances. along: mm on the normal, rising."""
    steps = np.diff(along)
    together = steps < 1e-3
    if together.any():
        at = collections.Counter(np.concatenate([[0], np.cumsum(~together)]).tolist())
        most, at_all = max(at.values()), len(at)
        index = int(np.argmax(together))
        twice = " and ".join(_which(one) for one in slices[index : index + 2])
        if len(set(at.values())) == 1:
            found = f"{most} at each of {at_all} places, as time points, echoes or directions"
        else:
            found = f"several at {int(together.sum())} of {at_all} places, as {twice}"
        do = "put one time point, echo or direction into a folder of its own"
        raise UserError(name, expected="one image at each place", found=found, do=do)
    step = (along[-1] - along[0]) / (len(along) - 1)
    off = np.abs(along - along[0] - step * np.arange(len(along)))
    if off.max() <= min(max(UNEVEN_MM, UNEVEN * step), MOST_UNEVEN * step):
        return
    usual = float(np.median(steps))
    index = int(np.argmax(np.abs(steps - usual)))
    between = f"{_which(slices[index])} and {_which(slices[index + 1])} are {steps[index]:.4g} mm apart"
    missing = round(float(steps[index]) / usual) - 1
    is_gap = missing >= 1 and abs(steps[index] / usual - missing - 1) < 0.1
    found = f"{between}: {missing} slice{'s' * (missing > 1)} missing" if is_gap else between
    do = "export the whole series again" if is_gap else "resample it to even slices, or give another series"
    raise UserError(name, expected=f"slices at even distances, {usual:.4g} mm", found=found, do=do)


def _which(one):
    return os.path.basename(one.file.path) + (f" frame {one.frame.index + 1}" if one.file.count > 1 else "")


def _require_upright(name, slices, places, normal):
    ways = places - places[0]
    heights = ways @ normal
    asides = np.linalg.norm(ways - np.outer(heights, normal), axis=1)
    along, aside = float(heights[-1]), float(asides[-1])
    if aside > max(TILT * along, 0.1):
        tilt = math.degrees(math.atan2(aside, along))
        do = "correct the gantry tilt by resampling (dcm2niix does), and give the NIfTI file"
        raise UserError(name, expected="slices straight above each other", found=f"a tilt of {tilt:.3g} degrees", do=do)
    if (most := float(asides.max())) > max(TILT * along, 0.1):
        found = f"{_which(slices[int(np.argmax(asides))])}, {most:.4g} mm beside the first"
        do = "give one station of the series, or resample it to one volume"
        raise UserError(name, expected="slices straight above each other", found=found, do=do)


def voxels(made: Grid, name: str) -> np.ndarray:
    """The values [depth, height, width], slope and intercept applied: int32 where all of them are whole numbers, else float32."""
    frames = [one.frame for one in made.slices]
    is_whole = all(float(value).is_integer() for one in frames for value in (one.slope, one.intercept))
    array = np.empty(made.shape, np.int32 if is_whole else np.float32)
    by_file: dict[str, list[int]] = collections.defaultdict(list)
    for index, one in enumerate(made.slices):
        by_file[one.file.path].append(index)
    for indices in by_file.values():
        stored = dicom_file.pixels(made.slices[indices[0]].file)
        for index in indices:
            frame = frames[index]
            found = stored[frame.index].astype(np.float64) * frame.slope + frame.intercept
            if is_whole and max(-found.min(), found.max()) >= 2**31:
                raise UserError(name, expected="values of 32 bits", found=f"{found.min():g} to {found.max():g}")
            array[index] = found
    return array
