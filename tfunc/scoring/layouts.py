"""Anyone's folders of maps: a folder of them, a folder for each method, or a folder for each subject, as MONAI writes.

Which it is is decided by what lies inside, or said by the user. NumPy only.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from data_prep.base import names
from data_prep.base.errors import UserError
from tfunc import runs
from tfunc.kinds import KINDS
from tfunc.methods import METHODS
from tfunc.scoring import npz
from tfunc.scoring.volumes import ENDINGS

LAYOUTS = ("auto", "methods", "subjects")
_ENTRIES = frozenset(kind.entry for kind in KINDS.values())
Places = dict[str, pathlib.Path]


@dataclasses.dataclass(frozen=True)
class Found:
    """A folder that holds one method's maps: files in itself, or a folder for each subject. places: {subject: its folder}."""

    folder: pathlib.Path
    places: Places | None = None

    @property
    def only_kind(self) -> str | None:
        """The kind of its maps, where the files tell it: nnU-Net's are probabilities."""
        folder = self.folder if self.places is None else next(iter(self.places.values()))
        return next((kind.name for kind in KINDS.values() if kind.segments), None) if npz.names(folder) else None

    def subjects(self, *entries: str) -> tuple[str, ...]:
        """Names for which it has a map of one of these entries, or of any, in order."""
        if self.places is None:
            found = subjects(self.folder, *entries)
        else:
            found = tuple(sorted(name for name, place in self.places.items() if name in subjects(place, *entries)))
        names.require(found, "a subject", self.folder, "rename its files")
        return found


def find(folder: pathlib.Path, layout: str = "auto") -> list[Found]:
    """Which folder holds which method's maps; raises `UserError` where there are none.

    layout: of `LAYOUTS`, what the folders in `folder` are; `auto` looks into them. They are subjects' where each is named
    as the one subject whose maps it holds, or where each holds one and no two the same one. A method's folder may hold a
    folder for each subject, too.
    """
    if not folder.is_dir():
        raise UserError(folder, expected="a folder of maps", found="no such folder")
    if layout == "auto" and subjects(folder):
        return [Found(folder)]
    inside = with_maps(folder)
    if inside and (layout == "subjects" or (layout == "auto" and _are_subjects(inside))):
        return [Found(folder, _by_subject(inside))]
    found = [Found(path) for path in inside]
    if layout != "subjects":
        found += [Found(path, _by_subject(with_maps(path))) for path in _folders(folder) if _holds_subjects(path)]
    if not found:
        expected = "<subject>_probability.nii.gz or <subject>_uncertainty.nii.gz, or folders of them"
        expected = expected if layout == "auto" else f"folders with {expected.partition(',')[0]}, for --layout={layout}"
        raise UserError(folder, expected=expected, found="none")
    return sorted(found, key=lambda one: one.folder.name)


def _folders(folder):
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def with_maps(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders in `folder` that hold maps themselves."""
    return [path for path in _folders(folder) if subjects(path)]


def _are_subjects(folders):
    """Whether folders that hold maps are a subject each, rather than a method each."""
    if not folders or any((path / runs.PREDICTED).exists() or path.name in METHODS for path in folders):
        return False
    held = [subjects(path) for path in folders]
    if any(len(names_of) != 1 for names_of in held):
        return False
    only = [names_of[0] for names_of in held]
    named = all(name == path.name for name, path in zip(only, folders, strict=True))
    return named or (len(folders) > 1 and len(set(only)) == len(only))


def _holds_subjects(folder):
    return not subjects(folder) and _are_subjects(with_maps(folder))


def _by_subject(folders: Sequence[pathlib.Path]) -> Places:
    """{subject: its folder}; raises `UserError` where two have maps of one subject."""
    places: Places = {}
    for path in folders:
        for name in subjects(path):
            if name in places:
                found = f"them in {places[name].name} and in {path.name}"
                raise UserError(
                    path.parent, expected=f"the maps of {name} in one folder", found=found, do="see --layout"
                )
            places[name] = path
    return places


def subjects(folder: pathlib.Path, *entries: str) -> tuple[str, ...]:
    """Names for which the folder has a map, in order."""
    there: set[str] = set()
    for entry in entries or _ENTRIES:
        for ending in ENDINGS:
            suffix = f"_{entry}{ending}"
            found = (path.name for path in folder.glob(f"*{suffix}"))
            there.update(name[: -len(suffix)] for name in found if not name.startswith("."))
    if not there and {kind.entry for kind in KINDS.values() if kind.segments} & {*(entries or _ENTRIES)}:
        return tuple(npz.names(folder))  # where there is no map of ours
    return tuple(sorted(there))
