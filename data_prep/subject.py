"""A subject as every module hands it on: its voxels as found, and the numbers that normalise them.

Axes are [depth, height, width], which is the NIfTI array transposed and never reoriented. A photograph has depth 1.
"""

import dataclasses

import numpy as np

from data_prep.base.errors import UserError

T2 = 2  # index among BraTS' channels flair, t1, t2, t1ce


@dataclasses.dataclass(frozen=True)
class Subject:
    """One patient volume or one photograph.

    name: unique in its dataset.
    image: [depth, height, width, channels] in the source's dtype (int16, float32; uint8 for photographs), full size.
    mean, std: float32 [channels]; the one normalisation is `(image - mean) / std` in float32.
    label: uint8 {0, 1} [depth, height, width], or None without ground truth.
    regions: uint8 [depth, height, width], the raw sub-region labels of BraTS, or None.
    header: the 348 bytes of the first modality's NIfTI-1 header, little-endian; None for a photograph.
    source: path of the first modality or of the photograph.
    source_size: (height, width) of the photograph before it was resized; None for a volume.
    """

    name: str
    image: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    label: np.ndarray | None = None
    regions: np.ndarray | None = None
    header: bytes | None = None
    source: str = ""
    source_size: tuple | None = None

    @property
    def is_photograph(self):
        return self.source_size is not None

    def normalised(self):
        """float32 [depth, height, width, channels]: z-scores for BraTS, [0, 1] for ISIC."""
        image = self.image.astype(np.float32)
        image -= self.mean
        image /= self.std
        return image

    def brain_mask(self):
        """bool [depth, height, width]: raw t2 above 0, where BraTS' calibration is measured; all true for ISIC."""
        if self.is_photograph:
            return np.ones(self.image.shape[:3], bool)
        return self.image[..., T2] > 0

    def training_slices(self):
        """bool [depth]: slices to train on.

        The reference keeps a slice if some voxel of some modality is above 0 *after* normalisation, that is above its
        modality's mean; a slice of brain that is dark everywhere drops out. A photograph is always kept.
        """
        if self.is_photograph:
            return np.ones(len(self.image), bool)
        brightest = self.image.max(axis=(1, 2)).astype(np.float32)  # [depth, channels]; the normalisation is monotonic
        return ((brightest - self.mean) / self.std > 0).any(axis=1)


def zscore_statistics(image, source):
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


def intensity_statistics(image, rule, source="the image"):
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
