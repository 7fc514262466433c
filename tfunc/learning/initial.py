"""Weights of another training to begin from: layer by layer, where the two networks have the same one of the same size.

Layers go by their place in the network, not by their number: `center` has fewer dropout layers, a deeper network more levels.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import keras

from data_prep.base import stores
from data_prep.base.errors import UserError
from tfunc import runs
from tfunc.nets import trained
from tfunc.nets.structure import Unit
from tfunc.nets.trained import Trained


def read(folder: runs.Path) -> Trained:
    """The finished network in a folder `<run>/networks/<name>`, of any data set; raises `UserError`."""
    folder = pathlib.Path(folder)
    if folder.is_file() or runs.finished(folder) is None or folder.resolve().parent.name != "networks":
        found, do = _instead(folder)
        raise UserError(
            f"--init_from={folder}", expected="a trained network, <run>/networks/<name>", found=found, do=do
        )
    folder = folder.resolve()
    return trained.load(folder.parents[1], folder.name, runs.read_config(folder).task.name)


def _instead(folder):
    """(what is there, what to do) where it is no network of a run."""
    if folder.is_file():
        return "a file", f"give its folder, {folder.parent}"
    there = sorted(path.parent.name for path in folder.glob(f"networks/*/{runs.FINISHED}"))
    if there:
        return "a run", f"give one of its networks: {', '.join(there[:5])}{', …' if len(there) > 5 else ''}"
    if (folder / runs.FINISHED).exists():
        place = folder.resolve()
        return (
            "one outside a run",
            f"put it into a folder of the name networks: {place.parent / 'networks' / place.name}",
        )
    return ("an unfinished one" if (folder / runs.CONFIG).exists() else "none"), None


def beginning(folder: runs.Path, source: Trained) -> runs.Beginning:
    """What config.json says of it."""
    return runs.Beginning(stores.shown(folder), source.checksum)


def give(model: keras.Model, source: Trained) -> tuple[int, list[str]]:
    """Gives `model` the weights of the layers that fit; returns (how many, the places of those that keep their own).

    Raises `UserError` where none fits.
    """
    theirs, left, count = dict(places(source.model)), [], 0
    for place, layer in places(model):
        weights = theirs[place].get_weights() if place in theirs else []
        if [one.shape for one in weights] == [tuple(one.shape) for one in layer.get_weights()]:
            layer.set_weights(weights)
            count += 1
        else:
            left.append(place)
    if not count:
        found = f"none of {len(left)} in {source.name}"
        raise UserError("--init_from", expected="a network with layers of this one's places and sizes", found=found)
    return count, left


def places(model: keras.Model) -> Iterator[tuple[str, keras.layers.Layer]]:
    """(place, layer) of all layers with weights, such as `up 0, unit 1, convolution`; level 0 is the outermost."""
    structure = model.structure
    if hasattr(structure, "layers"):
        for number, part in enumerate(structure.layers):
            yield from _of(f"head {number}", part)
        return
    for level, block in enumerate(structure.down):
        yield from _of_block(f"down {level}", block)
    yield from _of_block("bottom", structure.bottom)
    for level, (rise, block) in zip(reversed(range(len(structure.up))), structure.up, strict=True):
        yield f"up {level}, rise", rise
        yield from _of_block(f"up {level}", block)
    second = "covariance" if structure.rank else "sigma"
    for name, head in (("logits", structure.logit_head), (second, structure.second_head)):
        for number, part in enumerate(head or ()):
            yield from _of(f"{name} {number}", part)


def _of_block(name, block):
    for number, unit in enumerate(block):
        yield from _of(f"{name}, unit {number}", unit)


def _of(name, part):
    """The layers of a unit, or a layer by itself."""
    if isinstance(part, Unit):
        yield f"{name}, convolution", part.convolution
        yield f"{name}, normalisation", part.normalisation
    else:
        yield name, part
