"""Whole inputs to damage: a small data set of one's own, its records, documents of runs of both schemas. Made once a process."""

from __future__ import annotations

import functools
import json
import pathlib

import made_up
import own_folders

from data_prep import convert, datasets, manifest, parts, shards, splits
from data_prep.readers import nnunet

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "stacks" / "current"
METHOD = "baseline_mc"


@functools.cache
def folders(place: pathlib.Path) -> dict[str, pathlib.Path]:
    """Folders below `place`: raw data in two forms, and records of one of them."""
    raw = own_folders.nnunet(place / "Dataset001_Own", ("CT",), cases=5)
    own_folders.decathlon(place / "Task01_Own")
    task, _ = datasets.find(str(raw), None)
    convert.convert(task, raw, place / "records", {}, say=lambda line: None)
    return {"nnunet": raw, "decathlon": place / "Task01_Own", "records": place / "records"}


def begun(place: pathlib.Path):
    """(folder of a conversion with one shard joined, its plan, its request, the shard's JSON, the bytes of a part)."""
    made, at = folders(place), place / "begun"
    task = manifest.read_manifest(made["records"]).task
    sources = nnunet.find(made["nnunet"])
    plan = shards.plan(sources, splits.assign(sources, task.ratio), task.per_shard)
    request = shards.Request(task, {}, str(made["nnunet"]))
    (at / shards.PARTS).mkdir(parents=True, exist_ok=True)
    places = {}
    for shard in plan:
        for source in shard.sources:
            places |= shards.convert_subjects(nnunet.load, request, at / shards.PARTS, [source])[0]
    part = parts.path(at / shards.PARTS, plan[0].sources[0].name).read_bytes()
    shards.join(plan[0], at, places)
    return at, plan, request, read(at / shards.PARTS / f"{plan[0].name}.json"), part


def read(path: pathlib.Path):
    """The JSON of a file."""
    return json.loads(path.read_text(encoding="utf-8"))


@functools.cache
def config():
    """A network's config.json of schema 2."""
    from tfunc import networks
    from tfunc.learning import settings

    return settings.resolve(networks.get("baseline"), made_up.manifest(), settings.defaults()).document()


def predictions():
    """predictions.json of schema 2."""
    before = read(FIXTURES / "run" / "predictions" / METHOD / "predictions.json")
    more = {"schema": 2, "predictive": "MonteCarlo", "measure": "predictive entropy", "streams": 2, "draws": "subject"}
    return {**before, **more, "stratified": False, "engine": "tensorflow", "configurations": {"baseline": "0" * 64}}


def patient():
    """The JSON of one patient's maps."""
    stamp = {"path": "a.nii.gz", "bytes": 10, "modified": 1, "changed": 1, "sha256": "0" * 64}
    more = {"files": [stamp], "read_as": {"order": "LPS"}, "scores": {"mean": 0.1, "none": None}}
    return {**predictions(), **more, "source": "/data/a"}


def summary():
    """summary.json of an evaluation of one method."""
    from tfunc.reporting.finished import Request
    from tfunc.scoring import measures

    cell = {"mean": 0.8, "low": 0.7, "high": 0.9}
    method = {"title": "Baseline", "kind": "confidence", "ranked": True, "subjects": 2, "sigma_range": [0.0, 2.0]}
    names = [measure.name for measure in measures.table1()]
    return {
        "version": "0.1",
        "dataset": "isic",
        "settings": Request(pathlib.Path("x")).settings,
        "inputs": {"records": "0" * 64, "predictions": {METHOD: "0" * 64}},
        "methods": {METHOD: {**method, "table1": dict.fromkeys(names, cell)}},
        "pictures": ["figure1.png"],
        "files": {"table1.md": "0" * 64},
        "shared": {},
        "thresholds": [0.1, 0.2],
    }


def fit():
    """What an evaluation keeps of one region."""
    return {
        "score": "top", "names": ["top"], "mean": [0.2], "scale": [0.1], "weights": [-0.1], "intercept": 0.8,
        "highest": 0.5, "dice_width": 0.1, "coverage": 0.9, "subjects": 10,
    }  # fmt: skip


def fits():
    """review.json of an evaluation."""
    return {
        "schema": 1,
        "failure": 0.7,
        "methods": {"baseline": {"made_by": {"samples": 3}, "regions": {"whole": fit()}}},
    }


def recalibration():
    """recalibration/<method>.json."""
    errors = {"dataset": 0.1, "subjects": None}
    curve = {"count": [1, 2], "mean_probability": [0.1, None], "positive_fraction": [0.2, None]}
    calibration = {**errors, "regions": {"whole": errors}, "by_subject": {"a": 0.1}, "curves": {"whole": curve}}
    interval = {"alpha": 0.1, "width": 4.0, "coverage": 0.9, "subjects": 20}
    threshold = {"alpha": 0.1, "threshold": 0.3, "bound": 0.09, "needed": 9}
    guarantee = {"lesions": 20, "thresholds": [threshold], "volume": interval, "dice": interval}
    return {
        "schema": 1, "method": METHOD, "dataset": "isic", "split": "valid", "alphas": [0.1], "approximate": True,
        "assumed": "exchangeable", "subjects": ["a", "b"], "records": "0" * 64, "predictions": "1" * 64,
        "made_by": {"networks": {"baseline": "0" * 64}, "samples": 4, "draws": None, "streams": 1},
        "temperature": {"temperature": 1.5, "likelihood": 0.1, "before": 0.2, "at_bound": False, "undefined": False},
        "by_subject": None,
        "temperatures": {"a": {"temperature": None, "at_bound": False, "undefined": True, "left_out": 1.0}},
        "calibration": {"before": calibration, "temperature": calibration},
        "guarantees": {"whole": guarantee}, "version": "0.1",
    }  # fmt: skip


def resume():
    """resume.json of a training under way, and of one that was finished."""
    before = read(FIXTURES / "unfinished" / "networks" / "baseline" / "resume.json")
    return before, {**before, "best_loss": 0.5, "finished": [{"epochs": 1, "weights_sha256": "0" * 64}]}


def finished():
    """finished.json of schema 1, and of today's version."""
    before = read(FIXTURES / "run" / "networks" / "baseline" / "finished.json")
    now = {
        "config_sha256": None,
        "state_sha256": "0" * 64,
        "last_sha256": "0" * 64,
        "kept_sha256": {"last-0001.weights.h5": "0" * 64},
    }
    return before, {**before, **now}
