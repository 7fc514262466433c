"""What a reader finds, each subject under a name that can be a file's and that no other has."""

from __future__ import annotations

import glob
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from data_prep.base import names
from data_prep.base.errors import Faults, UserError
from data_prep.readers import dicom_folder

_DO = "rename it: its maps are called after it"


def sources(find: Callable[[], Sequence[Any]]) -> tuple[list[Any], dict[str, UserError]]:
    """(the `Source`s that `find` returns, {name: `UserError`} of subjects that can't be used).

    A subject whose name cannot be a file's can't be used, nor the second of two whose names differ by case or Unicode form
    only. Raises what `find` raises where nothing is found at all, and the one fault where no subject is left.
    """
    faults: dict[str, UserError] = {}
    try:
        listed = find()
    except Faults as error:
        listed, faults = error.found, dict(error.faults)
        if not listed:
            raise
    kept: list[Any] = []
    there: dict[str, str] = {}
    for source in listed:
        where = os.path.dirname(source.image) if names.wrong(source.name) else source.image
        try:
            names.checked(source.name, "a subject", where, _DO)
        except UserError as error:
            faults[names.shown(source.name)] = error
            continue
        other = there.setdefault(names.folded(source.name), source.name)
        if other != source.name:
            faults[source.name] = names.alike(source.name, other, source.image)
            continue
        kept.append(source)
    if listed and not kept:
        raise Faults(faults) if len(faults) > 1 else next(iter(faults.values()))
    return kept, faults


def places(path: pathlib.Path | str) -> list[pathlib.Path]:
    """The path itself, or all that a pattern such as `cohort/*_2026` means; raises `UserError` where nothing is there."""
    found = (
        [pathlib.Path(path)] if os.path.exists(path) else [pathlib.Path(one) for one in sorted(glob.glob(str(path)))]
    )
    if not found:
        nothing = "nothing that it means" if glob.has_magic(str(path)) else "nothing"
        raise UserError(path, expected="a subject's folder or an image", found=nothing)
    return found


def new(
    reader: ModuleType, path: pathlib.Path | str, modalities: Mapping[str, str] | None, task: Any
) -> tuple[list[Any], dict[str, UserError]]:
    """The same of the new subjects at one place: DICOM where there are no other volumes, else what the reader finds."""
    place = pathlib.Path(path)
    if dicom_folder.is_dicom(place, task):
        return sources(lambda: dicom_folder.find_new(place, modalities, task))
    return sources(lambda: reader.find_new(place, modalities, task))


def new_at(
    reader: ModuleType, path: pathlib.Path | str, modalities: Mapping[str, str] | None, task: Any
) -> tuple[list[Any], dict[str, UserError]]:
    """The same of the new subjects at all `places` of a path; raises `UserError` for one that two places have."""
    first, *others = places(path)
    if not others:
        return new(reader, first, modalities, task)
    kept: list[Any] = []
    faults: dict[str, UserError] = {}
    for place in (first, *others):
        try:
            listed, wrong = new(reader, place, modalities, task)
        except Faults as error:
            listed, wrong = [], dict(error.faults)
        except UserError as error:
            listed, wrong = [], {place.name: error}
        faults |= wrong
        kept += listed
    if not kept:
        raise Faults(faults) if len(faults) > 1 else next(iter(faults.values()))
    _require_own_names(kept)
    return kept, faults


def in_folder(reader: ModuleType, raw_dir: pathlib.Path | str) -> tuple[list[Any], dict[str, UserError]]:
    """The same of all that a reader finds in a folder of raw data, which must be some, each of a name of its own."""
    found, faults = sources(lambda: reader.find(raw_dir))
    _require_own_names(found)
    if not found:
        raise UserError(raw_dir, expected="raw subjects", found="none")
    return found, faults


def _require_own_names(found):
    by_name: dict[str, Any] = {}
    for source in found:
        other = by_name.setdefault(names.folded(source.name), source)
        if other is not source:
            twice = f"{source.name} at {other.image} too"
            raise UserError(source.image, expected="a name of its own for each subject", found=twice, do="rename one")
