"""What --dataset names: a row of the table, a folder that says what it is, or a name for such a folder."""

import own_folders
import pytest

from data_prep import datasets, split_files, tasks
from data_prep.base.errors import UserError


def test_names_and_folders(tmp_path):
    folder = own_folders.nnunet(tmp_path / "Dataset001_Liver")
    assert datasets.find("brats", tmp_path) == (tasks.TASKS["brats"], tmp_path)
    task, where = datasets.find(str(folder))
    assert (task.name, where, task.reader) == ("Dataset001_Liver", folder, "data_prep.readers.nnunet")
    named, _ = datasets.find("liver", folder)
    assert named.name == "liver" and named.classes == task.classes


def test_what_is_refused(tmp_path):
    """Each in one line that says what would be right."""
    with pytest.raises(UserError, match="--raw_dir: expected a value"):
        datasets.find("brats")
    with pytest.raises(
        UserError, match=r"--dataset=mnist: expected one of brats, .*or a folder of raw data, found no such folder"
    ):
        datasets.find("mnist")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").touch()
    with pytest.raises(UserError, match=r"other: expected imagesTr and labelsTr .* found a\.txt; arrange it so"):
        datasets.find(str(tmp_path / "other"))


def test_a_folder_may_not_pass_for_a_row_of_the_table(tmp_path):
    """Later programs would read the table's task by its name; another name is asked for."""
    folder = own_folders.nnunet(tmp_path / "isic")
    with pytest.raises(
        UserError, match=r"isic: expected another name .* found isic; give it one: --dataset=NAME --raw_dir=FOLDER"
    ):
        datasets.find(str(folder))
    assert datasets.find("mine", folder)[0].name == "mine"


def test_nnunets_folds_are_no_split_file(tmp_path):
    """They say no test set: the line tells where they are found."""
    path = tmp_path / "splits_final.json"
    own_folders.write_json(path, [{"train": ["a"], "val": ["b"]}])
    with pytest.raises(UserError, match="found nnU-Net's folds of a cross-validation; put it beside the raw data"):
        split_files.read_split_file(path)
