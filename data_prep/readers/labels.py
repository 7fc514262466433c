"""Raw labels of a volume: read as whole numbers, and turned into the foreground by a user's map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from data_prep.base.errors import UserError
from data_prep.readers import nifti


def read(header: nifti.Header) -> np.ndarray:
    """Raw labels uint8 [depth, height, width]; whole numbers in a floating-point file are labels too (BraTS 2023).

    Raises `UserError` naming the file for anything else.
    """
    array = nifti.read_array(header)
    lowest, highest = array.min(), array.max()
    if not (lowest >= 0 and highest <= 255):  # also for NaN
        raise UserError(header.path, expected="labels 0 to 255", found=f"{lowest:g} to {highest:g}", do="repair it")
    labels = array.astype(np.uint8)
    if array.dtype.kind == "f" and (labels != array).any():
        value = array[labels != array][0]
        raise UserError(
            header.path,
            expected="whole numbers as labels",
            found=f"{value:g}",
            do="resample labels by nearest neighbour, not by interpolation",
        )
    return labels


def present(raw_label: np.ndarray) -> set[int]:
    """The numbers that occur in raw labels (uint8)."""
    return set(np.flatnonzero(np.bincount(raw_label.reshape(-1))).tolist())


def mapped(raw_label: np.ndarray, label_map: Mapping, path: object) -> np.ndarray:
    """uint8 {0, 1}, of the shape of `raw_label`: what `label_map` ({raw label: 0 or 1}, 0 implied) says.

    Raises `UserError` for a map to other numbers, and naming `path` where the map does not cover what is there.
    """
    mapping = {0: 0, **{int(raw): int(target) for raw, target in label_map.items()}}
    if not set(mapping.values()) <= {0, 1}:
        raise UserError("--label_map", expected="each label mapped to 0 or 1", found=str(label_map))
    found = present(raw_label)
    if not found <= set(mapping):
        raise UserError(
            path, expected=f"labels of --label_map, {listed(mapping)}", found=listed(found), do="add the missing ones"
        )
    table = np.zeros(256, np.uint8)
    table[[raw for raw, target in mapping.items() if target and 0 <= raw < 256]] = 1
    return table[raw_label]


def listed(labels: Iterable[int]) -> str:
    """Labels as an error shows them: `{0, 1, 4}`."""
    labels = sorted(labels)
    return "{" + ", ".join(map(str, labels[:12])) + (", …" if len(labels) > 12 else "") + "}"
