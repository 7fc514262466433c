"""The planes in which a volume is looked at, as radiologists do: which axis lies where, which side is whose, how tall a voxel is.

Arrays are [depth, height, width], the file's axes in reverse. A view of the file's own slices comes first, since these are what
the networks saw; the two planes across follow.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import nibabel
import nibabel.affines
import numpy as np
from numpy.typing import NDArray

OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}
NAMES = {"S": "axial", "I": "axial", "A": "coronal", "P": "coronal", "L": "sagittal", "R": "sagittal"}
UNNAMED = ("slices", "rows", "columns")  # of an array whose directions nobody says
BACKWARD = "RAS"  # directions that are shown to the left or upward: the patient's right is on the left


@dataclasses.dataclass(frozen=True)
class Orientation:
    """How an array is turned and what its axes mean then. steps: of rows and columns, -1 where they are reversed for the view.

    toward: the direction of the patient in which each of the three axes rises after that, None where it is unknown.  sizes:
    a voxel's, mm, of each axis; None without an affine.
    """

    steps: tuple[int, int]
    toward: tuple[str | None, ...] = (None, None, None)
    sizes: tuple[float, ...] | None = None

    @property
    def voxel(self) -> float | None:
        """A voxel's volume in mm^3, where it is known."""
        return None if self.sizes is None else float(np.prod(self.sizes))


def orientation(affine: NDArray | None) -> Orientation:
    """Of an array behind a file's affine; None: nothing is known, and nothing turned."""
    if affine is None:
        return Orientation((1, 1))
    sizes = tuple(float(size) for size in nibabel.affines.voxel_sizes(affine)[::-1])
    through, down, across = nibabel.aff2axcodes(affine)[::-1]
    if across is None or down is None:
        return Orientation((1, 1), sizes=sizes)
    steps = -1 if down in "AS" else 1, -1 if across in "RA" else 1
    turned = (OPPOSITE[code] if step < 0 else code for code, step in zip((down, across), steps, strict=True))
    return Orientation(steps, (through, *turned), sizes)


def planes(of: Orientation) -> list[dict[str, Any]]:
    """The three planes as plain JSON, that of the file's slices first.

    name; through: the axis that it is a slice of; down, across: {"axis", "reversed"} of what its picture's rows and columns are,
    from the top and from the left; sides: {left, right, top, bottom: the patient's direction}, None where unknown; aspect: a
    voxel's height over its width.
    """
    return [_plane(of, through) for through in range(3)]


def _plane(of, through):
    down, across = (1, 2) if through == 0 else _axes([axis for axis in range(3) if axis != through], of.toward)
    shown = {name: _side(axis, of.toward[axis], through) for name, axis in (("down", down), ("across", across))}
    aspect = 1 if of.sizes is None else of.sizes[down] / of.sizes[across]
    name = NAMES.get(of.toward[through] or "", UNNAMED[through])
    return {"name": name, "through": through, **shown, "sides": _sides(of.toward, shown), "aspect": aspect}


def _axes(rest, toward):
    """(down, across) of two axes: the head up where one goes there, else the front up."""
    for directions in ("SI", "AP"):
        for axis in rest:
            if toward[axis] is not None and toward[axis] in directions:
                return axis, next(other for other in rest if other != axis)
    return tuple(rest)


def _side(axis, direction, through):
    """The file's own slices are turned as arrays already."""
    return {"axis": axis, "reversed": through != 0 and direction is not None and direction in BACKWARD}


def _sides(toward, shown):
    ends = []
    for side in (shown["across"], shown["down"]):
        direction = toward[side["axis"]]
        if direction is None:
            return None
        ends.append(OPPOSITE[direction] if side["reversed"] else direction)
    right, bottom = ends
    return {"left": OPPOSITE[right], "right": right, "top": OPPOSITE[bottom], "bottom": bottom}
