"""Which colour each class has, in our pictures and in others' viewers, and the files that tell ITK-SNAP and 3D Slicer so.

labels_itksnap.txt    Segmentation, Import Label Descriptions
labels_slicer.ctbl    dropped onto Slicer, then chosen as the segmentation's colour table
"""

from __future__ import annotations

import pathlib

from data_prep.base import artefacts
from data_prep.tasks import Task

COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")  # Okabe and Ito's, in order
ITKSNAP, SLICER = "labels_itksnap.txt", "labels_slicer.ctbl"


def colour(index: int) -> str:
    """`#RRGGBB` of the region, or of the class after the background, with that index; they repeat after seven."""
    return COLOURS[index % len(COLOURS)]


def rgb(index: int) -> tuple[int, int, int]:
    """The same as numbers from 0 to 255."""
    text = colour(index)
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def write(folder: pathlib.Path | str, task: Task) -> None:
    """Writes both files, of the numbers that a segmentation of the task is written with, where they are not there as they are."""
    for name, text in ((ITKSNAP, itksnap(task)), (SLICER, slicer(task))):
        file = pathlib.Path(folder) / name
        if not file.exists() or file.read_text(encoding="utf-8", errors="replace") != text:
            artefacts.write_text(file, text)


def itksnap(task: Task) -> str:
    """Label descriptions of ITK-SNAP: number, red, green, blue, opacity, visible in slices, visible in 3-D, name."""
    lines = ["# ITK-SNAP label description file", f'{0:5} {0:4} {0:4} {0:4} {0:4} {0:2} {0:2}    "Clear Label"']
    for index, (value, name) in enumerate(_listed(task)):
        red, green, blue = rgb(index)
        lines.append(f'{value:5} {red:4} {green:4} {blue:4} {1:4} {1:2} {1:2}    "{name.replace(chr(34), chr(39))}"')
    return "\n".join(lines) + "\n"


def slicer(task: Task) -> str:
    """A colour table of 3D Slicer: number, name without blanks, red, green, blue, opacity."""
    lines = ["# Color table file", f"# {len(task.values)} values", "0 background 0 0 0 0"]
    for index, (value, name) in enumerate(_listed(task)):
        red, green, blue = rgb(index)
        lines.append(f"{value} {'_'.join(name.split())} {red} {green} {blue} 255")
    return "\n".join(lines) + "\n"


def _listed(task):
    """(number in the file, name) of each class but the background, in their order."""
    return [(value, one.name) for value, one in zip(task.values, task.classes, strict=True)][1:]
