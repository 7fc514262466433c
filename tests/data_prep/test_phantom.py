"""The phantoms: same seed, same bytes; official layouts; hard and easy subjects; continued, never mixed up."""

import gzip
import pathlib
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from PIL import Image

from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.phantom import layouts
from data_prep.phantom import write as phantom
from data_prep.phantom.brain import MODALITIES, brain
from data_prep.phantom.fields import smooth_noise
from data_prep.phantom.skin import skin

SMALL = {"brats": (16, 24, 20), "isic": (32, 48)}


def contents(folder):
    """Relative path -> bytes of every subject's file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "phantom.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A small phantom of each data set, made once for the module; tests must not change them."""
    made = {name: tmp_path_factory.mktemp(name) / "raw" for name in SMALL}
    for name, folder in made.items():
        phantom.write(name, folder, subjects=5, shape=SMALL[name], seed=7)
    return made


@pytest.mark.parametrize("dataset", SMALL)
def test_same_seed_same_bytes_whatever_the_number_of_subjects(dataset, folders, tmp_path):
    """A run with fewer subjects writes exactly the first ones of a longer run, another seed writes others."""
    phantom.write(dataset, tmp_path / "fewer", subjects=3, shape=SMALL[dataset], seed=7)
    phantom.write(dataset, tmp_path / "other", subjects=3, shape=SMALL[dataset], seed=8)
    whole, fewer, other = contents(folders[dataset]), contents(tmp_path / "fewer"), contents(tmp_path / "other")
    assert len(fewer) == 3 * len(whole) // 5
    assert fewer.items() <= whole.items()
    assert other.keys() == fewer.keys()
    images = [name for name in fewer if name.endswith(".jpg") or "seg" not in name]
    assert all(other[name] != fewer[name] for name in images)


def test_brats_layout(folders):
    """Folders and names of 2018, a third LGG, five files a subject, nothing temporary left."""
    names = contents(folders["brats"])
    assert len(names) == 5 * 5
    for index, grade in enumerate(["HGG", "HGG", "LGG", "HGG", "HGG"]):
        name = f"Phantom18_{index:03d}_1"
        for kind in (*MODALITIES, "seg"):
            assert f"{grade}/{name}/{name}_{kind}.nii.gz" in names
    assert {path.name for path in folders["brats"].iterdir()} == {"HGG", "LGG", "phantom.json"}


def test_brats_volumes(folders):
    """int16 in [x, y, z], one oblique affine a subject, codes set, exact zeros outside, the brain alike in all."""
    affines = []
    for folder in sorted(folders["brats"].glob("*GG/*")):
        images = [nibabel.load(folder / f"{folder.name}_{kind}.nii.gz") for kind in (*MODALITIES, "seg")]
        volumes = [np.asanyarray(image.dataobj) for image in images]
        affine = images[0].affine
        for image in images:
            assert image.shape == SMALL["brats"][::-1]
            assert np.array_equal(image.affine, affine)
            assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
            assert np.allclose(image.get_qform(), image.get_sform(), atol=1e-3)
        assert [volume.dtype for volume in volumes] == [np.int16] * 4 + [np.uint8]
        assert np.all(nibabel.affines.obliquity(affine) > np.deg2rad(1))
        assert np.linalg.det(affine[:3, :3]) > 0 and np.all(np.diag(affine)[:2] < 0)
        assert np.all(np.abs(nibabel.affines.voxel_sizes(affine) - 1) > 0.05)
        inside = volumes[0] > 0
        assert 0.1 < inside.mean() < 0.6
        for volume in volumes[:4]:
            assert np.array_equal(volume > 0, inside) and volume.min() == 0
        assert not np.any(volumes[4][~inside])
        affines.append(affine)
    assert len({affine.tobytes() for affine in affines}) == len(affines) == 5


def test_gzip_header_holds_no_time(folders):
    """Bytes 3 to 8 of a gzip file are flags and time; both are zero, and the file is whole."""
    for name, data in contents(folders["brats"]).items():
        assert data[3:8] == bytes(5), name
        assert len(gzip.decompress(data)) > 348


def test_tumours_have_their_parts():
    """Default size: label 0, 1, 2 in all, 4 in every HGG and not in every LGG; the rim is what shines in t1ce."""
    enhancing = []
    for index in range(6):
        low = layouts.is_low_grade(index)
        patient = brain(np.random.default_rng([0, index]), layouts.LAYOUTS["brats"].shape, low, layouts.is_hard(index))
        labels = patient.labels
        assert {0, 1, 2} <= set(np.unique(labels)) <= {0, 1, 2, 4}
        assert 300 < np.count_nonzero(labels) < 0.4 * np.count_nonzero(patient.modalities["t2"])
        if np.any(labels == 4):
            t1ce = patient.modalities["t1ce"].astype(float)
            assert t1ce[labels == 4].mean() > 1.15 * t1ce[labels == 1].mean()
        enhancing.append((low, bool(np.any(labels == 4))))
    assert all(rim for low, rim in enhancing if not low)
    lesser = [brain(np.random.default_rng([1, i]), SMALL["brats"], True).labels for i in range(8)]
    assert not all(np.any(labels == 4) for labels in lesser)


def test_hard_brains_show_less_contrast():
    """One in four is hard: its tumour stands out less from its brain than that of any other on average."""
    contrast = {False: [], True: []}
    for index in range(8):
        hard = layouts.is_hard(index)
        patient = brain(np.random.default_rng([0, index]), (16, 32, 32), layouts.is_low_grade(index), hard)
        flair, tumour = patient.modalities["flair"].astype(float), patient.labels > 0
        healthy = flair[(flair > 0) & ~tumour]
        contrast[hard].append((flair[tumour].mean() - healthy.mean()) / healthy.std())
    assert len(contrast[True]) == 2
    assert np.mean(contrast[True]) < 0.75 * np.mean(contrast[False])
    assert np.ptp(contrast[True] + contrast[False]) > 0.5


def test_isic_layout(folders):
    """Folders and names of 2017, every official part present, an RGB photograph with a binary mask of its size."""
    names = contents(folders["isic"])
    photos = [name for name in names if name.endswith(".jpg")]
    assert len(photos) == 5 and len(names) == 10
    parts = {pathlib.Path(name).parts[0] for name in photos}
    assert parts == {f"ISIC-2017_{part}_Data" for part in ("Training", "Validation", "Test_v2")}
    for name in photos:
        folder, file = pathlib.Path(name).parts
        mask = (
            folders["isic"] / folder.replace("_Data", "_Part1_GroundTruth") / file.replace(".jpg", "_segmentation.png")
        )
        with Image.open(folders["isic"] / name) as image, Image.open(mask) as truth:
            assert (image.mode, truth.mode, image.size, truth.size) == ("RGB", "L", (48, 32), (48, 32))
            assert set(np.unique(np.asarray(truth))) == {0, 255}


def test_isic_parts_are_70_10_20():
    """Ten subjects, and the first three already cover all parts."""
    count = {part: layouts.ISIC_PARTS.count(part) for part in layouts.ISIC_PARTS}
    assert count == {"Training": 7, "Validation": 1, "Test_v2": 2}
    assert len(set(layouts.ISIC_PARTS[:3])) == 3


def test_hard_lesions_are_faint():
    """Lesions are darker than the skin, hard ones much less so."""
    contrast = {False: [], True: []}
    for index in range(12):
        photo, mask = skin(np.random.default_rng([0, index]), (48, 64), hard=layouts.is_hard(index))
        assert photo.dtype == np.uint8 and photo.shape == (48, 64, 3) and 0.02 < mask.mean() < 0.6
        green = photo[..., 1].astype(float)
        contrast[layouts.is_hard(index)].append(np.median(green[~mask]) - np.median(green[mask]))
    assert min(contrast[False]) > 15
    assert np.mean(contrast[True]) < 0.5 * np.mean(contrast[False])


@pytest.mark.parametrize("dataset", SMALL)
def test_smallest_shapes_still_hold_something(dataset):
    """16 along every axis: foreground and background in every subject."""
    for index in range(12):
        rng = np.random.default_rng([3, index])
        if dataset == "brats":
            mask = brain(rng, (16, 16, 16), layouts.is_low_grade(index), layouts.is_hard(index)).labels > 0
        else:
            mask = skin(rng, (16, 16), layouts.is_hard(index))[1]
        assert 8 <= np.count_nonzero(mask) < 0.7 * mask.size


def test_smooth_noise_has_unit_variance_and_is_smooth():
    """Variance 1 at any scale, also where an axis is too coarse to be smoothed; neighbours alike where it is not."""
    noise = smooth_noise(np.random.default_rng(0), (400, 300), (0.5, 12))
    assert noise.dtype == np.float32 and noise.shape == (400, 300)
    assert abs(noise.var() - 1) < 0.05
    assert np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1] > 0.98
    assert abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("dataset", SMALL)
def test_a_killed_run_is_continued(dataset, folders, tmp_path, monkeypatch):
    """Killed in the third subject, then grown: finished ones are not redone, the result is that of one run."""
    real, drawn = getattr(layouts, {"brats": "brain", "isic": "skin"}[dataset]), []

    def dying(*arguments, **settings):
        drawn.append(1)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **settings)

    monkeypatch.setattr(layouts, real.__name__, dying)
    with pytest.raises(KeyboardInterrupt):
        phantom.write(dataset, tmp_path / "raw", subjects=4, shape=SMALL[dataset], seed=7)
    assert artefacts.read_json(tmp_path / "raw" / "phantom.json")["finished"] is False
    (tmp_path / "raw" / ".partial-Phantom18_002_1").mkdir()  # as a kill while writing would leave it
    written = phantom.write(dataset, tmp_path / "raw", subjects=5, shape=SMALL[dataset], seed=7)
    assert (written.kept, written.new, len(drawn)) == (2, 3, 6)
    assert contents(tmp_path / "raw") == contents(folders[dataset])
    again = phantom.write(dataset, tmp_path / "raw", subjects=5, shape=SMALL[dataset], seed=7)
    assert (again.kept, again.new, len(drawn)) == (5, 0, 6)
    record = artefacts.read_json(tmp_path / "raw" / "phantom.json")
    assert record["finished"] is True and "made-up" in record["note"] and record["shape"] == list(SMALL[dataset])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 8}, "seed 7 (there) against 8"),
        ({"shape": (16, 16, 16)}, "shape [16, 24, 20] (there) against [16, 16, 16]"),
        ({"dataset": "isic", "shape": (32, 48)}, "dataset 'brats' (there) against 'isic'"),
        ({"subjects": 4}, "subjects 5 (there) against 4"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(change, named, folders):
    """The difference is named, the folder stays as it was."""
    before = contents(folders["brats"])
    settings = {"dataset": "brats", "subjects": 5, "shape": SMALL["brats"], "seed": 7, **change}
    with pytest.raises(UserError, match=r"phantom\.json") as caught:
        phantom.write(raw_dir=folders["brats"], **settings)
    assert named in str(caught.value)
    assert contents(folders["brats"]) == before


def test_never_writes_among_other_data(tmp_path):
    """A folder with anything else in it, or a file in its place, is refused; hidden files do not count."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "HGG").mkdir()
    with pytest.raises(UserError, match="never mix, found HGG"):
        phantom.write("brats", tmp_path / "real", subjects=3, shape=(16, 16, 16))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: expected a folder where one is needed"):
        phantom.write("brats", tmp_path / "file", subjects=3, shape=(16, 16, 16))
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / ".keep").write_text("")
    assert phantom.write("isic", tmp_path / "hidden", subjects=3, shape=(16, 16)).new == 3


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"dataset": "brats", "shape": (64, 96)}, "--shape: expected 3 numbers for brats"),
        ({"dataset": "isic", "shape": (24, 64, 96)}, "--shape: expected 2 numbers for isic"),
        ({"dataset": "isic", "shape": (15, 64)}, "--shape: expected each at least 16"),
        ({"dataset": "brats", "shape": (5000, 5000, 5000)}, "the product at most"),
        ({"dataset": "brats", "subjects": 2}, "--subjects: expected at least 3"),
        ({"dataset": "isic", "seed": -1}, "--seed: expected 0 or more"),
        ({"dataset": "other"}, "--dataset: expected brats or isic or organs"),
    ],
)
def test_bad_arguments(settings, named, tmp_path):
    """Each is named in one line and nothing is written."""
    with pytest.raises(UserError) as caught:
        phantom.write(raw_dir=tmp_path / "raw", **settings)
    assert named in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "raw").exists()


def launch(*arguments):
    program = pathlib.Path(__file__).parents[2] / "launch" / "phantom.py"
    return subprocess.run([sys.executable, program, *arguments], capture_output=True, text=True, timeout=60)


def test_launcher(tmp_path):
    """Says what it wrote and the next command. Starts a process (about half a second)."""
    done = launch("--dataset=isic", f"--raw_dir={tmp_path}", "--subjects=3", "--shape=16,24", "--seed=2")
    assert done.returncode == 0, done.stderr
    assert "3 made-up isic subjects (3 new, 0 kept), 16x24, seed 2" in done.stdout
    assert f"python launch/prepare.py --dataset=isic --raw_dir={tmp_path}" in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("flag", ["--shape=16,a", "--dataset=chest", "--colour=red"])
def test_launcher_errors(flag, tmp_path):
    """One line on standard error and exit code 2. Starts a process (about half a second)."""
    done = launch("--dataset=isic", f"--raw_dir={tmp_path / 'raw'}", flag)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
