"""Random damage to every kind of artefact: found and named, or provably without effect; never another result without a word.

TFUNC_CORRUPTIONS is how many places of each kind are damaged, 12 by default; the outcome of a long run stands in BUILD_NOTES.md.
"""

import os
import shutil
import zlib

import numpy as np
import pytest

from data_prep import map_files, records
from data_prep.base.errors import UserError
from data_prep.readers import nifti
from tfunc import methods, runs
from tfunc.learning import checkpoint
from tfunc.maps import predict
from tfunc.maps.options import Options
from tfunc.nets import trained

COUNT = int(os.environ.get("TFUNC_CORRUPTIONS", "12"))


@pytest.fixture(scope="module")
def place(brats_run, brats_data, tmp_path_factory):
    """A folder with `run`, in which a baseline has predicted, and `data`."""
    folder = tmp_path_factory.mktemp("corruption")
    shutil.copytree(brats_run, folder / "run")
    shutil.copytree(brats_data, folder / "data")
    where = methods.get("baseline"), "brats", folder / "data", folder / "run", "test"
    predict.predict_split(*where, Options(batch_size=8), say=lambda line: None)
    return folder


def network(place):
    return runs.network_dir(place / "run", "baseline")


def weights(place):
    return [one.tobytes() for one in trained.load(place / "run", "baseline", "brats").model.get_weights()]


def state(place):
    arrays, counters = checkpoint.read(network(place))
    return [one.tobytes() for one in arrays], counters


def manifest(place):
    return records.read_manifest(place / "data").identity


def subject(place):
    name = records.read_manifest(place / "data").split("test")[0].name
    return records.read_subject(place / "data", records.read_manifest(place / "data"), name).image.tobytes()


def map_file(place):
    return map_files.path(runs.predictions_dir(place / "run", "baseline"), sorted_names(place)[0], "probability")


def sorted_names(place):
    return sorted(entry.name for entry in records.read_manifest(place / "data").split("test"))


def probability(place):
    array, affine = nifti.read_map(map_file(place))
    return array.tobytes(), affine.tobytes()


def shard(place):
    found = records.read_manifest(place / "data")
    return place / "data" / found.subject(sorted_names(place)[0]).shard


def verified(place):
    records.verify(place / "data")
    return subject(place)


# artefact: (its file, what is read from it as programs do)
KINDS = {
    "config.json": (lambda p: network(p) / runs.CONFIG, lambda p: runs.read_config(network(p)).document()),
    "finished.json": (lambda p: network(p) / runs.FINISHED, lambda p: runs.finished(network(p))),
    "resume.json": (lambda p: network(p) / runs.RESUME, state),
    "resume.npz": (lambda p: next(network(p).glob("resume-*.npz")), state),
    "weights": (lambda p: network(p) / runs.WEIGHTS, weights),
    "predictions.json": (
        lambda p: runs.predictions_dir(p / "run", "baseline") / runs.PREDICTED,
        lambda p: runs.read_predictions(runs.predictions_dir(p / "run", "baseline")),
    ),
    "dataset.json": (lambda p: p / "data" / "dataset.json", manifest),
    "shard": (shard, verified),
    "map": (map_file, probability),
}


def damaged(whole, rng):
    """The bytes with one of them another, some of them gone, or the end cut off."""
    position, how = int(rng.integers(len(whole))), rng.integers(4)
    if how == 0:
        return whole[:position]
    if how == 1:
        return whole[:position] + whole[position + int(rng.integers(1, 9)) :]
    flipped = bytes([whole[position] ^ int(rng.integers(1, 256))])
    return whole[:position] + flipped + whole[position + 1 :]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_found_or_without_effect(place, kind):
    """Each time either one line that names a file, or what was read before."""
    path_of, read = KINDS[kind]
    path = path_of(place)
    whole, before = path.read_bytes(), read(place)
    rng, found = np.random.default_rng(zlib.crc32(kind.encode())), 0
    try:
        for _ in range(COUNT):
            path.write_bytes(damaged(whole, rng))
            try:
                assert read(place) == before
            except UserError as error:
                assert str(place) in str(error) and "\n" not in str(error)
                found += 1
    finally:
        path.write_bytes(whole)
    assert read(place) == before and found >= COUNT // 2
