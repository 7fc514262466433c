"""The phantom of several classes: both forms hold the same data; grids differ; some subjects lack an organ; CT by its numbers."""

import pathlib
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from data_prep import voxel_order
from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.phantom import organ_layouts
from data_prep.phantom import write as phantom
from data_prep.phantom.organs import LABELS, organs

SMALL = (16, 24, 24)


def volume(path):
    image = nibabel.load(path)
    return np.asanyarray(image.dataobj), image.affine


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{form: a small phantom of 8 subjects}, made once; tests must not change them."""
    made = {form: tmp_path_factory.mktemp(form) / "Dataset900_Organs" for form in organ_layouts.FORMS}
    for form, folder in made.items():
        phantom.write("organs", folder, subjects=8, shape=SMALL, seed=7, form=form)
    return made


def test_nnunet_form(folders):
    """Channels are numbered, labels named, what lacks labels lies apart, and nothing temporary is left."""
    folder = folders["nnunet"]
    names = [f"organs_{index:03d}" for index in range(8)]
    assert sorted(path.name for path in (folder / "imagesTr").iterdir()) == [f"{name}_0000.nii.gz" for name in names]
    assert sorted(path.name for path in (folder / "labelsTr").iterdir()) == [f"{name}.nii.gz" for name in names]
    assert sorted(path.name for path in (folder / "imagesTs").iterdir()) == [f"new_00{i}_0000.nii.gz" for i in range(3)]
    document = artefacts.read_json(folder / "dataset.json")
    assert document["channel_names"] == {"0": "CT"} and document["numTraining"] == 8
    assert document["labels"] == {"background": 0, **LABELS} and document["file_ending"] == ".nii.gz"
    assert {path.name for path in folder.iterdir()} == {
        *("imagesTr", "labelsTr", "imagesTs"),
        *("dataset.json", "phantom.json"),
    }


def test_decathlon_form_holds_the_same_data(folders):
    """The same bytes under the Decathlon's names, all of them listed."""
    document = artefacts.read_json(folders["decathlon"] / "dataset.json")
    assert document["modality"] == {"0": "CT"} and document["labels"]["4"] == "tumour"
    assert len(document["training"]) == 8 and document["test"] == [f"./imagesTs/new_00{i}.nii.gz" for i in range(3)]
    for entry in document["training"]:
        image, label = folders["decathlon"] / entry["image"], folders["decathlon"] / entry["label"]
        twin = folders["nnunet"] / "imagesTr" / image.name.replace(".nii.gz", "_0000.nii.gz")
        assert image.read_bytes() == twin.read_bytes()
        assert label.read_bytes() == (folders["nnunet"] / "labelsTr" / label.name).read_bytes()


def test_grids_differ(folders):
    """Sizes, spacings and voxel orders differ, one lies askew; labels lie on their images."""
    orders, spacings, shapes, oblique = [], [], set(), []
    for path in sorted((folders["nnunet"] / "imagesTr").iterdir()):
        image, affine = volume(path)
        label, same = volume(folders["nnunet"] / "labelsTr" / path.name.replace("_0000", ""))
        assert image.dtype == np.int16 and label.dtype == np.uint8 and image.shape == label.shape
        assert np.array_equal(affine, same)
        orders.append(voxel_order.of_affine(affine))
        spacings.append(nibabel.affines.voxel_sizes(affine))
        shapes.add(image.shape)
        oblique.append(bool(np.any(nibabel.affines.obliquity(affine) > 0.01)))
    assert orders == ["LPS", "RAS"] + ["LPS"] * 3 + ["RAS"] + ["LPS"] * 2
    assert oblique == [False] * 6 + [True, False] and len(shapes) > 4
    in_plane = [sizes[0] for sizes in spacings]
    assert max(in_plane) > 1.1 * min(in_plane)


def test_the_order_of_voxels_moves_nothing_in_space(folders):
    """The liver lies on the patient's right, by the affine, in every voxel order."""
    for path in sorted((folders["nnunet"] / "labelsTr").iterdir()):
        label, affine = volume(path)
        liver, rest = (np.argwhere(chosen) for chosen in (label == 1, label >= 0))
        middles = [nibabel.affines.apply_affine(affine, voxels.mean(0)) for voxels in (liver, rest)]
        assert middles[0][0] > middles[1][0] + 20, path.name  # millimetres grow to the right


def test_hounsfield_units_tell_the_tissues():
    """Air, and each organ by its own units; the tumour is darker than the liver it lies in."""
    patient = organs(np.random.default_rng(3), (20, 64, 64))
    means = {name: float(patient.image[patient.labels == label].mean()) for name, label in LABELS.items()}
    assert means["tumour"] + 20 < means["liver"] < means["spleen"] < means["kidney"]
    assert patient.image.min() < -950 and patient.image[:, 0, 0].mean() == pytest.approx(-1000, abs=15)


def test_what_is_lacking_and_what_is_hard():
    """Every sixth has no spleen, every sixth no tumour; all have a liver and kidneys; hard tumours show less."""
    contrast = {False: [], True: []}
    for index in range(12):
        lacking, hard = organ_layouts.lacking(index), index % 4 == 3
        patient = organs(np.random.default_rng([0, index]), (20, 64, 64), lacking, hard)
        there = {name for name, label in LABELS.items() if np.any(patient.labels == label)}
        assert there == set(LABELS) - set(lacking)
        if "tumour" in there:
            liver, tumour = (patient.image[patient.labels == LABELS[name]].mean() for name in ("liver", "tumour"))
            contrast[hard].append(liver - tumour)
    assert [organ_layouts.lacking(index) for index in range(6)] == [(), (), ("tumour",), (), ("spleen",), ()]
    assert np.mean(contrast[True]) < 0.75 * np.mean(contrast[False])


def test_the_tumour_s_border_is_uncertain():
    """The image fades over more than a voxel at the label's border: voxels just inside are brighter than the middle."""
    patient = organs(np.random.default_rng(5), (20, 64, 64))
    tumour = patient.labels == LABELS["tumour"]
    inner = tumour.copy()
    for axis in range(3):
        for step in (-1, 1):
            inner &= np.roll(tumour, step, axis)
    border = patient.image[tumour & ~inner].mean()
    assert patient.image[inner].mean() + 8 < border < patient.image[patient.labels == LABELS["liver"]].mean()


@pytest.mark.parametrize("form", organ_layouts.FORMS)
def test_continued_and_grown(form, folders, tmp_path):
    """Fewer subjects, then more: the files of one run, and dataset.json says how many there are."""
    written = phantom.write("organs", tmp_path / "raw", subjects=3, shape=SMALL, seed=7, form=form)
    assert (written.new, written.kept) == (6, 0)
    next((tmp_path / "raw" / "labelsTr").iterdir()).unlink()
    written = phantom.write("organs", tmp_path / "raw", subjects=8, shape=SMALL, seed=7, form=form)
    assert (written.new, written.kept) == (6, 5)
    for path in sorted(path for path in folders[form].rglob("*") if path.is_file()):
        assert (tmp_path / "raw" / path.relative_to(folders[form])).read_bytes() == path.read_bytes()
    assert phantom.write("organs", tmp_path / "raw", subjects=8, shape=SMALL, seed=7, form=form).new == 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"dataset": "organs", "form": "dicom"}, "--form: expected nnunet or decathlon, found 'dicom'"),
        ({"dataset": "isic", "form": "nnunet"}, "--form: expected --dataset=organs beside it, found isic"),
        ({"dataset": "organs", "shape": (64, 64)}, "--shape: expected 3 numbers for organs"),
    ],
)
def test_bad_arguments(settings, named, tmp_path):
    """Each is named in one line and nothing is written."""
    with pytest.raises(UserError) as caught:
        phantom.write(raw_dir=tmp_path / "raw", **settings)
    assert named in str(caught.value) and not (tmp_path / "raw").exists()


def test_another_form_in_the_same_folder_is_refused(folders):
    """A folder has one form."""
    with pytest.raises(UserError, match=r"form 'nnunet' \(there\) against 'decathlon'"):
        phantom.write("organs", folders["nnunet"], subjects=8, shape=SMALL, seed=7, form="decathlon")


def test_launcher(tmp_path):
    """The next command gives the folder itself, since it says what is in it. Starts a process (about half a second)."""
    program = pathlib.Path(__file__).parents[2] / "launch" / "phantom.py"
    flags = ["--dataset=organs", f"--raw_dir={tmp_path / 'D'}", "--subjects=3", "--shape=16,16,16", "--form=decathlon"]
    done = subprocess.run([sys.executable, program, *flags], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"python launch/prepare.py --dataset={tmp_path / 'D'}\n" in done.stdout
