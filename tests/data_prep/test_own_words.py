"""tfunc.json: what the user says of a data set over what its form says, and every refusal in one line."""

import re

import own_folders
import pytest
from conftest import ROOT
from own_folders import write_json

from data_prep import tasks
from data_prep.base.errors import UserError
from data_prep.readers import nnunet, own_words, pairs


@pytest.fixture
def folder(tmp_path):
    """A folder of one CT channel with liver and tumour."""
    return own_folders.nnunet(tmp_path / "Dataset007_Liver")


def test_without_the_file_nothing_changes(folder):
    """And an empty object is as good."""
    task = nnunet.task(folder)
    write_json(folder / "tfunc.json", {})
    assert nnunet.task(folder) == task


def test_everything_that_may_be_said(folder):
    """Each entry takes the place of what the form says."""
    words = {
        "title": "Livers of the clinic",
        "unit": "voxels",
        "channels": {"CT": {"normalise": "zscore_nonzero"}},
        "classes": {"2": "lesion"},
        "regions": [
            {"name": "organ", "title": "the whole organ", "classes": ["liver", 2]},
            {"name": "x", "classes": [2]},
        ],
        "inside": {"channel": "CT", "above": -500},
        "trained": "not_empty",
        "axis": 1,
        "spacing": [1.5, 1.5],
        "frame": [64, 96],
        "ratio": [8, 1, 1],
        "per_shard": 2,
        "show": ["CT"],
    }
    write_json(folder / "tfunc.json", words)
    task = nnunet.task(folder)
    assert (task.name, task.title) == ("Dataset007_Liver", "Livers of the clinic")
    assert task.channels == (tasks.Channel("CT", "zscore_nonzero", 0.0),)
    assert task.classes[2] == tasks.Class("lesion", (2,))
    assert task.regions == (tasks.Region("organ", "the whole organ", (1, 2)), tasks.Region("x", "x", (2,)))
    assert task.inside == tasks.Inside("CT", -500) and task.trained == "not_empty"
    assert (task.axis, task.spacing, task.frame) == (1, (1.5, 1.5), (64, 96))
    assert (task.ratio, task.per_shard) == ((8, 1, 1), 2)


def test_another_rule_brings_its_own_outside(tmp_path):
    """What lies outside of CT is air, of others 0; said explicitly, it is that."""
    folder = own_folders.nnunet(tmp_path / "D", channels=("A", "B"))
    write_json(folder / "tfunc.json", {"channels": {"A": {"normalise": "ct"}, "B": {"outside": 7}}})
    assert [channel.outside for channel in nnunet.task(folder).channels] == [-1024.0, 7.0]


def test_new_names_go_into_the_regions(tmp_path):
    """Numbers of masks get names; regions of one class are called the same."""
    folder = own_folders.pairs(tmp_path / "eyes")
    write_json(folder / "tfunc.json", {"classes": {"128": "disc", "255": "cup"}})
    task = pairs.task(folder)
    assert [(one.name, one.labels) for one in task.classes[1:]] == [("disc", (128,)), ("cup", (255,))]
    assert [(region.name, region.title) for region in task.regions] == [("disc", "disc"), ("cup", "cup")]


def test_a_number_that_is_ignored(tmp_path):
    """It is no class then, nor in a region: as 255 often is in masks."""
    folder = own_folders.pairs(tmp_path / "eyes")
    write_json(folder / "tfunc.json", {"ignore": 255, "classes": {"128": "disc"}})
    task = pairs.task(folder)
    assert task.ignore == 255 and [one.labels for one in task.classes] == [(0,), (128,)]
    assert task.regions == (tasks.Region("disc", "disc", (1,)),)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("{", "expected a JSON file"),
        ([], "expected an object with some of title"),
        ({"name": "x"}, "found 'name'"),
        ({"colour": 1, "chanels": {}}, "found 'colour', 'chanels'"),
        ({"channels": ["CT"]}, "`channels` as an object by name, found list"),
        ({"channels": {"MR": {}}}, "channels of CT, found 'MR'"),
        ({"channels": {"CT": {"rule": "ct"}}}, "`normalise` and `outside` for the channel CT"),
        (
            {"channels": {"CT": {"normalise": "best"}}},
            "channels[0].normalise: expected one of the words for it, found 'best'",
        ),
        ({"classes": {"5": "x"}}, "`classes` as names for labels of 0, 1, 2, found '5': 'x'"),
        ({"classes": {"1": ""}}, "`classes` as names"),
        ({"classes": {"1": "tumour"}}, "another name for each class, found 'tumour' twice"),
        ({"regions": {}}, "`regions` as"),
        ({"regions": [{"classes": [1]}]}, "`name`, `title` and `classes` for each region"),
        ({"regions": [{"name": "a"}]}, "a list `classes` for the region a"),
        (
            {"regions": [{"name": "a", "classes": ["spleen"]}]},
            "classes of liver (1), tumour (2) in the region a, found 'spleen'",
        ),
        ({"regions": [{"name": "a", "classes": [0]}]}, "in the region a, found 0"),
        ({"regions": [{"name": "a", "classes": [1]}, {"name": "a", "classes": [2]}]}, "regions of different names"),
        ({"inside": {"channel": "T2", "above": 0}}, "`inside` to be a channel of CT, found T2"),
        ({"trained": "some"}, "trained: expected one of the words for it, found 'some'"),
        ({"axis": 3}, "`axis` to be 0, 1 or 2"),
        ({"axis": "z"}, "axis: expected int | null, found str 'z'"),
        ({"spacing": [0, 1]}, "`spacing` to be millimetres above 0"),
        ('{"spacing": [1e-6, 1]}', "`spacing` to be millimetres above 0"),
        ('{"spacing": [1e400, 1]}', "the number 1e400, which is too large"),
        ('{"channels": {"CT": {"outside": NaN}}}', "NaN, which is no number in JSON"),
        ('{"channels": {"CT": {"outside": 1e31}}}', "`outside` is finite"),
        ({"frame": [64]}, "frame: expected array of length 2"),
        ({"frame": [0, 64]}, "`frame` to be a height and a width above 0"),
        ({"ratio": [1, 0, 1]}, "`ratio` to be three numbers above 0"),
        ({"per_shard": 0}, "`per_shard` to be a number above 0"),
        *(({"ignore": number}, "`ignore` to be a number from 1 to 65535") for number in (0, -1, 65536)),
        ({"show": ["CT", "MR"]}, "`show` to be one channel of CT, or three"),
    ],
)
def test_refusals(words, named, folder):
    """Each names tfunc.json, what may stand there and where that is written."""
    write_json(folder / "tfunc.json", words)
    with pytest.raises(UserError) as caught:
        nnunet.task(folder)
    line = str(caught.value)
    assert (
        line.startswith(f"{folder / 'tfunc.json'}: ") and ": expected " in line and named in line and "\n" not in line
    )


def test_the_examples_of_the_how_to(folder):
    """docs/howto/own_data.md: its dataset.json and its tfunc.json are read as they stand."""
    text = (ROOT / "docs" / "howto" / "own_data.md").read_text(encoding="utf-8")
    description, words = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    write_json(folder / "dataset.json", description)
    write_json(folder / "tfunc.json", words)
    task = nnunet.task(folder)
    assert [region.classes for region in task.regions] == [(1, 2), (2,)] and task.classes[2].name == "lesion"
    listed = re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \|", text.split("## What you can add")[1].split("## Folds")[0], re.MULTILINE
    )
    assert {name for line in listed for name in re.findall(r"\w+", line)} == set(own_words.ENTRIES)
