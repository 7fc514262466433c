"""How data say that they are made up: a file beside them, which drawing them leaves and preparing them looks for."""

from __future__ import annotations

import pathlib

MARK = "phantom.json"  # in the folder of the raw data
WORDS = "made-up data"  # in titles


def is_marked(folder: pathlib.Path | str) -> bool:
    """Whether a folder, or the one around it, as of nnU-Net's `labelsTr`, says that what lies in it was drawn."""
    place = pathlib.Path(folder).absolute()
    return any((one / MARK).is_file() for one in (place, place.parent))
