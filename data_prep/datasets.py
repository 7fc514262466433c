"""What `--dataset` names: a data set of the table, or a folder of raw data in a form that says itself what it is."""

from __future__ import annotations

import importlib
import pathlib

import msgspec

from data_prep import tasks
from data_prep.base.errors import UserError
from data_prep.base.names import checked
from data_prep.tasks import Task

# of each form a reader, in the order of asking; each has `accepts` and `task`, beside what every reader has
FORMS = ("data_prep.readers.nnunet", "data_prep.readers.decathlon", "data_prep.readers.pairs")


def find(dataset: str, raw_dir: pathlib.Path | str | None = None) -> tuple[Task, pathlib.Path]:
    """(the task, the folder of its raw data).

    dataset: a name of the table, with raw_dir; a folder; or, with raw_dir, the name that the data set of that folder is to
    have. Raises `UserError` for a folder of no known form and for what is neither.
    """
    if dataset in tasks.TASKS:
        if raw_dir is None:
            raise UserError("--raw_dir", expected="a value", found="none", do="see --helpshort")
        return tasks.find(dataset), pathlib.Path(raw_dir)
    folder = pathlib.Path(dataset if raw_dir is None else raw_dir)
    if not folder.is_dir():
        expected = f"one of {', '.join(tasks.TASKS)}, or a folder of raw data"
        raise UserError(f"--dataset={dataset}", expected=expected, found=f"no such folder as {folder}")
    for form in FORMS:
        reader = importlib.import_module(form)
        if reader.accepts(folder):
            task = reader.task(folder)
            own = raw_dir is None or pathlib.Path(dataset).resolve() == folder.resolve()
            task = task if own else msgspec.structs.replace(task, name=pathlib.Path(dataset).name)
            checked(task.name, "a data set", folder, "give it one: --dataset=NAME --raw_dir=FOLDER")
            if task.name in tasks.TASKS:  # whatever comes later would take it for that one
                expected, do = (
                    "another name than a data set of the table",
                    "give it one: --dataset=NAME --raw_dir=FOLDER",
                )
                raise UserError(folder, expected=expected, found=task.name, do=do)
            return task, folder
    inside = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    raise UserError(
        folder,
        expected="imagesTr and labelsTr with a dataset.json (nnU-Net's form, or the Decathlon's), or images and masks",
        found=", ".join(inside[:5]) + (", …" if len(inside) > 5 else "") or "an empty folder",
        do=f"arrange it so, or name the data set: {', '.join(tasks.TASKS)}",
    )
