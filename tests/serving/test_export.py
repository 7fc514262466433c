"""What is exported: the maps of predict.py after evaluation, in any process, and one clear error for a bad request."""

import dataclasses
import functools
import io
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from conftest import ISIC_SHAPE, make_config, predict_one
from made_up_maps import undrawn
from PIL import Image
from refusals import refused

from data_prep import normalisation, records, tasks
from data_prep.base import artefacts
from data_prep.base import pool as engine
from data_prep.base.errors import NotReady, UserError
from data_prep.map_files import MAPS
from data_prep.readers import brats, nifti, photographs
from tfunc import kinds, networks, runs
from tfunc.maps import predict as prediction
from tfunc.maps.options import Options
from tfunc.methods import METHODS
from tfunc.nets import trained as models
from tfunc.reporting import publish
from tfunc.serving import description, export, summaries, warmup
from tfunc.serving import inputs as served_inputs
from tfunc.serving import signatures as serving

SAMPLES, SEED = 2, 20
FILTERS, DEPTH, MEMBERS = 4, 1, 2
NETWORKS = {  # and the seed of their weights; of many, auxiliary_feat is constant
    "baseline": 2,
    "center": 3,
    "aleatoric": 4,
    "auxiliary_feat": 9,
    "auxiliary_segm": 6,
    "ensemble_00": 7,
    "ensemble_01": 8,
    "ssn": 10,
}
WHOLE = {"brats": "baseline_mc", "isic": "baseline"}  # exported with all its signatures; the rest with some
# those that are another's graph with other weights; center's dropout is looked at once
FEWER = {"brats": ("cv_ensemble", "checkpoints"), "isic": ("cv_ensemble", "checkpoints", "center", "center_mc")}
SOME = {"brats": ("subject",), "isic": ("serving_default", "encoded")}


def write_network(run_dir, name, data_dir, shaken, seed):
    """A network with weights of no training, in the files that training leaves."""
    manifest = records.read_manifest(data_dir)
    network = networks.get(name, MEMBERS)
    config = make_config(network, manifest, start_filters=FILTERS, depth=DEPTH)
    folder = runs.network_dir(run_dir, name)
    folder.mkdir(parents=True)
    model = shaken(models.build(network, config.channels, FILTERS, DEPTH, seed=seed), seed)
    model.save_weights(str(folder / runs.WEIGHTS))
    artefacts.write_json(folder / runs.CONFIG, config.document())
    artefacts.write_json(folder / runs.FINISHED, {"weights_sha256": artefacts.sha256(folder / runs.WEIGHTS)})


def pick(found, names):
    return {name: found[name] for name in names}


class Study:
    """A run with all networks: predicts, evaluates and exports what a test asks for, each once."""

    def __init__(self, dataset, data_dir, raw_dir, run_dir):
        self.dataset, self.data_dir, self.run_dir = dataset, data_dir, run_dir
        self.entries = records.read_manifest(data_dir).split("test")
        self.names = [entry.name for entry in self.entries]
        self.raw_dir, self.done = raw_dir, {}
        # the seed of a slice in predict.py, so that the served maps of the first subject draw the very same samples
        self.seed = (SEED << 32) + zlib.crc32(self.names[0].encode())

    def raw(self, name):
        """What a client sends: a volume float32 [depth, height, width, 4], or a file's bytes."""
        if self.dataset == "isic":
            return next(self.raw_dir.rglob(f"{name}.jpg")).read_bytes()
        (folder,) = self.raw_dir.glob(f"*/{name}")
        return brats.load(brats.find_one(folder)).image

    def request(self, *names):
        raw = [self.raw(name) for name in names]
        return {"images": tf.constant(raw)} if self.dataset == "isic" else {"volume": tf.constant(np.float32(raw))}

    def _once(self, key, make):
        if key not in self.done:
            self.done[key] = make()
        return self.done[key]

    def predicted(self, method):
        """Folder of the test split's maps."""
        options = Options(samples=SAMPLES, seed=SEED, full_size=self.dataset == "isic")
        arguments = METHODS[method], self.dataset, self.data_dir, self.run_dir, "test", options
        return self._once(("maps", method), lambda: prediction.predict_split(*arguments, say=lambda line: None))

    def sigma_range(self):
        """Evaluates the aleatoric maps, undrawn; the range that summary.json then holds."""

        def make():
            self.predicted("aleatoric")
            with pytest.MonkeyPatch.context() as patch:
                undrawn(patch)
                request = publish.Request(runs.evaluation_dir(self.run_dir), self.dataset)
                finished = publish.evaluate_run(
                    request, self.run_dir, self.data_dir, ["aleatoric"], lambda _: engine.executor(1)
                )
            return finished.summary["methods"]["aleatoric"]["sigma_range"]

        return self._once("range", make)

    def exported(self, method):
        """(version folder, its signatures, loaded): all of them for one method, those that tests ask for of the rest."""

        def make():
            if METHODS[method].kind == "sigma":
                self.sigma_range()
            read_back, load, everything = [], tf.saved_model.load, serving.Served.signatures
            with pytest.MonkeyPatch.context() as patch:
                # what export itself reads back from the disk; to load and optimise it again would take a second each
                patch.setattr(tf.saved_model, "load", lambda path: read_back.append(load(path)) or read_back[-1])
                if method != WHOLE[self.dataset]:
                    patch.setattr(serving.Served, "signatures", lambda of: pick(everything(of), SOME[self.dataset]))
                folder = self.export(method, self.run_dir / "export" / method)
            (self.done[folder],) = read_back
            return folder, read_back[0].signatures

        return self._once(("export", method), make)

    def export(self, method, export_dir, said=None, samples=SAMPLES, **more):
        options = Options(samples=samples, seed=self.seed)
        say = (said if said is not None else []).append
        return export.export(METHODS[method], self.dataset, self.run_dir, export_dir, options, say=say, **more)


def study(dataset, data_dir, raw_dir, run_dir, shaken):
    for name, seed in NETWORKS.items():
        write_network(run_dir, name, data_dir, shaken, seed)
    return Study(dataset, data_dir, raw_dir, run_dir)


@pytest.fixture(scope="module", autouse=True)
def _read_once():
    """Predicting and exporting each read the same networks; once is enough here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "load", functools.cache(models.load))
        yield


@pytest.fixture(scope="module")
def brats_study(brats_data, brats_raw, shaken, tmp_path_factory):
    return study("brats", brats_data, brats_raw, tmp_path_factory.mktemp("brats_export"), shaken)


@pytest.fixture(scope="module")
def isic_study(isic_data, shaken, tmp_path_factory):
    return study("isic", isic_data, isic_data.parent / "raw", tmp_path_factory.mktemp("isic_export"), shaken)


@pytest.fixture
def studies(brats_study, isic_study):
    return {"brats": brats_study, "isic": isic_study}


# ---------------------------------------------------------------------------------------------------------------- maps


def scaled(raw, kind, sigma_range=None):
    """The uncertainty that evaluation makes of a written map."""
    kind = kinds.get(kind)
    return kind.uncertainty_map(raw, kind.limits(raw, sigma_range))


@pytest.mark.long(but=["brats-aleatoric", "isic-baseline"])
@pytest.mark.parametrize(
    ("dataset", "method"),
    [(dataset, name) for dataset, fewer in FEWER.items() for name in METHODS if name not in fewer],
)
def test_served_maps_are_those_of_predict_after_evaluation(studies, dataset, method):
    """Raw voxels or JPEG bytes in; out come predict.py's written maps, their uncertainty as evaluation makes it."""
    study, kind = studies[dataset], METHODS[method].kind
    folder, signatures = study.predicted(method), study.exported(method)[1]
    sigma_range = study.sigma_range() if kind == "sigma" else None
    compared = study.names[:1] if METHODS[method].sampled else study.names  # a seed draws one subject's samples
    found = signatures["subject" if dataset == "brats" else "encoded"](**study.request(*compared))
    for row, name in enumerate(compared):
        maps = {part: nifti.read_map(folder / f"{name}_{part}.nii.gz")[0] for part in MAPS}
        raw = maps["probability" if kind == "probability" else "uncertainty"]
        expected = {**maps, "uncertainty": scaled(raw, kind, sigma_range)}
        assert np.ptp(expected["uncertainty"]) > 0.02 and np.ptp(maps["probability"]) > 0.02
        for part, values in expected.items():
            assert found[part].dtype == MAPS[part]
            np.testing.assert_allclose(found[part][row].numpy(), values, atol=1e-5, rtol=0, err_msg=part)
    averaged = METHODS[method].sampled or method == "ensemble"
    assert ("mutual_information" in found) == averaged


@pytest.mark.parametrize("dataset", ["brats", "isic"])
def test_signatures(studies, dataset):
    """Each dataset has its own; only sampled methods take seeds."""
    own = {"subject", "subject_bytes"} if dataset == "brats" else {"encoded", "encoded_full"}
    seeded = {"seeded"} if METHODS[WHOLE[dataset]].sampled else set()
    assert set(studies[dataset].exported(WHOLE[dataset])[1]) == {"serving_default", "describe", *own, *seeded}


def test_the_form_decides_not_the_data_set():
    """A task of another name, with other channels and sizes, gets the signatures and warm-up requests of its form."""
    volumes, photographs = tasks.TASKS["brats"], tasks.TASKS["isic"]
    ct = msgspec.structs.replace(volumes, name="livers", channels=volumes.channels[:1])
    moles = msgspec.structs.replace(photographs, name="moles", frame=(20, 40))
    for task, signature in ((ct, "subject_bytes"), (moles, "encoded_full")):
        described = description.Description(task, kinds.get("probability"), False, 0, None, 4)
        served = serving.Served(
            lambda images, seeds: {"probability": images[..., 0], "uncertainty": images[..., 0]}, described
        )
        requests = warmup.requests(served.signatures(), described)
        assert set(requests) == set(served.signatures()) and signature in requests
        images = requests["serving_default"]["images"]
        assert images.shape == ((1, 32, 32, 1) if task is ct else (1, 20, 40, 3)) and images.dtype == np.float32
        assert described.document()["dataset"] == task.name and described.document()["channels"] == images.shape[-1]


@pytest.mark.long
@pytest.mark.parametrize("method", ["baseline_mc", "auxiliary_feat", "aleatoric"])
def test_images_as_the_network_sees_them(studies, method):
    """serving_default: the same probability; a sigma scaled, an error probability raw, since its range is a subject's."""
    study = studies["isic"]
    folder, signatures = study.predicted(method), study.exported(method)[1]
    subject = records.read_subject(study.data_dir, records.read_manifest(study.data_dir), study.names[0])
    found = signatures["serving_default"](images=tf.constant(subject.normalised()))
    maps = {part: nifti.read_map(folder / f"{study.names[0]}_{part}.nii.gz")[0] for part in MAPS}
    if METHODS[method].kind == "sigma":
        maps["uncertainty"] = scaled(maps["uncertainty"], "sigma", study.sigma_range())
    for part, values in maps.items():
        np.testing.assert_allclose(found[part][0].numpy(), values, atol=1e-5, rtol=0)


def test_a_sigma_outside_the_range_is_clipped(isic_study):
    """Other images may have a sigma that the evaluation's set had not: 0 and 1, but for the 1e-5 that keeps off them."""
    isic_study.sigma_range()
    raw = nifti.read_map(isic_study.predicted("aleatoric") / f"{isic_study.names[0]}_uncertainty.nii.gz")[0]
    low, high = raw.min() + np.ptp(raw) * np.array([0.3, 0.6])
    method, options = METHODS["aleatoric"], Options()
    clipped = dataclasses.replace(described(isic_study, "aleatoric"), sigma_range=(float(low), float(high)))
    trained = models.load_all(isic_study.run_dir, method.networks, "isic")
    served = serving.Served(export.predictives.of(method)([one.model for one in trained], options), clipped)
    found = served.signatures()["encoded"](**isic_study.request(isic_study.names[0]))["uncertainty"][0].numpy()
    expected = np.clip((raw - low) / (high - low), 0, 1) * (1 - 2e-5) + 1e-5
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (raw < low).any() and (raw > high).any() and found.min() > 0 and found.max() < 1


def described(study, method):
    """The description of an exported method, with a seed of 0."""
    method = METHODS[method]
    trained = models.load_all(study.run_dir, method.networks, study.dataset)
    options = Options(seed=0)
    return export.describe(method, study.dataset, study.run_dir, trained, options)


def test_a_patient_as_bytes(brats_study):
    """subject_bytes gives subject's maps as float16, whatever the shapes in one batch, with or without the channels."""
    signatures = brats_study.exported("baseline_mc")[1]
    volume = brats_study.raw(brats_study.names[0])
    assert volume.dtype == np.int16
    volumes = [volume, volume[3:14, :31, 2:]]
    data = tf.constant([one.astype("<i2").tobytes() for one in volumes])
    found = signatures["subject_bytes"](volume=data, shape=tf.constant([one.shape for one in volumes], tf.int64))
    short = tf.constant([one.shape[:3] for one in volumes], tf.int64)
    again = signatures["subject_bytes"](volume=data, shape=short)
    for row, one in enumerate(volumes):
        whole = signatures["subject"](volume=tf.constant(one[np.newaxis].astype("f4")))
        for name in ("probability", "uncertainty", "mutual_information", "prediction"):
            dtype = "u1" if name == "prediction" else "<f2"
            values = np.frombuffer(found[f"{name}_bytes"][row].numpy(), dtype).reshape(one.shape[:3])
            np.testing.assert_allclose(values, whole[name][0].numpy(), atol=6e-4)
            assert again[f"{name}_bytes"][row] == found[f"{name}_bytes"][row]
        for name in summaries.SUMMARY:
            np.testing.assert_allclose(found[name][row], whole[name][0], rtol=1e-5)


def test_what_a_clinic_asks(brats_study):
    """Volumes and the mean uncertainty in the tumour are those of the maps, one a patient; -1 where there is no tumour."""
    signatures = brats_study.exported("center")[1]
    found = {
        name: values.numpy()
        for name, values in signatures["subject"](**brats_study.request(*brats_study.names)).items()
    }
    inside = found["prediction"] > 0
    assert inside.any() and len(found["predicted_volume"]) == 2
    np.testing.assert_array_equal(found["predicted_volume"], inside.sum((1, 2, 3)))
    np.testing.assert_allclose(found["expected_volume"], found["probability"].sum((1, 2, 3), np.float64), rtol=1e-6)
    means = [maps[mask].mean(dtype=float) for maps, mask in zip(found["uncertainty"], inside, strict=True)]
    np.testing.assert_allclose(found["mean_uncertainty"], means, rtol=1e-5)
    nothing = tf.zeros([2, 3, 3])
    empty = serving._summary({"probability": nothing, "uncertainty": nothing, "prediction": tf.cast(nothing, tf.uint8)})
    assert empty["predicted_volume"] == 0 and empty["mean_uncertainty"] == -1


def test_maps_at_the_photographs_own_size(isic_study, tmp_path):
    """encoded_full gives what predict.py --full_size writes as PNG, also for a photograph of another size."""
    name = isic_study.names[0]
    Image.open(io.BytesIO(isic_study.raw(name))).resize((70, 50)).save(tmp_path / "other.png")
    options = Options(full_size=True)
    run_dir, method = isic_study.run_dir, METHODS["baseline"]
    predict_one(method, "isic", tmp_path / "other.png", run_dir, tmp_path, options)
    data = tf.constant([(tmp_path / "other.png").read_bytes()])
    found = isic_study.exported("baseline")[1]["encoded_full"](images=data)
    for part in MAPS:
        written = np.asarray(Image.open(tmp_path / f"other_{part}.png"))
        scale = 255 if part == "prediction" else 65535
        assert found[part].shape == (1, 50, 70)
        np.testing.assert_allclose(found[part][0].numpy(), written / scale, atol=3e-5)


def test_a_seed_is_a_rows_own(brats_study):
    """seeded: a row's maps follow from its image and its seed, whatever stands beside it; other seeds, other samples."""
    seeded = brats_study.exported("baseline_mc")[1]["seeded"]
    images = np.random.default_rng(1).normal(size=(3, 16, 20, 4)).astype("f4")
    images[1] = images[0]
    seeds = np.array([5, 2**40, 5])
    found = seeded(images=tf.constant(images), seed=tf.constant(seeds))
    turned = seeded(images=tf.constant(images[::-1].copy()), seed=tf.constant(seeds[::-1].copy()))
    alone = seeded(images=tf.constant(images[1:2]), seed=tf.constant(seeds[1:2]))
    for name, values in found.items():
        np.testing.assert_allclose(turned[name][::-1].numpy(), values, atol=2e-6)
        np.testing.assert_allclose(alone[name][0].numpy(), values[1], atol=2e-6)
    assert np.abs(found["probability"][0] - found["probability"][1]).max() > 1e-3


def test_the_default_seed_is_every_rows(brats_study):
    """serving_default: one fixed seed, so that a row doesn't depend on its place in the batch."""
    signatures = brats_study.exported("baseline_mc")[1]
    images = np.random.default_rng(1).normal(size=(2, 16, 20, 4)).astype("f4")
    found = signatures["serving_default"](images=tf.constant(images))
    seed = tf.constant([brats_study.seed] * 2, tf.int64)
    for name, values in signatures["seeded"](images=tf.constant(images), seed=seed).items():
        np.testing.assert_allclose(found[name].numpy(), values, atol=2e-6)


def test_statistics_are_the_subjects():
    """The z-score inside the graph is data_prep's, for int16 and float32, and nearer to float64's."""
    random = np.random.default_rng(0)
    voxels = (random.gamma(2, 300, (20, 64, 60, 4)) * (random.random((20, 64, 60, 1)) < 0.3)).astype(np.int16)
    mean, deviation = normalisation.zscore_statistics(voxels, "it")
    for values in (voxels, voxels.astype(np.float32)):
        found = served_inputs.statistics(tf.constant(values))
        np.testing.assert_allclose(found[0], mean, rtol=2e-6)
        np.testing.assert_allclose(found[1], deviation, rtol=2e-6)
        np.testing.assert_allclose(found[1], voxels.std((0, 1, 2), dtype=float), rtol=1e-7)


@pytest.mark.parametrize("rule", ["unit", "minmax"])
def test_intensities_are_the_photographs(rule):
    """Both rules of preparation, as data_prep's; under minmax a photograph of one grey is an error that names it."""
    pixels = np.random.default_rng(0).integers(20, 200, (5, 6, 3), np.uint8)
    mean, extent = normalisation.intensity_statistics(pixels, rule)
    found = served_inputs.intensities(tf.constant(pixels), rule)
    np.testing.assert_array_equal(found, (pixels.astype("f4") - mean) / extent)
    if rule == "minmax":
        with pytest.raises(tf.errors.InvalidArgumentError, match="images: expected pixels that vary, found 7"):
            served_inputs.intensities(tf.fill([4, 4, 3], tf.constant(7, tf.uint8)), rule)


# ---------------------------------------------------------------------------------------------------- a clean process

CLEAN = """
import json, os, sys
for name in ("keras", "tf_keras", "tfunc", "data_prep", "tensorflow_probability"):
    sys.modules[name] = None
import numpy as np
import tensorflow as tf
folder, inputs, outputs = sys.argv[1:]
given = np.load(inputs)
model = tf.saved_model.load(folder)
found = model.signatures["seeded"](images=tf.constant(given["images"]), seed=tf.constant(given["seed"]))
found = {name: values.numpy() for name, values in found.items()}
patient = model.signatures["subject"](volume=tf.constant(given["volume"]))
found.update({f"subject_{name}": values.numpy() for name, values in patient.items()})
np.savez(outputs, **found)
from tensorflow.python.tools import saved_model_cli
for argv in (
    ["show", "--dir", folder, "--all"],
    ["run", "--dir", folder, "--tag_set", "serve", "--signature_def", "serving_default",
     "--inputs", f"images={inputs}[images]", "--outdir", os.path.dirname(outputs)],
):
    sys.argv = ["saved_model_cli", *argv]
    try:
        saved_model_cli.main()
    except SystemExit as end:
        assert not end.code, end.code
"""


@pytest.mark.long
def test_it_runs_where_only_tensorflow_is(brats_study, tmp_path):
    """A process without Keras, this package or TensorFlow Probability gives the same maps, and saved_model_cli works."""
    folder, signatures = brats_study.exported("baseline_mc")
    random = np.random.default_rng(2)
    images, seed = random.normal(size=(2, 16, 20, 4)).astype("f4"), np.array([3, 4])
    volume = random.integers(0, 900, (1, 5, 16, 20, 4)).astype("f4")
    np.savez(tmp_path / "in.npz", images=images, seed=seed, volume=volume)
    arguments = [folder, tmp_path / "in.npz", tmp_path / "out.npz"]
    command = [sys.executable, "-c", CLEAN, *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=clean)
    assert ended.returncode == 0, ended.stderr[-3000:]
    here = signatures["seeded"](images=tf.constant(images), seed=tf.constant(seed))
    patient = signatures["subject"](volume=tf.constant(volume))
    here = {**here, **{f"subject_{name}": values for name, values in patient.items()}}
    there = np.load(tmp_path / "out.npz")
    assert set(there.files) == set(here)
    for name, values in here.items():
        np.testing.assert_allclose(there[name], values.numpy(), atol=2e-6, rtol=1e-6)
    for name in signatures:
        assert f"signature_def['{name}']" in ended.stdout
    default = signatures["serving_default"](images=tf.constant(images))
    for name, values in default.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), values.numpy(), atol=2e-6)


def test_the_file_is_plain_tensorflow(brats_study):
    """No op of Keras' or our own, no Python function, and the networks' weights once for all signatures."""
    from tensorflow.core.protobuf import saved_model_pb2

    folder, _ = brats_study.exported("ensemble")
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (graph,) = model.meta_graphs
    ops = {node.op for function in graph.graph_def.library.function for node in function.node_def}
    assert "Conv2D" in ops and not {op for op in ops if "PyFunc" in op or "BatchNorm" in op or "Dropout" in op}
    weights = sum(path.stat().st_size for path in (folder / "variables").iterdir())
    trained = models.load_ensemble(brats_study.run_dir, "brats")
    floats = sum(weight.size for one in trained for weight in one.model.get_weights())
    assert weights < 4 * 1.5 * floats + 50_000  # a 3x3 kernel of an up-convolution is 4x4 here


# --------------------------------------------------------------------------------------------------------- bad requests


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb():
    """A PNG of 70 bytes whose header asks for 40,000 x 40,000 pixels."""
    header = struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 99)), chunk(b"IEND", b"")]
    )


def encoded(image, form, **options):
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def jpeg_bomb():
    data = encoded(Image.new("RGB", (40, 30)), "JPEG")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", 65500, 65500) + data[place + 4 :]


PHOTOGRAPH = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))
JPEG, PNG = encoded(PHOTOGRAPH, "JPEG"), encoded(PHOTOGRAPH, "PNG")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (JPEG[: len(JPEG) // 2], ["Invalid JPEG"]),
        (JPEG[:12], ["Invalid JPEG"]),
        (PNG[: len(PNG) // 2], ["Invalid PNG"]),
        (PNG[:20], ["a whole PNG", "found 20 bytes"]),
        (png_bomb(), ["80000000 pixels", "found 40000x40000"]),
        (jpeg_bomb(), ["80000000 pixels", "found 65500x65500"]),
        (PNG[:16] + struct.pack(">II", 0, 5) + PNG[24:], ["found 0x5"]),
        (b"", ["JPEG or PNG"]),
        (encoded(PHOTOGRAPH, "GIF"), ["JPEG or PNG"]),
        (encoded(PHOTOGRAPH.convert("CMYK"), "JPEG"), ["8 bits a channel", "4 channels"]),
        (encoded(Image.fromarray(np.full((9, 9), 999, np.uint16)), "PNG"), ["8 bits a channel", "found 16 bits"]),
    ],
    ids=[
        "half a JPEG",
        "start of a JPEG",
        "half a PNG",
        "start of a PNG",
        "PNG bomb",
        "JPEG bomb",
        "no width",
        "empty",
        "GIF",
        "CMYK",
        "16 bits",
    ],
)
@pytest.mark.parametrize("signature", ["encoded", "encoded_full"])
def test_bad_photographs(isic_study, data, words, signature):
    """Truncated, bombs, other formats: an InvalidArgumentError that names `images`; a good one beside it changes nothing."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        isic_study.exported("baseline")[1][signature](images=tf.constant([PNG, data]))
    for word in ["images", *words]:
        assert word in str(caught.value), str(caught.value)


def test_photographs_are_decoded_as_predict_does(tmp_path):
    """To the bit: progressive, grey, palette, alpha; Pillow is the other."""
    decode = tf.function(served_inputs.photograph, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    smooth = PHOTOGRAPH.resize((90, 70), Image.Resampling.BICUBIC)
    clear = smooth.copy()
    clear.putalpha(smooth.convert("L"))
    files = {
        "a.jpg": encoded(smooth, "JPEG", quality=80),
        "b.jpg": encoded(smooth, "JPEG", progressive=True, subsampling=0),
        "c.jpg": encoded(smooth.convert("L"), "JPEG"),
        "d.png": encoded(clear, "PNG"),
        "e.png": encoded(smooth.convert("P"), "PNG"),
        "f.png": encoded(smooth.convert("L"), "PNG"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(decode(data).numpy(), photographs.read_photograph(tmp_path / name), err_msg=name)


def test_photographs_of_two_sizes(isic_study):
    """encoded takes them in one batch; encoded_full can't give maps of two sizes and says so."""
    both = tf.constant([PNG, encoded(PHOTOGRAPH.resize((33, 44)), "PNG")])
    signatures = isic_study.exported("baseline")[1]
    assert signatures["encoded"](images=both)["probability"].shape == (2, *ISIC_SHAPE)
    with pytest.raises(tf.errors.InvalidArgumentError, match="one size in a batch"):
        signatures["encoded_full"](images=both)


VOLUME = np.random.default_rng(0).integers(0, 900, (2, 4, 8, 9, 4)).astype("f4")


def spoilt(place, value):
    volume = VOLUME.copy()
    volume[place] = value
    return volume


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        (VOLUME[0], ["patients, depth, height, width, 4", "found [4 8 9 4]"]),
        (VOLUME[..., :3], ["found [2 4 8 9 3]"]),
        (VOLUME[:, :0], ["no axis empty"]),
        (VOLUME[:, :, :1], ["at least 2", "found [1 9]"]),
        (spoilt((1, 2, 3, 4, 1), np.nan), ["finite voxels, found 1"]),
        (spoilt((1, 2, 3, slice(0, 3), 1), np.inf), ["finite voxels, found 3"]),
        (spoilt((1, ..., 2), 7), ["voxels that vary", "channels [2]"]),
    ],
)
def test_bad_volumes(brats_study, volume, words):
    """Wrong rank or channels, empty, too small, NaN, no variance: the error names `volume` and what was found."""
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        brats_study.exported("baseline_mc")[1]["subject"](volume=tf.constant(volume))
    for word in ["volume: expected", *words]:
        assert word in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("count", "shape", "words"),
    [
        (1, [[4, 8, 9, 3]], ["shape: expected", "found [4 8 9 3]"]),
        (1, [[4, 8, 8, 4]], ["volume: expected 2048 bytes", "found 2304"]),
        (1, [[4, -8, 9, 4]], ["shape: expected", "found [4 -8 9 4]"]),
        (1, [[32768, 8, 9, 4]], ["shape: expected", "1 to 32767"]),
        (1, [[4, 8]], ["shape: expected", "found the shape [1 2]"]),
        (2, [[4, 8, 9, 4]], ["shape: expected", "each of 2 volumes"]),
        (1, [4, 8, 9, 4], ["shape: expected the shape [patients, axes]"]),
    ],
)
def test_bytes_that_do_not_fit_their_shape(brats_study, count, shape, words):
    """Neither is trusted: the bytes must be those of the shape, and the shape one of a volume."""
    data = tf.constant([VOLUME[0].astype("<i2").tobytes()] * count)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        brats_study.exported("baseline_mc")[1]["subject_bytes"](volume=data, shape=tf.constant(shape, tf.int64))
    for word in words:
        assert word in str(caught.value), str(caught.value)


IMAGES = np.random.default_rng(0).normal(size=(2, 8, 9, 4)).astype("f4")


@pytest.mark.parametrize(
    ("images", "seed", "words"),
    [
        (IMAGES[0], [1, 2], ["batch, height, width, 4", "found [8 9 4]"]),
        (IMAGES[..., :3], [1, 2], ["found [2 8 9 3]"]),
        (IMAGES[:, :1], [1, 2], ["at least 2", "found [1 9]"]),
        (IMAGES * np.float32(np.nan), [1, 2], ["finite values, found 576"]),
        (IMAGES, [1], ["seed: expected one for each of the images, found 1 for 2"]),
        (IMAGES, 1, ["seed: expected the shape [batch]"]),
    ],
)
def test_bad_images(brats_study, images, seed, words):
    """Wrong rank or channels, too small, NaN, seeds that don't match; serving_default and seeded alike."""
    signatures = brats_study.exported("baseline_mc")[1]
    calls = [lambda: signatures["seeded"](images=tf.constant(images), seed=tf.constant(seed, tf.int64))]
    if images is not IMAGES:
        calls.append(lambda: signatures["serving_default"](images=tf.constant(images)))
    for call in calls:
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            call()
        for word in words:
            assert word in str(caught.value), str(caught.value)


def test_an_error_probability_without_contrast(isic_study):
    """A map that evaluation would refuse is an error here too, and not a map of NaN."""
    learned = described(isic_study, "auxiliary_feat")
    flat = {"probability": tf.fill([2, 4, 4], 0.3), "uncertainty": tf.fill([2, 4, 4], 0.2)}
    served = serving.Served(lambda images, seeds: dict(flat), learned)
    with pytest.raises(tf.errors.InvalidArgumentError, match="uncertainty: expected error probabilities that vary"):
        served._scaled(flat, whole=[1, 2])


# ------------------------------------------------------------------------------------------------------------- folders


def listing(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_a_version_is_written_once(isic_study, tmp_path):
    """Again: nothing, and it says so. Other samples: refused with the difference. A version more: beside the first."""
    export_dir, said = tmp_path / "baseline_mc", []
    shutil.copytree(isic_study.exported("baseline_mc")[0].parent, export_dir)
    before = listing(export_dir)
    assert isic_study.export("baseline_mc", export_dir, said) == export_dir / "1"
    assert listing(export_dir) == before and "exported already" in said[0]
    with pytest.raises(UserError, match=r"samples 2 .*against 3 .*--version=2"):
        isic_study.export("baseline_mc", export_dir, samples=3)
    with pytest.raises(UserError, match=r"method 'baseline_mc' .*against 'baseline'"):
        isic_study.export("baseline", export_dir)
    (export_dir / "7").mkdir()
    with pytest.raises(UserError, match=r"7: expected an export of this toolkit.*--version=8"):
        isic_study.export("baseline_mc", export_dir)
    assert isic_study.export("baseline_mc", export_dir, version=1) == export_dir / "1"


def test_an_export_of_an_earlier_version_is_found(isic_study, tmp_path):
    """Its export.json calls an error probability a confidence; it has the very keys of today's, and is the same export."""
    export_dir, said = tmp_path / "auxiliary_feat", []
    shutil.copytree(isic_study.exported("auxiliary_feat")[0].parent, export_dir)
    document = artefacts.read_json(export_dir / "1" / export.DESCRIPTION)
    assert list(document)[:11] == [
        "method", "networks", "samples", "dataset", "kind", "sampled", "seed", "sigma_range", "channels", "smallest",
        "input",
    ]  # fmt: skip
    assert document["kind"] == "error" and document["input"] == {"image_size": list(ISIC_SHAPE), "intensity": "unit"}
    artefacts.write_json(export_dir / "1" / export.DESCRIPTION, {**document, "kind": "confidence"})
    assert isic_study.export("auxiliary_feat", export_dir, said) == export_dir / "1" and "exported already" in said[0]


def test_what_lies_in_the_folder(brats_study):
    """A JSON that says what it is, examples of the server's configuration, and nothing that a server would stumble over."""
    folder, signatures = brats_study.exported("baseline_mc")
    document = artefacts.read_json(folder / export.DESCRIPTION)
    assert (document["method"], document["samples"], document["seed"]) == ("baseline_mc", SAMPLES, brats_study.seed)
    assert (
        set(document["networks"]) == {"baseline"} and document["tensorflow"] == tf.__version__ and document["version"]
    )
    assert document["signatures"]["subject"]["inputs"] == {"volume": ["float32", [None] * 4 + [4]]}
    assert document["signatures"]["seeded"]["outputs"]["prediction"] == ["uint8", [None] * 3]
    assert set(document["signatures"]) == set(signatures)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["1", "batching.config", "models.config"]
    assert 'base_path: "/models/brats_baseline_mc"' in (folder.parent / "models.config").read_text()


def test_a_kill_before_the_examples(isic_study, tmp_path):
    """An export that ended between its version and the server's examples gets them from the same command."""
    export_dir = tmp_path / "baseline_mc"
    shutil.copytree(isic_study.exported("baseline_mc")[0].parent, export_dir)
    before = listing(export_dir)
    for name in ("models.config", "batching.config"):
        (export_dir / name).unlink()
    isic_study.export("baseline_mc", export_dir)
    assert listing(export_dir).keys() == before.keys() if isinstance(before, dict) else listing(export_dir) == before


def test_a_failure_leaves_nothing(isic_study, tmp_path, monkeypatch):
    """Whatever fails, and whatever a killed export left, no version is there that was not finished."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / f".partial-{socket.gethostname()}-{gone.pid}-1"
    left.mkdir()
    (left / "saved_model.pb").write_bytes(b"half")

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(export.warmup, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        isic_study.export("baseline", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize("name", ["seed[1]", "a*b?", "Prüfung-σ x", "back\\slash"])
def test_a_folder_whose_name_looks_like_a_pattern(isic_study, tmp_path, monkeypatch, name):
    """TensorFlow takes brackets and stars for patterns; the export lies there all the same, and nothing beside it."""
    everything = serving.Served.signatures
    monkeypatch.setattr(serving.Served, "signatures", lambda of: pick(everything(of), ("serving_default",)))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp[1]"))
    (tmp_path / "tmp[1]").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", None)
    folder = isic_study.export("baseline", tmp_path / name / "export")
    assert folder == tmp_path / name / "export" / "1" and (folder / "saved_model.pb").exists()
    assert list((folder / "variables").glob("variables.data*")) and (folder / export.DESCRIPTION).exists()
    assert sorted(path.name for path in folder.parent.iterdir()) == ["1", "batching.config", "models.config"]
    assert list((tmp_path / "tmp[1]").iterdir()) == []


def test_a_model_that_cannot_answer_is_not_exported(isic_study, tmp_path, monkeypatch):
    """TensorFlow Serving would refuse to load it, since its warm-up fails: it is never put there."""
    monkeypatch.setattr(export.warmup, "requests", lambda *_: {"encoded": {"images": [b"no picture"]}})
    with pytest.raises(UserError, match=r"isic_baseline: expected an answer to encoded.*JPEG or PNG"):
        isic_study.export("baseline", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_at_once(tmp_path):
    """The one that comes second finds the version there and leaves it."""
    with pytest.raises(UserError, match="another process"), artefacts.folder_aside(tmp_path / "1") as aside:
        (aside / "mine").write_text("")
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "theirs").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["1", "theirs"]


def test_a_sigma_needs_a_range(brats_study, tmp_path):
    """No evaluation, one without the method, or one of other weights: `NotReady`; --sigma_range is the way round."""
    run_dir = tmp_path / "run"
    shutil.copytree(brats_study.run_dir / "networks", run_dir / "networks")
    method, trained = METHODS["aleatoric"], models.load_all(run_dir, ("aleatoric",), "brats")

    def found():
        return export.evaluated_range(method, "brats", run_dir, trained)

    with pytest.raises(NotReady, match=r"summary.json.*no evaluation.*launch/evaluate.py --dataset=brats"):
        found()
    summary = runs.evaluation_dir(run_dir) / "summary.json"
    artefacts.write_json(summary, {"methods": {"baseline": {}}})
    with pytest.raises(NotReady, match="without it"):
        found()
    artefacts.write_json(summary, {"methods": {"aleatoric": {"sigma_range": [0.5, 2.0]}}})
    assert found() == (0.5, 2.0)
    for limits in ([2.0, 0.5], [1.0, 1.0], [-1.0, 1.0], [0.5], ["0", "1"], None, 2.0):
        summary.write_text(json.dumps({"methods": {"aleatoric": {"sigma_range": limits}}}))
        with pytest.raises(
            UserError, match=r"summary\.json: expected the sigma range of aleatoric, two numbers that rise"
        ):
            found()
    summary.write_text(json.dumps({"methods": {"aleatoric": {"sigma_range": [0.5, float("inf")]}}}))
    with pytest.raises(UserError, match=r"summary\.json: expected a JSON file, found Infinity, which is no number"):
        found()
    artefacts.write_json(summary, {"methods": {"aleatoric": {"sigma_range": [0.5, 2.0]}}})
    artefacts.write_json(
        runs.predictions_dir(run_dir, "aleatoric") / "predictions.json", {"networks": {"aleatoric": "older"}}
    )
    with pytest.raises(NotReady, match="other weights"):
        found()
    index = runs.predictions_dir(run_dir, "aleatoric") / "predictions.json"
    artefacts.write_json(index, {"networks": {"aleatoric": trained[0].checksum}})
    os.utime(index, (time.time() + 9, time.time() + 9))
    assert found() == (0.5, 2.0)  # a copied run has any times
    before = msgspec.structs.replace(trained[0].config, prolonged=(runs.Finished(1, "older"),))
    trained = [dataclasses.replace(trained[0], config=before)]
    with pytest.raises(NotReady, match=r"older than its maps; run `.*evaluate"):
        found()
    os.utime(summary, (time.time() + 19, time.time() + 19))
    assert found() == (0.5, 2.0)
    of_others = {"methods": {"aleatoric": {"sigma_range": [0.5, 2.0]}}, "inputs": {"predictions": {"aleatoric": "0"}}}
    artefacts.write_json(summary, of_others)  # newer, yet it saw other maps: of a network that was trained again
    with pytest.raises(NotReady, match=r"older than its maps; run `.*evaluate"):
        found()
    of_others["inputs"]["predictions"]["aleatoric"] = artefacts.sha256(index)
    artefacts.write_json(summary, of_others)
    assert found() == (0.5, 2.0)


def test_the_evaluations_range_is_in_the_file(brats_study):
    """The aleatoric export says which range it scales by, and it is the evaluation's."""
    document = artefacts.read_json(brats_study.exported("aleatoric")[0] / export.DESCRIPTION)
    assert document["sigma_range"] == list(brats_study.sigma_range())


# ------------------------------------------------------------------------------------------------------------- launcher


def test_launcher(launch, isic_study, brats_study, tmp_path):
    """Exit codes: 0 for one that is there, 2 for what the user can mend, 3 where something must be done first."""
    folder, _ = isic_study.exported("baseline")
    isic_flags = ["--dataset=isic", f"--run_dir={isic_study.run_dir}"]
    ended = launch("export", "--method=baseline", *isic_flags, f"--data_dir={isic_study.data_dir}")
    assert ended.code == 0, ended.err
    assert "exported already" in ended.out and str(folder) in ended.out
    refused(launch("export", "--method=baseline", *isic_flags, "--version=0"), 2, "--version=0")
    refused(launch("export", "--method=baseline_mc", *isic_flags, "--seed=-1"), 2, "--seed=-1")
    flags = ["--method=baseline_mc", *isic_flags, f"--export_dir={tmp_path / 'other'}"]
    refused(launch("export", *flags, "--samples=0"), 2, "--samples=0")
    refused(launch("export", *flags, "--sigma_range=0,1"), 2, "--sigma_range", "baseline_mc")
    aleatoric = ["export", "--method=aleatoric", f"--export_dir={tmp_path / 'other'}"]
    refused(launch(*aleatoric, *isic_flags, "--sigma_range=1,0"), 2, "--sigma_range=1,0")
    refused(launch("export", "--method=baseline", *isic_flags, f"--data_dir={brats_study.data_dir}"), 2, "records")
    empty = tmp_path / "run"
    refused(launch(*aleatoric, "--dataset=isic", f"--run_dir={empty}"), 3, "launch/train.py --method=aleatoric")
    shutil.copytree(isic_study.run_dir / "networks", empty / "networks")
    refused(launch(*aleatoric, "--dataset=isic", f"--run_dir={empty}"), 3, "launch/evaluate.py --dataset=isic")
    assert not (tmp_path / "other").exists() or not list((tmp_path / "other").iterdir())


# -------------------------------------------------------------------------------------------------------------- warm-up


def test_warmup_requests_are_tensorflow_servings(brats_study):
    """Read by tensorflow-serving-api, each is a predict request of this model that its signature answers."""
    log = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    folder, signatures = brats_study.exported("baseline_mc")
    asked = {}
    for record in tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests")):
        entry = log.PredictionLog.FromString(record.numpy())
        assert entry.WhichOneof("log_type") == "predict_log"
        request = entry.predict_log.request
        assert request.model_spec.name == "brats_baseline_mc"
        asked[request.model_spec.signature_name] = {
            name: tf.constant(tf.make_ndarray(proto), tf.as_dtype(proto.dtype))
            for name, proto in request.inputs.items()
        }
        assert not request.output_filter
    assert set(asked) == set(signatures)
    task = signatures["describe"](**asked.pop("describe"))["task"].numpy()
    assert [tasks.from_document(json.loads(one)).name for one in task] == ["brats"]
    for name, inputs in asked.items():
        assert np.isfinite(signatures[name](**inputs)["mean_uncertainty" if "subject" in name else "probability"]).all()
