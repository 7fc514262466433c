"""The order in which a volume's voxels lie, as three letters: towards which side each of the axes x, y, z runs.

`LPS`, as BraTS is distributed: x to the left, y to the back, z upwards. A network sees arrays and no affines, so the same
head in another order is another picture to it. Records have one order, networks remember it, subjects in others are
permuted to it (axes exchanged and mirrored: no voxel is changed), and their maps back. Arrays are [depth, height, width]
throughout, the NIfTI array [x, y, z] transposed.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from data_prep import place
from data_prep.base.errors import UserError

DISTRIBUTED = "LPS"  # of BraTS, and what is taken where as many subjects lie in it as in another


def parse(text: str, where: str) -> str:
    """The order that a user wrote, in capitals; raises `UserError` naming `where`, the flag."""
    order = text.upper()
    if sorted(next((pair for pair in ("LR", "PA", "IS") if letter in pair), "") for letter in order) != [
        "IS",
        "LR",
        "PA",
    ]:
        raise UserError(
            f"{where}={text}", expected="a letter of L or R, of P or A, and of I or S for x, y and z, as LPS"
        )
    return order


def of_affine(affine: np.ndarray) -> str | None:
    """The order of an affine [4, 4] from (x, y, z) to mm; oblique axes count as the nearest of the body's.

    None where an axis has no direction, which nothing is permuted for.
    """
    import nibabel  # photographs do without, and it is half of what a process imports

    if not np.isfinite(affine).all():
        return None
    codes = nibabel.aff2axcodes(affine)
    return None if None in codes else "".join(codes)


def of_header(header: bytes) -> str | None:
    """The order of a NIfTI-1 header of 348 bytes, little-endian, as `Subject.header` is one."""
    try:
        return of_affine(place.of_block(header, "a stored header"))
    except UserError:  # one that no reader has checked
        return None


def permuted(array: NDArray, start: str | None, end: str | None) -> NDArray:
    """An array [depth, height, width, …] of order `start` in order `end`; the same array where either is None or they are equal.

    Voxels move and stay what they are; the result is contiguous.
    """
    if start is None or end is None or start == end:
        return array
    from nibabel import orientations

    change = orientations.ornt_transform(orientations.axcodes2ornt(start), orientations.axcodes2ornt(end))
    rest = range(3, array.ndim)
    moved = orientations.apply_orientation(array.transpose(2, 1, 0, *rest), change)
    return np.ascontiguousarray(moved.transpose(2, 1, 0, *rest))


def common(orders: Mapping[str, str]) -> str | None:
    """The order that most subjects lie in, `DISTRIBUTED` or else the first in the alphabet where several do; None without any.

    orders: {subject: order}.
    """
    count = collections.Counter(orders.values())
    return min(count, key=lambda order: (-count[order], order != DISTRIBUTED, order), default=None)


def permuted_note(orders: Mapping[str, str], order: str | None) -> str:
    """The line for the user where subjects lie in another order than `order`; empty where none does."""
    others = {name: own for name, own in orders.items() if own != order}
    if not others:
        return ""
    name, own = next(iter(sorted(others.items())))
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return (
        f"{name}{more}: voxels in the order {own}{' or another' if len(set(others.values())) > 1 else ''}, not {order}:"
        f" permuted to {order}, and their maps back"
    )
