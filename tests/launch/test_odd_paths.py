"""A path that is no plain file is one line at once: a pipe would wait for a writer, a device or a sparse file has no end."""

import os

import own_folders
import pytest
from refusals import refused


@pytest.fixture
def raw(tmp_path):
    return own_folders.nnunet(tmp_path / "Dataset001_Own", cases=3)


def pipe(path):
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("flag", ["split_file", "patients"])
def test_files_of_prepare(launch, raw, tmp_path, flag):
    """Given by a flag; nothing is left behind."""
    where = f"--dataset={raw}", f"--data_dir={tmp_path / 'data'}"
    for odd in (str(pipe(tmp_path / "pipe")), "/dev/zero", str(tmp_path)):
        refused(launch("prepare", *where, f"--{flag}={odd}"), 2, odd, "expected a regular file")
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(1 << 40)
    refused(launch("prepare", *where, f"--{flag}={large}"), 2, str(large), "1,099,511,627,776 bytes, more than")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["dataset.json", "tfunc.json", "splits_final.json", "imagesTr/case_00_0000.nii.gz"])
def test_files_in_raw_data(launch, raw, tmp_path, name):
    """Found there."""
    pipe(raw / name)
    ended = launch("prepare", f"--dataset={raw}", f"--data_dir={tmp_path / 'data'}")
    assert ended.code == 2 or name == "splits_final.json", ended.err  # which is looked for, and is none


def test_files_of_a_run(launch, tmp_path):
    """The first that is read of it."""
    odd = pipe(tmp_path / "run" / "networks" / "baseline" / "finished.json")
    (odd.parent / "config.json").write_text("{}")
    where = f"--run_dir={tmp_path / 'run'}", f"--data_dir={tmp_path / 'data'}", "--dataset=isic"
    refused(
        launch("export", "--method=baseline", f"--export_dir={tmp_path / 'export'}", *where),
        2,
        str(odd),
        "a regular file",
    )


def test_a_crop_has_a_most(launch, tmp_path):
    """As every number has: while flags are read, before records are looked for."""
    where = f"--run_dir={tmp_path / 'run'}", f"--data_dir={tmp_path / 'data'}", "--dataset=isic", "--network=baseline"
    for crop in ("99999,99999", f"{2**31},1", "9" * 5000 + ",1"):
        refused(launch("train", *where, f"--crop={crop}"), 2, "--crop=", "of 268435456 voxels or fewer")
    refused(launch("train", *where, "--crop=64"), 2, "--crop=64", "H,W")
