"""What killed processes left below a folder of records or of a run."""

from __future__ import annotations

import os
import pathlib

from data_prep.base import leftovers
from data_prep.base.findings import Finding, finding


def find(folder: pathlib.Path | str) -> list[Finding]:
    """A note for each file or folder that a process which is gone was writing aside, anywhere below `folder`."""
    do = "remove it; the next command that writes into its folder does so too"
    found = []
    for place, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith(".partial-"))
        found += leftovers.left(place)
    return [finding("note", "left behind", path, found="what a killed process was writing", do=do) for path in found]
