"""Photographs and masks in two folders: pairs by name, classes by number, a frame from the sizes."""

import numpy as np
import own_folders
import pytest
from own_folders import colours, labels, write_json, write_picture
from PIL import Image

from data_prep import tasks
from data_prep.base.errors import Faults, UserError
from data_prep.readers import own_photographs, pairs


@pytest.fixture
def folder(tmp_path):
    """Three photographs whose masks hold 0, 128 and 255."""
    return own_folders.pairs(tmp_path / "eyes")


def test_the_task(folder):
    """A class for each number of any mask, in order."""
    write_picture(folder / "masks" / "eye 1.png", labels((32, 48), (128, 7)))
    task = pairs.task(folder)
    assert (task.name, task.form, task.unit, task.frame, task.trained) == (
        "eyes",
        "photograph",
        "pixels",
        (32, 48),
        "all",
    )
    assert [(one.name, one.labels) for one in task.classes] == [
        *(("background", (0,)), ("label 7", (7,)), ("label 128", (128,)), ("label 255", (255,)))
    ]
    assert [region.classes for region in task.regions] == [(1,), (2,), (3,)]
    assert [channel.normalise for channel in task.channels] == ["unit"] * 3 and task.load_reader() is pairs


def test_one_number_is_the_foreground(tmp_path):
    """Two classes, whichever number it is."""
    task = pairs.task(own_folders.pairs(tmp_path / "moles", values=(255,)))
    assert [(one.name, one.labels) for one in task.classes] == [("background", (0,)), ("foreground", (255,))]
    assert task.is_binary and task.regions == (tasks.Region("foreground", "foreground", (1,)),)


@pytest.mark.parametrize("names", [("images", "masks"), ("imgs", "labels"), ("IMG", "Mask")])
@pytest.mark.parametrize("suffix", ["", "_mask", "_segmentation"])
def test_found_and_loaded(names, suffix, tmp_path):
    """Whatever the folders and the masks are called."""
    folder = own_folders.pairs(tmp_path / "eyes", suffix=suffix)
    for old, new in zip(("images", "masks"), names, strict=True):
        (folder / old).rename(folder / new)
    (folder / names[0] / ".hidden.jpg").write_text("")
    (folder / names[0] / "notes.txt").write_text("")
    assert pairs.accepts(folder) and not pairs.accepts(tmp_path)
    sources = pairs.find(folder)
    assert [source.name for source in sources] == ["eye 0", "eye 1", "eye 2"] and all(one.labelled for one in sources)
    subject = pairs.load(sources[0], task=pairs.task(folder))
    assert subject.image.shape == (1, 32, 48, 3) and subject.source_size == (32, 48)
    assert np.array_equal(subject.label[0], labels((32, 48)))
    assert np.allclose(subject.normalised(), subject.image / np.float32(255))


def test_photographs_are_brought_to_the_frame(folder):
    """Another size than the frame: the image antialiased, the label by nearest neighbour."""
    write_json(folder / "tfunc.json", {"frame": [16, 32]})
    subject = pairs.load(pairs.find(folder)[0], task=pairs.task(folder))
    assert subject.image.shape == (1, 16, 32, 3) and subject.label.shape == (1, 16, 32)
    assert set(np.unique(subject.label)) == {0, 1, 2} and subject.source_size == (32, 48)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(32, 48)] * 3, (32, 48)),
        ([(500, 500)] * 2, (496, 496)),
        ([(600, 800)] * 2, (384, 512)),
        ([(600, 800), (768, 1024), (1500, 2000)], (384, 512)),
        ([(100, 200), (200, 100), (120, 240)], (96, 192)),
        ([(240, 120), (200, 100), (100, 50)], (192, 96)),
        ([(4, 2000)], (16, 512)),
    ],
)
def test_frames(sizes, expected):
    """Their own size where all share one of at most 512, else the median aspect; multiples of 16."""
    assert own_photographs.frame(sizes) == expected


def test_masks_in_other_modes(folder):
    """A palette's numbers, 16 bits, equal channels, a TIFF."""
    numbers = labels((32, 48), (1, 2))
    palette = Image.new("P", (48, 32))
    palette.putdata(numbers.ravel().tolist())
    palette.putpalette([0, 0, 0, 200, 0, 0, 0, 90, 10])
    palette.save(folder / "masks" / "eye 0.png")
    write_picture(folder / "masks" / "eye 1.png", (numbers * np.uint16(1)).astype(np.uint16))
    (folder / "masks" / "eye 2.png").unlink()
    write_picture(folder / "masks" / "eye 2.tif", np.repeat(numbers[..., None], 3, axis=-1))
    task = pairs.task(folder)
    assert task.values == (0, 1, 2)
    for source in pairs.find(folder):
        assert np.array_equal(pairs.load(source, task=task).label[0], numbers)


def test_unpaired(folder):
    """A photograph without mask and a mask without photograph are said at once; pairs are found all the same."""
    (folder / "masks" / "eye 0.png").unlink()
    write_picture(folder / "masks" / "lost.png", labels((32, 48)))
    with pytest.raises(Faults) as caught:
        pairs.find(folder)
    faults = {name: str(error) for name, error in caught.value.faults.items()}
    assert set(faults) == {"eye 0", "lost"} and [source.name for source in caught.value.found] == ["eye 1", "eye 2"]
    assert "eye 0.jpg: expected its mask eye 0.png, found no such file" in faults["eye 0"]
    assert "lost.png: expected its photograph lost, found no such file" in faults["lost"]


@pytest.mark.parametrize("function", [pairs.task, pairs.find])
def test_what_no_function_takes(function, folder):
    """JPEG masks, a name that is there twice, an empty folder."""
    write_picture(folder / "masks" / "eye 0.jpg", labels((32, 48)))
    with pytest.raises(
        UserError, match=r"eye 0\.jpg: expected a mask as PNG, BMP or TIFF, found a JPEG; draw it again"
    ):
        function(folder)
    (folder / "masks" / "eye 0.jpg").unlink()
    write_picture(folder / "images" / "eye 0.png", colours(1))
    with pytest.raises(UserError, match=r"eye 0\.png: expected each name once, found eye 0\.jpg too"):
        function(folder)
    for path in (folder / "images").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"images: expected photographs .* found none"):
        function(folder)


def test_masks_that_hold_no_classes(folder):
    """Grey levels, a JPEG under another name, colours, nothing but background."""
    mask = folder / "masks" / "eye 1.png"
    write_picture(mask, np.arange(32 * 48, dtype=np.uint16).reshape(32, 48).astype(np.uint8))
    with pytest.raises(UserError, match=r"eye 1\.png: expected at most 64 numbers in all masks, found 256 by eye 1"):
        pairs.task(folder)
    Image.fromarray(labels((32, 48))).save(mask, "JPEG")
    with pytest.raises(UserError, match="found a JPEG"):
        pairs.task(folder)
    write_picture(mask, colours(3))
    with pytest.raises(UserError, match=r"eye 1\.png: expected a mask of class numbers, found colours"):
        pairs.task(folder)
    for path in (folder / "masks").iterdir():
        write_picture(path, np.zeros((32, 48), np.uint8))
    with pytest.raises(UserError, match="expected a number other than 0 in the masks, found 0 only"):
        pairs.task(folder)


def test_a_mask_of_another_size(folder):
    """The mask is named; so is one with a number that came later."""
    task = pairs.task(folder)
    write_picture(folder / "masks" / "eye 1.png", labels((32, 40), (128,)))
    with pytest.raises(UserError, match=r"eye 1\.png: expected the size of eye 1\.jpg, 48x32, found 40x32"):
        pairs.load(pairs.find(folder)[1], task=task)
    write_picture(folder / "masks" / "eye 1.png", labels((32, 48), (5,)))
    with pytest.raises(UserError, match=r"eye 1\.png: expected labels of eyes: .* found 5 too"):
        pairs.load(pairs.find(folder)[1], task=task)


def test_pages(folder):
    """A TIFF of several pages is no photograph."""
    (folder / "images" / "eye 0.jpg").unlink()
    pages = [Image.fromarray(colours(index)) for index in range(2)]
    pages[0].save(folder / "images" / "eye 0.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=r"eye 0\.tif: expected one image in a file, found 2 pages"):
        pairs.task(folder)


def test_new_photographs(folder):
    """A folder or a file; masks beside them are left out."""
    task = pairs.task(folder)
    write_picture(folder / "images" / "eye 0_mask.png", labels((32, 48)))
    assert [source.name for source in pairs.find_new(folder / "images", task=task)] == ["eye 0", "eye 1", "eye 2"]
    assert pairs.find_one(folder / "images" / "eye 1.jpg", task=task).name == "eye 1"
    for path in (folder, folder / "nothing.png"):
        with pytest.raises(UserError, match="expected photographs"):
            pairs.find_new(path, task=task)
    with pytest.raises(UserError, match="--modalities"):
        pairs.find_new(folder / "images", {"red": "x"}, task)


def test_folds(folder):
    """splits_final.json serves photographs too."""
    assert pairs.folds(folder) is None
    write_json(folder / "splits_final.json", [{"train": ["eye 0"], "val": ["eye 1"]}])
    assert pairs.folds(folder) == ({"train": ("eye 0",), "valid": ("eye 1",)},)
