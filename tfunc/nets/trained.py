"""Keras models of the networks: built for training, or read back with their best weights."""

import dataclasses

from data_prep.base.errors import NotReady, UserError
from tfunc import networks, runs
from tfunc.nets import unet


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network read back from its run: the model, the checksum of its weights, and its configuration."""

    name: str
    model: object
    checksum: str
    config: dict


def build(network, channels, start_filters, depth, seed=None, dtype=None):
    """The Keras model that `network` trains. channels: of the images; auxiliary segm. sees the mask as one more."""
    if network.objective == "auxiliary_feat":
        return unet.AuxiliaryHead(start_filters, seed=seed, dtype=dtype)
    return unet.unet(
        channels + (network.objective == "auxiliary_segm"),
        start_filters=start_filters,
        depth=depth,
        dropout=network.dropout,
        center=network.center,
        sigma=network.sigma,
        seed=seed,
        dtype=dtype,
    )


def load(run_dir, name, dataset):
    """The trained network `name`; raises `NotReady` naming the command that trains it."""
    config, done = runs.require_network(run_dir, name, train_command(name, dataset))
    if config["dataset"] != dataset:
        raise UserError(runs.network_dir(run_dir, name), expected=f"a network of {dataset}", found=config["dataset"])
    network = networks.get(name, config["count"] or 10, config["count"] or 5)
    model = build(network, config["channels"], config["start_filters"], config["depth"])
    model.load_weights(str(runs.network_dir(run_dir, name) / runs.WEIGHTS))
    return Trained(name, model, done["weights_sha256"], config)


def copy(trained):
    """The model of `trained` built again, with its weights, in the strategy scope that is open now."""
    config = trained.config
    network = networks.get(trained.name, config["count"] or 10, config["count"] or 5)
    model = build(network, config["channels"], config["start_filters"], config["depth"])
    model.set_weights(trained.model.get_weights())
    return model


def load_ensemble(run_dir, dataset):
    """All members of the run's ensemble, however many its first member says there are."""
    first = load(run_dir, networks.member(0, 10).name, dataset)
    count = first.config["count"]
    return [first] + [load(run_dir, networks.member(index, count).name, dataset) for index in range(1, count)]


def load_all(run_dir, names, dataset):
    """The trained networks of a method, `ensemble` standing for all members; raises `NotReady`."""
    loaded = []
    for name in names:
        loaded += load_ensemble(run_dir, dataset) if name == "ensemble" else [load(run_dir, name, dataset)]
    shapes = {(one.config["channels"], str(one.config["input"])) for one in loaded}
    if len(shapes) > 1:
        raise NotReady(run_dir, expected="networks trained on the same kind of input", found=str(sorted(shapes)))
    return loaded


def train_command(name, dataset):
    """The command that trains a network."""
    if name.startswith("cv_"):
        return f"python launch/study.py --dataset={dataset} --methods=auxiliary_segm"
    method = "ensemble" if name.startswith("ensemble_") else name
    return f"python launch/train.py --method={method} --dataset={dataset}"
