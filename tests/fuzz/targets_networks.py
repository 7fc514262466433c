"""What TensorFlow and Keras read: weights in HDF5, the state of a training, shards of records, an export's description."""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import shutil
import types

import numpy as np
import whole_inputs
from harness import Target
from mutations import bytes_of, json_of

from data_prep import records
from data_prep.base import artefacts, processes


def all_of(place: pathlib.Path) -> list[Target]:
    """The targets, as `targets_documents.all_of`; each imports TensorFlow in its own process, with its first input."""
    return [*_weights(place), *_state(place), *_records(place), *_documents(place)]


def _weights(place):
    whole = (whole_inputs.FIXTURES / "run" / "networks" / "baseline" / "best.weights.h5").read_bytes()
    path, models = place / "damaged" / "a.weights.h5", []

    def act(given):
        if not models:
            models.append(_model())
        from tfunc.nets import weight_files

        path.write_bytes(given)
        weight_files.load(models[0], path)

    yield Target("weights in HDF5", bytes_of(whole), _warmed(act, whole))


def _model():
    processes.start_tensorflow()
    from tfunc import runs
    from tfunc.nets import trained

    config = runs.read_config(whole_inputs.FIXTURES / "run" / "networks" / "baseline")
    return trained.build(config.network, config.channels, config.start_filters, config.depth)


class _warmed:
    """Imports and builds with a whole input, outside of the limits that hold for one."""

    def __init__(self, act, whole):
        self.act, self.whole, self.is_warm = act, whole, False

    def warm(self):
        """Called before the first input."""
        if not self.is_warm:
            self.is_warm = True
            self.act(self.whole)

    def __call__(self, given):
        return self.act(given)


def _state(place):
    folder = place / "damaged" / "state"
    shutil.copytree(whole_inputs.FIXTURES / "unfinished" / "networks" / "baseline", folder, dirs_exist_ok=True)
    arrays = next(folder.glob("resume-*.npz"))
    whole, told = arrays.read_bytes(), whole_inputs.resume()[0]

    def act(given):
        processes.start_tensorflow()
        from tfunc.learning import checkpoint

        arrays.write_bytes(given)
        artefacts.write_document(folder / "resume.json", {**told, "sha256": hashlib.sha256(given).hexdigest()})
        checkpoint.read(folder)

    large = io.BytesIO()
    np.savez_compressed(large, **{"0000": np.zeros((1 << 22,), np.float32)})
    yield Target("state of a training", bytes_of(whole, large.getvalue()), _warmed(act, whole))


def _records(place):
    folder = place / "damaged" / "tfrecords"
    shutil.copytree(whole_inputs.FIXTURES / "isic", folder, dirs_exist_ok=True)
    manifest = records.read_manifest(folder)
    entry = manifest.subjects[0]
    path = folder / entry.shard
    whole, document = path.read_bytes(), whole_inputs.read(folder / "dataset.json")

    def act(given):
        processes.start_tensorflow()
        path.write_bytes(given)
        for shard in document["shards"]:
            if shard["name"] == entry.shard:  # it vouches for what is there
                shard["bytes"], shard["sha256"] = len(given), hashlib.sha256(given).hexdigest()
        artefacts.write_json(folder / "dataset.json", document)
        records.verify(folder)
        return records.read_subject(folder, records.read_manifest(folder), entry.name)

    yield Target("TFRecord shard", bytes_of(whole), _warmed(act, whole))


def _documents(place):
    from tfunc import kinds

    kind = next(iter(kinds.KINDS))
    told = {
        "method": "baseline", "networks": {"baseline": "0" * 64}, "samples": None, "kind": kind, "sampled": False,
        "streams": None,
        "draws": None, "stratified": None, "signatures": {"describe": {"inputs": {}, "outputs": {}}}, "task": {"name": "isic"},
    }  # fmt: skip
    folder = place / "damaged" / "export" / "1"

    def act(given):
        processes.start_tensorflow()
        from tfunc.maps.options import Options
        from tfunc.serving import export

        (folder / export.DESCRIPTION).parent.mkdir(parents=True, exist_ok=True)
        (folder / export.DESCRIPTION).write_bytes(given)
        Options().begun(export._begun(folder))
        export._say_it_is_there(folder, types.SimpleNamespace(judged_by={"evaluation": "0" * 64}), str)
        export._require_same(folder, {**told, "configurations": {}})

    yield Target("export.json", json_of(told), _warmed(act, json.dumps(told).encode()))
    used = {"trained_on": [{"from_step": 0, "devices": ["CPU:0"], "environment": {}}]}
    record = place / "damaged" / "devices"

    def add(given):
        processes.start_tensorflow()
        import tensorflow as tf

        from tfunc.nets import devices

        record.mkdir(parents=True, exist_ok=True)
        (record / devices.RECORD).write_bytes(given)
        devices.record(record, tf.distribute.get_strategy(), 1)

    yield Target("devices.json", json_of(used), _warmed(add, json.dumps(used).encode()))
