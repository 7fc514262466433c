"""Room on a disk, looked for before long work that would end at a full one."""

from __future__ import annotations

import pathlib
import shutil

from data_prep.base import artefacts, leftovers
from data_prep.base.errors import UserError

SMALL = 1 << 16  # bytes that the smallest results take


def require(folder: pathlib.Path | str, size: int, what: str) -> None:
    """Raises `UserError` where the disk of `folder` has not `size` bytes left.

    folder: need not be there yet. what: for which they are. A quota is not seen, nor what else is written meanwhile: the
    write itself may still fail.
    """
    folder = pathlib.Path(folder).absolute()
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    try:
        free = shutil.disk_usage(there).free
    except OSError:  # a file system that doesn't say
        return
    if free < size:
        raise UserError(
            folder,
            expected=f"{_megabytes(size)} of room on its disk for {what}",
            found=_megabytes(free),
            do="make room there, or choose another folder; then run the same command again",
        )


def require_place(path: pathlib.Path | str, size: int = SMALL) -> None:
    """Raises the `OSError` that writing `path` would raise at its end: no permission, a disk read-only or full.

    For long work that writes nothing before it. Makes the folder; nothing else is left.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    probe = path.with_name(leftovers.partial(path.name))
    try:
        artefacts.check_room(probe, size)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        probe.unlink(missing_ok=True)


def _megabytes(size):
    return f"{size / 1e6:.1f} MB"
