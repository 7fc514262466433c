"""Where a phantom's subjects lie and what they are called: the official layouts, one `Layout` for each.

Those of forms that any data set may have, as nnU-Net's, are in `organ_layouts`.

brats, of 2018: {HGG,LGG}/Phantom18_000_1/Phantom18_000_1_{flair,t1,t2,t1ce,seg}.nii.gz
isic, of 2017:  ISIC-2017_{Training,Validation,Test_v2}_Data/ISIC_9000000.jpg
                ISIC-2017_{Training,Validation,Test_v2}_Part1_GroundTruth/ISIC_9000000_segmentation.png
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from data_prep.base.artefacts import aside, folder_aside
from data_prep.phantom import volumes
from data_prep.phantom.brain import MODALITIES, brain
from data_prep.phantom.skin import skin

# Where the subjects of every ten go: 7 training, 1 validation, 2 test, each of them among the first three.
ISIC_PARTS = ("Training", "Validation", "Test_v2", "Training", "Training", "Training", "Test_v2") + ("Training",) * 3


UNLABELLED = 100_000  # number of the first subject without labels


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the phantom of one task is laid out.

    subjects, shape: how many and how large unless asked for otherwise. axes: of the shape, by name.
    name: number of a subject -> its name. is_there: (raw folder, number) -> whether it is finished.
    write: (raw folder, number, shape, random generator): draws it and writes its files, whole or not at all.
    unlabelled: how many subjects without labels lie beside the others, numbered from `UNLABELLED` on.
    describe: (raw folder, how many with labels, what the data are): writes what describes them all, or None.
    """

    subjects: int
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    name: Callable[[int], str]
    is_there: Callable[[pathlib.Path, int], bool]
    write: Callable[[pathlib.Path, int, tuple[int, ...], np.random.Generator], None]
    unlabelled: int = 0
    describe: Callable[[pathlib.Path, int, str], None] | None = None


def is_low_grade(index: int) -> bool:
    """Every third BraTS subject is an LGG."""
    return index % 3 == 2


def is_hard(index: int) -> bool:
    """Every fourth subject, of either data set, shows little contrast."""
    return index % 4 == 3


def _brats_name(index):
    return f"Phantom18_{index:03d}_1"


def _brats_folder(raw_dir, index):
    return raw_dir / ("LGG" if is_low_grade(index) else "HGG") / _brats_name(index)


def _brats_finished(raw_dir, index):
    return _brats_folder(raw_dir, index).is_dir()


def _write_brats(raw_dir, index, shape, rng):
    """Five files in a folder that is written aside, then renamed: a subject is whole or not there."""
    patient = brain(rng, shape, low_grade=is_low_grade(index), hard=is_hard(index))
    name = _brats_name(index)
    with folder_aside(_brats_folder(raw_dir, index)) as temporary:
        for modality in MODALITIES:
            volumes.write(temporary / f"{name}_{modality}.nii.gz", patient.modalities[modality], patient.affine)
        volumes.write(temporary / f"{name}_seg.nii.gz", patient.labels, patient.affine)


def _isic_name(index):
    return f"ISIC_{9_000_000 + index:07d}"


def _isic_paths(raw_dir, index):
    part, name = ISIC_PARTS[index % len(ISIC_PARTS)], _isic_name(index)
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


LAYOUTS = {
    "brats": Layout(20, (24, 64, 64), ("depth", "height", "width"), _brats_name, _brats_finished, _write_brats),
    "isic": Layout(40, (96, 128), ("height", "width"), _isic_name, _isic_finished, _write_isic),
}  # by the name of the task
