"""Raw labels: one reader and one rule; what a number means is told or asked, never guessed."""

import numpy as np
import pytest
from PIL import Image

from data_prep.base import notices
from data_prep.base.errors import UserError
from data_prep.readers import file_names, label_sets, labels, photographs
from data_prep.readers.labels import Rule


def raw(*values, dtype=np.uint8):
    return np.array([[values]], dtype)


def meaning(values, path="x_seg.nii.gz", **rule):
    return labels.meaning(raw(*values), path, Rule(**rule))


@pytest.mark.parametrize(
    ("name", "dataset", "values", "foreground"),
    [
        ("BraTS-GLI-00005-100-seg.nii.gz", None, (0, 1, 2, 3), 3),
        ("BraTS-GLI-00005-100_seg.nii.gz", "brats", (0, 1, 2, 4), None),
        ("BraTS-GLI-00005-100.nii", None, (0, 4), None),
        ("BraTS-PED-00001-000-seg.nii.gz", None, (0, 1, 2, 3, 4), 4),
        ("bratS-ped-00001-000-SEG.NII.GZ", "brats", (0, 4), 1),
        ("BraTS-MEN-00001-000-seg.nii.gz", None, (0, 1, 2, 3), 3),
        ("BraTS-MEN-00001-000-seg.nii.gz", None, (0, 4), None),
        ("BraTS-MEN-RT-0001-1_gtv.nii.gz", None, (0, 1), 1),
        ("BraTS-MET-00001-000-seg.nii.gz", None, (0, 1, 2, 3), 3),
        ("BraTS-MET-00001-000-seg.nii.gz", "brats", (0, 1, 4), None),
        ("BraTS-SSA-00001-000-seg.nii.gz", "brats", (0, 1, 2, 3), 3),
        ("BraTS-SSA-00001-000-seg.nii.gz", None, (0, 4), None),
        ("BraTS2021_00006_seg.nii.gz", None, (0, 1, 2, 4), 3),
        ("Brats18_CBICA_AAB_1_seg.nii.gz", None, (0, 1, 2, 3), 3),
        ("BraTS20_Training_001_seg.nii", None, (0, 255), None),
        ("c_seg.nii.gz", None, (0, 1, 2, 4), None),
        ("c_seg.nii.gz", "brats", (0, 1, 2, 4), 3),
        ("c-seg.nii.gz", "brats", (0, 1, 2, 4), None),
        ("c_seg.nii.gz", None, (0, 255), 1),
        ("c_seg.nii.gz", None, (0, 4), 1),
        ("c_seg.nii.gz", "brats", (0, 255), None),
        ("c_seg.nii.gz", "isic", (0, 1, 2), None),
        ("c.nii.gz", None, (0, 0), 0),
        ("c.nii.gz", None, (1, 1), 2),
    ],
)
def test_the_rule(name, dataset, values, foreground):
    """A known name decides, 4 being tumour in some sub-challenges only; without one 0 and one number are binary."""
    path = f"somewhere/BraTS-PED-folder/{name}"
    if foreground is None:
        with pytest.raises(UserError, match=r"expected labels of .*found \{.*--label_map=") as caught:
            meaning(values, path, dataset=dataset)
        assert "\n" not in str(caught.value) and name in str(caught.value)
    else:
        found = meaning(values, path, dataset=dataset)
        assert found.foreground.sum() == foreground and found.foreground.max(initial=0) <= 1 and found.counted is None


def test_the_advice_is_right():
    """The map to type has the right value for that sub-challenge, and a question mark where only the user knows."""
    advice = {
        "BraTS-GLI-1-100-seg.nii.gz": "--label_map=1:1,2:1,3:1,4:0 (from 2024 on, 4 is the resection cavity",
        "BraTS-MET-1-000-seg.nii.gz": "--label_map=1:1,2:1,3:1,4:0 (4 is the resection cavity",
        "BraTS-SSA-1-000-seg.nii.gz": "--label_map=1:1,2:1,3:1,4:? (1 where it is foreground",
        "S1-seg.nii.gz": "--label_map=1:1,2:1,3:1,4:? (4 is the resection cavity in BraTS-GLI",
        "S1_seg.nii.gz": "--label_map=1:1,2:1,3:1,4:? (4 is enhancing tumour to 2021",
    }
    for name, expected in advice.items():
        assert expected in label_sets.known(name, "brats").advice({0, 1, 2, 3, 4}), name
    with pytest.raises(UserError, match=r"found \{0, 1, 2, 3, 9\}; .*--label_map=1:1,2:1,3:1,4:1,9:\? "):
        meaning((0, 1, 2, 3, 9), "BraTS-PED-1-000-seg.nii.gz")
    with pytest.raises(UserError, match=r"--label_map=2:\?,7:\? \(1 where it is foreground"):
        meaning((0, 2, 7))


def test_a_map_and_an_ignored_label():
    """The map decides alone; what is ignored is neither foreground nor counted, and need not be mapped."""
    found = meaning((0, 1, 2, 4, 255), label_map={1: 1, 2: 1, 4: 0}, ignore=255)
    assert found.foreground.ravel().tolist() == [0, 1, 1, 0, 0]
    assert found.counted.ravel().tolist() == [True, True, True, True, False]
    found = meaning((0, 1, 255), ignore=255)
    assert found.foreground.ravel().tolist() == [0, 1, 0] and found.counted.ravel().tolist() == [True, True, False]
    with pytest.raises(UserError, match="expected voxels that count, found the ignored label 3 everywhere"):
        meaning((3, 3), ignore=3)
    with pytest.raises(UserError, match="--ignore_label: expected 4 mapped or ignored, found both"):
        Rule({4: 0}, 4).check()


@pytest.mark.parametrize("value", [2.00003, 1.9995, 2.0])
def test_rounding_is_no_interpolation(value):
    """Within a thousandth of a whole number is that number, said once (F04); in both directions, -0.0005 too."""
    with notices.gathered() as noticed:
        found = labels.whole(raw(0, -0.0005, value, 255, dtype=np.float32), "a.nii")
    assert found.dtype == np.uint8 and found.ravel().tolist() == [0, 0, 2, 255]
    assert len(noticed.lines()) == 1 and "a.nii" in noticed.lines()[0]
    with notices.gathered() as noticed:
        labels.whole(raw(0, 2, dtype=np.float64), "a.nii")
    assert not noticed.lines()


@pytest.mark.parametrize("value", [0.5, 2.002, -1, np.nan, np.inf, 65537])
def test_what_is_no_label(value):
    """Fractions, negative numbers, NaN and huge ones name the file."""
    with pytest.raises(UserError, match=r"a\.nii: expected whole numbers as labels"):
        labels.whole(raw(0, value, dtype=np.float64), "a.nii")


def test_an_image_is_no_label():
    """Whole numbers of many values are an image, said so; numbers beyond 255 are kept, so that 16-bit masks are binary."""
    image = np.arange(300).reshape(1, 1, 300).astype(np.int16)
    with pytest.raises(UserError, match=r"found 300 numbers, as an image has: .*; give the file of labels"):
        labels.meaning(labels.whole(image, "t2.nii"), "t2.nii", Rule())
    deep = labels.whole(raw(0, 65535, dtype=np.uint16), "m.nii")
    assert labels.meaning(deep, "m.nii", Rule()).foreground.ravel().tolist() == [0, 1]


def test_masks_of_what_is_inside():
    """0 and one other number; several regions or an image are refused."""
    assert labels.inside(raw(0, 7), "m.nii").ravel().tolist() == [0, 1]
    with pytest.raises(UserError, match=r"m\.nii: expected a mask of 0 and one other number, found \{0, 1, 2\}"):
        labels.inside(raw(0, 1, 2), "m.nii")


def test_numbers_are_said_with_their_counts():
    """One line for a whole set, with what they mean; files that chose different numbers contradict each other."""
    total = notices.Notices()
    for values in ((0, 0, 4), (0, 4, 4)):
        with notices.gathered() as noticed:
            labels.meaning(raw(*values), f"{values}.nii", Rule())
        total.add(noticed)
    (line,) = labels.said(total, "labels", rule=Rule(ignore=9))
    assert line == (
        "labels of 2 files, numbers and their voxels: 0 in 3, 4 in 3; two numbers are binary; foreground: 4; "
        "ignored: 9, which does not occur"
    )
    labels.require_same(total)
    assert notices.from_document(total.document()).found == total.found
    with notices.gathered() as noticed:
        labels.meaning(raw(0, 2), "other.nii", Rule())
    total.add(noticed)
    with pytest.raises(
        UserError, match=r"labels: expected one foreground number.*found 2 in other\.nii and 4 in .*2:\?,4:\?"
    ):
        labels.require_same(total)


@pytest.mark.parametrize(
    ("file", "suffix"),
    [
        ("a.nii.gz", ""),
        ("a-seg.NII.GZ", "-seg"),
        ("a_Seg.nii", "_seg"),
        ("a_SEGM.Nii.gz", "_segm"),
        ("a-label.nii.gz", "-label"),
        ("a_t1.nii.gz", None),
        ("ab_seg.nii.gz", None),
        ("a_seg.png", None),
        ("A_seg.nii", None),
    ],
)
def test_names_of_labels(file, suffix):
    """Suffixes and endings in any case, the subject's name as it is."""
    assert file_names.label_suffix(file, "a") == suffix


def test_composed_names():
    """A decomposed name equals the composed one."""
    assert file_names.label_suffix("mu\u0308ller_seg.nii", "m\u00fcller") == "_seg"


DISC = np.pad(np.ones((4, 5), np.uint8), 3)


def layered(grey=None, alpha=None):
    grey, alpha = (np.broadcast_to(np.uint8(one), DISC.shape) for one in (grey, alpha))
    return Image.fromarray(np.dstack([grey, grey, grey, alpha]))


def palette(colours, numbers=DISC, **info):
    image = Image.fromarray(numbers).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([value for colour in colours for value in colour])
    image.info.update(info)
    return image


@pytest.mark.parametrize(
    "image",
    [
        layered(0, 255 * DISC),
        layered(255, 255 * DISC),
        layered(255 * DISC, 255),
        layered(255 * DISC, 255 * DISC),
        layered(0, 255 * DISC).convert("LA"),
        palette([(0, 0, 0), (255, 255, 255)]),
        palette([(0, 0, 0), (128, 0, 0)]),
        palette([(128, 0, 0), (0, 0, 0)], 1 - DISC),
        palette([(0, 0, 0), (0, 0, 0)]),
        palette([(7, 7, 7), (7, 7, 7)]),
        Image.fromarray(DISC.astype(np.uint16)),
        Image.fromarray(DISC.astype(np.uint16) * 65535),
        Image.fromarray(DISC),
        Image.fromarray(255 * DISC).convert("1"),
    ],
    ids=["black+alpha", "white+alpha", "opaque", "premultiplied", "LA", "grey palette", "red palette", "red first",
         "black palette", "palette of one grey", "16 bits of 1", "16 bits", "ones", "1 bit"],
)  # fmt: skip
def test_the_values_that_carry_a_mask(tmp_path, image):
    """Transparency, palette or depth: the mask is read from where it stands, never as empty (F15)."""
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(photographs.read_mask(tmp_path / "m.png"), DISC)


def test_masks_that_contradict_themselves(tmp_path):
    """Grey and transparency of different masks, white that is wholly transparent, colours, and 16-bit colours are refused."""
    other = np.roll(DISC, 2, axis=1)
    cases = {
        "transparency": layered(255 * DISC, 255 * other),
        "wholly transparent": layered(255, 0),
        "in colours": palette([(0, 0, 255), (128, 0, 0)]),
    }
    for message, image in cases.items():
        image.save(tmp_path / "m.png")
        with pytest.raises(UserError, match=message):
            photographs.read_mask(tmp_path / "m.png")
    layered(255 - 255 * DISC, 255 * DISC).save(tmp_path / "m.png")  # black on transparent white: grey alone is inverted
    with pytest.raises(UserError, match="transparency"):
        photographs.read_mask(tmp_path / "m.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("numbers", [(0,), (1,), (7,), (0, 1), (0, 7), (1, 7), (0, 1, 7), (0, 255), (0, 3, 255)])
def test_voxels_are_counted_as_numpy_counts_them(numbers, dtype):
    """Masks, which are counted without looking at each value, and labels of several classes."""
    drawn = np.random.default_rng(0).choice(np.array(numbers, dtype), (2, 5, 6))
    drawn.flat[: len(numbers)] = numbers
    expected = dict(zip(*(found.tolist() for found in np.unique(drawn, return_counts=True)), strict=True))
    found = labels.counts(drawn)
    assert found == expected and {type(one) for pair in found.items() for one in pair} == {int}
    if dtype == np.uint8:
        values, counted = photographs._found(drawn[0])
        expected = np.unique(drawn[0], return_counts=True)
        np.testing.assert_array_equal(values, expected[0])
        np.testing.assert_array_equal(counted, expected[1])
