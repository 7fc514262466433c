"""A subject from an array in memory, as a notebook has it: prepared exactly as the same voxels in a file would be.

A volume with an affine lies as its NIfTI file would, transposed; one without lies as the records of its task do, so that the
first axis is the one along which slices are taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data_prep import grid, normalisation, voxel_order
from data_prep.base.errors import UserError
from data_prep.readers import photographs
from data_prep.subject import Subject
from data_prep.tasks import Task

DIRECTIONS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}  # nibabel's world is RAS
INT16 = np.iinfo(np.int16)


def subject(
    image: ArrayLike,
    task: Task,
    name: str,
    spacing: Sequence[float] | None = None,
    affine: ArrayLike | None = None,
) -> Subject:
    """The `Subject` of one image.

    image: numbers [depth, height, width, channels] of a volume, of one channel also [depth, height, width]; a photograph is
    uint8 [height, width, channels]. spacing: mm along the volume's first three axes; affine: [4, 4], voxel (x, y, z) to mm in
    RAS, as nibabel has it, with which the array is the file's transposed. At most one of both; with neither, voxels are taken
    to be of the task's spacing, or of 1 mm. Raises `UserError` naming the argument for anything else.
    """
    try:
        array = np.asarray(image)
    except ValueError as error:  # rows of different lengths
        raise UserError("image", expected="an array of numbers", found=str(error).partition(".")[0]) from None
    if array.dtype.kind not in "biuf":
        raise UserError("image", expected="an array of numbers", found=f"dtype {array.dtype}")
    if task.is_photograph:
        return _photograph(array, task, name, spacing, affine)
    count = len(task.channels)
    if array.ndim == 3 and count == 1:
        array = array[..., np.newaxis]
    if array.ndim != 4 or array.shape[-1] != count or 0 in array.shape:
        named = ", ".join(channel.name for channel in task.channels)
        expected = f"[depth, height, width, {count}], channels {named}"
        raise UserError("image", expected=expected, found=f"shape {array.shape}")
    if spacing is not None and affine is not None:
        raise UserError("spacing", expected="an affine or a spacing", found="both", do="the affine says the spacing")
    found = _placed(task, spacing) if affine is None else _checked(affine)
    channels = [np.ascontiguousarray(array[..., index]) for index in range(count)]
    header = _header(array.shape[:3], found)
    return grid.volume(
        name=name, channels=_stored(channels), raw_label=None, label_path=None, header=header, affine=found,
        source=name, task=task,
    )  # fmt: skip


def affine_of(order: str, spacing: Sequence[float]) -> NDArray[np.float64]:
    """An affine [4, 4] of voxels in an order (`voxel_order`), `spacing` mm along [depth, height, width], its origin 0."""
    found = np.diag([0.0, 0.0, 0.0, 1.0])
    for axis, (letter, size) in enumerate(zip(order, tuple(spacing)[::-1], strict=True)):
        world, sign = DIRECTIONS[letter]
        found[world, axis] = sign * float(size)
    return found


def _placed(task, spacing):
    """The affine of an array without one, which lies as the task's records do."""
    if spacing is None:
        spacing = (1.0, *(task.spacing or (1.0, 1.0)))
    sizes = np.asarray(spacing, np.float64)
    if sizes.shape != (3,) or not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise UserError("spacing", expected="mm along depth, height and width", found=f"{spacing}")
    return affine_of(task.order or voxel_order.DISTRIBUTED, sizes.tolist())


def _checked(affine):
    try:
        found = np.asarray(affine, np.float64)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.shape != (4, 4):
        raise UserError("affine", expected="numbers [4, 4]", found=f"shape {found.shape}")
    if not np.isfinite(found).all() or abs(np.linalg.det(found[:3, :3])) < 1e-9 or list(found[3]) != [0, 0, 0, 1]:
        raise UserError("affine", expected="an invertible affine, its last row 0 0 0 1", found=str(found.tolist()))
    return found


def _header(shape, affine):
    import nibabel

    header = nibabel.Nifti1Header(endianness="<")
    header.set_data_shape(shape[::-1])
    header.set_xyzt_units("mm")
    header.set_sform(affine, 2)
    header.set_qform(affine, 0, strip_shears=True)
    return header.binaryblock


def _stored(channels):
    """Each channel as the readers have it: int16 where whole numbers fit, else float32."""
    found = []
    for channel in channels:
        whole = channel.dtype.kind in "biu" and INT16.min <= channel.min() and channel.max() <= INT16.max
        found.append(channel.astype(np.int16 if whole else np.float32))
    return found


def _photograph(array, task, name, spacing, affine):
    for given, value in (("spacing", spacing), ("affine", affine)):
        if value is not None:
            raise UserError(given, expected="none of a photograph", found=f"{value}")
    count = len(task.channels)
    if array.ndim == 2 and count == 1:
        array = array[..., np.newaxis]
    if array.ndim != 3 or array.shape[-1] != count or array.dtype != np.uint8 or 0 in array.shape:
        found = f"{array.dtype} of shape {array.shape}"
        raise UserError("image", expected=f"a photograph, uint8 [height, width, {count}]", found=found)
    height, width = task.frame or array.shape[:2]
    image = photographs.resize(array, height, width)[np.newaxis]
    limits = None
    if task.is_known:  # its channels are one range, as in the reference
        mean, std = normalisation.statistics(image, task.normalise, name)
    else:
        mean, std, limits = normalisation.by_channel(image, task.channels, name)
    size = (array.shape[0], array.shape[1])
    return Subject(name=name, image=image, mean=mean, std=std, limits=limits, source=name, source_size=size)
