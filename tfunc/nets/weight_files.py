"""Files of weights, read with suspicion: what a hand made, or a disk damaged, ends in one line and not in a network.

HDF5 can name other files and ask for any amount of memory, so a file is looked through before anything of it is read.
"""

from __future__ import annotations

import pathlib

import h5py
import keras
import numpy as np

from data_prep.base.errors import UserError

SPARE = 1024  # numbers that a file may hold beyond the network's: Keras keeps what a layer drew, and counters


def load(model: keras.Model, path: pathlib.Path) -> None:
    """Gives `model` the weights in a file that `model.save_weights` wrote; raises `UserError` for any other."""
    expected, do = (
        "the weights of this network, as training writes them",
        f"restore the file, or train {path.parent} again",
    )
    try:
        _look_through(path, sum(int(np.prod(one.shape)) for one in model.weights) + SPARE)
        model.load_weights(str(path))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        found = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(path, expected=expected, found=found[:200], do=do) from None
    for one in model.weights:
        if not np.isfinite(np.asarray(one)).all():
            raise UserError(path, expected=expected, found=f"NaN or infinity in {one.name}", do=do)


def _look_through(path, most):
    """Raises `ValueError` for a file whose numbers lie elsewhere, are none, or are more than `most`."""
    with h5py.File(path, "r") as file:
        left, waiting = most, [file]
        while waiting:
            group = waiting.pop()
            for name in group:
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise ValueError(f"a link to elsewhere at {group.name}/{name}")
                entry = group[name]
                if isinstance(entry, h5py.Group):
                    left -= 1  # hard links can make circles
                    waiting.append(entry)
                elif entry.external or entry.is_virtual:
                    raise ValueError(f"numbers that lie in other files at {entry.name}")
                elif entry.dtype.kind not in "fiu":
                    raise ValueError(f"{entry.dtype} at {entry.name}")
                else:
                    left -= int(np.prod(entry.shape, dtype=object))
                if left < 0:
                    raise ValueError(f"more than the {most} numbers of the network")
