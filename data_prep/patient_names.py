"""Which subjects are one patient by their names: collections that number time points, words for them, and what scans share.

| rule | names | patient |
| --- | --- | --- |
| collections, in any case | `BraTS-GLI-00005-000`, `BraTS-MEN-RT-0001-1`, `UPENN-GBM-00001_11` | `BraTS-GLI-00005`, … |
| | `UCSD-PTGBM-0002_01`, BIDS' `sub-01_…` | `UCSD-PTGBM-0002`, `sub-01` |
| words | `UCSF-PDGM-0429_FU003d`, `100118_time1`, `_ses-02`, `_timepoint_2`, `_week-044`, … | what stands before |
| | `_visit3`, `_scan_1`, `_pre`, `_post`, `_baseline`, `_followup2` | what stands before |
| marks | `P00_T0`, `P01_V2`, `P1_20190101`, where two subjects or more begin so | what stands before |

What stands before must have a digit to be a patient: `Glioma_scan_000` to `_008` are a cohort of that name. Beginnings
without one count (`Anna_visit1`, `Anna_visit2`, `Ben_visit1`, …) where there are `SEVERAL` or more of them and none has more
than a `HANDFUL` of scans. An ending `_nifti` is none of a name.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable

from data_prep.base import notices

SEVERAL, HANDFUL = 3, 8  # fewer patients fill no split; more scans than that are a cohort's

_COLLECTIONS = re.compile(
    r"(?P<patient>BraTS-[A-Z]+(-[A-Z]+)?-\d+)-\d+"
    r"|(?P<patient_>BraTS_(GLI|PED|MEN|MET|SSA)_\d+)_\d+"
    r"|(?P<tcia>(UPENN-GBM|UCSD-PTGBM)-\d+)_\d+"
    r"|(?P<bids>sub-[A-Z0-9]+)_.+",
    re.IGNORECASE,
)
_NUMBERED = "time(-?point)?|time_point|tp|week|visit|session|scan|baseline|follow-?up"
_ALONE = "pre|post|pre-?op|post-?op|baseline|follow-?up|fu"  # these need no number
_WORDS = re.compile(rf"(?P<patient>.+)[_-](FU\d+d?|({_NUMBERED})[_-]?\d+(-\d+)?|ses-[A-Z0-9]+|{_ALONE})", re.IGNORECASE)
_MARKS = re.compile(
    r"(?P<patient>.+)[_-]([TV]\d{1,2}|(19|20)\d\d(?P<sign>[-_.]?)(0[1-9]|1[0-2])(?P=sign)(0[1-9]|[12]\d|3[01]))",
    re.IGNORECASE,
)
_NIFTI = re.compile(r"(?P<patient>.+)_nifti", re.IGNORECASE)


def of_names(names: Iterable[str]) -> dict[str, str]:
    """{subject: the patient that its name tells, beside the others; the name itself where it tells none}, in their order.

    Says once which names of a common beginning are none of one patient, as it has no digit.
    """
    told = {name: _by_words(name) for name in names}
    marked = {name: match["patient"] for name, told_ in told.items() if (match := _MARKS.fullmatch(told_))}
    count = collections.Counter([*marked.values(), *set(told.values())])
    told.update({name: _by_words(patient) for name, patient in marked.items() if count[patient] > 1})
    told = _without_cohorts(told)
    spelled: dict[str, str] = {}  # one patient, whatever the case
    for name, patient in sorted(told.items()):
        if patient != name:
            spelled.setdefault(patient.casefold(), patient)
    return {name: patient if patient == name else spelled[patient.casefold()] for name, patient in told.items()}


def _by_words(name):
    """What collections and words tell of one name, word after word."""
    while True:
        if match := _NIFTI.fullmatch(name):
            name = match["patient"]
        if match := _COLLECTIONS.fullmatch(name):
            return next(filter(None, match.group("patient", "patient_", "tcia", "bids")))
        if not (match := _WORDS.fullmatch(name)):
            return name
        name = match["patient"]


def _without_cohorts(told):
    """Names whose beginning without a digit is that of a cohort, or of one person of many, stand for themselves."""
    count = collections.Counter(patient for name, patient in told.items() if patient != name and not _digit(patient))
    if not count or (len(count) >= SEVERAL and max(count.values()) <= HANDFUL):
        return told
    most, scans = count.most_common(1)[0]
    if scans > 1:
        notices.once(
            "cohort's name",
            f"{scans} subjects begin with {most}, which has no digit and is taken for a cohort's name: each is a patient of its"
            " own (if some are of one patient, say so with --patients)",
        )
    return {name: name if patient in count else patient for name, patient in told.items()}


def _digit(text):
    return any(character.isdigit() for character in text)
