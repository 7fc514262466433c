"""From a volume as its file has it to the grid that a network sees: voxel order, slicing axis, in-plane spacing, frame.

A task says the grid (`order`, `spacing`, `frame`); for data sets that are not of the table `fitted` finds it from all images.
Slices are not cut and not resampled along the axis that they are taken along. The way back is `on_own_grid` for maps, made
of `Subject.restored`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from data_prep import normalisation, resample, voxel_order
from data_prep.base.errors import UserError
from data_prep.subject import Subject, of_channels
from data_prep.tasks import Task

# the voxel order for slices along each of the body's axes: a slice's rows run down the picture and its columns to the right, as
# radiologists look at it, the patient's right on the left
ORDERS = {0: "PIL", 1: "LIP", 2: "LPS"}  # left-right, front-back, up-down
BODY = ("LR", "PA", "IS")  # the axes' letters
MULTIPLE = 16  # of a frame: four poolings
ISOTROPIC = 1.01  # by how much the coarsest spacing must exceed that between axial slices for others to be taken
SAME_SPACING = 1.1  # from which ratio on subjects' spacings differ so much that slices are resampled


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an image lies. shape: (depth, height, width) as its file has it.  affine: voxel x, y, z to mm."""

    shape: tuple[int, ...]
    affine: np.ndarray

    def in_order(self, order: str) -> tuple[list[int], list[float]]:
        """(shape, spacing in mm), both [depth, height, width] of the arrays in a voxel order."""
        own = voxel_order.of_affine(self.affine)
        sizes = np.linalg.norm(self.affine[:3, :3], axis=0)
        letters = {letter: axis for axis, letter in enumerate(own or "LPS")}
        pairs = [next(pair for pair in BODY if letter in pair) for letter in order]
        axes = [next(letters[letter] for letter in pair if letter in letters) for pair in pairs]  # of x, y, z
        shape = [int(self.shape[2 - axis]) for axis in axes]
        return shape[::-1], [float(sizes[axis]) for axis in axes][::-1]


MOST_VOXELS = 2**29  # of a resampled subject, as of a file


def fitted(task: Task, places: Mapping[str, Place]) -> Task:
    """The task with the grid that its subjects' images ask for, where it says none itself.

    places: {subject: Place}. The slices' axis is the one with the coarsest median spacing, superior-inferior where they
    are alike; in-plane spacing the median where subjects differ by more than a tenth; the frame holds the largest slice.
    """
    every = list(places.values())
    axis = _axis(every) if task.axis is None else task.axis
    order = task.order or ORDERS[axis]
    found = [place.in_order(order) for place in every]
    spacings = np.array([spacing[1:] for _, spacing in found])
    spacing = task.spacing
    if spacing is None and (spacings.max(axis=0) > SAME_SPACING * spacings.min(axis=0)).any():
        rows, columns = (round(float(value), 6) for value in np.median(spacings, axis=0))
        spacing = rows, columns
    task = msgspec.structs.replace(task, axis=axis, order=order, spacing=spacing)
    if task.frame is None:
        sizes = [size_of(shape[1:], own[1:], task) for shape, own in found]
        return msgspec.structs.replace(task, frame=frame_of([max(size) for size in zip(*sizes, strict=True)]))
    for name, (shape, own) in zip(places, found, strict=True):  # nothing is cut off
        size = size_of(shape[1:], own[1:], task)
        if size[0] > task.frame[0] or size[1] > task.frame[1]:
            expected, seen = "a frame that holds every slice", f"{task.frame[0]} x {task.frame[1]}"
            do = f"leave `frame` out of tfunc.json, or make it at least {size[0]} x {size[1]}, as {name} has"
            raise UserError(task.name, expected=expected, found=seen, do=do)
    return task


def frame_of(size: Sequence[int]) -> tuple[int, int]:
    """The smallest frame (height, width) that holds slices of a size, of sides that four poolings divide."""
    height, width = (-(-int(side) // MULTIPLE) * MULTIPLE for side in size)
    return height, width


def _axis(places):
    """The body's axis with the coarsest median spacing over subjects."""
    spacings = np.median([place.in_order("LPS")[1][::-1] for place in places], axis=0)  # x, y, z
    coarsest = int(np.argmax(spacings))
    return coarsest if spacings[coarsest] > ISOTROPIC * spacings[2] else 2


def size_of(own: Sequence[int], spacing: Sequence[float], task: Task) -> tuple[int, int]:
    """(height, width) on the task's grid of slices of the size `own` and the `spacing` in mm; their own where it has none."""
    if task.spacing is None:
        return int(own[0]), int(own[1])
    height, width = (max(1, round(size * old / new)) for size, old, new in zip(own, spacing, task.spacing, strict=True))
    return height, width


def volume(
    *,
    name: str,
    channels: Sequence[NDArray],
    raw_label: NDArray | None,
    label_path: object,
    header: bytes,
    affine: np.ndarray,
    source: str,
    task: Task,
) -> Subject:
    """A volume on the task's grid, normalised by its channels' rules.

    channels: int16 or float32 [depth, height, width] as the files have them. raw_label: likewise, whole numbers from 0 on,
    or None. label_path: its file, for errors. header: of the first file, 348 bytes; affine: its place. source: the first file.
    Raises `UserError` for intensities that a rule can't take and for labels that the task lacks.
    """
    place = Place(channels[0].shape, affine)
    own = voxel_order.of_affine(affine)
    order = task.order or own
    image = of_channels([voxel_order.permuted(channel, own, order) for channel in channels])
    mean, std, limits = normalisation.by_channel(image, task.channels, source)
    label = None
    if raw_label is not None:
        raw_label = voxel_order.permuted(raw_label, own, order)
        label = task.class_of(raw_label, label_path)
    made = Subject(
        name=name, image=image, mean=mean, std=std, label=label, header=header, source=source, order=order, limits=limits
    )  # fmt: skip
    shape, spacing = place.in_order(order or "LPS")
    size, before = size_of(shape[1:], spacing[1:], task), (shape[1], shape[2])
    if size[0] * size[1] * shape[0] > MOST_VOXELS:
        found = f"{size[0]}x{size[1]} a slice at the spacing {task.spacing}"
        do = "give a larger `spacing` in tfunc.json, or mend the spacing in its header"
        raise UserError(source, expected=f"at most {MOST_VOXELS} voxels once it is resampled", found=found, do=do)
    if size == before:
        return made
    small = None if label is None else resample.in_plane(label, size)
    image = resample.in_plane(image.astype(np.float32), size)
    return dataclasses.replace(made, image=image, label=small, own_size=before, own_label=label)


def on_own_grid(subject: Subject, maps: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """A subject's maps where its own files lie; `prediction` holds the indices of classes.

    Of slices that were resampled the segmentation is made anew, from the probability that is written, whose classes add up
    to 1.
    """
    found = {name: subject.restored(values) for name, values in maps.items()}
    if subject.own_size is None:
        return found
    probability = found["probability"]
    if probability.ndim == 4:
        probability /= probability.sum(axis=-1, keepdims=True)
        prediction = probability.argmax(axis=-1)
    else:
        prediction = probability > 0.5
    return {**found, "prediction": prediction.astype(np.uint8)}


def to_network(array: NDArray, size: tuple[int, int], header: bytes | None, order: str | None) -> NDArray:
    """A written map [depth, height, width] of a subject on the network's grid: its voxel order and slices of `size`.

    header: of the subject, None for a photograph.
    """
    if header is not None:
        array = voxel_order.permuted(array, voxel_order.of_header(header), order)
    return resample.in_plane(array, size)
