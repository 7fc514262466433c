"""What a server answered, checked: maps as arrays, and the numbers of a patient. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_prep import map_files
from data_prep.base.errors import UserError, command
from data_prep.map_files import MAPS
from data_prep.tasks import Task
from tfunc.serving import transport

Outputs = Mapping[str, Any]
Maps = dict[str, np.ndarray]

SAMPLED = {"mutual_information": np.float32}  # sampled methods have it too
HALF = "<f2"  # of all maps but the segmentation, where they come as bytes
SUMMARY = ("predicted_volume", "expected_volume", "mean_uncertainty")  # one number a patient
BY_CLASS = ("class_volumes", "expected_class_volumes")  # one number a class, where there are several
_NONE = 255  # in a table of labels: one that the task lacks


def plain(connection: transport.Connection, outputs: Outputs, shape: tuple[int, ...], task: Task) -> Maps:
    """Maps of `shape` from arrays [1, *shape], a probability of several classes with them last; `prediction`: classes."""
    maps = {}
    for name, dtype in _expected(outputs, "").items():
        values, whole = outputs.get(name), (1, *shape, *_more(name, task))
        if not isinstance(values, np.ndarray) or values.shape != whole:
            raise wrong(connection, f"{name} of shape {whole}", described(values))
        maps[name] = _checked(connection, name, values[0], dtype, task)
    return maps


def packed(connection: transport.Connection, outputs: Outputs, shape: tuple[int, ...], task: Task) -> Maps:
    """The same from one string of little-endian bytes each."""
    maps = {}
    for name, dtype in _expected(outputs, "_bytes").items():
        kind = map_files.labels_of(task).dtype.newbyteorder("<") if name == "prediction" else np.dtype(HALF)
        values, whole = outputs.get(f"{name}_bytes"), (*shape, *_more(name, task))
        size = math.prod(whole) * kind.itemsize
        if not isinstance(values, list) or [len(each) for each in values] != [size]:
            raise wrong(connection, f"{name}_bytes of {size} bytes", described(values))
        maps[name] = _checked(connection, name, np.frombuffer(values[0], kind).reshape(whole), dtype, task)
    return maps


def _more(name, task):
    return (len(task.classes),) if name == "probability" and not task.is_binary else ()


def _expected(outputs, ending):
    return MAPS if f"mutual_information{ending}" not in outputs else {**MAPS, **SAMPLED}


def _checked(connection, name, values, dtype, task):
    if name == "prediction":
        return _classes(connection, values, task)
    values = values.astype(dtype)
    if not np.isfinite(values).all():
        raise wrong(connection, f"finite {name}", f"{np.count_nonzero(~np.isfinite(values))} voxels that are not")
    return values


def _classes(connection, values, task):
    """The index of each voxel's class, uint8, of the labels that are served."""
    table = np.full(max(task.values) + 1, _NONE, np.uint8)
    table[list(task.values)] = range(len(task.values))
    inside = (values >= 0) & (values < len(table))
    found = table[np.where(inside, values, 0).astype(np.intp)]
    if not inside.all() or (found == _NONE).any():
        strange = values[~inside] if not inside.all() else values[found == _NONE]
        raise wrong(connection, f"a prediction of {_listed(task.values)}", f"{strange.max():g}")
    return found


def _listed(numbers):
    *others, last = map(str, numbers)
    return f"{', '.join(others)} and {last}"


# ------------------------------------------------------------------------------------------------------------- numbers


def summary(connection: transport.Connection, outputs: Outputs, task: Task) -> dict[str, Any]:
    """The numbers of one patient, in voxels of the volume that was sent."""
    found: dict[str, Any] = {}
    for name in SUMMARY if task.is_binary else (*SUMMARY, *BY_CLASS):
        values, whole = outputs.get(name), (1, len(task.classes)) if name in BY_CLASS else (1,)
        if not isinstance(values, np.ndarray) or values.shape != whole:
            raise wrong(connection, f"{name} for one patient", described(values))
        if not np.isfinite(values).all():
            raise wrong(connection, f"a finite {name}", f"{values[0]}")
        found[name] = values[0].tolist()
    return _plainly({name: value if name in BY_CLASS else float(value) for name, value in found.items()})


def measured(maps: Maps, task: Task) -> dict[str, Any]:
    """The same of maps, `prediction` of classes, in their own voxels."""
    inside, probability = maps["prediction"] > 0, maps["probability"]
    found: dict[str, Any] = {
        "predicted_volume": np.count_nonzero(inside),
        "expected_volume": float(probability.sum(dtype=np.float64)),
        "mean_uncertainty": float(maps["uncertainty"][inside].mean(dtype=np.float64)) if inside.any() else -1.0,
    }
    if not task.is_binary:
        expected = probability.sum(axis=(0, 1, 2), dtype=np.float64)
        found["expected_volume"] = float(expected[1:].sum())
        found["class_volumes"] = np.bincount(maps["prediction"].ravel(), minlength=len(task.classes)).tolist()
        found["expected_class_volumes"] = expected.tolist()
    return _plainly(found)


def _plainly(found):
    if found["mean_uncertainty"] < 0:  # nothing was found: nothing to average over
        found["mean_uncertainty"] = None
    return {**found, "predicted_volume": int(found["predicted_volume"])}


def document(found: Mapping[str, Any], task: Task, cubic_mm: float) -> dict[str, Any]:
    """Those numbers as a patient's JSON has them: by name, and volumes in millilitres too. cubic_mm: of a voxel."""

    def in_ml(voxels):
        return round(voxels * cubic_mm / 1000, 3)

    written = {name: found[name] for name in SUMMARY}
    written["predicted_volume_ml"] = in_ml(found["predicted_volume"])
    if task.is_binary:
        return written
    names = [one.name for one in task.classes]
    volumes = [int(value) for value in found["class_volumes"]]
    regions = {region.name: sum(volumes[index] for index in region.classes) for region in task.regions}
    return {
        **written,
        "class_volumes": dict(zip(names, volumes, strict=True)),
        "class_volumes_ml": dict(zip(names, map(in_ml, volumes), strict=True)),
        "expected_class_volumes": dict(zip(names, found["expected_class_volumes"], strict=True)),
        "region_volumes": regions,
        "region_volumes_ml": {name: in_ml(value) for name, value in regions.items()},
    }


# -------------------------------------------------------------------------------------------------------------- errors


def wrong(connection: transport.Connection, expected: str, found: str) -> UserError:
    """The answer is not one of our models'."""
    do = ("serve a model of ", command("export"), " of this version")
    return UserError(f"{connection.name}, model {connection.model}", expected=expected, found=found, do=do)


def described(values: Any) -> str:
    """What an output is, for an error."""
    if isinstance(values, np.ndarray):
        return f"shape {values.shape}"
    return "none" if values is None else f"strings of {', '.join(str(len(each)) for each in values[:3])} bytes"
