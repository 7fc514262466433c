"""Files of weights, read with suspicion: what a hand made, or a disk damaged, ends in one line and not in a network.

HDF5 can name other files and ask for any amount of memory, so a file is looked through before anything of it is read.
"""

from __future__ import annotations

import pathlib

import keras
import numpy as np

from data_prep.base.errors import UserError
from tfunc.nets import weight_numbers

SPARE = 1024  # numbers that a file may hold beyond the network's: Keras keeps what a layer drew, and counters


def load(model: keras.Model, path: pathlib.Path) -> None:
    """Gives `model` the weights in a file that `model.save_weights` wrote; raises `UserError` for any other."""
    expected, do = (
        "the weights of this network, as training writes them",
        f"restore the file, or train {path.parent} again",
    )
    try:
        weight_numbers.look_through(path, sum(int(np.prod(one.shape)) for one in model.weights) + SPARE)
        model.load_weights(str(path))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        found = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(path, expected=expected, found=found[:200], do=do) from None
    for one in model.weights:
        if not np.isfinite(np.asarray(one)).all():
            raise UserError(path, expected=expected, found=f"NaN or infinity in {one.name}", do=do)
