"""An evaluation on disk: its files and columns, when it is made anew, of folders and of runs."""

import dataclasses
import errno
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from conftest import make_config
from made_up_maps import evaluate_study, make_study, read_csv, serial, undrawn, write

from data_prep import convert, records
from data_prep.base import artefacts, pool
from data_prep.base.errors import NotReady, UserError
from data_prep.phantom import write as phantom
from data_prep.readers import nifti
from tfunc import kinds, networks, runs
from tfunc.reporting import finished, publish, remarks, tensorboard
from tfunc.reporting.table1 import title
from tfunc.scoring import metrics, overlap, sources, statistics, volumes
from tfunc.scoring.binary import count
from tfunc.scoring.counts import THRESHOLDS
from tfunc.scoring.evaluate import evaluate
from tfunc.scoring.truth import FolderTruth, RecordsTruth

ROOT = pathlib.Path(__file__).parents[2]
TABLE = ROOT / "tests" / "goldens" / "table1"
KINDS = {"baseline": "probability", "auxiliary_feat": "error", "aleatoric": "sigma"}


@pytest.fixture
def pictures():
    """Tests that ask for this draw; the others leave drawing out, which takes a second each time."""


@pytest.fixture(autouse=True)
def _undrawn(request, monkeypatch):
    if "pictures" not in request.fixturenames:
        undrawn(monkeypatch)


def test_columns_and_empty_cells(tmp_path):
    """subjects.csv has the promised columns; undefined values are empty cells; empty bins are there."""
    zero = np.zeros((2, 3, 4), np.uint8)
    write(tmp_path / "maps" / "a_probability.nii.gz", zero.astype(np.float64))
    write(tmp_path / "labels" / "a.nii.gz", zero)
    truth = FolderTruth(str(tmp_path / "labels"))
    finished = publish.evaluate_folders(
        publish.Request(tmp_path / "out"), sources.folder_maps(tmp_path / "maps", "probability"), truth, serial
    )
    (row,) = read_csv(tmp_path / "out" / "subjects.csv")
    for t in THRESHOLDS:
        assert row[f"ue_{t:.2f}"] == row[f"error_precision_{t:.2f}"] == row[f"error_recall_{t:.2f}"] == ""
        assert row[f"corrected_dice_{t:.2f}"] == "1.0"
        assert [row[f"{name}_{t:.2f}"] for name in ("tpu", "fpu", "tnu", "fnu")] == ["0"] * 4
    assert row["dice"] == "1.0" and row["ece"] == "0.0"
    bins = read_csv(tmp_path / "out" / "calibration.csv")
    assert [(b["bin"], b["count"]) for b in bins[:10]] == [("0", "24")] + [(str(i), "0") for i in range(1, 10)]
    assert bins[1]["mean_probability"] == bins[1]["positive_fraction"] == ""
    assert "–" in finished.markdown


def test_golden_table_from_files(launch, tmp_path):
    """Three of the authors' methods as NIfTI folders through the command: their means, and exit code 0."""
    expected = artefacts.read_json(TABLE / "expected.json")["raw_means"]
    subjects = np.load(TABLE / "counts.npz")["subjects"]
    for method, kind in KINDS.items():
        arrays = np.load(TABLE / f"{method}.npz")
        score, prediction, target = (arrays[name] for name in ("score", "prediction", "target"))
        folder = tmp_path / "methods" / method
        for index, name in enumerate(subjects):
            nifti.write_map(folder / f"{name}_{kinds.KINDS[kind].entry}.nii", score[index])
            nifti.write_map(folder / f"{name}_prediction.nii", prediction[index].astype(np.uint8))
            nifti.write_map(tmp_path / "labels" / f"{name}_label.nii", target[index].astype(np.uint8))
        (folder / "predictions.json").write_text(json.dumps({"kind": kind, "subjects": subjects.tolist()}))
    command = ["--predictions", tmp_path / "methods", "--labels", tmp_path / "labels", "--out_dir", tmp_path / "out"]
    done = launch("evaluate", *command)
    assert done.code == 0, done.err
    assert "| baseline | **2.821 (1)**" in done.out and "figure1.png" in done.out
    rows = {row["title"]: row for row in read_csv(tmp_path / "out" / "table1.csv")}
    for method in KINDS:
        theirs, ours = expected[title(method)], rows[title(method)]
        for name, column in (("ece", "ece"), ("error", "ue"), ("benefit", "bnf"), ("dice", "dice")):
            np.testing.assert_allclose(float(ours[column]), theirs[name], rtol=1e-9)
        assert float(ours["ue_threshold"]) == theirs["error_threshold"]
    again = launch("evaluate", *command)
    assert again.code == 0 and "nothing to do" in again.out


def run(*arguments):
    command = [sys.executable, ROOT / "launch" / "evaluate.py", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


@pytest.mark.long
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--predictions=nowhere"], "--predictions: expected --labels=DIR"),
        (["--predictions=p", "--labels=l", "--out_dir=o", "--methods="], "--methods: expected `all`, or names"),
        (["--dataset=brats", "--methods="], "--methods: expected `all`, or names"),
        (["--dataset=brats", "--label_map=1:1"], "--label_map: expected --predictions beside it"),
        (
            ["--predictions=p", "--labels=l", "--out_dir=o", "--label_map=1:2"],
            "--label_map=1:2: expected raw label and 0",
        ),
        (
            ["--predictions=p", "--labels=l", "--out_dir=o", "--label_map=4:0", "--ignore_label=4"],
            "--ignore_label: exp",
        ),
        (["--predictions=p", "--labels=l", "--out_dir=o", "--ignore_label=-1"], "flag --ignore_label=-1: "),
        (
            ["--predictions=p", "--labels=l", "--out_dir=o", "--ignore_label=0"],
            "--ignore_label=0: expected a --label_map",
        ),
        (
            ["--predictions=p", "--labels=l", "--out_dir=o", "--ignore_label=0", "--label_map=2:1"],
            "--ignore_label=0: expected a --label_map",
        ),
    ],
)
def test_bad_flags(flags, message):
    """A missing partner flag or an empty list is one line and exit code 2."""
    done = run(*flags)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1


def test_other_settings_are_refused_and_new_inputs_evaluated(tmp_path):
    """Same again: nothing to do. Another range: refused by name. Changed maps: computed anew."""
    make_study(tmp_path)
    assert evaluate_study(tmp_path, "sigma").fresh
    assert not evaluate_study(tmp_path, "sigma").fresh
    with pytest.raises(UserError, match="sigma_range"):
        evaluate_study(tmp_path, "sigma", sigma_range=(0.0, 9.0))
    make_study(tmp_path, seed=1)
    assert evaluate_study(tmp_path, "sigma").fresh
    (tmp_path / "out" / "table1.md").unlink()
    assert evaluate_study(tmp_path, "sigma").fresh


def test_other_segmentations_are_other_inputs(tmp_path):
    """A segmentation that is replaced, or appears, or vanishes, and maps elsewhere, are evaluated, with their Dice."""
    arrays = make_study(tmp_path)
    path = tmp_path / "maps" / "case_0_prediction.nii.gz"

    def dice():
        finished = evaluate_study(tmp_path)
        assert finished.fresh and not evaluate_study(tmp_path).fresh
        return float(read_csv(tmp_path / "out" / "subjects.csv")[0]["dice"])

    wrong = 1 - arrays["case_0"]["label"]
    before = dice()
    write(path, wrong)
    assert before > dice() == 0
    path.unlink()
    assert dice() == before
    write(path, wrong)
    assert dice() == 0
    elsewhere = tmp_path / "elsewhere" / "maps"
    shutil.copytree(tmp_path / "maps", elsewhere)  # with the same names, sizes and times
    truth = FolderTruth(str(tmp_path / "labels"), str(tmp_path / "masks"))
    maps = sources.folder_maps(elsewhere, "probability")
    assert publish.evaluate_folders(publish.Request(tmp_path / "out"), maps, truth, serial).fresh


def test_labels_without_a_prediction_are_counted(tmp_path):
    """Labels of subjects that nobody predicted stand in a line under the table; other files there are not labels."""
    arrays = make_study(tmp_path)
    assert "have no prediction" not in evaluate_study(tmp_path).markdown
    for name in ("case_1", "case_2"):
        for path in (tmp_path / "maps").glob(f"{name}_*"):
            path.rename(tmp_path / "labels" / path.name)
    for name in ("case_0.nii.gz.txt", ".case_9_seg.nii.gz", "case_0_t1.nii.gz"):
        (tmp_path / "labels" / name).touch()
    line = "2 of 3 labels have no prediction"
    finished = evaluate_study(tmp_path)
    assert finished.summary["subjects"] == 1 and line in finished.markdown and line in finished.report.read_text()
    assert not evaluate_study(tmp_path).fresh
    write(tmp_path / "labels" / "case_3_seg.nii.gz", arrays["case_0"]["label"])
    assert "3 of 4 labels have no prediction" in evaluate_study(tmp_path).markdown


def not_counted(*_):
    raise AssertionError("asked for workers to count with")


@pytest.mark.parametrize("sigma_range", [(0.0, float("inf")), (float("-inf"), 1.0)])
def test_an_infinite_sigma_range(tmp_path, monkeypatch, sigma_range):
    """A range without an end would make every uncertainty 0; it is refused before anything is counted."""
    make_study(tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "serial", not_counted)
    with pytest.raises(UserError, match=r"--sigma_range: expected two finite numbers, found .*inf"):
        evaluate_study(tmp_path, "sigma", sigma_range=sigma_range)


def test_a_sigma_range_is_for_sigmas(tmp_path):
    """With maps of another kind only, --sigma_range would be ignored; it is refused."""
    make_study(tmp_path)
    with pytest.raises(UserError, match="--sigma_range: expected maps of --kind=sigma, found probability"):
        evaluate_study(tmp_path, "probability", sigma_range=(0.0, 9.0))


@pytest.mark.parametrize("out_dir", ["file", "file/below"])
def test_a_file_where_the_folder_should_be(tmp_path, out_dir):
    """An --out_dir that can't become a folder is refused before anything is counted."""
    make_study(tmp_path)
    (tmp_path / "file").write_text("mine")
    maps, truth = sources.folder_maps(tmp_path / "maps", "sigma"), FolderTruth(str(tmp_path / "labels"))
    with pytest.raises(UserError, match=r"file: expected a folder.*--out_dir"):
        publish.evaluate_folders(publish.Request(tmp_path / out_dir), maps, truth, not_counted)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brats")
    phantom.write("brats", folder / "raw", subjects=6, shape=(16, 24, 20))
    convert.convert("brats", folder / "raw", folder / "data", {"label_map": None})
    return folder / "data"


def predict(data_dir, run_dir, method, kind, split="test", seed=0):
    """Made-up maps of a method where predict would write them: returns them with the truth by subject."""
    truth, rng, made = RecordsTruth(str(data_dir)), np.random.default_rng(seed), {}
    folder = runs.predictions_dir(run_dir, method, split)
    names = [entry.name for entry in truth.manifest.split(split)]
    for name in names:
        subject, of = truth.subject(name), truth.read(name)
        probability = np.clip(0.7 * of.label + rng.random(of.label.shape) * 0.4 - 0.05, 0, 1).astype(np.float32)
        for part, array in (
            ("probability", probability),
            ("prediction", (probability > 0.5).astype(np.uint8)),
            ("uncertainty", (1 - probability) * rng.random()),
        ):
            nifti.write_map(folder / f"{name}_{part}.nii.gz", array.astype(np.float32 if part[1] != "r" or part[2] == "o"
                                                                           else np.uint8), subject.header)  # fmt: skip
        made[name] = probability, of
    (folder / "predictions.json").write_text(json.dumps({"kind": kind, "subjects": names}))
    return made


def evaluate_run(data_dir, run_dir, names, **request):
    asked = publish.Request(run_dir / "evaluation", "brats", **request)
    return publish.evaluate_run(asked, run_dir, data_dir, names, serial)


@pytest.mark.long
def test_run(data_dir, tmp_path, pictures):
    """A run's evaluation takes labels and brain masks from the records and writes every promised file."""
    made = predict(data_dir, tmp_path, "baseline", "probability")
    predict(data_dir, tmp_path, "aleatoric", "sigma")
    assert sources.available_methods(tmp_path, "brats") == ["baseline", "aleatoric"]
    finished = evaluate_run(data_dir, tmp_path, ["baseline", "aleatoric"])
    for name in ("subjects.csv", "calibration.csv", "thresholds.csv", "supplementary.csv", "summary.json", "table1.csv",
                 "table1.md", "table1.tex", "figure1.png", "figure1.pdf", "overlay.png"):  # fmt: skip
        assert (tmp_path / "evaluation" / name).stat().st_size > 0
    rows = [row for row in read_csv(tmp_path / "evaluation" / "subjects.csv") if row["method"] == "baseline"]
    for row, (name, (probability, of)) in zip(rows, made.items(), strict=True):
        counts = count(probability, "probability", probability > 0.5, of.label, of.mask)
        assert row["subject"] == name and 0 < of.mask.sum() < of.mask.size
        assert float(row["ece"]) == metrics.calibration_error(counts) and float(row["dice"]) == metrics.dice(counts)
    lowest, highest = artefacts.read_json(tmp_path / "evaluation" / "summary.json")["methods"]["aleatoric"][
        "sigma_range"
    ]
    assert 0 <= lowest < highest <= 1 and finished.summary["complete"] is False
    assert not list((tmp_path / "evaluation").glob(".partial*"))
    with pytest.raises(UserError, match="expected aleatoric among the methods"):
        evaluate_run(data_dir, tmp_path, ["baseline"])


def tensors(folder):
    """{tag: its tensors} and the bytes of plugins, of one folder of events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    return {tag: [one.tensor_proto for one in events.Tensors(tag)] for tag in events.Tags()["tensors"]}, events


def test_tensorboard(tmp_path):
    """The table is one text, pictures have white ground and a legend, means are HParams' metrics; written anew, all is."""
    import tensorflow as tf

    make_study(tmp_path)
    finished = evaluate_study(tmp_path)
    picture = tmp_path / "figure1.png"
    PIL.Image.new("RGBA", (8, 6)).save(picture)
    for _ in range(2):
        folder = tensorboard.write(dataclasses.replace(finished, pictures=(picture,)))
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["methods"]
    assert len([path for path in folder.iterdir() if path.is_file()]) == 1
    shared, events = tensors(folder)
    assert [tag for tag in shared if not tag.startswith("_")] == ["when evaluated/Table 1", "when evaluated/figure1"]
    (table,) = shared["when evaluated/Table 1"]
    assert tf.make_ndarray(table).item().decode() == finished.markdown
    (image,) = shared["when evaluated/figure1"]
    assert (tf.io.decode_png(tf.make_ndarray(image)[2]).numpy() == 255).all()  # not the black of what is transparent
    assert "diagonal" in events.SummaryMetadata("when evaluated/figure1").summary_description


def test_hparams_of_an_evaluation(tmp_path):
    """A trial for each method, whose scalars are the table's means; columns have titles for people, none a name of ours."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import plugin_data_pb2

    make_study(tmp_path)
    finished = evaluate_study(tmp_path)
    folder = tensorboard.write(finished)
    _, events = tensors(folder)
    data = events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    columns = plugin_data_pb2.HParamsPluginData.FromString(data).experiment.metric_infos
    assert {"Dice", "U-E", "ECE", "BnF"} <= {one.display_name for one in columns}
    assert not any("_" in one.display_name for one in columns)
    (method,) = (folder / "methods").iterdir()
    found, events = tensors(method)
    table = finished.summary["methods"][method.name]["table1"]
    for name, cell in table.items():
        (value,) = found[f"when evaluated/{name}"]
        assert float(tf.make_ndarray(value)) == pytest.approx(cell["mean"], rel=1e-6)
    assert {one.name.tag for one in columns} == {tag for tag in found if not tag.startswith("_")}
    assert all(tag > "valid_loss" for tag in found if not tag.startswith("_"))  # behind the training's curves
    data = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    trial = plugin_data_pb2.HParamsPluginData.FromString(data).session_start_info.hparams
    assert trial["method"].string_value == finished.summary["methods"][method.name]["title"]


def test_thresholds_of_the_validation_set(data_dir, tmp_path):
    """--threshold_split=valid needs predictions of that split, and takes each method's thresholds from it."""
    predict(data_dir, tmp_path, "baseline", "probability")
    with pytest.raises(NotReady, match="--method=baseline --dataset=brats --split=valid"):
        evaluate_run(data_dir, tmp_path, ["baseline"], threshold_split="valid")
    predict(data_dir, tmp_path, "baseline", "probability", "valid", seed=3)
    finished = evaluate_run(data_dir, tmp_path, ["baseline"], threshold_split="valid")
    with pool.executor(1) as workers:
        maps = sources.run_maps(tmp_path, "brats", "baseline", "valid")
        valid = evaluate([maps], RecordsTruth(str(data_dir)), workers)
    chosen = statistics.thresholds(valid.scores["baseline"])
    cells = finished.summary["methods"]["baseline"]["table1"]
    assert cells["ue"]["threshold"] == THRESHOLDS[chosen["ue"]]
    assert "best per method on the valid set" in finished.markdown


@pytest.fixture(scope="module")
def sharing(data_dir, tmp_path_factory):
    """Records whose validation and test sets share one subject of two, and names by split."""
    folder = tmp_path_factory.mktemp("sharing")
    names = [phantom.subject_id("brats", index) for index in range(6)]
    split = {"train": names[:3], "valid": names[3:5], "test": names[4:]}
    (folder / "split.json").write_text(json.dumps(split))
    convert.convert("brats", data_dir.parent / "raw", folder / "data", split_files=[folder / "split.json"])
    return folder / "data", split


def test_a_test_set_that_chose_is_said(sharing, data_dir, tmp_path):
    """Thresholds of a validation set with a subject of the test set, and best epochs chosen there: said wherever it is read."""
    records_dir, _ = sharing
    for split in ("test", "valid"):
        predict(records_dir, tmp_path, "baseline", "probability", split)
    finished = evaluate_run(records_dir, tmp_path, ["baseline"], threshold_split="valid")
    assert finished.summary["shared"] == {
        "thresholds": 1, "choosing": 2, "best_epoch": 1, "trained": 0, "scans": False,
    }  # fmt: skip
    report = finished.report.read_text(encoding="utf-8")
    for text in (finished.markdown, (tmp_path / "evaluation" / "table1.tex").read_text(encoding="utf-8"), report):
        assert "so the test set chose nothing" not in text
        assert (
            "of whose 2 subjects 1 are among these 2" in text
            and "best epochs were chosen on 1 of these 2 subjects" in text
        )
    for split in ("test", "valid"):
        predict(data_dir, tmp_path / "apart", "baseline", "probability", split)
    apart = evaluate_run(data_dir, tmp_path / "apart", ["baseline"], threshold_split="valid")
    assert "so the test set chose nothing" in apart.markdown and "best epochs" not in apart.markdown
    assert not any(apart.summary["shared"][name] for name in ("thresholds", "best_epoch", "trained"))


def test_a_note_of_before_is_made_anew(sharing, tmp_path):
    """An evaluation that says of such a test set that it chose nothing is not found finished; one that says so rightly is."""
    records_dir, _ = sharing
    predict(records_dir, tmp_path, "baseline", "probability")
    finished = evaluate_run(records_dir, tmp_path, ["baseline"])
    assert "The networks' best epochs were chosen on 1 of these 2 subjects." in finished.markdown
    assert not evaluate_run(records_dir, tmp_path, ["baseline"]).fresh
    path = tmp_path / "evaluation" / "summary.json"
    document = artefacts.read_json(path)
    del document["shared"]
    path.write_text(json.dumps(document))
    assert evaluate_run(records_dir, tmp_path, ["baseline"]).fresh


def test_every_file_vouches_for_the_evaluation(tmp_path):
    """A file that is another or gone makes the evaluation be made anew, to the same bytes; none is taken for what it was."""
    make_study(tmp_path)
    first = evaluate_study(tmp_path)
    listed = sorted(first.summary["files"])
    there = {name: (tmp_path / "out" / name).read_bytes() for name in listed}
    assert {"subjects.csv", "table1.md", "table1.tex", "report.html", "calibration.csv"} <= set(listed)
    assert not evaluate_study(tmp_path).fresh
    for name in listed:
        path, whole = tmp_path / "out" / name, there[name]
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 1
        for content in (bytes(damaged), whole[:-1], None):
            path.write_bytes(content) if content is not None else path.unlink()
            assert finished.find(*_asked(tmp_path)) is None
        path.write_bytes(whole)
    (tmp_path / "out" / "subjects.csv").write_bytes(b"subject\n")
    assert evaluate_study(tmp_path).fresh
    for name in listed:
        if name != "report.html":  # it says when it was made
            assert (tmp_path / "out" / name).read_bytes() == there[name], name


def _asked(folder):
    """What `publish.evaluate_folders` asks `finished.find` for, of `evaluate_study`."""
    maps = sources.folder_maps(folder / "maps", "probability")
    truth = FolderTruth(str(folder / "labels"), str(folder / "masks"))
    inputs = finished.inputs(maps)
    inputs |= {"truth": truth.state(maps[0].subjects), "unpredicted": truth.unpredicted(maps[0].subjects)}
    return publish.Request(folder / "out"), [one.method for one in maps], inputs | truth.document(), truth


def test_a_network_that_keeps_its_last_epoch_chose_on_nobody(sharing, tmp_path):
    """What a network's own configuration says counts: the epoch it keeps, and whom it was trained on."""
    records_dir, split = sharing
    manifest = records.read_manifest(records_dir)
    for name, keeps in (("baseline", "last"), ("ensemble_00", "best"), ("ensemble_01", "best")):
        config = make_config(networks.get(name, 2), manifest, keeps)
        artefacts.write_json(runs.network_dir(tmp_path, name) / runs.CONFIG, config.document())
    found = overlap.shared(manifest, tmp_path, ["baseline_mc"], split["test"])
    assert found == overlap.Shared(0, 0, 0, 0)
    assert overlap.shared(manifest, tmp_path, ["ensemble", "baseline"], split["test"]).best_epoch == 1
    assert overlap.shared(manifest, tmp_path, ["baseline"], split["train"]).trained == 3
    assert overlap.shared(manifest, tmp_path, ["ours"], split["test"]) == overlap.Shared()  # nobody knows its networks


def test_another_scan_of_a_patient_is_the_patient(sharing, tmp_path):
    """A split file may divide a patient: a later scan in the test set of whom a network was trained on counts."""
    records_dir, split = sharing
    manifest = records.read_manifest(records_dir)
    entries = [
        dataclasses.replace(entry, patient="someone") if entry.name in (split["train"][0], split["test"][1]) else entry
        for entry in manifest.subjects
    ]
    divided = dataclasses.replace(manifest, subjects=tuple(entries))
    found = overlap.shared(divided, tmp_path, ["baseline"], split["test"])
    assert found == overlap.Shared(best_epoch=1, trained=1, scans=True)
    said = remarks.remarks({"subjects": 2, "shared": dataclasses.asdict(found)})
    assert said[1:] == [
        "Networks were trained on 1 of these 2 subjects.",
        "Other scans of a subject's patient count as the subject.",
    ]


def test_another_split_and_chosen_subjects(data_dir, tmp_path):
    """The validation set, and some subjects of the test set, as in the table of all; another set of them is refused there."""
    predict(data_dir, tmp_path, "baseline", "probability")
    predict(data_dir, tmp_path, "baseline", "probability", "valid", seed=3)
    everyone = evaluate_run(data_dir, tmp_path, ["baseline"])
    valid = publish.Request(runs.evaluation_dir(tmp_path, "valid"), "brats", split="valid")
    found = publish.evaluate_run(valid, tmp_path, data_dir, ["baseline"], serial)
    assert found.folder.name == "evaluation@valid" and "not of the test set" in found.markdown
    assert "The networks' best epochs were chosen on these" in found.markdown and not found.summary["complete"]
    names = [row["subject"] for row in read_csv(tmp_path / "evaluation" / "subjects.csv")]
    one = tuple(names[:1])
    few = publish.Request(runs.evaluation_dir(tmp_path, "test", one), "brats", subjects=one)
    found = publish.evaluate_run(few, tmp_path, data_dir, ["baseline"], serial)
    assert found.folder.parent == tmp_path and found.folder.name.startswith("evaluation@1-")
    assert read_csv(found.folder / "subjects.csv") == read_csv(tmp_path / "evaluation" / "subjects.csv")[:1]
    assert "These are 1 chosen subjects of the test set." in found.markdown and everyone.summary["subjects"] == len(
        names
    )
    assert not publish.evaluate_run(few, tmp_path, data_dir, ["baseline"], serial).fresh
    with pytest.raises(UserError, match="same settings"):
        evaluate_run(data_dir, tmp_path, ["baseline"], subjects=one)
    other = [entry.name for entry in records.read_manifest(data_dir).split("valid")]
    with pytest.raises(UserError, match="--subjects: expected subjects of the test split, found"):
        evaluate_run(data_dir, tmp_path, ["baseline"], subjects=tuple(other[:1]))


def test_chosen_subjects_need_no_others(data_dir, tmp_path):
    """A part of the test set is enough for what is chosen of it."""
    names = list(predict(data_dir, tmp_path, "baseline", "probability"))
    path = tmp_path / "predictions" / "baseline" / "predictions.json"
    path.write_text(json.dumps({"kind": "probability", "subjects": names[:1]}))
    assert evaluate_run(data_dir, tmp_path, ["baseline"], subjects=(names[0],)).summary["subjects"] == 1
    if len(names) > 1:
        with pytest.raises(NotReady, match="expected the chosen subjects of the test split"):
            other = publish.Request(tmp_path / "other", "brats", subjects=(names[1],))
            publish.evaluate_run(other, tmp_path, data_dir, ["baseline"], serial)


def test_run_is_not_ready(data_dir, tmp_path):
    """Nothing predicted, or an unfinished folder: exit code 3, naming the predict command."""
    with pytest.raises(NotReady, match=r"predict\.py --method=baseline --dataset=brats`"):
        sources.available_methods(tmp_path, "brats")
    predict(data_dir, tmp_path, "baseline", "probability")
    (tmp_path / "predictions" / "baseline" / "predictions.json").unlink()
    with pytest.raises(NotReady, match="an unfinished folder"):
        evaluate_run(data_dir, tmp_path, ["baseline"])
    with pytest.raises(NotReady, match=r"prepare\.py"):
        predict(data_dir, tmp_path, "baseline", "probability")
        evaluate_run(tmp_path / "nowhere", tmp_path, ["baseline"])


def test_a_part_of_the_test_set_is_not_ready(data_dir, tmp_path):
    """Some subjects predicted: exit code 3 with the command that predicts the rest, in one line."""
    names = list(predict(data_dir, tmp_path, "baseline", "probability"))
    index = tmp_path / "predictions" / "baseline" / "predictions.json"
    whole = {"kind": "probability", "subjects": names, "complete": True, "samples": 5, "seed": 7}
    index.write_text(json.dumps({**whole, "subjects": names[:1], "complete": False}))
    command = "--dataset=brats", f"--data_dir={data_dir}", f"--run_dir={tmp_path}"
    done = run(*command)  # a process of its own, whose TensorFlow must be quiet
    assert done.returncode == 3 and done.stderr.count("\n") == 1, done.stderr
    assert f"all subjects of the test split, found 1 of {len(names)}; run `python launch/predict.py" in done.stderr
    flags = f"--method=baseline --dataset=brats --samples=5 --seed=7 --data_dir={data_dir} --run_dir={tmp_path}`"
    assert flags in done.stderr and not (tmp_path / "evaluation").exists()


def test_predictions_of_other_records_are_refused(data_dir, tmp_path):
    """Maps that were predicted from records with another checksum: exit code 2, naming both files."""
    names = list(predict(data_dir, tmp_path, "baseline", "probability"))
    index = tmp_path / "predictions" / "baseline" / "predictions.json"
    predicted = {"kind": "probability", "subjects": names}
    manifest = records.read_manifest(data_dir)
    for identity in (artefacts.sha256(data_dir / "dataset.json"), manifest.identity):  # as before and as now
        index.write_text(json.dumps({**predicted, "records": identity}))
        sources.run_maps(tmp_path, "brats", "baseline", truth=RecordsTruth(str(data_dir)))
    index.write_text(json.dumps({**predicted, "records": "0" * 64}))
    with pytest.raises(UserError, match=r"baseline/predictions\.json: expected.*data/dataset\.json.*000…") as caught:
        evaluate_run(data_dir, tmp_path, ["baseline"])
    assert caught.value.exit_code == 2


def test_an_evaluation_of_an_earlier_version_is_known(data_dir, tmp_path):
    """Its summary calls an error probability `confidence` and records by a checksum: read in today's words, not made again."""
    predict(data_dir, tmp_path, "auxiliary_feat", "confidence")
    first = evaluate_run(data_dir, tmp_path, ["auxiliary_feat"])
    assert first.fresh and first.summary["methods"]["auxiliary_feat"]["kind"] == "error"
    path = tmp_path / "evaluation" / "summary.json"
    old = json.loads(
        path.read_text().replace(' error"', ' confidence"').replace('"kind": "error"', '"kind": "confidence"')
    )
    del old[artefacts.SEAL], old["files"]
    assert [name.rpartition(" ")[2] for name in old["inputs"]] == ["confidence", "records", "predictions"]
    del old["inputs"]["predictions"]
    maps = sources.run_maps(tmp_path, "brats", "auxiliary_feat")
    (folder,) = [name for name in old["inputs"] if name.endswith("confidence")]
    old["inputs"][folder] = volumes.former_state([path for name in maps.subjects for path in maps.files(name)])
    old["inputs"]["records"] = artefacts.sha256(data_dir / "dataset.json")
    path.write_text(json.dumps(old))
    again = evaluate_run(data_dir, tmp_path, ["auxiliary_feat"])
    assert not again.fresh and again.summary["methods"]["auxiliary_feat"]["kind"] == "error"
    assert {*again.summary["inputs"], "predictions"} == set(first.summary["inputs"])
    path.write_text(json.dumps({**old, "inputs": {**old["inputs"], "records": "0" * 64}}))
    assert evaluate_run(data_dir, tmp_path, ["auxiliary_feat"]).fresh


def test_a_folder_that_can_only_be_read(tmp_path, monkeypatch):
    """What is finished there is shown; with maps that look other, as after a copy, that is said; nothing is written."""
    undrawn(monkeypatch)
    make_study(tmp_path)
    evaluate_study(tmp_path)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(finished.os, "access", lambda path, mode: False)
    monkeypatch.setattr(publish.artefacts, "aside", refuse)
    again = evaluate_study(tmp_path)
    assert not again.fresh and not again.doubt and again.markdown == (tmp_path / "out" / "table1.md").read_text()
    monkeypatch.undo()
    undrawn(monkeypatch)
    path = next((tmp_path / "maps").glob("*_probability.nii.gz"))
    os.utime(path, (1, 1))  # the same file all the same
    assert not evaluate_study(tmp_path).fresh
    times, (values, _) = path.stat(), nifti.read_map(path)
    nifti.write_map(path, values[::-1], nifti.read_header(path).block)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # another one, of the same time
    monkeypatch.setattr(finished.os, "access", lambda path, mode: False)
    seen = evaluate_study(tmp_path)
    assert not seen.fresh and "were others" in seen.doubt
    monkeypatch.setattr(finished.os, "access", lambda path, mode: True)
    assert evaluate_study(tmp_path).fresh


def test_an_evaluation_of_an_earlier_version_lacks_tables(tmp_path, monkeypatch):
    """It is made anew, by a study too, or shown with what it lacks where it can only be read: it is never said to be whole."""
    undrawn(monkeypatch)
    make_study(tmp_path)
    folder = evaluate_study(tmp_path).folder
    index = tmp_path / "predictions.json"
    index.write_text("{}")
    os.utime(index, (1, 1))
    assert publish.is_done(folder, ["maps"], "test", [index])
    for name in ("failures.csv", "sample_sizes.csv"):
        (folder / name).unlink()
    assert not publish.is_done(folder, ["maps"], "test", [index])
    monkeypatch.setattr(finished.os, "access", lambda path, mode: False)
    seen = evaluate_study(tmp_path)
    assert not seen.fresh and "lacks failures.csv, sample_sizes.csv" in seen.doubt
    monkeypatch.setattr(finished.os, "access", lambda path, mode: True)
    assert evaluate_study(tmp_path).fresh and set(finished.TABLES) <= {path.name for path in folder.iterdir()}
    assert not evaluate_study(tmp_path).fresh


def test_what_a_study_counts_as_done(tmp_path):
    """At least its methods, its threshold split, and these predictions, by what they say of themselves and not by time."""
    make_study(tmp_path)
    finished = evaluate_study(tmp_path)
    index = tmp_path / "baseline" / "predictions.json"
    artefacts.write_json(index, {})
    os.utime(index, (1, 1))
    assert publish.is_done(finished.folder, ["maps"], "test", [index])
    assert not publish.is_done(finished.folder, ["maps", "baseline"], "test", [index])
    assert not publish.is_done(finished.folder, ["maps"], "valid", [index])
    assert not publish.is_done(finished.folder, ["maps"], "test", [index, tmp_path / "none"])
    assert not publish.is_done(tmp_path / "nowhere", ["maps"], "test", [])
    os.utime(index)
    os.utime(finished.folder / "summary.json", (1, 1))
    assert not publish.is_done(
        finished.folder, ["maps"], "test", [index]
    )  # of an earlier version: times are all there is
    summary = artefacts.read_json(finished.folder / "summary.json")
    summary["inputs"]["predictions"] = {"baseline": artefacts.sha256(index)}
    artefacts.write_json(finished.folder / "summary.json", summary)
    os.utime(finished.folder / "summary.json", (1, 1))
    assert publish.is_done(finished.folder, ["maps"], "test", [index])
    artefacts.write_json(index, {"seed": 3})
    os.utime(index, (1, 1))
    assert not publish.is_done(finished.folder, ["maps"], "test", [index])


def test_neither_tensorflow_nor_matplotlib_to_begin_with():
    """A study asks whether an evaluation is done without importing what takes seconds."""
    code = (
        "import sys; import tfunc.reporting.publish; print(*{'tensorflow', 'keras', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and done.stdout.strip() == "", done.stderr


def test_examples_by_name(data_dir, tmp_path):
    """Subjects of Figure 1 can be named; one that wasn't evaluated is refused."""
    made = predict(data_dir, tmp_path, "baseline", "probability")
    with pytest.raises(UserError, match="--figure_subjects"):
        evaluate_run(data_dir, tmp_path, ["baseline"], figure_subjects=("nobody",))
    finished = evaluate_run(data_dir, tmp_path, ["baseline"], figure_subjects=(next(iter(made)),))
    assert finished.summary["figure1_subjects"] == {"S1": next(iter(made))}
