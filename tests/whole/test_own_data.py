"""Three commands on anyone's data: raw folders as nnU-Net and the Decathlon lay them out, to the report by regions and maps.

They are those of docs/howto/own_data.md, on made-up data.
"""

import csv
import os
import pathlib
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from data_prep import records
from data_prep.base import artefacts
from whole.conftest import METHODS, SETTINGS

ROOT = pathlib.Path(__file__).parents[2]
REGIONS = ("liver", "spleen", "kidney", "tumour")
FORMS = {"nnunet": METHODS, "decathlon": ("baseline",)}  # the networks are the same whatever the form


def run(folder, program, *flags):
    """Runs a launcher in a folder, as a user does, and returns what it printed."""
    ended = subprocess.run(
        [sys.executable, str(ROOT / "launch" / f"{program}.py"), *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "TF_NUM_INTRAOP_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def settings(form):
    return (*SETTINGS, f"--methods={','.join(FORMS[form])}")


@pytest.fixture(scope="module", params=[pytest.param("nnunet", marks=pytest.mark.long), "decathlon"])
def own(request, made_once):
    """(form, folder in which the three commands were run on the phantom of organs, what the study said)."""
    form = request.param

    def make(folder):
        phantom = ("--subjects=10", "--shape=16,32,32", f"--form={form}")
        run(folder, "phantom", "--dataset=organs", "--raw_dir=raw/Dataset900_Organs", *phantom)
        run(folder, "prepare", "--dataset=raw/Dataset900_Organs", "--workers=1")
        (folder / "said.txt").write_text(run(folder, "study", "--dataset=Dataset900_Organs", *settings(form)))
        new = (
            f"--method={'ensemble' if 'ensemble' in FORMS[form] else 'baseline'}",
            "--dataset=Dataset900_Organs",
            "--input=imagesTs",
            "--out_dir=maps",
            "--names=nnunet",
        )
        run(folder, "predict", *new)

    return form, made_once(f"own_{form}", make)


def rows(folder, name):
    with open(folder / "runs" / "Dataset900_Organs" / "evaluation" / name, newline="") as file:
        return list(csv.DictReader(file))


def test_it_ends_with_a_report_by_regions(own):
    """A table of the mean, of each region and of the class map; every subject has a row for each."""
    form, folder = own
    evaluation = folder / "runs" / "Dataset900_Organs" / "evaluation"
    names = ["table1", *(f"table1_{region}" for region in REGIONS), "table1_classes"]
    for name in names:
        assert len(rows(folder, f"{name}.csv")) == len(FORMS[form]), name
    report = (evaluation / "report.html").read_text(encoding="utf-8")
    assert all(region in report for region in REGIONS)
    assert set(REGIONS) <= {row["region"] for row in rows(folder, "subjects.csv")}
    summary = artefacts.read_json(evaluation / "summary.json")
    assert list(summary["regions"]) == list(REGIONS)


def test_dice_is_that_of_the_files(own):
    """Of every region and subject, by NumPy from the maps and the labels as their own files have them."""
    _, folder = own
    numbers = {region: index for index, region in enumerate(REGIONS, 1)}
    seen = 0
    for row in rows(folder, "subjects.csv"):
        if row["region"] not in numbers or row["method"] != "baseline":
            continue
        maps = folder / "runs" / "Dataset900_Organs" / "predictions" / "baseline"
        prediction = np.asarray(nibabel.load(maps / f"{row['subject']}_prediction.nii.gz").dataobj)
        (label,) = (folder / "raw" / "Dataset900_Organs" / "labelsTr").glob(f"{row['subject']}.nii*")
        label = np.asarray(nibabel.load(label).dataobj)
        one, other = prediction == numbers[row["region"]], label == numbers[row["region"]]
        both = one.sum() + other.sum()
        assert float(row["dice"]) == pytest.approx(2 * (one & other).sum() / both if both else 1.0, abs=1e-12)
        seen += 1
    assert seen >= 2 * len(REGIONS)


def test_new_patients_have_maps_on_their_images(own):
    """Those of imagesTs, under our names and nnU-Net's; nothing of theirs was in the records but to be predicted."""
    _, folder = own
    manifest = records.read_manifest(folder / "data" / "Dataset900_Organs")
    images = sorted((folder / "raw" / "Dataset900_Organs" / "imagesTs").glob("*.nii*"))
    assert images and len(manifest.split("predict")) == len(images)
    for entry in manifest.split("predict"):
        image = nibabel.load(folder / entry.source)
        for name in ("_prediction", "_uncertainty", ""):
            made = nibabel.load(folder / "maps" / f"{entry.name}{name}.nii.gz")
            assert made.shape == image.shape[:3]
            np.testing.assert_allclose(made.affine, image.affine, atol=1e-4)
        assert nibabel.load(folder / "maps" / f"{entry.name}_probability.nii.gz").shape == (*image.shape[:3], 5)


def test_the_same_commands_find_it_done(own):
    """Nothing is made twice."""
    form, folder = own
    said = run(folder, "prepare", "--dataset=raw/Dataset900_Organs", "--workers=1")
    assert "nothing to do" in said
    again = run(folder, "study", "--dataset=Dataset900_Organs", *settings(form))
    assert "train_baseline" not in [line.split()[1] for line in again.splitlines() if line.startswith("[")]
