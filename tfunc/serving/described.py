"""What a served model says of itself: the task that it was trained on, so that a client must be told nothing. No TensorFlow."""

from __future__ import annotations

import dataclasses
import json

import msgspec

from data_prep import tasks, voxel_order
from data_prep.base import documents
from data_prep.base.errors import UserError, command
from data_prep.tasks import Task
from tfunc.kinds import KINDS
from tfunc.scoring.triage import Known
from tfunc.serving import transport

SIGNATURE = "describe"
AS_IS = "as_is"  # in place of a voxel order: volumes are sent as they lie


@dataclasses.dataclass(frozen=True)
class Served:
    """What a model is asked with. task: of its networks, in the voxel order that volumes are sent in.

    speaks: whether the task is the model's own word, as it is of all models exported since there are several classes.
    kind: what its probability and uncertainty are, empty of one that does not say. known: what an evaluation of its run knows
    of such maps. made_by: what its maps' headers say, empty likewise.
    """

    task: Task
    speaks: bool
    kind: str = ""
    known: Known | None = None
    made_by: str = ""


def served(connection: transport.Connection, dataset: Task | None = None, order: str | None = None) -> Served:
    """The task of the model behind a connection: its own word, or `dataset` where it says nothing.

    dataset: what the user says that it was trained on. order: the voxel order that the user says, or `AS_IS`; None: the
    model's own, and `voxel_order.DISTRIBUTED` where it says none. Raises `UserError` for a model that says nothing where the
    user doesn't either, and where the two disagree.
    """
    _, signatures = connection.describe()
    speaks = SIGNATURE in signatures
    more: tuple[str, Known | None, str] = "", None, ""
    if speaks:
        task, answer = _told(connection)
        more = _more(connection, answer)
        if dataset is not None and dataset.name != task.name:
            found = f"a model of {task.name}, by its own word"
            do = "leave --dataset out, or check --model"
            raise UserError(f"--dataset={dataset.name}", expected=f"a model of {dataset.name}", found=found, do=do)
        _require_order(task, order)
    elif dataset is not None:
        task = dataset
    else:
        raise UserError(
            _where(connection),
            expected=f"the signature {SIGNATURE}, by which a model says what it was trained on",
            found=", ".join(sorted(signatures)) or "no signatures",
            do=("give --dataset, or export it again: ", command("export")),
        )
    chosen = None if order == AS_IS else order or task.order or voxel_order.DISTRIBUTED
    return Served(task if task.is_photograph else msgspec.structs.replace(task, order=chosen), speaks, *more)


def _told(connection):
    """(the task that the model answers, its text beside it); `UserError` for an answer that is none."""
    found = connection.predict(SIGNATURE, {"request": [b"task"]})
    try:
        (text,) = found["task"]
        return tasks.from_document(json.loads(text), _where(connection)), found.get("description")
    except (KeyError, TypeError, ValueError):
        raise UserError(_where(connection), expected="a task as JSON", found="another answer", do=_AGAIN) from None


def _more(connection, answer):
    """(kind, Known, made_by) of the text beside the task, which models of an earlier version have less of."""
    try:
        (text,) = answer or ("{}",)
        said = json.loads(text)
    except (TypeError, ValueError):
        said = None
    if not isinstance(said, dict):
        raise UserError(_where(connection), expected="a description as JSON", found="another answer", do=_AGAIN)
    kind, known, made_by = (said.get(name) for name in ("kind", "review", "made_by"))
    try:
        known = None if known is None else documents.typed(known, Known, _where(connection), None)
    except UserError:  # of another version's form: the maps do not depend on it
        known = Known(why="the model tells its evaluation in a form that this version does not know")
    return kind if kind in list(KINDS) else "", known, made_by if isinstance(made_by, str) else ""


def _require_order(task, order):
    """Raises `UserError` for a voxel order that the model contradicts."""
    flag, do = f"--voxel_order={order}", "leave it out: the model says it itself"
    if order == AS_IS:
        if not task.is_known:
            raise UserError(flag, expected=f"a model of {', '.join(tasks.TASKS)}", found=task.name, do=do)
    elif order is not None and task.order not in (None, order):
        raise UserError(flag, expected=f"{task.order}, in which the model was trained", found=order, do=do)


_AGAIN = ("serve a model of ", command("export"), " of this version")


def _where(connection):
    return f"{connection.name}, model {connection.model}"
