"""From a folder in each of the known forms to records: the task whole, one frame, and what is wrong said of all cases at once."""

import msgspec
import numpy as np
import own_folders
import pytest
from own_folders import write_json

from data_prep import convert, datasets, records, tasks
from data_prep.base.errors import UserError
from data_prep.phantom import write as phantom


@pytest.fixture(scope="module")
def organs(tmp_path_factory):
    """{form: (raw folder, manifest)} of the same 8 made-up subjects, converted once."""
    made = {}
    for form in phantom.FORMS["organs"]:
        folder = tmp_path_factory.mktemp(form)
        phantom.write("organs", folder / "Dataset900_Organs", subjects=8, shape=(16, 24, 24), form=form)
        made[form] = folder / "Dataset900_Organs", converted(folder / "Dataset900_Organs", folder / "data")
    return made


def converted(raw, data_dir, **more):
    task, folder = datasets.find(str(raw))
    return convert.convert(task, folder, data_dir, say=lambda line: None, **more)


def test_organs_become_records(organs):
    """Subjects of other sizes, spacings and voxel orders share a frame, an order and a spacing; CT has its window."""
    _, manifest = organs["nnunet"]
    task = manifest.task
    assert (task.order, task.axis) == ("LPS", 2) or task.axis in (0, 1)  # the smallest phantom's slices may be finer
    assert task.frame is not None and task.spacing is not None and all(side % 16 == 0 for side in task.frame)
    window = task.channels[0].window
    assert window is not None and -200 < window.low < window.mean < window.high < 400
    by_name = {entry.name: entry for entry in manifest.subjects}
    assert len(by_name) == 11 and by_name["new_000"].splits == ("predict",)
    assert len({entry.shape for entry in manifest.subjects}) > 4


def test_both_forms_are_one_data_set(organs):
    """The Decathlon's folder gives the same task but for its reader, and the same records."""
    (_, first), (_, second) = organs["nnunet"], organs["decathlon"]
    assert msgspec.structs.replace(second.task, reader=first.task.reader) == first.task
    assert [(shard.name, shard.records) for shard in first.shards] == [
        (shard.name, shard.records) for shard in second.shards
    ]
    assert [entry.voxels for entry in first.subjects] == [entry.voxels for entry in second.subjects]


def test_photographs_become_records(tmp_path):
    """A folder of pairs: classes by number, and the names that tfunc.json gives them."""
    raw = own_folders.pairs(tmp_path / "eyes", cases=4)
    write_json(raw / "tfunc.json", {"classes": {"128": "disc", "255": "cup"}})
    manifest = converted(raw, tmp_path / "data")
    assert [one.name for one in manifest.task.classes] == ["background", "disc", "cup"]
    assert records.read_manifest(tmp_path / "data").task == manifest.task
    subject = next(iter(manifest.subjects))
    assert np.sum(subject.voxels) == 32 * 48 and all(subject.voxels)


def test_two_classes_of_which_one_is_nowhere(tmp_path):
    """A foreground that no training label has is refused, as of several classes."""
    raw = own_folders.nnunet(tmp_path / "Dataset010_One", values=(1, 1), labels={"background": 0, "liver": 1})
    for file in (raw / "labelsTr").iterdir():
        own_folders.write_volume(file, np.zeros(own_folders.SHAPE, np.uint8))
    write_json(raw / "tfunc.json", {"channels": {"CT": {"normalise": "zscore"}}})
    with pytest.raises(UserError, match=r"each class in a training subject, found liver \(1\) in none"):
        converted(raw, tmp_path / "data")


def test_ct_in_photographs(tmp_path):
    """Pixels of 8 bits hold no air, so nothing of them is outside; they come back as they were."""
    raw = tmp_path / "Dataset011_Slices"
    write_json(raw / "dataset.json", own_folders.described(("CT",), file_ending=".png"))
    for index in range(3):
        own_folders.write_picture(raw / "imagesTr" / f"c{index}_0000.png", own_folders.colours(index)[..., 0])
        own_folders.write_picture(raw / "labelsTr" / f"c{index}.png", own_folders.labels((32, 48)))
    manifest = converted(raw, tmp_path / "data")
    subject = records.read_subject(tmp_path / "data", manifest, "c1")
    np.testing.assert_array_equal(subject.image[0, ..., 0], own_folders.colours(1)[..., 0])


def test_channels_of_photographs_keep_their_own_rules(tmp_path):
    """With the options that `prepare` hands on, which name a rule only where it is that of all channels."""
    raw = tmp_path / "Dataset009_Grey"
    write_json(raw / "dataset.json", own_folders.described(("noNorm", "depth"), file_ending=".png"))
    for index in range(3):
        for channel in range(2):
            grey = own_folders.colours(10 * index + channel)[..., 0]
            own_folders.write_picture(raw / "imagesTr" / f"c{index}_{channel:04d}.png", grey)
        own_folders.write_picture(raw / "labelsTr" / f"c{index}.png", own_folders.labels((32, 48)))
    task, folder = datasets.find(str(raw))
    manifest = convert.convert(task, folder, tmp_path / "data", tasks.load_options(task), say=lambda line: None)
    assert [channel.normalise for channel in manifest.task.channels] == ["none", "zscore"]


def test_what_is_wrong_is_said_of_all_cases_at_once(tmp_path):
    """A missing channel, a lost label, another shape and an unknown label: four lines; the rest can be had without them."""
    raw = own_folders.nnunet(tmp_path / "Dataset008_Two", channels=("T1", "T2"), cases=7)
    (raw / "imagesTr" / "case_00_0001.nii.gz").unlink()
    own_folders.write_volume(raw / "labelsTr" / "lost.nii.gz", own_folders.labels())
    own_folders.write_volume(raw / "labelsTr" / "case_01.nii.gz", own_folders.labels((5, 12, 11)))
    own_folders.write_volume(raw / "labelsTr" / "case_02.nii.gz", own_folders.labels(values=(1, 7)))
    said = []
    task, folder = datasets.find(str(raw))
    with pytest.raises(UserError, match="4 that cannot"):
        convert.convert(task, folder, tmp_path / "data", say=said.append)
    text = "\n".join(said)
    for line in (
        "case_00_0001.nii.gz: expected one file",
        "lost.nii.gz: expected its image",
        "found 11x12x5",
        "found 7 too",
    ):
        assert line in text
    manifest = convert.convert(task, folder, tmp_path / "data", say=said.append, skip_bad=True)
    assert {entry.name for entry in manifest.subjects} == {"case_03", "case_04", "case_05", "case_06", "new_07"}
    assert {entry.name for entry in manifest.skipped} == {"case_00", "case_01", "case_02", "lost"}


def test_ignored_voxels_are_no_class(tmp_path):
    """The label called `ignore` is kept apart in the records."""
    names = {**own_folders.LABELS, "ignore": 3}
    raw = own_folders.nnunet(tmp_path / "D", cases=3, new=0, values=(1, 2, 3), labels=names)
    manifest = converted(raw, tmp_path / "data")
    assert manifest.task.ignore == 3 and len(manifest.task.classes) == 3
    assert all(np.sum(entry.voxels) < np.prod(own_folders.SHAPE) for entry in manifest.subjects)


def test_own_words_stand(tmp_path):
    """Axis, frame and spacing of tfunc.json are not overwritten by what the images ask for."""
    raw = own_folders.nnunet(tmp_path / "D", cases=3, new=0)
    write_json(
        raw / "tfunc.json",
        {"axis": 1, "frame": [32, 48], "spacing": [3, 2], "channels": {"CT": {"normalise": "zscore"}}},
    )
    task = converted(raw, tmp_path / "data").task
    assert (task.axis, task.order, task.frame, task.spacing) == (1, "LIP", (32, 48), (3.0, 2.0))
    assert task.channels == (tasks.Channel("CT", "zscore"),)
