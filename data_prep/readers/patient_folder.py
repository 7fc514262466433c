"""The modalities of new patients in folders as they are kept at work: beside derived files, old maps and other series.

More is accepted here than where a data set is prepared, since nothing is learnt from it: a patient is any set of files of
which each modality is there once, named alike or by the modality alone (`t1.nii.gz`, in a folder called after the
patient); what belongs to no whole set is left out, and said.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Mapping, Sequence

from data_prep.base import notices
from data_prep.base.errors import Faults, UserError
from data_prep.readers import file_names
from data_prep.readers import folders as below

MAPS = ("_prediction", "_probability", "_uncertainty")  # what this toolkit writes

Found = dict[str, dict[str, pathlib.Path]]  # {patient: {modality: file}}


def is_map(file: str) -> bool:
    """Whether a file's name is that of a map of ours, which is nobody's raw data."""
    return file_names.stem(file).endswith(MAPS)


def found(folders: Mapping[pathlib.Path, Sequence[str]], suffixes: Mapping[str, str], channels: Sequence[str]) -> Found:
    """The patients in some folders.

    folders: {folder: file names}. suffixes: {what a name ends in, in lower case, as `_t1`: its modality}, those of other
    files too. channels: the modalities that each patient needs. Returns none where no set is whole. Raises `Faults`, with
    the patients that are whole, for a modality that is there twice, a patient that is found twice, and a folder that holds
    no whole set but more than one modality of a set.
    """
    patients: Found = {}
    faults: dict[str, UserError] = {}
    unused: list[pathlib.Path] = []
    for folder, names in folders.items():
        sets, others = _sets(folder, names, suffixes, channels)
        whole = {name: files for name, files in sets.items() if set(files) >= set(channels)}
        unused += others
        for name, files in sets.items():
            if name not in whole:
                if not whole and len(files) > 1:
                    faults[name] = _incomplete(folder, files, channels)
                unused += [path for paths in files.values() for path in paths]
            elif name in patients and _same(patients[name], files):
                continue  # reached by a link
            elif name in patients:
                other = patients[name][channels[0]].parent
                do = "give one of the folders"
                faults[name] = UserError(folder, expected="each patient once", found=f"{name} also in {other}", do=do)
            elif twice := next((paths for paths in files.values() if not _one(paths)), None):
                seen = " and ".join(path.name for path in twice)
                faults[name] = UserError(folder, expected="one file a modality", found=seen, do=flag(channels))
            else:
                patients[name] = {channel: paths[0] for channel, paths in files.items()}
    if patients and unused:
        shown = ", ".join(path.name for path in unused[:3]) + (
            f" and {len(unused) - 3} more" if len(unused) > 3 else ""
        )
        notices.once(f"unused {unused[0].parent}", f"{unused[0].parent}: not used: {shown}")
    if faults:
        raise Faults(faults, {name: files for name, files in patients.items() if name not in faults})
    return patients


def _one(paths):
    """Whether paths are all links to one file."""
    return all(below.same_file(paths[0], path) for path in paths[1:])


def _same(patient, files):
    return all(_one([patient[channel], *paths]) for channel, paths in files.items())


def _incomplete(folder, files, channels):
    missing = ", ".join(channel for channel in channels if channel not in files)
    seen = ", ".join(path.name for paths in files.values() for path in paths)
    do = f"{missing} missing: add it, or {flag(channels)}"
    return UserError(folder, expected=f"a file for each of {', '.join(channels)}", found=seen, do=do)


def _sets(folder, names, suffixes, channels):
    """({name: {channel: [paths]}} of a folder's files, the other volumes that are none of our maps nor labels)."""
    pattern = re.compile(rf"(?P<name>.+)(?P<suffix>{'|'.join(map(re.escape, suffixes))})", re.IGNORECASE)
    bare = {suffix[1:]: modality for suffix, modality in suffixes.items()}
    sets: dict[str, dict[str, list[pathlib.Path]]] = {}
    others = []
    for file in names:
        stem = file_names.stem(file)
        if not file_names.is_volume(file) or is_map(file):
            continue
        match = pattern.fullmatch(stem)
        name = match["name"] if match else folder.resolve().name
        modality = suffixes[match["suffix"].lower()] if match else bare.get(stem.lower())
        if modality in channels:
            sets.setdefault(name, {}).setdefault(modality, []).append(folder / file)
        elif modality is None:
            others.append(folder / file)
    return sets, others


def named(folder: pathlib.Path, modalities: Mapping[str, str], channels: Sequence[str]) -> dict[str, pathlib.Path]:
    """{modality: file} of a patient whose files the user names, relative to the folder or absolute; raises `UserError`."""
    if set(modalities) != set(channels):
        missing = [channel for channel in channels if channel not in modalities]
        unknown = [name for name in modalities if name not in channels]
        seen = f"none for {', '.join(missing)}" if missing else f"{', '.join(unknown)} too"
        raise UserError(
            "--modalities", expected=f"a file for each of {', '.join(channels)}", found=seen, do=flag(channels)
        )
    files = {channel: folder / modalities[channel] for channel in channels}
    for channel, path in files.items():
        if not path.is_file():
            raise UserError(path, expected=f"the {channel} image of --modalities", found="no such file")
    if len({os.path.realpath(path) for path in files.values()}) < len(files):
        raise UserError("--modalities", expected="another file for each modality", found="one file twice")
    return files


def flag(channels: Sequence[str]) -> str:
    """How a user names the files of one patient."""
    return "give --modalities=" + ",".join(f"{channel}=FILE" for channel in channels)
