"""The voxels of one case of one's own volumes: its channels and its labels, read with every check on the way."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_prep.base.errors import UserError
from data_prep.readers import channel_files, intensities, labels, nifti, nifti_header
from data_prep.readers.cases import Source


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """What was read.

    channels: arrays [depth, height, width] in the order of the file; int16 where whole numbers fit, else float32.
    raw_label: uint8 or uint16 of that shape, or None.  header: the 348 bytes of a 3-D header, of the first channel.
    affine: float64 [4, 4], voxel x, y, z to mm.
    """

    channels: list[np.ndarray]
    raw_label: np.ndarray | None
    header: bytes
    affine: np.ndarray


def read(source: Source, count: int) -> Volume:
    """Reads the `count` channels of a case, of one file each or all of one 4-D file, and its labels.

    Raises `UserError` naming the file: another number of channels, another grid or place than the first channel's, voxels
    that are not finite, labels that are no whole numbers.
    """
    together = len(source.files) == 1 and count > 1
    headers = channel_files.headers(source, (3, 4) if together else (3,))
    nifti_header.require_budget(source.image, [header.shape for header in headers])
    first = headers[0]
    for other in headers[1:]:
        nifti.require_same_space(first, other)
    stored = first.shape[0] if len(first.shape) == 4 else 1
    if together and stored != count:
        do = "give an image of all channels, as a fourth axis, or correct the channels in dataset.json"
        raise UserError(first.path, expected=f"{count} channels, as dataset.json names", found=f"{stored}", do=do)
    raw_label = None
    if source.seg:
        header = nifti.read_header(source.seg)
        nifti.require_same_space(nifti.Space(first.path, first.shape[-3:], first.affine), header)
        raw_label = labels.whole(nifti.read_array(header), header.path)
    if together:
        channels = list(nifti.read_array(first))
    else:
        channels = [nifti.read_array(header) for header in headers]
    channels = [
        intensities.plain(channel, source.files[min(i, len(source.files) - 1)]) for i, channel in enumerate(channels)
    ]
    return Volume(channels, raw_label, _three(first), first.affine)


def _three(header):
    """A header's 348 bytes for one channel of it, as maps are written with."""
    if len(header.shape) == 3:
        return header.block
    block = nifti_header.stored(header.block)
    block["dim"] = (3, *header.shape[:0:-1], 1, 1, 1, 1)
    return block.binaryblock
