"""Where the organs' subjects lie, in either of two forms that any data set may come in.

nnunet:     imagesTr/organs_000_0000.nii.gz, labelsTr/organs_000.nii.gz, imagesTs/new_000_0000.nii.gz, dataset.json
decathlon:  imagesTr/organs_000.nii.gz, labelsTr/organs_000.nii.gz, imagesTs/new_000.nii.gz, dataset.json with lists

Most subjects lie in the voxel order LPS, every fourth in RAS, one of each two dozen is oblique; some lack the spleen, some
the tumour. A few without labels lie in imagesTs.
"""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import numpy as np
from nibabel import orientations

from data_prep import voxel_order
from data_prep.base.artefacts import aside, write_json
from data_prep.phantom import volumes
from data_prep.phantom.layouts import UNLABELLED, Layout, is_hard
from data_prep.phantom.organs import LABELS, organs

NEW = 3  # subjects without labels


def order(index: int) -> str:
    """The voxel order that a subject's files have."""
    return "RAS" if index % 4 == 1 else "LPS"


def is_oblique(index: int) -> bool:
    """Whether a subject lay askew in the scanner."""
    return index % 24 == 6


def lacking(index: int) -> tuple[str, ...]:
    """The organs that a subject has not."""
    return {2: ("tumour",), 4: ("spleen",)}.get(index % 6, ())


def _name(index):
    return f"new_{index - UNLABELLED:03d}" if index >= UNLABELLED else f"organs_{index:03d}"


def _files(form, index):
    """(image, label or None) of a subject, relative to the raw folder."""
    image = _name(index) + ("_0000.nii.gz" if form == "nnunet" else ".nii.gz")
    if index >= UNLABELLED:
        return pathlib.PurePath("imagesTs", image), None
    return pathlib.PurePath("imagesTr", image), pathlib.PurePath("labelsTr", f"{_name(index)}.nii.gz")


def _is_there(form, raw_dir, index):
    return all((raw_dir / file).is_file() for file in _files(form, index) if file)


def _write(form, raw_dir, index, shape, rng):
    """Label and image, each written aside and renamed; a subject is finished when both are there."""
    patient = organs(rng, shape, lacking(index), is_hard(index))
    affine = _affine(rng, patient.spacing, patient.labels.shape, is_oblique(index))
    image, label = _files(form, index)
    if label:
        _write_volume(raw_dir / label, patient.labels, affine, order(index))
    _write_volume(raw_dir / image, patient.image, affine, order(index))


def _write_volume(path, volume, affine, end):
    """A volume and its affine of LPS in the voxel order `end`, which moves voxels in the file and none in space."""
    moved = orientations.ornt_transform(orientations.axcodes2ornt("LPS"), orientations.axcodes2ornt(end))
    turned = affine @ orientations.inv_ornt_aff(moved, volume.shape[::-1])
    with aside(path) as temporary:
        volumes.write(temporary, voxel_order.permuted(volume, "LPS", end), turned)


def _affine(rng, spacing, shape, oblique):
    rotation = np.eye(3)
    if oblique:
        for axis, angle in enumerate(np.deg2rad(rng.uniform(4, 9, 3))):
            first, second = [each for each in range(3) if each != axis]
            turn = np.eye(3)
            turn[first, first] = turn[second, second] = np.cos(angle)
            turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
            rotation = rotation @ turn
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(np.array(spacing[::-1]) * (-1, -1, 1))
    affine[:3, 3] = np.round(rng.uniform(-20, 20, 3), 2) - affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return affine


def _describe(form, raw_dir, subjects, note):
    """dataset.json, as the form has it."""
    document: dict[str, Any] = {"name": "Organs", "description": note}
    names = {"background": 0, **LABELS}
    if form == "nnunet":
        document |= {"channel_names": {"0": "CT"}, "labels": names, "numTraining": subjects, "file_ending": ".nii.gz"}
    else:
        pairs = [_files(form, index) for index in range(subjects)]
        new = [_files(form, UNLABELLED + index)[0] for index in range(NEW)]
        document |= {"tensorImageSize": "3D", "modality": {"0": "CT"}}
        document |= {"labels": {str(label): name for name, label in names.items()}}
        document |= {"numTraining": subjects, "numTest": NEW}
        document |= {"training": [{"image": f"./{image}", "label": f"./{label}"} for image, label in pairs]}
        document |= {"test": [f"./{image}" for image in new]}
    write_json(raw_dir / "dataset.json", document)


def _layout(form):
    return Layout(
        24,
        (20, 64, 64),
        ("depth", "height", "width"),
        _name,
        functools.partial(_is_there, form),
        functools.partial(_write, form),
        unlabelled=NEW,
        describe=functools.partial(_describe, form),
    )


FORMS = {form: _layout(form) for form in ("nnunet", "decathlon")}  # by its name; the first unless asked for another
