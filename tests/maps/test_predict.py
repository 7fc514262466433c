"""Maps lie on their source voxel by voxel, do not depend on the batch, and are written once."""

import json
import shutil
import types

import nibabel
import numpy as np
import pytest
import tensorflow as tf
from conftest import predict_one
from PIL import Image

from data_prep import convert, label_colours, records, tasks
from data_prep.base import artefacts, locks
from data_prep.base.errors import NotReady, UserError
from data_prep.map_files import MAPS
from data_prep.readers import brats, isic, nifti
from tfunc import methods, runs
from tfunc.maps import predict as prediction
from tfunc.maps import writing
from tfunc.maps.predictor import Predictor
from tfunc.nets import devices

FEW = {"samples": 3}
SHAPE = (23, 19, 11)  # x, y, z: odd all of them, and each its own
SUFFIXES = ("_flair", "_t1", "_t2", "_t1ce")


def oblique():
    """An affine turned about two axes, left-handed, with voxels of three sizes."""
    a, b = 0.3, -0.2
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag([-1.1, -0.9, 2.5])
    affine[:3, 3] = 12.5, -34.25, 7.75
    return affine


def write_patient(folder, seed, labelled=True):
    """Four int16 modalities whose brain touches two borders of the plane and stays away from the others."""
    random, folder = np.random.default_rng(seed), folder / f"P{seed}"
    folder.mkdir(parents=True)
    for suffix in (*SUFFIXES, "_seg")[: 5 if labelled else 4]:
        array = np.zeros(SHAPE, np.uint8 if suffix == "_seg" else np.int16)
        inside = array[5:, :14, 1:-1]
        inside[:] = (
            random.choice([0, 1, 2, 4], inside.shape) if suffix == "_seg" else random.integers(1, 900, inside.shape)
        )
        image = nibabel.Nifti1Image(array, oblique())
        image.set_sform(oblique(), 2)
        image.set_qform(oblique(), 1)
        nibabel.save(image, folder / f"P{seed}{suffix}.nii.gz")
    return folder


class Copies:
    """In place of a network: maps that are the images' own channels, so that a misplaced voxel shows."""

    def __call__(self, images, seeds):
        flair, t1 = images[..., 0], images[..., 1]
        return {"probability": flair, "uncertainty": t1, "prediction": tf.cast(images[..., 2] > 0, tf.uint8)}


def copies(batch_size=4):
    return Predictor(Copies, 4, 4, prediction.Options(batch_size=batch_size))


def check_overlay(folder, patient):
    """Each map has the geometry of the patient's files and, voxel by voxel, the value of its channel there."""
    name = patient.name
    sources = [nibabel.load(patient / f"{name}{suffix}.nii.gz") for suffix in SUFFIXES]
    for kind, index in (("probability", 0), ("uncertainty", 1), ("prediction", 2)):
        written, source = nibabel.load(folder / f"{name}_{kind}.nii.gz"), sources[index]
        assert written.shape == SHAPE
        np.testing.assert_allclose(written.affine, source.affine, atol=1e-6)
        for form in ("get_sform", "get_qform"):
            ours, theirs = getattr(written, form)(coded=True), getattr(source, form)(coded=True)
            np.testing.assert_allclose(ours[0], theirs[0], atol=1e-6)
            assert ours[1] == theirs[1]
        voxels = np.asarray(source.dataobj).astype(np.float32)
        zscore = (voxels - voxels.mean()) / voxels.std()
        found = np.asarray(written.dataobj)
        np.testing.assert_allclose(found, zscore > 0 if kind == "prediction" else zscore, atol=1e-4)
        assert 0 < np.mean(zscore > 0) < 1


def test_a_map_overlays_its_source_through_the_records(tmp_path):
    """Oblique affine, odd sizes, a crop that touches the border: what records cut away is back in its place."""
    patients = [write_patient(tmp_path / "raw", seed) for seed in (1, 2, 3)]
    (tmp_path / "split.json").write_text(json.dumps({"train": ["P1"], "valid": ["P2"], "test": ["P3"]}))
    manifest = convert.convert(
        "brats", tmp_path / "raw", tmp_path / "data", split_files=[str(tmp_path / "split.json")], say=lambda line: None
    )
    names = [patient.name for patient in patients]
    for subject, maps in copies().subjects(records.read_subjects(tmp_path / "data", manifest, names)):
        writing.write_maps(tmp_path / "maps", subject, maps)
    for patient in patients:
        check_overlay(tmp_path / "maps", patient)


def test_a_map_overlays_its_source_through_one_new_patient(tmp_path, monkeypatch):
    """The same for `--input`: no records, no labels."""
    patient = write_patient(tmp_path, 5, labelled=False)

    trained = types.SimpleNamespace(
        config=types.SimpleNamespace(input={}, task=tasks.TASKS["brats"], streams=2),
        name="baseline",
        checksum="0",
        configuration="0",
    )
    monkeypatch.setattr(prediction.predictor, "of_method", lambda *_: (copies(), [trained]))
    method = methods.get("baseline")
    options = prediction.Options()
    predict_one(method, "brats", patient, tmp_path, tmp_path / "maps", options)
    check_overlay(tmp_path / "maps", patient)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batches_run_across_subjects_of_different_sizes(tmp_path, batch_size):
    """However slices are put into batches, each subject gets its own maps, in order, of its own size."""
    subjects = []
    for number, shape in enumerate([(3, 8, 9), (1, 8, 9), (4, 8, 9), (2, 11, 8)]):
        image = np.random.default_rng(number).normal(size=(*shape, 4)).astype("f4")
        subjects.append(brats.subject.Subject(str(number), image, np.zeros(4, "f4"), np.ones(4, "f4")))
    results = list(copies(batch_size).subjects(iter(subjects)))
    assert [subject.name for subject, _ in results] == ["0", "1", "2", "3"]
    for subject, maps in results:
        np.testing.assert_array_equal(maps["probability"], subject.image[..., 0])
        assert maps["prediction"].dtype == np.uint8


def test_slices_too_small_for_the_poolings_are_refused():
    """A volume that the network's depth would pool away is named, with the least size."""
    image = np.ones((2, 3, 9, 4), "f4")
    subject = brats.subject.Subject("tiny", image, np.zeros(4, "f4"), np.ones(4, "f4"), source="a/tiny.nii.gz")
    with pytest.raises(UserError, match=r"a/tiny.nii.gz.*at least 4x4, found 3x9"):
        list(copies().subjects([subject]))


def predictor(run, method="baseline_mc", dataset="brats", strategy=None, **options):
    made, _ = prediction.predictor.of_method(
        methods.get(method), run, dataset, prediction.Options(**{**FEW, **options}), strategy
    )
    return made


def maps_of(made, data_dir, names):
    manifest = records.read_manifest(data_dir)
    found = made.subjects(records.read_subjects(data_dir, manifest, names))
    return {subject.name: maps for subject, maps in found}


@pytest.fixture(scope="module")
def test_names(brats_data):
    return [entry.name for entry in records.read_manifest(brats_data).split("test")]


@pytest.fixture(scope="module")
def whole(brats_run, brats_data, test_names):
    """MC maps of the test subjects, in one large batch."""
    return maps_of(predictor(brats_run, batch_size=64), brats_data, test_names)


def same_maps(one, other):
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_sampled_maps_do_not_depend_on_the_batch(brats_run, brats_data, test_names, whole, batch_size):
    """MC maps are the same slice by slice, in uneven batches, and for a subject asked for alone."""
    name = test_names[1]
    alone = maps_of(predictor(brats_run, batch_size=batch_size), brats_data, [name])
    same_maps(whole[name], alone[name])


def test_sampled_maps_do_not_depend_on_replicas(brats_run, brats_data, test_names, whole):
    """Two logical CPUs, batches that do not divide: the maps of one."""
    strategy = devices.strategy(["CPU:0", "CPU:1"])
    found = maps_of(predictor(brats_run, strategy=strategy, batch_size=7), brats_data, test_names[:1])
    same_maps(whole[test_names[0]], found[test_names[0]])


def test_another_seed_gives_other_samples(brats_run, brats_data, test_names, whole):
    """The seed is the samples' seed: other maps for another one, the same twice."""
    name = test_names[0]
    other = maps_of(predictor(brats_run, seed=21, batch_size=64), brats_data, [name])[name]
    assert np.abs(other["probability"] - whole[name]["probability"]).max() > 1e-4


def written(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != locks.NAME}


def split(run, data, method="baseline_mc", dataset="brats", names=None, name="test", said=None, **options):
    return prediction.predict_split(
        methods.get(method),
        dataset,
        data,
        run,
        name,
        prediction.Options(**{**FEW, **options}),
        names,
        say=(said if said is not None else []).append,
    )


@pytest.fixture
def run(brats_run, tmp_path):
    """A copy of the trained run, to be written into."""
    shutil.copytree(brats_run / "networks", tmp_path / "run" / "networks")
    return tmp_path / "run"


@pytest.mark.long
def test_a_split_is_written_once_and_taken_up_again(run, brats_data, test_names, whole):
    """Three maps a subject and, last, predictions.json; again: nothing. After a loss only the lost subject is made."""
    folder = split(run, brats_data)
    expected = {f"{name}_{kind}.nii.gz" for name in test_names for kind in MAPS}
    expected |= {f"{name}_samples.json" for name in test_names}
    assert set(written(folder)) == expected | {
        "predictions.json",
        "config.json",
        label_colours.ITKSNAP,
        label_colours.SLICER,
    }
    facts = artefacts.read_json(folder / "predictions.json")
    assert facts["subjects"] == test_names and (facts["samples"], facts["seed"]) == (3, 20)
    assert facts["kind"] == "probability" and set(facts["networks"]) == {"baseline"}
    for name in test_names:
        for kind, dtype in MAPS.items():
            values, _ = nifti.read_map(folder / f"{name}_{kind}.nii.gz")
            assert values.dtype == dtype
            np.testing.assert_allclose(values, whole[name][kind], atol=1e-5)

    before, said = written(folder), []
    split(run, brats_data, said=said)
    assert written(folder) == before and "finished already" in said[0]

    (folder / "predictions.json").unlink()  # as a kill would leave it
    (folder / f"{test_names[0]}_uncertainty.nii.gz").unlink()
    assert not prediction.is_written(folder, test_names[0]) and prediction.is_written(folder, test_names[1])
    split(run, brats_data)
    after = written(folder)
    assert set(after) == set(before)
    for kind in MAPS:
        assert after[f"{test_names[1]}_{kind}.nii.gz"] == before[f"{test_names[1]}_{kind}.nii.gz"]
        assert after[f"{test_names[0]}_{kind}.nii.gz"] != before[f"{test_names[0]}_{kind}.nii.gz"]


def test_some_subjects_now_and_the_rest_later(run, brats_data, test_names):
    """`--subjects` writes those; predictions.json names what is there, and a later call adds the others."""
    folder = split(run, brats_data, "baseline", names=test_names[1:])
    assert artefacts.read_json(folder / "predictions.json")["subjects"] == test_names[1:]
    split(run, brats_data, "baseline")
    assert artefacts.read_json(folder / "predictions.json")["subjects"] == test_names


@pytest.mark.long
@pytest.mark.parametrize("change", [{"samples": 4}, {"seed": 1}, {"precision": "bfloat16"}, {"draws": "slice"}])
def test_another_configuration_is_refused(run, brats_data, test_names, change):
    """Maps of other samples, seed or precision do not mix; the error names the difference."""
    split(run, brats_data, names=test_names[:1])
    ((name, value),) = change.items()
    with pytest.raises(UserError, match=rf"config.json.*{name} .*against {value!r}"):
        split(run, brats_data, **change)


def test_sigma_is_written_raw_and_its_json_says_so(run, brats_data, test_names):
    """The aleatoric method's uncertainty is |sigma|, and the JSON beside the maps says who scales it."""
    folder = split(run, brats_data, "aleatoric", names=test_names[:1])
    facts = artefacts.read_json(folder / "predictions.json")
    assert facts["kind"] == "sigma" and "raw" in facts["uncertainty"] and facts["samples"] is None
    values, _ = nifti.read_map(folder / f"{test_names[0]}_uncertainty.nii.gz")
    assert values.min() >= 0 and values.max() > 0


def test_networks_must_be_trained_and_untouched(run, brats_data):
    """Untrained: `NotReady` with the command. Weights that are not those training wrote: an error with the file."""
    with pytest.raises(NotReady, match=r"launch/train.py --method=center --dataset=brats"):
        split(run, brats_data, "center")
    weights = runs.network_dir(run, "baseline") / runs.WEIGHTS
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(UserError, match=r"best.weights.h5.*another file"):
        split(run, brats_data)


def test_unknown_splits_and_subjects_are_refused(run, brats_data):
    """The error lists the splits there are, or names the subject that isn't."""
    with pytest.raises(UserError, match=r"--split=tset.*test, train, valid"):
        split(run, brats_data, name="tset")
    with pytest.raises(UserError, match="nobody"):
        split(run, brats_data, names=["nobody"])


def test_a_subject_of_another_split_is_refused(run, brats_data):
    """A training subject may not slip into the test set's folder, and so into its table."""
    trained_on = records.read_manifest(brats_data).split("train")[0].name
    with pytest.raises(UserError, match=f"--split=test.*{trained_on}"):
        split(run, brats_data, names=[trained_on])


@pytest.mark.long
def test_other_records_than_the_networks_are_refused(run, brats_data, tmp_path):
    """Records prepared again may be split or scaled otherwise: test subjects could have been trained on."""
    other = tmp_path / "other"
    shutil.copytree(brats_data, other)
    manifest = other / "dataset.json"
    manifest.write_text(manifest.read_text() + " ")  # the same content, written otherwise
    assert split(run, other) == split(run, brats_data)
    document = artefacts.read_json(manifest)
    document["subjects"][0]["splits"] = ["test"]
    manifest.write_text(json.dumps(document))
    with pytest.raises(UserError, match="records that baseline was trained on"):
        split(run, other)


@pytest.mark.parametrize("method", ["baseline", "baseline_mc"])
def test_one_new_patient_gets_the_maps_of_the_split(brats_run, brats_raw, brats_data, test_names, tmp_path, method):
    """From the raw folder alone the maps are those made from records, sampled ones too."""
    name = test_names[0]
    (folder,) = brats_raw.glob(f"*/{name}")
    subject, maps = predict_one(methods.get(method), "brats", folder, brats_run, tmp_path, prediction.Options(**FEW))
    assert subject.name == name and subject.label is None
    same_maps(maps, maps_of(predictor(brats_run, method), brats_data, [name])[name])
    source = nibabel.load(folder / f"{name}_flair.nii.gz")
    for kind in MAPS:
        image = nibabel.load(tmp_path / f"{name}_{kind}.nii.gz")
        assert image.shape == source.shape
        np.testing.assert_allclose(image.affine, source.affine, atol=1e-6)


def test_one_new_photograph(isic_run, isic_data, tmp_path):
    """ISIC: read at the run's own size and intensity rule, so the maps of the split; 2-D, identity; PNG at full size."""
    entry = records.read_manifest(isic_data).split("test")[0]
    photograph = tmp_path / "new" / "photo.png"
    photograph.parent.mkdir()
    Image.open(entry.source).resize((70, 50)).save(photograph)
    options = prediction.Options(full_size=True)
    subject, maps = predict_one(methods.get("baseline"), "isic", photograph, isic_run, tmp_path / "maps", options)
    assert subject.source_size == (50, 70) and maps["probability"].shape == (1, 32, 48)
    for kind, values in maps.items():
        image = nibabel.load(tmp_path / "maps" / f"photo_{kind}.nii.gz")
        np.testing.assert_array_equal(np.asarray(image.dataobj), values[0].T)
        np.testing.assert_array_equal(image.affine, np.eye(4))
        picture = np.asarray(Image.open(tmp_path / "maps" / f"photo_{kind}.png"))
        assert picture.shape == (50, 70)
        assert set(np.unique(picture)) <= {0, 255} if kind == "prediction" else picture.max() > 255
    (subject, same), *_ = predictor(isic_run, "baseline", "isic").subjects(
        [isic.load(isic.find_one(entry.source), {"image_size": (32, 48)})]
    )
    same_maps(same, maps_of(predictor(isic_run, "baseline", "isic"), isic_data, [entry.name])[entry.name])


def test_nothing_there(brats_run, tmp_path):
    """A path that does not exist is the error, before any network is read."""
    with pytest.raises(UserError, match="found nothing"):
        method, options = methods.get("baseline"), prediction.Options()
        predict_one(method, "brats", tmp_path / "no", brats_run, tmp_path, options)
