"""A subject's maps as they are written: on its own grid, in the numbers of its task's labels, and as nnU-Net names them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from data_prep import grid, map_files
from data_prep.base import artefacts
from data_prep.map_files import About
from data_prep.subject import Subject
from data_prep.tasks import Task
from tfunc import runs
from tfunc.maps import packed
from tfunc.maps.predictor import Arrays
from tfunc.scoring import spread


def write_maps(
    folder: runs.Path,
    subject: Subject,
    maps: Arrays,
    full_size: bool = False,
    task: Task | None = None,
    names: str = "",
    change: Callable[[Arrays], Arrays] | None = None,
    about: About | None = None,
) -> Arrays:
    """Writes a subject's maps [depth, height, width] on its own grid; each file is whole or not there. Returns them.

    full_size: of a photograph, also PNG maps at its own size: a segmentation by nearest neighbour, others bilinear. task:
    says which numbers the segmentation is written with; None: the classes'. names: `nnunet` for the segmentation also as
    nnU-Net calls it, of a photograph at its own size. change: made to the maps on their own grid before they are written.
    about: what the files' headers say.
    """
    if task is not None and (drawn := packed.of_subject(maps, subject, task)) is not None:
        spread.write(folder, subject.name, drawn)
    written = (*map_files.MAPS, map_files.MUTUAL)
    maps = grid.on_own_grid(subject, {name: values for name, values in maps.items() if name in written})
    if map_files.MUTUAL not in maps:  # one of former maps
        artefacts.remove(map_files.path(folder, subject.name, map_files.MUTUAL), missing_ok=True)
    maps = maps if change is None else change(maps)
    own_size, size = None, subject.source_size
    if size is not None and (full_size or names):  # a photograph, whose own grid is the networks'
        own_size = {name: resized(maps[name], size) for name in map_files.MAPS}
    if task is not None and task.values != tuple(range(len(task.classes))):
        values = map_files.labels_of(task)
        maps = {**maps, "prediction": values[maps["prediction"]]}
        own_size = own_size and {**own_size, "prediction": values[own_size["prediction"]]}
    pictures = own_size if full_size else None
    several = task is not None and not task.is_binary
    map_files.write(folder, subject.name, maps, subject.header, pictures, several, about)
    if names == "nnunet":
        map_files.write_named(folder, subject.name, (own_size or maps)["prediction"], subject.header, about)
    return maps


def resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A photograph's map [1, height, width(, classes)] at the (height, width) `size`, [height, width]: a segmentation by nearest
    neighbour, others bilinear; of a probability of several classes that of any but the background."""
    image = values[0] if values.ndim == 3 else 1 - values[0][..., 0]
    method = "nearest" if image.dtype.kind == "u" else "bilinear"
    return tf.image.resize(image[..., np.newaxis], size, method=method).numpy()[..., 0]
