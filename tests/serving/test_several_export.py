"""Exports of four classes: what predict.py writes, in a process that has nothing but TensorFlow."""

import dataclasses
import io
import json
import os
import subprocess
import sys
import zlib

import msgspec
import nibabel
import numpy as np
import pytest
import served_organs
import tensorflow as tf
from conftest import predict_one
from PIL import Image

from data_prep import normalisation, records, tasks
from data_prep.base import artefacts
from data_prep.readers import nnunet
from data_prep.tasks import Channel, Window
from tfunc import kinds, runs
from tfunc.maps import predictor
from tfunc.maps.options import Options
from tfunc.methods import METHODS
from tfunc.serving import description, export, frames, summaries, warmup
from tfunc.serving import inputs as served_inputs
from tfunc.serving import signatures as serving

SAMPLES, SEED, RANGE = 2, 20, (0.0, 2.0)
NAMES = ["baseline", "baseline_mc", "aleatoric", "auxiliary_segm"]
LABELS = list(served_organs.VALUES.values())

ALONE = """
import sys
for name in ("keras", "tf_keras", "tfunc", "data_prep", "tensorflow_probability", "nibabel", "msgspec"):
    sys.modules[name] = None
import numpy as np
import tensorflow as tf
folder, inputs, outputs = sys.argv[1:]
given = np.load(inputs)
signatures = tf.saved_model.load(folder).signatures
name = sys.argv[2].rpartition("/")[2].partition(".")[0]
arguments = {key: tf.constant(given[key].tolist() if given[key].dtype == object else given[key]) for key in given.files}
np.savez(outputs, **{key: values.numpy() for key, values in signatures[name](**arguments).items()})
"""


def alone(folder, signature, tmp_path, **inputs):
    """A signature's answers in a process of its own."""
    given, found = tmp_path / f"{signature}.npz", tmp_path / "found.npz"
    np.savez(given, **inputs)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", ALONE, str(folder), str(given), str(found)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=clean)
    assert ended.returncode == 0, ended.stderr[-3000:]
    with np.load(found, allow_pickle=True) as read:
        return dict(read)


@pytest.fixture(scope="module")
def organs(tmp_path_factory, shaken):
    """A folder with `raw`, `data` and `run` of volumes that are not resampled."""
    folder = tmp_path_factory.mktemp("served") / "organs"
    served_organs.prepared(served_organs.volumes(folder / "organs"), folder)
    served_organs.write_networks(folder / "run", folder / "data", shaken)
    return folder


def exported(folder, method, seed, into):
    run, options = folder / "run", Options(samples=SAMPLES, seed=seed)
    more = {"sigma_range": RANGE} if METHODS[method].kind == "sigma" else {}
    dataset = records.read_manifest(folder / "data").task.name
    return export.export(METHODS[method], dataset, run, into, options, say=lambda line: None, **more)


def written(folder, name, part):
    """A map as it lies in its file, and the image."""
    image = nibabel.load(folder / f"{name}_{part}.nii.gz")
    return np.asarray(image.dataobj), image


@pytest.mark.long
@pytest.mark.parametrize("method", NAMES)
def test_served_maps_are_those_of_predict(method, organs, tmp_path):
    """Raw voxels on the networks' grid in, and out of nothing but TensorFlow come predict.py's files: labels, all classes."""
    task = runs.read_config(runs.network_dir(organs / "run", "baseline")).task
    assert (task.order, task.frame, task.spacing) == ("LPS", (32, 32), None)
    assert {channel.normalise for channel in task.channels} == {"ct", "zscore_nonzero", "minmax"}
    # the second lies in another voxel order, sagittal axes first
    for name in ("case_3", "case_2") if method == "baseline" else ("case_3",):
        part = organs / "organs" / ("imagesTs" if name == "case_3" else "imagesTr")
        (source,) = [source for source in nnunet.find_new(part, None, task) if source.name == name]
        for path in source.files:
            (tmp_path / name / path.rpartition("/")[2]).parent.mkdir(exist_ok=True)
            (tmp_path / name / path.rpartition("/")[2]).symlink_to(path)
        options = Options(samples=SAMPLES, seed=SEED)
        predict_one(METHODS[method], "organs", tmp_path / name, organs / "run", tmp_path / "maps", options)
        seed = (SEED << 32) + zlib.crc32(name.encode())
        if METHODS[method].sampled or name == "case_3":  # what draws nothing is one export for all
            folder = exported(organs, method, seed, tmp_path / f"export_{name}")
        subject = nnunet.load(source, None, task)
        found = alone(folder, "subject", tmp_path, volume=subject.image[np.newaxis].astype(np.float32))
        check_maps(found, subject, tmp_path / "maps", METHODS[method])
        check_summary(found)
        assert ("mutual_information" in found) == METHODS[method].sampled


def check_maps(found, subject, folder, method):
    restored = {part: subject.restored(found[part][0]) for part in ("prediction", "probability", "uncertainty")}
    labels, _ = written(folder, subject.name, "prediction")
    assert restored["prediction"].dtype == labels.dtype == np.uint8
    np.testing.assert_array_equal(restored["prediction"].T, labels)
    assert len(np.unique(labels)) > 2 and set(np.unique(labels)) <= set(LABELS)
    probability, _ = written(folder, subject.name, "probability")
    assert probability.shape == (*labels.shape, 4)
    ours = restored["probability"].transpose(2, 1, 0, 3)
    np.testing.assert_allclose(ours, probability, atol=1e-5)
    np.testing.assert_allclose(ours.sum(axis=-1), 1, atol=1e-5)
    raw, _ = written(folder, subject.name, "uncertainty")
    kind = kinds.get(method.kind)
    if method.kind != "probability":
        raw = kind.uncertainty_map(raw, kind.limits(raw, RANGE if kind.scale == "set" else None))
    np.testing.assert_allclose(restored["uncertainty"].T, raw, atol=2e-5)
    assert np.ptp(raw) > 0.02


def check_summary(found):
    """One row a patient; the classes' numbers are those of the maps."""
    classes = np.array(LABELS).argsort().argsort()
    prediction, probability = found["prediction"][0], found["probability"][0]
    assert found["class_volumes"].dtype == np.int64 and found["class_volumes"].shape == (1, 4) and len(classes) == 4
    order = np.argsort(found["class_volumes"][0])
    numbers = sorted(np.count_nonzero(prediction == label) for label in LABELS)
    np.testing.assert_array_equal(found["class_volumes"][0][order], numbers)
    np.testing.assert_allclose(found["expected_class_volumes"][0], probability.sum((0, 1, 2), dtype=float), rtol=1e-5)
    assert found["predicted_volume"][0] == np.count_nonzero(prediction) == found["class_volumes"][0, 1:].sum()
    np.testing.assert_allclose(found["expected_volume"][0], probability[..., 1:].sum(dtype=float), rtol=1e-5)
    inside = found["uncertainty"][0][prediction > 0]
    np.testing.assert_allclose(found["mean_uncertainty"][0], inside.mean(dtype=float), rtol=1e-5)


@pytest.fixture(scope="module")
def baseline(organs, tmp_path_factory):
    """(version folder, its signatures) of the baseline."""
    folder = exported(organs, "baseline", SEED, tmp_path_factory.mktemp("export") / "baseline")
    return folder, tf.saved_model.load(str(folder)).signatures


@pytest.mark.long
def test_bytes_of_either_width(baseline):
    """subject_bytes takes int16 and float32, told by the number of bytes; labels, classes and volumes are subject's."""
    signatures = baseline[1]
    volume = np.random.default_rng(1).integers(-200, 900, (4, 20, 30, 3)).astype(np.int16)
    data = [volume.astype("<i2").tobytes(), (volume + np.float32(0.5)).astype("<f4").tobytes()]
    found = signatures["subject_bytes"](volume=tf.constant(data), shape=tf.constant([volume.shape] * 2, tf.int64))
    for row, raw in enumerate((volume.astype("f4"), volume + np.float32(0.5))):
        whole = signatures["subject"](volume=tf.constant(raw[np.newaxis]))
        packed = {name: found[f"{name}_bytes"][row].numpy() for name in ("prediction", "probability", "uncertainty")}
        np.testing.assert_array_equal(
            np.frombuffer(packed["prediction"], "u1").reshape(4, 20, 30), whole["prediction"][0]
        )
        for name, shape in (("probability", (4, 20, 30, 4)), ("uncertainty", (4, 20, 30))):
            values = np.frombuffer(packed[name], "<f2").reshape(shape)
            np.testing.assert_allclose(values, whole[name][0], atol=6e-4)
        for name in (*summaries.SUMMARY, "class_volumes", "expected_class_volumes"):
            np.testing.assert_allclose(found[name][row], whole[name][0], rtol=1e-5)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"expected 14400 bytes, two for .*, or 28800, four, found 7"
    ):
        signatures["subject_bytes"](volume=tf.constant([b"7 bytes"]), shape=tf.constant([volume.shape], tf.int64))


@pytest.mark.long
def test_slices_beyond_the_frame(baseline, organs):
    """A volume larger than the frame gets the next larger one, as in predict.py; a smaller one than poolings need is framed."""
    task = runs.read_config(runs.network_dir(organs / "run", "baseline")).task
    made, _ = predictor.of_method(METHODS["baseline"], organs / "run", "organs", Options())
    (source,) = nnunet.find_new(organs / "organs" / "imagesTs", None, task)
    subject = nnunet.load(source, None, task)
    for shape in ((2, 37, 20), (2, 18, 50), (1, 2, 3)):
        image = np.random.default_rng(1).integers(-200, 900, (*shape, 3)).astype(np.int16)
        mean, std, limits = normalisation.by_channel(image, task.channels)
        one = dataclasses.replace(subject, image=image, mean=mean, std=std, limits=limits)
        ((_, maps),) = made.subjects([one])
        found = baseline[1]["subject"](volume=tf.constant(image[np.newaxis].astype("f4")))
        assert found["probability"].shape == (1, *shape, 4)
        np.testing.assert_allclose(found["probability"][0], maps["probability"], atol=1e-5)


def test_rules_are_data_preps():
    """Each rule inside the graph, and what is padded with, against NumPy's."""
    random = np.random.default_rng(5)
    image = random.normal(50, 200, (5, 14, 11, 6)).astype(np.float32)
    image[:2, ..., 1] = 0
    channels = [
        Channel("a", "zscore"),
        Channel("b", "zscore_nonzero"),
        Channel("c", "ct", -1024.0, Window(-30, 70, 21, 19)),
        Channel("d", "minmax", -7.0),
        Channel("e", "none", 3.0),
        Channel("f", "unit"),
    ]
    mean, std, limits = normalisation.by_channel(image, channels)
    found = served_inputs.statistics(tf.constant(image), channels)
    for ours, theirs in zip(found, (mean, std), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6)
    expected = (np.clip(image, *limits) - mean) / std
    np.testing.assert_allclose(served_inputs.normalised(image, *found, channels), expected, atol=2e-5)
    task = msgspec.structs.replace(tasks.TASKS["brats"], channels=tuple(channels), frame=(16, 32))
    frame = frames.of_volume(tf.constant(image), task.frame, *found, task)
    around = frame.around(tf.constant(image)).numpy()
    assert around.shape == (5, 16, 32, 6)
    np.testing.assert_array_equal(frame.out_of(tf.constant(around)), image)
    outside = np.array([channel.outside for channel in channels], "f4")
    np.testing.assert_allclose(around[0, 0, 0], (np.clip(outside, *limits) - mean) / std, atol=2e-5)


@pytest.mark.parametrize(("rule", "value"), [("zscore_nonzero", 0), ("minmax", 7), ("zscore", 7)])
def test_channels_of_one_value(rule, value):
    """Named by the channel's number; where the rule needs no contrast they pass, and NaN never does."""
    image = np.random.default_rng(5).normal(50, 200, (2, 5, 6, 2)).astype(np.float32)
    image[..., 1] = value
    channels = [Channel("a", "zscore"), Channel("b", rule)]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"one value everywhere in the channels \[1\]"):
        served_inputs.statistics(tf.constant(image), channels)
    plain = [channels[0], Channel("b", "none")]
    np.testing.assert_array_equal(served_inputs.statistics(tf.constant(image), plain)[1][1], 1)
    image[1, 2, 3, 1] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="finite voxels, found 1"):
        served_inputs.statistics(tf.constant(image), plain)


def made(task):
    """A served model of a task whose maps follow from the image's first channel."""

    def maps(images, seeds):
        first = images[..., :1]
        probability = tf.nn.softmax(tf.concat([first, 0.5 - first, 0 * first, -first], -1))
        index = tf.cast(tf.argmax(probability, -1), tf.uint8)
        return {"probability": probability, "uncertainty": probability[..., 0], "prediction": index}

    return serving.Served(maps, description.Description(task, kinds.get("probability"), False, 0, None, 4))


FOUR = msgspec.structs.replace(
    tasks.TASKS["brats_regions"],
    name="own",
    channels=(Channel("a", "zscore"), Channel("b", "ct", -1024.0, Window(-30, 70, 21, 19))),
    classes=tuple(tasks.Class(str(label), (label,)) for label in (0, 300, 7, 12)),
    frame=(16, 16),
)
VOLUME = np.random.default_rng(2).normal(20, 30, (2, 3, 9, 12, 2)).astype(np.float32)


def test_labels_beyond_255():
    """Served as uint16, and as two bytes each."""
    signatures = made(FOUR).signatures()
    found = signatures["subject"](tf.constant(VOLUME))["prediction"].numpy()
    assert found.dtype == np.uint16 and set(np.unique(found)) == {0, 300}
    data = tf.constant([one.tobytes() for one in VOLUME])
    packed = signatures["subject_bytes"](data, tf.constant([VOLUME.shape[1:]] * 2, tf.int64))["prediction_bytes"]
    for row in range(2):
        np.testing.assert_array_equal(np.frombuffer(packed[row].numpy(), "<u2").reshape(3, 9, 12), found[row])


def test_statistics_of_before_resampling():
    """A task with a spacing is told them, patient by patient, and checks them; without, or with fixed rules, it is not."""
    plain = made(FOUR).signatures()["subject"](tf.constant(VOLUME))
    resampled = made(msgspec.structs.replace(FOUR, spacing=(1.0, 1.0))).signatures()
    mean, deviation = (
        np.stack(rows)
        for rows in zip(*(normalisation.by_channel(one, FOUR.channels)[:2] for one in VOLUME), strict=True)
    )
    given = [tf.constant(values) for values in (VOLUME, mean, deviation)]
    for name, values in resampled["subject"](*given).items():
        np.testing.assert_allclose(values, plain[name], rtol=1e-4, atol=1e-5, err_msg=name)
    shifted = resampled["subject"](given[0], given[1] + np.array([[9, 0], [0, 0]], "f4"), given[2])["probability"]
    assert (np.abs(shifted - plain["probability"]).max((1, 2, 3, 4)) > 1e-3).tolist() == [True, False]
    for row, values, words in (
        (1, mean[:1], "mean: expected a row for each of 2 volumes, found 1"),
        (1, mean * np.float32(np.nan), "mean: expected finite numbers"),
        (2, deviation * 0, "deviation: expected finite numbers above 0"),
        (2, deviation[:, :1], r"deviation: expected the shape \[patients, 2\]"),
        (0, VOLUME * np.float32(np.inf), "volume: expected finite voxels"),
    ):
        asked = [tf.constant(values) if index == row else one for index, one in enumerate(given)]
        with pytest.raises(tf.errors.InvalidArgumentError, match=words):
            loaded(resampled["subject"], *asked)
    fixed = msgspec.structs.replace(FOUR, channels=FOUR.channels[1:] * 2, spacing=(1.0, 1.0))
    assert not description.takes_statistics(fixed) and "mean" not in str(
        made(fixed).signatures()["subject"].input_signature
    )


def loaded(function, *arguments):
    """A signature's answer where its shapes are what a request says, as in a server: not what Python knows."""
    free = [tf.TensorSpec([None] * len(one.shape), one.dtype) for one in arguments]
    return tf.function(function, input_signature=free, autograph=False)(*arguments)


def test_it_says_what_it_is(baseline, organs, tmp_path):
    """describe answers the task and the export's facts as JSON, for each string that it is asked with; export.json has both."""
    folder, _ = baseline
    found = alone(folder, "describe", tmp_path, request=np.array(["a", "b"]))
    texts = {name: [json.loads(text) for text in values.tolist()] for name, values in found.items()}
    task = records.read_manifest(organs / "data").task
    assert [tasks.from_document(one) for one in texts["task"]] == [task, task]
    (first, second) = texts["description"]
    assert first == second and (first["method"], first["kind"], first["sampled"], first["seed"]) == (
        "baseline", "probability", False, None,
    )  # fmt: skip
    document = artefacts.read_json(folder / export.DESCRIPTION)
    assert tasks.from_document(document["task"]) == task
    assert document["signatures"]["subject"]["outputs"]["probability"] == ["float32", [None] * 4 + [4]]
    assert document["signatures"]["subject"]["outputs"]["class_volumes"] == ["int64", [None, 4]]
    assert document["signatures"]["serving_default"]["outputs"]["prediction"] == ["uint8", [None] * 3]


def test_an_export_without_a_task_is_found(baseline, organs, tmp_path):
    """export.json of a version that kept no task is the same export, and it is said what its model can't."""
    folder, said = baseline[0], []
    document = artefacts.read_json(folder / export.DESCRIPTION)
    del document["task"], document["signatures"]["describe"]
    other = tmp_path / "baseline" / "1" / export.DESCRIPTION
    other.parent.mkdir(parents=True)
    artefacts.write_json(other, document)
    options = Options(samples=SAMPLES, seed=SEED)
    export.export(METHODS["baseline"], "organs", organs / "run", tmp_path / "baseline", options, say=said.append)
    assert "exported already" in said[0] and "--version=2" in said[1] and len(said) == 2


# --------------------------------------------------------------------------------------------------------- photographs


@pytest.fixture(scope="module")
def eyes(tmp_path_factory, shaken):
    """The same of photographs."""
    folder = tmp_path_factory.mktemp("served") / "eyes"
    served_organs.prepared(served_organs.photographs(folder / "eyes"), folder)
    served_organs.write_networks(folder / "run", folder / "data", shaken)
    return folder


def test_photographs_of_several_classes(eyes, tmp_path):
    """encoded gives predict.py's maps; encoded_full labels by the nearest pixel and every class's probability between them."""
    file = eyes / "eyes" / "images" / "eye_1.png"
    options = Options(full_size=True)
    predict_one(METHODS["baseline"], "eyes", file, eyes / "run", tmp_path / "maps", options)
    folder = exported(eyes, "baseline", SEED, tmp_path / "export")
    signatures = tf.saved_model.load(str(folder)).signatures
    assert set(signatures) == {"serving_default", "describe", "encoded", "encoded_full"}
    data = tf.constant([file.read_bytes()])
    found = signatures["encoded"](images=data)
    for part in ("prediction", "probability", "uncertainty"):
        values, _ = written(tmp_path / "maps", "eye_1", part)
        if part == "probability":
            values = values.reshape(*values.shape[:2], 4)
            values = values.transpose(1, 0, 2)
            assert values.shape == (*found[part].shape[1:3], 4)
        else:
            values = values.T
        np.testing.assert_allclose(found[part][0], values, atol=1e-5)
    full = signatures["encoded_full"](images=data)
    assert full["probability"].shape == (1, 44, 60, 4) and full["prediction"].shape == (1, 44, 60)
    pictures = {
        part: np.asarray(Image.open(tmp_path / "maps" / f"eye_1_{part}.png")) for part in ("prediction", "probability")
    }
    np.testing.assert_array_equal(full["prediction"][0], pictures["prediction"])
    assert set(np.unique(pictures["prediction"])) <= {0, 60, 128, 255}
    np.testing.assert_allclose(1 - full["probability"][0, ..., 0], pictures["probability"] / 65535, atol=3e-5)


def test_channels_that_one_file_can_hold():
    """Grey photographs are taken as one channel, and colours refused; of two channels only prepared images are served."""
    eye = msgspec.structs.replace(tasks.TASKS["isic"], name="eyes", frame=(20, 40))

    def served(count):
        task = msgspec.structs.replace(eye, channels=tuple(Channel(f"{i}", "minmax") for i in range(count)))
        described = description.Description(task, kinds.get("probability"), False, 0, None, 4)

        def maps(images, seeds):
            return {
                "probability": images[..., 0],
                "uncertainty": images[..., 0],
                "prediction": tf.cast(images[..., 0] > 1, tf.uint8),
            }

        return serving.Served(maps, described), described

    grey, described = served(1)
    requests = warmup.requests(grey.signatures(), described)
    assert set(requests) == {"serving_default", "describe", "encoded", "encoded_full"}
    signatures = grey.signatures()
    assert signatures["encoded"](tf.constant(requests["encoded"]["images"]))["probability"].shape == (1, 20, 40)
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)).save(data, "png")
    with pytest.raises(tf.errors.InvalidArgumentError, match="grey photographs, found colours"):
        signatures["encoded"](tf.constant([data.getvalue()]))
    two, described = served(2)
    assert set(warmup.requests(two.signatures(), described)) == {"serving_default", "describe"}
