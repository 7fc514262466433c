"""What is evaluated of anyone's maps, as the user said it: the regions of raw labels, or the task of prepared records."""

from __future__ import annotations

import pathlib

from data_prep import records, task_rules, tasks
from data_prep.base.errors import UserError, command
from data_prep.readers.labels import MOST, Rule
from data_prep.tasks import Class, Region, Task

FORM = "NAME:LABEL,LABEL;NAME:LABEL, as whole:1,2,4;core:1,4"


def task_of_regions(text: str, ignore: int | None = None) -> Task:
    """The task of the flag `whole:1,2,4;core:1,4`: a class for each label in rising order, 0 the background.

    ignore: the raw label that counts nowhere. Raises `UserError` for other text, a label that is 0, ignored or beyond
    `labels.MOST`, and a region that is named twice.
    """
    found: dict[str, list[int]] = {}
    for part in filter(None, (one.strip() for one in text.split(";"))):
        name, colon, numbers = (one.strip() for one in part.partition(":"))
        try:
            raw = [int(number) for number in numbers.split(",")]
        except ValueError:
            raw = []
        if not (name and colon and raw) or len(set(raw)) < len(raw):
            raise UserError(f"--regions={text}", expected=FORM, found=part)
        if not all(0 < label <= MOST and label != ignore for label in raw):
            expected = f"labels from 1 to {MOST}" + ("" if ignore is None else f" without the ignored {ignore}")
            raise UserError(f"--regions={text}", expected=expected, found=part)
        if name in found:
            raise UserError(f"--regions={text}", expected="each region once", found=f"{name} twice")
        found[name] = raw
    if not found:
        raise UserError(f"--regions={text}", expected=FORM, found="none")
    known = sorted({label for raw in found.values() for label in raw})
    if len(known) >= task_rules.MOST_CLASSES:
        raise UserError("--regions", expected=f"fewer than {task_rules.MOST_CLASSES} labels", found=str(len(known)))
    return Task(
        name="--regions",
        title="",
        unit="voxels",
        reader="",
        form="volume",
        channels=(),
        classes=(Class("background", (0,)), *(Class(f"label {label}", (label,)) for label in known)),
        ignore=ignore,
        regions=tuple(
            Region(name, name, tuple(known.index(label) + 1 for label in raw)) for name, raw in found.items()
        ),
        trained="all",
        ratio=(0, 0, 1),
        per_shard=1,
        show=(),
    )


def task_of_records(name: str, data_dir: pathlib.Path | str | None = None) -> Task:
    """The task of a name of the table, or of records: in `data_dir`, in the folder `name` itself, or in data/`name`.

    Raises `UserError` where there are none.
    """
    if data_dir is None and name in tasks.TASKS:
        return tasks.find(name)
    places = [pathlib.Path(data_dir)] if data_dir is not None else [pathlib.Path(name), pathlib.Path("data", name)]
    for place in places:
        if (place / records.MANIFEST).exists():
            return records.read_manifest(place).task
    expected = f"one of {', '.join(tasks.TASKS)}, or prepared records in {' or '.join(map(str, places))}"
    do = ("prepare it: ", command("prepare", dataset="FOLDER"), ", or say what the labels are with --regions")
    raise UserError(f"--dataset={name}", expected=expected, found="none", do=do)


def rule_of(task: Task) -> Rule:
    """What the raw labels of a task of two classes mean, in the words of binary evaluation."""
    label_map = {label: index for index, one in enumerate(task.classes) for label in one.labels}
    return Rule(label_map, task.ignore)
