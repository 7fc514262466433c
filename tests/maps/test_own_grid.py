"""Maps lie on the images they were made of, whatever their orientation, spacing and size: from raw files to files of maps."""

import nibabel
import numpy as np
import own_folders
import pytest
import tensorflow as tf
from nibabel.affines import apply_affine
from PIL import Image

from data_prep import convert, datasets, map_files, records, tasks
from data_prep.map_files import MAPS
from data_prep.readers import nifti
from tfunc.maps import writing
from tfunc.maps.options import Options
from tfunc.maps.predictor import Predictor

# order, spacing and size of x, y, z, degrees about z: no two subjects alike
KINDS = (
    ("LPS", (1.0, 1.0, 4.0), (40, 36, 10), 0),
    ("RAS", (1.0, 1.0, 4.0), (34, 40, 11), 0),
    ("RAS", (1.3, 1.2, 4.0), (30, 28, 9), 0),
    ("PIR", (0.8, 4.0, 0.9), (44, 12, 40), 0),
    ("LPS", (1.0, 1.0, 4.0), (38, 38, 10), 15),
    ("LAS", (1.3, 1.2, 4.5), (28, 30, 8), -10),
)
POINTS = ((0.3, 0.35, 0.3), (0.65, 0.6, 0.7))  # of two landmarks, as shares of the body's extent: right to left, …


class ByIntensity:
    """A predictive that knows air and landmarks of 100 and -100, so that no border between two of them looks like the third."""

    def __call__(self, images, seeds):
        value = images[..., 0]
        score = tf.stack([-tf.abs(value - level) / 20 for level in (0.0, 100.0, -100.0)], axis=-1)
        probability = tf.nn.softmax(score)
        prediction = tf.cast(tf.argmax(probability, axis=-1), tf.uint8)
        return {"probability": probability, "prediction": prediction, "uncertainty": 1 - tf.reduce_max(probability, -1)}


def affine_of(order, spacing, turned):
    ornt = nibabel.orientations.axcodes2ornt(order)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (body, sign) in enumerate(ornt):
        affine[int(body), axis] = sign * spacing[axis]
    angle = np.radians(turned)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ affine


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """(folder of raw data, folder of records): subjects of every kind, each with two landmarks as wide as some voxels."""
    folder = tmp_path_factory.mktemp("mixed")
    names = {"background": 0, "first": 3, "second": 7}
    own_folders.write_json(
        folder / "raw" / "dataset.json", own_folders.described(("noNorm",), names, training=len(KINDS))
    )
    for index, (order, spacing, shape, turned) in enumerate(KINDS):
        affine = affine_of(order, spacing, turned)
        voxels = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
        places = apply_affine(affine, voxels)
        low, high = places.reshape(-1, 3).min(0), places.reshape(-1, 3).max(0)
        image, label = np.zeros(shape, np.int16), np.zeros(shape, np.uint8)
        for value, number, point in zip((100, -100), (3, 7), POINTS, strict=True):
            near = np.abs((places - (low + np.array(point) * (high - low))) / [4.5, 4.5, 7.0])
            inside = (near**2).sum(-1) < 1
            image[inside], label[inside] = value, number
        own_folders.write_volume(folder / "raw" / "imagesTr" / f"case_{index}_0000.nii.gz", image.T, affine)
        own_folders.write_volume(folder / "raw" / "labelsTr" / f"case_{index}.nii.gz", label.T, affine)
    convert.convert(*datasets.find(str(folder / "raw")), folder / "data", say=lambda line: None)
    return folder


def test_what_all_subjects_come_to(mixed):
    """Slices along the body's axis, at the median spacing, in one frame that holds the largest."""
    manifest = records.read_manifest(mixed / "data")
    task = manifest.task
    assert (task.order, task.axis, task.frame) == ("LPS", 2, (48, 48))
    assert task.spacing == pytest.approx((1.0, 1.0))
    assert len({entry.shape[1:] for entry in manifest.subjects}) > 2
    assert {entry.voxels[0] + sum(entry.voxels[1:]) for entry in manifest.subjects} == {
        int(np.prod(entry.shape)) for entry in manifest.subjects
    }


@pytest.fixture(scope="module")
def predicted(mixed):
    """{subject: its entry} of whom maps are written into `mixed / "maps"`."""
    manifest = records.read_manifest(mixed / "data")
    made = Predictor(ByIntensity, 1, 4, Options(batch_size=5), task=manifest.task)
    names = [entry.name for entry in manifest.subjects]
    for subject, maps in made.subjects(records.read_subjects(mixed / "data", manifest, names)):
        written = writing.write_maps(mixed / "maps", subject, maps, task=manifest.task, names="nnunet")
        there, _ = nifti.read_map(mixed / "maps" / f"{subject.name}_prediction.nii.gz")
        np.testing.assert_array_equal(written["prediction"], there)  # what launch/predict.py counts voxels of
    return {entry.name: entry for entry in manifest.subjects}


@pytest.mark.parametrize("index", range(len(KINDS)), ids=[f"{order}{turned}" for order, _, _, turned in KINDS])
def test_maps_lie_on_their_image(mixed, predicted, index):
    """Shape, affine and codes are the image's own; landmarks are found at their place in the patient, to half a voxel."""
    raw = nibabel.load(mixed / "raw" / "imagesTr" / f"case_{index}_0000.nii.gz")
    label = np.asarray(nibabel.load(mixed / "raw" / "labelsTr" / f"case_{index}.nii.gz").dataobj)
    maps = {name: nibabel.load(mixed / "maps" / f"case_{index}_{name}.nii.gz") for name in MAPS}
    for name, image in maps.items():
        assert image.shape == raw.shape + ((3,) if name == "probability" else ())
        np.testing.assert_array_equal(image.affine, raw.affine)
        assert image.header["sform_code"] == raw.header["sform_code"]
    prediction, probability = (np.asarray(maps[name].dataobj) for name in ("prediction", "probability"))
    assert set(np.unique(prediction)) == {0, 3, 7} and prediction.dtype == np.uint8
    np.testing.assert_array_equal(np.array([0, 3, 7])[probability.argmax(-1)], prediction)
    np.testing.assert_allclose(probability.sum(-1), 1, atol=1e-5)
    for number in (3, 7):
        here, there = (apply_affine(raw.affine, np.argwhere(array == number).mean(0)) for array in (prediction, label))
        assert np.linalg.norm(here - there) < 0.5 * min(raw.header.get_zooms())
        both = ((prediction == number) & (label == number)).sum()
        assert 2 * both / ((prediction == number).sum() + (label == number).sum()) > 0.8
    named, _ = nifti.read_map(mixed / "maps" / f"case_{index}.nii.gz")
    np.testing.assert_array_equal(named.T, prediction)


def test_truth_on_the_own_grid_is_the_file(mixed, predicted):
    """What evaluation reads of the records is the label as it lies in its own file, class by class."""
    manifest = records.read_manifest(mixed / "data")
    for subject in records.read_subjects(mixed / "data", manifest, list(predicted)):
        label, _ = nifti.read_map(mixed / "raw" / "labelsTr" / f"{subject.name}.nii.gz")
        np.testing.assert_array_equal(np.array([0, 3, 7])[subject.native().label], label)


def test_a_photograph_as_nnunet_names_it_has_its_own_size(tmp_path):
    """At the size of the photograph's own mask, in raw labels; its other maps stay at the network's size."""
    folder = own_folders.pairs(tmp_path / "raw", size=(40, 50))
    task, raw_dir = datasets.find(str(folder))
    task = tasks.resolved(task, frame=(32, 48))
    subject = task.load_reader().load(task.load_reader().find(raw_dir)[0], tasks.load_options(task), task)
    prediction = np.zeros(subject.image.shape[:3], np.uint8)
    prediction[:, :16] = 2
    probability = np.eye(3, dtype=np.float32)[prediction]
    maps = {"prediction": prediction, "probability": probability, "uncertainty": 1 - probability.max(-1)}
    writing.write_maps(tmp_path, subject, maps, task=task)
    assert map_files.is_written(tmp_path, subject.name)
    assert not map_files.is_written(tmp_path, subject.name, names="nnunet")  # asked for later, it is still written
    writing.write_maps(tmp_path, subject, maps, task=task, names="nnunet")
    assert map_files.is_written(tmp_path, subject.name, names="nnunet")
    named = np.asarray(Image.open(tmp_path / f"{subject.name}.png"))
    assert named.shape == (40, 50) and (named[:20] == 255).all() and not named[20:].any()
