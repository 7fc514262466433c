"""What earlier versions wrote, brought to today's form in memory. Frozen: what is here never follows a table.

A document's `schema` says its form; those of before have none, which is schema 1. Each function takes a document of any
schema and gives one of today's; what an old file can't say is what its version did.
"""

from __future__ import annotations

from typing import Any

from data_prep import former

SCHEMA = 2  # of config.json of a network, and of predictions.json

Document = dict[str, Any]

# settings that the first folders don't name, and what those were made with
CAME_LATER: Document = {"average_weights": False, "augment": "none"}
PLAIN: Document = {
    "objective": "segmentation",
    "model": "unet",
    "dropout": 0.05,
    "center": False,
    "sigma": False,
    "classes": 2,
    "seed": 0,
    "subset": "train",
    "index": 0,
    "count": 0,
    "needs": [],
    "base": "",
    "inherits": [],
    "second_input": "",
}
# what the networks were when config.json named them only
NETWORKS: dict[str, Document] = {
    "baseline": PLAIN,
    "center": {**PLAIN, "dropout": 0.5, "center": True},
    "aleatoric": {**PLAIN, "objective": "aleatoric", "sigma": True},
    "auxiliary_feat": {
        **PLAIN,
        "objective": "auxiliary_feat",
        "model": "auxiliary_head",
        "dropout": 0.0,
        "needs": ["baseline"],
        "base": "baseline",
        "inherits": ["start_filters", "depth"],
    },
    "auxiliary_segm": {
        **PLAIN,
        "objective": "auxiliary_segm",
        "needs": ["baseline"],
        "second_input": "heldout",
    },
}
# how the methods predicted when predictions.json named them only
PREDICTIVES = {
    "baseline": "Softmax",
    "center": "Softmax",
    "baseline_mc": "MonteCarlo",
    "center_mc": "MonteCarlo",
    "ensemble": "Ensemble",
    "auxiliary_feat": "AuxiliaryFeatures",
    "auxiliary_segm": "AuxiliarySegmentation",
    "aleatoric": "Aleatoric",
    "tta": "TestTimeAugmentation",
}
# copies of what `kinds` has today, for the same reason
KINDS = {"confidence": "error"}
MEASURES = {"probability": "predictive entropy", "error": "error probability", "sigma": "sigma"}


def is_old(document: Document) -> bool:
    """Whether a document was written before documents named their schema."""
    return "schema" not in document


def _number(name: str, family: str) -> int | None:
    """The index of `cv_3` in the family `cv`, or None for another name."""
    found, _, number = name.rpartition("_")
    return int(number) if found == family and number.isdecimal() else None


def network(name: str, count: int) -> Document:
    """The network of that name as it was under schema 1; raises `KeyError` for one that the toolkit did not have."""
    if (index := _number(name, "ensemble")) is not None:
        own = {"seed": index, "subset": "member", "index": index, "count": count}
    elif (index := _number(name, "cv")) is not None:
        own = {"subset": "fold", "index": index, "count": count}
    else:
        return {"name": name, **NETWORKS[name]}
    return {"name": name, **PLAIN, **own}


def config(document: Document) -> Document:
    """A network's config.json of any schema as today's. Raises `KeyError` where an entry is missing or unknown."""
    if not is_old(document):
        return document
    rest = {**CAME_LATER, **document}
    name, dataset, size = rest.pop("network"), rest.pop("dataset"), rest.pop("input")
    rest.pop("channels")
    task = former.task(dataset, size.get("intensity"), size.get("image_size"))
    return {
        "schema": SCHEMA,
        "network": network(name, rest.pop("count")),
        "task": task.document(),
        **rest,
    }


def predictions(document: Document) -> Document:
    """A predictions.json of any schema as today's, or the part of it that there is: what it can't say is left out."""
    drawn = document.get("samples") is not None
    # what drew before there were versions, when each slice drew by itself, and when TensorFlow was the one engine
    before: Document = {
        "streams": 1 if drawn else None,
        "draws": "slice" if drawn else None,
        "stratified": False if drawn else None,
        "engine": "tensorflow",
    }
    if not is_old(document):
        return {**before, **document}
    found = {**before, "schema": SCHEMA, **document}
    if "kind" in found:
        found["kind"] = KINDS.get(found["kind"], found["kind"])
        if found["kind"] in MEASURES:
            found["measure"] = MEASURES[found["kind"]]
    name = str(found.get("method", ""))
    predictive = "Softmax" if _number(name, "cv") is not None else PREDICTIVES.get(name)
    return found if predictive is None else {**found, "predictive": predictive}
