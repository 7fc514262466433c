"""Subjects of several classes that tests make up: a task, labels, maps of every kind, and their evaluation."""

import dataclasses

import msgspec
import nibabel
import numpy as np
from made_up_maps import AFFINE, serial, write

from data_prep import tasks
from data_prep.tasks import Class, Region
from tfunc.reporting import publish
from tfunc.scoring import sources
from tfunc.scoring.truth import FolderTruth

RAW = np.array([0, 1, 2, 4], np.uint8)  # the raw label of each class
TASK = msgspec.structs.replace(
    tasks.TASKS["brats"],
    name="made_up",
    title="Made up",
    classes=(Class("background", (0,)), Class("one", (1,)), Class("two", (2,)), Class("three", (4, 3))),
    regions=(
        Region("whole", "whole", (1, 2, 3)),
        Region("core", "core", (1, 3)),
        Region("three", "three", (3,)),
    ),
    ignore=9,
    inside=None,
)


def softmax(label, rng, classes=4, noise=1.5, sure=2.5):
    """[class, …] float32 that leans to the label, argmax not always right."""
    logits = rng.normal(0, noise, (classes, *label.shape)) + sure * (np.arange(classes)[:, None, None, None] == label)
    found = np.exp(logits)
    return (found / found.sum(axis=0)).astype(np.float32)


def write_channels(path, channels, first=False):
    """Writes [class, depth, height, width] as NIfTI: x, y, z, class; or the class first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.asarray(channels).transpose(0, 3, 2, 1) if first else np.asarray(channels).T
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(array), AFFINE), path)


def make_classes(folder, subjects=3, shape=(4, 9, 7), seed=0, lacking=3, ignored=0.0):
    """Labels and maps of made-up volumes in `folder`: the first subject lacks the class `lacking`; returns their arrays."""
    rng, arrays = np.random.default_rng(seed), {}
    for index in range(subjects):
        name = f"case_{index}"
        label = rng.integers(0, 4, shape).astype(np.uint8)
        label[rng.random(shape) < 0.5] = 0
        if index == 0:
            label[label == lacking] = 0
        channels = softmax(label, rng)
        counted = rng.random(shape) >= ignored
        uncertainty = (rng.random(shape) * (index + 1)).astype(np.float32)
        prediction = channels.argmax(axis=0).astype(np.uint8)
        arrays[name] = dict(
            label=label, channels=channels, uncertainty=uncertainty, prediction=prediction, counted=counted
        )
        write(folder / "labels" / f"{name}.nii.gz", np.where(counted, RAW[label], 9).astype(np.uint8))
        write_channels(folder / "maps" / f"{name}_probability.nii.gz", channels)
        write(folder / "maps" / f"{name}_uncertainty.nii.gz", uncertainty)
        write(folder / "maps" / f"{name}_prediction.nii.gz", RAW[prediction])
    return arrays


def evaluate_classes(folder, kind="probability", task=TASK, out="out", maps="maps", activation="auto", **request):
    """Evaluates what `make_classes` made, into `out` beside it."""
    found = [dataclasses.replace(one, activation=activation) for one in sources.folder_maps(folder / maps, kind)]
    truth = FolderTruth(str(folder / "labels"), classes=task)
    return publish.evaluate_folders(publish.Request(folder / out, **request), found, truth, serial, task)
