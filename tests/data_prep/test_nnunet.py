"""nnU-Net's raw form: what is found, what dataset.json means, what is loaded, and every refusal in one line."""

import json
import pickle

import msgspec
import nibabel
import numpy as np
import own_folders
import pytest
from own_folders import AFFINE, SHAPE, described, intensities, labels, write_json, write_picture, write_volume

from data_prep import tasks
from data_prep.base import notices
from data_prep.base.errors import Faults, UserError
from data_prep.readers import decathlon, nnunet


@pytest.fixture
def folder(tmp_path):
    """Three labelled cases and a new one, of one CT channel."""
    return own_folders.nnunet(tmp_path / "Dataset007_Liver")


@pytest.fixture
def two(tmp_path):
    """The same with two channels of MRI."""
    return own_folders.nnunet(tmp_path / "Dataset008_Two", channels=("T1", "T2"))


def faults_of(folder):
    """{case: message} of what `find` refuses, and what it finds all the same."""
    with pytest.raises(Faults) as caught:
        nnunet.find(folder)
    assert all("\n" not in str(error) for error in caught.value.faults.values())
    assert pickle.loads(pickle.dumps(caught.value)).faults.keys() == caught.value.faults.keys()
    return {name: str(error) for name, error in caught.value.faults.items()}, caught.value.found


def plain(task, order="LPS"):
    """The task with intensities as they are: what is loaded are the file's own numbers."""
    channels = tuple(msgspec.structs.replace(channel, normalise="none") for channel in task.channels)
    return msgspec.structs.replace(task, channels=channels, order=order, axis=2)


def test_the_whole_task(folder):
    """Everything that dataset.json says, and what follows from it."""
    task = nnunet.task(folder)
    assert (task.name, task.title, task.unit, task.form) == ("Dataset007_Liver", "Liver", "voxels", "volume")
    assert task.channels == (tasks.Channel("CT", "ct", -1024.0),) and task.show == ("CT",)
    assert task.classes == (
        tasks.Class("background", (0,)),
        tasks.Class("liver", (1,)),
        tasks.Class("tumour", (2,)),
    )
    assert task.regions == (tasks.Region("liver", "liver", (1,)), tasks.Region("tumour", "tumour", (2,)))
    assert (task.axis, task.spacing, task.frame, task.order, task.inside, task.ignore) == (None,) * 6
    assert (task.trained, task.ratio) == ("all", (70, 10, 20))
    assert task.load_reader() is nnunet
    assert tasks.from_document(json.loads(json.dumps(task.document()))) == task


def test_found(folder):
    """Labelled cases and new ones, sorted by name, each with its files; hidden files and foreign ones do not disturb."""
    (folder / "imagesTr" / "._case_00_0000.nii.gz").write_bytes(b"")
    (folder / "imagesTr" / "notes.txt").write_text("")
    sources = nnunet.find(folder)
    assert [(source.name, source.labelled) for source in sources] == [
        *((f"case_0{index}", True) for index in range(3)),
        ("new_03", False),
    ]
    assert sources[0].paths == (
        str(folder / "imagesTr" / "case_00_0000.nii.gz"),
        str(folder / "labelsTr" / "case_00.nii.gz"),
    )
    assert (sources[0].grade, sources[0].split, sources[0].image) == (None, None, sources[0].files[0])


def test_accepts(folder, two, tmp_path):
    """By numbered channels or channel_names; neither the Decathlon's form nor another folder."""
    assert nnunet.accepts(folder) and nnunet.accepts(two)
    assert not decathlon.accepts(folder)
    (folder / "dataset.json").write_text("{")
    assert nnunet.accepts(folder)
    msd = own_folders.decathlon(tmp_path / "Task01_Brain")
    assert not nnunet.accepts(msd) and not nnunet.accepts(tmp_path / "nothing")


def test_version_1(tmp_path):
    """`modality`, labels by number and no `file_ending`: the same cases and the same classes."""
    folder = own_folders.nnunet(tmp_path / "Task007_Liver", channels=("CT", "PET"))
    document = {"modality": {"0": "CT", "1": "PET"}, "labels": {"0": "background", "1": "liver", "2": "tumour"}}
    write_json(folder / "dataset.json", document)
    task = nnunet.task(folder)
    assert [channel.normalise for channel in task.channels] == ["ct", "zscore"]
    assert [one.name for one in task.classes] == ["background", "liver", "tumour"]
    assert len(nnunet.find(folder)) == 4 and task.title == "Liver"


def test_channel_names_choose_the_rule(tmp_path):
    """nnU-Net's names in any case; every other name is z-scored; a name that is there twice gets its number."""
    names = ("CT", "noNorm", "rescale_to_0_1", "RGB_to_0_1", "T1", "T1")
    write_json(tmp_path / "dataset.json", described(names))
    channels = nnunet.task(tmp_path).channels
    assert [channel.normalise for channel in channels] == ["ct", "none", "minmax", "unit", "zscore", "zscore"]
    assert [channel.outside for channel in channels] == [-1024.0, 0, 0, 0, 0, 0]
    assert [channel.name for channel in channels[-2:]] == ["T1_0004", "T1_0005"]


@pytest.mark.parametrize(("side", "rule"), [(9, "zscore_nonzero"), (11, "zscore")])
def test_mri_is_scored_over_what_is_not_zero_where_much_is(side, rule, tmp_path):
    """nnU-Net's rule: where cropping to what is not 0, in all channels, keeps less than three quarters of the median image."""
    write_json(tmp_path / "dataset.json", described(("T1", "T2")))
    for case in range(3):
        for channel in range(2):
            array = np.zeros((12, 12, 12), np.int16)
            array[:, :side, channel : channel + side] = 5
            array[4, 4, 4] = 0  # a hole is inside the crop
            write_volume(tmp_path / "imagesTr" / f"c{case}_{channel:04d}.nii.gz", array)
    task = nnunet.task(tmp_path)
    assert [channel.normalise for channel in task.channels] == [rule, rule] and task.trained == "not_empty"


def test_regions(tmp_path):
    """Lists are regions, in the file's order; classes are the raw labels, named by the region that is one of them alone."""
    names = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3], "ignore": 4}
    write_json(tmp_path / "dataset.json", described(names=names, regions_class_order=[1, 2, 3]))
    task = nnunet.task(tmp_path)
    assert [(one.name, one.labels) for one in task.classes] == [
        *(("background", (0,)), ("label 1", (1,)), ("label 2", (2,)), ("enhancing", (3,)))
    ]
    assert [(region.name, region.classes) for region in task.regions] == [
        *(("whole", (1, 2, 3)), ("core", (2, 3)), ("enhancing", (3,)))
    ]
    assert task.ignore == 4
    raw = np.array([0, 1, 2, 3, 4], np.uint8)
    assert task.class_of(raw, "x").tolist() == [0, 1, 2, 3, tasks.IGNORED]


def test_labels_need_not_be_consecutive(tmp_path):
    """Classes follow the numbers, whatever the order of the file; maps are written with the numbers."""
    write_json(tmp_path / "dataset.json", described(names={"vessel": 60, "background": 0, "liver": 7}))
    task = nnunet.task(tmp_path)
    assert [(one.name, one.labels) for one in task.classes] == [
        *(("background", (0,)), ("liver", (7,)), ("vessel", (60,)))
    ]
    assert task.values == (0, 7, 60) and [region.name for region in task.regions] == ["liver", "vessel"]


def test_load(two):
    """Channels in order, labels as classes, the header of the first channel."""
    task = plain(nnunet.task(two))
    subject = nnunet.load(nnunet.find(two)[1], task=task)
    assert subject.name == "case_01" and subject.image.shape == (*SHAPE, 2) and subject.image.dtype == np.int16
    for channel in range(2):
        assert np.array_equal(subject.image[..., channel], intensities(10 + channel))
    assert np.array_equal(subject.label, labels()) and subject.source.endswith("case_01_0000.nii.gz")
    header = nibabel.Nifti1Header(subject.header)
    assert header.get_data_shape() == SHAPE[::-1] and np.allclose(header.get_best_affine(), AFFINE)
    assert nnunet.load(nnunet.find(two)[3], task=task).label is None


def test_labels_beyond_255(folder):
    """TotalSegmentator-like numbers are read as any other."""
    write_json(folder / "dataset.json", described(names={"background": 0, "liver": 2, "tumour": 300}))
    write_volume(folder / "labelsTr" / "case_00.nii.gz", labels(values=(2, 300)))
    subject = nnunet.load(nnunet.find(folder)[0], task=plain(nnunet.task(folder)))
    np.testing.assert_array_equal(subject.label, labels(values=(1, 2)))


def test_other_voxel_orders_are_brought_to_the_task_s(folder):
    """A case in RAS is permuted to the task's order, its voxels moved and nothing else."""
    turned = AFFINE @ np.diag([-1.0, -1, 1, 1]) @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    write_volume(folder / "imagesTr" / "case_00_0000.nii.gz", intensities(0)[:, ::-1, ::-1], turned)
    write_volume(folder / "labelsTr" / "case_00.nii.gz", labels()[:, ::-1, ::-1], turned)
    subject = nnunet.load(nnunet.find(folder)[0], task=plain(nnunet.task(folder)))
    assert np.array_equal(subject.image[..., 0], intensities(0)) and np.array_equal(subject.label, labels())


# What is refused


def test_one_case_lacks_a_channel(two):
    """A missing _0001 names the file that should be there; the other cases are found all the same."""
    (two / "imagesTr" / "case_01_0001.nii.gz").unlink()
    faults, found = faults_of(two)
    assert list(faults) == ["case_01"] and len(found) == 3
    assert str(two / "imagesTr" / "case_01_0001.nii.gz") in faults["case_01"]
    assert "one file for each of 2 channels, T1, T2, found no such file, beside _0000" in faults["case_01"]


def test_one_case_has_another_number_of_channels(two):
    """A third channel in one case only."""
    write_volume(two / "imagesTs" / "new_03_0002.nii.gz", intensities(1))
    faults, found = faults_of(two)
    assert list(faults) == ["new_03"] and "found 3 in this case" in faults["new_03"] and len(found) == 3


def test_labels_without_image_and_image_without_labels(folder):
    """Either names the file that is missing its other half; both are said at once."""
    write_volume(folder / "labelsTr" / "lost.nii.gz", labels())
    (folder / "labelsTr" / "case_02.nii.gz").unlink()
    faults, found = faults_of(folder)
    assert set(faults) == {"lost", "case_02"} and [source.name for source in found] == ["case_00", "case_01", "new_03"]
    assert "lost.nii.gz: expected its image lost_0000.nii.gz in imagesTr, found no such file" in faults["lost"]
    assert "move the images to imagesTs" in faults["case_02"]


def test_other_endings(folder):
    """`file_ending` holds for every file; another one is no case that could silently be left out."""
    write_volume(folder / "imagesTr" / "case_09_0000.nii", intensities(1))
    write_volume(folder / "labelsTr" / "case_09.nii", labels())
    faults, found = faults_of(folder)
    assert len(faults) == 2 and len(found) == 4
    assert all("expected files that end in .nii.gz, as dataset.json says" in line for line in faults.values())


def test_a_name_in_both_folders(folder):
    """A case of imagesTs is none of imagesTr."""
    write_volume(folder / "imagesTs" / "case_00_0000.nii.gz", intensities(1))
    faults, _ = faults_of(folder)
    assert "expected each case once, found case_00 in imagesTr" in faults["case_00"]


def test_another_number_of_cases_is_only_a_remark(folder):
    """numTraining is what nobody reads."""
    write_json(folder / "dataset.json", described(training=12))
    with notices.gathered() as noticed:
        assert len(nnunet.find(folder)) == 4
    (line,) = noticed.lines()
    assert "numTraining is 12, and 3 cases are in imagesTr" in line


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("{", "expected a JSON file"),
        ([], "expected an object"),
        ({"channel_names": None}, "expected `channel_names`"),
        ({"channel_names": {"0": "T1", "2": "T2"}}, "numbered 0, 1, found 0, 2"),
        ({"channel_names": {"0": 5}}, "a name for each channel"),
        ({"labels": None}, "expected `labels`"),
        ({"labels": {"liver": 1}}, "one of `labels` to be 0 and nothing else, the background, found none"),
        ({"labels": {"background": 0, "liver": "one"}}, "`liver` in `labels` to be a number or a list of numbers"),
        ({"labels": {"background": 0, "liver": True}}, "`liver` in `labels` to be a number"),
        ({"labels": {"background": 0, "liver": 1, "tumour": 1}}, "each number once in `labels`, or lists for regions"),
        ({"labels": {"background": 0, "all": [0, 1]}}, "the background, found background, all"),
        ({"labels": {"background": 0}}, "a label beside the background"),
        (
            {"labels": {"background": 0, **{f"l{i}": i for i in range(1, 251)}}},
            "at most 250 classes in `labels`, found 251",
        ),
        ({"labels": {"background": 0, "a": 70000}}, "numbers from 0 to 65535"),
        ({"labels": {"background": 0, "a": [1, 2], "ignore": 2}}, "the ignored label 2 in no other entry"),
        ({"labels": {"0": "background", "one": "liver"}}, "`labels` as"),
        ({"regions_class_order": [1]}, "`regions_class_order` as a list of 2 numbers"),
        ({"file_ending": ".mha"}, "`file_ending` of .nii.gz, .nii, .png"),
        ({"file_ending": 3}, "`file_ending` as"),
        ({"numTraining": "three"}, "`numTraining` as a number"),
    ],
)
def test_broken_descriptions(change, named, folder):
    """One line that names dataset.json, the entry and what to do."""
    document = {**described(), **change} if isinstance(change, dict) else change
    write_json(folder / "dataset.json", document)
    for function in (nnunet.task, nnunet.find):
        with pytest.raises(UserError) as caught:
            function(folder)
        line = str(caught.value)
        assert line.startswith(f"{folder / 'dataset.json'}: expected ") and named in line and "; " in line


def test_no_description(folder):
    """A folder with numbered channels and no dataset.json."""
    (folder / "dataset.json").unlink()
    with pytest.raises(UserError, match=r"dataset\.json: expected the description of the data set, found no such file"):
        nnunet.task(folder)


def test_no_cases(tmp_path):
    """A description alone is no data set."""
    write_json(tmp_path / "dataset.json", described())
    with pytest.raises(UserError, match=r"imagesTr: expected images CASE_0000\.nii\.gz and labels .* found none"):
        nnunet.find(tmp_path)


@pytest.mark.parametrize(
    ("file", "array", "affine", "named"),
    [
        ("labelsTr/case_00.nii.gz", labels(values=(1, 3)), AFFINE, "found 3 too"),
        (
            "labelsTr/case_00.nii.gz",
            labels((5, 12, 11)),
            AFFINE,
            "the shape of case_00_0000.nii.gz, 10x12x5, found 11x12x5",
        ),
        ("labelsTr/case_00.nii.gz", labels(), np.diag([-1.5, -1.6, 4, 1]), "the affine of case_00_0000.nii.gz"),
        ("labelsTr/case_00.nii.gz", labels() * np.float32(0.5), AFFINE, "whole numbers as labels"),
        ("imagesTr/case_00_0001.nii.gz", intensities(1, (5, 12, 11)), AFFINE, "the shape of case_00_0000.nii.gz"),
        ("imagesTr/case_00_0001.nii.gz", np.full(SHAPE, np.nan, np.float32), AFFINE, "finite voxels, found 600"),
        ("imagesTr/case_00_0000.nii.gz", intensities(1, (2, *SHAPE)), AFFINE, "3 dimensions"),
    ],
)
def test_files_that_do_not_fit(file, array, affine, named, two):
    """A label that dataset.json lacks, another shape or place than the image, broken numbers: the file is named."""
    write_volume(two / file, array, affine)
    with pytest.raises(UserError) as caught:
        nnunet.load(nnunet.find(two)[0], task=plain(nnunet.task(two)))
    assert str(caught.value).startswith(str(two / file)) and named in str(caught.value)


# New patients


def test_new_patients(folder, two):
    """A folder of many, one patient's folder, a single file of a task of one channel; maps of ours are no patients."""
    ct, mri = nnunet.task(folder), nnunet.task(two)
    assert [source.name for source in nnunet.find_new(folder / "imagesTs", task=ct)] == ["new_03"]
    assert [source.name for source in nnunet.find_new(two / "imagesTr", task=mri)] == [f"case_0{i}" for i in range(3)]
    write_volume(folder / "imagesTs" / "new_03_probability.nii.gz", intensities(1))
    one = nnunet.find_one(folder / "imagesTs" / "new_03_0000.nii.gz", task=ct)
    assert one == nnunet.find_one(folder / "imagesTs", task=ct) and not one.labelled
    write_volume(folder / "elsewhere" / "scan 5.nii.gz", intensities(1))
    assert nnunet.find_one(folder / "elsewhere", task=ct).name == "scan 5"
    assert nnunet.find_one(folder / "elsewhere" / "scan 5.nii.gz", task=ct).name == "scan 5"


def test_new_patients_with_named_files(two):
    """--modalities names the files of one patient."""
    write_volume(two / "patient" / "a.nii.gz", intensities(1))
    write_volume(two / "patient" / "b.nii.gz", intensities(2))
    named = {"T2": "b.nii.gz", "T1": "a.nii.gz"}
    source = nnunet.find_one(two / "patient", named, nnunet.task(two))
    assert [file[-8:] for file in source.files] == ["a.nii.gz", "b.nii.gz"] and source.name == "patient"
    with pytest.raises(UserError, match="give --modalities=T1=FILE,T2=FILE"):
        nnunet.find_new(two / "patient", task=nnunet.task(two))


def test_new_patients_that_cannot_be_read(two):
    """Those who lack a channel are said, the others found; nothing there, several for one, a lone file of two channels."""
    task = nnunet.task(two)
    (two / "imagesTr" / "case_00_0000.nii.gz").unlink()
    with pytest.raises(Faults, match=r"case_00_0000\.nii\.gz: expected one file for each of 2 channels") as caught:
        nnunet.find_new(two / "imagesTr", task=task)
    assert [source.name for source in caught.value.found] == ["case_01", "case_02"]
    with pytest.raises(UserError, match="expected an image, or a folder of images, found nothing there"):
        nnunet.find_new(two / "nowhere", task=task)
    with pytest.raises(UserError, match=r"expected images CASE_0000\.nii\.gz to CASE_0001, found none"):
        nnunet.find_new(two, task=task)
    with pytest.raises(UserError, match="expected a folder with a file for each of T1, T2"):
        nnunet.find_new(two / "imagesTs" / "new_03_0000.nii.gz", task=task)
    write_volume(two / "imagesTs" / "new_04_0000.nii.gz", intensities(1))
    write_volume(two / "imagesTs" / "new_04_0001.nii.gz", intensities(1))
    with pytest.raises(UserError, match="expected one subject, found 2"):
        nnunet.find_one(two / "imagesTs", task=task)


# Folds


@pytest.mark.parametrize("place", ["own", "preprocessed"])
def test_folds(place, tmp_path):
    """splits_final.json in the folder itself, or where nnU-Net writes it."""
    folder = own_folders.nnunet(tmp_path / "nnUNet_raw" / "Dataset001_A")
    assert nnunet.folds(folder) is None
    path = folder if place == "own" else tmp_path / "nnUNet_preprocessed" / "Dataset001_A"
    folds = [
        {"train": ["case_00", "case_01"], "val": ["case_02"]},
        {"train": ["case_02"], "val": ["case_00", "case_01"]},
    ]
    write_json(path / "splits_final.json", folds)
    assert nnunet.folds(folder) == (
        {"train": ("case_00", "case_01"), "valid": ("case_02",)},
        {"train": ("case_02",), "valid": ("case_00", "case_01")},
    )


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({}, "expected array, found object"),
        ([], "expected array of length >= 1"),
        ([{"train": ["case_00"], "valid": ["case_01"]}], "[0]: expected the entry val, found none"),
        ([{"train": ["case_00"], "val": [3]}], "[0].val[0]: expected str, found int 3"),
        ([{"train": ["case_00", "x"], "val": ["y"]}], "labelled cases of the data, found x and 1 more in fold 0"),
        ([{"train": ["new_03"], "val": ["case_00"]}], "found new_03 in fold 0"),
        ([{"train": ["case_00"], "val": ["case_00"]}], "no case in both parts of a fold, found case_00 in fold 0"),
    ],
)
def test_folds_that_do_not_fit(content, named, folder):
    """Another form, names that are not there, one case in both parts."""
    write_json(folder / "splits_final.json", content)
    with pytest.raises(UserError) as caught:
        nnunet.folds(folder)
    assert named in str(caught.value) and str(folder / "splits_final.json") in str(caught.value)


# Photographs in this form


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_photographs_of_three_colours(ending, tmp_path):
    """nnU-Net's natural images: three channels in one file; labels are class numbers; the frame follows from the sizes."""
    names = {"channels": ("red", "green", "blue"), "file_ending": ending, "training": 2}
    write_json(tmp_path / "dataset.json", described(**names))
    for index in range(3):
        part = "Tr" if index < 2 else "Ts"
        write_picture(tmp_path / f"images{part}" / f"p_{index}_0000{ending}", own_folders.colours(index))
        if index < 2:
            write_picture(tmp_path / "labelsTr" / f"p_{index}{ending}", labels((32, 48)))
    task = nnunet.task(tmp_path)
    assert (task.form, task.unit, task.frame, task.trained) == ("photograph", "pixels", (32, 48), "all")
    assert task.show == ("red", "green", "blue") and {channel.normalise for channel in task.channels} == {"zscore"}
    sources = nnunet.find(tmp_path)
    subject = nnunet.load(sources[0], task=task)
    assert np.array_equal(subject.image[0], own_folders.colours(0)) and np.array_equal(
        subject.label[0], labels((32, 48))
    )
    assert np.allclose(subject.normalised().mean((0, 1, 2)), 0, atol=1e-4) and subject.source_size == (32, 48)
    assert nnunet.find_new(tmp_path / "imagesTs", task=task) == sources[2:]
    assert nnunet.find_one(tmp_path / "imagesTs" / f"p_2_0000{ending}", task=task) == sources[2]


def test_photographs_with_a_grey_file_for_each_channel(tmp_path):
    """Two grey files a case, with rules of their own."""
    write_json(tmp_path / "dataset.json", described(("rgb_to_0_1", "noNorm"), file_ending=".png", training=1))
    for channel in range(2):
        write_picture(tmp_path / "imagesTr" / f"p_000{channel}.png", own_folders.colours(channel)[..., 0])
    write_picture(tmp_path / "labelsTr" / "p.png", labels((32, 48)))
    task, (source,) = nnunet.task(tmp_path), nnunet.find(tmp_path)
    subject = nnunet.load(source, task=task)
    assert subject.image.shape == (1, 32, 48, 2) and subject.std.tolist() == [255, 1]
    assert np.array_equal(subject.image[0, ..., 1], own_folders.colours(1)[..., 0])
    write_picture(tmp_path / "imagesTr" / "p_0001.png", own_folders.colours(1))
    with pytest.raises(
        UserError, match=r"p_0001\.png: expected a grey image, one channel of several files, found colours"
    ):
        nnunet.load(source, task=task)
    write_picture(tmp_path / "imagesTr" / "p_0001.png", own_folders.colours(1, (32, 40))[..., 0])
    with pytest.raises(UserError, match=r"p_0001\.png: expected the size of p_0000\.png, 48x32, found 40x32"):
        nnunet.load(source, task=task)
