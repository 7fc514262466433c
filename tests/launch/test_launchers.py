"""train, predict and evaluate as a user meets them: exit codes, one line of error, and the next command."""

import gzip
import os
import shutil
import signal
import subprocess
import sys
import time

import nibabel
import numpy as np
import pytest
from conftest import ROOT, Ended
from refusals import refused

TINY = ["--start_filters=4", "--depth=1", "--batch_size=8", "--learning_rate=0.01", "--epochs=2"]


@pytest.fixture(scope="module")
def where(brats_data, brats_run):
    """The flags that name the phantom's records and its run."""
    return ["--dataset=brats", f"--data_dir={brats_data}", f"--run_dir={brats_run}"]


def test_flags(launch, where):
    """Unknown method, flag, dataset or number, a flag left out, a word too many: 2, and what was expected."""
    for launcher in ("train", "predict"):
        refused(launch(launcher, "--method=best", *where), 2, "method", "baseline_mc", "aleatoric")
        refused(launch(launcher, "--method=baseline", "--sampels=3", *where), 2, "sampels")
        refused(launch(launcher, "--method=baseline", "--dataset=mnist"), 2, "dataset", "brats", "isic")
        refused(launch(launcher, "--method=baseline"), 2, "dataset")
        refused(launch(launcher, "--method=baseline", "--batch_size=many", *where), 2, "batch_size")
        refused(launch(launcher, "--method=baseline", *where, "word"), 2, "word", "--name=value")
    refused(launch("train", *where), 2, "method")
    refused(launch("evaluate", "--dataset=mnist"), 2, "dataset")
    refused(launch("evaluate", *where, "--methods=best"), 2, "best", "baseline_mc")


@pytest.mark.long
def test_a_process_of_its_own(tmp_path):
    """Started as a user starts it, TensorFlow's own messages do not drown the one line."""
    flags = [
        "--method=center",
        "--dataset=isic",
        f"--input={tmp_path}",
        f"--out_dir={tmp_path}",
        f"--run_dir={tmp_path}",
    ]
    command = [sys.executable, str(ROOT / "launch" / "predict.py"), *flags]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    refused(Ended(ended.returncode, ended.stdout, ended.stderr), 3, "launch/train.py --method=center")


def test_impossible_numbers(launch, where):
    """Numbers that absl takes and no training or prediction can have."""
    for flag in ("--batch_size=0", "--epochs=-3", "--depth=0", "--learning_rate=-1", "--seed=-1"):
        refused(launch("train", "--method=center", flag, *where), 2, flag.partition("=")[0])
    for flag in ("--batch_size=0", "--samples=0", "--seed=2147483648"):
        refused(launch("predict", "--method=baseline_mc", flag, *where), 2, flag)


@pytest.mark.long
def test_a_study_that_cannot_be(launch, where, tmp_path):
    """Refused before anything is written, so that the right command works in the same folder."""
    flags = ["study", *where[:2], f"--run_dir={tmp_path / 'run'}", *TINY]
    refused(launch(*flags, "--epochs=-1"), 2, "--epochs=-1")
    refused(launch(*flags, "--epochs=-1", "--dry_run"), 2, "--epochs=-1")
    refused(launch(*flags, "--methods="), 2, "--methods", "baseline_mc")
    refused(launch(*flags, "--methods=baseline,nothing"), 2, "nothing")
    refused(launch(*flags, "--job=evaluate", "--job_index=0"), 2, "--job_index")
    refused(launch(*flags, "--job=evaluate"), 3, "predict_baseline")
    assert not list((tmp_path / "run").rglob("config.json"))


def test_one_worker_complains_in_one_line(brats_raw, tmp_path):
    """With --workers=1 the work is done in the launcher's own process, and TensorFlow's messages stay aside there too."""
    raw = shutil.copytree(brats_raw, tmp_path / "raw")
    break_off(next(raw.rglob("*_t1ce.nii.gz")))
    command = [sys.executable, str(ROOT / "launch" / "prepare.py"), "--dataset=brats", f"--raw_dir={raw}"]
    command += [f"--data_dir={tmp_path / 'data'}", "--workers=1"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    lines = [line for line in ended.stderr.replace("\r", "\n").splitlines() if line.strip() and "subjects" not in line]
    assert ended.returncode == 2 and len(lines) == 1 and "t1ce.nii.gz" in lines[0], ended.stderr


def test_what_prepare_cannot_do(launch, brats_raw, tmp_path):
    for flag in ("--label_map=1:1,300:1", "--label_map=0:1", "--label_map=1:2", "--label_map=1:1,1:0"):
        flags = ["--dataset=brats", f"--raw_dir={brats_raw}", f"--data_dir={tmp_path / 'data'}"]
        refused(launch("prepare", *flags, flag), 2, flag)
    flags = ["--dataset=isic", f"--raw_dir={brats_raw}", f"--data_dir={tmp_path / 'data'}"]
    refused(launch("prepare", *flags, "--image_size=100000,100000"), 2, "--image_size", "pixels")
    refused(launch("prepare", "--dataset=brats", f"--raw_dir={brats_raw}", "--data_dir=/proc/x"), 2, "/proc/x")


def test_a_reader_that_leaves(tmp_path):
    """`… | head -1` ends quietly."""
    launcher = f"{sys.executable} {ROOT / 'launch' / 'phantom.py'} --dataset=isic --raw_dir={tmp_path} --shape=16,16"
    ended = subprocess.run(f"{launcher} | true", shell=True, capture_output=True, text=True)
    assert "Traceback" not in ended.stderr and "BrokenPipe" not in ended.stderr


def test_help(launch):
    """`--helpshort` explains the launcher and its flags."""
    ended = launch("train", "--helpshort")
    assert "--max_steps" in ended.out and "--dataset" in ended.out and "Continues where it was stopped" in ended.out


def test_records_must_be_there(launch, tmp_path, brats_data):
    """Absent or unfinished records: 3, naming the commands that make them; broken ones: 2."""
    (tmp_path / "unfinished").mkdir()
    for folder, found in (("absent", "no such folder"), ("unfinished", "unfinished")):
        flags = ["--method=baseline", "--dataset=brats", f"--data_dir={tmp_path / folder}", f"--run_dir={tmp_path}"]
        for launcher in ("train", "predict"):
            refused(launch(launcher, *flags), 3, found, "prepare.py", "phantom.py")
    shutil.copytree(brats_data, tmp_path / "broken")
    next((tmp_path / "broken").glob("train-*.tfrecord")).write_bytes(b"")
    flags = ["--method=baseline", "--dataset=brats", f"--data_dir={tmp_path / 'broken'}", f"--run_dir={tmp_path}"]
    refused(launch("train", *flags), 2, "train-00000", "0 bytes")


@pytest.mark.parametrize("flag", ["--ensemble_size=0", "--folds=1", "--patience=0"])
def test_numbers_that_no_training_can_have(launch, where, flag):
    """Refused by name before anything is begun, also where the network itself would not read the flag."""
    for method in ("ensemble", "baseline"):
        refused(launch("train", f"--method={method}", flag, *where), 2, flag)


def test_what_must_come_first(launch, where, brats_data, tmp_path):
    """No network: 3 and the training's command; no predictions: 3 and the prediction's."""
    folders = " ".join(where[1:])  # the command is the one for these folders
    refused(
        launch("predict", "--method=center_mc", *where), 3, f"launch/train.py --method=center {where[0]} {folders}`"
    )
    refused(launch("train", "--method=auxiliary_segm", *where, *TINY), 3, "predictions")
    flags = ["--dataset=brats", f"--data_dir={brats_data}", f"--run_dir={tmp_path}"]
    refused(launch("evaluate", *flags), 3, "predict.py")


def test_another_configuration(launch, where):
    """A run folder made with other settings: 2, with the setting and both values."""
    refused(launch("train", "--method=baseline", *where, *TINY, "--depth=3"), 2, "config.json", "depth", "1", "3")


def test_a_finished_training_says_so(launch, where):
    """`train --method=baseline_mc` finds the baseline network trained, and prints the next command as it must be typed."""
    ended = launch("train", "--method=baseline_mc", *where, *TINY)
    assert ended.code == 0, ended.err
    assert "baseline_mc uses the network baseline" in ended.out and "trained already" in ended.out
    assert f"next: python launch/predict.py --method=baseline_mc {where[0]} {where[1]} {where[2]}" in ended.out


def test_from_prediction_to_evaluation(launch, brats_data, brats_run, tmp_path):
    """Predicts the test split and evaluates it; each prints where its results lie and what comes next."""
    shutil.copytree(brats_run / "networks", tmp_path / "networks")
    flags = ["--dataset=brats", f"--data_dir={brats_data}", f"--run_dir={tmp_path}"]
    ended = launch("predict", "--method=baseline_mc", "--samples=2", *flags)
    assert ended.code == 0, ended.err
    assert str(tmp_path / "predictions" / "baseline_mc") in ended.out and "next: python launch/evaluate.py" in ended.out
    refused(launch("predict", "--method=baseline_mc", "--samples=3", *flags), 2, "samples", "2", "3")
    ended = launch("evaluate", *flags, "--workers=1")
    assert ended.code == 0, ended.err
    assert "baseline+MC" in ended.out and (tmp_path / "evaluation" / "table1.csv").exists()
    assert ended.err.startswith("evaluate ") and ended.err.count("\n") == 1, ended.err  # the progress, and nothing else


def test_one_new_patient(launch, where, brats_raw, tmp_path):
    """`predict --input` for a folder: maps in --out_dir, nothing else needed; labels beside it are not read."""
    folder = next(brats_raw.glob("HGG/*"))
    patient = shutil.copytree(folder, tmp_path / folder.name)
    (patient / f"{folder.name}_seg.nii.gz").write_bytes(b"not read")
    flags = ["--method=baseline", "--dataset=brats", where[2], f"--input={patient}", f"--out_dir={tmp_path / 'maps'}"]
    ended = launch("predict", *flags)
    assert ended.code == 0, ended.err
    assert len(list((tmp_path / "maps").glob("*.nii.gz"))) == 3 and "foreground voxels" in ended.out
    before = {path.name: path.read_bytes() for path in (tmp_path / "maps").iterdir()}
    ended = launch("predict", *flags)
    assert ended.code == 0 and "finished already" in ended.out
    refused(launch("predict", "--method=aleatoric", *flags[1:]), 2, ".json", "method", "aleatoric", "--out_dir")
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "maps").iterdir()}


def test_one_new_photograph(launch, isic_run, isic_data, tmp_path):
    """`predict --input` for an image, with PNG maps."""
    photograph = next((isic_data.parent / "raw").glob("*Test*Data/*.jpg"))
    flags = ["--method=baseline", "--dataset=isic", f"--run_dir={isic_run}", f"--input={photograph}"]
    ended = launch("predict", *flags, f"--out_dir={tmp_path}", "--full_size")
    assert ended.code == 0, ended.err
    assert len(list(tmp_path.glob("*.png"))) == len(list(tmp_path.glob("*.nii.gz"))) == 3


def break_off(path):
    path.write_bytes(path.read_bytes()[:-200])


def bend(path):
    image = nibabel.load(path)
    affine = image.affine.copy()
    affine[0, 3] += 5
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nibabel.save(image, path)


def crop(path):
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj)[:-1], image.affine), path)


def ask_too_much(path):
    header = bytearray(gzip.decompress(path.read_bytes())[:352])
    header[42:48] = np.array([30000, 30000, 20000], "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(header)))


@pytest.mark.long
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), break_off, bend, crop, ask_too_much])
def test_a_patient_that_cannot_be_read(launch, where, brats_raw, tmp_path, damage):
    """Missing modality, truncated file, other affine, other shape, a header that asks for gigabytes: 2, and no maps."""
    folder = next(brats_raw.glob("HGG/*"))
    patient = shutil.copytree(folder, tmp_path / folder.name)
    damage(patient / f"{folder.name}_t1.nii.gz")
    flags = ["--method=baseline", "--dataset=brats", where[2], f"--input={patient}", f"--out_dir={tmp_path / 'maps'}"]
    refused(launch("predict", *flags), 2, folder.name)
    assert not (tmp_path / "maps").exists()


def test_inputs_that_make_no_sense(launch, where, isic_run, tmp_path):
    """Half of a pair of flags, a path that isn't there, an image where a folder belongs, flags of the other dataset."""
    one = ["predict", "--method=baseline", *where]
    refused(launch(*one, f"--input={tmp_path}"), 2, "--out_dir")
    refused(launch(*one, f"--input={tmp_path / 'no'}", f"--out_dir={tmp_path}"), 2, "no", "nothing")
    refused(launch(*one, "--full_size"), 2, "--full_size", "isic")
    refused(launch(*one, "--split=tset"), 2, "tset", "valid")
    refused(launch(*one, "--subjects=nobody"), 2, "nobody")
    refused(launch(*one, "--devices=GPU:7"), 2, "GPU:7")
    (tmp_path / "photo.jpg").write_bytes(b"no picture")
    other = [
        "predict",
        "--method=baseline",
        "--dataset=isic",
        f"--run_dir={isic_run}",
        f"--out_dir={tmp_path / 'maps'}",
    ]
    refused(launch(*other, f"--input={tmp_path / 'photo.jpg'}"), 2, "photo.jpg")
    (tmp_path / "none").mkdir()
    refused(launch(*other, f"--input={tmp_path / 'none'}"), 2, "photograph")


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_exits_with_its_code(launch, isic_data, tmp_path, number):
    """During a training: its state is saved, one line says how to go on, and the code is the signal's, 143 for SIGTERM."""
    flags = ["--method=baseline", "--dataset=isic", f"--data_dir={isic_data}", f"--run_dir={tmp_path}", "--epochs=500"]
    started = launch.start("train", *flags, "--start_filters=2", "--depth=1")
    pointer, begun = tmp_path / "networks" / "baseline" / "resume.json", time.monotonic()
    while not pointer.exists() and time.monotonic() - begun < 60:
        time.sleep(0.02)
    os.kill(started[0], number)
    ended = launch.end(started)
    assert ended.code == 128 + number and "continues from there" in ended.err and "Traceback" not in ended.err
    assert pointer.exists()
