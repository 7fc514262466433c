"""Which subjects are one patient: by name where names tell, by a table that lies with the data, or by one that is given.

Scans of one patient are alike, so a split that divides a patient measures memory and not skill. Splits that are made
here keep a patient's subjects together; a subject that nothing is known of is a patient of its own.

| names | patient |
| --- | --- |
| BraTS of 2023 and later, `BraTS-GLI-00005-000`, `BraTS-GLI-00005-001` | `BraTS-GLI-00005` |
| UCSF, `UCSF-PDGM-0429_FU003d`, `100118_time1` | `UCSF-PDGM-0429`, `100118` |
| time points that are called so: `_ses-02`, `_timepoint_2`, `_week-044`, `_visit3` | what stands before |
| ISIC 2020 | `patient_id` of the table that comes with it |
"""

from __future__ import annotations

import collections
import csv
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

from data_prep.base.errors import UserError

_OF_NAME = (
    re.compile(r"(?P<patient>BraTS-[A-Za-z]+-\d+)-\d+"),
    re.compile(
        r"(?P<patient>.+)[_-](FU\d+d?|(time(-?point)?|time_point|tp|week|visit|session|scan|baseline|followup)[_-]?\d+(-\d+)?"
        r"|ses-[A-Za-z0-9]+)(_nifti)?",
        re.IGNORECASE,
    ),
)
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


def of_name(name: str) -> str:
    """The patient that a subject's name tells; the name itself where it tells none."""
    for pattern in _OF_NAME:
        if match := pattern.fullmatch(name):
            return match["patient"]
    return name


def known(names: Iterable[str], raw_dir: pathlib.Path | str, table: pathlib.Path | str | None = None) -> dict[str, str]:
    """{subject: patient} of all `names`: by `table` where it is given, else by a table in `raw_dir`, else by name.

    Subjects that the table does not have go by their names. Raises `UserError` for a table that cannot be used.
    """
    names = list(names)
    found = {name: of_name(name) for name in names}
    if table is not None:
        rows = read_table(table)
        if not set(rows) & set(names):
            raise UserError(table, expected="subjects of the data", found=f"{', '.join(list(rows)[:3])}, none of them")
        return {**found, **{name: rows[name] for name in names if name in rows}}
    for path in _beside(raw_dir):
        rows = _rows(path)[1] or {}
        found.update({name: rows[name] for name in names if name in rows})
    return found


def read_table(path: pathlib.Path | str) -> dict[str, str]:
    """{subject: patient} of a table with commas, semicolons or tabs and a line of headings; raises `UserError`.

    Its columns are found by name: one of `PATIENT`, and one of `SUBJECT`.
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
    return sorted(path for pattern in ("*.csv", "*/*.csv") for path in folder.glob(pattern) if path.is_file())


def _rows(path):
    """(headings, {subject: patient}), None in place of the rows of a table of something else."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = max(",;\t", key=first.count)
            reader = csv.DictReader(file, delimiter=separator)
            by_name = {heading.strip().lower(): heading for heading in reader.fieldnames or () if heading}
            patient = next((by_name[name] for name in PATIENT if name in by_name), None)
            subject = next((by_name[name] for name in SUBJECT if name in by_name), None)
            if patient is None or subject is None:
                return list(by_name), None
            rows = [((row[subject] or "").strip(), (row[patient] or "").strip()) for row in reader]
            return list(by_name), {name: one for name, one in rows if name and one}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(path, expected="a CSV table", found=str(error)) from None


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
