"""New patients as nnU-Net's users keep them: CASE_0000 and on for each channel, many in a folder or one, or single files."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterable, Mapping

from data_prep import tasks
from data_prep.base import notices
from data_prep.base.errors import Faults, UserError
from data_prep.readers import file_names, patient_folder
from data_prep.readers.cases import Source

VOLUMES = (".nii.gz", ".nii")
PHOTOGRAPHS = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def endings(task: tasks.Task) -> tuple[str, ...]:
    """How files of a task's images may end, in lower case."""
    return PHOTOGRAPHS if task.is_photograph else VOLUMES


def stem(name: str, possible: Iterable[str]) -> str | None:
    """A file's name without its ending, in Unicode's composed form; None for another ending."""
    ending = next((ending for ending in possible if name.lower().endswith(ending)), None)
    return None if ending is None else file_names.composed(name[: -len(ending)])


def channel_of(stem: str) -> tuple[str, int] | None:
    """(case, channel) of CASE_0000; None for a name of another form."""
    match = _CHANNEL.fullmatch(stem)
    return (match["case"], int(match["channel"])) if match else None


def together(is_photograph: bool, count: int, channels: Iterable[int]) -> bool:
    """Whether channels of these numbers are all that a photograph of `count` channels has: one file of three colours."""
    return is_photograph and count == 3 and set(channels) == {0}


def find(path: pathlib.Path | str, modalities: Mapping[str, str] | None, task: tasks.Task) -> list[Source]:
    """The `Source`s of new patients of a task, in order of name: in a folder such as imagesTs, or of one file.

    modalities: {channel: file} of the one patient in the folder, where names don't tell. Files without a channel's number
    are patients where a task has one channel. Raises `UserError` where there is none; `Faults`, with those that are whole,
    where some lack a channel or have too many.
    """
    path, names = pathlib.Path(path), [channel.name for channel in task.channels]
    if modalities:
        files = patient_folder.named(path, modalities, names)
        return [Source(path.resolve().name, tuple(str(files[name]) for name in names))]
    if path.is_file():
        return [_alone(path, task)]
    if not path.is_dir():
        raise UserError(path, expected="an image, or a folder of images", found="nothing there")
    cases, unnumbered = _sorted(path, task)
    colours = together(task.is_photograph, len(names), [0])
    if not cases and len(names) > 1 and not colours and unnumbered:
        expected = f"CASE_0000 to CASE_{len(names) - 1:04d} for {', '.join(names)}"
        raise UserError(path, expected=expected, found=unnumbered[0].name, do=patient_folder.flag(names))
    if not cases and (len(names) == 1 or colours):
        cases = {stem(file.name, endings(task)) or file.name: {0: file} for file in unnumbered}
    elif unnumbered:
        notices.once(f"unused {path}", f"{path}: not used, as they have no channel's number: {_some(unnumbered)}")
    if not cases:
        wanted = f"images CASE_0000{endings(task)[0]}" + (f" to CASE_{len(names) - 1:04d}" if len(names) > 1 else "")
        raise UserError(path, expected=wanted, found="none")
    return whole(cases, task, path)


def whole(cases: Mapping[str, Mapping[int, pathlib.Path]], task: tasks.Task, folder: pathlib.Path) -> list[Source]:
    """The `Source`s of cases that have all channels of the task; raises `Faults` for those that have others."""
    faults: dict[str, UserError] = {}
    found = []
    for name, files in sorted(cases.items()):
        if together(task.is_photograph, len(task.channels), files):
            found.append(Source(name, (str(files[0]),)))
        elif error := wrong_channels(name, files, [channel.name for channel in task.channels], folder):
            faults[name] = error
        else:
            found.append(Source(name, tuple(str(files[index]) for index in range(len(task.channels)))))
    if faults:
        raise Faults(faults, found)
    return found


def wrong_channels(
    case: str, files: Mapping[int, pathlib.Path], names: Iterable[str], folder: pathlib.Path
) -> UserError | None:
    """What is wrong where a case has other channels than those named; None where it has them all."""
    names = list(names)
    ending = next(iter(files.values())).name[len(case) + 5 :]
    expected = f"one file for each of {len(names)} channels, {', '.join(names)}"
    missing = [index for index in range(len(names)) if index not in files]
    if missing:
        there = ", ".join(f"_{index:04d}" for index in sorted(files))
        do = "add it, or take the case away"
        path = folder / f"{case}_{missing[0]:04d}{ending}"
        return UserError(path, expected=expected, found=f"no such file, beside {there}", do=do)
    if beyond := [index for index in sorted(files) if index >= len(names)]:
        do = "take it away, or name the channel for all cases"
        return UserError(files[beyond[0]], expected=expected, found=f"{len(files)} in this case", do=do)
    return None


def _alone(path, task):
    name = stem(path.name, endings(task))
    if name is None:
        raise UserError(path, expected=f"an image ({', '.join(endings(task))})", found="another file")
    if len(task.channels) > 1 and not (task.is_photograph and len(task.channels) == 3):
        names = ", ".join(channel.name for channel in task.channels)
        raise UserError(
            path, expected=f"a folder with a file for each of {names}", found="one file", do="give its folder"
        )
    numbered = channel_of(name)
    return Source(numbered[0] if numbered and numbered[1] == 0 else name, (str(path),))


def _sorted(folder, task):
    """({case: {channel: file}}, other images) of the files in a folder; hidden ones and maps of ours are left out."""
    cases: dict[str, dict[int, pathlib.Path]] = {}
    others = []
    for file in sorted(folder.iterdir()):
        name = stem(file.name, endings(task))
        if name is None or file.name.startswith(".") or name.endswith(patient_folder.MAPS) or not file.is_file():
            continue
        if numbered := channel_of(name):
            cases.setdefault(numbered[0], {})[numbered[1]] = file
        else:
            others.append(file)
    return cases, others


def _some(files):
    return ", ".join(file.name for file in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
