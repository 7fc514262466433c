"""A subject as every module hands it on: its voxels as found, and the numbers that normalise them.

Axes are [depth, height, width], which is the NIfTI array transposed, in the voxel order of its files or of the records (see
`voxel_order`). A photograph has depth 1.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from data_prep import voxel_order
from data_prep.base.errors import UserError
from data_prep.tasks import Task

Statistics = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Subject:
    """One patient volume or one photograph.

    name: unique in its dataset.
    image: [depth, height, width, channels] in the source's dtype (int16, float32; uint8 for photographs), full size.
    mean, std: float32 [channels]; the one normalisation is `(image - mean) / std` in float32.
    label: uint8 {0, 1} [depth, height, width], or None without ground truth.
    raw_label: uint8 [depth, height, width], the labels as the source has them, or None.
    header: the 348 bytes of the first modality's NIfTI-1 header, little-endian; None for a photograph.
    source: path of the first modality or of the photograph.
    source_size: (height, width) of the photograph before it was resized; None for a volume.
    order: the voxel order of the arrays (see `voxel_order`), which may be another than the header's; None: the header's.
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

    @property
    def is_photograph(self) -> bool:
        """Whether this is one photograph rather than a volume of slices."""
        return self.source_size is not None

    def restored(self, array: np.ndarray) -> np.ndarray:
        """An array [depth, height, width, …] of this subject's in the voxel order of its header, as its files have it."""
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

    @property
    def permuted_note(self) -> str:
        """The line for the user where the arrays lie in another voxel order than the files; else empty."""
        own = self.header and voxel_order.of_header(self.header)
        return voxel_order.permuted_note({self.name: own}, self.order) if own and self.order else ""

    def normalised(self) -> np.ndarray:
        """float32 [depth, height, width, channels]: `(image - mean) / std`."""
        image = self.image.astype(np.float32)
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
            return np.asarray(np.any(self.image, axis=(1, 2, 3)))
        brightest = self.image.max(axis=(1, 2)).astype(np.float32)  # [depth, channels]; the normalisation is monotonic
        return ((brightest - self.mean) / self.std > 0).any(axis=1)


def statistics(image: np.ndarray, rule: str, source: object = "the image") -> Statistics:
    """Mean and deviation, float32 [channels], of an image [depth, height, width, channels] by a channel's rule.

    rule: `zscore`, `unit` or `minmax`. Raises `UserError` naming `source` for intensities that the rule can't take.
    """
    return zscore_statistics(image, source) if rule == "zscore" else intensity_statistics(image, rule, source)


def zscore_statistics(image: np.ndarray, source: object) -> Statistics:
    """Mean and standard deviation of each channel over the whole volume, zero background included.

    image: [depth, height, width, channels]. Returns two float32 [channels], computed in float32 with ddof 0 channel
    by channel, which reproduces the reference's numbers exactly. Raises `UserError` naming `source` for non-finite
    voxels and for a channel that has one value only.
    """
    means, deviations = [], []
    for channel in range(image.shape[-1]):
        values = np.ascontiguousarray(image[..., channel], dtype=np.float32)  # contiguous: the order sets the rounding
        lowest, highest = _finite_range(values, source, f"channel {channel}")
        if lowest == highest:  # and not std == 0: rounding gives a constant channel some deviation
            raise UserError(source, expected="voxels that vary", found=f"{lowest:g} everywhere in channel {channel}")
        mean, deviation = values.mean(), values.std()
        if not (np.isfinite(deviation) and deviation > 0):
            raise UserError(
                source, expected="intensities that float32 can standardise", found=f"{lowest:g} to {highest:g}"
            )
        means.append(mean)
        deviations.append(deviation)
    return np.array(means, np.float32), np.array(deviations, np.float32)


def intensity_statistics(image: np.ndarray, rule: str, source: object = "the image") -> Statistics:
    """Mean and deviation, float32 [channels], that bring a photograph into [0, 1].

    `unit` divides by 255, the paper's text; `minmax` stretches each image's own range, jointly over its channels, as
    the reference does. Raises `UserError` for another rule, and under `minmax` naming `source` for a constant image.
    """
    channels = image.shape[-1]
    if rule == "unit":
        lowest, extent = np.float32(0), np.float32(255)
    elif rule == "minmax":
        lowest, highest = _finite_range(image, source, "the image")
        extent = np.float32(highest) - np.float32(lowest)
        if extent == 0:
            raise UserError(source, expected="pixels that vary", found=f"{lowest:g} everywhere")
    else:
        raise UserError(f"intensity rule {rule!r}", expected="unit or minmax")
    return np.full(channels, lowest, np.float32), np.full(channels, extent, np.float32)


def _finite_range(values, source, what):
    lowest, highest = values.min(), values.max()  # NaN spreads through both, infinity through one
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise UserError(
            source, expected="finite voxels", found=f"{np.count_nonzero(~np.isfinite(values))} in {what} that are not"
        )
    return lowest, highest
