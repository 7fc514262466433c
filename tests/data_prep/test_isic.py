"""ISIC and PH2 in every official layout are paired, decoded and resized; doubtful masks and images are refused."""

import dataclasses
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image, ImageOps

from data_prep import triangle
from data_prep.base import notices
from data_prep.base.errors import Faults, UserError
from data_prep.readers import isic, photographs

SIZE = (30, 41)  # height, width
LAYOUTS = {
    "2016": ("ISBI2016_ISIC_Part1_Training_Data", "ISBI2016_ISIC_Part1_Training_GroundTruth", "_Segmentation"),
    "2017": ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth", "_segmentation"),
    "2018": ("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth", "_segmentation"),
}


def pixels(shape=(*SIZE, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def disc(size=SIZE, inside=255):
    rows, columns = np.ogrid[: size[0], : size[1]]
    return ((np.hypot(rows - size[0] / 2, columns - size[1] / 2) < 9) * inside).astype(np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(path, **options)
    return path


def make(raw_dir, year="2017", name="ISIC_0000001", part="Training", mask=True):
    images, masks, suffix = (text.replace("Training", part) for text in LAYOUTS[year])
    save(raw_dir / images / f"{name}.jpg", pixels())
    if mask:
        save(raw_dir / masks / f"{name}{suffix}.png", disc())


def pair(folder, image=None, mask=None):
    """A source of two files, for what concerns one photograph only."""
    image = save(folder / "a.png", pixels() if image is None else image)
    mask = save(folder / "a_segmentation.png", disc() if mask is None else mask)
    return isic.Source("a", str(image), str(mask))


def brief(sources):
    return [(source.name, source.split, source.labelled) for source in sources]


@pytest.mark.parametrize("year", LAYOUTS)
def test_layouts(tmp_path, year):
    """Official folders give the official split; superpixels, tables and hidden files are ignored."""
    parts = {"ISIC_3": "Training", "ISIC_2": "Validation", "ISIC_1": "Test_v2" if year == "2017" else "Test"}
    for name, part in parts.items():
        make(tmp_path / "nested", year, name, part)
    folder = tmp_path / "nested" / LAYOUTS[year][0]
    save(folder / "ISIC_3_superpixels.png", pixels())
    (folder / "ATTRIBUTION.txt").write_text("")
    (folder / "._ISIC_3.jpg").write_bytes(b"")
    found = isic.find(tmp_path)
    assert brief(found) == [("ISIC_1", "test", True), ("ISIC_2", "valid", True), ("ISIC_3", "train", True)]
    assert pickle.loads(pickle.dumps(found)) == found


def test_ph2(tmp_path):
    """Folder names with spaces, BMP, a one-bit mask and an RGB mask; colour maps of structures are ignored."""
    for name in ("IMD002", "IMD003"):
        folder = tmp_path / "PH2Dataset" / "PH2 Dataset images" / name
        save(folder / f"{name}_Dermoscopic_Image" / f"{name}.bmp", pixels())
        mask = Image.fromarray(disc())
        save(folder / f"{name}_lesion" / f"{name}_lesion.bmp", mask.convert("1" if name == "IMD002" else "RGB"))
        save(folder / f"{name}_roi" / f"{name}_R1_Label3.bmp", disc())
    found = isic.find(tmp_path)
    assert brief(found) == [("IMD002", None, True), ("IMD003", None, True)]
    one, other = (isic.load(source, {"image_size": SIZE}) for source in found)
    np.testing.assert_array_equal(one.label[0], disc() > 0)
    np.testing.assert_array_equal(other.label[0], disc() > 0)
    (folder / f"{name}_lesion" / f"{name}_lesion.bmp").unlink()
    with pytest.raises(UserError, match=r"IMD003\.bmp: expected its mask IMD003_lesion\.bmp, found no mask"):
        isic.find(tmp_path)


def test_ph2_copies(tmp_path):
    """PH2's official files are .bmp: copies beside them are left aside, said once; copies alone are refused (F14)."""
    for name in ("IMD002", "IMD003"):
        folder = tmp_path / "PH2 Dataset images" / name
        for ending in ("bmp", "jpg", "png"):
            save(folder / f"{name}_Dermoscopic_Image" / f"{name}.{ending}", pixels())
            save(folder / f"{name}_lesion" / f"{name}_lesion.{ending}", disc())
    with notices.gathered() as noticed:
        found = isic.find(tmp_path)
    assert brief(found) == [("IMD002", None, True), ("IMD003", None, True)]
    assert all(source.image.endswith(".bmp") and source.mask.endswith(".bmp") for source in found)
    assert len(noticed.lines()) == 1 and "official .bmp" in noticed.lines()[0]
    (folder / f"{name}_lesion" / f"{name}_lesion.bmp").unlink()
    with pytest.raises(UserError, match=r"IMD003_lesion\.png: .*same name at .*IMD003_lesion\.jpg"):
        isic.find(tmp_path)


def test_names_are_compared_composed(tmp_path):
    """A Mac's decomposed name of a photograph is that of its mask; split files and predictions may have either."""
    images, masks, suffix = LAYOUTS["2017"]
    save(tmp_path / images / "mu\u0308ller.jpg", pixels())
    save(tmp_path / masks / f"m\u00fcller{suffix}.png", disc())
    assert brief(isic.find(tmp_path)) == [("m\u00fcller", "train", True)]
    assert isic.find_one(tmp_path / images / "mu\u0308ller.jpg").name == "m\u00fcller"


def test_links_to_one_file_are_one(tmp_path):
    """Photographs and masks that are linked, hard or not, and a set in two places through a link; loops end."""
    make(tmp_path / "a")
    images, masks, _ = LAYOUTS["2017"]
    (tmp_path / "a" / images / "ISIC_0000001.png").symlink_to(tmp_path / "a" / images / "ISIC_0000001.jpg")
    mask = tmp_path / "a" / masks / "ISIC_0000001_segmentation.png"
    mask.with_suffix(".bmp").hardlink_to(mask)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for name in ("loop", "another"):
        (tmp_path / "a" / name).symlink_to(tmp_path)
    assert brief(isic.find(tmp_path)) == [("ISIC_0000001", "train", True)]
    make(tmp_path / "c")
    with pytest.raises(UserError, match="same name at"):
        isic.find(tmp_path)


def test_the_same_photograph_in_two_releases_through_links(tmp_path):
    """Linked image and mask in two releases are one subject; a mask of its own makes it two."""
    make(tmp_path)
    images, masks, suffix = LAYOUTS["2018"]
    old_images, old_masks, _ = LAYOUTS["2017"]
    for folder, old, name in (
        (images, old_images, "ISIC_0000001.jpg"),
        (masks, old_masks, f"ISIC_0000001{suffix}.png"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).symlink_to(tmp_path / old / name)
    assert len(isic.find(tmp_path)) == 1
    (tmp_path / masks / f"ISIC_0000001{suffix}.png").unlink()
    save(tmp_path / masks / f"ISIC_0000001{suffix}.png", disc())
    with pytest.raises(UserError, match="same name at"):
        isic.find(tmp_path)


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_with_an_orientation(tmp_path, orientation):
    """Turned where the mask has the turned size, as stored where it has that; refused where its size fits both ways."""
    image = Image.fromarray(pixels())
    path = save(tmp_path / "a.png", image, exif=oriented(orientation))
    with Image.open(path) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    drawn_upright = save(tmp_path / "u.png", disc(upright.shape[:2]))
    drawn_stored = save(tmp_path / "s.png", disc())

    def loaded(mask):
        source = isic.Source("a", str(path), str(mask))
        shape = upright.shape[:2] if mask is drawn_upright else SIZE
        with notices.gathered() as noticed:
            return isic.load(source, {"image_size": shape}), [line for line in noticed.lines() if "EXIF" in line]

    if orientation in (2, 3, 4):
        with pytest.raises(
            UserError, match=rf"a\.png: .*found EXIF orientation {orientation}, and a mask whose size fits"
        ):
            loaded(drawn_stored)
        return
    subject, lines = loaded(drawn_upright)
    np.testing.assert_array_equal(subject.image[0], upright)
    assert subject.source_size == upright.shape[:2] and len(lines) == (orientation != 1)
    subject, lines = loaded(drawn_stored)
    np.testing.assert_array_equal(subject.image[0], pixels())
    assert len(lines) == (orientation != 1)
    square = isic.Source("q", str(save(tmp_path / "q.png", pixels((9, 9, 3)), exif=oriented(orientation))))
    if orientation != 1:
        with pytest.raises(UserError, match="fits the pixels as stored and as turned"):
            isic.load(dataclasses.replace(square, mask=str(save(tmp_path / "m.png", disc((9, 9))))))


def test_masks_with_an_orientation(tmp_path):
    """The photograph's own: both are as stored. Another: refused. A photograph without a mask is as stored, said."""
    image = save(tmp_path / "a.png", Image.fromarray(pixels()), exif=oriented(6))
    mask = save(tmp_path / "m.png", Image.fromarray(disc()), exif=oriented(6))
    subject = isic.load(isic.Source("a", str(image), str(mask)), {"image_size": SIZE})
    np.testing.assert_array_equal(subject.image[0], pixels())
    save(mask, Image.fromarray(disc()), exif=oriented(3))
    with pytest.raises(UserError, match=r"m\.png: .*found EXIF orientation 3, and 6 of its photograph"):
        isic.load(isic.Source("a", str(image), str(mask)), {"image_size": SIZE})
    with notices.gathered() as noticed:
        assert isic.load(isic.Source("a", str(image)), {"image_size": SIZE}).source_size == SIZE
    assert "left aside" in noticed.lines()[0]


def test_sets_without_ground_truth_are_unlabelled(tmp_path):
    """As the official validation and test sets were first released."""
    make(tmp_path)
    make(tmp_path, name="ISIC_0000002", part="Test_v2", mask=False)
    found = isic.find(tmp_path)
    assert brief(found) == [("ISIC_0000001", "train", True), ("ISIC_0000002", "test", False)]
    assert isic.load(found[1]).label is None


def test_image_without_mask_and_mask_without_image(tmp_path):
    """Within a set that has masks both are refused, each with its file; the others are found."""
    make(tmp_path)
    make(tmp_path, name="ISIC_0000002", mask=False)
    make(tmp_path, name="ISIC_0000003", mask=False)
    with pytest.raises(
        Faults, match=r"ISIC_0000002\.jpg: .*_0000002_segmentation\.png, found no mask \(and 1 more: ISIC_0000003\)"
    ) as caught:
        isic.find(tmp_path)
    assert set(caught.value.faults) == {"ISIC_0000002", "ISIC_0000003"}
    assert [(source.name, source.labelled) for source in caught.value.found] == [("ISIC_0000001", True)]
    (tmp_path / LAYOUTS["2017"][0] / "ISIC_0000003.jpg").unlink()
    (tmp_path / LAYOUTS["2017"][0] / "ISIC_0000002.jpg").unlink()
    save(tmp_path / LAYOUTS["2017"][1] / "ISIC_0000007_segmentation.png", disc())
    with pytest.raises(UserError, match=r"ISIC_0000007_segmentation\.png: .*ISIC_0000007, found no image"):
        isic.find(tmp_path)


def test_masks_in_a_folder_of_another_name(tmp_path):
    """Else the whole set would silently pass for unlabelled."""
    make(tmp_path, mask=False)
    save(tmp_path / "masks" / "ISIC_0000001_segmentation.png", disc())
    with pytest.raises(UserError, match=r"masks.ISIC_0000001_segmentation\.png: .*official name"):
        isic.find(tmp_path)


@pytest.mark.parametrize("suffix", ["_SEGMENTATION.PNG", "_mask.png", "-label.bmp", "_Seg.png"])
def test_masks_under_other_names(tmp_path, suffix):
    """In a ground truth folder they are masks; among photographs they are no photographs, and refused by name."""
    make(tmp_path, mask=False)
    images, masks, _ = LAYOUTS["2017"]
    other = save(tmp_path / masks / "x.png", disc()).rename(tmp_path / masks / f"ISIC_0000001{suffix}")
    assert brief(isic.find(tmp_path)) == [("ISIC_0000001", "train", True)]
    other.rename(tmp_path / images / other.name)
    other.parent.rmdir()
    with pytest.raises(UserError, match=rf"{images}.{other.name}: expected masks in a folder with the official name"):
        isic.find(tmp_path)


def test_same_name_in_two_releases(tmp_path):
    """The releases overlap: refused naming both files."""
    make(tmp_path, "2017")
    make(tmp_path, "2018")
    with pytest.raises(UserError, match=r"ISIC2018_.*same name at .*ISIC-2017_.*one release at a time"):
        isic.find(tmp_path)


def test_empty_and_foreign_folders(tmp_path):
    """No folder, nothing in it, other images in it."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: expected ISIC folders.*found no file; .*launch/phantom\.py"):
        isic.find(tmp_path / "empty")
    with pytest.raises(UserError, match="no such folder"):
        isic.find(tmp_path / "absent")
    save(tmp_path / "other" / "holiday.jpg", pixels())
    with pytest.raises(UserError, match=r"found only files such as holiday\.jpg"):
        isic.find(tmp_path / "other")


def test_load(tmp_path):
    """Depth 1, uint8, the network's size, the photograph's size beside it; the paper's range [0, 1] by default."""
    make(tmp_path)
    (source,) = isic.find(tmp_path)
    subject = isic.load(source, {"image_size": (24, 32)})
    assert subject.image.shape == (1, 24, 32, 3) and subject.label.shape == (1, 24, 32)
    assert subject.image.dtype == subject.label.dtype == np.uint8 and set(np.unique(subject.label)) == {0, 1}
    assert subject.source_size == SIZE and subject.header is None and subject.source == source.image
    assert isic.load(source).image.shape == (1, 192, 256, 3)
    np.testing.assert_array_equal(subject.mean, 0)
    np.testing.assert_array_equal(subject.std, 255)
    stretched = isic.load(source, {"image_size": (24, 32), "intensity": "minmax"}).normalised()
    assert stretched.min() == 0 and stretched.max() == 1


def test_a_photograph_with_its_preview(tmp_path):
    """Cameras write a JPEG with smaller pictures behind it; the first is the photograph."""
    first, preview = Image.fromarray(pixels()), Image.fromarray(pixels((30, 40, 3), 1))
    path = save(tmp_path / "a.jpg", first, format="MPO", save_all=True, append_images=[preview])
    assert photographs.read_photograph(path).shape == (*SIZE, 3)
    with pytest.raises(UserError, match="found a JPEG"):
        photographs.read_labels(path)


@pytest.mark.parametrize("size", [(192, 256), (24, 20), (57, 33), (60, 82), SIZE])
@pytest.mark.parametrize("source", [SIZE, (300, 401), (97, 64)])
def test_resize_is_pillows(source, size):
    """Within one grey level of Pillow's bilinear filter, shrinking or growing; masks equal Pillow's nearest."""
    image = pixels((*source, 3))
    theirs = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)).astype(int)
    difference = np.abs(np.asarray(photographs.resize(image, *size)).astype(int) - theirs)
    assert difference.max() <= 1 and difference.mean() < 0.3
    mask = disc(source, 1)
    theirs = np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))
    np.testing.assert_array_equal(photographs.resize_mask(mask, *size), theirs)


def test_resize_mask_takes_centres():
    """Pixel i shows source pixel floor((i + 0.5) * scale).

    Odd sources: their centres never fall between two pixels, where Pillow's running sum decides by its rounding.
    """
    mask = (pixels((65, 97)) > 127).astype(np.uint8)
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in ((40, 65), (72, 97)))
    np.testing.assert_array_equal(photographs.resize_mask(mask, 40, 72), mask[np.ix_(rows, columns)])


@pytest.mark.parametrize("source", [SIZE, (767, 1022), (97, 64), (3, 2), (1, 1)])
@pytest.mark.parametrize("size", [(20, 26), (192, 256), (61, 83)])
def test_resize_is_tensorflows(source, size):
    """Preparing resizes without TensorFlow, and its float32 numbers are TensorFlow's to the bit, growing and shrinking."""
    import tensorflow as tf

    image = pixels((*source, 3))
    expected = tf.image.resize(image, size, method="bilinear", antialias=True).numpy()
    assert triangle.resized(image, *size).tobytes() == expected.tobytes()


def test_resize_inside_a_graph():
    """The same bytes in NumPy, in tf.data and for a shape unknown while tracing."""
    import tensorflow as tf

    image = pixels()
    expected = photographs.resize(image, 20, 26)
    traced = tf.function(
        lambda x: photographs.resize_in_graph(x, 20, 26), input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)]
    )
    np.testing.assert_array_equal(traced(image), expected)
    made = tf.data.Dataset.from_tensors(image).map(lambda x: photographs.resize_in_graph(x, 20, 26))
    (piped,) = made.as_numpy_iterator()
    np.testing.assert_array_equal(piped, expected)
    np.testing.assert_array_equal(photographs.resize(image, *SIZE), image)


@pytest.mark.parametrize(
    ("mask", "area"),
    [
        (disc(), None),
        (disc(inside=1), None),
        (np.zeros(SIZE, np.uint8), 0),
        (np.full(SIZE, 255, np.uint8), SIZE[0] * SIZE[1]),
        (np.repeat(disc()[..., None], 3, axis=-1), None),
        (np.repeat(disc()[..., None], 4, axis=-1), None),
        (Image.fromarray(disc()).convert("1"), None),
        (Image.fromarray(disc()).convert("P"), None),
        (Image.fromarray(disc().astype(np.uint16) * 257), None),
    ],
    ids=["255", "1", "empty", "full", "rgb", "rgba", "1bit", "palette", "16bit"],
)
def test_binary_masks(tmp_path, mask, area):
    """However a binary mask is stored, non-zero is lesion."""
    label = isic.load(pair(tmp_path, mask=mask), {"image_size": SIZE}).label[0]
    if area is None:
        np.testing.assert_array_equal(label, disc() > 0)
    else:
        assert label.sum() == area


def test_masks_that_are_refused(tmp_path):
    """Grey levels, two classes, colours, another size: the file is named, with what was found."""
    two, blue = disc(), np.repeat(disc()[..., None], 3, axis=-1)
    two[0, 0], blue[..., :2] = 128, 0
    cases = {
        r"a non-binary mask of 3 values: 0, 128, 255": two,
        r"a non-binary mask of 2 values: 10, 255": np.maximum(disc(), 10),
        r"a non-binary mask of \d\d+ values: 0, 1, 2.*…": np.minimum(pixels(SIZE), 200),
        r"a non-binary mask in colours": blue,
        r"expected the size of a\.png, 41x30, found 40x30": disc()[:, 1:],
    }
    for message, mask in cases.items():
        with pytest.raises(UserError, match=rf"a_segmentation\.png: .*{message}"):
            isic.load(pair(tmp_path, mask=mask))


def test_jpeg_masks_are_refused(tmp_path):
    """Compression noise round the border isn't thresholded behind the user's back."""
    mask = save(tmp_path / "m_segmentation.jpg", disc())
    with pytest.raises(UserError, match="non-binary mask"):
        photographs.read_mask(mask)


def test_photographs_of_other_modes(tmp_path):
    """Alpha is dropped, grey repeated, EXIF orientation ignored; 16 bits and CMYK are refused."""
    rgba = pixels((*SIZE, 4))
    np.testing.assert_array_equal(photographs.read_photograph(save(tmp_path / "a.png", rgba)), rgba[..., :3])
    grey = photographs.read_photograph(save(tmp_path / "b.png", rgba[..., 0]))
    np.testing.assert_array_equal(grey, np.repeat(rgba[..., :1], 3, axis=-1))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert photographs.read_photograph(save(tmp_path / "c.jpg", rgba[..., :3], exif=exif)).shape == (*SIZE, 3)
    deep = save(tmp_path / "d.png", rgba[..., 0].astype(np.uint16) * 257)
    cmyk = save(tmp_path / "e.jpg", Image.fromarray(rgba[..., :3]).convert("CMYK"))
    deep_rgb = tmp_path / "f.png"
    deep_rgb.write_bytes(png(2, 2, depth=16, colour=2, data=zlib.compress(bytes(2 * (1 + 2 * 6)))))
    for path, found in ((deep, "16 bits"), (cmyk, "mode CMYK"), (deep_rgb, "16 bits")):
        with pytest.raises(UserError, match=rf"{path.name}: .*found .*{found}"):
            photographs.read_photograph(path)


def png(width, height, depth=8, colour=2, data=b""):
    """A PNG built by hand, for headers that Pillow would not write."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_deep_masks_in_colours_are_refused(tmp_path):
    """16 bits a channel: Pillow keeps the high byte, so that ones would read as an empty mask."""
    for colour, channels in ((2, 3), (6, 4)):
        rows = b"".join(b"\0" + bytes([0, 1] * channels * 4) for _ in range(4))
        path = tmp_path / "m.png"
        path.write_bytes(png(4, 4, depth=16, colour=colour, data=zlib.compress(rows)))
        with pytest.raises(UserError, match="16 bits in each channel"):
            photographs.read_mask(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_300, 100_000])
def test_headers_that_ask_for_gigabytes(tmp_path, side):
    """A hundred bytes that ask for 86 million or 10 billion pixels are refused before decoding."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side))
    with pytest.raises(UserError, match=r"bomb\.png: expected at most 80000000 pixels"):
        photographs.read_photograph(path)


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp"])
def test_broken_files(tmp_path, ending):
    """Cut in the middle, empty, or text: one line names the file."""
    path = save(tmp_path / f"a.{ending}", pixels())
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:30], b"", b"<html>not found</html>"):
        path.write_bytes(content)
        with pytest.raises(
            UserError, match=rf"a\.{ending}: expected a whole JPEG, PNG or BMP.*download or copy it again"
        ):
            photographs.read_photograph(path)


def test_new_photograph(tmp_path):
    """One file is enough; its mask is not read; folders, masks and other files are refused."""
    source = pair(tmp_path)
    assert isic.find_one(source.image) == isic.Source("a", source.image)
    assert isic.load(isic.find_one(source.image)).label is None
    for path, message in (
        (tmp_path, "found a folder"),
        (source.mask, "a mask by its name"),
        (tmp_path / "absent.jpg", "found nothing"),
        (__file__, "found another file"),
    ):
        with pytest.raises(UserError, match=message):
            isic.find_one(path)


@pytest.mark.skipif("TFUNC_REAL_DATA" not in os.environ, reason="TFUNC_REAL_DATA names no folder")
def test_real_photographs():
    """The real folder pairs up in the official split, every 100th loads, and resizing stays within one grey level."""
    sources = isic.find(pathlib.Path(os.environ["TFUNC_REAL_DATA"]) / "isic")
    splits = [source.split for source in sources]
    assert {name: splits.count(name) for name in set(splits)} == {"train": 1800, "valid": 121, "test": 133}
    for source in sources[::100]:
        subject = isic.load(source)
        assert 0 < subject.label.mean() < 1
        with Image.open(source.image) as image:
            theirs = np.asarray(image.resize((256, 192), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(subject.image[0] - theirs).max() <= 1


def test_photographs_need_only_what_reads_them(isic_data, tmp_path):
    """Neither NIfTI's library nor TensorFlow, whose imports take longer than hundreds of photographs."""
    code = """
import sys
from data_prep import convert
convert.convert("isic", sys.argv[1], sys.argv[2], {"image_size": (32, 48)}, say=lambda line: None)
print([name for name in ("nibabel", "pydicom", "scipy", "tensorflow", "matplotlib") if name in sys.modules])
"""
    command = [sys.executable, "-c", code, str(isic_data.parent / "raw"), str(tmp_path / "data")]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert ended.stdout.strip() == "[]", ended.stderr
