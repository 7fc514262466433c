"""How files of volumes and of labels are named: the one table, for raw data and for the labels of an evaluation.

Endings and suffixes are read in any case, and names in Unicode's composed form (NFC), in which a name that a Mac wrote
equals the same name typed elsewhere.
"""

from __future__ import annotations

import unicodedata

ENDINGS = (".nii.gz", ".nii")
OFFICIAL = ("_seg", "-seg")  # of BraTS' labels, to 2021 and from 2023 on
# of a label or a mask, after the subject's name: official ones, and those of common tools
LABELS = (
    *OFFICIAL,
    *(sign + word for word in ("label", "labels", "mask", "segm", "segmentation", "gtv") for sign in "_-"),
)
_WORDS = ("seg", "label", "mask", "gtv")  # what a file of labels is called, wherever it stands in its name
_BRAIN = ("brain", "bet", "skull")  # a mask of the brain is none of a tumour


def composed(name: str) -> str:
    """The name in Unicode's composed form, as names are compared."""
    return unicodedata.normalize("NFC", name)


def is_volume(file: str) -> bool:
    """Whether a file's name ends as NIfTI does, in any case."""
    return file.lower().endswith(ENDINGS)


def stem(file: str) -> str:
    """A NIfTI file's name without its ending; the name itself for other files."""
    return next((file[: -len(ending)] for ending in ENDINGS if file.lower().endswith(ending)), file)


def label_suffix(file: str, subject: str) -> str | None:
    """What a subject's label or mask is called after its name, in lower case: empty, or one of `LABELS`; None for other files."""
    name, subject = composed(stem(file)), composed(subject)
    rest = name[len(subject) :].lower()
    return rest if is_volume(file) and name.startswith(subject) and rest in ("", *LABELS) else None


def seems_labels(file: str) -> bool:
    """Whether a file of labels may be meant by a name of any form, as in `W39_1998.09.19_Segm.nii`; not a brain's mask."""
    name = stem(file).lower()
    return any(word in name for word in _WORDS) and not any(word in name for word in _BRAIN)
