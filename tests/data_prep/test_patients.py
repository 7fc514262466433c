"""The patient is the unit: told by names or tables, kept whole by every split made here, and warned of in those given."""

import json
import types
import unicodedata

import pytest

from data_prep import folds, patient_names, patients, splits
from data_prep.base import notices
from data_prep.base.errors import UserError

RATIO = (100, 25, 160)


def sources(names, **more):
    return [
        types.SimpleNamespace(name=name, image=name, paths=(), labelled=True, grade=None, split=None, **more)
        for name in names
    ]


def of_name(name):
    return patient_names.of_names([name])[name]


def noticed(function, *arguments):
    """(the result, the lines that were said)."""
    with notices.gathered() as said:
        return function(*arguments), said.lines()


def scans(number, times=2):
    return [f"BraTS-GLI-{index:05}-{time:03}" for index in range(number) for time in range(times)]


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("BraTS-GLI-00005-000", "BraTS-GLI-00005"),
        ("BraTS-GLI-00005-101", "BraTS-GLI-00005"),
        ("BraTS-PED-00002-000", "BraTS-PED-00002"),
        ("UCSF-PDGM-0429_FU003d", "UCSF-PDGM-0429"),
        ("UCSF-PDGM-0004", "UCSF-PDGM-0004"),
        ("100118_time2", "100118"),
        ("sub-01_ses-02", "sub-01"),
        ("Patient-001_week-044", "Patient-001"),
        ("PatientID_0003_Timepoint_1", "PatientID_0003"),
        ("BraTS20_Training_001", "BraTS20_Training_001"),
        ("BraTS2021_00000", "BraTS2021_00000"),
        ("Brats18_TCIA02_117_1", "Brats18_TCIA02_117_1"),
        ("ISIC_0000000", "ISIC_0000000"),
        ("IMD002", "IMD002"),
        ("time1", "time1"),
        ("brats-gli-00005-000", "brats-gli-00005"),
        ("BraTS-GLI-00005-000_nifti", "BraTS-GLI-00005"),
        ("BraTS-MEN-RT-0001-1", "BraTS-MEN-RT-0001"),
        ("UPENN-GBM-00001_11", "UPENN-GBM-00001"),
        ("UPENN-GBM-00001_21", "UPENN-GBM-00001"),
        ("UCSD-PTGBM-0002_01", "UCSD-PTGBM-0002"),
        ("UCSF-PDGM-0429_FU003d_nifti", "UCSF-PDGM-0429"),
        ("P01_pre", "P01"),
        ("P01-post", "P01"),
        ("P01_baseline", "P01"),
        ("P01_followup", "P01"),
        ("P01_followup2", "P01"),
        ("P01_follow-up_2", "P01"),
        ("sub-01_ses-02_scan-1", "sub-01"),
        ("P00_T1", "P00_T1"),
        ("P01_V2", "P01_V2"),
        ("P1_20190101", "P1_20190101"),
        ("Brain_scan_1", "Brain_scan_1"),
        ("study_session_01", "study_session_01"),
        ("Glioma_pre", "Glioma_pre"),
    ],
)
def test_what_names_tell(name, patient):
    """Time points are told apart from numbers of patients, and what isn't known is a patient of its own."""
    assert of_name(name) == patient


@pytest.mark.parametrize(
    "endings",
    [("T0", "T1"), ("t1", "t2"), ("V1", "V2"), ("20190101", "20200630"), ("2019-01-01", "2019-03-31"), ("pre", "T1")],
)
def test_marks_are_time_points_where_subjects_share_what_stands_before(endings):
    """`_T1` alone may be a modality's name or a number; `_99999999` is no date."""
    names = [f"P{index:02}_{ending}" for index in range(3) for ending in endings] + [
        "P09_T1",
        "Q1_99999999",
        "Q1_98765432",
    ]
    own = {name: name for name in names[-3:]}
    assert patient_names.of_names(names) == {**{name: name[:3] for name in names[:-3]}, **own}


def test_one_patient_in_two_cases_is_one():
    """As copies of a release are renamed."""
    names = ["BraTS-GLI-00005-000", "brats-gli-00005-001"]
    assert len(set(patient_names.of_names(names).values())) == 1


@pytest.mark.parametrize(
    "names",
    [
        [f"Glioma_scan_{index:03}" for index in range(9)],
        [f"{study}_visit_{index:03}" for study in "ab" for index in range(5)],
        [f"Brain_scan_{index}" for index in range(12)],
        [f"study_session_{index:02}" for index in range(9)],
        [f"{study}_scan_{index}" for study in ("one", "two", "three") for index in range(9)],
        [f"Glioma_201901{index:02}" for index in range(1, 10)],
    ],
)
def test_a_cohorts_name_is_no_patient(names):
    """What stands before has no digit, and would hold all subjects or many: each is a patient of its own, said."""
    found, said = noticed(patient_names.of_names, names)
    assert found == {name: name for name in names}
    assert len(said) == 1 and "taken for a cohort's name" in said[0] and "--patients" in said[0]
    splits.assign(sources(names), RATIO, patients=found)


def test_several_people_by_their_names_are_patients():
    """A handful of scans each."""
    names = [f"{person}_visit{index}" for person in ("Anna", "Ben", "Carl") for index in (1, 2)]
    found, said = noticed(patient_names.of_names, names)
    assert found == {name: name.split("_")[0] for name in names} and not said


@pytest.mark.parametrize("seed", range(5))
def test_a_split_by_seed_divides_no_patient(seed):
    """In sizes of patients as `ratio` asks; whatever the order of the subjects."""
    names = [*scans(20, 2), *scans(30, 1)[20:]]
    made = splits.assign(sources(names), RATIO, seed, patients=patients.known(names, "nowhere"))
    again = splits.assign(sources(names[::-1]), RATIO, seed, patients=patients.known(names, "nowhere"))
    assert made.parts == again.parts and sorted(n for part in made.parts.values() for n in part) == sorted(names)
    where = {}
    for part, members in made.parts.items():
        for name in members:
            where.setdefault(of_name(name), set()).add(part)
    assert all(len(parts) == 1 for parts in where.values())
    assert [len({of_name(name) for name in made.parts[part]}) for part in splits.PARTS] == splits.counts(30, RATIO)


def test_single_scans_are_split_as_before():
    """The paper's splits and everybody's old ones hold still where each subject is a patient of its own."""
    names = [f"s{index}" for index in range(40)]
    grades = {name: "HGG" if index % 3 else "LGG" for index, name in enumerate(names)}
    own = dict(zip(names, names, strict=True))
    assert splits.by_seed(names, RATIO, 3, grades, own) == splits.by_seed(names, RATIO, 3, grades)
    assert folds.k_folds(names, 5, grades.values(), own) == folds.k_folds(names, 5, grades.values())
    assert folds.leave_out_blocks(names, 10, own) == folds.leave_out_blocks(names, 10)


@pytest.mark.parametrize("stratified", [False, True])
def test_folds_and_blocks_divide_no_patient(stratified):
    """Though the scans of a patient do not stand beside each other in the order of the split."""
    names = splits.shuffled(scans(20), 1)
    of = patients.known(names, "nowhere")
    grades = ["HGG" if int(of[name][-2:]) % 2 else "LGG" for name in names] if stratified else None
    for fold in folds.k_folds(names, 5, grades, of):
        assert sorted(fold["train"] + fold["valid"]) == sorted(names)
        assert not patients.divided(fold["train"], fold["valid"], of) and len(fold["valid"]) == 8
    for member in folds.leave_out_blocks(names, 10, of):
        assert not patients.divided(member, set(names) - set(member), of) and len(member) == 36


def test_too_few_patients_are_counted_as_patients():
    """Six scans of two patients fill no three splits."""
    names = scans(2, 3)
    with pytest.raises(UserError, match="2 patients: expected at least 3") as refused:
        splits.assign(sources(names), RATIO, patients=patients.known(names, "nowhere"))
    assert "BraTS-GLI-00000-000 … (3) as one patient BraTS-GLI-00000" in str(refused.value)
    assert "--patients=FILE.csv" in str(refused.value) and "--split_file" in str(refused.value)
    with pytest.raises(UserError, match="2 to 2, the number of patients"):
        folds.k_folds(names, 3, None, patients.known(names, "nowhere"))


def test_a_split_that_divides_a_patient_is_kept_with_a_warning(tmp_path):
    """A file given and the layout's own sets are somebody's decision."""
    names = scans(3)
    (tmp_path / "split.json").write_text(
        json.dumps({"train": names[:3], "valid": [names[4]], "test": [names[3], names[5]]})
    )
    of = patients.known(names, "nowhere")
    made = splits.assign(sources(names), RATIO, split_files=[tmp_path / "split.json"], patients=of)
    assert made.parts["train"] == tuple(names[:3])
    assert [note for note in made.notes if "patients have scans in both" in note] == [
        "warning: 1 patients have scans in both train and test (BraTS-GLI-00001): scores will look too good"
    ]
    official = sources(names)
    for source, split in zip(official, ("train", "valid", "train", "test", "test", "test"), strict=True):
        source.split = split
    notes = splits.assign(official, RATIO, patients=of).notes
    assert sum("scans in both" in note for note in notes) == 2


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_names_patients(tmp_path, separator):
    """Whatever separates its columns; what it doesn't have goes by name."""
    table = tmp_path / "patients.csv"
    rows = [("Patient_ID", "age", "image_name"), ("p1", "50", "a"), ("p1", "51", "b"), ("p2", "60", "c")]
    table.write_text("\n".join(separator.join(row) for row in rows), encoding="utf-8-sig")
    assert patients.known(["a", "b", "c", "d"], tmp_path / "none", table) == {"a": "p1", "b": "p1", "c": "p2", "d": "d"}
    (tmp_path / "raw").mkdir()
    table.rename(tmp_path / "raw" / "ISIC_2020_Training_GroundTruth.csv")
    assert patients.known(["a", "b"], tmp_path / "raw") == {"a": "p1", "b": "p1"}


TABLE = "subject,patient\nä1,Müller\nä2,Müller\nä3,Ärger\n"


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode(),
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-le"),
        TABLE.encode("latin-1"),
        TABLE.replace(",", "|").encode(),
        b"sep=;\r\n" + TABLE.replace(",", ";").encode(),
        "sep=\t\n".encode("utf-16") + TABLE.replace(",", "\t").encode("utf-16-le"),
        unicodedata.normalize("NFD", TABLE).encode(),
        TABLE.replace("subject,patient", "Image Name,Patient-ID").encode(),
        TABLE.replace(",Mü", ".jpg,Mü").encode(),
        TABLE.replace(",Mü", ".BMP,Mü").encode(),
        TABLE.replace(",Mü", "_.nii.gz,Mü").replace("_.", ".").encode(),
        TABLE.replace("ä1", "images/ä1.png").encode(),
    ],
)
def test_tables_as_spreadsheets_save_them(tmp_path, content):
    """In any encoding, with any separator, and images called by their files; names are compared in composed form."""
    (tmp_path / "patients.csv").write_bytes(content)
    found, said = noticed(patients.known, ["ä1", "ä2", "ä3"], tmp_path / "none", tmp_path / "patients.csv")
    assert found == {"ä1": "Müller", "ä2": "Müller", "ä3": "Ärger"}
    assert said == [f"{tmp_path / 'patients.csv'}: patients of 3 of 3 subjects are read from it"]


@pytest.mark.parametrize("given", [True, False])
def test_how_well_a_table_fits_is_said(tmp_path, given):
    """Whether it is given or lies beside the data: what it lacks, and what it names in vain."""
    table = tmp_path / "Patients.CSV"
    table.write_text("subject,patient\na,p1\nx,p2\nb,p1\ny,p2\nz,\n")
    _, said = noticed(patients.known, list("abc"), tmp_path, table if given else None)
    assert said == [
        f"{table}: patients of 2 of 3 subjects are read from it; 1 are not in it and go by their names (c);"
        " 2 of its rows name no subject of the data (x, y)"
    ]


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("second", ["a,p2", "a.jpg,p2"])
def test_a_subject_of_two_patients_is_refused(tmp_path, given, second):
    """With the line and both patients."""
    table = tmp_path / "patients.csv"
    table.write_text(f"sep=,\nsubject,patient\na,p1\nb,p1\n{second}\n")
    with pytest.raises(UserError, match=r"patients.csv, line 5: .* found a of p2, and of p1 in line 3"):
        patients.known(["a", "b"], tmp_path, table if given else None)


def test_a_table_beside_the_data_that_is_no_text_is_said(tmp_path):
    """It is nobody's order, so it doesn't stop the work."""
    (tmp_path / "other.csv").write_bytes(b"PK\3\4\0\0\0\0")
    (tmp_path / "._meta.csv").write_bytes(b"\0\5\x16\7")
    found, said = noticed(patients.known, ["a"], tmp_path)
    assert found == {"a": "a"} and len(said) == 1 and "not looked at for patients" in said[0]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "an empty file"),
        ("a,b\n1,2\n", "expected a table whose first line names its columns, subject and patient, found a, b"),
        ("subject,patient\n", "headings only"),
        ("subject,patient\nx,1\n", "expected subjects of the data, found x, none of them"),
        (b"\xff\xfe\x00", "a CSV table"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, content, match):
    """Never passed over in silence."""
    table = tmp_path / "patients.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=match):
        patients.known(["a"], tmp_path, table)


def test_what_validation_and_test_share_is_said(tmp_path):
    """Then the best epoch, and thresholds of --threshold_split=valid, were chosen on subjects that are tested."""
    cv = {"train": [["a", "b"], ["c", "a"], ["b", "c"]], "valid": [["c"], ["b"], ["a"]], "test": [["c"], ["b"], ["a"]]}
    (tmp_path / "cv.json").write_text(json.dumps(cv))
    made = splits.assign(sources("abc"), RATIO, split_files=[tmp_path / "cv.json"])
    assert any("1 of 1 test subjects are validation subjects too" in note for note in made.notes)


def test_folds_that_leave_training_subjects_out_are_refused(tmp_path):
    """The auxiliary networks learn from predictions of networks that never saw their subject: each needs its fold."""
    cv = {"train": [["a", "b"], ["a", "b"]], "valid": [["c"], ["d"]]}
    (tmp_path / "cv.json").write_text(json.dumps(cv))
    flat = {"train": ["a", "b", "c", "d"], "valid": ["e"], "test": ["f"]}
    (tmp_path / "flat.json").write_text(json.dumps(flat))
    with pytest.raises(UserError, match=r"each training subject in the valid list of a fold, found 2 in none \(a, b\)"):
        splits.assign(sources("abcdef"), RATIO, split_files=[tmp_path / "cv.json", tmp_path / "flat.json"])
