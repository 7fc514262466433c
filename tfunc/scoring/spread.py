"""How far a method's samples or members disagree on one subject as a whole: their volumes, and how much they overlap. NumPy only.

    <subject>_samples.json    beside the subject's maps; written before them

Each sample is one network for all slices of a subject, so the volumes of its segmentations spread as far as the method says.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data_prep.base import artefacts
from data_prep.base.errors import UserError
from tfunc import shapes

ENDING = "_samples.json"
SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Spread:
    """One region of one subject.

    volumes: voxels that each of the T samples gives the region, float64 [T], of the subject's own grid.
    pairwise_dice: mean Dice over the T (T - 1) / 2 pairs of samples, in [0, 1]; of two empty ones 1, of one empty 0.
    """

    volumes: NDArray[np.float64]
    pairwise_dice: float

    @property
    def variation(self) -> float:
        """Coefficient of variation of the volume, with T - 1; 0 where all samples are empty."""
        mean = self.volumes.mean()
        return float(self.volumes.std(ddof=1) / mean) if mean > 0 else 0.0


def of_overlaps(overlaps: NDArray, scale: float = 1.0) -> Spread:
    """`Spread` of [T, T] voxels that two samples share, a sample's own volume on the diagonal; T is 2 or more.

    scale: voxels of the subject's own grid to one of these.
    """
    overlaps = np.asarray(overlaps, np.float64)
    volumes = np.diagonal(overlaps)
    first, second = np.triu_indices(len(volumes), 1)
    total = volumes[first] + volumes[second]
    dice = np.divide(2 * overlaps[first, second], total, out=np.ones(len(total)), where=total > 0)
    return Spread(volumes * scale, float(dice.mean()))


def pairwise_dice(samples: ArrayLike) -> float:
    """Mean Dice over all pairs of segmentations [T, …], non-zero is foreground; NaN of fewer than two."""
    rows = np.asarray(samples) != 0
    rows = rows.reshape(len(rows), -1)
    return of_overlaps(shared(rows)).pairwise_dice if len(rows) > 1 else float("nan")


def shared(rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[T, T] voxels that two rows of bool [T, voxels] share, exact."""
    used = rows[:, rows.any(axis=0)]
    total = np.zeros((len(rows), len(rows)), np.int64)
    for start in range(0, used.shape[1], 1 << 20):  # float32 counts to 2^24
        part = used[:, start : start + (1 << 20)].astype(np.float32)
        total += (part @ part.T).astype(np.int64)
    return total


def path(folder: pathlib.Path | str, subject: str) -> pathlib.Path:
    """Where a subject's file lies."""
    return pathlib.Path(folder) / (subject + ENDING)


def write(folder: pathlib.Path | str, subject: str, spreads: Mapping[str, Spread]) -> None:
    """Writes {region: `Spread`} of a subject, whole or not at all."""
    regions = {
        name: {"voxels": one.volumes.tolist(), "pairwise_dice": one.pairwise_dice} for name, one in spreads.items()
    }
    artefacts.write_document(path(folder, subject), {"schema": SCHEMA, "regions": regions})


def read(folder: pathlib.Path | str, subject: str, regions: Sequence[str] | None = None) -> dict[str, Spread] | None:
    """{region: `Spread`} of a subject, or None where a method has none; raises `UserError` for a file of another form.

    regions: those that are wanted; None: all that there are.
    """
    file = path(folder, subject)
    if not file.exists():
        return None
    stored, found = artefacts.read_document(file, shapes.Spread, "predict again"), {}
    try:
        if stored.get("schema") != SCHEMA:
            raise ValueError(f"schema {stored.get('schema')!r}")
        for name in stored["regions"] if regions is None else regions:
            one = stored["regions"][name]
            volumes = np.asarray(one["voxels"], np.float64)
            if volumes.ndim != 1 or len(volumes) < 2 or not (np.isfinite(volumes).all() and volumes.min() >= 0):
                raise ValueError(f"{name} without two volumes or more")
            if not 0 <= one["pairwise_dice"] <= 1:
                raise ValueError(f"{name} with a Dice of {one['pairwise_dice']!r}")
            found[name] = Spread(volumes, float(one["pairwise_dice"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(file, expected="volumes of samples by region", found=f"{error}", do="predict again") from None
    return found
