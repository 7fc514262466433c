"""The patient is the unit: told by names or tables, kept whole by every split made here, and warned of in those given."""

import json
import types

import pytest

from data_prep import folds, patients, splits
from data_prep.base.errors import UserError

RATIO = (100, 25, 160)


def sources(names, **more):
    return [
        types.SimpleNamespace(name=name, image=name, paths=(), labelled=True, grade=None, split=None, **more)
        for name in names
    ]


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
    ],
)
def test_what_names_tell(name, patient):
    """Time points are told apart from numbers of patients, and what isn't known is a patient of its own."""
    assert patients.of_name(name) == patient


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
            where.setdefault(patients.of_name(name), set()).add(part)
    assert all(len(parts) == 1 for parts in where.values())
    assert [len({patients.of_name(name) for name in made.parts[part]}) for part in splits.PARTS] == splits.counts(
        30, RATIO
    )


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
    with pytest.raises(UserError, match="2 patients: expected at least 3"):
        splits.assign(sources(names), RATIO, patients=patients.known(names, "nowhere"))
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
