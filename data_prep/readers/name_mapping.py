"""Grades of BraTS 2020: name_mapping*.csv, in any of the forms that a spreadsheet saves it in.

Its columns are Grade and one BraTS_<year>_subject_ID a year. It is read as `tables` reads, whatever the case of its
names; a file that gives no grade to any subject is said, since the split is stratified by them.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Collection, Iterable

from data_prep import tables
from data_prep.base import notices

GRADES = ("HGG", "LGG")
TABLES = (".csv", ".tsv", ".txt")


def grades(files: Iterable[pathlib.Path], subjects: Collection[str]) -> dict[str, str]:
    """{subject: "HGG" or "LGG"} from those of the files that are called name_mapping, NameMapping or the like.

    subjects: those that were found. Says once a file that gives no grade to any of them, and why. Raises `UserError` for a
    table that is no text.
    """
    found: dict[str, str] = {}
    for path in files:
        if re.sub(r"[\s_-]+", "", path.name.lower()).startswith("namemapping"):
            named, why = _read(path)
            if named and not set(named) & set(subjects):
                why = f"its {len(named)} subjects are none of those here"
            if why:
                notices.once(f"name mapping {path}", f"{path}: no grades from it: {why}")
            found.update(named)
    return found


def _read(path):
    """({subject: grade}, why there is none, or empty)."""
    if path.suffix.lower() not in TABLES:
        return {}, "it is no table of text (save it as CSV)"
    rows = [cells for _, cells in tables.rows(path)]
    if not rows:
        return {}, "it is empty"
    header = [tables.heading(name) for name in rows[0]]
    ids = [
        index
        for index, name in enumerate(header)
        if name.startswith("brats") or name in ("subject", "subject_id", "id")
    ]
    if "grade" not in header:
        return {}, f"it has no column Grade, but {', '.join(rows[0][:6])}"
    if not ids:
        return {}, f"it has no column BraTS_<year>_subject_ID, but {', '.join(rows[0][:6])}"
    at, named, others = header.index("grade"), {}, set()
    for row in rows[1:]:
        grade = row[at] if at < len(row) else ""
        if grade.upper() not in GRADES:
            others.add(grade)
            continue
        names = {row[index] for index in ids if index < len(row)} - {"", "NA"}
        named.update(dict.fromkeys(names, grade.upper()))
    if others := sorted(others - {"", "NA"}):
        listed = ", ".join(others[:3])
        notices.once(f"grades {path}", f"{path}: rows with other grades than HGG and LGG are not used: {listed}")
    return named, "" if named else "no row has the grade HGG or LGG"
