"""A subject's maps as files: NIfTI in the subject's own space, and PNG at a photograph's own size. No TensorFlow.

    <subject>_{prediction,probability,uncertainty}.nii.gz    all subjects
    <subject>_{prediction,probability,uncertainty}.png       photographs, where they are asked for
    <subject>_mutual_information.nii.gz                      of methods that average, where it is asked for

    labels_itksnap.txt, labels_slicer.ctbl                   names and colours of the segmentation's numbers

Each file is whole or not there. Their headers tell viewers what a map is, so that all show it alike: see `About`.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
from PIL import Image

from data_prep.base import artefacts, names
from data_prep.readers import nifti
from data_prep.readers.nifti_header import Shown
from data_prep.tasks import Task

MAPS = {"prediction": np.uint8, "probability": np.float32, "uncertainty": np.float32}  # each file's dtype
MUTUAL = "mutual_information"  # how far the averaged predictions differ: a map beside those, float32
OUTER = "outer"  # the labels of the outer mask, of several regions one after the other in a last axis

LABEL, ESTIMATE = 1002, 1001  # NIfTI's intents: of names for numbers, and of an estimated parameter


@dataclasses.dataclass(frozen=True)
class About:
    """What the headers of a subject's maps say. made_by: program, method and networks, in a few words. unit: whether the
    uncertainty lies in [0, 1]; probability and mutual information always do."""

    made_by: str = "tfunc"
    unit: bool = True

    def shown(self, name: str) -> Shown:
        """Of the map `name`: colours run from 0 to 1, and a segmentation's numbers are labels."""
        if np.issubdtype(MAPS.get(name, np.float32), np.integer) or name == OUTER:
            return Shown(self.made_by, intent=LABEL, name=name)
        limits = (0, 0) if name == "uncertainty" and not self.unit else (0, 1)
        return Shown(self.made_by, limits, ESTIMATE, name)


def labels_of(task: Task) -> np.ndarray:
    """The number that a segmentation is written with, by class: uint8, or uint16 where one is beyond 255."""
    return np.array(task.values, np.uint8 if max(task.values) <= 255 else np.uint16)


def path(folder: pathlib.Path | str, subject: str, name: str, ending: str = "nii.gz") -> pathlib.Path:
    """Where the map `name` of a subject lies."""
    return pathlib.Path(folder) / f"{subject}_{name}.{ending}"


def write(
    folder: pathlib.Path | str,
    subject: str,
    maps: Mapping[str, np.ndarray],
    header: bytes | None,
    own_size: Mapping[str, np.ndarray] | None = None,
    several: bool = False,
    about: About | None = None,
) -> None:
    """Writes the maps of a subject.

    maps: by name, [depth, height, width], or with the classes as a fourth axis; a photograph's [1, height, width] or
    [height, width]. header: of the subject's source, 348 bytes, so that the maps lie on it; None for a photograph.
    own_size: a photograph's maps at its own size, [height, width], written as PNG too. several: whether its segmentation
    has several classes, whose labels a PNG then holds. about: what the files' headers say.
    """
    said = about or About()
    for name, values in maps.items():
        nifti.write_map(path(folder, subject, name), values, header, shown=said.shown(name))
    for name, values in (own_size or {}).items():
        write_picture(path(folder, subject, name, "png"), values, several)


def write_named(
    folder: pathlib.Path | str, subject: str, prediction: np.ndarray, header: bytes | None, about: About | None = None
) -> None:
    """Writes a segmentation as nnU-Net names it: <subject>.nii.gz, of a photograph <subject>.png; labels as they are."""
    folder = pathlib.Path(folder)
    if header is not None:
        shown = (about or About()).shown("prediction")
        nifti.write_map(folder / f"{subject}.nii.gz", prediction, header, shown=shown)
        return
    with artefacts.aside(folder / f"{subject}.png") as temporary:
        Image.fromarray(prediction.reshape(prediction.shape[-2:])).save(temporary, "png")


def write_picture(file: pathlib.Path | str, values: np.ndarray, several: bool = False) -> None:
    """A map [height, width] as a grey PNG: labels as 0 and 255, or as they are where there are several; float32 as 16 bits
    of [0, 1], clipped."""
    if values.dtype.kind == "u":
        image = Image.fromarray(values if several else np.where(values != 0, np.uint8(255), np.uint8(0)))
    else:
        image = Image.fromarray(np.rint(np.clip(values, 0, 1) * np.float32(65535)).astype(np.uint16))
    with artefacts.aside(file) as temporary:
        image.save(temporary, "png")


def is_written(
    folder: pathlib.Path | str, subject: str, full_size: bool = False, names: str = "", mutual: bool = False
) -> bool:
    """Whether all maps of a subject are there. full_size: the PNG files too. names: `nnunet` for the file of that name too.

    mutual: the mutual information too.
    """
    if mutual and not path(folder, subject, MUTUAL).exists():
        return False
    if names and not any((pathlib.Path(folder) / f"{subject}.{ending}").exists() for ending in ("nii.gz", "png")):
        return False
    endings = ("nii.gz", "png") if full_size else ("nii.gz",)
    return all(path(folder, subject, name, ending).exists() for name in MAPS for ending in endings)


def all_written(folder: pathlib.Path | str) -> list[pathlib.Path]:
    """The files of all maps in a folder, whosever they are; what a process is writing aside is none yet."""
    found = (pathlib.Path(folder).glob(f"*_{name}.{ending}") for name in MAPS for ending in ("nii.gz", "png"))
    return [file for files in found for file in files if not file.name.startswith(names.PARTIAL)]
