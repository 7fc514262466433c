"""The state of a training that can be taken up again, exactly: variables, counters and history, with a checksum.

`resume.npz` holds the variables, `resume.json` names it with its SHA-256 and holds the counters. Both are written aside
and renamed, the arrays first and under a new name: a kill at any moment leaves the old pair or the new one.
"""

import pathlib

import numpy as np

from data_prep.base import artefacts
from data_prep.base.errors import UserError

POINTER = "resume.json"


def save(folder, arrays, counters):
    """arrays: list of NumPy arrays, in the order in which they go back. counters: JSON-able, with `step`."""
    folder = pathlib.Path(folder)
    path = folder / f"resume-{counters['step']:08}.npz"
    with artefacts.aside(path) as temporary:
        np.savez(temporary, **{f"{index:04}": array for index, array in enumerate(arrays)})
        checksum = artefacts.sha256(temporary)
    artefacts.write_json(folder / POINTER, {"file": path.name, "sha256": checksum, **counters})
    for old in folder.glob("resume-*.npz"):
        if old.name != path.name:
            old.unlink()


def load(folder):
    """(arrays, counters), or None where nothing was saved. Raises `UserError` for a file that isn't what was saved."""
    pointer = pathlib.Path(folder) / POINTER
    if not pointer.exists():
        return None
    counters = artefacts.read_json(pointer)
    path = pathlib.Path(folder) / counters["file"]
    if not path.exists() or artefacts.sha256(path) != counters["sha256"]:
        found = "a damaged file" if path.exists() else "no file"
        raise UserError(path, expected="the saved state", found=found, do=f"remove {pointer} to train from the start")
    with np.load(path, allow_pickle=False) as stored:
        return [stored[name] for name in sorted(stored.files)], counters


def discard(folder):
    """Removes the state: the training is finished."""
    folder = pathlib.Path(folder)
    (folder / POINTER).unlink(missing_ok=True)
    for old in folder.glob("resume-*.npz"):
        old.unlink()
