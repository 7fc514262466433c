"""A method of a run as a folder that TensorFlow Serving loads: `<export_dir>/<version>/`, a SavedModel.

The version folder is written aside, its model read back and run on the warm-up requests, and then renamed: a server that
watches the folder sees a version that works or none. Beside the versions lie examples of the server's configuration.
"""

from __future__ import annotations

import math
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from data_prep import records, voxel_order
from data_prep.base import artefacts, leftovers, locks, room
from data_prep.base.errors import NotReady, UserError, command
from tfunc import __version__, kinds, runs, shapes
from tfunc.maps import artefact, predictives
from tfunc.maps import predict as prediction
from tfunc.methods import RECALIBRATED, Method
from tfunc.nets import stack
from tfunc.nets import trained as models
from tfunc.scoring import triage
from tfunc.serving import examples, recalibrated, warmup
from tfunc.serving.description import Description
from tfunc.serving.plain_path import plain_path
from tfunc.serving.signatures import Served

DESCRIPTION = "assets.extra/export.json"  # in the version's folder, last


def export(
    method: Method,
    dataset: str,
    run_dir: pathlib.Path | str,
    export_dir: pathlib.Path | str,
    options: prediction.Options,
    version: int | None = None,
    sigma_range: tuple[float, float] | None = None,
    data_dir: pathlib.Path | str | None = None,
    say: Callable[[str], object] = print,
) -> pathlib.Path:
    """Writes `<export_dir>/<version>`, or finds it there; returns that folder.

    options: samples, seed, and whether probabilities are recalibrated. version: None is 1, or the newest there is.
    sigma_range: (lowest, highest) for a method whose uncertainty is a sigma; by default the evaluation's. data_dir: records
    that the networks must have been trained on. say: called with a line for the user.

    Raises `NotReady` (exit code 3) for networks that aren't trained and for a sigma without a range; `UserError` where
    the version is there with another configuration, and for a model that can't answer its warm-up requests.
    """
    trained = models.load_all(run_dir, method.networks, dataset)
    export_dir = pathlib.Path(export_dir)
    leftovers.sweep_once(export_dir)
    version = version or max(_versions(export_dir), default=1)
    folder = export_dir / str(version)
    options = options.of(trained[0].config).begun(_begun(folder))
    if data_dir:
        prediction.require_same_records(records.read_manifest(data_dir), trained)
    description = describe(method, dataset, run_dir, trained, options, sigma_range)
    config = _config(method, trained, options, description)
    model = model_name(dataset, method.name)
    if folder.exists():
        _require_same(folder, config)
        examples.write(export_dir, model)  # a kill may have come before them
        _say_it_is_there(folder, description, say)
        return folder
    room.require(export_dir, sum(array.nbytes for each in trained for array in each.model.get_weights()), "the model")
    predictive = recalibrated.at_temperature(
        predictives.of(method)([each.model for each in trained], options), description
    )
    with locks.held(export_dir, "an export", of=str(version)):
        if folder.exists():  # of another process, meanwhile
            _require_same(folder, config)
        else:
            _write_version(folder, model, predictive, description, config)
        examples.write(export_dir, model)
    order = description.task.order
    if order not in (None, voxel_order.DISTRIBUTED):
        say(f"its volumes must come in the voxel order {order}; launch/request.py reads that from the model")
    return folder


def _write_version(folder, *what):
    with artefacts.folder_aside(folder) as aside:
        write(aside, *what)


def _begun(folder):
    """What a version that is there says of itself, or None."""
    return _description(folder) if (folder / DESCRIPTION).exists() else None


def _description(folder):
    """export.json of a version's folder, in today's form."""
    do = f"remove {folder} and export it again"
    return upgrade(artefacts.read_document(folder / DESCRIPTION, shapes.Export, do))


def _config(method, trained, options, description):
    """What an export depends on: export.json."""
    stratified = options.stratified_of(method)
    return {
        "method": method.name,
        "networks": {network.name: network.checksum for network in trained},
        "samples": options.samples if method.sampled else None,
        **description.document(),
        "streams": options.streams if method.sampled else None,
        "draws": options.draws_of(method) if method.sampled else None,
        "stratified": stratified if method.sampled else None,
        "configurations": {network.name: network.configuration for network in trained},
    }


def model_name(dataset: str, method: str) -> str:
    """What an export is served as: both names, without what an address can't hold."""
    return re.sub(r"[^\w.-]+", "-", f"{dataset}_{method}")


def describe(
    method: Method,
    dataset: str,
    run_dir: pathlib.Path | str,
    trained: Sequence[models.Trained],
    options: prediction.Options,
    sigma_range: tuple[float, float] | None = None,
) -> Description:
    """What the graph must know of a method of a run; arguments as `export`, which raises the same."""
    own = recalibrated.of_run(method, dataset, run_dir, trained, options) if options.recalibrated else None
    kind, made = kinds.get(method.kind), prediction.document(method, options, trained)
    if sigma_range and kind.scale != "set":
        raise UserError("--sigma_range", expected="a method whose uncertainty is a sigma", found=method.name)
    if kind.scale == "set" and not sigma_range:
        sigma_range = evaluated_range(method, dataset, run_dir, trained)
    return Description(
        task=trained[0].config.task,
        kind=kind,
        sampled=method.sampled,
        seed=options.seed,
        sigma_range=(sigma_range[0], sigma_range[1]) if sigma_range else None,
        smallest=trained[0].config.smallest,
        method=method.name,
        draws=options.draws_of(method),
        recalibrated=own,
        known=triage.known(run_dir, method.name + RECALIBRATED * bool(own), made),
        made_by=artefact.about(made).made_by,
    )


def evaluated_range(
    method: Method, dataset: str, run_dir: pathlib.Path | str, trained: Sequence[models.Trained]
) -> tuple[float, float]:
    """The (lowest, highest) sigma of the run's evaluation; `NotReady` where there is none, or one of other networks."""
    path = runs.evaluation_dir(run_dir) / runs.EVALUATED
    do = ("run ", command("evaluate", dataset=dataset), ", or give --sigma_range=MIN,MAX")
    expected = f"the sigma range of {method.name}"
    if not path.exists():
        raise NotReady(path, expected=expected, found="no evaluation", do=do)
    evaluation = artefacts.read_document(path, shapes.Summary, "evaluate again")
    found = evaluation["methods"].get(method.name)
    if found is None:
        raise NotReady(path, expected=expected, found="an evaluation without it", do=do)
    predicted = runs.predictions_dir(run_dir, method.name) / runs.PREDICTED
    checksums = {network.name: network.checksum for network in trained}
    made = runs.read_predictions(predicted.parent)
    if made is not None and made["networks"] != checksums:
        raise NotReady(
            predicted,
            expected=f"the maps of the trained {method.name}",
            found="those of other weights",
            do=f"predict and evaluate {method.name} again, or give --sigma_range=MIN,MAX",
        )
    # maps that were predicted again since a network was trained on or again have another range than the evaluation saw
    if made is not None and _is_older(evaluation, path, predicted, trained):
        raise NotReady(path, expected=expected, found="an evaluation older than its maps", do=do)
    limits = found.get("sigma_range")
    two = isinstance(limits, list) and len(limits) == 2 and all(isinstance(one, (int, float)) for one in limits)
    if not two or not 0 <= limits[0] < limits[1] < math.inf:
        raise UserError(path, expected=f"{expected}, two numbers that rise from 0 or more", found=f"{limits}", do=do)
    return limits[0], limits[1]


def _is_older(evaluation, path, predicted, trained):
    """Whether an evaluation did not see these maps: by the checksum it keeps; of an earlier version by times, in doubt only."""
    known = evaluation.get("inputs", {}).get("predictions")
    seen = known.get(predicted.parent.name) if isinstance(known, dict) else None
    if seen is not None:
        return seen != artefacts.sha256(predicted)
    prolonged = any(network.config.prolonged for network in trained)
    return prolonged and path.stat().st_mtime < predicted.stat().st_mtime


def _versions(export_dir):
    """The versions there are; a folder or file of another name is none, as for TensorFlow Serving."""
    return [int(path.name) for path in export_dir.glob("*") if path.name.isascii() and path.name.isdigit()]


def _require_same(folder, config):
    do = f"export --version={max(_versions(folder.parent)) + 1}, or remove {folder}"
    if not (folder / DESCRIPTION).exists():
        raise UserError(folder, expected="an export of this toolkit", found=f"no {DESCRIPTION}", do=do)
    stored = _description(folder)
    for name in ("configurations", "task"):  # an earlier version did not say
        stored.setdefault(name, config[name])
    if difference := artefacts.difference({name: stored.get(name) for name in config}, config):
        raise UserError(folder, expected="the same configuration of this export", found=difference, do=do)


def _say_it_is_there(folder, description, say):
    say(f"{folder}: exported already, with the same configuration")
    stored, another = _description(folder), f"export --version={max(_versions(folder.parent)) + 1}"
    if description.judged_by not in (None, stored.get("judged_by")):
        say(f"it says nothing of an evaluation that was made since: {another}")
    if "describe" not in stored.get("signatures", {}):
        do = f"{another} for requests without --dataset"
        say(f"it is of an earlier version, and does not say what it was trained on: {do}")


def upgrade(document: dict[str, Any]) -> dict[str, Any]:
    """An export.json of any earlier form as today's."""
    drawn = document.get("sampled")
    before = {
        "streams": 1 if drawn else None,
        "draws": "slice" if drawn else None,
        "stratified": False if document.get("samples") is not None else None,
    }
    return {**before, **document, "kind": kinds.FORMER.get(document.get("kind", ""), document.get("kind"))}


def write(
    folder: pathlib.Path,
    model: str,
    predictive: Callable[..., Any],
    description: Description,
    config: dict[str, Any],
) -> None:
    """The SavedModel, its warm-up requests, which it has answered, and what it is.

    model: the name that it is served under. predictive: images and seeds of slices -> maps. config: goes to export.json.
    Raises `UserError` for a model that can't answer its warm-up requests.
    """
    served = Served(predictive, description)
    signatures = served.signatures()
    requests = warmup.requests(signatures, description)
    with plain_path(folder) as path:
        tf.saved_model.save(served, str(path), signatures=signatures)
        read_back = tf.saved_model.load(str(path)).signatures
    for name, inputs in requests.items():
        try:
            read_back[name](**{key: tf.constant(values) for key, values in inputs.items()})
        except tf.errors.InvalidArgumentError as error:
            (reason, *_) = [line for line in error.message.splitlines() if "expected" in line] or [error.message]
            raise UserError(model, expected=f"an answer to {name}", found=reason, do="look at its training") from None
    warmup.write(folder / "assets.extra" / warmup.NAME, model, requests)
    what = {**config, "uncertainty": description.kind.served, "signatures": _described(read_back)}
    what |= {"version": __version__, "judged_by": description.judged_by}
    artefacts.write_document(folder / DESCRIPTION, {**what, **stack.versions()})


def _described(signatures):
    """{signature: {inputs, outputs: {name: [dtype, sizes]}}}; a size that the request sets is null."""

    def listed(specs):
        return {name: [spec.dtype.name, spec.shape.as_list()] for name, spec in sorted(specs.items())}

    return {
        name: {
            "inputs": listed(signature.structured_input_signature[1]),
            "outputs": listed(signature.structured_outputs),
        }
        for name, signature in signatures.items()
    }
