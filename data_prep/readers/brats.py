"""BraTS as released: finds the subjects of 2018 to 2023 and later, and loads one with every check on the way.

Official layouts, each with .nii or .nii.gz, one folder a subject, anywhere below the raw folder:
    2018, 2019  HGG/<id>/<id>_{flair,t1,t2,t1ce,seg}        grade from the folder
    2020        <id>/<id>_{flair,t1,t2,t1ce,seg}            grade from name_mapping*.csv
    2021        <id>/<id>_{flair,t1,t2,t1ce,seg}            no grades
    2023 on     <id>/<id>-{t2f,t1n,t2w,t1c,seg}             no grades
A subject without seg is unlabelled: it can be predicted, not trained on.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from data_prep import normalisation, subject, tasks, voxel_order
from data_prep.base import notices
from data_prep.base.errors import Faults, UserError, command
from data_prep.readers import (
    channel_files,
    file_names,
    folders,
    intensities,
    labels,
    name_mapping,
    nifti,
    nifti_header,
    patient_folder,
    tumour_parts,
)
from data_prep.readers.cases import Source

TASK = tasks.TASKS["brats"]
CHANNELS = tuple(channel.name for channel in TASK.channels)

SUFFIXES = {
    **{f"_{name}": name for name in (*CHANNELS, "seg")},
    **{"-t2f": "flair", "-t1n": "t1", "-t2w": "t2", "-t1c": "t1ce", "-seg": "seg"},
}
_FILE = re.compile(rf"(?P<name>.+)(?P<suffix>{'|'.join(SUFFIXES)})\.nii(\.gz)?", re.IGNORECASE)
_NAMES = "<id>_flair, _t1, _t2, _t1ce (to 2021) or <id>-t2f, -t1n, -t2w, -t1c (from 2023), each .nii or .nii.gz"


def find(raw_dir: pathlib.Path | str) -> list[Source]:
    """All subjects below `raw_dir`, of any official layout or several, as `Source`s sorted by name.

    Raises `UserError` for an empty folder; `Faults`, with all that is wrong and the subjects that are right, where a
    subject has a modality missing or twice or is found twice, a folder has NIfTI files with other names, or an
    unrecognised segmentation lies beside an otherwise unlabelled subject.
    """
    raw_dir = pathlib.Path(raw_dir)
    below = _walk(raw_dir)
    sources: dict[str, Source] = {}
    faults: dict[str, UserError] = {}
    for folder, names in below.items():
        for source in _subjects(folder, names, faults=faults):
            grade = _folder_grade(raw_dir, folder)
            if (other := sources.get(source.name)) and _same(source, other):  # reached by a link, which may lie in HGG
                sources[source.name] = dataclasses.replace(other, grade=other.grade or grade)
                continue
            if source.name in sources:
                faults[source.name] = UserError(
                    source.image,
                    expected="each subject once",
                    found=f"{source.name} also in {os.path.dirname(sources[source.name].image)}",
                    do="remove or rename one of them",
                )
            sources[source.name] = dataclasses.replace(source, grade=grade)
    if not sources and not faults:
        _refuse_empty(raw_dir, below)
    grades = name_mapping.grades([folder / name for folder, names in below.items() for name in names], sources)
    found = [
        dataclasses.replace(source, grade=source.grade or grades.get(name))
        for name, source in sorted(sources.items())
        if name not in faults
    ]
    if faults:
        raise Faults(faults, found)
    return found


def find_one(path: pathlib.Path | str, modalities: Mapping[str, str] | None = None) -> Source:
    """The `Source` of one new patient's folder; arguments as `find_new`. Raises `UserError` for several."""
    found = find_new(path, modalities)
    if len(found) > 1:
        raise UserError(path, expected="one subject", found=f"{len(found)}", do=f"give one folder, as {found[0].name}")
    return found[0]


def find_new(
    path: pathlib.Path | str, modalities: Mapping[str, str] | None = None, task: tasks.Task | None = None
) -> list[Source]:
    """The `Source`s of the new patients below a folder, in order of name. Labels beside the modalities are ignored.

    modalities: {channel: file} of the one patient, where names don't tell. Raises `UserError` where no patient has all
    modalities, `Faults`, with those who have, where some have not.
    """
    path = pathlib.Path(path)
    if path.is_file():
        raise UserError(path, expected="a subject's folder with four modalities", found="a file", do="give its folder")
    folders = _walk(path)
    if modalities:
        return _sources({path.resolve().name: patient_folder.named(path, modalities, CHANNELS)})
    try:
        found = patient_folder.found(folders, SUFFIXES, CHANNELS)
    except Faults as error:
        raise Faults(error.faults, _sources(error.found)) from None
    if not found:
        try:
            for folder, names in folders.items():  # says what is wrong with the first that there is
                _subjects(folder, names, labelled=False)
        except UserError as error:
            where, expected, seen, _ = error.arguments
            do = f"{patient_folder.flag(CHANNELS)}, in the folder of one patient"
            raise UserError(where, expected=expected, found=seen, do=do) from None
        _refuse_empty(path, folders)
    return _sources(found)


def _sources(found):
    return [Source(name, tuple(str(files[channel]) for channel in CHANNELS)) for name, files in sorted(found.items())]


def load(source: Source, options: Mapping[str, Any] | None = None, task: tasks.Task | None = None) -> subject.Subject:
    """Reads and checks a subject of a task, by default that of the whole tumour.

    options: {"label_map": {raw label: class} or None, "order": the voxel order to bring it to, or None for its own};
    without a map what `label_sets` knows is tumour is. "allow_negative": whether volumes that look normalised are taken as
    they are.
    Returns a `Subject` with image [depth, height, width, 4] (int16 where every modality is made of integers that fit,
    else float32), the reference's z-score statistics, label (classes) and raw_label uint8 [depth, height, width],
    or None for both without seg. Raises `UserError` naming the file at fault.
    """
    headers = channel_files.headers(source)
    seg = None if source.seg is None else nifti.read_header(source.seg)
    nifti_header.require_budget(source.image, [each.shape for each in (*headers, *((seg,) if seg else ()))])
    for other in (*headers[1:], *((seg,) if seg else ())):
        nifti.require_same_space(headers[0], other)
    options = options or {}
    own, order = voxel_order.of_affine(headers[0].affine), options.get("order")
    if order is None:
        nifti.warn_unless_axial(headers[0])
    negative = bool(options.get("allow_negative"))
    channels = [voxel_order.permuted(intensities.read(header, negative), own, order) for header in headers]
    image = subject.of_channels(channels)  # int16 and float32 stack to float32, which holds every int16
    del channels
    mean, std = normalisation.statistics(image, TASK.normalise, os.path.dirname(source.image))
    raw_label = label = None
    if seg:
        raw_label = labels.read(seg)
        label = tumour_parts.classes(raw_label, seg.path, options.get("label_map"), task or TASK)
        raw_label, label = (voxel_order.permuted(each, own, order) for each in (raw_label, label))
    return subject.Subject(
        name=source.name,
        image=image,
        mean=mean,
        std=std,
        label=label,
        raw_label=raw_label,
        header=headers[0].block,
        source=source.image,
        order=order or own,
    )


def fitted(task: tasks.Task, sources: Sequence[Source]) -> tasks.Task:
    """The task with the numbers that the release of these subjects has."""
    return tumour_parts.fitted(task, [source.seg for source in sources if source.seg])


def _walk(raw_dir):
    """{folder: sorted file names} below `raw_dir`, hidden files left out, links to folders followed."""
    if not raw_dir.is_dir():
        raise UserError(raw_dir, expected="a folder of raw BraTS data", found="no such folder")
    return dict(folders.walk(raw_dir))


def _subjects(folder, files, labelled=True, faults=None):
    """The subjects whose files lie directly in `folder`; none if it has no NIfTI files.

    faults: {subject or folder: what is wrong with it}, filled here; None: the first one is raised.
    """

    def refuse(name, error):
        if faults is None:
            raise error
        faults[name] = error

    images = [name for name in files if file_names.is_volume(name) and not patient_folder.is_map(name)]
    grouped, others = {}, []
    for file in images:
        match = _FILE.fullmatch(file)
        if match is None:
            others.append(file)
            continue
        found = grouped.setdefault(file_names.composed(match["name"]), {})
        modality = SUFFIXES[match["suffix"].lower()]
        if modality in found and folders.same_file(folder / file, folder / found[modality]):
            continue
        if modality in found and (labelled or modality != "seg"):
            twice = f"{found[modality]} and {file}"
            refuse(match["name"], UserError(folder, expected=f"one {modality} file", found=twice, do="remove one"))
        found[modality] = file
    if others and not grouped:
        do = "rename them if all four raw modalities are there, else move the folder away"
        refuse(str(folder), UserError(folder, expected=f"files named {_NAMES}", found=_some(others), do=do))
    sources = []
    for name, found in grouped.items():
        try:
            sources.append(_source(folder, name, found, others, labelled))
        except UserError as error:
            refuse(name, error)
    return sources


def _same(source, other):
    """Whether two subjects are one: of the same name and of the same files, whatever links lead there."""
    if source.name != other.name or source.labelled != other.labelled:
        return False
    pairs = zip((*source.files, source.seg or ""), (*other.files, other.seg or ""), strict=True)
    return all(one == two or folders.same_file(one, two) for one, two in pairs)


def _source(folder, name, found, others, labelled):
    missing = [channel for channel in CHANNELS if channel not in found]
    if missing:
        files = ", ".join(found.values())
        if others:
            files += f", and unrecognised {_some(others)}"
        raise UserError(
            folder, expected=f"four modalities named {_NAMES}", found=files, do=f"{', '.join(missing)} missing: add it"
        )
    stray = [file for file in others if file_names.seems_labels(file)]
    if labelled and "seg" not in found and stray:  # in 2020, BraTS20_Training_355 has W39_1998.09.19_Segm.nii
        ending = ".nii.gz" if stray[0].lower().endswith(".gz") else ".nii"
        raise UserError(
            folder / stray[0],
            expected=f"labels of {name} under an official name",
            found="this name",
            do=f"rename it to {name}_seg{ending} if these are its labels (so in BraTS20_Training_355), else move it",
        )
    if labelled and "seg" not in found and others:
        said = f"{folder}: {name} has no labels by name, and {_some(others)} beside it is not used: rename it to {name}_seg"
        notices.once("beside an unlabelled subject", f"{said} if it holds them")
    seg = str(folder / found["seg"]) if labelled and "seg" in found else None
    return Source(name, tuple(str(folder / found[channel]) for channel in CHANNELS), seg)


def _refuse_empty(raw_dir, below):
    files = [name for names in below.values() for name in names]
    raise UserError(
        raw_dir,
        expected=f"BraTS subjects, a folder for each, with {_NAMES}",
        found=f"no NIfTI file, but {_some(files)}" if files else "no file",
        do=("unpack the data there, or make some: ", command("phantom", dataset=TASK.name, raw_dir="DIR")),
    )


def _folder_grade(raw_dir, folder):
    parts = (raw_dir.resolve().name, *folder.relative_to(raw_dir).parts)
    return next((part for part in reversed(parts) if part in ("HGG", "LGG")), None)


def _some(names):
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
