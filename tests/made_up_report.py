"""A whole evaluation that no network made: phantom patients, maps of several methods drawn beside their labels, a report.

The maps err where a soft border and a drawn doubt put them: surer patients are segmented better, as with real methods.
"""

import json

import numpy as np
from scipy import ndimage

from data_prep import convert
from data_prep.base import artefacts
from data_prep.phantom import write as phantom
from data_prep.readers import nifti
from tfunc import kinds, methods, runs
from tfunc.reporting import publish
from tfunc.scoring.truth import RecordsTruth

SHAPE = (16, 40, 40)
METHODS = ("baseline", "baseline_mc", "ensemble", "auxiliary_feat", "aleatoric")


def make_records(folder, test=12, valid=8, shape=SHAPE):
    """Records of phantom BraTS: three patients in train, `valid` in valid, `test` in test; returns their folder."""
    count = 3 + valid + test
    phantom.write("brats", folder / "raw", subjects=count, shape=shape, seed=7)
    names = [phantom.subject_id("brats", index) for index in range(count)]
    split = {"train": names[:3], "valid": names[3 : 3 + valid], "test": names[3 + valid :]}
    (folder / "split.json").write_text(json.dumps(split))
    where = folder / "raw", folder / "data"
    convert.convert("brats", *where, split_files=[str(folder / "split.json")], say=lambda line: None)
    return folder / "data"


def maps_of(label, rng, difficulty, skill):
    """Probability, segmentation and uncertainty of one patient. difficulty, skill: in [0, 1], of patient and method."""
    inside = label.astype(bool)
    signed = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    noise = ndimage.gaussian_filter(rng.normal(size=label.shape), 2.5)
    noise *= (0.5 + 4 * difficulty * (1.4 - skill)) / max(noise.std(), 1e-6)
    logit = (signed + noise - 1.5 * difficulty) / (0.8 + 1.5 * difficulty)
    probability = (0.96 / (1 + np.exp(-logit)) + 0.02).astype(np.float32)  # a floor in the background, as networks have
    prediction = (probability > 0.5).astype(np.uint8)
    doubt = np.clip(1 - np.abs(2 * probability - 1) + 0.05 * rng.random(label.shape), 0, 1).astype(np.float32)
    return {"probability": probability, "prediction": prediction, "uncertainty": doubt}


def write_run(folder, data_dir, names=METHODS, splits=("test", "valid")):
    """Predictions of the methods `names` in the run `folder`; returns it."""
    truth = RecordsTruth(str(data_dir))
    for place, name in enumerate(names):
        row, rng = methods.get(name), np.random.default_rng(place)
        for split in splits:
            where = runs.predictions_dir(folder, name, split)
            subjects = [entry.name for entry in truth.manifest.split(split)]
            for index, subject in enumerate(subjects):
                own = truth.subject(subject)
                difficulty = np.random.default_rng([index, split == "test"]).random()
                arrays = maps_of(own.label != 0, rng, difficulty, 0.3 + 0.6 * place / max(len(names) - 1, 1))
                if kinds.get(row.kind).segments:
                    del arrays["uncertainty"]
                for part, array in arrays.items():
                    nifti.write_map(where / f"{subject}_{part}.nii.gz", array, own.header)
            facts = {"method": name, "kind": kinds.get(row.kind).name, "subjects": subjects, "seed": 20, "samples": 3}
            facts |= {"networks": {network: f"{place + 1:064x}" for network in row.networks}, "complete": True}
            artefacts.write_json(where / runs.PREDICTED, {**facts, "records": truth.manifest.identity})
    return folder


def evaluate(folder, make_pool, names=METHODS, **sizes):
    """Makes records, a run and its evaluation, figures too, in `folder` -> `Finished`."""
    data_dir = make_records(folder, **sizes)
    run_dir = write_run(folder / "run", data_dir, names)
    request = publish.Request(run_dir / "evaluation", "brats")
    return publish.evaluate_run(request, run_dir, data_dir, list(names), make_pool)
