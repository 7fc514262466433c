"""launch/request.py against a real HTTP and gRPC server: maps on the patient's voxels, and each failure as one line.

The server is the fixture of `serving_fixture.py`. `Copies` stands in for an exported model where a voxel out of place
must show: its maps are the images' own channels.
"""

import http.server
import io
import re
import shutil
import socket
import subprocess
import sys
import threading

import nibabel
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, predict_one
from PIL import Image
from serving_fixture import Model, Refusal, Server

from data_prep import tasks
from data_prep.base import artefacts
from data_prep.base.errors import UserError
from tfunc import methods
from tfunc.maps import predict as prediction
from tfunc.serving import client, export, transport

BRATS, ISIC = tasks.TASKS["brats"], tasks.TASKS["isic"]
SHAPE = (11, 7, 5)  # x, y, z: each its own
SUFFIXES = ("_flair", "_t1", "_t2", "_t1ce")
NETWORK_SIZE = (6, 8)
BOTH = pytest.mark.parametrize("protocol", ["rest", "grpc"])


class Copies(tf.Module):
    """The signatures of an exported model; probability is the first channel / 1000, uncertainty the second / 1000."""

    @staticmethod
    def maps(volume):
        tf.debugging.assert_less(tf.shape(volume)[1], 9, message="volume: expected fewer than 9 slices")
        scaled = volume / 1000.0
        prediction = tf.cast(volume[..., 2] > 0, tf.uint8)
        axes = list(range(1, len(prediction.shape)))
        return {
            "probability": scaled[..., 0],
            "uncertainty": scaled[..., 1],
            "prediction": prediction,
            "predicted_volume": tf.reduce_sum(tf.cast(prediction, tf.int64), axes),
            "expected_volume": tf.reduce_sum(scaled[..., 0], axes),
            "mean_uncertainty": tf.reduce_mean(scaled[..., 1], axes),
        }

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, None, 4], tf.float32, "volume")])
    def subject(self, volume):
        return self.maps(volume)

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "volume"), tf.TensorSpec([None, 4], tf.int64, "shape")]
    )
    def subject_bytes(self, volume, shape):
        size = tf.concat([tf.shape(volume, tf.int64), shape[0]], 0)
        voxels = tf.reshape(tf.io.decode_raw(volume, tf.int16, little_endian=True), size)
        found = self.maps(tf.cast(voxels, tf.float32))
        found["mutual_information"] = found["uncertainty"] / 2

        def packed(values, dtype):
            # row by row: TensorFlow has no operation from numbers to bytes
            return tf.map_fn(lambda one: as_bytes(tf.cast(one, dtype)), values, fn_output_signature=tf.string)

        for name in ("probability", "uncertainty", "mutual_information"):
            found[f"{name}_bytes"] = packed(found.pop(name), tf.float16)
        found["prediction_bytes"] = packed(found.pop("prediction"), tf.uint8)
        return found

    @staticmethod
    def photograph(encoded, size):
        image = tf.io.decode_image(encoded[0], channels=3, expand_animations=False)[tf.newaxis]
        image = tf.cast(image, tf.float32) / 255.0
        if size:
            image = tf.image.resize(image, size, method="nearest")
        prediction = tf.cast(image[..., 2] > 0.5, tf.uint8)
        return {"probability": image[..., 0], "uncertainty": image[..., 1], "prediction": prediction}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "images")])
    def encoded(self, images):
        return self.photograph(images, NETWORK_SIZE)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "images")])
    def encoded_full(self, images):
        return self.photograph(images, None)


def as_bytes(values):
    """The little-endian bytes of a tensor as one string: one character of a table for each byte."""
    table = tf.constant([bytes([code]) for code in range(256)])
    if values.dtype == tf.float16:
        values = tf.bitcast(values, tf.uint8)
    return tf.strings.reduce_join(tf.gather(table, tf.cast(tf.reshape(values, [-1]), tf.int32)))


class Altered:
    """A served model whose outputs are changed on the way out."""

    def __init__(self, model, change):
        self.model, self.change, self.signatures = model, change, model.signatures

    def run(self, signature, inputs):
        return self.change(self.model.run(signature, inputs))


def without(name):
    return lambda outputs: {key: values for key, values in outputs.items() if key != name}


def refusing(outputs):
    raise Refusal(13, "out of " + 100 * "memory ")


def cut(outputs):
    return {**outputs, "uncertainty_bytes": np.array([outputs["uncertainty_bytes"][0][:-2]], object)}


def spoilt(outputs):
    nothing = np.full(np.prod(SHAPE), np.nan, np.float16).tobytes()
    return {**outputs, "uncertainty_bytes": np.array([nothing], object)}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The server: `brats` in versions 1 (refuses all) and 3, `isic`, and models that answer wrongly."""
    folder, copies = tmp_path_factory.mktemp("served"), Copies()
    tf.saved_model.save(
        copies, str(folder / "brats"), {name: getattr(copies, name) for name in ("subject", "subject_bytes")}
    )
    tf.saved_model.save(
        copies, str(folder / "isic"), {name: getattr(copies, name) for name in ("encoded", "encoded_full")}
    )
    brats, isic = Model(folder / "brats"), Model(folder / "isic")
    altered = {"cut": cut, "spoilt": spoilt, "without": without("mean_uncertainty"), "refusing": refusing}
    models = {name: {1: Altered(brats, change)} for name, change in altered.items()}
    server = Server({"brats": {1: Altered(brats, refusing), 3: brats}, "isic": {1: isic}, **models})
    yield server
    server.close()


@pytest.fixture
def connect(served):
    """connect(protocol, model): a connection to the server."""
    return lambda protocol, model, **options: transport.connect(getattr(served, protocol), model, **options)


def affine():
    """Turned about z, left-handed, with voxels of three sizes: 1.1 x 0.9 x 2.5 mm."""
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([-1.1, -0.9, 2.5])
    matrix[:3, 3] = 12.5, -34.25, 7.75
    return matrix


def write_patient(folder, dtype=np.int16, step=1, shape=SHAPE):
    """Four modalities of intensities below 1000, in multiples of `step`."""
    random = np.random.default_rng(7)
    folder.mkdir(parents=True)
    for suffix in SUFFIXES:
        array = (random.integers(0, 2, shape) * random.integers(1, 900, shape)).astype(dtype)
        image = nibabel.Nifti1Image(array * dtype(step), affine(), dtype=dtype)
        image.set_sform(affine(), 2)
        image.set_qform(affine(), 1)
        nibabel.save(image, folder / f"{folder.name}{suffix}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    return write_patient(tmp_path_factory.mktemp("patients") / "P1")


def channel(patient, index):
    return np.asarray(nibabel.load(patient / f"{patient.name}{SUFFIXES[index]}.nii.gz").dataobj)


def check_overlay(folder, patient, tolerance):
    """Each map has the geometry of the patient's files and, voxel by voxel, what its channel has there."""
    source = nibabel.load(patient / f"{patient.name}_flair.nii.gz")
    expected = {
        "probability": channel(patient, 0) / 1000,
        "uncertainty": channel(patient, 1) / 1000,
        "prediction": channel(patient, 2) > 0,
    }
    for kind, values in expected.items():
        written = nibabel.load(folder / f"{patient.name}_{kind}.nii.gz")
        for form in ("get_sform", "get_qform"):
            ours, theirs = getattr(written, form)(coded=True), getattr(source, form)(coded=True)
            np.testing.assert_allclose(ours[0], theirs[0], atol=1e-6)
            assert ours[1] == theirs[1]
        assert written.get_data_dtype() == (np.uint8 if kind == "prediction" else np.float32)
        assert 0 < values.mean() < 1
        np.testing.assert_allclose(np.asarray(written.dataobj), values, atol=tolerance)


HALF = 2**-12  # the largest rounding of a float16 below 1


@BOTH
def test_patient(protocol, connect, patient, tmp_path):
    """A folder of int16 modalities comes back as maps that overlay it, and the JSON says what made them and how much."""
    said = []
    client.request(connect(protocol, "brats"), BRATS, patient, tmp_path / "maps", say=said.append)
    check_overlay(tmp_path / "maps", patient, HALF)
    half = np.asarray(nibabel.load(tmp_path / "maps" / "P1_mutual_information.nii.gz").dataobj)
    np.testing.assert_allclose(half, channel(patient, 1) / 2000, atol=HALF)
    about = artefacts.read_json(tmp_path / "maps" / "P1.json")
    assert (about["model"], about["version"], about["signature"]) == ("brats", 3, "subject_bytes")
    volume = int((channel(patient, 2) > 0).sum())
    assert about["predicted_volume"] == volume
    assert about["predicted_volume_ml"] == pytest.approx(volume * 1.1 * 0.9 * 2.5 / 1000, abs=1e-3)
    assert about["expected_volume"] == pytest.approx(channel(patient, 0).sum() / 1000, rel=1e-5)
    assert about["mean_uncertainty"] == pytest.approx(channel(patient, 1).mean() / 1000, rel=1e-5)
    (volume,) = about[
        "volumes"
    ].values()  # what `predict` writes too; an older model says no kind, so there is no score
    assert volume["volume"] == pytest.approx(about["predicted_volume_ml"], abs=1e-3) and volume["low"] is None
    assert about["review"]["whole"]["wanted"] is None and about["predicted_dice"] == {"whole": None}
    assert len(said) == 1 and "version 3" in said[0]


def test_fractions_need_grpc(connect, tmp_path):
    """Intensities that are no whole numbers travel as floats over gRPC, unrounded; REST says so and writes nothing."""
    patient = write_patient(tmp_path / "P2", np.float32, 0.25)
    client.request(connect("grpc", "brats"), BRATS, patient, tmp_path / "maps", say=lambda line: None)
    check_overlay(tmp_path / "maps", patient, 1e-7)
    assert artefacts.read_json(tmp_path / "maps" / "P2.json")["signature"] == "subject"
    with pytest.raises(UserError, match=r"P2: expected whole numbers.* found fractions; use gRPC"):
        client.request(connect("rest", "brats"), BRATS, patient, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_whole_numbers_in_floats(connect, tmp_path):
    """BraTS 2023 stores whole numbers as float32: REST takes them. Larger than int16, it does not."""
    patient = write_patient(tmp_path / "P3", np.float32)
    client.request(connect("rest", "brats"), BRATS, patient, tmp_path / "maps", say=lambda line: None)
    check_overlay(tmp_path / "maps", patient, HALF)
    large = write_patient(tmp_path / "P4", np.float32, 100)
    with pytest.raises(UserError, match=r"found intensities up to 8\d+; use gRPC"):
        client.request(connect("rest", "brats"), BRATS, large, tmp_path / "none")


def test_messages_above_4_mb(connect, tmp_path):
    """gRPC's limit of 4 MB a message does not hold: 8 MB there and 5 MB back."""
    patient = write_patient(tmp_path / "P6", np.float32, 0.25, (256, 256, 8))
    client.request(connect("grpc", "brats"), BRATS, patient, tmp_path / "maps", say=lambda line: None)
    check_overlay(tmp_path / "maps", patient, 1e-7)


@pytest.fixture(scope="module")
def photograph():
    return np.random.default_rng(3).integers(0, 256, (12, 24, 3)).astype(np.uint8)


@BOTH
@pytest.mark.parametrize("ending", ["png", "bmp"])
def test_photograph(protocol, ending, connect, photograph, tmp_path):
    """An image's maps at network size as NIfTI, and at its own as PNG; a BMP arrives as the same pixels."""
    Image.fromarray(photograph).save(tmp_path / f"mole.{ending}")
    quiet = {"full_size": True, "say": lambda line: None}
    client.request(connect(protocol, "isic"), ISIC, tmp_path / f"mole.{ending}", tmp_path / "maps", **quiet)
    small = tf.image.resize(photograph, NETWORK_SIZE, method="nearest").numpy()
    for kind, index in (("probability", 0), ("uncertainty", 1), ("prediction", 2)):
        found = np.asarray(nibabel.load(tmp_path / "maps" / f"mole_{kind}.nii.gz").dataobj).T
        png = np.asarray(Image.open(tmp_path / "maps" / f"mole_{kind}.png"))
        if kind == "prediction":
            np.testing.assert_array_equal(found, small[..., 2] > 127)
            np.testing.assert_array_equal(png, 255 * (photograph[..., 2] > 127))
        else:
            np.testing.assert_allclose(found, small[..., index] / 255, atol=1e-6)
            np.testing.assert_array_equal(png, photograph[..., index].astype(np.uint16) * 257)
    assert (tmp_path / "maps" / "mole.json").exists()


def test_own_bytes(connect, photograph, tmp_path):
    """A JPEG is sent as the file has it, not decoded and encoded again."""
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, "jpeg", quality=60)
    (tmp_path / "mole.jpg").write_bytes(buffer.getvalue())
    asked = {}

    class Recorder:
        name, model = "a recorder", "isic"

        def describe(self):
            return 1, {"encoded": {"images"}}

        def predict(self, signature, inputs):
            asked.update(inputs)
            raise UserError("enough")

    with pytest.raises(UserError, match="enough"):
        client.request(Recorder(), ISIC, tmp_path / "mole.jpg", tmp_path, say=lambda line: None)
    assert asked == {"images": [buffer.getvalue()]}


def test_version(connect, patient, tmp_path):
    """An older version answers if it is asked for; the version that answered is the one that was described."""
    with pytest.raises(UserError, match="memory"):
        client.request(connect("rest", "brats", version=1), BRATS, patient, tmp_path, say=lambda line: None)
    connection = connect("grpc", "brats", version=3)
    assert connection.describe()[0] == 3


# --------------------------------------------------------------------------------------------------------- real exports


@pytest.fixture(scope="module")
def isic_run(isic_data, train, tmp_path_factory):
    """A run on photographs of a seed whose network has some contrast after two epochs."""
    folder = tmp_path_factory.mktemp("isic_run")
    train("baseline", "isic", isic_data, folder, seed=5)
    return folder


@pytest.fixture(scope="module")
def exported(brats_run, isic_run, tmp_path_factory):
    """A server of what launch/export.py writes for tiny runs, under the names of docs/howto/serving.md."""
    folder, found = tmp_path_factory.mktemp("exported"), {}
    for name, run in (("brats_baseline", brats_run), ("isic_baseline", isic_run)):
        dataset, method = name.split("_", 1)
        options = prediction.Options(samples=2)
        path = export.export(methods.get(method), dataset, run, folder / name, options, say=lambda line: None)
        found[name] = {int(path.name): Model(path)}
    server = Server({**found, "brats_baseline_mc": found["brats_baseline"], "isic_ensemble": found["isic_baseline"]})
    yield server
    server.close()


def read(folder, name, kind):
    return np.asarray(nibabel.load(folder / f"{name}_{kind}.nii.gz").dataobj)


@pytest.mark.long
@pytest.mark.parametrize(
    ("protocol", "dtype", "tolerance", "codes"),
    [("rest", np.int16, 2.5e-4, "LPS"), ("grpc", np.float32, 1e-5, "LPS"), ("rest", np.int16, 2.5e-4, "SAR")],
)
def test_served_equals_predicted_patient(protocol, dtype, tolerance, codes, exported, brats_raw, brats_run, tmp_path):
    """request.py's maps are those of predict.py --input: within float16 as bytes, within 1e-5 as floats.

    A patient in another voxel order is brought to the training's by both, and the maps back.
    """
    source = next(brats_raw.glob("HGG/*"))
    patient = tmp_path / source.name
    patient.mkdir()
    for suffix in SUFFIXES:
        image = nibabel.load(source / f"{source.name}{suffix}.nii.gz")
        step = 1 if dtype == np.int16 else 0.125
        voxels = (np.asarray(image.dataobj) * step).astype(dtype)
        start, end = nibabel.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(codes)
        image = nibabel.Nifti1Image(voxels, image.affine, image.header, dtype=dtype)
        image = image.as_reoriented(nibabel.orientations.ornt_transform(start, end))
        nibabel.save(image, patient / f"{patient.name}{suffix}.nii")
    method, options = methods.get("baseline"), prediction.Options()
    predict_one(method, "brats", patient, brats_run, tmp_path / "predicted", options)
    connection = transport.connect(getattr(exported, protocol), "brats_baseline")
    answer = client.request(connection, BRATS, patient, tmp_path / "served", say=lambda line: None)
    for kind in ("probability", "uncertainty"):
        ours, theirs = (read(tmp_path / folder, patient.name, kind) for folder in ("served", "predicted"))
        assert (
            theirs.std() > 10 * tolerance
        )  # a small network hardly trained: little contrast, but far above what is allowed
        np.testing.assert_allclose(ours, theirs, atol=tolerance)
    ours, theirs = (read(tmp_path / folder, patient.name, "prediction") for folder in ("served", "predicted"))
    certain = np.abs(read(tmp_path / "predicted", patient.name, "probability") - 0.5) > 1e-4
    np.testing.assert_array_equal(ours[certain], theirs[certain])
    assert certain.mean() > 0.9
    headers = [
        nibabel.load(tmp_path / f / f"{patient.name}_probability.nii.gz").header for f in ("served", "predicted")
    ]
    assert headers[0].binaryblock == headers[1].binaryblock
    assert answer.document["predicted_volume"] == ours.sum()


@pytest.mark.long
def test_served_equals_predicted_photograph(exported, isic_data, isic_run, tmp_path):
    """The same for a photograph, its JPEG decoded by the server; its PNG maps within two of 65535 grey levels."""
    photograph = next((isic_data.parent / "raw").glob("*Test*Data/*.jpg"))
    method, options = methods.get("baseline"), prediction.Options(full_size=True)
    predict_one(method, "isic", photograph, isic_run, tmp_path / "predicted", options)
    connection = transport.connect(exported.rest, "isic_baseline")
    client.request(connection, ISIC, photograph, tmp_path / "served", full_size=True, say=lambda line: None)
    for kind in ("probability", "uncertainty"):
        ours, theirs = (read(tmp_path / folder, photograph.stem, kind) for folder in ("served", "predicted"))
        assert theirs.std() > 1e-4
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        pngs = [np.asarray(Image.open(tmp_path / f / f"{photograph.stem}_{kind}.png")) for f in ("served", "predicted")]
        assert pngs[0].dtype == pngs[1].dtype and pngs[0].shape == pngs[1].shape
        np.testing.assert_allclose(pngs[0].astype(float), pngs[1].astype(float), atol=2)
    masks = [
        np.asarray(Image.open(tmp_path / f / f"{photograph.stem}_prediction.png")) for f in ("served", "predicted")
    ]
    assert (masks[0] == masks[1]).mean() > 0.99 and set(np.unique(masks[0])) <= {0, 255}


@pytest.mark.long
def test_the_page_on_serving(exported, brats_raw, tmp_path, monkeypatch):
    """The Python of docs/howto/serving.md runs as it stands, against a model exported for it; its map overlays the patient."""
    page = (ROOT / "docs" / "howto" / "serving.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    for written, real in (
        ("http://localhost:8501", exported.rest),
        ("localhost:8500", exported.grpc.partition("://")[2]),
    ):
        assert written in code
        code = code.replace(written, real)
    source = next(brats_raw.glob("HGG/*"))
    (tmp_path / "patient").mkdir()
    for suffix in SUFFIXES:
        shutil.copy(source / f"{source.name}{suffix}.nii.gz", tmp_path / "patient" / f"patient{suffix}.nii.gz")
    monkeypatch.chdir(tmp_path)
    ran = {}
    exec(code, ran)
    written, flair = nibabel.load("uncertainty.nii.gz"), nibabel.load(f"patient/patient{SUFFIXES[0]}.nii.gz")
    np.testing.assert_allclose(written.affine, flair.affine, atol=1e-6)
    assert written.get_data_dtype() == np.float32
    np.testing.assert_allclose(np.asarray(written.dataobj).T, ran["uncertainty"], atol=2.5e-4)
    assert ran["uncertainty"].std() > 2.5e-3


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_pages_curl(exported, isic_data, tmp_path):
    """The shell command of docs/howto/serving.md runs as it stands and leaves maps of the photograph."""
    page = (ROOT / "docs" / "howto" / "serving.md").read_text()
    (command,) = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "curl" in block]
    shutil.copy(next((isic_data.parent / "raw").glob("*Test*Data/*.jpg")), tmp_path / "photo.jpg")
    command = command.replace("http://localhost:8501", exported.rest)
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    outputs = artefacts.read_json(tmp_path / "maps.json")["outputs"]
    assert set(outputs) == {"probability", "uncertainty", "prediction"}
    assert np.shape(outputs["probability"]) == (1, 32, 48)


# --------------------------------------------------------------------------------------------------------------- errors


@BOTH
@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nobody", "model nobody: expected a model that is served, found Servable not found.*model_config"),
        ("isic", "model isic: expected a model of .*--dataset=brats.*found encoded, encoded_full; check --model"),
        ("cut", r"model cut: expected uncertainty_bytes of 770 bytes, found strings of 768 bytes"),
        ("spoilt", "model spoilt: expected finite uncertainty, found 385 voxels that are not"),
        ("without", "model without: expected mean_uncertainty for one patient, found none"),
        ("refusing", "model refusing: expected maps, found .*out of memory.* …$"),
    ],
)
def test_wrong_models(protocol, model, words, connect, patient, tmp_path):
    """An unknown model, one of the other dataset, and answers that are no maps: named, and nothing is written."""
    with pytest.raises(UserError, match=words) as error:
        client.request(connect(protocol, model), BRATS, patient, tmp_path / "maps", say=lambda line: None)
    assert len(str(error.value)) < 800 and not (tmp_path / "maps").exists()


@BOTH
def test_unknown_version(protocol, connect, patient, tmp_path):
    with pytest.raises(UserError, match=r"model brats, version 9: .*Specific\(brats, 9\)"):
        client.request(connect(protocol, "brats", version=9), BRATS, patient, tmp_path)


@BOTH
def test_the_graphs_own_words(protocol, connect, tmp_path):
    """What the graph refuses is told in its own message, without node names."""
    patient = write_patient(tmp_path / "P5", shape=(*SHAPE[:2], 9))
    with pytest.raises(UserError, match="volume: expected fewer than 9 slices") as error:
        client.request(connect(protocol, "brats"), BRATS, patient, tmp_path / "maps", say=lambda line: None)
    assert "{{" not in str(error.value) and not (tmp_path / "maps").exists()


@pytest.fixture
def silent():
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed():
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return port


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_nobody_there(scheme, silent, closed, patient, tmp_path):
    """A closed port, a host that isn't, and one that never answers."""
    for address, words in (
        (f"{scheme}://127.0.0.1:{closed}", "expected TensorFlow Serving, found .*refused.*; start the server"),
        (f"{scheme}://nowhere.invalid:1", "nowhere.invalid:1: expected TensorFlow Serving"),
        (f"{scheme}://no..where:1", "no..where:1: expected TensorFlow Serving"),
        (f"{scheme}://127.0.0.1:{silent}", "expected an answer, found none within 0.5 s; give a longer --timeout"),
    ):
        with pytest.raises(UserError, match=words):
            connection = transport.connect(address, "brats", timeout=0.5)
            client.request(connection, BRATS, patient, tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>hello</html>", "found no JSON but '<html>hello</html>'; is this TensorFlow Serving"),
        (404, b"<html>nothing here</html>", "found HTTP status 404 for /v1/models/brats/metadata; is this"),
        (200, b'{"model_spec": {}}', "found JSON without the model's metadata"),
        (400, b'{ "error": "it\\\'s \\"bad\\"\\n\\t [[{{node x}}]]" }', 'a refusal: it\'s "bad"$'),  # older servers
        (504, b'{"error": "Timed out"}', "found Timed out; .*--rest_api_timeout_in_ms"),
        (503, b'{"error": "busy"}', "found HTTP status 503: busy"),
    ],
)
def test_other_servers(status, body, words, patient, tmp_path):
    """What else may answer at an address: another web server, an older TensorFlow Serving, one that is slow or busy."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.handle_request, daemon=True).start()
    connection = transport.connect(f"http://127.0.0.1:{server.server_address[1]}", "brats", timeout=5)
    with pytest.raises(UserError, match=words):
        client.request(connection, BRATS, patient, tmp_path / "maps")
    server.server_close()


def test_rest_on_the_port_of_grpc(served, patient, tmp_path):
    connection = transport.connect(served.grpc.replace("grpc", "http"), "brats", timeout=5)
    with pytest.raises(UserError, match="gRPC"):
        client.request(connection, BRATS, patient, tmp_path)


@pytest.mark.parametrize(
    "server", ["localhost:8501", "ftp://host", "http://", "http://host:many", "grpc://host:0", "http://[::1"]
)
def test_addresses(server):
    with pytest.raises(
        UserError, match=f"--server={re.escape(server)}: expected an address such as http://localhost:8501"
    ):
        transport.connect(server, "brats")


def test_default_ports():
    """TensorFlow Serving's own; a path before /v1 is kept, for servers behind a proxy."""
    assert transport.connect("http://host", "m").name == "http://host:8501"
    assert transport.connect("https://host/serving/", "m").name == "https://host:443/serving"
    assert transport.connect("grpc://host", "m").port == 8500
    with pytest.raises(UserError, match="--model=a/b"):
        transport.connect("http://host", "a/b")


def test_grpc_not_installed(monkeypatch):
    """Without the extra, gRPC is refused in one line that says what to install; REST is not affected."""
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(UserError, match=r"pip install tensorflow-serving-api .*--server=http://"):
        transport.connect("grpc://host", "m")
    transport.connect("http://host", "m")


# ------------------------------------------------------------------------------------------------------------- launcher


def test_rest_in_a_process_without_tensorflow(served, patient, tmp_path):
    """The launcher as a user starts it, where importing TensorFlow, Keras or gRPC fails."""
    blocked = "tensorflow", "keras", "tf_keras", "tensorflow_probability", "grpc"
    flags = ["--dataset=brats", "--model=brats", f"--server={served.rest}", f"--input={patient}", "--out_dir=maps"]
    code = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({blocked}))\n"
        f"sys.argv = {['request', *flags]}; runpy.run_path({str(ROOT / 'launch' / 'request.py')!r}, run_name='__main__')"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "foreground voxels" in ended.stdout
    check_overlay(tmp_path / "maps", patient, HALF)


def test_launcher(launch, served, closed, patient, tmp_path):
    """gRPC through the launcher; a failure is exit code 2 and one line."""
    where = ["--dataset=brats", f"--input={patient}", f"--out_dir={tmp_path / 'maps'}"]
    ended = launch("request", *where, "--model=brats", f"--server={served.grpc}")
    assert ended.code == 0, ended.err
    assert "P1: " in ended.out and " ml, uncertainty " in ended.out and "; maps in " in ended.out
    check_overlay(tmp_path / "maps", patient, HALF)
    for flags, word in (
        (["--model=brats", f"--server=http://127.0.0.1:{closed}"], "refused"),
        (["--model=nobody", f"--server={served.rest}"], "nobody"),
        (["--model=brats", "--full_size"], "--full_size"),
        (["--model=brats", "--timeout=0"], "--timeout=0"),
        (["--server=http://host"], "model"),
        (["--model=brats", f"--server=grpc://127.0.0.1:{closed}"], "refused"),
        (["--model=nobody", f"--server={served.grpc}"], "nobody"),
        (["--model=brats", f"--input={tmp_path / 'nobody'}"], "expected a subject's folder or an image"),
        (["--model=brats", f"--out_dir={tmp_path / 'maps' / 'P1.json'}"], "found a file"),
    ):
        ended = launch("request", *where, *flags)
        assert ended.code == 2 and word in ended.err and len(ended.err.splitlines()) == 1, ended.err
