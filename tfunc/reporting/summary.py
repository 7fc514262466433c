"""summary.json: everything of an evaluation as plain JSON, and what older ones say in today's words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_prep.tasks import Task
from tfunc import __version__, kinds
from tfunc.reporting.parts import Part
from tfunc.scoring import findings, metrics, statistics
from tfunc.scoring.counts import THRESHOLDS
from tfunc.scoring.measures import MEASURES


def policy(task: Task | None) -> dict[str, str]:
    """{measure: its special cases}, and `constant`, for people.

    task: what is segmented, which says inside what calibration is measured, or None where nobody said it.
    """
    inside = ""
    if task is not None and task.inside is not None:
        inside = f" ({task.title}: raw {task.inside.channel} above {task.inside.above:g})"
    notes = {name: measure.note.replace("{inside}", inside) for name, measure in MEASURES.items() if measure.note}
    constant = "a constant error probability or sigma range is an error, where the reference scores NaN"
    return {**notes, "constant": constant}


def summary(
    parts: Sequence[Part],
    asked: Mapping[str, Any],
    examples: Mapping[str, str],
    task: Task | None = None,
) -> dict[str, Any]:
    """What summary.json says, as plain JSON types; NaN becomes null.

    parts: the tables, the first that of `methods`; the others' methods stand in `regions` and `classes`.
    asked: entries on the evaluation itself, such as its settings and inputs.  examples: {"S1": subject, ...} of Figure 1.
    """
    evaluated, rows = parts[0].evaluated, parts[0].rows
    shares = statistics.miscalibration(evaluated.scores)
    found = {
        "version": __version__,
        **asked,
        "thresholds": list(THRESHOLDS),
        "methods": _methods(evaluated, rows),
        "miscalibration": {name: getattr(shares, name) for name in ("threshold", "under", "over")},
        "figure1_subjects": dict(examples),
        "columns": {m.name: {"title": m.title, "definition": m.definition} for m in rows[0].columns},
        "policy": policy(task),
        **_parts(parts[1:], evaluated.task),
    }
    return plain(found)


def _parts(others, task):
    """`regions` and `classes`, of several classes."""
    if task is None:
        return {}
    found: dict[str, Any] = {
        "regions": {
            part.name: {
                "title": part.title,
                "classes": [task.classes[index].name for index in part.region.classes],
                "methods": _methods(part.evaluated, part.rows),
            }
            for part in others
            if part.region is not None
        }
    }
    for part in others:
        if part.region is None:
            columns = {m.name: {"title": m.title, "definition": m.definition} for m in part.rows[0].columns}
            found["classes"] = {"columns": columns, "methods": _methods(part.evaluated, part.rows)}
    return found


def _methods(evaluated, rows):
    by_method = {row.method: row for row in rows}
    found = {}
    for maps in evaluated.maps:
        scores, row = evaluated.scores[maps.method], by_method[maps.method]
        found[maps.method] = {
            "title": row.title,
            "kind": maps.kind,
            "ranked": row.ranked,
            "subjects": row.subjects,
            "sigma_range": maps.sigma_range,
            "table1": {name: dataclasses.asdict(cell) for name, cell in row.cells.items()},
            "accuracy": scores.mean("accuracy"),
            **{name: scores.mean(name) for name in ("ece_near",) if name in scores.measures},
            "dataset_ece": metrics.calibration_error(scores.pooled),
            "dataset_confidence_gap": metrics.confidence_gap(scores.pooled),
            **_companions(evaluated.findings.get(maps.method)),
            "undefined_ue": np.isnan(scores["ue"]).sum(axis=0).tolist(),
        }
    return found


def _companions(found):
    """Means of the companions of Dice, and of how many subjects a distance is the penalty; nothing of a class map."""
    if found is None:
        return {}
    means = {name: mean for name, (mean, _, _) in findings.companion_means(found).items()}
    return {"companions": means, "penalties": sum(one.has_penalty for one in found.values())}


def plain(value: Any) -> Any:
    """Plain JSON types: NaN and infinity to None, NumPy scalars to Python's."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def upgrade(document: dict[str, Any]) -> dict[str, Any]:
    """A summary of any earlier version as today's: kinds of uncertainty by their present names."""
    methods = {
        name: {**method, "kind": kinds.FORMER.get(method.get("kind", ""), method.get("kind", ""))}
        for name, method in document["methods"].items()
    }
    return {**document, "methods": methods, "inputs": {_input(name): v for name, v in document["inputs"].items()}}


def _input(name):
    """An input's name: the last word of a folder's is the kind of its maps."""
    folder, _, kind = name.rpartition(" ")
    return f"{folder} {kinds.FORMER[kind]}" if kind in kinds.FORMER else name
