"""Beginning from another training's weights: the layers that fit, what is said of the rest, and what is remembered."""

import shutil

import numpy as np
import pytest
from conftest import make_trainer

from data_prep.base import artefacts
from data_prep.base.errors import UserError
from tfunc import networks, runs
from tfunc.learning import initial
from tfunc.nets import trained


def first_weights(data_dir, source, folder, network="baseline", **settings):
    """(what was said, the trainer) of a training that has begun from `source` and taken no step."""
    said = []
    one = make_trainer(network, data_dir, folder=folder, **settings)
    one.begins, one.say = initial.read(source), said.append
    one.resume()
    return "\n".join(said), one


def weights_at(model):
    return {place: layer.get_weights() for place, layer in initial.places(model)}


@pytest.fixture
def source(isic_run):
    return runs.network_dir(isic_run, "baseline")


def alike(ours, theirs):
    return len(ours) == len(theirs) and all(np.array_equal(*pair) for pair in zip(ours, theirs, strict=True))


def test_the_same_network_begins_where_the_other_ended(isic_data, source, tmp_path):
    """All layers, batch statistics included; the optimizer is new."""
    said, one = first_weights(isic_data, source, tmp_path, seed=3)
    ours, theirs = weights_at(one.steps.model), weights_at(initial.read(source).model)
    assert all(alike(ours[place], theirs[place]) for place in theirs) and "but not" not in said
    assert len(theirs) == sum(bool(layer.get_weights()) for layer in one.steps.model.layers)
    assert one.counters.step == 0 and int(one.steps.optimizer.iterations) == 0


@pytest.mark.parametrize(
    ("network", "change", "left"),
    [
        ("center", {}, set()),
        ("aleatoric", {}, {"sigma 0, convolution", "sigma 0, normalisation", "sigma 1"}),
        ("auxiliary_segm", {}, {"down 0, unit 0, convolution"}),
        ("baseline", {"depth": 2}, None),
    ],
)
def test_the_layers_that_fit(isic_data, source, tmp_path, network, change, left):
    """By their place and size, whatever their number: other channels, heads, dropout, depth; the rest is as drawn."""
    said, one = first_weights(isic_data, source, tmp_path / "begun", network, **change)
    drawn = weights_at(make_trainer(network, isic_data, folder=tmp_path / "drawn", **change).steps.model)
    ours, theirs = weights_at(one.steps.model), weights_at(initial.read(source).model)
    kept = {place for place in ours if place not in theirs or not alike(ours[place], theirs[place])}
    assert left is None or kept == left
    assert all(alike(ours[place], drawn[place]) for place in kept) and len(kept) < len(ours)
    assert all(place in said for place in kept) and ("but not" in said) == bool(kept)
    if left is None:  # a level more: all of the outermost level fits, its new bottom does not
        assert "bottom, unit 0, convolution" in kept and "down 0, unit 1, convolution" not in kept
        assert not kept & {"up 0, rise", "logits 1"} and "down 1, unit 0, convolution" in kept


def test_other_channels(brats_data, source, tmp_path):
    """A network of photographs gives one of volumes all but its first convolution."""
    said, _ = first_weights(brats_data, source, tmp_path)
    assert "but not 1" in said and said.count("down 0, unit 0, convolution") == 1


@pytest.mark.long
def test_nothing_that_fits(isic_data, source, tmp_path):
    """A network of another width shares no layer: refused."""
    with pytest.raises(UserError, match=r"--init_from: expected .* found none of"):
        first_weights(isic_data, source, tmp_path, start_filters=3)


@pytest.mark.parametrize("where", ["networks/nothing", "predictions/baseline", "unfinished/networks/baseline"])
def test_what_is_no_trained_network(isic_data, isic_run, train, tmp_path, where):
    """One line that names the flag, before anything is written."""
    unfinished = runs.network_dir(tmp_path / "unfinished", "baseline")
    artefacts.write_json(unfinished / runs.CONFIG, {})
    folder = tmp_path / where if where.startswith("unfinished") else isic_run / where
    with pytest.raises(UserError, match=r"--init_from=.*<run>/networks/<name>"):
        train("baseline", "isic", isic_data, tmp_path / "run", init_from=folder)
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_it_is_remembered(isic_data, source, train, tmp_path):
    """config.json says whose weights; the same command finds it, also where the source lies elsewhere; others are refused."""
    folder, done = train("baseline", "isic", isic_data, tmp_path / "run", epochs=1, init_from=source)
    stored = artefacts.read_json(folder / runs.CONFIG)["init_from"]
    assert stored == {"network": str(source), "weights_sha256": runs.finished(source)["weights_sha256"]}
    said = []
    assert train("baseline", "isic", isic_data, tmp_path / "run", epochs=1, say=said.append)[1] == done
    assert f"begun from {source}" in said[0]
    link = tmp_path / "elsewhere"
    link.symlink_to(source.parents[1])
    again = train("baseline", "isic", isic_data, tmp_path / "run", epochs=1, init_from=link / "networks" / "baseline")
    assert again[1] == done
    plain, _ = train("baseline", "isic", isic_data, tmp_path / "plain", epochs=1, seed=3)
    with pytest.raises(UserError, match="init_from"):
        train("baseline", "isic", isic_data, tmp_path / "plain", epochs=1, seed=3, init_from=source)
    with pytest.raises(UserError, match="init_from"):
        train("baseline", "isic", isic_data, tmp_path / "run", epochs=1, init_from=plain)
    assert (tmp_path / "plain" / "networks").is_dir()


def test_a_head_begins_from_a_head(isic_data, isic_run):
    """Places of the auxiliary head are its own; with a U-Net it shares none."""
    head = trained.build(networks.get("auxiliary_feat"), 3, 4, 1, seed=1)
    net = trained.build(networks.get("baseline"), 3, 4, 1, seed=1)
    places = [dict(initial.places(model)) for model in (head, net)]
    assert len(places[0]) == 7 and not set(places[0]) & set(places[1])


@pytest.mark.long
def test_what_is_meant_is_said_where_another_place_is_given(brats_run, tmp_path):
    """The run, the file of weights, and a network that was copied out of its run."""
    network = runs.network_dir(brats_run, "baseline")
    copied = shutil.copytree(network, tmp_path / "mine")
    for place, match in (
        (brats_run, "found a run; give one of its networks: aleatoric, baseline"),
        (network / runs.WEIGHTS, "found a file; give its folder, .*baseline"),
        (copied, "found one outside a run; put it into a folder of the name networks: .*networks/mine"),
        (tmp_path, "found none"),
    ):
        with pytest.raises(UserError, match=match):
            initial.read(place)
    shutil.copytree(network, tmp_path / "networks" / "mine")
    assert initial.read(tmp_path / "networks" / "mine").checksum == initial.read(network).checksum
