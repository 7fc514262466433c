"""The parts of a mask that hang together: 26 neighbours in a volume, 8 in an image. NumPy and SciPy.

Only the box that holds the foreground is labelled, so a small lesion in a large volume costs little.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tfunc.scoring.foreground import Box, box


@dataclasses.dataclass(frozen=True)
class Components:
    """Those of one mask, numbered from 1 in the order of their first voxels.

    box: where the mask has its foreground; a box of no voxels where it has none.  index: int32, the shape of the box, the
    number of each voxel's component, 0 is background.  count: how many there are.
    """

    box: Box
    index: NDArray[np.int32]
    count: int

    def sizes(self) -> NDArray[np.int64]:
        """[count] voxels of each."""
        return np.bincount(self.index.reshape(-1), minlength=self.count + 1)[1:]

    def boxes(self) -> list[Box]:
        """[count] the box of each, in the whole array."""
        return [shifted(found, self.box) for found in ndimage.find_objects(self.index)] if self.count else []

    def within(self, held: Box) -> NDArray[np.int32]:
        """`index` of another box of the array, which may reach beyond this one: int32 of its shape."""
        out = np.zeros([edge.stop - edge.start for edge in held], np.int32)
        common = [
            slice(max(one.start, other.start), min(one.stop, other.stop))
            for one, other in zip(held, self.box, strict=True)
        ]
        if all(edge.start < edge.stop for edge in common):
            out[_from(common, held)] = self.index[_from(common, self.box)]
        return out


def components(foreground: NDArray[np.bool_], connectivity: int | None = None) -> Components:
    """The `Components` of a mask of any number of axes.

    connectivity: along how many axes neighbours may differ by one; None: along all, so that sharing a corner is enough.
    """
    held = box(foreground)
    if held is None:
        nothing = (slice(0, 0),) * foreground.ndim
        return Components(nothing, np.zeros((0,) * foreground.ndim, np.int32), 0)
    around = ndimage.generate_binary_structure(foreground.ndim, connectivity or foreground.ndim)
    index, count = ndimage.label(foreground[held], structure=around, output=np.int32)
    return Components(held, index, int(count))


def shifted(inner: Box, outer: Box) -> Box:
    """A box of a box, as one of the whole array."""
    return tuple(
        slice(one.start + other.start, one.stop + other.start) for one, other in zip(inner, outer, strict=True)
    )


def joined(*boxes: Box) -> Box:
    """The smallest box that holds all of them."""
    return tuple(
        slice(min(one.start for one in axis), max(one.stop for one in axis)) for axis in zip(*boxes, strict=True)
    )


def overlaps(one: NDArray[np.int32], other: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(pairs [n, 2], voxels [n]): which component of one shares how many voxels with which of the other, in rising order.

    one, other: numbers of components, 0 is background, of one shape.
    """
    both = np.flatnonzero((one != 0) & (other != 0))
    width = int(other.max(initial=0)) + 1
    codes, voxels = np.unique(
        one.reshape(-1)[both].astype(np.int64) * width + other.reshape(-1)[both], return_counts=True
    )
    return np.stack(np.divmod(codes, width), axis=1), voxels


def _from(held, outer):
    return tuple(slice(one.start - other.start, one.stop - other.start) for one, other in zip(held, outer, strict=True))
