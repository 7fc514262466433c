"""The Medical Segmentation Decathlon's form: one file a case, its channels as a fourth axis, listed in dataset.json.

Task01_BrainTumour/dataset.json                      modality, labels by number, training, test
Task01_BrainTumour/imagesTr/BRATS_001.nii.gz         3-D, or 4-D with the channels last
Task01_BrainTumour/labelsTr/BRATS_001.nii.gz
Task01_BrainTumour/imagesTs/BRATS_485.nii.gz         without labels: can be predicted, not trained on
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np

from data_prep import tasks
from data_prep.base import notices
from data_prep.base.errors import Faults, UserError
from data_prep.base.names import inside
from data_prep.readers import (
    dataset_json,
    described,
    folders,
    new_cases,
    nifti,
    nnunet,
    own_folds,
    own_words,
    patient_folder,
)
from data_prep.readers.cases import Source

_DO = "add it, or take it out of the list"


def accepts(folder: pathlib.Path | str) -> bool:
    """Whether a folder looks like this form: a dataset.json, and no numbered channels."""
    folder = pathlib.Path(folder)
    return (folder / dataset_json.FILE).is_file() and not nnunet.accepts(folder)


def task(folder: pathlib.Path | str) -> tasks.Task:
    """The `Task` that dataset.json, the images and tfunc.json say; raises `UserError` naming the file at fault."""
    folder = pathlib.Path(folder)
    said = dataset_json.read(folder)
    listed = _training(folder)
    made = described.task(
        folder, said, __name__, "volume", lambda: described.kept(_sampled(listed, len(said.channels)))
    )
    return own_words.laid_over(made, folder)


def find(raw_dir: pathlib.Path | str) -> list[Source]:
    """The cases that `training` lists with their labels, and those that `test` lists without, sorted by name.

    Raises `UserError` for a list that is none; `Faults`, with the cases that are right, for files that are not there and
    cases that are listed twice.
    """
    folder = pathlib.Path(raw_dir)
    said = dataset_json.read(folder)
    training, faults = _training(folder), {}
    found: dict[str, Source] = {}
    for image, seg in [*training, *((image, None) for image in _test(folder))]:
        name = new_cases.stem(image.name, new_cases.VOLUMES) or image.name
        missing = next((path for path in (image, seg) if path is not None and not path.is_file()), None)
        if name in found:
            faults[name] = UserError(image, expected="each case once", found=f"{name} twice", do="correct dataset.json")
        elif missing is not None:
            what = "the image" if missing == image else "the labels"
            expected = f"{what} of {name}, as {said.path} lists"
            faults[name] = UserError(missing, expected=expected, found="no such file", do=_DO)
        else:
            found[name] = Source(name, (str(image),), str(seg) if seg else None)
    if said.training is not None and said.training != len(training):
        line = f"{said.path}: numTraining is {said.training}, and {len(training)} cases are listed: these are taken"
        notices.once("numTraining", line)
    sources = [source for name, source in sorted(found.items()) if name not in faults]
    if faults:
        raise Faults(faults, sources)
    return sources


def find_new(
    path: pathlib.Path | str, modalities: Mapping[str, str] | None = None, task: tasks.Task | None = None
) -> list[Source]:
    """The `Source`s of new patients, in order of name: every image of a folder such as imagesTs, or one file."""
    path = pathlib.Path(path)
    if modalities or (task is not None and _is_numbered(path, len(task.channels))):
        return nnunet.find_new(path, modalities, task)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    named = {file: new_cases.stem(file.name, new_cases.VOLUMES) for file in files if file.is_file()}
    found = [
        Source(name, (str(file),))
        for file, name in named.items()
        if name is not None and not file.name.startswith(".") and not name.endswith(patient_folder.MAPS)
    ]
    if not found:
        raise UserError(path, expected="images that end in .nii.gz or .nii", found="none")
    return sorted(found, key=lambda source: source.name)


def find_one(
    path: pathlib.Path | str, modalities: Mapping[str, str] | None = None, task: tasks.Task | None = None
) -> Source:
    """The `Source` of one new patient; arguments as `find_new`. Raises `UserError` for several."""
    return nnunet.only(find_new(path, modalities, task), path)


load = nnunet.load


def folds(folder: pathlib.Path | str) -> own_folds.Folds | None:
    """The folds of splits_final.json, each a dict with `train` and `valid`; None where there is no such file."""
    folder = pathlib.Path(folder)
    names = {new_cases.stem(image.name, new_cases.VOLUMES) or image.name for image, _ in _training(folder)}
    return own_folds.read(folder, names)


def _is_numbered(path, count):
    """Whether a folder holds a file for each of `count` channels, as nnU-Net has them; higher numbers are the cases'."""
    names = [file.name for file in path.iterdir()] if path.is_dir() else [path.name]
    stems = [new_cases.stem(name, new_cases.VOLUMES) for name in names if not name.startswith(".")]
    numbered = [new_cases.channel_of(stem) for stem in stems if stem is not None]
    return bool(numbered) and all(found is not None and found[1] < count for found in numbered)


def _training(folder):
    """[(image, labels)] of `training`."""
    listed = dataset_json.listed(folder, "training")
    for entry in listed:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(part), str) for part in ("image", "label")):
            expected = 'entries of `training` as {"image": "./imagesTr/x.nii.gz", "label": "./labelsTr/x.nii.gz"}'
            raise UserError(folder / dataset_json.FILE, expected=expected, found=repr(entry)[:80], do="correct it")
    pairs = [(_inside(folder, entry["image"]), _inside(folder, entry["label"])) for entry in listed]
    if not pairs:
        raise UserError(folder / dataset_json.FILE, expected="cases in `training`", found="none", do="list them")
    return [(image, seg) for image, seg in pairs if not image.name.startswith("._")]


def _test(folder):
    """The images of `test`, which may be missing or hold entries as `training` does."""
    listed = dataset_json.peek(folder).get("test", [])
    entries = listed if isinstance(listed, list) else [None]
    names = [entry.get("image") if isinstance(entry, dict) else entry for entry in entries]
    if not all(isinstance(name, str) for name in names):
        expected = '`test` as ["./imagesTs/y.nii.gz"]'
        raise UserError(folder / dataset_json.FILE, expected=expected, found=repr(listed)[:80], do="correct it")
    paths = [_inside(folder, name) for name in names]
    return [path for path in paths if not path.name.startswith("._")]


def _inside(folder, name):
    """A listed file; raises `UserError` where it would lie outside the folder, or a link leads out of it unasked."""
    path = folder / inside(name, folder / dataset_json.FILE)
    folders.require_within(path)
    return path


def _sampled(listed, count):
    """The channels of up to `nnunet.SAMPLE` images, evenly taken; those that cannot be read are said where they are read."""
    last = len(listed) - 1
    for index in np.unique(np.linspace(0, last, min(nnunet.SAMPLE, len(listed))).astype(int)):
        try:
            with notices.gathered():
                header = nifti.read_header(listed[index][0], (3, 4) if count > 1 else (3,))
                array = nifti.read_array(header)
        except UserError:
            continue
        yield list(array) if array.ndim == 4 else [array]
