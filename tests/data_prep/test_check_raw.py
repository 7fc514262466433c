"""The data doctor on raw data: nothing is said of clean ones, and each fault is found, once, with its file and a remedy."""

import json
import os
import pathlib
import shutil

import msgspec
import nibabel
import numpy as np
import own_folders
import pytest
from broken_raw import file, names, rewrite, some

from data_prep import convert, datasets, doubts, records, tasks
from data_prep.base import pool
from data_prep.base.errors import UserError, command
from data_prep.base.findings import finding
from data_prep.check import raw, report, subjects

SPLIT = {"seed": 100, "split_files": [], "split_fold": None, "allow_missing": False}
TASK = tasks.TASKS["brats"]
ALIKE = ("identical labels",)  # as the folders of `own_folders` have them


@pytest.fixture
def brats(brats_raw, tmp_path):
    """A copy of four phantom subjects, to be broken."""
    return some(brats_raw, tmp_path / "raw")


def checked(folder, task=TASK, split=SPLIT, manifest=None, **more):
    """(kind, severity, where, the whole line) of each finding but notes; {kind: lines} of the notes."""
    asked = raw.Raw(task, folder, {}, split, **more)
    found, count = raw.check(asked, pool.Serial(), manifest=manifest)
    assert count >= 1 or any(one.severity == "error" for one in found)
    said = [(one.kind, one.severity, one.error.parts()[0], str(one.error)) for one in found if one.severity != "note"]
    notes = {}
    for one in found:
        if one.severity == "note":
            notes.setdefault(one.kind, []).append(str(one.error))
    return said, notes


def only(folder, but=(), **how):
    """The one finding beside notes, and beside those of some kinds."""
    said, _ = checked(folder, **how)
    found = [one for one in said if one[0] not in but]
    assert len(found) == 1, said
    return found[0]


def split_file(folder, **parts):
    path = folder.parent / "split.json"
    path.write_text(json.dumps(parts))
    return {**SPLIT, "split_files": [str(path)]}


def test_clean_data_have_no_findings(brats):
    """Notes only: which numbers the labels hold."""
    said, notes = checked(brats)
    assert said == []
    assert list(notes) == ["labels"] and "numbers and their voxels" in notes["labels"][0]


# What readers refuse


def missing(folder):
    file(folder, 1, "t1").unlink()
    return names(folder)[1], "t1 missing"


def twice(folder):
    name = names(folder)[1]
    shutil.copytree(file(folder, 1, "t1").parent, folder / "again" / name)
    return name, "each subject once"


def no_header(folder):
    path = file(folder, 1, "t2")
    path.write_bytes(b"no header")
    return str(path), "expected"


def truncated(folder):
    path = file(folder, 1, "t2")
    path.write_bytes(path.read_bytes()[:-40])
    return str(path), "expected"


def moved(folder):
    path = file(folder, 1, "seg")
    image = nibabel.load(path)
    affine = image.affine.copy()
    affine[0, 3] += 0.5
    array = np.asarray(image.dataobj).copy()
    path.unlink()
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return str(path), "the affine of"


def with_nan(folder):
    def change(array):
        array = array.astype(np.float32)
        array[3, 3, 3] = np.nan
        return array

    rewrite(file(folder, 1, "flair"), change)
    return str(file(folder, 1, "flair")), "1 that are NaN or infinite"


def constant(folder):
    rewrite(file(folder, 1, "flair"), lambda array: np.full_like(array, 7))
    return str(file(folder, 1, "flair")), "7 everywhere"


def unknown_label(folder):
    rewrite(file(folder, 1, "seg"), lambda array: np.where(array == 4, 9, array).astype(np.uint8))
    return str(file(folder, 1, "seg")), "9"


def pipe(folder):
    path = file(folder, 1, "t1")
    path.unlink()
    os.mkfifo(path)
    return str(path), "a named pipe"


def led_out(folder):
    path = file(folder, 1, "t1")
    shutil.move(path, folder.parent / path.name)
    path.symlink_to(folder.parent / path.name)
    return str(path), "--follow_links"


@pytest.mark.parametrize(
    "fault", [missing, twice, no_header, truncated, moved, with_nan, constant, unknown_label, pipe, led_out]
)
def test_what_cannot_be_converted(brats, fault):
    """In the words of the reader that refuses it when it is prepared, and of nobody else."""
    where, words = fault(brats)
    kind, severity, _, line = only(brats)
    assert (kind, severity) == ("cannot be converted", "error")
    assert where in line and words in line
    with pytest.raises(UserError) as refused:
        convert.convert("brats", brats, brats.parent / "data", say=lambda text: None)
    if fault not in (twice, led_out):  # those end the search for all subjects
        assert str(refused.value) == line


def test_all_faults_are_found_at_once(brats):
    """One subject's fault hides no other's."""
    missing(brats)
    rewrite(file(brats, 2, "seg"), lambda array: np.where(array == 4, 9, array).astype(np.uint8))
    rewrite(file(brats, 3, "seg"), np.zeros_like)
    said, _ = checked(brats)
    assert sorted(kind for kind, *_ in said)[:2] == ["cannot be converted", "cannot be converted"]
    assert "empty mask" in {kind for kind, *_ in said}


def test_an_empty_folder(tmp_path):
    """What nothing is found in is one error."""
    kind, severity, where, line = only(tmp_path)
    assert (kind, severity, where) == ("cannot be converted", "error", str(tmp_path)) and "no file" in line


# What is taken as it is


def test_an_empty_mask(brats):
    """A warning that names the label, which prepare says too."""
    rewrite(file(brats, 1, "seg"), np.zeros_like)
    kind, severity, where, line = only(brats)
    assert (kind, severity, where) == ("empty mask", "warning", str(file(brats, 1, "seg")))
    said = []
    convert.convert("brats", brats, brats.parent / "data", say=said.append)
    assert line in said


def test_a_label_outside_the_body(brats):
    """Moved into the corner of the image, where it is empty."""
    rewrite(file(brats, 1, "seg"), lambda array: np.roll(array, array.shape[0] // 2, axis=0))
    kind, severity, where, line = only(brats)
    assert (kind, severity, where) == ("label outside the body", "warning", str(file(brats, 1, "seg")))
    said = []
    convert.convert("brats", brats, brats.parent / "data", say=said.append)
    assert line in said


def test_an_edge_outside_is_rounding(brats):
    """Some voxels at the border of the body are no finding."""
    t2 = np.asarray(nibabel.load(file(brats, 1, "t2")).dataobj)

    def change(array):
        empty = np.argwhere(t2 == 0)[: np.count_nonzero(array) // 30]
        array[tuple(empty.T)] = 1
        return array

    rewrite(file(brats, 1, "seg"), change)
    assert checked(brats)[0] == []


def test_a_constant_channel(tmp_path):
    """Where the channel's rule takes it: of a task whose channels are read as they are."""
    folder = own_folders.nnunet(tmp_path / "D", ("A", "B"))
    own_folders.write_json(folder / "tfunc.json", {"channels": {"B": {"normalise": "none"}}})
    own_folders.write_volume(folder / "imagesTr" / "case_01_0001.nii.gz", np.full(own_folders.SHAPE, 5, np.int16))
    task, _ = datasets.find(str(folder))
    kind, severity, where, line = only(folder, ALIKE, task=task)
    assert (kind, severity) == ("constant channel", "warning")
    assert "case_01_0000.nii.gz" in where and "5 everywhere in channel B" in line


def test_constant_is_everywhere():
    """One voxel that differs is enough, wherever it lies."""
    values = np.zeros((4, 20, 20), np.int16)
    assert doubts.is_constant(values)
    values[3, 19, 19] = 1
    assert not doubts.is_constant(values)


# Who is who


def copied(folder, source, target, kinds):
    for kind in kinds:
        shutil.copy(file(folder, source, kind), file(folder, target, kind))


def test_identical_subjects(brats):
    """A warning inside one set, an error where one is trained on and the other judges."""
    copied(brats, 0, 1, ("flair", "t1", "t2", "t1ce", "seg"))
    first, second, third, fourth = names(brats)
    together = split_file(brats, train=[first, second], valid=[third], test=[fourth])
    kind, severity, where, line = only(brats, split=together)
    assert (kind, severity) == ("identical subjects", "warning")
    assert second in where and first in line
    apart = split_file(brats, train=[first, third], valid=[fourth], test=[second])
    kind, severity, where, line = only(brats, split=apart)
    assert (kind, severity) == ("identical subjects", "error") and "in train" in line


def test_identical_labels(brats):
    """The labels of another subject."""
    other = np.asarray(nibabel.load(file(brats, 0, "seg")).dataobj)
    rewrite(file(brats, 1, "seg"), lambda array: other)
    kind, severity, where, line = only(brats, ["label outside the body"])
    assert (kind, severity, where) == ("identical labels", "warning", str(file(brats, 1, "seg")))
    assert str(file(brats, 0, "seg")) in line


def test_empty_labels_are_no_copies(brats):
    """Two subjects without anything to be found have equal labels, and are two subjects."""
    for index in (0, 1):
        rewrite(file(brats, index, "seg"), np.zeros_like)
    assert {kind for kind, *_ in checked(brats)[0]} == {"empty mask"}


def test_nearly_identical_subjects(brats):
    """Stored anew with noise and another scale, so that no byte is the same."""
    rng = np.random.default_rng(0)
    for kind in ("flair", "t1", "t2", "t1ce"):
        other = np.asarray(nibabel.load(file(brats, 0, kind)).dataobj)
        noisy = np.where(other > 0, 2 * other + rng.integers(0, 3, other.shape), 0).astype(other.dtype)
        rewrite(file(brats, 1, kind), lambda array, noisy=noisy: noisy)
    said, _ = checked(brats)
    (found,) = [one for one in said if one[0] == "nearly identical subjects"]
    first, second = names(brats)[:2]
    assert found[1] == "warning" and second in found[2] and first in found[3] and "correlation" in found[3]


def test_small_copies_of_any_size():
    """Sides shorter than their blocks repeat; one value everywhere has no copy."""
    rng = np.random.default_rng(1)
    image = rng.integers(0, 99, (3, 40, 7, 2)).astype(np.int16)
    subject = subjects.Subject("S", image, np.zeros(2), np.ones(2))
    small = subjects.small(subject)
    assert small.shape == (8 * 16 * 16 * 2,) and abs(float(small @ small) - 1) < 1e-5 and abs(small.mean()) < 1e-6
    means = subjects._means(image[..., 0], (1, 4, 1))
    assert np.allclose(means[0, :, 0], [image[:, 10 * i : 10 * i + 10, :, 0].mean() for i in range(4)])
    flat = subjects.Subject("S", np.ones((2, 4, 4, 1), np.int16), np.zeros(1), np.ones(1))
    assert subjects.small(flat) is None


def test_one_channel_twice(brats):
    """A file that is another channel's."""
    shutil.copy(file(brats, 1, "t1"), file(brats, 1, "t1ce"))
    kind, severity, where, line = only(brats)
    assert (kind, severity, where) == ("same channel twice", "warning", str(file(brats, 1, "t1ce")))
    assert str(file(brats, 1, "t1")) in line


def renamed(folder, index, name):
    """A subject under another name, all files too."""
    old = names(folder)[index]
    (place,) = folder.glob(f"*/{old}")
    for path in list(place.iterdir()):
        path.rename(place / path.name.replace(old, name))
    place.rename(place.parent / name)


def test_time_points_of_a_patient_across_splits(brats):
    """Found in a split file; what is split here by seed keeps them together."""
    for index, name in (
        (3, "UPENN-GBM-00003_11"),
        (2, "UPENN-GBM-00002_11"),
        (1, "UPENN-GBM-00001_21"),
        (0, "UPENN-GBM-00001_11"),
    ):
        renamed(brats, index, name)
    one, two, other, last = names(brats)
    assert checked(brats)[0] == []
    divided = split_file(brats, train=[one, other], valid=[last], test=[two])
    kind, severity, where, line = only(brats, split=divided)
    assert (kind, severity, where) == ("patient in two splits", "warning", divided["split_files"][0])
    assert "UPENN-GBM-00001" in line and one in line and two in line and "train and test" in line
    together = split_file(brats, train=[one, two], valid=[last], test=[other])
    assert checked(brats, split=together)[0] == []


def test_patients_by_a_table(brats, tmp_path):
    """What names do not tell a table does."""
    first, second, third, fourth = names(brats)
    table = tmp_path / "patients.csv"
    table.write_text(f"subject,patient\n{first},Ann\n{fourth},Ann\n")
    split = split_file(brats, train=[first, second], valid=[third], test=[fourth])
    kind, _, _, line = only(brats, split=split, patients=table)
    assert kind == "patient in two splits" and "Ann" in line


def test_subjects_in_two_splits(brats):
    """In train and test: refused, as prepare does. In valid and test: a warning."""
    first, second, third, fourth = names(brats)
    kind, severity, _, _ = only(brats, split=split_file(brats, train=[first, second], valid=[third], test=[first]))
    assert (kind, severity) == ("split", "error")
    shared = split_file(brats, train=[first, second], valid=[third], test=[third, fourth])
    kind, severity, _, line = only(brats, split=shared)
    assert (kind, severity) == ("subject in two splits", "warning") and "1 of 2 test subjects" in line


# Data sets of one's own


def test_a_class_that_no_training_subject_has(tmp_path):
    """Refused by prepare when all is converted, found here."""
    folder = own_folders.nnunet(tmp_path / "D", values=(1,))
    task, _ = datasets.find(str(folder))
    kind, severity, _, line = only(folder, ALIKE, task=task)
    assert (kind, severity) == ("cannot be converted", "error") and "tumour (2) in none" in line


def test_intensities_without_extent(tmp_path):
    """CT that is one value in the foreground of all training subjects can't be standardised by it."""
    folder = own_folders.nnunet(tmp_path / "D")
    for index in range(3):
        image = own_folders.intensities(index)
        image[own_folders.labels() != 0] = 7
        own_folders.write_volume(folder / "imagesTr" / f"case_{index:02d}_0000.nii.gz", image)
    task, _ = datasets.find(str(folder))
    assert task.channels[0].normalise == "ct"
    kind, severity, _, line = only(folder, ALIKE, task=task)
    assert (kind, severity) == ("cannot be converted", "error") and "intensities that vary in the foreground" in line


@pytest.mark.parametrize("make", [own_folders.nnunet, own_folders.decathlon, own_folders.pairs])
def test_clean_folders_of_every_form(tmp_path, make):
    """No error and no warning in volumes of both forms and in photographs."""
    folder = make(tmp_path / "D")
    task, _ = datasets.find(str(folder))
    assert [one for one in checked(folder, task=task)[0] if one[0] not in ALIKE] == []


def test_against_the_records(brats):
    """A file that was changed since, and a subject that came since."""
    convert.convert("brats", brats, brats.parent / "data", say=lambda text: None)
    manifest = records.read_manifest(brats.parent / "data")
    assert checked(brats, manifest=manifest)[0] == []
    changed = names(brats)[1]
    rewrite(file(brats, 1, "t1"), lambda array: array + (array > 0).astype(array.dtype))
    place = file(brats, 3, "t1").parent
    shutil.copytree(place, place.parent / "Brats_new")
    for path in list((place.parent / "Brats_new").iterdir()):
        path.rename(path.with_name(path.name.replace(place.name, "Brats_new")))
    said, notes = checked(brats, manifest=manifest)
    kinds = {kind: line for kind, _, _, line in said}
    assert changed in kinds["records of other files"] and "identical subjects" in kinds
    assert "Brats_new" in notes["not in the records"][0]


# Reports


def test_a_report_says_all_once():
    """By severity, each entry with its remedy; many of a kind are counted."""
    many = [finding("warning", "empty mask", f"S{index}", found="nothing") for index in range(report.SHOWN + 3)]
    error = finding("error", "damaged", "A", expected="b", found="c", do=("remove it, then run ", command("prepare")))
    made = report.report(
        [*many, error, error], "1.0", {"raw_dir": "raw"}, {"raw_subjects": 1}, lambda command: "PREPARE"
    )
    lines = report.lines(made)
    assert lines[:5] == [
        "1 error:",
        "  damaged: A",
        "    found:    c",
        "    expected: b",
        "    mend:     remove it, then run `PREPARE`",
    ]
    assert any("3 more of this kind" in line for line in lines)
    assert lines[-1] == f"checked 1 raw subject: 1 error, {report.SHOWN + 3} warnings, 0 notes"
    document = json.loads(made.json())
    assert msgspec.json.decode(made.json(), type=report.Report) == made
    assert document["schema"] == 1 and len(document["findings"]) == report.SHOWN + 4
    assert document["findings"][0]["mend"] == "remove it, then run `PREPARE`"
    assert document["counts"] == {"error": 1, "warning": report.SHOWN + 3, "note": 0}


def test_nothing_is_written(brats):
    """The raw folder is as it was."""
    before = {path: path.stat().st_mtime_ns for path in pathlib.Path(brats).rglob("*")}
    checked(brats)
    assert {path: path.stat().st_mtime_ns for path in pathlib.Path(brats).rglob("*")} == before
