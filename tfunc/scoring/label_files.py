"""Where anyone's labels and masks lie: flat in a folder, or in folders by subject, as BraTS ships them."""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Sequence

from data_prep.base.errors import UserError
from data_prep.readers import file_names, folders
from tfunc.kinds import KINDS

_MAPS = tuple(f"_{part}" for part in ("prediction", *sorted({kind.entry for kind in KINDS.values()})))

_USUAL = {"label": file_names.OFFICIAL, "mask": ("_mask", "-mask")}


def find_all(folder: pathlib.Path | str, subjects: Sequence[str], what: str) -> list[pathlib.Path]:
    """The one label, or mask, of each subject in order; raises `UserError` for a subject with none and with two.

    what: `label` or `mask`, for the message. Names: `<subject>` and a suffix of `file_names.LABELS`, or none, in any case.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(folder, expected=f"a folder with a {what} of each subject", found="no such folder")
    flat = _files(folder)
    return [_find(folder, flat, subject, what) for subject in subjects]


def _find(folder, flat, subject, what):
    found = [folder / file for file in flat if file_names.label_suffix(file, subject) is not None]
    found += _of_its_own(folder / subject, subject, what)
    for _ in range(2):
        if not found:  # folders of sets or grades, with folders by subject
            for place in _by_name(folder).get(file_names.composed(subject), ()):
                found += _of_its_own(place, subject, what)
        if not found:  # unless the folders have changed since they were listed
            _by_name.cache_clear()
    found = [path for index, path in enumerate(found) if not any(path.samefile(other) for other in found[:index])]
    if len(found) == 1:
        return found[0]
    if found:
        listed = " and ".join(str(path.relative_to(folder)) for path in found)
        raise UserError(folder, expected=f"one {what} of {subject}", found=listed, do="keep the one that is meant")
    known = ", ".join(f"{subject}{suffix}" for suffix in (*file_names.OFFICIAL, "_label", "_mask"))
    do = f"name it {known}, or {subject} alone, with .nii or .nii.gz, in this folder or in a folder {subject}"
    raise UserError(folder / f"{subject}.nii.gz", expected=f"one {what} of {subject}", found="no such file", do=do)


def _of_its_own(place, subject, what):
    """Labels or masks in a subject's own folder; the official name's alone where there are others, such as a brain's mask."""
    found = {file: file_names.label_suffix(file, subject) for file in _files(place)}
    official = [place / file for file, suffix in found.items() if suffix in _USUAL[what]]
    return official or [place / file for file, suffix in found.items() if suffix is not None]


@functools.lru_cache(maxsize=4)
def _by_name(top):
    """{name: folders of that name} below a folder."""
    found: dict[str, list[pathlib.Path]] = {}
    for folder, _ in folders.walk(top) if top.is_dir() else ():
        found.setdefault(file_names.composed(folder.name), []).append(folder)
    return found


def others(folder: pathlib.Path | str, subjects: Sequence[str]) -> int:
    """How many labels there are of others than `subjects`: files that are named and placed as the used ones are."""
    folder = pathlib.Path(folder)
    used = dict.fromkeys(find_all(folder, subjects, "label"))
    suffixes = {file_names.label_suffix(path.name, name) for path, name in zip(used, subjects, strict=True)}
    places = {path.parent for path in used}
    by_subject = {place.parent for place in places if place != folder and place.name in subjects}
    for above in by_subject:
        places.update(path for path in above.iterdir() if path.is_dir())
    count = 0
    for place in places:
        for file in _files(place):
            stem = file_names.stem(file)
            own = place.parent in by_subject and not stem.startswith(place.name)
            if place / file not in used and not own and not stem.endswith(_MAPS) and _suffix(stem) in suffixes:
                count += 1
    return count


def _suffix(stem):
    """What a label's or mask's name has after the subject's."""
    return next((suffix for suffix in file_names.LABELS if stem.lower().endswith(suffix)), "")


def _files(folder):
    """Names of the NIfTI files directly in a folder, hidden ones left out; none where there is no such folder."""
    try:
        return sorted(name for name in os.listdir(folder) if file_names.is_volume(name) and not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
