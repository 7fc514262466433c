"""A run that no network made: records of a few phantom patients with a calibration set, and maps written for them."""

import json

import numpy as np

from data_prep import convert, grid, map_files, records
from data_prep.base import artefacts
from data_prep.phantom import write as phantom
from tfunc import methods, runs
from tfunc.maps import artefact
from tfunc.scoring.truth import RecordsTruth

SHAPE = (16, 16, 16)
CALIBRATION = 12
METHOD = "baseline_mc"


def make_records(folder, dataset="brats"):
    """16 phantom patients: one in train and in valid, two in test, twelve in calibration; returns the folder of records."""
    phantom.write("brats", folder / "raw", subjects=CALIBRATION + 4, shape=SHAPE, seed=5)
    names = [phantom.subject_id("brats", index) for index in range(CALIBRATION + 4)]
    split = {"train": names[:1], "valid": names[1:2], "test": names[2:4], "calibration": names[4:]}
    (folder / "split.json").write_text(json.dumps(split))
    convert.convert(
        dataset, folder / "raw", folder / "data", split_files=[str(folder / "split.json")], say=lambda line: None
    )
    return folder / "data"


def logits_of(label, rng, classes=2, lean=2.5):
    """[class, …] logits of the probability of each class, given a noisy observation of it: calibrated, but for the drawn."""
    seen = rng.normal(0, 1, (classes, *label.shape)) + lean * (np.arange(classes)[:, None, None, None] == label)
    share = np.maximum(np.bincount(label.reshape(-1), minlength=classes), 1) / label.size
    return lean * seen + np.log(share)[:, None, None, None]


def write_run(folder, data_dir, split="calibration", method=METHOD, temperature=0.4, seed=0, only=None):
    """Maps of a method for a split in the run `folder`: probabilities at `temperature` of made-up logits. Returns the run.

    only: the names that get maps, None for all.
    """
    manifest, truth, rng = records.read_manifest(data_dir), RecordsTruth(str(data_dir)), np.random.default_rng(seed)
    task, place = manifest.task, runs.predictions_dir(folder, method, split)
    names = [entry.name for entry in manifest.split(split)]
    for name in names:
        subject = truth.subject(name)
        logits = logits_of(subject.label, rng, len(task.classes)) / temperature
        power = np.exp(logits - logits.max(axis=0))
        channels = (power / power.sum(axis=0)).astype(np.float32)
        if task.is_binary:
            probability, prediction = channels[1], (channels[1] > 0.5).astype(np.uint8)
        else:
            probability, prediction = np.moveaxis(channels, 0, -1), channels.argmax(axis=0).astype(np.uint8)
        maps = {"probability": probability, "prediction": map_files.labels_of(task)[prediction]}
        maps["uncertainty"] = np.zeros(prediction.shape, np.float32)
        if only is None or name in only:
            map_files.write(place, name, grid.on_own_grid(subject, maps), subject.header)
    row = methods.get(method)
    drawn = {"samples": 3, "seed": 20, "streams": 2, "draws": "subject"} if row.sampled else {}
    made_by = {name: "0" * 64 for name in row.networks}
    document = artefact.document(row, drawn, "float32", made_by, {}, split=split, records=manifest.identity)
    done = names if only is None else only
    artefacts.write_json(place / runs.PREDICTED, {**document, "subjects": list(done), "complete": only is None})
    return folder
