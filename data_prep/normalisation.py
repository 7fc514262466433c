"""The rules that bring raw intensities to what a network sees: of each a mean and a deviation, and limits where it clips.

| rule | mean and deviation |
| --- | --- |
| zscore | of the whole volume, zero background included, as the reference has it |
| zscore_nonzero | of the voxels that are not 0 |
| ct | of the training subjects' foreground, as it is; clips to its 0.5 and 99.5 percentiles; the same for every subject |
| unit | 0 and 255 |
| minmax | the lowest value, and the extent |
| none | 0 and 1 |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_prep import pairwise
from data_prep.base.errors import UserError
from data_prep.tasks import Channel

Statistics = tuple[np.ndarray, np.ndarray]
NO_LIMIT = float(np.finfo(np.float32).max)  # in place of infinity, which nothing is clipped by


def statistics(image: np.ndarray, rule: str, source: object = "the image") -> Statistics:
    """Mean and deviation, float32 [channels], of an image [depth, height, width, channels] by the rule of all its channels.

    rule: `zscore`, `unit` or `minmax`. Raises `UserError` naming `source` for intensities that the rule can't take.
    """
    return zscore_statistics(image, source) if rule == "zscore" else intensity_statistics(image, rule, source)


def by_channel(
    image: np.ndarray, channels: Sequence[Channel], source: object = "the image"
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """(mean, deviation, limits) of an image whose channels have rules of their own; limits are None without `ct`.

    Raises `UserError` naming `source` for intensities that a rule can't take, `ValueError` for `ct` without its window.
    """
    limits = np.stack([np.full(len(channels), value, np.float32) for value in (-NO_LIMIT, NO_LIMIT)])
    found = []
    for index, channel in enumerate(channels):
        alone = image[..., index : index + 1]
        if channel.normalise == "ct":
            if channel.window is None:
                raise ValueError(f"channel {channel.name}: ct without the numbers of the training subjects")
            _finite_range(alone, source, f"channel {channel.name}")
            limits[:, index] = channel.window.low, channel.window.high
            found.append((np.array([channel.window.mean], np.float32), np.array([channel.window.std], np.float32)))
        elif channel.normalise == "none":
            _finite_range(alone, source, f"channel {channel.name}")
            found.append((np.zeros(1, np.float32), np.ones(1, np.float32)))
        elif channel.normalise == "zscore_nonzero":
            inside = alone[alone != 0]
            if not inside.size:
                raise UserError(source, expected="voxels that vary", found=f"0 everywhere in channel {channel.name}")
            found.append(zscore_statistics(inside.reshape(-1, 1, 1, 1), f"{source}, channel {channel.name}"))
        else:
            found.append(statistics(alone, channel.normalise, f"{source}, channel {channel.name}"))
    mean, deviation = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return mean, deviation, limits if (np.abs(limits) < NO_LIMIT).any() else None


def zscore_statistics(image: np.ndarray, source: object) -> Statistics:
    """Mean and standard deviation of each channel over the whole volume, zero background included.

    image: [depth, height, width, channels]. Returns two float32 [channels], computed in float32 with ddof 0 channel
    by channel, which reproduces the reference's numbers exactly. Raises `UserError` naming `source` for non-finite
    voxels and for a channel that has one value only.
    """
    means, deviations = [], []
    for channel in range(image.shape[-1]):
        values = image[..., channel]
        lowest, highest = _finite_range(values, source, f"channel {channel}")
        if lowest == highest:  # and not std == 0: rounding gives a constant channel some deviation
            raise UserError(source, expected="voxels that vary", found=f"{lowest:g} everywhere in channel {channel}")
        mean, deviation = pairwise.mean_and_deviation(values)
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
