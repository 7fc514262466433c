"""Splits have the sizes and strata they should, files of every form are read, and leaks are refused by name."""

import collections
import dataclasses
import json

import numpy as np
import pytest

from data_prep import folds, splits
from data_prep.base.errors import UserError

BRATS, ISIC = (100, 25, 160), (70, 10, 20)


@dataclasses.dataclass(frozen=True)
class Source:
    name: str
    grade: str | None = None
    split: str | None = None
    labelled: bool = True


def subjects(number, **facts):
    return [Source(f"s{index:03}", **facts) for index in range(number)]


def sizes(assignment):
    return [len(assignment.parts[name]) for name in splits.NAMES]


@pytest.fixture
def write(tmp_path):
    def write(content, name="split.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


# By seed


def test_brats_has_the_papers_sizes_stratified_by_grade():
    """285 subjects of which 75 are LGG: 100/25/160, each with its share of both grades."""
    sources = [dataclasses.replace(s, grade="LGG" if i < 75 else "HGG") for i, s in enumerate(subjects(285))]
    made = splits.assign(sources, BRATS)
    assert sizes(made) == [100, 25, 160, 0]
    grade = {source.name: source.grade for source in sources}
    for part, size in zip(splits.PARTS, BRATS, strict=True):
        low = collections.Counter(grade[name] for name in made.parts[part])["LGG"]
        assert abs(low - size * 75 / 285) < 1
    assert sorted(sum(made.parts.values(), ())) == [source.name for source in sources]


@pytest.mark.parametrize("number", [3, 4, 5, 7, 10, 28, 57, 369])
@pytest.mark.parametrize("graded", [False, True])
def test_other_numbers_in_proportion_and_never_empty(number, graded):
    """Largest remainder, but no split goes without a subject; nobody is lost or doubled."""
    sources = [dataclasses.replace(s, grade="HL"[i % 2] if graded else None) for i, s in enumerate(subjects(number))]
    made = splits.assign(sources, BRATS)
    assert min(sizes(made)[:3]) >= 1
    assert all(abs(size - number * share / 285) <= 1 for size, share in zip(sizes(made), BRATS, strict=False))
    assert sorted(sum(made.parts.values(), ())) == [source.name for source in sources]


def test_seed_decides_and_order_does_not():
    """The same seed gives the same split from any order of the folder, another seed another one."""
    sources = subjects(40)
    made = splits.assign(sources, BRATS, seed=1)
    assert made == splits.assign(sources[::-1], BRATS, seed=1)
    assert made.parts != splits.assign(sources, BRATS, seed=2).parts
    assert list(made.parts["train"]) != sorted(made.parts["train"])  # shuffled: consecutive blocks are random


def test_one_missing_grade_means_no_stratification():
    """Grades count only where all are known; that they did not count is told."""
    graded = [dataclasses.replace(s, grade="HGG") for s in subjects(20)]
    partly = [*graded[:-1], dataclasses.replace(graded[-1], grade=None)]
    made = splits.assign(partly, BRATS)
    assert sizes(made) == sizes(splits.assign(graded, BRATS))
    assert made.notes == ("1 of 20 labelled subjects have no grade: grades do not divide them",)


@pytest.mark.parametrize("number", [1, 2])
def test_too_few_ask_for_a_split_file(number):
    """Two subjects can't fill three splits."""
    with pytest.raises(UserError, match=f"{number} labelled subject.*--split_file"):
        splits.assign(subjects(number), BRATS)


def test_unlabelled_subjects_are_for_prediction():
    """They take no part in the split; a folder of nothing else is fine too."""
    made = splits.assign([*subjects(10), Source("x", labelled=False)], BRATS)
    assert made.parts["predict"] == ("x",) and sizes(made)[3] == 1 and sum(sizes(made)) == 11
    assert any("without a label" in note for note in made.notes)
    assert sizes(splits.assign(subjects(4, labelled=False), BRATS)) == [0, 0, 0, 4]


def test_isic_official_split():
    """The layout's sets are kept as they are; its unlabelled images are for prediction."""
    sources = [Source(f"{part}{i}", split=part) for part in splits.PARTS for i in range(5)]
    made = splits.assign([*sources, Source("z", split="test", labelled=False)], ISIC)
    assert made.parts["train"] == tuple(f"train{i}" for i in range(5))
    assert sizes(made) == [5, 5, 5, 1]


def test_what_the_official_layout_lacks_comes_from_its_training_set():
    """2016 has no validation set; a download of the training set alone is split 70/10/20. Both are told."""
    sources = [*subjects(80, split="train"), *(Source(f"t{i}", split="test") for i in range(30))]
    made = splits.assign(sources, ISIC)
    assert sizes(made) == [70, 10, 30, 0] and "no labelled valid set" in made.notes[0]
    assert sizes(splits.assign(subjects(100, split="train"), ISIC)) == [70, 10, 20, 0]
    with pytest.raises(UserError, match="official training set"):
        splits.assign(subjects(10, split="test"), ISIC)


def test_no_official_layout_is_split_by_seed():
    """PH2 has 200 images and no sets."""
    assert sizes(splits.assign(subjects(200), ISIC)) == [140, 20, 40, 0]
    mixed = splits.assign([*subjects(200), Source("t", split="train")], ISIC)
    assert mixed.notes == ("the layout's own sets are not kept: 200 of 201 labelled subjects are in none",)
    assert "--allow_missing changes nothing" in splits.assign(subjects(9), ISIC, allow_missing=True).notes[0]


def test_largest_remainder_adds_up():
    """Shares are whole, add up, and are within one of exact."""
    for total in range(50):
        shares = splits.largest_remainder(total, BRATS)
        assert sum(shares) == total
        assert all(abs(s - total * w / 285) < 1 for s, w in zip(shares, BRATS, strict=True))


# Files. Ten subjects s000 to s009

NAMES = [source.name for source in subjects(10)]
FLAT = {"train": NAMES[:6], "valid": NAMES[6:7], "test": NAMES[7:]}
ENSEMBLE = {
    "train": [NAMES[:5], NAMES[1:6], [NAMES[0], *NAMES[2:6]]],
    "valid": [NAMES[6:7]] * 3,
    "test": [NAMES[7:]] * 3,
}
FOLDS = {
    "train": [NAMES[3:7], [*NAMES[:3], NAMES[6]], NAMES[:6]],
    "valid": [NAMES[:3], NAMES[3:6], NAMES[6:7]],
    "test": [NAMES[:3], NAMES[3:6], NAMES[6:7]],
}


def test_flat_file(write):
    """The lists are the splits, in the file's order."""
    flat = {**FLAT, "train": FLAT["train"][::-1]}
    made = splits.assign(subjects(10), BRATS, split_files=[write(flat)])
    assert made.parts["train"] == tuple(NAMES[5::-1]) and sizes(made) == [6, 1, 3, 0]
    assert made.members is None and made.folds is None and made.notes == ()


def test_a_further_set(write):
    """A flat file may name a set that chooses and judges nothing; the others are as they would be without."""
    made = splits.assign(
        subjects(10), BRATS, split_files=[write({**FLAT, "test": FLAT["test"][:-1], "calibration": ["s009"]})]
    )
    assert made.parts["calibration"] == ("s009",)
    assert made.names == (*splits.NAMES, "calibration") and made.splits()["s009"] == ("calibration",)
    assert made.parts["train"] == tuple(FLAT["train"])


def test_names_are_compared_composed(write):
    """A split file may have a name in the decomposed form that a Mac writes."""
    content = {"train": ["mu\u0308ller"], "valid": ["b"], "test": ["c"]}
    made = splits.assign([Source("m\u00fcller"), Source("b"), Source("c")], BRATS, split_files=[write(content)])
    assert made.parts["train"] == ("m\u00fcller",)


def test_ensemble_file_alone(write):
    """train is the union of the members in order of first appearance."""
    made = splits.assign(subjects(10), BRATS, split_files=[write(ENSEMBLE)])
    assert made.parts["train"] == tuple(NAMES[:6]) and sizes(made) == [6, 1, 3, 0]
    assert made.members == tuple(map(tuple, ENSEMBLE["train"]))


@pytest.mark.parametrize("valid", [[None] * 3, None])
def test_ensemble_file_with_the_official_validation_set(write, valid):
    """null stands for the official split, as in the authors' file for ISIC."""
    official = {**dict.fromkeys(NAMES, "train"), NAMES[6]: "valid", **dict.fromkeys(NAMES[7:], "test")}
    sources = [dataclasses.replace(source, split=official[source.name]) for source in subjects(10)]
    path = write({**ENSEMBLE, "valid": valid, "test": None})
    made = splits.assign(sources, ISIC, split_files=[path])
    assert made.parts["valid"] == (NAMES[6],) and made.parts["test"] == tuple(NAMES[7:])
    with pytest.raises(UserError, match="official validation set that the data does not have"):
        splits.assign(subjects(10), ISIC, split_files=[path])


@pytest.mark.parametrize("fold", [None, 0, 1, 2])
def test_cross_validation_file_alone(write, fold):
    """A fold is the split; its validation subjects are its test subjects too."""
    made = splits.assign(subjects(10), BRATS, split_files=[write(FOLDS)], split_fold=fold)
    assert made.parts["train"] == tuple(FOLDS["train"][fold or 0])
    assert made.parts["valid"] == made.parts["test"] == tuple(FOLDS["valid"][fold or 0])
    assert made.splits()[FOLDS["valid"][fold or 0][0]] == ("valid", "test")
    assert [fold["valid"] for fold in made.folds] == [tuple(names) for names in FOLDS["valid"]]
    assert "3 labelled subjects" in made.notes[0]


def test_all_three_files_together(write):
    """The flat file fixes the split, the others give members and folds; the order of the files is free."""
    paths = [write(FOLDS, "c.json"), write(FLAT, "f.json"), write(ENSEMBLE, "e.json")]
    made = splits.assign(subjects(10), BRATS, split_files=paths)
    assert sizes(made) == [6, 1, 3, 0] and len(made.members) == 3 and len(made.folds) == 3


def test_subjects_not_in_the_data_need_permission(write):
    """Without it the number and the first names are told, with it they are left out of every list."""
    paths = [write(FLAT, "f.json"), write(ENSEMBLE, "e.json")]
    there = [source for source in subjects(10) if source.name not in ("s001", "s008")]
    with pytest.raises(UserError, match=r"2 of 10 .*s001, s008.*--allow_missing"):
        splits.assign(there, BRATS, split_files=paths)
    made = splits.assign(there, BRATS, split_files=paths, allow_missing=True)
    assert sizes(made) == [5, 1, 2, 0] and "s001" not in made.members[0]
    assert "2 of 10" in made.notes[0]


def test_subjects_not_in_the_file_are_left_out_but_not_the_unlabelled(write):
    """One line says how many."""
    made = splits.assign([*subjects(13), Source("x", labelled=False)], BRATS, split_files=[write(FLAT)])
    assert sizes(made) == [6, 1, 3, 1] and "3 labelled subjects" in made.notes[0]
    assert len(made.splits()) == 11


def test_valid_and_test_may_overlap(write):
    """As where two labelled subjects are all there is."""
    made = splits.assign(
        subjects(2), BRATS, split_files=[write({"train": ["s000"], "valid": ["s001"], "test": ["s001"]})]
    )
    assert made.splits() == {"s000": ("train",), "s001": ("valid", "test")}


REFUSED = [
    ("not JSON", [], "JSON"),
    ([NAMES], [], "an object with train"),
    ({**FLAT, "extra": []}, [], "subject names in extra"),
    ({**FLAT, "validation": ["s006"]}, [], "found 'validation'; did you mean valid"),
    ({**FLAT, "predict": ["s006"]}, [], "found 'predict'"),
    ({**FLAT, "Extra": ["s006"]}, [], "of other names in small letters"),
    ({**ENSEMBLE, "calibration": [["s009"]] * 3}, [], "train, valid and test, found 'calibration'"),
    ({**FLAT, "calibration": ["s000"]}, [], "both train and calibration, found s000"),
    ({**FLAT, "calibration": ["s008"]}, [], "both test and calibration, found s008"),
    ({"train": [], "valid": NAMES}, [], "an object with train"),
    ({"train": [NAMES[0], 3], "valid": NAMES[6:]}, [], "subject names in train"),
    ({"train": [NAMES[0], NAMES[:2]], "valid": NAMES[6:]}, [], "subject names in train"),
    ({"train": NAMES[:2], "valid": "s006"}, [], "subject names in valid"),
    ({"train": [NAMES[:2], []], "valid": None}, [], "subject names in train"),
    ({**FLAT, "train": ["s000", "s000"]}, [], "s000 twice"),
    ({**FLAT, "train": NAMES[:7]}, [], "both train and valid, found s006"),
    ({**FLAT, "train": [*NAMES[:6], "s008"]}, [], "both train and test, found s008"),
    ({**ENSEMBLE, "valid": [NAMES[6:7]] * 2}, [], "3 lists in valid"),
    ({**ENSEMBLE, "valid": NAMES[6:9]}, [], "subject names in valid"),
    ({**ENSEMBLE, "test": [["s007"], ["s008"], ["s009"]]}, [], "one test list for all members"),
    ({**FOLDS, "valid": [None, *FOLDS["valid"][1:]]}, [], "a valid list in each fold"),
    ({**FOLDS, "train": [*FOLDS["train"][:2], NAMES[:7]]}, [], "both train of fold 2 and valid of fold 2, found s006"),
    ({"train": [["s000", "s008"]], "valid": None}, [FLAT], "member 0 within train of .*s008"),
    ({**FOLDS, "train": [*FOLDS["train"][:2], [*NAMES[:6], "s009"]]}, [FLAT], "fold 2 within train and valid .*s009"),
    (FLAT, [FLAT], "a second flat"),
]


@pytest.mark.parametrize(("content", "others", "match"), REFUSED, ids=[match[:28] for _, _, match in REFUSED])
def test_bad_files_are_refused(write, content, others, match):
    """Malformed files and subjects trained on and judged on: one line that names file and subject."""
    paths = [write(content), *(write(other, f"{i}.json") for i, other in enumerate(others))]
    with pytest.raises(UserError, match=match) as caught:
        splits.assign(subjects(10), BRATS, split_files=paths)
    assert "split.json" in str(caught.value) or "0.json" in str(caught.value)


def test_missing_file_and_idle_folds_are_refused(write, tmp_path):
    """A fold needs a cross-validation file that stands alone, and one of its folds."""
    with pytest.raises(UserError, match=r"none\.json"):
        splits.assign(subjects(10), BRATS, split_files=[tmp_path / "none.json"])
    with pytest.raises(UserError, match="--split_fold"):
        splits.assign(subjects(10), BRATS, split_fold=1)
    with pytest.raises(UserError, match="--split_fold"):
        splits.assign(subjects(10), BRATS, split_files=[write(FLAT)], split_fold=0)
    for fold in (-1, 3):
        with pytest.raises(UserError, match="0 to 2"):
            splits.assign(subjects(10), BRATS, split_files=[write(FOLDS)], split_fold=fold)


@pytest.mark.parametrize("part", ["train", "valid"])
def test_unlabelled_subjects_are_neither_trained_nor_validated_on(write, part):
    """A file that asks for it is refused; one that tests on them keeps them for prediction."""
    unlabelled = FLAT[part][0]
    sources = [dataclasses.replace(source, labelled=source.name != unlabelled) for source in subjects(10)]
    with pytest.raises(UserError, match=f"{unlabelled}, which has no label"):
        splits.assign(sources, BRATS, split_files=[write(FLAT)])
    sources = [dataclasses.replace(source, labelled=source.name != "s008") for source in subjects(10)]
    made = splits.assign(sources, BRATS, split_files=[write(FLAT)])
    assert made.splits()["s008"] == ("predict",) and sizes(made) == [6, 1, 2, 1]


def test_missing_everywhere_leaves_no_empty_training_list(write):
    """allow_missing does not make a member of nobody."""
    with pytest.raises(UserError, match="subjects of the data in train, found none"):
        splits.assign([Source("other")], BRATS, split_files=[write(FLAT)], allow_missing=True)


# Folds


@pytest.mark.parametrize("seed", range(6))
def test_stratified_folds_equal_scikit_learns(seed):
    """Same subjects in the same folds, for grades in any order and proportion."""
    model_selection = pytest.importorskip("sklearn.model_selection")
    generator = np.random.default_rng(seed)
    grades = generator.choice(["LGG", "HGG", "?"][: 2 + seed % 2], generator.integers(30, 140), p=None).tolist()
    names = [f"s{index}" for index in range(len(grades))]
    expected = model_selection.StratifiedKFold(5, shuffle=False).split(names, grades)
    for ours, (train, valid) in zip(folds.k_folds(names, 5, grades), expected, strict=True):
        assert ours == {"train": [names[i] for i in train], "valid": [names[i] for i in valid]}


def test_plain_folds_equal_scikit_learns():
    """Consecutive blocks."""
    model_selection = pytest.importorskip("sklearn.model_selection")
    names = [f"s{index}" for index in range(13)]
    for ours, (_, valid) in zip(folds.k_folds(names, 5), model_selection.KFold(5).split(names), strict=True):
        assert ours["valid"] == [names[i] for i in valid]
    for k in (1, 14):
        with pytest.raises(UserError, match="folds"):
            folds.k_folds(names, k)


def test_members_leave_out_consecutive_blocks():
    """Ten members of 100 subjects: 90 each, together all, member k without the k-th ten."""
    names = [f"s{index}" for index in range(100)]
    members = folds.leave_out_blocks(names, 10)
    assert [len(member) for member in members] == [90] * 10
    assert members[3] == names[:30] + names[40:]
    assert folds.leave_out_blocks(names, 3) == members[:3]  # fewer members, same blocks
    assert [len(member) for member in folds.leave_out_blocks(names, 20)] == [95] * 20
    assert folds.leave_out_blocks(["only"], 2) == [["only"], ["only"]]
