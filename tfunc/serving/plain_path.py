"""A way to a folder that TensorFlow takes for one: it reads a SavedModel by a pattern, so `seed[1]` is not found by its name."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

PATTERN = frozenset("*?[]\\")  # what TensorFlow's file systems match by


@contextlib.contextmanager
def plain_path(folder: pathlib.Path | str) -> Iterator[pathlib.Path]:
    """Yields `folder`, or for one whose path looks like a pattern a link to it that is gone after the block."""
    folder = pathlib.Path(folder).absolute()
    if not PATTERN & set(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(dir=_plain_place()) as place:
        link = pathlib.Path(place) / "model"
        os.symlink(folder, link, target_is_directory=True)
        yield link


def _plain_place():
    """A folder for temporary ones whose own path is plain: the usual one, unless TMPDIR is a pattern, too."""
    usual = tempfile.gettempdir()
    others = [place for place in ("/tmp", "/var/tmp", "/dev/shm") if os.access(place, os.W_OK)]
    return next((place for place in (usual, *others) if not PATTERN & set(place)), usual)
