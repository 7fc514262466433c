"""Maps, labels and masks that tests make up, and their evaluation."""

import csv

import nibabel
import numpy as np

from data_prep.base import pool
from tfunc.reporting import drawing, publish
from tfunc.scoring import sources
from tfunc.scoring.truth import FolderTruth

AFFINE = np.array([[-1, 0.1, 0, 10], [0.1, 1, 0, -20], [0, 0, 2, 5], [0, 0, 0, 1.0]])


def undrawn(monkeypatch, overlays=False):
    """Leaves drawing out, which takes seconds each time. overlays: whether maps over images are drawn all the same."""
    monkeypatch.setattr(publish.figures, "write_all", lambda *_: ())
    if not overlays:
        monkeypatch.setattr(publish.overlays, "write", lambda *_: ())
    monkeypatch.setattr(publish.patient_figures, "write", lambda *_: ())
    monkeypatch.setattr(publish.lesion_figures, "write", lambda *_: ())


def without_pdf(monkeypatch):
    """Draws each figure once, as PNG: a PDF takes longer, and tests/reporting/test_figures.py and test_publish.py have them."""
    monkeypatch.setitem(drawing.save.__kwdefaults__, "endings", ("png",))


def serial(_):
    """Where counting runs in tests: this process."""
    return pool.executor(1)


def read_csv(path):
    """The rows of a CSV file as dictionaries."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path, array, affine=AFFINE):
    """Writes an array [depth, height, width] as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.asarray(array).T, affine), path)


def maps_of(label, rng):
    """A made-up probability, segmentation and uncertainty that err and doubt near the label."""
    probability = np.clip(0.75 * label + 0.35 * rng.random(label.shape) - 0.12, 0, 1)
    probability = np.where(rng.random(label.shape) < 0.1 * label, 0.35, probability).astype(np.float32)
    prediction = (probability > 0.5).astype(np.uint8)
    return {
        "probability": probability,
        "prediction": prediction,
        "uncertainty": ((1 - np.abs(2 * probability - 1)) * rng.random(label.shape)).astype(np.float32),
    }


def make_study(folder, subjects=3, shape=(4, 9, 7), seed=0):
    """Labels, masks and maps of `subjects` made-up volumes, all kinds in one folder: returns their arrays."""
    rng, arrays = np.random.default_rng(seed), {}
    for index in range(subjects):
        name = f"case_{index}"
        label, mask = (rng.random((2, *shape)) < [[[[0.3]]], [[[0.8]]]]).astype(np.uint8)
        probability = np.clip(0.6 * label + rng.random(shape) * 0.5 - 0.05, 0, 1).astype(np.float32)
        uncertainty = (rng.random(shape) * (index + 1)).astype(np.float32)
        prediction = (probability > 0.5).astype(np.uint8)
        arrays[name] = dict(
            label=label, mask=mask, probability=probability, uncertainty=uncertainty, prediction=prediction
        )
        write(folder / "labels" / f"{name}_seg.nii.gz", label)
        write(folder / "masks" / f"{name}.nii.gz", mask)
        for part in ("probability", "uncertainty", "prediction"):
            write(folder / "maps" / f"{name}_{part}.nii.gz", arrays[name][part])
    return arrays


def evaluate_study(folder, kind="probability", **request):
    """Evaluates what `make_study` made, into `out` beside it."""
    maps = sources.folder_maps(folder / "maps", kind)
    truth = FolderTruth(str(folder / "labels"), str(folder / "masks"))
    return publish.evaluate_folders(publish.Request(folder / "out", **request), maps, truth, serial)
