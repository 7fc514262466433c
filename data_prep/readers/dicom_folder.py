"""New patients in DICOM: the series below a folder, and which of them is which channel. Nothing is guessed.

A task of one channel takes the one series that there is. Of several channels each series lies in a folder called as its
channel, or its SeriesDescription is the channel's name; else the user names it, by folder, number or description. Reports,
segmentations and localizers are left out, and it is said.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

from data_prep.base import notices
from data_prep.base.errors import Faults, UserError
from data_prep.readers import dicom_file, file_names, folders, patient_folder
from data_prep.readers.cases import Source
from data_prep.readers.dicom_file import Facts
from data_prep.tasks import Task

MOST_FILES = 100_000  # below one folder: a cohort of some hundred patients
SHOWN = 12  # series in a line
# other names of a channel, as BraTS has them from 2023 on
ALIASES = {"flair": ("t2f",), "t1": ("t1n",), "t2": ("t2w",), "t1ce": ("t1c", "t1gd")}


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """The files of one series. folder: the nearest that holds them all."""

    files: list[Facts]
    folder: pathlib.Path

    @property
    def said(self) -> str:
        """For people: its number, description, folder and how many images."""
        first, count = self.files[0], sum(one.count for one in self.files)
        number = f"{first.number} " * bool(first.number)
        return f"{number}{first.description!r} in {self.folder.name} ({count} image{'s' * (count > 1)})"

    @property
    def why_not(self) -> str:
        """Why it is no channel of anything, or empty."""
        if not all(one.is_image for one in self.files):
            return f"{self.files[0].kind[0] or 'no image'}"
        return "localizer" if any(one.is_localizer for one in self.files) else ""


def is_dicom(path: pathlib.Path, task: Task) -> bool:
    """Whether new patients of a task at a path are DICOM: volumes, and no NIfTI file among them but maps of ours."""
    if task.is_photograph:
        return False
    if path.is_file():
        return not file_names.is_volume(path.name) and dicom_file.is_dicom(path)
    below = [folder / name for folder, names in folders.walk(path) for name in names] if path.is_dir() else []
    if any(file_names.is_volume(file.name) and not patient_folder.is_map(file.name) for file in below):
        return False
    return any(dicom_file.is_dicom(file) for file in below)


def find_new(path: pathlib.Path, modalities: Mapping[str, str] | None, task: Task) -> list[Source]:
    """The `Source`s of the patients below a folder, or of the one in a multi-frame file, in order of name.

    Several patients are a cohort where each has a folder of its own directly in `path`. modalities: {channel: a folder, a
    series' number or its description} of one patient. Raises `UserError` where series don't say which channel they are;
    of a cohort `Faults`, with the patients that are right.
    """
    top = path.parent if path.name.upper() == "DICOMDIR" else path
    every = _files(top)
    if len({one.patient for one in every}) < 2:
        return [_patient(_name(top), top, every, modalities, task)]
    groups: dict[str, list[Facts]] = {}
    for one in every:
        relative = pathlib.Path(one.path).relative_to(top)
        groups.setdefault(relative.parts[0] if len(relative.parts) > 1 else "", []).append(one)
    if modalities or "" in groups or any(len({one.patient for one in files}) > 1 for files in groups.values()):
        found = f"images of {len({one.patient for one in every})}"
        do = "give the folder of one, or a folder with a folder for each"
        raise UserError(top, expected="one patient", found=found, do=do)
    sources, faults = [], {}
    for name, files in sorted(groups.items()):
        try:
            sources.append(_patient(name, top / name, files, None, task))
        except UserError as error:
            faults[name] = error
    if faults:
        raise Faults(faults, sources)
    return sources


def _name(top):
    resolved = top.resolve()
    return file_names.composed(resolved.stem if resolved.is_file() else resolved.name)


def _files(top):
    """The facts of all DICOM files below a folder, or of one file; raises `UserError` for too many, and for none."""
    below = [top] if top.is_file() else [folder / name for folder, names in folders.walk(top) for name in names]
    if len(below) > MOST_FILES:
        raise UserError(top, expected=f"at most {MOST_FILES} files", found=f"{len(below)}", do="give fewer patients")
    found = [dicom_file.facts(file) for file in below if file.name.upper() != "DICOMDIR" and dicom_file.is_dicom(file)]
    if not found:
        raise UserError(top, expected="images in DICOM", found="none")
    return found


def _patient(name, top, files, modalities, task):
    """The `Source` of one patient."""
    channels = [channel.name for channel in task.channels]
    every = _series(files)
    images = [one for one in every if not one.why_not]
    if not images:
        raise UserError(top, expected="a series of slices", found=_listed(every) or "none")
    chosen = _named(top, modalities, channels, every) if modalities else _matched(top, channels, images)
    if len({one.files[0].study for one in chosen.values()}) > 1 and not modalities:
        found = ", ".join(f"{channel} {one.said}" for channel, one in chosen.items())
        do = f"if they lie on one grid all the same, {_flag(channels)}"
        raise UserError(top, expected="channels of one study", found=found, do=do)
    taken = {id(one) for one in chosen.values()}
    if unused := [one for one in every if id(one) not in taken]:
        notices.once(f"unused series {top}", f"{top}: not used: {_listed(unused)}")
    series = tuple(tuple(file.path for file in chosen[channel].files) for channel in channels)
    return Source(name, tuple(str(chosen[channel].folder) for channel in channels), series=series)


def _series(files):
    """The series of some files, by number and description."""
    grouped: dict[str, list[Facts]] = {}
    for one in files:
        if one.is_image and not one.series:
            do = dicom_file.AGAIN
            raise UserError(one.path, expected="a SeriesInstanceUID", found="none", do=do)
        grouped.setdefault(one.series or one.path, []).append(one)
    made = []
    for group in grouped.values():
        folder = os.path.commonpath([os.path.dirname(one.path) for one in group]) or "."
        made.append(Series(sorted(group, key=lambda one: one.path), pathlib.Path(folder)))
    return sorted(made, key=lambda one: (_number(one.files[0].number), one.files[0].description, str(one.folder)))


def _number(text):
    return int(text) if re.fullmatch(r"\d{1,9}", text) else 10**9


def _matched(top, channels, images):
    """{channel: series} by folders' names and descriptions; of one channel the only series. Raises `UserError`."""
    if len(channels) == 1 and len(images) == 1:
        return {channels[0]: images[0]}
    found = {channel: [one for one in images if _words(channel) & _said_words(one, top)] for channel in channels}
    if all(len(several) == 1 for several in found.values()):
        return {channel: several[0] for channel, several in found.items()}
    wanted = next(channel for channel, several in found.items() if len(several) != 1)
    if len(channels) == 1:
        raise UserError(top, expected="one series", found=f"{len(images)}: {_listed(images)}", do=_flag(channels))
    expected = f"one series for each of {', '.join(channels)}, in a folder or with a SeriesDescription of that name"
    seen = f"{len(found[wanted])} for {wanted}: {_listed(images)}"
    raise UserError(top, expected=expected, found=seen, do=_flag(channels))


def _plain(text):
    return re.sub(r"[\W_]+", "", text.casefold())


def _words(channel):
    """The names of a channel, compared without case, blanks and signs."""
    return {_plain(name) for name in (channel, *ALIASES.get(channel, ()))} - {""}


def _said_words(series, top):
    folder = series.folder
    inner = folder.relative_to(top).parts if folder.is_relative_to(top) else ()
    return {_plain(name) for name in (*inner, series.files[0].description)} - {""}


def _named(top, modalities, channels, every):
    """{channel: series} as the user names them; raises `UserError`."""
    if set(modalities) != set(channels):
        missing = [channel for channel in channels if channel not in modalities]
        unknown = [name for name in modalities if name not in channels]
        seen = f"none for {', '.join(missing)}" if missing else f"{', '.join(unknown)} too"
        expected = f"a series for each of {', '.join(channels)}"
        raise UserError("--modalities", expected=expected, found=seen, do=_flag(channels))
    chosen = {channel: _asked(top, channel, modalities[channel], every) for channel in channels}
    if len({id(one) for one in chosen.values()}) < len(chosen):
        raise UserError("--modalities", expected="another series for each modality", found="one twice")
    return chosen


def _asked(top, channel, asked, every):
    """The one series that a folder, a number or a description means."""
    place = (top / asked).resolve()
    fits = [
        [one for one in every if one.folder.resolve() == place or place in one.folder.resolve().parents],
        [one for one in every if one.files[0].number == asked],
        [one for one in every if one.files[0].description.casefold() == " ".join(asked.split()).casefold()],
        [one for one in every if one.files[0].series == asked],
    ]
    found = next((several for several in fits if several), [])
    if len(found) > 1:
        found = [one for one in found if not one.why_not] or found
    if len(found) == 1:
        return found[0]
    seen = f"{len(found)}: {_listed(found)}" if found else f"none; there are {_listed(every)}"
    do = "name it by its folder, its number or its description"
    raise UserError(f"--modalities={channel}={asked}", expected="one series", found=seen, do=do)


def _listed(series: Sequence[Series]) -> str:
    shown = [one.said + (f", {one.why_not}" if one.why_not else "") for one in series[:SHOWN]]
    return "; ".join(shown) + (f" and {len(series) - SHOWN} more" if len(series) > SHOWN else "")


def _flag(channels):
    return (
        "give --modalities="
        + ",".join(f"{channel}=SERIES" for channel in channels)
        + (", by folder, number or description")
    )
