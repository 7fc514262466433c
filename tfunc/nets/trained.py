"""Keras models of the networks: built for training, or read back as their own config.json says, with their best weights."""

from __future__ import annotations

import dataclasses

import keras

from data_prep.base.errors import NotReady, UserError
from tfunc import networks, runs
from tfunc.nets import streams, unet, weight_files
from tfunc.nets.own_settings import own_settings
from tfunc.networks import Network
from tfunc.runs import Config, Path


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network read back from its run: the model, the checksum of its weights, and its configuration.

    configuration: the checksum of what maps depend on in it.
    """

    name: str
    model: keras.Model
    checksum: str
    config: Config
    configuration: str = ""


def build(
    network: Network,
    channels: int,
    start_filters: int,
    depth: int,
    seed: int | None = None,
    dtype: str | None = None,
    version: int = streams.VERSION,
    second_channels: int = 1,
) -> keras.Model:
    """The Keras model that `network` trains. channels: of the images; a second input adds `second_channels`.

    seed: of the initial weights, and version of the random streams behind them. dtype: a Keras policy; None is float32.
    Raises `UserError` for a number of classes that there is no network of.
    """
    head = network.model == "auxiliary_head"
    if network.classes < unet.CLASSES or (head and network.classes != unet.CLASSES):
        expected = f"{unet.CLASSES} classes{'' if head else ' or more'}"
        raise UserError(f"network {network.name}", expected=expected, found=str(network.classes))
    with own_settings():
        if head:
            return unet.AuxiliaryHead(start_filters, seed, dtype, version)
        return unet.unet(
            channels + (second_channels if network.second_input else 0),
            start_filters=start_filters,
            depth=depth,
            dropout=network.dropout,
            center=network.center,
            sigma=network.sigma,
            seed=seed,
            dtype=dtype,
            version=version,
            classes=network.classes,
            rank=network.rank,
        )


def untrained(config: Config) -> keras.Model:
    """The model that a training begins with: its own initial weights and precision."""
    return _of(config, seed=config.seed, dtype=config.dtype_policy, version=config.streams)


def _like(config: Config) -> keras.Model:
    """The model of a stored configuration, in float32, to be given its weights."""
    return _of(config)


def _of(config, **more):
    shape = config.channels, config.start_filters, config.depth
    return build(config.network, *shape, second_channels=config.segmentation_channels, **more)


def load(run_dir: Path, name: str, dataset: str) -> Trained:
    """The trained network `name`; raises `NotReady` naming the command that trains it, `UserError` for other data."""
    config, done = runs.require_network(run_dir, name, networks.training_command(name, dataset))
    folder = runs.network_dir(run_dir, name)
    if config.task.name != dataset:
        raise UserError(folder, expected=f"a network of {dataset}", found=config.task.name)
    model = _like(config)
    weight_files.load(model, folder / runs.WEIGHTS)
    return Trained(name, model, done["weights_sha256"], config, runs.configuration(run_dir, name))


def load_epochs(run_dir: Path, last: Trained) -> list[Trained]:
    """The networks that a training kept of its last epochs, in order, the last one's own name and checksum on each.

    Raises `UserError` for other weights than the training wrote.
    """
    folder, found = runs.network_dir(run_dir, last.name), []
    for name, checksum in (runs.finished(folder) or {})["kept_sha256"].items():
        runs.require_weights(folder / name, checksum)
        model = _like(last.config)
        weight_files.load(model, folder / name)
        found.append(dataclasses.replace(last, model=model))
    return found


def copy(trained: Trained) -> keras.Model:
    """The model of `trained` built again, with its weights, in the strategy scope that is open now."""
    model = _like(trained.config)
    model.set_weights(trained.model.get_weights())
    return model


def load_ensemble(run_dir: Path, dataset: str, family: str = networks.ENSEMBLE) -> list[Trained]:
    """All members of the run's ensemble, or all its folds, however many the first of them says there are."""
    make = networks.FAMILIES[family]
    first = load(run_dir, make(0, 1).name, dataset)
    count = first.config.network.count
    return [first] + [load(run_dir, make(index, count).name, dataset) for index in range(1, count)]


def load_all(run_dir: Path, names: tuple[str, ...], dataset: str) -> list[Trained]:
    """The trained networks of a method; raises `NotReady`.

    `ensemble` stands for all members, `cv` for all folds, a network that kept its last epochs for each of them.
    """
    loaded: list[Trained] = []
    for name in names:
        if name in networks.FAMILIES:
            loaded += load_ensemble(run_dir, dataset, name)
            continue
        one = load(run_dir, name, dataset)
        loaded += load_epochs(run_dir, one) if one.config.kept_epochs else [one]
    orders = {one.config.task.order for one in loaded} - {None}  # an earlier version kept none
    shapes = {(one.config.channels, str({**one.config.input, "order": None})) for one in loaded}
    if len(shapes) > 1 or len(orders) > 1:
        raise NotReady(run_dir, expected="networks trained on the same kind of input", found=str(sorted(shapes)))
    _require_learnt(run_dir, loaded)
    return loaded


def _require_learnt(run_dir, loaded):
    """Raises `NotReady` for a network that learnt from other weights than another of them has now."""
    now = {one.name: one.checksum for one in loaded}
    for one in loaded:
        for name, checksum in one.config.learns_from.items():
            if isinstance(checksum, str) and now.get(name, checksum) != checksum:
                folder = runs.network_dir(run_dir, one.name)
                train = networks.training_command(one.name, one.config.task.name)
                raise NotReady(
                    folder,
                    expected=f"a network that learnt from {name} as it is now",
                    found="one that learnt from its former weights",
                    do=(f"remove {folder} and run ", train),
                )
