"""Writes made-up subjects in the official raw layouts, so that everything can be tried and tested without real data.

    brats, layout of 2018: {HGG,LGG}/Phantom18_000_1/Phantom18_000_1_{flair,t1,t2,t1ce,seg}.nii.gz
    isic, layout of 2017:  ISIC-2017_{Training,Validation,Test_v2}_Data/ISIC_9000000.jpg
                           ISIC-2017_{Training,Validation,Test_v2}_Part1_GroundTruth/ISIC_9000000_segmentation.png

`phantom.json` in the raw folder says what it is. A subject's bytes, grade and place depend on the seed and its number
only, neither on how many there are nor on the order of writing: a folder can be continued, and grown.
"""

import dataclasses
import gzip
import os
import pathlib
import shutil

import nibabel
import numpy as np
from PIL import Image

from data_prep.base.artefacts import aside, difference, read_json, write_json
from data_prep.base.errors import UserError
from data_prep.base.progress import Progress
from data_prep.phantom.brain import MODALITIES, brain
from data_prep.phantom.skin import skin

DATASETS = ("brats", "isic")
SUBJECTS = {"brats": 20, "isic": 40}
SHAPES = {"brats": (24, 64, 64), "isic": (96, 128)}
AXES = {"brats": ("depth", "height", "width"), "isic": ("height", "width")}
SMALLEST, MOST_VOXELS = 16, 64_000_000
RECIPE = 1  # raised whenever the same seed would give other pictures
NOTE = "made-up data, drawn by launch/phantom.py; no patient, of no medical meaning"

# Where the subjects of every ten go: 7 training, 1 validation, 2 test, each of them among the first three.
ISIC_PARTS = ("Training", "Validation", "Test_v2", "Training", "Training", "Training", "Test_v2") + ("Training",) * 3


@dataclasses.dataclass(frozen=True)
class Written:
    """What a call of `write` found and did; `shape` and `raw_dir` as used."""

    raw_dir: pathlib.Path
    shape: tuple
    new: int
    kept: int


def write(dataset, raw_dir, subjects=None, shape=None, seed=0):
    """Writes the missing ones of subjects 0 … `subjects` - 1; finished ones are kept.

    Args:
        dataset: "brats" or "isic".
        raw_dir: a folder that is new, empty, or an earlier phantom with the same settings.
        subjects: how many, at least 3; None is the data set's default (20 or 40).
        shape: (depth, height, width) in voxels or (height, width) in pixels, each at least 16; None is the default.
        seed: 0 or more.

    Returns:
        A `Written`.

    Raises:
        UserError: for a bad argument, a folder that holds something else, or one made with other settings.
    """
    if dataset not in DATASETS:
        raise UserError("--dataset", expected=" or ".join(DATASETS), found=repr(dataset))
    subjects = SUBJECTS[dataset] if subjects is None else subjects
    shape = _checked_shape(dataset, SHAPES[dataset] if shape is None else shape)
    if subjects < 3:
        raise UserError("--subjects", expected="at least 3 (train, validate and test need one each)", found=subjects)
    if seed < 0:
        raise UserError("--seed", expected="0 or more", found=seed)
    raw_dir = pathlib.Path(raw_dir)
    settings = {"dataset": dataset, "seed": seed, "shape": list(shape), "recipe": RECIPE}
    try:
        _claim(raw_dir, settings, subjects)
        new = _write_missing(dataset, raw_dir, subjects, shape, seed)
        if new or not read_json(raw_dir / "phantom.json").get("finished"):
            _describe(raw_dir, settings, subjects, finished=True)
    except OSError as error:
        found = f"{error.strerror or error} ({error.filename or raw_dir})"
        raise UserError(raw_dir, expected="a folder that can be written", found=found) from None
    return Written(raw_dir, shape, new, subjects - new)


def subject_id(dataset, index):
    """The name of subject `index`."""
    return f"Phantom18_{index:03d}_1" if dataset == "brats" else f"ISIC_{9_000_000 + index:07d}"


def is_low_grade(index):
    """Every third BraTS subject is an LGG."""
    return index % 3 == 2


def is_hard(index):
    """Every fourth subject, of either data set, shows little contrast."""
    return index % 4 == 3


def _checked_shape(dataset, shape):
    shape, axes = tuple(shape), AXES[dataset]
    example = ",".join(map(str, SHAPES[dataset]))
    if len(shape) != len(axes):
        expected = f"{len(axes)} numbers for {dataset} ({','.join(axes)}), such as {example}"
        raise UserError("--shape", expected=expected, found=",".join(map(str, shape)) or "nothing")
    if min(shape) < SMALLEST or np.prod(shape, dtype=float) > MOST_VOXELS:
        expected = f"each at least {SMALLEST}, the product at most {MOST_VOXELS}"
        raise UserError("--shape", expected=expected, found=",".join(map(str, shape)), do=f"the default is {example}")
    return shape


def _claim(raw_dir, settings, subjects):
    """Makes sure that nothing but this phantom is in the folder, and marks the folder before the first subject."""
    record = raw_dir / "phantom.json"
    if record.exists():
        there = read_json(record)
        if not isinstance(there, dict) or not isinstance(there.get("subjects"), int):
            raise UserError(record, expected="the description of a phantom", found="something else")
        differs = difference({name: there.get(name) for name in settings}, settings)
        if not differs and there["subjects"] > subjects:
            differs = f"subjects {there['subjects']} (there) against {subjects} (asked for)"
        if differs:
            do = "choose another --raw_dir, or remove that folder"
            raise UserError(record, expected="the settings asked for", found=differs, do=do)
        if there["subjects"] == subjects:
            return
    elif raw_dir.exists():
        others = sorted(path.name for path in raw_dir.iterdir() if not path.name.startswith("."))
        if others:
            expected = "an empty folder or an earlier phantom, so that made-up and real data never mix"
            raise UserError(raw_dir, expected=expected, found=others[0], do="choose another --raw_dir")
    _describe(raw_dir, settings, subjects, finished=False)


def _describe(raw_dir, settings, subjects, finished):
    write_json(raw_dir / "phantom.json", {"note": NOTE, **settings, "subjects": subjects, "finished": finished})


def _write_missing(dataset, raw_dir, subjects, shape, seed):
    """Returns how many were missing."""
    find, write_one = {"brats": (_brats_finished, _write_brats), "isic": (_isic_finished, _write_isic)}[dataset]
    missing = [index for index in range(subjects) if not find(raw_dir, index)]
    if not missing:
        return 0
    with Progress(f"phantom {dataset}", len(missing), unit=" subjects") as progress:
        for index in missing:
            write_one(raw_dir, index, shape, np.random.default_rng([seed, index]))
            progress.advance(note=subject_id(dataset, index))
    return len(missing)


def _brats_folder(raw_dir, index):
    return raw_dir / ("LGG" if is_low_grade(index) else "HGG") / subject_id("brats", index)


def _brats_finished(raw_dir, index):
    return _brats_folder(raw_dir, index).is_dir()


def _write_brats(raw_dir, index, shape, rng):
    """Five files in a folder written aside in the raw folder, then renamed: a subject is whole or not there."""
    patient = brain(rng, shape, low_grade=is_low_grade(index), hard=is_hard(index))
    name, folder = subject_id("brats", index), _brats_folder(raw_dir, index)
    temporary = raw_dir / f".partial-{name}"
    if temporary.exists():  # of a run that was killed
        shutil.rmtree(temporary)
    temporary.mkdir(parents=True)
    for modality in MODALITIES:
        _write_nifti(temporary / f"{name}_{modality}.nii.gz", patient.modalities[modality], patient.affine)
    _write_nifti(temporary / f"{name}_seg.nii.gz", patient.labels, patient.affine)
    folder.parent.mkdir(exist_ok=True)
    os.replace(temporary, folder)


def _write_nifti(path, volume, affine):
    """[depth, height, width] as NIfTI-1 [x, y, z] with both transforms set; no time and no name in the gzip header."""
    image = nibabel.Nifti1Image(np.ascontiguousarray(volume.T), affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    with open(path, "wb") as file, gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
        packed.write(image.to_bytes())


def _isic_paths(raw_dir, index):
    part, name = ISIC_PARTS[index % len(ISIC_PARTS)], subject_id("isic", index)
    photo = raw_dir / f"ISIC-2017_{part}_Data" / f"{name}.jpg"
    return photo, raw_dir / f"ISIC-2017_{part}_Part1_GroundTruth" / f"{name}_segmentation.png"


def _isic_finished(raw_dir, index):
    return all(path.is_file() for path in _isic_paths(raw_dir, index))


def _write_isic(raw_dir, index, shape, rng):
    """Mask and photograph, each written aside and renamed; a subject is finished when both are there."""
    photo, mask = skin(rng, shape, hard=is_hard(index))
    photo_path, mask_path = _isic_paths(raw_dir, index)
    with aside(mask_path) as temporary:
        Image.fromarray(mask.astype(np.uint8) * 255).save(temporary, "PNG", compress_level=6)
    with aside(photo_path) as temporary:
        Image.fromarray(photo).save(temporary, "JPEG", quality=92, subsampling=0)
