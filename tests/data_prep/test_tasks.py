"""The table of tasks, what follows from a task, and its way into a file and back."""

import json

import pytest
from made_up import manifest

from data_prep import tasks
from data_prep.base.errors import UserError
from data_prep.readers import brats, isic
from launch import raw_flags

BRATS, ISIC = tasks.TASKS["brats"], tasks.TASKS["isic"]


@pytest.mark.parametrize("task", tasks.TASKS.values(), ids=list(tasks.TASKS))
def test_a_task_survives_json(task):
    assert tasks.from_document(json.loads(json.dumps(task.document()))) == task


def test_what_is_no_task_is_refused_naming_the_file():
    broken = {**BRATS.document(), "form": "cube"}
    with pytest.raises(UserError, match=r"dataset\.json: form: expected one of the words for it, found 'cube'"):
        tasks.from_document(broken, "dataset.json")
    with pytest.raises(UserError, match="--dataset=mnist: expected one of brats, isic"):
        tasks.find("mnist")


def test_readers_follow_the_table():
    """Channels stand in the task and nowhere else, and each task's reader is the module that says so."""
    assert brats.CHANNELS == ("flair", "t1", "t2", "t1ce") == tuple(channel.name for channel in BRATS.channels)
    for task, module in ((BRATS, brats), (ISIC, isic)):
        assert task.load_reader() is module and task is module.TASK
    assert [BRATS.index("t2"), ISIC.index("blue")] == [2, 2]


def test_options_of_the_reader():
    """A new subject is read as the records were; a volume needs nothing, a label map is the records' own."""
    assert tasks.load_options(BRATS) == {}
    assert tasks.load_options(BRATS, {4: 0}) == {"label_map": {4: 0}}
    assert tasks.load_options(ISIC) == {"image_size": [192, 256], "intensity": "unit"}
    small = tasks.resolved(ISIC, normalise="minmax", frame=(30, 40))
    assert tasks.load_options(manifest("isic", task=small).task) == {"image_size": [30, 40], "intensity": "minmax"}
    assert tasks.load_options(manifest("brats", label_map={"4": 0}).task) == {}


def test_flags_of_prepare_follow_from_the_form():
    """Photographs take a size and a rule of intensities, volumes a label map; each refuses the other's."""
    assert raw_flags.options(ISIC, None, None, None) == {"image_size": [192, 256], "intensity": "unit"}
    assert raw_flags.options(ISIC, "30,40", "minmax", None) == {"image_size": [30, 40], "intensity": "minmax"}
    assert raw_flags.options(BRATS, None, None, "1:1,4:0") == {"label_map": {1: 1, 4: 0}}
    assert raw_flags.options(BRATS, None, None, None) == {"label_map": None}
    assert raw_flags.options(BRATS, None, None, None, False) == {"label_map": None}
    assert raw_flags.options(BRATS, None, None, None, True) == {"label_map": None, "allow_negative": True}
    with pytest.raises(UserError, match="--allow_negative: expected another dataset, found --dataset=isic"):
        raw_flags.options(ISIC, None, None, None, True)
    with pytest.raises(UserError, match="--label_map: expected another dataset, found --dataset=isic; leave it out"):
        raw_flags.options(ISIC, None, None, "1:1")
    for flags in (("30,40", None, None), (None, "unit", None)):
        with pytest.raises(UserError, match="expected another dataset, found --dataset=brats"):
            raw_flags.options(BRATS, *flags)


def test_a_label_map_is_in_the_task():
    """The classes' labels are those that the map says, also as JSON has its keys; without one, the table's."""
    task = tasks.resolved(tasks.TASKS["brats"], label_map={"1": 1, "2": 0, "4": 1})
    assert [one.labels for one in task.classes] == [(0, 2), (1, 4)]
    assert tasks.resolved(tasks.TASKS["brats"]) == tasks.TASKS["brats"]


def test_a_map_that_leaves_a_class_out():
    """Of several classes each needs a number, by which maps are written."""
    task = tasks.TASKS["brats_regions"]
    with pytest.raises(UserError, match="a number for each class, found none for 3 enhancing"):
        tasks.resolved(task, label_map={1: 1, 2: 2})
    assert tasks.resolved(task, label_map={1: 1, 2: 2, 3: 3, 4: 3}).values == (0, 1, 2, 3)
