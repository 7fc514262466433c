"""nnU-Net's raw form: CASE_0000 and on in imagesTr, one file for each channel, CASE in labelsTr, what they mean in dataset.json.

    Dataset004_Hippocampus/dataset.json                             channel_names, labels, numTraining, file_ending
    Dataset004_Hippocampus/imagesTr/hippocampus_001_0000.nii.gz     of each channel one; volumes or photographs
    Dataset004_Hippocampus/labelsTr/hippocampus_001.nii.gz
    Dataset004_Hippocampus/imagesTs/hippocampus_002_0000.nii.gz     without labels: can be predicted, not trained on

dataset.json may be of version 1 (`modality`, labels by number) or 2.
"""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_prep import grid, subject, tasks
from data_prep.base import notices
from data_prep.base.errors import Faults, UserError
from data_prep.readers import (
    dataset_json,
    described,
    folders,
    new_cases,
    nifti,
    own_folds,
    own_photographs,
    own_volumes,
    own_words,
    photographs,
)
from data_prep.readers.cases import Source

IMAGES, LABELS, NEW = "imagesTr", "labelsTr", "imagesTs"
SAMPLE = 20  # images that decide whether z-scores leave out what is 0
ENDINGS = (*new_cases.VOLUMES, *new_cases.PHOTOGRAPHS[:4])

Files = dict[str, dict[int, pathlib.Path]]  # {case: {channel: file}}


def accepts(folder: pathlib.Path | str) -> bool:
    """Whether a folder looks like this form: numbered channels in imagesTr, or a dataset.json of version 2.

    Images that version 1's file lists as they are called are the Decathlon's, whose cases may be numbered by four digits.
    """
    folder = pathlib.Path(folder)
    said = dataset_json.peek(folder)
    if "channel_names" not in said and _lists_its_images(folder, said.get("training")):
        return False
    images = folder / IMAGES
    if images.is_dir() and any(_numbered(file.name) for file in images.iterdir()):
        return True
    return "channel_names" in said


def task(folder: pathlib.Path | str) -> tasks.Task:
    """The `Task` that dataset.json, the images and tfunc.json say; raises `UserError` naming the file at fault.

    axis, spacing and frame of volumes are left open, since they follow from all headers.
    """
    folder = pathlib.Path(folder)
    said = dataset_json.read(folder)
    ending = _ending(folder, said)
    cases, _ = _images(folder / IMAGES, ending)
    if ending in new_cases.VOLUMES:
        made = described.task(folder, said, __name__, "volume", lambda: described.kept(_sampled(cases)))
    else:
        if not cases:
            raise UserError(folder / IMAGES, expected=f"images CASE_0000{ending}", found="none", do="add them")
        frame = own_photographs.frame(photographs.size(path) for files in cases.values() for path in files.values())
        made = described.task(folder, said, __name__, "photograph", lambda: described.kept(_sampled(cases)), frame)
    return own_words.laid_over(made, folder)


def find(raw_dir: pathlib.Path | str) -> list[Source]:
    """The cases of imagesTr with their labels, and those of imagesTs without, sorted by name.

    Raises `UserError` for a folder without cases; `Faults`, with the cases that are right, for a case with other channels
    than dataset.json names, an image without label, a label without image, a file with another ending, and a case of
    imagesTs that is named as one of imagesTr.
    """
    folder = pathlib.Path(raw_dir)
    said = dataset_json.read(folder)
    ending = _ending(folder, said)
    faults: dict[str, UserError] = {}
    cases, others = _images(folder / IMAGES, ending)
    new, more = _images(folder / NEW, ending)
    segs, rest = _labels(folder / LABELS, ending)
    for file in (*others, *more, *rest):
        do = "convert it, or correct `file_ending`, which holds for all files"
        faults[str(file)] = UserError(
            file, expected=f"files that end in {ending}, as dataset.json says", found="this one", do=do
        )
    found = _paired(folder, cases, segs, said.channels, ending, faults)
    for name, files in new.items():
        if name in cases or name in segs:
            do = "rename one of them"
            faults[name] = UserError(
                next(iter(files.values())), expected="each case once", found=f"{name} in {IMAGES}", do=do
            )
        elif source := _source(name, files, None, said.channels, folder / NEW, faults):
            found.append(source)
    if not found and not faults:
        expected = f"images CASE_0000{ending} and labels CASE{ending}"
        raise UserError(folder / IMAGES, expected=expected, found="none", do="add them, or correct `file_ending`")
    if said.training is not None and said.training != len(cases):
        line = f"{said.path}: numTraining is {said.training}, and {len(cases)} cases are in {IMAGES}: these are taken"
        notices.once("numTraining", line)
    found = sorted((source for source in found if source.name not in faults), key=lambda source: source.name)
    if faults:
        raise Faults(faults, found)
    return found


def find_new(
    path: pathlib.Path | str, modalities: Mapping[str, str] | None = None, task: tasks.Task | None = None
) -> list[Source]:
    """The `Source`s of new patients, in order of name: a folder such as imagesTs, one patient's folder, or one file."""
    return new_cases.find(path, modalities, _known(task))


def find_one(
    path: pathlib.Path | str, modalities: Mapping[str, str] | None = None, task: tasks.Task | None = None
) -> Source:
    """The `Source` of one new patient; arguments as `find_new`. Raises `UserError` for several."""
    return only(find_new(path, modalities, task), path)


def load(source: Source, options: Mapping[str, Any] | None = None, task: tasks.Task | None = None) -> subject.Subject:
    """Reads and checks a case and brings it to the task's grid. options: none that this form has; the task says all."""
    task = _known(task)
    if task.is_photograph:
        return own_photographs.load(source, task)
    return volume(source, task)


def folds(folder: pathlib.Path | str) -> own_folds.Folds | None:
    """The folds of splits_final.json, each a dict with `train` and `valid`; None where there is no such file."""
    folder = pathlib.Path(folder)
    segs, _ = _labels(folder / LABELS, _ending(folder, dataset_json.read(folder)))
    return own_folds.read(folder, set(segs))


def volume(source: Source, task: tasks.Task) -> subject.Subject:
    """A case of volumes, whichever form it came in, on the task's grid."""
    read = own_volumes.read(source, len(task.channels))
    return grid.volume(
        name=source.name,
        channels=read.channels,
        raw_label=read.raw_label,
        label_path=source.seg,
        header=read.header,
        affine=read.affine,
        source=source.image,
        task=task,
    )


def only(found: list[Source], path: object) -> Source:
    """The one that was found; raises `UserError` for several."""
    if len(found) > 1:
        do = f"give one file or folder, as {found[0].image}"
        raise UserError(path, expected="one subject", found=f"{len(found)}", do=do)
    return found[0]


def _known(task):
    if task is None:
        raise ValueError("own data are read by their task")
    return task


def _lists_its_images(folder, listed):
    """Whether one of the images of a list `training` is there; version 1 of this form lists them without their channels."""
    entries = listed if isinstance(listed, list) else []
    names = [entry.get("image") for entry in entries if isinstance(entry, dict)]
    return any(isinstance(name, str) and (folder / name).is_file() for name in names)


def _numbered(name):
    name = new_cases.stem(name, ENDINGS)
    return name is not None and new_cases.channel_of(name) is not None


def _ending(folder, said):
    """How all files end: as `file_ending` says, or in version 1, which has no such entry, as the images do."""
    if said.ending is not None:
        if said.ending not in ENDINGS:
            do = "convert the images to one of them"
            raise UserError(said.path, expected=f"`file_ending` of {', '.join(ENDINGS)}", found=said.ending, do=do)
        return said.ending
    images = folder / IMAGES
    names = [file.name for file in images.iterdir() if _numbered(file.name)] if images.is_dir() else []
    count = collections.Counter(next(each for each in ENDINGS if name.lower().endswith(each)) for name in names)
    return min(count, key=lambda ending: (-count[ending], ending), default=ENDINGS[0])


def _images(folder, ending):
    """({case: {channel: file}}, images that end or are named otherwise) of a folder; none where it is not there."""
    cases: Files = {}
    others = []
    for file in _files(folder):
        name = new_cases.stem(file.name, (ending,))
        numbered = None if name is None else new_cases.channel_of(name)
        if numbered:
            cases.setdefault(numbered[0], {})[numbered[1]] = file
        elif name is not None or _is_image(file):
            others.append(file)
    return cases, others


def _labels(folder, ending):
    """({case: file}, images that end otherwise) of a folder of labels."""
    files = _files(folder)
    named = {file: new_cases.stem(file.name, (ending,)) for file in files}
    found = {name: file for file, name in named.items() if name is not None}
    return found, [file for file, name in named.items() if name is None and _is_image(file)]


def _files(folder):
    """The files of a folder, hidden ones left out; none where it is not there."""
    return [folder / name for name in folders.files(folder)] if folder.is_dir() else []


def _is_image(file):
    return file.name.lower().endswith((*ENDINGS, *new_cases.PHOTOGRAPHS, ".nrrd", ".mha", ".mhd", ".gz", ".dcm"))


def _paired(folder, cases, segs, channels, ending, faults):
    """The labelled cases; images without label and labels without image are faults."""
    found = []
    for name, files in cases.items():
        if name not in segs:
            do = f"add it, or move the images to {NEW}"
            path = folder / LABELS / f"{name}{ending}"
            faults[name] = UserError(path, expected=f"the labels of {name}", found="no such file", do=do)
        elif source := _source(name, files, str(segs[name]), channels, folder / IMAGES, faults):
            found.append(source)
    for name in sorted(segs.keys() - cases.keys()):
        do = "add the image, or take the labels away"
        expected = f"its image {name}_0000{ending} in {IMAGES}"
        faults[name] = UserError(segs[name], expected=expected, found="no such file", do=do)
    return found


def _source(name, files, seg, channels, folder, faults):
    """The `Source` of a case, or None where its channels are wrong, which goes to the faults."""
    is_photograph = not next(iter(files.values())).name.lower().endswith(new_cases.VOLUMES)
    if new_cases.together(is_photograph, len(channels), files):
        return Source(name, (str(files[0]),), seg)
    if error := new_cases.wrong_channels(name, files, channels, folder):
        faults[name] = error
        return None
    return Source(name, tuple(str(files[index]) for index in range(len(channels))), seg)


def _sampled(cases):
    """The channels of up to `SAMPLE` images, evenly taken by name; those that cannot be read are said where they are read."""
    names = sorted(cases)
    for index in np.unique(np.linspace(0, len(names) - 1, min(SAMPLE, len(names))).astype(int)) if names else ():
        files = cases[names[index]].values()
        try:
            with notices.gathered():
                yield [_pixels(path) for path in files]
        except UserError:
            continue


def _pixels(path):
    if path.name.lower().endswith(new_cases.VOLUMES):
        return nifti.read_array(nifti.read_header(path))
    return photographs.read_photograph(path, photographs.ANY).any(axis=-1)
