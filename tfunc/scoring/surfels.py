"""A mask's surface as elements with areas: one at each corner of voxels that are not all inside or all outside.

The 2^d voxels around a corner make a code, and the code a piece of surface through the middles of the edges that it cuts
(marching cubes; marching squares for an image, whose pieces have lengths). What the tables of google-deepmind/surface-distance
come to, from geometry: the rarer of inside and outside is cut out, each of its parts that hang together by edges by itself,
along a loop of middles; a loop that is not flat is spanned by the triangles that have the largest area at equal spacing.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tfunc.scoring.foreground import box

Corner = tuple[int, ...]


def surfels(
    foreground: NDArray[np.bool_], spacing: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(corners int64 [n, d], areas float64 [n]) of the surface of a mask of d axes, 2 or 3; outside of the array nothing is.

    Corner (i, j, k) is the one before voxel (i, j, k) along every axis, so it lies half a voxel before that voxel's centre.
    areas: mm^2 of a volume, mm of an image, for a spacing in mm.
    """
    held = box(foreground)
    if held is None:
        return np.zeros((0, foreground.ndim), np.int64), np.zeros(0)
    codes = np.pad(foreground[held], 1).view(np.uint8)
    for axis in range(foreground.ndim):  # two codes along each axis become one: 2 voxels, then 4, then 8
        bits = np.uint8(1 << (foreground.ndim - 1 - axis))
        codes = np.moveaxis(codes, axis, 0)
        codes = np.moveaxis(codes[:-1] | codes[1:] << bits, 0, axis)
    codes = np.ascontiguousarray(codes)
    flat = codes.reshape(-1)
    at = np.flatnonzero((flat != 0) & (flat != (1 << 2**foreground.ndim) - 1))
    corners = np.stack(np.unravel_index(at, codes.shape), axis=1) + [edge.start for edge in held]
    return corners, areas(spacing)[flat[at]]


def areas(spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2^(2^d)] area of the surface for each code of the 2^d voxels around a corner: mm^2 for d = 3, mm for d = 2.

    Bit b of a code is the voxel that lies on the side b of the corner: axis 0's side is the highest bit of b.
    """
    axes = len(spacing)
    # a triangle's normal, as long as its area, grows along each axis with the spacing of the other two; a line along its own
    stretch = np.prod(spacing) / spacing if axes == 3 else spacing
    lengths = [np.sqrt(np.square(pieces * stretch).sum(axis=1)).sum() for pieces in _pieces(axes)]
    return np.array(lengths)


@functools.cache
def _corners(axes: int) -> tuple[Corner, ...]:
    return tuple(itertools.product((0, 1), repeat=axes))


@functools.cache
def _pieces(axes: int) -> tuple[NDArray[np.float64], ...]:
    """For each code [pieces, axes]: the vectors of its lines, or its triangles' normals as long as their areas."""
    every, corners = [], _corners(axes)
    for code in range(1 << len(corners)):
        inside = [corner for bit, corner in enumerate(corners) if code >> bit & 1]
        rare = inside if 2 * len(inside) <= len(corners) else [corner for corner in corners if corner not in inside]
        pieces = [piece for part in _parts(rare) for piece in _spanned(_loop(part))]
        every.append(np.array(pieces).reshape(-1, axes))
    return tuple(every)


def _neighbours(corner: Corner) -> Iterator[Corner]:
    """Those at the other ends of the cube's edges."""
    for axis in range(len(corner)):
        yield (*corner[:axis], 1 - corner[axis], *corner[axis + 1 :])


def _parts(corners: list[Corner]) -> Iterator[list[Corner]]:
    """The corners in parts that hang together by edges."""
    left = list(corners)
    while left:
        part = [left.pop(0)]
        for corner in part:  # grows while it is gone through
            near = [other for other in _neighbours(corner) if other in left]
            part += near
            left = [other for other in left if other not in near]
        yield part


def _loop(part: list[Corner]) -> list[NDArray[np.float64]]:
    """The middles of the edges that lead out of a part, in their order around it; of a square the line's two ends."""
    cut = [(corner, other) for corner in part for other in _neighbours(corner) if other not in part]
    left = [np.add(*edge) / 2 for edge in cut]
    loop = [left.pop()]
    while left:  # the next one lies on a common side of the cube, where each side has two of them or none
        common = [(middle == loop[-1]) & (middle % 1 == 0) for middle in left]
        loop.append(left.pop(next(index for index, sides in enumerate(common) if sides.any() or len(sides) == 2)))
    return loop


def _spanned(loop: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """The pieces of surface in a loop: a line, or the normals of the triangles that have the largest area together."""
    if len(loop) == 2:
        return [loop[1] - loop[0]]
    ways = ([_normal(*(loop[at] for at in triangle)) for triangle in way] for way in _triangulations(0, len(loop) - 1))
    return max(ways, key=lambda normals: round(sum(float(np.linalg.norm(normal)) for normal in normals), 9))


def _normal(one, two, three):
    return np.cross(two - one, three - one) / 2


def _triangulations(first: int, last: int) -> Iterator[list[tuple[int, int, int]]]:
    """Every way to cut the polygon of the points first, …, last into triangles."""
    if last - first < 2:
        yield []
    for apex in range(first + 1, last):
        for left, right in itertools.product(_triangulations(first, apex), _triangulations(apex, last)):
            yield [(first, apex, last), *left, *right]
