"""A subject as every module hands it on: its voxels as found, and the numbers that normalise them.

Axes are [depth, height, width], which is the NIfTI array transposed, in the voxel order of its files or of the records (see
`voxel_order`). A photograph has depth 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data_prep import resample, voxel_order
from data_prep.tasks import Task


@dataclasses.dataclass(frozen=True)
class Subject:
    """One patient volume or one photograph.

    name: unique in its dataset.
    image: [depth, height, width, channels] in the source's dtype (int16, float32; uint8 for photographs), full size; its
    memory in any order (`of_channels`).
    mean, std: float32 [channels]; the one normalisation is `(image - mean) / std` in float32.
    limits: float32 [2, channels], what intensities are clipped to before that; None: they are not.
    label: uint8 [depth, height, width], the index of each voxel's class, or `tasks.IGNORED`; None without ground truth.
    raw_label: uint8 [depth, height, width], the labels as the source has them, or None.
    header: the 348 bytes of the first modality's NIfTI-1 header, little-endian; None for a photograph.
    source: path of the first modality or of the photograph.
    source_size: (height, width) of the photograph before it was resized; None for a volume.
    order: the voxel order of the arrays (see `voxel_order`), which may be another than the header's; None: the header's.
    own_size: (height, width) that slices had before they were resampled in their plane, None where they were not; then
    own_label: the label at that size.
    """

    name: str
    image: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    label: np.ndarray | None = None
    raw_label: np.ndarray | None = None
    header: bytes | None = None
    source: str = ""
    source_size: tuple[int, int] | None = None
    order: str | None = None
    limits: np.ndarray | None = None
    own_size: tuple[int, int] | None = None
    own_label: np.ndarray | None = None

    @property
    def is_photograph(self) -> bool:
        """Whether this is one photograph rather than a volume of slices."""
        return self.source_size is not None

    def restored(self, array: np.ndarray) -> np.ndarray:
        """An array [depth, height, width, …] of this subject's on the grid and in the voxel order of its header.

        What was resampled is brought back: numbers linearly, whole numbers (labels, classes) by nearest voxel.
        """
        if self.own_size is not None:
            array = resample.in_plane(array, self.own_size)
        if self.header is None or self.order is None:
            return array
        return voxel_order.permuted(array, self.order, voxel_order.of_header(self.header))

    def in_order(self, order: str | None) -> Subject:
        """The subject with all its arrays in another voxel order; None: that of its files."""
        own = None if self.header is None else voxel_order.of_header(self.header)
        start, end = self.order or own, order or own
        if start is None or end is None or start == end:
            return self

        def moved(array):
            return None if array is None else voxel_order.permuted(array, start, end)

        image, label, raw_label = moved(self.image), moved(self.label), moved(self.raw_label)
        return dataclasses.replace(self, image=image, label=label, raw_label=raw_label, order=end)

    def native(self) -> Subject:
        """The subject on the grid and in the voxel order of its own files, where its maps are written and judged."""
        if self.own_size is None:
            return self.in_order(None)
        image = resample.in_plane(self.image.astype(np.float32), self.own_size)
        own = dataclasses.replace(self, image=image, label=self.own_label, own_size=None, own_label=None)
        return own.in_order(None)

    @property
    def permuted_note(self) -> str:
        """The line for the user where the arrays lie in another voxel order than the files; else empty."""
        own = self.header and voxel_order.of_header(self.header)
        return voxel_order.permuted_note({self.name: own}, self.order) if own and self.order else ""

    def normalised(self) -> np.ndarray:
        """float32 [depth, height, width, channels]: `(image - mean) / std`, clipped to the limits first where there are any."""
        image = self.image.astype(np.float32, order="C")
        if self.limits is not None:
            np.clip(image, *self.limits, out=image)
        image -= self.mean
        image /= self.std
        return image

    def inside(self, task: Task) -> np.ndarray | None:
        """bool [depth, height, width]: where calibration is measured by the task, in raw intensities; None: everywhere."""
        if task.inside is None:
            return None
        return np.asarray(self.image[..., task.index(task.inside.channel)] > task.inside.above)

    def training_slices(self, task: Task) -> np.ndarray:
        """bool [depth]: slices to train on by the task's rule.

        `above_mean` is the reference's: a slice is kept if some voxel of some channel is above 0 *after* normalisation,
        that is above its channel's mean; a slice of brain that is dark everywhere drops out.
        """
        if task.trained == "all":
            return np.ones(len(self.image), bool)
        if task.trained == "not_empty":
            outside = np.array([channel.outside for channel in task.channels])
            return np.asarray(np.any(self.image != outside, axis=(1, 2, 3)))
        brightest = self.image.max(axis=(1, 2)).astype(np.float32)  # [depth, channels]; the normalisation is monotonic
        return ((brightest - self.mean) / self.std > 0).any(axis=1)


def of_channels(channels: Sequence[NDArray]) -> np.ndarray:
    """An image [depth, height, width, channels] of its channels [depth, height, width], in the dtype that holds all of them.

    Each channel stays one piece of memory, as its file has it: what is asked of a channel reads no others.
    """
    return np.moveaxis(np.stack(channels), 0, -1)
