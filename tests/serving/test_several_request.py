"""launch/request.py without --dataset: the model of four classes says what it is, and its maps lie on the patient's own images.

Against the HTTP and gRPC server of `serving_fixture.py`, with volumes whose spacings and voxel orders differ.
"""

import subprocess
import sys

import nibabel
import numpy as np
import pytest
import served_organs
from conftest import ROOT, predict_one
from PIL import Image
from serving_fixture import Model, Refusal, Server

from data_prep import records, tasks
from data_prep.base import artefacts
from data_prep.base.errors import Faults, UserError
from tfunc.maps.options import Options
from tfunc.methods import METHODS
from tfunc.serving import client, export, transport

SPACINGS = (1.0, 1.3, 0.8, 1.3)
PARTS = ("prediction", "probability", "uncertainty")
CLASSES = ["background", "liver", "spleen", "tumour"]

pytestmark = pytest.mark.long


class Silent:
    """A model as it was exported before it said what it is."""

    def __init__(self, model):
        self.model = model
        self.signatures = {name: one for name, one in model.signatures.items() if name != "describe"}

    def run(self, signature, inputs):
        return self.model.run(signature, inputs)


class Saying(Silent):
    """A model that answers describe with something else."""

    def __init__(self, model, text):
        self.model, self.text, self.signatures = model, text, model.signatures

    def run(self, signature, inputs):
        found = self.model.run(signature, inputs)
        return {**found, "task": np.array([self.text], object)} if "task" in found else found


class Relabelled(Silent):
    """A model whose segmentation holds a label that its task lacks."""

    def __init__(self, model):
        self.model, self.signatures = model, model.signatures

    def run(self, signature, inputs):
        found = self.model.run(signature, inputs)
        if "prediction_bytes" in found:
            found["prediction_bytes"] = np.array(
                [one.replace(b"\xc8", b"\x09") for one in found["prediction_bytes"]], object
            )
        return found


@pytest.fixture(scope="module")
def organs(tmp_path_factory, shaken):
    """A folder with `organs`, `data` and `run` of volumes that are resampled."""
    folder = tmp_path_factory.mktemp("asked") / "organs"
    served_organs.prepared(served_organs.volumes(folder / "organs", SPACINGS), folder)
    served_organs.write_networks(folder / "run", folder / "data", shaken)
    return folder


@pytest.fixture(scope="module")
def eyes(tmp_path_factory, shaken):
    """The same of photographs."""
    folder = tmp_path_factory.mktemp("asked") / "eyes"
    served_organs.prepared(served_organs.photographs(folder / "eyes"), folder)
    served_organs.write_networks(folder / "run", folder / "data", shaken)
    return folder


@pytest.fixture(scope="module")
def served(organs, eyes):
    """The server of both baselines, and of models that say nothing or something else."""
    found = {}
    for folder in (organs, eyes):
        name = folder.name
        method, options = METHODS["baseline"], Options()
        path = export.export(method, name, folder / "run", folder / "export", options, say=lambda line: None)
        found[name] = Model(path)
    model = found["organs"]
    wrong = {"silent": Silent(model), "strange": Saying(model, b"[1]"), "relabelled": Relabelled(model)}
    server = Server({name: {1: model} for name, model in {**found, **wrong}.items()})
    yield server
    server.close()


def ask(served, protocol, model, dataset, *arguments, **options):
    connection = transport.connect(getattr(served, protocol), model)
    return client.request(connection, dataset, *arguments, **{"say": lambda line: None, **options})


def case(organs, index, into):
    """One case's files in a folder of their own."""
    into.mkdir()
    for path in (organs / "organs").glob(f"images*/case_{index}_*"):
        (into / path.name).symlink_to(path)
    return into


@pytest.mark.parametrize("index", [0, 2, 3])
def test_maps_lie_on_the_patients_own_image(index, served, organs, tmp_path):
    """Resampled voxels are sent, as floats, and the maps brought back: as predict.py's, in shape, place, labels and classes."""
    task = records.read_manifest(organs / "data").task
    assert task.spacing is not None and task.order == "LPS"
    patient = case(organs, index, tmp_path / "patient")
    predict_one(METHODS["baseline"], "organs", patient, organs / "run", tmp_path / "predicted", Options())
    source = nibabel.load(patient / f"case_{index}_0000.nii.gz")
    for protocol, tolerance in (("rest", 6e-4), ("grpc", 2e-5)):
        folder = tmp_path / protocol
        answer = ask(served, protocol, "organs", None, patient, folder)
        as_predicted(answer, folder, tmp_path / "predicted", index, source, tolerance)


def as_predicted(answer, served, predicted, index, source, tolerance):
    """The served maps are the predicted ones, on the image of the patient."""
    maps = {}
    for part in PARTS:
        ours, theirs = (nibabel.load(folder / f"case_{index}_{part}.nii.gz") for folder in (served, predicted))
        assert ours.header.binaryblock == theirs.header.binaryblock
        assert ours.shape[:3] == source.shape
        np.testing.assert_allclose(ours.affine, source.affine, atol=1e-5)
        maps[part] = np.asarray(ours.dataobj), np.asarray(theirs.dataobj)
    ours, theirs = maps["probability"]
    assert ours.shape == (*source.shape, 4) and theirs.std() > 0.05
    np.testing.assert_allclose(ours, theirs, atol=tolerance)
    np.testing.assert_allclose(ours.sum(axis=-1), 1, atol=1e-5 if answer.document["signature"] == "subject" else 2e-3)
    np.testing.assert_allclose(*maps["uncertainty"], atol=tolerance)
    ours, theirs = maps["prediction"]
    highest = np.sort(maps["probability"][1], axis=-1)
    certain = highest[..., -1] - highest[..., -2] > 2 * tolerance
    np.testing.assert_array_equal(ours[certain], theirs[certain])
    assert certain.mean() > 0.9 and set(np.unique(ours)) <= set(served_organs.VALUES.values())
    check_document(answer.document, maps["prediction"][0], maps["probability"][0], source)
    assert artefacts.read_json(served / f"case_{index}.json") == answer.document


def check_document(document, prediction, probability, source):
    """Volumes by class and by region are those of the written maps, in voxels and millilitres of the patient's own image."""
    cubic_mm = np.prod(source.header.get_zooms())
    values = {name: served_organs.VALUES[name] for name in document["class_volumes"]}
    assert sorted(values) == CLASSES
    for name, value in values.items():
        count = np.count_nonzero(prediction == value)
        assert document["class_volumes"][name] == count
        assert document["class_volumes_ml"][name] == pytest.approx(count * cubic_mm / 1000, abs=1e-3)
        if name != "background":
            assert document["region_volumes"][name] == count
    assert document["predicted_volume"] == np.count_nonzero(prediction)
    np.testing.assert_allclose(
        list(document["expected_class_volumes"].values()), probability.sum((0, 1, 2), dtype=float), rtol=3e-3
    )
    assert 0 < document["mean_uncertainty"] < 1


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_photographs(protocol, served, eyes, tmp_path):
    """Labels at network size and, as PNG, at the photograph's own: as predict.py writes them."""
    file = eyes / "eyes" / "images" / "eye_1.png"
    ask(served, protocol, "eyes", None, file, tmp_path / "served", full_size=True)
    options = Options(full_size=True)
    predict_one(METHODS["baseline"], "eyes", file, eyes / "run", tmp_path / "predicted", options)
    for part in PARTS:
        ours, theirs = (nibabel.load(tmp_path / folder / f"eye_1_{part}.nii.gz") for folder in ("served", "predicted"))
        assert ours.header.binaryblock == theirs.header.binaryblock
        np.testing.assert_allclose(np.asarray(ours.dataobj), np.asarray(theirs.dataobj), atol=1e-5)
        ours, theirs = (np.asarray(Image.open(tmp_path / f / f"eye_1_{part}.png")) for f in ("served", "predicted"))
        assert ours.dtype == theirs.dtype and ours.shape == (44, 60)
        np.testing.assert_allclose(ours.astype(float), theirs.astype(float), atol=0 if part == "prediction" else 2)


def test_a_folder_of_several(served, organs, eyes, tmp_path):
    """Each is asked for; one that can't be read is named at the end. `request`, for one, names those that it found."""
    folder = case(organs, 0, tmp_path / "patients")
    for path in (organs / "organs").glob("images*/case_1_*"):
        (folder / path.name).symlink_to(path)
    (folder / "case_2_0000.nii.gz").symlink_to(organs / "organs" / "imagesTr" / "case_2_0000.nii.gz")
    connection, found = transport.connect(served.rest, "organs"), []
    with pytest.raises(Faults, match="case_2_0001"):
        for answer in client.requests(connection, None, folder, tmp_path / "maps", say=lambda line: None):
            found.append(answer.name)
    assert found == ["case_0", "case_1"]
    images = eyes / "eyes" / "images"
    with pytest.raises(
        UserError, match=r"expected one subject, found 4: eye_0, eye_1, eye_2, …; give the files of one"
    ):
        ask(served, "rest", "eyes", None, images, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (
            "silent",
            {},
            "expected the signature describe, .* found serving_default, subject, subject_bytes; give --dataset",
        ),
        ("strange", {}, r"model strange: expected object, found array"),
        (
            "organs",
            {"dataset": tasks.TASKS["brats"]},
            "--dataset=brats: expected a model of brats, found a model of organs",
        ),
        ("organs", {"order": "RAS"}, "--voxel_order=RAS: expected LPS, in which the model was trained, found RAS"),
        ("organs", {"order": "as_is"}, "--voxel_order=as_is: expected a model of brats"),
        ("organs", {"full_size": True}, "--full_size: expected a model of photographs, found one of organs"),
        ("relabelled", {}, r"expected a prediction of 0, \d+, \d+ and \d+, found 9"),
    ],
)
def test_what_is_refused(model, options, words, served, organs, tmp_path):
    """A model that says nothing, or something else than the user; one line, and nothing is written."""
    patient = case(organs, 3, tmp_path / "patient")
    dataset = options.pop("dataset", None)
    with pytest.raises(UserError, match=words) as error:
        ask(served, "rest", model, dataset, patient, tmp_path / "maps", **options)
    assert "\n" not in str(error.value) and not (tmp_path / "maps").exists()


def test_the_launcher_without_tensorflow(served, organs, tmp_path):
    """As a user starts it, where importing TensorFlow fails: no --dataset, two patients, volumes by class in millilitres."""
    folder = case(organs, 0, tmp_path / "imagesTs")
    for path in (organs / "organs").glob("images*/case_2_*"):
        (folder / path.name).symlink_to(path)
    blocked = "tensorflow", "keras", "tf_keras", "tensorflow_probability", "grpc"
    flags = ["--model=organs", f"--server={served.rest}", f"--input={folder}", "--out_dir=maps"]
    code = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({blocked}))\n"
        f"sys.argv = {['request', *flags]}; runpy.run_path({str(ROOT / 'launch' / 'request.py')!r}, run_name='__main__')"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    lines = [line for line in ended.stdout.splitlines() if "foreground voxels" in line]
    assert [line.partition(":")[0] for line in lines] == ["case_0", "case_2"]
    assert all(f"{name} " in line and line.count(" ml") >= 4 for line in lines for name in CLASSES[1:])
    assert (tmp_path / "maps" / "case_2_probability.nii.gz").exists()


def test_the_launcher_refuses_in_one_line(launch, served, organs, tmp_path):
    patient = case(organs, 3, tmp_path / "patient")
    where = [f"--server={served.rest}", f"--input={patient}", f"--out_dir={tmp_path / 'maps'}"]
    for flags, word in (
        (["--model=silent"], "--dataset"),
        (["--model=organs", "--dataset=isic"], "a model of organs"),
        (["--model=organs", "--full_size"], "--full_size"),
        (["--model=organs", "--voxel_order=RAS"], "--voxel_order=RAS"),
    ):
        ended = launch("request", *where, *flags)
        assert ended.code == 2 and word in ended.err and len(ended.err.splitlines()) == 1, ended.err


def test_strings_of_a_server():
    """Strings come back as bytes over REST too, where no base64 says so."""
    assert transport._from_json(["{}", "ä"]) == [b"{}", "ä".encode()]
    with pytest.raises(ValueError, match="U"):
        transport._from_json([["text"]])
    assert issubclass(Refusal, Exception)
