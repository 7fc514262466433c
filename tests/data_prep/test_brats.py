"""BraTS in every official layout is found, graded and loaded; whatever would be read wrongly is refused by name."""

import gzip
import os
import pathlib
import pickle

import nibabel
import numpy as np
import pytest

from data_prep.base import notices
from data_prep.base.errors import UserError
from data_prep.readers import brats
from data_prep.readers import labels as labelling

SHAPE = (6, 5, 4)  # x, y, z
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
OLD = ("_flair", "_t1", "_t2", "_t1ce", "_seg")
NEW = ("-t2f", "-t1n", "-t2w", "-t1c", "-seg")


def write(path, array, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, affine)
    image.set_qform(affine, 1)
    nibabel.save(image, path)


def voxels(seed=0, dtype=np.int16):
    return np.random.default_rng(seed).integers(0, 900, SHAPE).astype(dtype)


def labels(*found, dtype=np.uint8):
    array = np.zeros(SHAPE, dtype)
    array.flat[: len(found)] = found
    return array


def make(folder, suffixes=OLD, ending=".nii.gz", seg=(0, 1, 2, 4), dtype=np.int16, name=None):
    """Writes one subject and returns its folder; `seg=None` leaves it unlabelled."""
    name = name or folder.name
    for index, suffix in enumerate(suffixes[:4]):
        write(folder / f"{name}{suffix}{ending}", voxels(index, dtype))
    if seg is not None:
        write(folder / f"{name}{suffixes[4]}{ending}", labels(*seg))
    return folder


def load_one(raw_dir, **options):
    (source,) = brats.find(raw_dir)
    return brats.load(source, options)


def test_every_layout_at_once(tmp_path):
    """2018 to 2023 side by side: names, grades, labels, endings; hidden and foreign files do not disturb."""
    make(tmp_path / "2018" / "HGG" / "Brats18_A")
    make(tmp_path / "2018" / "LGG" / "Brats18_B", ending=".nii")
    make(tmp_path / "MICCAI_BraTS_2019_Data_Training" / "HGG" / "BraTS19_C")
    make(tmp_path / "2020" / "BraTS20_Training_001", ending=".nii")
    make(tmp_path / "2020" / "BraTS20_Training_002", ending=".nii")
    make(tmp_path / "2020" / "BraTS20_Training_003", ending=".nii")
    (tmp_path / "2020" / "name_mapping.csv").write_text(
        "Grade,BraTS_2017_subject_ID,BraTS_2020_subject_ID\nLGG,NA,BraTS20_Training_001\nHGG,X,BraTS20_Training_002\n"
    )
    (tmp_path / "2020" / "name_mapping_validation_data.csv").write_text("BraTS_2020_subject_ID\nBraTS20_Training_003\n")
    make(tmp_path / "2021" / "BraTS2021_00000", seg=None)
    make(tmp_path / "2023" / "BraTS-GLI-00000-000", NEW, seg=(0, 1, 2, 3))
    (tmp_path / "2023" / "BraTS-GLI-00000-000" / "._BraTS-GLI-00000-000-t2f.nii.gz").write_bytes(b"\0")
    (tmp_path / "2023" / "readme.txt").write_text("")
    found = brats.find(tmp_path)
    assert [(source.name, source.grade, source.labelled) for source in found] == [
        ("BraTS-GLI-00000-000", None, True),
        ("BraTS19_C", "HGG", True),
        ("BraTS2021_00000", None, False),
        ("BraTS20_Training_001", "LGG", True),
        ("BraTS20_Training_002", "HGG", True),
        ("BraTS20_Training_003", None, True),
        ("Brats18_A", "HGG", True),
        ("Brats18_B", "LGG", True),
    ]
    assert pickle.loads(pickle.dumps(found)) == found and all(source.split is None for source in found)


@pytest.mark.parametrize(("suffixes", "seg"), [(OLD, (0, 1, 2, 4)), (NEW, (0, 1, 2, 3))])
def test_load(tmp_path, suffixes, seg):
    """Channels in the order flair, t1, t2, t1ce; arrays transposed to z, y, x; raw labels kept; label is whole tumour."""
    folder = make(tmp_path / "S1", suffixes, seg=seg)
    subject = load_one(tmp_path)
    assert subject.image.shape == (4, 5, 6, 4) and subject.image.dtype == np.int16
    for channel in range(4):
        np.testing.assert_array_equal(subject.image[..., channel], voxels(channel).T)
    np.testing.assert_array_equal(subject.raw_label, labels(*seg).T)
    np.testing.assert_array_equal(subject.label, labels(*seg).T > 0)
    assert subject.label.dtype == subject.raw_label.dtype == np.uint8
    flair = voxels().astype(np.float32)
    np.testing.assert_allclose((subject.mean[0], subject.std[0]), (flair.mean(), flair.std()), rtol=1e-6)
    assert subject.source == str(folder / f"S1{suffixes[0]}.nii.gz") and subject.source_size is None
    np.testing.assert_array_equal(nibabel.Nifti1Header(subject.header).get_best_affine(), AFFINE)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("u1", "i2"), ("u2", "i2"), ("i4", "i2"), ("f4", "f4"), ("f8", "f4"), ("i2", "i2")]
)
def test_integers_stay_integers(tmp_path, dtype, expected):
    """Integers that fit become int16, floats float32, without a change of value."""
    make(tmp_path / "S1", dtype=dtype)
    image = load_one(tmp_path).image
    assert image.dtype == np.dtype(expected)
    np.testing.assert_array_equal(image[..., 3], voxels(3, dtype).T)


def test_integers_beyond_int16(tmp_path):
    """One modality that does not fit makes the whole image float32, exactly."""
    folder = make(tmp_path / "S1")
    large = voxels().astype(np.int32) * 50
    write(folder / "S1_t2.nii.gz", large)
    image = load_one(tmp_path).image
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image[..., 2], large.T)
    np.testing.assert_array_equal(image[..., 0], voxels().T)


def test_float_labels(tmp_path):
    """Whole numbers stored as float32 (2023) are labels; fractions and NaN are refused."""
    folder = make(tmp_path / "S1", NEW)
    write(folder / "S1-seg.nii.gz", labels(0, 1, 3, dtype=np.float32))
    assert load_one(tmp_path).label.sum() == 2
    for value, message in ((0.5, "whole numbers as labels, found 0.5"), (np.nan, "found nan"), (-1, "found -1 to 1")):
        write(folder / "S1-seg.nii.gz", labels(0, 1, value, dtype=np.float32))
        with pytest.raises(UserError, match=rf"S1-seg\.nii\.gz: .*{message}"):
            load_one(tmp_path)


@pytest.mark.parametrize(
    ("suffixes", "seg", "accepted"),
    [
        (OLD, (0,), True),
        (OLD, (0, 4), True),
        (OLD, (0, 1, 2, 3), True),
        (OLD, (0, 1, 2, 3, 4), False),
        (OLD, (0, 5), False),
        (NEW, (0, 1, 2, 3), True),
        (NEW, (0, 1, 2, 4), False),
        (NEW, (0, 4), False),
        (NEW, (0, 1, 2, 3, 4), False),
    ],
)
def test_known_label_sets(tmp_path, suffixes, seg, accepted):
    """Label 4 is tumour under the names of 2018 to 2021 and the resection cavity, hence refused, under later ones."""
    make(tmp_path / "S1", suffixes, seg=seg)
    if accepted:
        assert load_one(tmp_path).label.sum() == np.count_nonzero(seg)
        return
    with pytest.raises(UserError, match=r"S1.seg\.nii\.gz: expected labels of \{0, 1, .*--label_map=") as caught:
        load_one(tmp_path)
    assert f"found {{{', '.join(map(str, seg))}}}" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "seg", "foreground"),
    [
        ("BraTS-PED-00001-000", (0, 1, 2, 3, 4), 4),  # 4 is oedema there (F06)
        ("BraTS-GLI-00001-000", (0, 1, 2, 3), 3),
        ("BraTS-MEN-00001-000", (0, 1, 2, 3), 3),
        ("BraTS-MET-00001-000", (0, 1, 2, 3), 3),
        ("BraTS-SSA-00001-000", (0, 1, 2, 3), 3),
    ],
)
def test_labels_by_sub_challenge(tmp_path, name, seg, foreground):
    """The subject's name says which labels are tumour."""
    make(tmp_path / name, NEW, seg=seg)
    assert load_one(tmp_path).label.sum() == foreground


def test_the_advised_map_is_that_of_the_sub_challenge(tmp_path):
    """In BraTS-GLI 4 is the resection cavity: the advice leaves it out, and works as it is typed."""
    make(tmp_path / "BraTS-GLI-00001-100", NEW, seg=(0, 1, 2, 4))
    with pytest.raises(UserError, match=r"--label_map=(\S+) \(from 2024 on, 4 is the resection cavity") as caught:
        load_one(tmp_path)
    typed = str(caught.value).partition("--label_map=")[2].split()[0]
    assert load_one(tmp_path, label_map=labelling.parse_map(typed)).label.sum() == 2


@pytest.mark.parametrize("written", ["S1_seg.NII.GZ", "S1_SEG.nii.gz", "S1-Seg.nii.gz"])
def test_labels_in_any_case(tmp_path, written):
    """Other cases of an official name are that name, for labels and modalities (F17)."""
    folder = make(tmp_path / "S1", seg=(0, 1, 2))
    (folder / "S1_seg.nii.gz").rename(folder / written)
    (folder / "S1_t1.nii.gz").rename(folder / "S1_T1.NII.gz")
    assert load_one(tmp_path).label.sum() == 2


@pytest.mark.parametrize(
    "written", ["S1_mask.nii.gz", "S1_label.nii", "S1_Segm.nii.gz", "S1-Label.NII.GZ", "roi_Mask.nii"]
)
def test_labels_under_other_names_are_named(tmp_path, written):
    """They would make the subject unlabelled without a word; beside official labels, or of the brain, they do not matter."""
    folder = make(tmp_path / "S1", seg=None)
    write(folder / "a.nii.gz", labels(0, 1))
    (folder / "a.nii.gz").rename(folder / written)
    with pytest.raises(
        UserError, match=rf"S1.{written}: expected labels of S1 under an official name.*rename it to S1_seg"
    ):
        brats.find(tmp_path)
    write(folder / "S1_seg.nii.gz", labels(0, 1))
    assert brats.find(tmp_path)[0].labelled
    (folder / "S1_seg.nii.gz").unlink()
    (folder / written).rename(folder / "S1_brain_mask.nii.gz")
    assert not brats.find(tmp_path)[0].labelled


def test_label_map(tmp_path):
    """A label map decides alone, must cover what is found, and leaves the raw labels."""
    make(tmp_path / "S1", NEW, seg=(0, 1, 2, 3, 4))
    subject = load_one(tmp_path, label_map={1: 1, 2: 1, 3: 1, 4: 0})
    assert subject.label.sum() == 3 and subject.raw_label.max() == 4
    with pytest.raises(UserError, match=r"found \{0, 1, 2, 3, 4\}; add the missing"):
        load_one(tmp_path, label_map={1: 1})
    with pytest.raises(UserError, match="mapped to 0 or 1"):
        load_one(tmp_path, label_map={1: 1, 2: 2, 3: 1, 4: 0})


def test_missing_modality(tmp_path):
    """Names the folder, what is there and what is missing."""
    folder = make(tmp_path / "S1")
    (folder / "S1_t2.nii.gz").unlink()
    with pytest.raises(UserError, match=r"S1: .*found S1_flair.nii.gz, S1_seg.nii.gz, .*; t2 missing"):
        brats.find(tmp_path)


def test_modality_twice(tmp_path):
    """Both .nii and .nii.gz: nobody can know which is right."""
    folder = make(tmp_path / "S1")
    write(folder / "S1_t2.nii", voxels())
    with pytest.raises(UserError, match=r"one t2 file, found S1_t2\.nii and S1_t2\.nii\.gz"):
        brats.find(tmp_path)


def test_subject_twice(tmp_path):
    """The same name in two folders is refused naming both."""
    make(tmp_path / "HGG" / "S1")
    make(tmp_path / "LGG" / "S1")
    with pytest.raises(UserError, match=r"LGG.S1.S1_flair.*S1 also in .*HGG.S1"):
        brats.find(tmp_path)


def test_links_to_one_subject_are_one(tmp_path):
    """A subject reached through links is one, with the grade that any of its places tells; loops of links end."""
    make(tmp_path / "sorted" / "HGG" / "S1")
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "S1").symlink_to(tmp_path / "sorted" / "HGG" / "S1")
    for name in ("loop", "another"):
        (tmp_path / "sorted" / name).symlink_to(tmp_path)
    (source,) = brats.find(tmp_path)
    assert (source.name, source.grade) == ("S1", "HGG")
    assert brats.find_one(tmp_path).name == "S1"
    folder = tmp_path / "sorted" / "HGG" / "S1"
    (folder / "S1_t1.nii").hardlink_to(folder / "S1_t1.nii.gz")
    assert len(brats.find(tmp_path)) == 1
    make(tmp_path / "LGG" / "S1")
    with pytest.raises(UserError, match="each subject once"):
        brats.find(tmp_path)


def test_names_are_compared_composed(tmp_path):
    """Modalities of a name that a Mac decomposed, and of the same name composed, are of one subject."""
    folder = make(tmp_path / "S", name="m\u00fcller")
    (folder / "m\u00fcller_t1.nii.gz").rename(folder / "mu\u0308ller_t1.nii.gz")
    (source,) = brats.find(tmp_path)
    assert source.name == "m\u00fcller" and brats.load(source).label is not None


def test_empty_and_foreign_folders(tmp_path):
    """No folder, nothing in it, no NIfTI in it, or NIfTI files of other names."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: expected BraTS subjects.*found no file; .*launch/phantom\.py"):
        brats.find(tmp_path / "empty")
    with pytest.raises(UserError, match="no such folder"):
        brats.find(tmp_path / "absent")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "VSD.Brain.mha").write_bytes(b"")
    with pytest.raises(UserError, match=r"no NIfTI file, but VSD\.Brain\.mha"):
        brats.find(tmp_path / "images")
    write(tmp_path / "odd" / "pat1" / "Flair_subtrMeanDivStd.nii.gz", voxels())
    with pytest.raises(UserError, match=r"pat1: expected files named <id>_flair.*found Flair_subtrMeanDivStd"):
        brats.find(tmp_path / "odd")


def test_misnamed_segmentation(tmp_path):
    """BraTS20_Training_355 would silently pass for unlabelled; the message says how to rename its file."""
    folder = make(tmp_path / "BraTS20_Training_355", ending=".nii", seg=None)
    write(folder / "W39_1998.09.19_Segm.nii", labels(0, 1))
    with pytest.raises(UserError, match=r"W39_1998\.09\.19_Segm\.nii: .*rename it to BraTS20_Training_355_seg\.nii if"):
        brats.find(tmp_path)
    assert not brats.find_one(folder).labelled


def test_normalised_images_are_refused(tmp_path):
    """Neither the brain mask nor the z-score would be right; --allow_negative takes the image as it is."""
    folder = make(tmp_path / "S1", dtype=np.float32)
    write(folder / "S1_t1.nii.gz", (voxels(dtype=np.float32) - 450) / 260)
    with pytest.raises(UserError, match=r"S1_t1\.nii\.gz: .*already normalised; .*--allow_negative"):
        load_one(tmp_path)
    assert load_one(tmp_path, allow_negative=True).image.min() < 0


def test_one_negative_voxel_is_no_normalisation(tmp_path):
    """Resampling leaves a few; they stay as they are (F13)."""
    folder = make(tmp_path / "S1", dtype=np.float32)
    negative = voxels(dtype=np.float32)
    negative[0, 0, 0] = -0.02
    write(folder / "S1_t1.nii.gz", negative)
    np.testing.assert_array_equal(load_one(tmp_path).image[..., 1], negative.T)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite(tmp_path, value):
    """Refused naming the file and how many."""
    folder = make(tmp_path / "S1", dtype=np.float32)
    bad = voxels(dtype=np.float32)
    bad[0, 0, :2] = value
    write(folder / "S1_t1ce.nii.gz", bad)
    with pytest.raises(UserError, match=r"S1_t1ce\.nii\.gz: expected finite voxels, found 2 "):
        load_one(tmp_path)


def test_constant_modality(tmp_path):
    """An empty file cannot be standardised."""
    folder = make(tmp_path / "S1")
    write(folder / "S1_t2.nii.gz", np.zeros(SHAPE, np.int16))
    with pytest.raises(UserError, match=r"S1_t2\.nii\.gz: expected voxels that vary, found 0 everywhere"):
        load_one(tmp_path)


@pytest.mark.parametrize("suffix", ["_t2", "_seg"])
def test_contradictory_geometry(tmp_path, suffix):
    """A shape or affine unlike flair's is refused for modalities and labels; other codes are not."""
    folder = make(tmp_path / "S1")
    path = folder / f"S1{suffix}.nii.gz"
    array = labels(0, 1) if suffix == "_seg" else voxels(2)
    image = nibabel.Nifti1Image(array, AFFINE)
    image.set_sform(AFFINE, 0)
    image.set_qform(AFFINE, 1)
    nibabel.save(image, path)
    load_one(tmp_path)
    write(path, array, np.diag([-1.0, -1.0, 1.002, 1.0]))
    with pytest.raises(UserError, match=rf"S1{suffix}\.nii\.gz: expected the affine of S1_flair\.nii\.gz"):
        load_one(tmp_path)
    write(path, array[:-1])
    with pytest.raises(UserError, match=rf"S1{suffix}\.nii\.gz: expected the shape of S1_flair\.nii\.gz, 6x5x4"):
        load_one(tmp_path)


def test_truncated_file(tmp_path):
    """A cut .nii.gz is named, with what to do."""
    folder = make(tmp_path / "S1")
    path = folder / "S1_t1.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()))[:-40])
    with pytest.raises(UserError, match=r"S1_t1\.nii\.gz: .*truncated.*download or copy it again"):
        load_one(tmp_path)


def test_new_patient(tmp_path):
    """A folder is enough, whatever lies beside the modalities; a file, two subjects or nothing are refused."""
    folder = make(tmp_path / "S1", seg=(0, 7))
    source = brats.find_one(str(folder))
    assert source.name == "S1" and not source.labelled
    subject = brats.load(source, {"label_map": None})
    assert subject.label is None and subject.raw_label is None
    with pytest.raises(UserError, match="found a file; give its folder"):
        brats.find_one(folder / "S1_t1.nii.gz")
    with pytest.raises(UserError, match="no such folder"):
        brats.find_one(tmp_path / "absent")
    make(tmp_path / "S2")
    with pytest.raises(UserError, match="expected one subject, found 2"):
        brats.find_one(tmp_path)


def test_slices_that_are_not_axial_are_reported(tmp_path, caplog):
    """Nothing is reoriented; one line says so."""
    folder = make(tmp_path / "S1")
    for suffix in OLD:
        write(folder / f"S1{suffix}.nii.gz", labels(0, 1) if suffix == "_seg" else voxels(), np.eye(4)[[2, 0, 1, 3]])
    np.testing.assert_array_equal(load_one(tmp_path).image[..., 0], voxels().T)
    assert len(caplog.records) == 1 and "S1_flair.nii.gz" in caplog.text


@pytest.mark.skipif("TFUNC_REAL_DATA" not in os.environ, reason="TFUNC_REAL_DATA names no folder")
def test_real_subjects():
    """Real files of 2021 and 2023 load (seconds each); a subject of 2013 is refused."""
    real = pathlib.Path(os.environ["TFUNC_REAL_DATA"])
    sources = brats.find(real / "brats")
    assert [source.name for source in sources if source.labelled] == ["BraTS-GLI-00000-000", "BraTS2021_00006"]
    for source in sources:
        subject = brats.load(source)
        assert subject.image.shape == (155, 240, 240, 4) and subject.image.dtype == np.int16
        if source.labelled:
            assert 10_000 < subject.label.sum() < 300_000
            np.testing.assert_array_equal(np.asarray(nibabel.load(source.seg).dataobj).T, subject.raw_label)
    with pytest.raises(UserError, match="brats_2013_pat0005_1: expected files named <id>_flair"):
        brats.find(real / "odd")


def test_a_file_beside_an_unlabelled_subject_is_named(tmp_path):
    """It may hold the labels under a name that nobody knows, as those of TCIA."""
    folder = tmp_path / "TCGA-00"
    for suffix in ("_flair", "_t1", "_t2", "_t1ce", "_GlistrBoost_ManuallyCorrected"):
        write(folder / f"TCGA-00{suffix}.nii.gz", voxels())
    with notices.gathered() as noticed:
        (source,) = brats.find(tmp_path)
    (line,) = noticed.lines()
    assert (
        not source.labelled and "TCGA-00_GlistrBoost_ManuallyCorrected.nii.gz beside it is not used: rename it" in line
    )
