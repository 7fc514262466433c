"""Which subjects are one patient: by name where names tell, by a table that lies with the data, or by one that is given.

Scans of one patient are alike, so a split that divides a patient measures memory and not skill. Splits that are made
here keep a patient's subjects together; a subject that nothing is known of is a patient of its own. What names tell is in
`patient_names`; ISIC 2020 has a table with `patient_id`. What a table leaves open, and what it names in vain, is said.
"""

from __future__ import annotations

import collections
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from data_prep import patient_names, tables
from data_prep.base import notices
from data_prep.base.errors import UserError

PATIENT = ("patient_id", "patient", "patientid", "patient_name")  # what a table calls its column of patients,
SUBJECT = (
    "subject",
    "subject_id",
    "image_name",
    "isic_id",
    "image",
    "image_id",
    "case",
    "case_id",
    "name",
    "id",
)  # and these
_ENDING = re.compile(r"(\.nii(\.gz)?|\.jpe?g|\.png|\.bmp|\.tiff?|\.dcm)$", re.IGNORECASE)


def known(names: Iterable[str], raw_dir: pathlib.Path | str, table: pathlib.Path | str | None = None) -> dict[str, str]:
    """{subject: patient} of all `names`: by `table` where it is given, else by tables in `raw_dir`, else by name.

    Subjects that no table has go by their names. Says (`notices.once`) which table is used, for how many subjects, how many
    are not in it, and how many of its rows name no subject. Raises `UserError` for a given table that cannot be used, and
    for a subject of two patients.
    """
    names = list(names)
    found = patient_names.of_names(names)
    if table is not None:
        return {**found, **_fitted(table, read_table(table), names, given=True)}
    told: dict[str, str] = {}
    for path in _beside(raw_dir):
        try:
            rows = _rows(path)[1]
        except UserError as error:
            notices.once(f"patients {path}", f"{error}: not looked at for patients")
            continue
        mine = _fitted(path, rows, names, given=False) if rows else {}
        for name in (name for name in mine if told.get(name, mine[name]) != mine[name]):
            seen = f"{name} of {mine[name]}, and of {told[name]} in another table beside the data"
            do = "mend or move one of them, or give --patients"
            raise UserError(path, expected="one patient for each subject", found=seen, do=do)
        told.update(mine)
    return {**found, **told}


Row = tuple[str, str, int]  # what a line calls the subject, its patient, which line


def read_table(path: pathlib.Path | str) -> list[Row]:
    """(subject, patient, line) of each row of a table as `tables` reads it, with a line of headings; raises `UserError`.

    Its columns are found by name: one of `PATIENT`, and one of `SUBJECT`. A subject may be called by its image's file.
    """
    headings, rows = _rows(path)
    if rows is None:
        expected = "a table whose first line names its columns, subject and patient"
        raise UserError(path, expected=expected, found=", ".join(headings)[:80] or "an empty file")
    if not rows:
        raise UserError(path, expected="a line for each subject", found="headings only")
    return rows


def _beside(raw_dir):
    folder = pathlib.Path(raw_dir)
    found = (path for pattern in ("*", "*/*") for path in folder.glob(pattern))
    return sorted(p for p in found if p.suffix.lower() == ".csv" and not p.name.startswith(".") and p.is_file())


def _rows(path):
    """(headings, [(subject as it is written, patient, line)]), None in place of the rows of a table of something else."""
    (_, first), *rows = tables.rows(path) or [(1, [])]
    headings = [tables.heading(cell) for cell in first]
    at = {name: headings.index(name) for name in (*PATIENT, *SUBJECT) if name in headings}
    patient = next((at[name] for name in PATIENT if name in at), None)
    subject = next((at[name] for name in SUBJECT if name in at), None)
    if patient is None or subject is None:
        return headings, None
    whole = [(line, cells) for line, cells in rows if len(cells) > max(patient, subject)]
    return headings, [(c[subject], c[patient], line) for line, c in whole if c[subject] and c[patient]]


def _fitted(path, rows, names, given):
    """{subject of `names`: patient} of a table's rows; says how well they fit, and refuses a given table of other subjects."""
    subjects = {unicodedata.normalize("NFC", name): name for name in names}
    found: dict[str, tuple[str, int]] = {}
    strange: dict[str, tuple[str, int]] = {}
    for written, patient, line in rows:
        name = _subject(written, subjects)
        where, what = (strange, written) if name is None else (found, name)
        first = where.setdefault(what, (patient, line))
        if first[0] != patient and (given or name is not None):
            _refuse_two(path, what, first, (patient, line))
    if given and not found:
        shown = f"{_some(list(strange))}, none of them: the data have {', '.join(names[:2])}"
        raise UserError(path, expected="subjects of the data", found=shown)
    parts = [f"patients of {len(found)} of {len(names)} subjects are read from it"]
    if left := [name for name in names if name not in found]:
        parts.append(f"{len(left)} are not in it and go by their names ({_some(left)})")
    if strange:
        vain = sum(_subject(written, subjects) is None for written, _, _ in rows)
        parts.append(f"{vain} of its rows name no subject of the data ({_some(list(strange))})")
    notices.once(f"patients {path}", f"{path}: {'; '.join(parts)}")
    return {name: patient for name, (patient, _) in found.items()}


def _subject(written, subjects):
    """The subject that a cell means: its name, or the file, in whatever folder, of its image."""
    file = re.split(r"[/\\]", written)[-1]
    return next((subjects[name] for name in (written, file, _ENDING.sub("", file)) if name in subjects), None)


def _refuse_two(path, name, first, second):
    raise UserError(
        f"{path}, line {second[1]}",
        expected="one patient for each subject",
        found=f"{name} of {second[0]}, and of {first[0]} in line {first[1]}",
        do="mend the table",
    )


def _some(names):
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def read_as(names: Iterable[str], patients: Mapping[str, str]) -> str:
    """How names were read, of the patient with most of them: `Glioma_scan_000 … (9) as one patient Glioma`; else empty."""
    names = list(names)
    count = collections.Counter(patients.get(name, name) for name in names)
    patient, scans = count.most_common(1)[0] if count else ("", 0)
    first = min((name for name in names if patients.get(name, name) == patient), default="")
    return f"{first} … ({scans}) as one patient {patient}" if scans > 1 else ""


def grouped(names: Sequence[str], patients: Mapping[str, str] | None) -> dict[str, list[str]]:
    """{the first name of a patient's in sorted order: all of the patient's names, sorted}, in the order of `names`.

    Where each subject is a patient of its own, each stands for itself. patients: {subject: patient}, None for that.
    """
    by_patient: dict[str, list[str]] = {}
    for name in names:
        by_patient.setdefault((patients or {}).get(name, name), []).append(name)
    return {min(group): sorted(group) for group in by_patient.values()}


def divided(first: Iterable[str], second: Iterable[str], patients: Mapping[str, str] | None) -> list[str]:
    """The patients of whom subjects are in both, sorted; a subject that is itself in both does not count."""
    first, second = set(first), set(second)
    patients = patients or {}
    both = {patients.get(name, name) for name in first - second} & {patients.get(name, name) for name in second - first}
    return sorted(both)


def described(patients: Mapping[str, str]) -> str:
    """`12 subjects of 6 patients (up to 2 time points each)`, or an empty string where each is a patient of its own."""
    count = collections.Counter(patients.values())
    if len(count) == len(patients):
        return ""
    return f"{len(patients)} subjects of {len(count)} patients (up to {max(count.values())} time points each)"
