"""Whether a volume holds raw intensities: judged by what it contains, not by one voxel or by how it is stored.

Raw MRI without the skull is 0 outside the brain and above 0 inside. An image that was normalised before has a background
below 0, or a brain around 0; resampling leaves a few small negative voxels only.
"""

from __future__ import annotations

import numpy as np

from data_prep.base import notices
from data_prep.base.errors import UserError
from data_prep.readers import nifti

SAMPLE = 1 << 17  # voxels that the most common value is looked for among
COMMON = 0.2  # share from which on the most common value is the background
MANY = 0.25  # share below zero that no resampling leaves
SOME = 0.02  # share below zero that is too large for an image that lies around 0
FEW = 16  # different values that are too few for intensities


def read(header: nifti.Header, allow_negative: bool = False) -> np.ndarray:
    """A modality as int16 if it holds integers that fit, else float32; refuses what cannot be raw MRI."""
    array = nifti.read_array(header)
    found = plain(array, header.path, varies=True)
    require_raw(array, header.path, allow_negative)
    return found


def plain(array: np.ndarray, path: object, varies: bool = False) -> np.ndarray:
    """Voxels as int16 where they are whole numbers that fit, else float32; raises `UserError` naming `path` for others.

    varies: whether one value everywhere is refused too.
    """
    lowest, highest = array.min(), array.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        bad = np.count_nonzero(~np.isfinite(array))
        raise UserError(path, expected="finite voxels", found=f"{bad} that are NaN or infinite", do="repair it")
    if varies and lowest == highest:
        raise UserError(path, expected="voxels that vary", found=f"{lowest:g} everywhere", do=nifti.AGAIN)
    if array.dtype.kind in "iu" and lowest >= -(2**15) and highest < 2**15:
        return array.astype(np.int16, copy=False)
    if max(abs(float(lowest)), abs(float(highest))) > np.finfo(np.float32).max:
        raise UserError(path, expected="voxels within float32", found=f"{lowest:g} to {highest:g}")
    return array.astype(np.float32, copy=False)


def require_raw(array: np.ndarray, path: object, allow_negative: bool = False) -> None:
    """Raises `UserError` naming `path` for a volume that was normalised, with the evidence; says once what is only odd.

    array: any shape, finite and not of one value.  allow_negative: what would be refused is only said.
    """
    array = _unwrapped(array)
    lowest = array.min()
    background, values = _sampled(array)
    if lowest < 0:
        rest = array if background is None else array[array != background]
        below, mean, deviation = np.mean(rest < 0), np.mean(rest, dtype=np.float64), np.std(rest, dtype=np.float64)
        around_zero = below > SOME and abs(mean) < deviation / 2
        evidence = (
            f"{np.mean(array < 0):.3g} of the voxels below zero, down to {lowest:g}; background "
            f"{'of no one value' if background is None else f'{background:g}'}; all else {mean:.4g} with a deviation of "
            f"{deviation:.4g}"
        )
        if (background is not None and background < 0) or below > MANY or around_zero:
            if not allow_negative:
                do = "use the image before normalisation, as the brain is where t2 is above 0, or give --allow_negative"
                found = f"{evidence}: the image is already normalised"
                raise UserError(path, expected="raw intensities of 0 and more", found=found, do=do)
            notices.once("normalised", f"{path}: taken as it is, though {evidence}")
        else:
            notices.once(
                "negative voxels", f"{path}: negative voxels are kept, too few for a normalised image: {evidence}"
            )
    elif background is not None and background > 0:
        line = (
            f"{path}: the background is {background:g} and not 0, so that voxels outside the brain count as inside it"
        )
        notices.once("background", line)
    if len(values) <= FEW:
        listed = ", ".join(f"{value:g}" for value in values[:4])
        notices.once(
            "few values", f"{path}: {len(values)} different values only ({listed}, …): too few for raw intensities"
        )


def _unwrapped(array):
    """Unsigned numbers that lie at both ends of their range only, as signed ones: negative numbers were stored there."""
    if array.dtype.kind != "u" or array.max() <= np.iinfo(array.dtype).max * 3 // 4:
        return array
    signed, quarter = array.view(f"i{array.dtype.itemsize}"), np.iinfo(array.dtype).max // 4
    return signed if -quarter < signed.min() and signed.max() < quarter else array


def _sampled(array):
    """(the background: the value of a share of `COMMON` or more, or None; the different values) of a part of the voxels."""
    step = max(1, array.size // SAMPLE) | 1  # odd, so as not to fall in step with the rows
    values, counts = np.unique(array.reshape(-1)[::step], return_counts=True)
    most = counts.argmax()
    return (values[most] if counts[most] >= COMMON * counts.sum() else None), values
