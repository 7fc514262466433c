"""The commands of docs/howto/score_nnunet.md run as they stand on files that look like nnU-Net's."""

import os
import shutil
import subprocess
import sys

import documents
import nibabel
import numpy as np
import pytest
from conftest import ROOT

from data_prep.base import artefacts

BLOCKS = [block.text for block in documents.blocks(ROOT / "docs" / "howto" / "score_nnunet.md")]
SHAPE = (6, 14, 12)  # depth, height, width


def write_cases(folder, classes):
    """Three cases: labels with a box of each class in the one before, and a softmax that is right but for some noise."""
    rng = np.random.default_rng(0)
    (folder / "labelsTs").mkdir()
    (folder / "nnunet_out").mkdir()
    for case in range(3):
        label = np.zeros(SHAPE, np.uint8)
        for number in range(1, classes):
            label[1:5, number + case : 12 - number, number : 11 - number] = number
        logits = 4 * np.eye(classes)[label].transpose(3, 0, 1, 2) + rng.normal(size=(classes, *SHAPE))
        softmax = np.exp(logits) / np.exp(logits).sum(axis=0)
        for place, array in (("labelsTs", label), ("nnunet_out", softmax.argmax(axis=0).astype(np.uint8))):
            nibabel.save(nibabel.Nifti1Image(array.T, np.eye(4)), folder / place / f"CASE_{case:04}.nii.gz")
        np.savez_compressed(folder / "nnunet_out" / f"CASE_{case:04}.npz", probabilities=softmax.astype(np.float32))


def run(block, folder):
    """Runs a block in a folder as a user does; returns the summary of what it wrote."""
    (folder / "launch").symlink_to(ROOT / "launch")
    (folder / "bin").mkdir()
    (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "bin" / "python").chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    ended = subprocess.run(["bash", "-ec", block], cwd=folder, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert (folder / "scored" / "report.html").is_file()
    return artefacts.read_json(folder / "scored" / "summary.json")


@pytest.mark.long
@pytest.mark.parametrize(("index", "classes"), [(0, 2), (1, 4)])
def test_its_blocks_run(tmp_path, index, classes):
    """Two classes, and several by their regions: the segmentations are nearly right, and no pickle is asked for."""
    assert len(BLOCKS) == 3
    write_cases(tmp_path, classes)
    found = run(BLOCKS[index], tmp_path)
    assert found["methods"]["nnunet_out"]["table1"]["dice"]["mean"] > 0.8 and found["subjects"] == 3
    assert list(found.get("regions", ())) == (["whole", "core", "enhancing"] if classes > 2 else [])


@pytest.mark.long
def test_trainings_beside_each_other(tmp_path):
    """A folder for each is a row for each."""
    write_cases(tmp_path, 2)
    for name in ("fold_0", "ensemble"):
        shutil.copytree(tmp_path / "nnunet_out", tmp_path / "all" / name)
    assert set(run(BLOCKS[2], tmp_path)["methods"]) == {"fold_0", "ensemble"}
