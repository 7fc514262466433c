"""Several classes in anyone's files: how they are told, what is read, and every refusal in one line."""

import pickle
import zipfile

import msgspec
import numpy as np
import pytest
from conftest import ROOT
from made_up_classes import RAW, TASK, evaluate_classes, make_classes, write_channels
from made_up_maps import read_csv, undrawn, write

from data_prep.base.errors import UserError
from data_prep.tasks import TASKS, Region
from tfunc.scoring import asked, npz, sources

REGIONS = "whole:1,2,4;core:1,4;three:4"


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    undrawn(monkeypatch)


def test_regions_by_raw_labels():
    """A class for each label in rising order; a region's classes in the order they are named."""
    task = asked.task_of_regions("whole:1,2,4; core:4,1", ignore=9)
    assert [one.labels for one in task.classes] == [(0,), (1,), (2,), (4,)] and task.ignore == 9
    assert [(region.name, region.classes) for region in task.regions] == [("whole", (1, 2, 3)), ("core", (3, 1))]
    assert not task.is_binary


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "none"),
        ("whole", "whole"),
        ("whole:", "whole:"),
        (":1", ":1"),
        ("whole:1,x", "whole:1,x"),
        ("whole:1;whole:2", "whole twice"),
        ("whole:0,1", "whole:0,1"),
        ("whole:1,1", "whole:1,1"),
        ("whole:1,9", "whole:1,9"),
        ("whole:1,70000", "whole:1,70000"),
        ("many:" + ",".join(map(str, range(10, 290))), "280"),
    ],
)
def test_regions_that_say_nothing(text, found):
    """Text that is no region, labels twice, 0, ignored or beyond all, and too many are refused by their own words."""
    with pytest.raises(UserError, match=rf"--regions.*found {found}$"):
        asked.task_of_regions(text, ignore=9)


def test_tasks_of_records(tmp_path, brats_data, monkeypatch):
    """A name of the table, a folder of records, their name in data/; anything else names both places."""
    assert asked.task_of_records("brats") is TASKS["brats"]
    assert asked.task_of_records(str(brats_data)).name == "brats"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").symlink_to(brats_data)
    assert asked.task_of_records("mine").name == "brats"
    with pytest.raises(UserError, match=r"--dataset=theirs: expected .* or prepared records in theirs or data/theirs"):
        asked.task_of_records("theirs")
    rule = asked.rule_of(TASKS["brats"])
    assert rule.label_map == {0: 0, 1: 1, 2: 1, 3: 1, 4: 1}


def broken(tmp_path, breaking, message, **settings):
    make_classes(tmp_path)
    breaking(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        evaluate_classes(tmp_path, **settings)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


SHAPE = (4, 9, 7)
THREE = np.full((3, *SHAPE), 1 / 3, np.float32)
FIVE = np.full((5, *SHAPE), 0.2, np.float32)
NAN = np.full((4, *SHAPE), 0.25, np.float32)
NAN[1, 2, 3, 4] = np.nan


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (FIVE, r"case_1_prob.*4 or 3 channels, the last axis or the first, of the label's 7x9x4, found 7x9x4x5"),
        (NAN, r"case_1_prob.*found NaN"),
        (
            np.full((4, *SHAPE), 0.3, np.float32),
            r"case_1_prob.*4 channels of a softmax, which add up to 1 \(background",
        ),
        (np.full((4, 4, 9, 8), 0.25, np.float32), r"case_1_prob.*of the label's 7x9x4, found 8x9x4x4"),
        (np.full((3, *SHAPE), 1.5, np.float32), r"case_1_prob.*\[0, 1\]"),
    ],
)
def test_softmaxes_that_are_none(tmp_path, channels, message):
    """Another number of channels, sums that are not 1, NaN, another shape: the file is named."""
    broken(tmp_path, lambda at: write_channels(at / "maps" / "case_1_probability.nii.gz", channels), message)


def test_one_map_where_classes_are(tmp_path):
    """A 3-D probability of two classes is not a softmax of four."""
    one = np.full(SHAPE, 0.5, np.float32)
    message = r"case_1_prob.*4 or 3 channels.*found 7x9x4; write the probability of every class"
    broken(tmp_path, lambda at: write(at / "maps" / "case_1_probability.nii.gz", one), message)


@pytest.mark.parametrize("place", ["labels/case_1.nii.gz", "maps/case_1_prediction.nii.gz"])
def test_labels_that_the_task_lacks(tmp_path, place):
    """A number that no class has, in a label or in a segmentation, names the file and the number."""
    strange = np.full(SHAPE, 7, np.uint8)
    broken(tmp_path, lambda at: write(at / place, strange), r"case_1.*found 7")


def test_ignored_everywhere(tmp_path):
    """A label of nothing but what is ignored has nothing to evaluate."""
    nothing = np.full(SHAPE, 9, np.uint8)
    broken(tmp_path, lambda at: write(at / "labels" / "case_1.nii.gz", nothing), "voxels that count, found the ignored")


def test_ignored_voxels_may_hold_anything(tmp_path):
    """Nothing of them is looked at: sums, NaN and numbers beyond 1 there change no number."""
    arrays = make_classes(tmp_path, ignored=0.3)
    before = evaluate_classes(tmp_path).summary
    for number, (name, of) in enumerate(arrays.items()):
        channels = np.where(of["counted"], of["channels"], np.float32([0, np.nan, 7][number]))
        write_channels(tmp_path / "maps" / f"{name}_probability.nii.gz", channels)
    finished = evaluate_classes(tmp_path)
    assert finished.fresh
    assert {part: finished.summary[part] for part in ("methods", "regions", "classes")} == {
        part: before[part] for part in ("methods", "regions", "classes")
    }


def as_npz(folder, arrays, **more):
    folder.mkdir()
    for name, of in arrays.items():
        np.savez_compressed(folder / f"{name}.npz", **{"probabilities": of["channels"], **more})
        write(folder / f"{name}.nii.gz", RAW[of["prediction"]])


@pytest.mark.long
def test_nnunet(tmp_path, capsys):
    """CASE.npz with its segmentation; the pickle beside it is never opened, which is said once."""
    arrays = make_classes(tmp_path)
    as_npz(tmp_path / "nnunet", arrays)

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "opened"), "w"))

    for name in arrays:
        (tmp_path / "nnunet" / f"{name}.pkl").write_bytes(pickle.dumps(Bomb()))
    found = evaluate_classes(tmp_path, None, maps="nnunet", out="nnunet_out").summary
    expected = evaluate_classes(tmp_path).summary
    one, other = (of["regions"]["core"]["methods"] for of in (found, expected))
    assert one["nnunet"]["table1"] == other["maps"]["table1"] and not (tmp_path / "opened").exists()
    assert capsys.readouterr().out.count("is not read, since a pickle is code") == 1
    (tmp_path / "nnunet" / "case_1.npz").unlink()
    np.savez(tmp_path / "nnunet" / "case_1.npz", probabilities=arrays["case_1"]["channels"])
    assert evaluate_classes(tmp_path, None, maps="nnunet", out="nnunet_out").fresh  # the file is part of the inputs


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"softmax": NAN}, r"case_1\.npz: expected an array 'probabilities', found softmax; predict again"),
        ({"probabilities": np.array([{}], object)}, r"case_1\.npz: expected .*found (1|an array of object)"),
        ({"probabilities": np.zeros((4, 9, 4, 7), np.float32)}, r"case_1\.npz: expected 4 or 3 channels of 4x9x7"),
        ({"probabilities": np.zeros((4, *SHAPE), np.complex64)}, r"case_1\.npz.*found an array of complex64"),
        (b"no zip", r"case_1\.npz: expected probabilities as nnU-Net writes them"),
    ],
)
def test_archives_that_are_no_softmax(tmp_path, contents, message):
    """Other arrays, objects, axes in another order, damaged files: one line that names the file."""
    arrays = make_classes(tmp_path)
    as_npz(tmp_path / "nnunet", arrays)
    path = tmp_path / "nnunet" / "case_1.npz"
    path.write_bytes(contents) if isinstance(contents, bytes) else np.savez(path, **contents)
    with pytest.raises(UserError, match=message):
        evaluate_classes(tmp_path, "probability", maps="nnunet")


def test_an_archive_that_asks_for_gigabytes(tmp_path):
    """A header that promises more than the file holds is refused before anything is allocated."""
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 32000, 32000, 32000), }"
    head += b" " * (118 - len(head) - 1) + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("probabilities.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
    with pytest.raises(UserError, match=r"a\.npz: expected at most .* values, all in the file, found a header"):
        npz.read(tmp_path / "a.npz")


def test_sigmoids_of_regions(tmp_path, capsys):
    """Region-trained nnU-Net: its channels are the regions' probabilities as they stand; there is no class map, which is said."""
    arrays = make_classes(tmp_path)
    rng = np.random.default_rng(1)
    sigmoids = {}
    for name, of in arrays.items():
        inside = np.stack([np.isin(of["label"], region.classes) for region in TASK.regions])
        sigmoids[name] = np.clip(0.7 * inside + 0.3 * rng.random(inside.shape), 0, 1).astype(np.float32)
        of["channels"] = sigmoids[name]
    as_npz(tmp_path / "nnunet", arrays)
    finished = evaluate_classes(tmp_path, None, maps="nnunet")
    assert "classes" not in finished.summary and "regions' own probabilities" in capsys.readouterr().out
    for index, region in enumerate(TASK.regions):
        for name, of in arrays.items():
            folder = tmp_path / region.name
            write(folder / "maps" / f"{name}_probability.nii.gz", sigmoids[name][index])
            found = np.isin(of["prediction"], region.classes)
            write(folder / "maps" / f"{name}_prediction.nii.gz", found.astype(np.uint8))
            write(folder / "labels" / f"{name}.nii.gz", np.isin(of["label"], region.classes).astype(np.uint8))
    rows = read_csv(tmp_path / "out" / "subjects.csv")
    for region in TASK.regions:
        from made_up_maps import evaluate_study  # noqa: F401 - the binary way

        from tfunc.reporting import publish
        from tfunc.scoring.truth import FolderTruth

        folder = tmp_path / region.name
        maps = sources.folder_maps(folder / "maps", "probability")
        request = publish.Request(folder / "out")
        from made_up_maps import serial

        publish.evaluate_folders(request, maps, FolderTruth(str(folder / "labels")), serial)
        two = read_csv(folder / "out" / "subjects.csv")
        several = [row for row in rows if row["region"] == region.name]
        for one, other in zip(two, several, strict=True):
            assert {k: v for k, v in one.items() if k != "method"} == {k: other[k] for k in one if k != "method"}
    forced = {"maps": "nnunet", "out": "forced"}
    with pytest.raises(UserError, match=r"case_0\.npz: expected 4 channels of 4x9x7"):
        evaluate_classes(tmp_path, None, activation="softmax", **forced)


def test_sigmoids_without_a_segmentation(tmp_path):
    """The later region overwrites, as nnU-Net does: its segmentation follows from the channels alone."""
    arrays = make_classes(tmp_path, subjects=1)
    label = arrays["case_0"]["label"]
    regions = (Region("whole", "whole", (1, 2, 3)), Region("core", "core", (1, 3)), Region("three", "three", (3,)))
    task = msgspec.structs.replace(TASK, regions=regions)
    sigmoids = np.stack([np.isin(label, region.classes) for region in regions]).astype(np.float32)
    (tmp_path / "nnunet").mkdir()
    np.savez(tmp_path / "nnunet" / "case_0.npz", probabilities=sigmoids)
    evaluate_classes(tmp_path, None, task, maps="nnunet")
    rows = read_csv(tmp_path / "out" / "subjects.csv")
    assert [float(row["dice"]) for row in rows] == [1.0] * 4  # the mean and each region


def test_the_softmax_of_two_classes_in_an_archive(tmp_path):
    """nnU-Net's archive of a binary task is read as any softmax of two channels."""
    from made_up_maps import evaluate_study, make_study

    arrays = make_study(tmp_path)
    expected = evaluate_study(tmp_path).summary["methods"]["maps"]["table1"]
    for name, of in arrays.items():
        for path in (tmp_path / "maps").glob(f"{name}_*"):
            path.unlink()
        both = np.stack([1 - of["probability"], of["probability"]])
        np.savez(tmp_path / "maps" / f"{name}.npz", probabilities=both)
        write(tmp_path / "maps" / f"{name}.nii.gz", of["prediction"])
    assert evaluate_study(tmp_path).summary["methods"]["maps"]["table1"] == expected


@pytest.mark.long
def test_the_command(launch, tmp_path, monkeypatch):
    """--regions from raw labels, with an ignored one; the same again has nothing to do; two sayings are refused."""
    undrawn(monkeypatch)
    make_classes(tmp_path, ignored=0.1)
    command = [
        "--predictions",
        tmp_path / "maps",
        "--labels",
        tmp_path / "labels",
        "--kind=probability",
        "--ignore_label=9",
    ]
    done = launch("evaluate", *command, f"--regions={REGIONS}", "--out_dir", tmp_path / "out")
    assert done.code == 0, done.err
    assert "Mean over the regions: whole, core, three." in done.out and "9 (ignored) in" in done.out
    again = launch("evaluate", *command, f"--regions={REGIONS}", "--out_dir", tmp_path / "out")
    assert "nothing to do" in again.out
    expected = read_csv(tmp_path / "out" / "table1_core.csv")
    evaluate_classes(tmp_path, out="direct")
    assert read_csv(tmp_path / "direct" / "table1_core.csv") == expected
    both = launch("evaluate", *command, f"--regions={REGIONS}", "--dataset=brats", "--out_dir", tmp_path / "out")
    assert both.code == 2 and both.err.count("\n") == 1 and "--regions: expected no --dataset" in both.err
    mapped = launch("evaluate", *command, f"--regions={REGIONS}", "--label_map=1:1", "--out_dir", tmp_path / "out")
    assert mapped.code == 2 and "--label_map: expected labels of two classes, found 4 classes" in mapped.err
    unknown = launch("evaluate", "--dataset=nowhere")
    assert unknown.code in (2, 3) and unknown.err.count("\n") == 1 and "nowhere" in unknown.err


def test_the_docs_name_the_flags():
    """docs/reference/report.md shows how several classes are evaluated."""
    text = (ROOT / "docs" / "reference" / "report.md").read_text(encoding="utf-8")
    for word in ("--regions='whole:1,2,4;core:1,4'", "--activation", "CASE.npz", "table1_classes", "ece_class"):
        assert word in text, word
