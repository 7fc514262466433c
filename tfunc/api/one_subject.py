"""The one subject at a path, read as the records of a run were: what `Model.predict` takes beside arrays."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data_prep.base import mirrors, notices
from data_prep.base.errors import UserError
from data_prep.readers import channel_files, finding
from data_prep.subject import Subject
from data_prep.tasks import Task
from tfunc.api import arguments

Modalities = Mapping[str, "str | int | os.PathLike[str]"]


def read(
    path: pathlib.Path | str, task: Task, load_options: dict[str, Any], modalities: Modalities | None = None
) -> tuple[Subject, tuple[str, ...]]:
    """(the one subject at a path; its first channel's DICOM files, if it has any).

    load_options: the reader's, as `config.json` keeps them. modalities: {channel: file, or series} where names don't tell.
    Raises `UserError` for a path with no or several subjects, and whatever the reader says of broken files.
    """
    path = mirrors.here(path)
    if not path.exists():
        raise UserError(path, expected="a subject's folder or an image", found="nothing")
    reader = task.load_reader()
    with _warned():
        sources, faults = finding.new(reader, path, _named(modalities), task)
        for fault in faults.values():
            raise fault
        if len(sources) != 1:
            do = "give a list of paths, one for each"
            raise UserError(path, expected="one subject", found=f"{len(sources)}", do=do)
        subject = reader.load(sources[0], load_options, task)
        if subject.permuted_note:
            notices.once("voxel order", subject.permuted_note)
        return subject, next(iter(channel_files.series(sources[0])), ())


def are_paths(image: Any) -> bool:
    """Whether a path, or a list of at least one and nothing else, was given, and not an array."""
    several = list(image) if isinstance(image, (list, tuple)) else [image]
    return bool(several) and all(isinstance(one, (str, pathlib.Path)) for one in several)


def require_own(is_path: bool, of_array: Sequence[Any], modalities: Modalities | None) -> None:
    """Raises `UserError` for spacing, affine or name of a path, and for modalities of an array."""
    if is_path and any(one is not None for one in of_array):
        where = "spacing, affine, name"
        raise UserError(where, expected="none of them with a path", found="one", do="leave it out")
    if not is_path and modalities is not None:
        expected = "none with an array, whose channels stand in the task's order"
        raise UserError("modalities", expected=expected, found="some", do="leave it out")


def _named(modalities):
    """{channel: file} as the readers take it, None where none are given; raises `UserError` for another form."""
    if modalities is None:
        return None
    form = "each channel with its file, as {'flair': 'a.nii.gz', 't1': 'b.nii.gz'}"
    if not isinstance(modalities, Mapping):
        raise UserError("modalities", expected=form, found=repr(modalities))
    for channel, file in modalities.items():
        is_file = isinstance(file, (str, os.PathLike)) or (isinstance(file, int) and not isinstance(file, bool))
        if not (isinstance(channel, str) and is_file and file != ""):
            raise UserError("modalities", expected=form, found=f"{channel!r}: {file!r}")
    return {
        channel: str(file) if isinstance(file, int) else os.fspath(file) for channel, file in modalities.items()
    } or None


@contextlib.contextmanager
def _warned() -> Iterator[None]:
    """What readers notice inside, as Python's warnings."""
    with notices.gathered() as noticed:
        yield
    for line in noticed.lines():
        arguments.warn(line)
