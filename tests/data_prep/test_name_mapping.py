"""Grades of BraTS 2020, however the table was saved; a table that gives none is said."""

import pytest

from data_prep.base import notices
from data_prep.base.errors import UserError
from data_prep.readers import name_mapping

ROWS = [
    ["Grade", "BraTS_2017_subject_ID", "BraTS_2020_subject_ID"],
    ["LGG", "NA", "BraTS20_Training_001"],
    ["HGG", "X", "BraTS20_Training_002"],
]
FOUND = {"BraTS20_Training_001": "LGG", "BraTS20_Training_002": "HGG", "X": "HGG"}
SUBJECTS = {"BraTS20_Training_001", "BraTS20_Training_002"}


def grades(tmp_path, data, name="name_mapping.csv", subjects=SUBJECTS):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with notices.gathered() as noticed:
        return name_mapping.grades([tmp_path / "other.csv", path], subjects), noticed.lines()


def table(separator=",", end="\n", change=str):
    return end.join(separator.join(map(change, row)) for row in ROWS) + end


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("name_mapping.csv", table()),
        ("name_mapping.csv", table(";", "\r\n")),
        ("name_mapping.csv", table("\t")),
        ("name_mapping.tsv", table("\t")),
        ("Name_Mapping.CSV", table("|")),
        ("name_mapping.csv", table(", ")),
        ("name_mapping.csv", table(";", "\r\n", '"{}"'.format)),
        (
            "name_mapping.csv",
            table().replace("Grade", "GRADE").replace("BraTS_2020_subject_ID", "brats_2020_Subject_id"),
        ),
        ("name_mapping.csv", table().replace("LGG", "lgg")),
        ("name_mapping.csv", ("\ufeff" + table(";")).encode()),
        ("name_mapping.txt", table("\t").encode("utf-16")),
        ("name_mapping.csv", "\n" + table() + "\n\n"),
        ("Name Mapping.csv", table()),
        ("NameMapping.csv", "sep=|\n" + table("|")),
        ("name-mapping_validation.csv", table().encode("latin-1")),
    ],
)
def test_tables_as_they_are_saved(tmp_path, name, data):
    """Separators, cases, quotes, marks and encodings of spreadsheets."""
    assert grades(tmp_path, data, name) == (FOUND, [])


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("name_mapping.csv", "", "it is empty"),
        ("name_mapping.csv", "BraTS_2020_subject_ID\nA\n", "no column Grade, but BraTS_2020_subject_ID"),
        ("name_mapping.csv", "Grade,Name\nHGG,A\n", "no column BraTS_<year>_subject_ID, but Grade, Name"),
        ("name_mapping.csv", table().replace("LGG", "?").replace("HGG", "?"), "no row has the grade HGG or LGG"),
        (
            "name_mapping.csv",
            table().replace("Training", "Other").replace(",X", ",Y"),
            "its 3 subjects are none of those here",
        ),
        ("name_mapping.xlsx", b"PK\3\4", "no table of text"),
    ],
)
def test_a_table_without_grades_is_said(tmp_path, name, data, why):
    """One line names the file and why; the split is then not stratified, which nobody would notice."""
    _, lines = grades(tmp_path, data, name)
    assert why in lines[-1] and name in lines[-1]


def test_other_grades_are_said(tmp_path):
    """A grade that is neither HGG nor LGG leaves its subject without one."""
    found, lines = grades(tmp_path, table().replace("LGG", "II"))
    assert found == {"BraTS20_Training_002": "HGG", "X": "HGG"} and "not used: II" in lines[0]


def test_what_is_no_table(tmp_path):
    """Bytes that are no text name the file."""
    with pytest.raises(UserError, match=r"name_mapping\.csv: expected a CSV table.*save it as CSV in UTF-8"):
        grades(tmp_path, table().encode() + b"\0\0\n")
