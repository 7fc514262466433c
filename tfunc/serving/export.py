"""A method of a run as a folder that TensorFlow Serving loads: `<export_dir>/<version>/`, a SavedModel.

The version folder is written aside, its model read back and run on the warm-up requests, and then renamed: a server that
watches the folder sees a version that works or none. Beside the versions lie examples of the server's configuration.
"""

import dataclasses
import pathlib

import tensorflow as tf

from data_prep import records
from data_prep.base import artefacts
from data_prep.base.errors import NotReady, UserError
from tfunc import __version__, runs
from tfunc.maps import predict as prediction
from tfunc.maps import predictives
from tfunc.nets import stack
from tfunc.nets import trained as models
from tfunc.serving import signatures as serving
from tfunc.serving import warmup

ABOUT = "assets.extra/export.json"
UNCERTAINTY = {
    "probability": "normalised entropy of the probability, in [0, 1]",
    "sigma": "|sigma| of the predicted class, scaled by sigma_range and clipped to [0, 1]",
    "confidence": "error probability, scaled by each subject's own range to [0, 1]; raw in serving_default and seeded",
}

MODEL_CONFIG = """\
# tensorflow_model_server --model_config_file=models.config
# Here the container has this folder, the one with the numbered versions, at /models/{model}.
model_config_list {{
  config {{
    name: "{model}"
    base_path: "/models/{model}"
    model_platform: "tensorflow"
  }}
}}
"""
BATCHING = """\
# tensorflow_model_server --enable_batching --batching_parameters_file=batching.config
# Requests to one signature are joined along the batch where their other sizes agree. Leave padding off: a volume that is
# padded with zeros has another mean and deviation.
max_batch_size {{ value: {rows} }}
batch_timeout_micros {{ value: 5000 }}
max_enqueued_batches {{ value: 100 }}
num_batch_threads {{ value: {threads} }}
pad_variable_length_inputs: false
"""


def export(method, dataset, run_dir, export_dir, options, version=None, sigma_range=None, data_dir=None, report=print):
    """Writes `<export_dir>/<version>`, or finds it there; returns that folder.

    method: a `Method`. options: `prediction.Options` with samples and seed. version: None is 1, or the newest there is.
    sigma_range: (lowest, highest) for a method whose uncertainty is a sigma; by default the evaluation's. data_dir: records
    that the networks must have been trained on.

    Raises `NotReady` (exit code 3) for networks that aren't trained and for a sigma without a range; `UserError` where
    the version is there with another configuration, and for a model that can't answer its warm-up requests.
    """
    trained = models.load_all(run_dir, method.networks, dataset)
    if data_dir:
        prediction.require_same_records(records.read_manifest(data_dir), trained)
    facts = _facts(method, dataset, run_dir, trained, options, sigma_range)
    config = {
        "method": method.name,
        "networks": {one.name: one.checksum for one in trained},
        "samples": options.samples if method.sampled else None,
        **dataclasses.asdict(facts),
        "seed": options.seed if method.sampled else None,
        "sigma_range": list(facts.sigma_range) if facts.sigma_range else None,
    }
    export_dir = pathlib.Path(export_dir)
    version = version or max(_versions(export_dir), default=1)
    folder = export_dir / str(version)
    if folder.exists():
        _require_same(folder, config)
        report(f"{folder}: exported already, with the same configuration")
        return folder
    model, predictive = f"{dataset}_{method.name}", predictives.of(method)([one.model for one in trained], options)
    with artefacts.folder_aside(folder) as aside:
        write(aside, model, predictive, facts, config)
    _write_examples(export_dir, model)
    return folder


def _facts(method, dataset, run_dir, trained, options, sigma_range):
    config = trained[0].config
    if sigma_range and method.kind != "sigma":
        raise UserError("--sigma_range", expected="a method whose uncertainty is a sigma", found=method.name)
    if method.kind == "sigma" and not sigma_range:
        sigma_range = evaluated_range(method, dataset, run_dir, trained)
    return serving.Facts(
        dataset=dataset,
        kind=method.kind,
        sampled=method.sampled,
        seed=options.seed,
        sigma_range=tuple(sigma_range) if sigma_range else None,
        channels=config["channels"],
        smallest=2 ** config["depth"],
        input=config["input"],
    )


def evaluated_range(method, dataset, run_dir, trained):
    """The (lowest, highest) sigma of the run's evaluation; `NotReady` where there is none, or one of other networks."""
    path = runs.evaluation_dir(run_dir) / "summary.json"
    do = f"run `python launch/evaluate.py --dataset={dataset}`, or give --sigma_range=MIN,MAX"
    expected = f"the sigma range of {method.name}"
    if not path.exists():
        raise NotReady(path, expected=expected, found="no evaluation", do=do)
    found = artefacts.read_json(path)["methods"].get(method.name)
    if found is None:
        raise NotReady(path, expected=expected, found="an evaluation without it", do=do)
    predicted = runs.predictions_dir(run_dir, method.name) / runs.PREDICTED
    if predicted.exists() and artefacts.read_json(predicted)["networks"] != {one.name: one.checksum for one in trained}:
        found, do = "those of other weights", f"predict and evaluate {method.name} again, or give --sigma_range=MIN,MAX"
        raise NotReady(predicted, expected=f"the maps of the trained {method.name}", found=found, do=do)
    return tuple(found["sigma_range"])


def _versions(export_dir):
    """The versions there are; a folder or file of another name is none, as for TensorFlow Serving."""
    return [int(path.name) for path in export_dir.glob("*") if path.name.isascii() and path.name.isdigit()]


def _require_same(folder, config):
    do = f"export --version={max(_versions(folder.parent)) + 1}, or remove {folder}"
    if not (folder / ABOUT).exists():
        raise UserError(folder, expected="an export of this toolkit", found=f"no {ABOUT}", do=do)
    there = artefacts.read_json(folder / ABOUT)
    if difference := artefacts.difference({name: there.get(name) for name in config}, config):
        raise UserError(folder, expected="the same configuration of this export", found=difference, do=do)


def write(folder, model, predictive, facts, config):
    """The SavedModel, its warm-up requests, which it has answered, and what it is."""
    served = serving.Served(predictive, facts)
    signatures = served.signatures()
    requests = warmup.requests(signatures, facts)
    tf.saved_model.save(served, str(folder), signatures=signatures)
    read_back = tf.saved_model.load(str(folder)).signatures
    for name, inputs in requests.items():
        try:
            read_back[name](**{key: tf.constant(values) for key, values in inputs.items()})
        except tf.errors.InvalidArgumentError as error:
            (reason, *_) = [line for line in error.message.splitlines() if "expected" in line] or [error.message]
            raise UserError(model, expected=f"an answer to {name}", found=reason, do="look at its training") from None
    warmup.write(folder / "assets.extra" / warmup.NAME, model, requests)
    about = {**config, "uncertainty": UNCERTAINTY[facts.kind], "signatures": _described(read_back)}
    artefacts.write_json(folder / ABOUT, {**about, "version": __version__, **stack.versions()})


def _described(signatures):
    """{signature: {inputs, outputs: {name: [dtype, sizes]}}}; a size that the request sets is null."""

    def listed(specs):
        return {name: [spec.dtype.name, spec.shape.as_list()] for name, spec in sorted(specs.items())}

    return {
        name: {"inputs": listed(of.structured_input_signature[1]), "outputs": listed(of.structured_outputs)}
        for name, of in signatures.items()
    }


def _write_examples(export_dir, model):
    """Examples of the server's configuration files; one that is there may have been edited, and stays."""
    for name, template in (("models.config", MODEL_CONFIG), ("batching.config", BATCHING)):
        path = export_dir / name
        if not path.exists():
            artefacts.write_text(path, template.format(model=model, rows=16, threads=2))
