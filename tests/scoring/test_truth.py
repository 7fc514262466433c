"""Anyone's labels and masks: where they are found, what their numbers mean, and voxels that count nowhere."""

import numpy as np
import own_folders
import pytest
from made_up_maps import AFFINE, make_study, read_csv, serial, undrawn, write
from own_folders import write_json, write_volume

from data_prep import convert, datasets
from data_prep.base.errors import UserError
from data_prep.readers.labels import Rule
from tfunc import kinds
from tfunc.reporting import publish
from tfunc.scoring import metrics, sources
from tfunc.scoring.binary import count
from tfunc.scoring.truth import FolderTruth, RecordsTruth

SHAPE = (4, 9, 7)


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    undrawn(monkeypatch)


def evaluate(folder, kind="probability", masks=None, out="out", **rule):
    maps = sources.folder_maps(folder / "maps", kind)
    truth = FolderTruth(str(folder / "labels"), masks and str(folder / masks), Rule(**rule))
    return publish.evaluate_folders(publish.Request(folder / out), maps, truth, serial)


def one_map(folder, name, foreground):
    write(folder / "maps" / f"{name}_probability.nii.gz", np.float32(foreground) * np.float32(0.8) + np.float32(0.1))


@pytest.mark.parametrize(
    "place",
    [
        "{name}-seg.nii.gz",
        "{name}_seg.NII.GZ",
        "{name}_Segm.nii",
        "{name}-label.nii.gz",
        "{name}_MASK.nii.gz",
        "{name}.nii.gz",
        "{name}/{name}-seg.nii.gz",
        "{name}/{name}_seg.nii",
        "HGG/{name}/{name}_seg.nii.gz",
        "MICCAI_[1]/{name}/{name}_seg.nii.gz",
        "MICCAI_BraTS_2018/Data/LGG/{name}/{name}_seg.nii.gz",
    ],
)
def test_where_labels_are_found(tmp_path, place):
    """Official names of all years, common suffixes in any case, flat or in folders by subject (F09)."""
    name, label = "BraTS-GLI-00000-000", (np.arange(252).reshape(SHAPE) % 3 > 0).astype(np.uint8)
    one_map(tmp_path, name, label)
    path = tmp_path / "labels" / place.format(name=name)
    written = path.with_name(path.name.replace(".NII.GZ", ".nii.gz"))
    write(written, label)
    written.rename(path)
    if path.parent.name == name:  # beside the modalities
        write(path.with_name(f"{name}-t1n.nii.gz"), np.ones(SHAPE, np.int16))
        write(
            path.with_name(f"{name}_mask.nii.gz"), np.ones(SHAPE, np.uint8)
        )  # of the brain: the official name goes first
    finished = evaluate(tmp_path)
    assert finished.summary["methods"]["maps"]["table1"]["dice"]["mean"] == 1
    assert finished.summary["unpredicted"] == 0


def test_labels_twice_and_linked(tmp_path):
    """Flat and in the subject's folder are two, unless they are one file; none says which names are looked for."""
    label = np.ones(SHAPE, np.uint8)
    one_map(tmp_path, "a", label)
    with pytest.raises(UserError, match="labels: expected a folder with a label of each subject, found no such folder"):
        evaluate(tmp_path)
    (tmp_path / "labels").mkdir()
    with pytest.raises(
        UserError, match=r"a\.nii\.gz: expected one label of a, found no such file; name it a_seg, a-seg"
    ):
        evaluate(tmp_path)
    write(tmp_path / "labels" / "a" / "a-seg.nii.gz", label)
    (tmp_path / "labels" / "a_seg.nii.gz").symlink_to(tmp_path / "labels" / "a" / "a-seg.nii.gz")
    assert evaluate(tmp_path).fresh
    (tmp_path / "labels" / "a_seg.nii.gz").unlink()
    write(tmp_path / "labels" / "a_seg.nii.gz", label)
    with pytest.raises(UserError, match=r"one label of a, found a_seg\.nii\.gz and a.a-seg\.nii\.gz"):
        evaluate(tmp_path)


def test_unpredicted_in_folders_by_subject(tmp_path):
    """Labels of others in folders by subject are counted; modalities are not."""
    label = np.ones(SHAPE, np.uint8)
    one_map(tmp_path, "a", label)
    for name in ("a", "b", "c"):
        write(tmp_path / "labels" / name / f"{name}-seg.nii.gz", label)
        write(tmp_path / "labels" / name / f"{name}-t1n.nii.gz", label)
    assert evaluate(tmp_path).summary["unpredicted"] == 2


LABEL = np.zeros(SHAPE, np.uint8)
LABEL[0], LABEL[1], LABEL[2] = 1, 2, 4


@pytest.mark.parametrize("name", ["c_seg", "BraTS-GLI-00000-000-seg", "BraTS2021_0_mask"])
def test_labels_whose_meaning_nothing_tells(tmp_path, name):
    """The resection cavity of 2024, 255, or several classes under a name that tells nothing are refused (F23b)."""
    subject = name.removesuffix("_mask").removesuffix("_seg").removesuffix("-seg")
    one_map(tmp_path, subject, LABEL > 0)
    label = np.where(LABEL == 4, 255, LABEL) if "2021" in name else LABEL
    write(tmp_path / "labels" / f"{name}.nii.gz", label.astype(np.uint8))
    with pytest.raises(UserError, match=rf"{name}\.nii\.gz: expected labels of .*--label_map=1:"):
        evaluate(tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_label_map(tmp_path, capsys):
    """--label_map says what is foreground; numbers are printed once for the set, and the map is kept in summary.json."""
    one_map(tmp_path, "c", np.isin(LABEL, (1, 2)))
    write(tmp_path / "labels" / "c_seg.nii.gz", LABEL)
    finished = evaluate(tmp_path, label_map={1: 1, 2: 1, 4: 0})
    assert finished.summary["methods"]["maps"]["table1"]["dice"]["mean"] == 1
    assert finished.summary["inputs"]["label_map"] == {"1": 1, "2": 1, "4": 0}
    said = "labels of 1 file, numbers and their voxels: 0 in 63, 1 in 63, 2 in 63, 4 in 63; foreground: 1, 2\n"
    assert capsys.readouterr().out.count(said) == 1
    assert not evaluate(tmp_path, label_map={1: 1, 2: 1, 4: 0}).fresh
    assert evaluate(tmp_path, label_map={1: 1, 2: 0, 4: 0}).summary["methods"]["maps"]["table1"]["dice"]["mean"] < 1
    with pytest.raises(UserError, match=r"c_seg\.nii\.gz: expected labels of --label_map, \{0, 1\}"):
        evaluate(tmp_path, label_map={1: 1})


def test_two_numbers_are_binary_and_the_same_in_all(tmp_path, capsys):
    """0 and 255 are binary, said; 255 in one file and 1 in another are not one set."""
    for name in "ab":
        one_map(tmp_path, name, LABEL > 0)
        write(tmp_path / "labels" / f"{name}.nii.gz", np.uint8(LABEL > 0) * np.uint8(255))
    evaluate(tmp_path)
    assert "0 in 126, 255 in 378; two numbers are binary; foreground: 255\n" in capsys.readouterr().out
    write(tmp_path / "labels" / "b.nii.gz", np.uint8(LABEL > 0))
    with pytest.raises(
        UserError, match=r"labels: expected one foreground number.*1 in .*b\.nii\.gz and 255 in .*a\.nii\.gz"
    ):
        evaluate(tmp_path)


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_ignored_voxels_count_nowhere(tmp_path, kind):
    """Every number is that of the arrays without those voxels: Dice, calibration, U-E, ranges; they may even be NaN."""
    rng, arrays = np.random.default_rng(1), make_study(tmp_path)
    kept = {}
    for name, of in arrays.items():
        ignored = rng.random(SHAPE) < 0.3
        entry = kinds.KINDS[kind].entry
        score = np.where(ignored, np.float32(np.nan if name == "case_0" else 1), of[entry]).astype(np.float32)
        score[ignored & (rng.random(SHAPE) < 0.1)] = 1 if entry == "probability" else 77  # beyond the range of the rest
        write(tmp_path / "maps" / f"{name}_{entry}.nii.gz", score)
        write(tmp_path / "labels" / f"{name}_seg.nii.gz", np.where(ignored, 9, of["label"]).astype(np.uint8))
        kept[name] = {part: array[~ignored] for part, array in of.items()}
    finished = evaluate(tmp_path, kind, "masks", ignore=9)
    everything = np.concatenate([of["uncertainty"] for of in kept.values()])
    sigma_range = [float(str(everything.min())), float(str(everything.max()))]
    rows = read_csv(tmp_path / "out" / "subjects.csv")
    for row, of in zip(rows, kept.values(), strict=True):
        counts = count(of[kinds.KINDS[kind].entry], kind, of["prediction"], of["label"], of["mask"], sigma_range)
        outcome = metrics.outcome(counts)
        assert [int(row[part]) for part in ("tp", "fp", "tn", "fn")] == [outcome.tp, outcome.fp, outcome.tn, outcome.fn]
        assert outcome.tp + outcome.fp + outcome.tn + outcome.fn == of["label"].size
        assert float(row["dice"]) == metrics.dice(counts) and float(row["ece"]) == metrics.calibration_error(counts)
        assert int(row["fpu_0.50"]) == outcome.fpu[5]
    assert finished.report.exists() and finished.summary["inputs"]["ignore_label"] == 9


def confused(folder, name="c"):
    """tp, fp, tn, fn of the subject's row."""
    (row,) = [row for row in read_csv(folder / "out" / "subjects.csv") if name in row.values()]
    return [int(row[part]) for part in ("tp", "fp", "tn", "fn")]


def numbers(foreground, label, counted):
    """The same of arrays, by NumPy."""
    return [
        int((counted & (foreground == is_found) & (label == is_there)).sum())
        for is_found, is_there in ((True, True), (True, False), (False, False), (False, True))
    ]


@pytest.mark.parametrize(
    ("rule", "foreground"),
    [
        ({"ignore": 4, "label_map": {1: 1, 2: 1}}, (1, 2)),
        ({"ignore": 4, "label_map": {1: 0, 2: 1}}, (2,)),
        ({"ignore": 1, "label_map": {2: 1, 4: 1}}, (2, 4)),
        ({"ignore": 0, "label_map": {1: 0, 2: 1, 4: 1}}, (2, 4)),
    ],
)
def test_an_ignored_class_in_a_segmentation(tmp_path, capsys, rule, foreground):
    """What a method gives that class elsewhere is no foreground, said once; voxels labelled so are left out."""
    rng = np.random.default_rng(4)
    label, found = (rng.choice(np.uint8([0, 1, 2, 4]), SHAPE) for _ in range(2))
    for name in "cd":
        one_map(tmp_path, name, np.isin(found, foreground))
        write(tmp_path / "maps" / f"{name}_prediction.nii.gz", found)
        write(tmp_path / "labels" / f"{name}_seg.nii.gz", label)
    evaluate(tmp_path, **rule)
    expected = numbers(np.isin(found, foreground), np.isin(label, foreground), label != rule["ignore"])
    assert confused(tmp_path) == confused(tmp_path, "d") == expected
    said = capsys.readouterr().out
    assert said.count(f"the ignored label {rule['ignore']} is background in") == bool(rule["ignore"])
    assert "(and 1 more)" in said or not rule["ignore"]


def test_an_ignored_class_without_a_map(tmp_path):
    """One other number is the foreground; files of the ignored number alone are binary unless others say otherwise."""
    label, found = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    label[0], label[1], found[0], found[2] = 9, 1, 9, 9
    found[1, :4] = 1
    for name in "cd":
        one_map(tmp_path, name, found == 1)
        write(tmp_path / "labels" / f"{name}_seg.nii.gz", label)
        write(tmp_path / "maps" / f"{name}_prediction.nii.gz", found)
    evaluate(tmp_path, ignore=9)
    assert confused(tmp_path) == numbers(found == 1, label == 1, label != 9)
    write(tmp_path / "maps" / "d_prediction.nii.gz", np.where(found == 9, found, 0).astype(np.uint8))
    with pytest.raises(UserError, match="one foreground number in all files"):
        evaluate(tmp_path, ignore=9)
    write(tmp_path / "maps" / "c_prediction.nii.gz", np.uint8(found == 1) * np.uint8(9))
    write(tmp_path / "maps" / "d_prediction.nii.gz", np.uint8(found == 1) * np.uint8(9))
    evaluate(tmp_path, ignore=9)
    assert confused(tmp_path) == numbers(found == 1, label == 1, label != 9)


def test_a_binary_segmentation_where_1_is_ignored(tmp_path):
    """0 and 1 may be either: refused."""
    label = (np.arange(252).reshape(SHAPE) % 3).astype(np.uint8)
    one_map(tmp_path, "c", label == 2)
    write(tmp_path / "labels" / "c_seg.nii.gz", label)
    write(tmp_path / "maps" / "c_prediction.nii.gz", np.uint8(label == 2))
    with pytest.raises(UserError, match=r"c_prediction.*found 0 and 1, with --ignore_label=1"):
        evaluate(tmp_path, ignore=1, label_map={2: 1})


@pytest.mark.parametrize("masks", [np.arange(252).reshape(SHAPE) % 3, np.arange(252).reshape(SHAPE)])
def test_a_mask_of_several_numbers(tmp_path, masks):
    """Regions or an image as a mask are refused: nobody says which are inside."""
    make_study(tmp_path, subjects=1)
    write(tmp_path / "masks" / "case_0.nii.gz", masks.astype(np.int16))
    with pytest.raises(UserError, match=r"masks.case_0\.nii\.gz: expected a mask of 0 and one other number, found"):
        evaluate(tmp_path, masks="masks")


def test_segmentations_of_several_classes(tmp_path):
    """A segmentation of classes is read by the labels' map or name; without either it is refused."""
    for name in ("BraTS-PED-0-000", "c"):
        one_map(tmp_path / name, name, LABEL > 0)
        write(tmp_path / name / "maps" / f"{name}_prediction.nii.gz", LABEL)
        write(tmp_path / name / "labels" / f"{name}.nii.gz", LABEL if name != "c" else np.uint8(LABEL > 0))
    assert evaluate(tmp_path / "BraTS-PED-0-000").summary["methods"]["maps"]["table1"]["dice"]["mean"] == 1
    with pytest.raises(UserError, match=r"c_prediction\.nii\.gz: expected labels of 0 and one other number, or a map"):
        evaluate(tmp_path / "c")
    write(tmp_path / "c" / "labels" / "c.nii.gz", LABEL)
    label_map = {1: 1, 2: 1, 4: 0}
    assert evaluate(tmp_path / "c", label_map=label_map).summary["methods"]["maps"]["table1"]["dice"]["mean"] == 1
    write(tmp_path / "c" / "maps" / "c_prediction.nii.gz", np.uint8(LABEL == 1))
    with pytest.raises(UserError, match="found 0 and 1, with 1:0"):
        evaluate(tmp_path / "c", out="other", label_map={1: 0, 2: 1, 4: 0})


def test_rounded_labels_are_said_once(tmp_path, capsys):
    """Labels that rounding took from whole numbers are those, in one line for all files."""
    for name in "abc":
        one_map(tmp_path, name, LABEL > 0)
        write(tmp_path / "labels" / f"{name}.nii.gz", np.float32(LABEL > 0) * np.float32(1.00003), AFFINE)
    evaluate(tmp_path)
    out = capsys.readouterr().out
    assert out.count("rounding") == 1 and "(and 2 more)" in out


def test_records_that_are_ignored_everywhere(tmp_path):
    """A subject of nothing but ignored voxels has nothing to evaluate, and is named."""
    raw = own_folders.nnunet(tmp_path / "D", labels={**own_folders.LABELS, "ignore": 3})
    write_json(raw / "tfunc.json", {"channels": {"CT": {"normalise": "zscore"}}})
    write_volume(raw / "labelsTr" / "case_00.nii.gz", np.full(own_folders.SHAPE, 3, np.uint8))
    write_json(tmp_path / "split.json", {"train": ["case_01"], "valid": ["case_02"], "test": ["case_00"]})
    files = [tmp_path / "split.json"]
    convert.convert(*datasets.find(str(raw)), tmp_path / "data", split_files=files, say=lambda line: None)
    with pytest.raises(UserError, match="case_00: expected voxels that count, found the ignored label 3 everywhere"):
        RecordsTruth(str(tmp_path / "data")).read("case_00")
