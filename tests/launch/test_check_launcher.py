"""`check` as it is typed: what it prints, its exit codes, and that it changes nothing."""

import json
import os
import pathlib
import shlex
import shutil

import numpy as np
import pytest
from broken_raw import file, names, rewrite, some
from refusals import refused

from tfunc import runs


@pytest.fixture
def brats(brats_raw, tmp_path):
    return some(brats_raw, tmp_path / "raw")


def test_clean_data(launch, brats):
    """Exit code 0, the summary last; nothing but the progress on standard error."""
    ended = launch("check", "--dataset=brats", f"--raw_dir={brats}", "--workers=1")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1] == "checked 4 raw subjects: 0 errors, 0 warnings, 1 note"
    assert "error" not in ended.err


def test_errors_and_warnings(launch, brats):
    """2 for errors; for warnings 0, and 2 with --strict. The line on standard error is the summary."""
    rewrite(file(brats, 1, "seg"), np.zeros_like)
    flags = ["--dataset=brats", f"--raw_dir={brats}", "--workers=1"]
    ended = launch("check", *flags)
    assert ended.code == 0 and ended.out.startswith("1 warning:\n  empty mask: "), ended.out
    ended = launch("check", *flags, "--strict")
    assert ended.code == 2 and ended.err.splitlines()[-1].startswith(f"error: {brats}: expected nothing to mend")
    file(brats, 2, "t1").unlink()
    ended = launch("check", *flags)
    assert ended.code == 2 and "1 error, 1 warning, 1 note" in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err


def test_json(launch, brats):
    """One document on standard output, of every finding."""
    name = names(brats)[1]
    rewrite(file(brats, 1, "seg"), np.zeros_like)
    ended = launch("check", "--dataset=brats", f"--raw_dir={brats}", "--format=json", "--workers=2")
    document = json.loads(ended.out)
    assert ended.code == 0 and document["schema"] == 1 and document["checked"] == {"raw_dir": str(brats)}
    assert document["looked_at"] == {"raw_subjects": 4} and document["counts"] == {"error": 0, "warning": 1, "note": 1}
    first = document["findings"][0]
    assert (first["severity"], first["kind"]) == ("warning", "empty mask") and name in first["file"]
    assert set(first) == {"severity", "kind", "file", "expected", "found", "mend"}


def test_names_that_are_no_text(launch, brats):
    """A byte of a folder's name that is none in UTF-8 is spelt out, in the document too."""
    odd = brats.parent / os.fsdecode(b"raw \xff")
    brats.rename(odd)
    file(odd, 1, "t1").unlink()
    ended = launch("check", "--dataset=brats", f"--raw_dir={odd}", "--format=json", "--workers=1")
    document = json.loads(ended.out)
    assert ended.code == 2 and "raw \\xff" in document["findings"][0]["file"] and document["counts"]["error"] == 1


def test_a_folder_that_cannot_say_what_it_is(launch, tmp_path):
    """Its description is a finding as others are."""
    folder = tmp_path / "D"
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    (folder / "dataset.json").write_text("{")
    ended = launch("check", f"--dataset={folder}", "--format=json")
    document = json.loads(ended.out)
    assert ended.code == 2 and document["counts"]["error"] == 1
    assert document["findings"][0]["file"] == str(folder / "dataset.json")


@pytest.mark.long
def test_records_and_run(launch, isic_run, isic_data, tmp_path):
    """Commands are typed with the folders that were given; records of another data set are named."""
    run_dir = shutil.copytree(isic_run, tmp_path / "run")
    (runs.network_dir(run_dir, "baseline") / runs.WEIGHTS).unlink()
    ended = launch("check", f"--data_dir={isic_data}", f"--run_dir={run_dir}", "--dataset=isic")
    assert ended.code == 2
    typed = (
        f"then run `python launch/train.py --method=baseline --dataset=isic --data_dir={isic_data} --run_dir={run_dir}`"
    )
    assert typed in ended.out, ended.out
    assert ended.out.splitlines()[-1].startswith("checked 10 prepared subjects, 1 network, 0 predicted subjects")
    ended = launch("check", f"--data_dir={isic_data}", "--dataset=brats")
    assert ended.code == 2 and "other data set" in ended.out


@pytest.mark.long
def test_what_cannot_be_looked_at(launch, tmp_path):
    """Flags without folders and folders that are not there: one line, before anything is read."""
    refused(launch("check"), 2, "--raw_dir, --data_dir or --run_dir")
    refused(launch("check", "--dataset=brats"), 2, "--raw_dir, --data_dir or --run_dir")
    for name in ("raw_dir", "data_dir", "run_dir"):
        refused(launch("check", "--dataset=brats", f"--{name}={tmp_path / 'none'}"), 2, f"--{name}=", "a folder")
    refused(launch("check", f"--run_dir={tmp_path}"), 2, "the folder of a run")
    refused(launch("check", f"--raw_dir={tmp_path}"), 2, "--dataset")
    refused(launch("check", f"--raw_dir={tmp_path}", "--dataset=brats", "--format=xml"), 2, "--format")
    where = ["--dataset=brats", f"--raw_dir={tmp_path}"]
    refused(launch("check", *where, "--label_map=1:7"), 2, "--label_map=1:7")
    refused(launch("check", *where, f"--workers={2**40}"), 2, "--workers")


@pytest.mark.long
def test_what_it_says_mends(launch, isic_run, isic_data, tmp_path):
    """The command of a finding, as it stands there, makes the maps whole again, with the samples that they were begun with."""
    run_dir = shutil.copytree(isic_run, tmp_path / "run")
    where = [f"--data_dir={isic_data}", f"--run_dir={run_dir}"]
    assert launch("predict", "--method=baseline_mc", "--dataset=isic", *where, "--samples=2", "--seed=7").code == 0
    path = next(runs.predictions_dir(run_dir, "baseline_mc").glob("*_probability.nii.gz"))
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    (found,) = json.loads(launch("check", *where, "--format=json").out)["findings"]
    assert found["file"] == str(path) and found["mend"].startswith("remove it, then run `")
    path.unlink()
    _, program, *flags = shlex.split(found["mend"].split("`")[1])
    assert launch(pathlib.Path(program).stem, *flags).code == 0
    assert path.read_bytes() == whole
    assert json.loads(launch("check", *where, "--format=json").out)["findings"] == []
