"""What a class of a task is called in DICOM: SNOMED CT and NCI Thesaurus codes of classes that are known by name.

A class of another name is `Tissue` to machines, and its own name, the segment's label, to people.
"""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """A coded concept: its value, the scheme that it is of, and its meaning in words."""

    value: str
    scheme: str
    meaning: str


class Property(NamedTuple):
    """What a segment shows. category: of which sort it is. kind: what exactly."""

    category: Code
    kind: Code


TISSUE = Code("85756007", "SCT", "Tissue")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
NEOPLASM = Code("108369006", "SCT", "Neoplasm")
UNKNOWN = Property(TISSUE, TISSUE)

_ABNORMAL = {
    ("whole tumour", "tumour", "tumor", "neoplasm", "cancer"): NEOPLASM,
    ("necrosis", "necrotic", "necrotic core"): Code("6574001", "SCT", "Necrosis"),
    ("edema", "oedema", "peritumoral edema"): Code("79654002", "SCT", "Edema"),
    ("enhancing", "enhancing tumour", "enhancing tumor"): Code("C113842", "NCIt", "Enhancing Lesion"),
    ("lesion",): Code("52988006", "SCT", "Lesion"),
    ("skin lesion",): Code("95324001", "SCT", "Skin lesion"),
    ("cyst",): Code("367643001", "SCT", "Cyst"),
}
_ANATOMY = {
    ("liver",): Code("10200004", "SCT", "Liver"),
    ("spleen",): Code("78961009", "SCT", "Spleen"),
    ("pancreas",): Code("15776009", "SCT", "Pancreas"),
    ("kidney",): Code("64033007", "SCT", "Kidney"),
    ("prostate",): Code("41216001", "SCT", "Prostate"),
    ("heart",): Code("80891009", "SCT", "Heart"),
    ("brain",): Code("12738006", "SCT", "Brain"),
    ("lung",): Code("39607008", "SCT", "Lung"),
}
KNOWN = {
    name: Property(category, code)
    for category, table in ((ABNORMAL, _ABNORMAL), (ANATOMY, _ANATOMY))
    for names, code in table.items()
    for name in names
}


def of_class(name: str) -> Property:
    """What a class is in DICOM, by its name in any case; `UNKNOWN` for one that the table lacks."""
    return KNOWN.get(" ".join(name.replace("_", " ").split()).casefold(), UNKNOWN)
