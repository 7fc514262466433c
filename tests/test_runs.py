"""Runs say what they are: a stored network is what its config.json says, whatever today's tables hold."""

import json
import shutil

import msgspec
import numpy as np
import pytest
from conftest import ROOT, predict_one
from made_up import manifest

from data_prep import former as former_tasks
from data_prep import records, tasks
from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.readers import nifti
from tfunc import former, methods, networks, runs
from tfunc.learning import settings
from tfunc.nets import trained

FIXTURES = ROOT / "tests" / "fixtures" / "stacks"


@pytest.fixture
def other_tables(monkeypatch):
    """Today's table with other networks under the old names."""
    for name in ("baseline", "aleatoric"):
        changed = msgspec.structs.replace(networks.SINGLE[name], dropout=0.3, center=True)
        monkeypatch.setitem(networks.SINGLE, name, changed)


def maps_of(run, data, method, folder):
    """The test split's uncertainty maps of a copy of the run, with three samples."""
    from tfunc.maps import predict
    from tfunc.maps.options import Options

    copy = shutil.copytree(run, folder, ignore=shutil.ignore_patterns("predictions", "events*"))
    dataset = runs.read_config(runs.network_dir(copy, "baseline")).task.name
    made = predict.predict_split(
        methods.get(method), dataset, data, copy, "test", Options(samples=3), say=lambda line: None
    )
    return {path.name: nifti.read_map(path)[0] for path in sorted(made.glob("*_uncertainty.nii.gz"))}


@pytest.mark.parametrize("method", ["baseline_mc", "aleatoric"])
def test_a_stored_run_does_not_follow_the_table(brats_run, brats_data, tmp_path, other_tables, monkeypatch, method):
    """A dropout that is changed in the table leaves a trained network's samples and sigma what they were, to the bit."""
    changed = maps_of(brats_run, brats_data, method, tmp_path / "changed")
    monkeypatch.undo()
    assert networks.get("baseline").dropout == 0.05
    before = maps_of(brats_run, brats_data, method, tmp_path / "before")
    assert changed and set(changed) == set(before)
    for name, values in before.items():
        np.testing.assert_array_equal(changed[name], values)


@pytest.mark.long
@pytest.mark.parametrize("made_by", ["current", "addons"])
def test_nor_does_a_run_of_an_earlier_version(made_by, tmp_path, other_tables):
    """Whose config.json only names its networks: MC dropout draws with 0.05 as it did, equal to the stored maps to 1e-4."""
    found = maps_of(FIXTURES / made_by / "run", FIXTURES / made_by / "isic", "aleatoric", tmp_path / "run")
    stored = FIXTURES / made_by / "run" / "predictions" / "aleatoric"
    assert len(found) == 2
    for name, values in found.items():
        np.testing.assert_allclose(values, nifti.read_map(stored / name)[0], atol=1e-4, rtol=0)
    model = trained.load(tmp_path / "run", "baseline", "isic").model
    assert {rate for rate, _ in model.dropout_rates} == {0.05}


def test_a_training_into_it_is_refused(brats_run, brats_data, train, other_tables):
    """The network of today's table is another one than the folder's; the difference is named by its place."""
    with pytest.raises(
        UserError, match=r"network.center False \(there\) against True .*network.dropout 0.05 \(there\)"
    ):
        train("baseline", "brats", brats_data, brats_run)


def test_it_says_all_that_a_network_is(brats_run):
    """Objective, dropout, center, sigma, classes, task and settings stand in config.json, with the schema's number."""
    document = artefacts.read_json(runs.network_dir(brats_run, "aleatoric") / runs.CONFIG)
    assert document["schema"] == 2
    network = document["network"]
    assert (network["objective"], network["dropout"], network["center"]) == ("aleatoric", 0.05, False)
    assert network["sigma"] is True and network["classes"] == 2
    assert [channel["name"] for channel in document["task"]["channels"]] == ["flair", "t1", "t2", "t1ce"]
    assert set(settings.OWN) <= set(document)


@pytest.mark.parametrize("name", ["baseline", "aleatoric", "auxiliary_feat"])
def test_an_earlier_config_is_brought_along(name):
    """What an old file says stays; what it could not say is what its version did; the file is not touched."""
    folder = FIXTURES / "current" / "run" / "networks" / name
    before = (folder / runs.CONFIG).read_bytes()
    old, config = json.loads(before), runs.read_config(folder)
    assert config.network.name == old["network"] and config.task.name == old["dataset"]
    assert config.input == old["input"] and config.channels == old["channels"]
    same = set(old) - {"network", "dataset", "input", "channels", "count"}
    assert {entry: getattr(config, entry) for entry in same} == {entry: old[entry] for entry in same}
    assert config.augment == "none" and config.network.sigma == (name == "aleatoric")
    assert former.config(config.document()) == config.document()  # today's form stays as it is
    assert (folder / runs.CONFIG).read_bytes() == before


def of_before(name, count):
    """A network of an earlier version, with what its row could not say yet."""
    return msgspec.convert(former.network(name, count), networks.Network)


@pytest.mark.parametrize("count", [3, 10])
def test_members_and_folds_of_an_earlier_version(count):
    """Their place is in their name and their number in the file; nothing is asked of today's table."""
    assert of_before("ensemble_02", count) == networks.member(2, count)
    assert of_before("cv_1", count) == networks.fold(1, count)
    for name in ("baseline", "center", "aleatoric", "auxiliary_feat", "auxiliary_segm"):
        assert of_before(name, 0) == networks.SINGLE[name]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 3}, "schema 2 or lower, found 3"),
        ({"depth": "two"}, "depth: expected int, found str 'two'"),
        ({"batchsize": 4}, "expected known entries only, found batchsize"),
        (
            {"network": {"name": "baseline", "dropout": 0.05, "drop": 1}},
            "network: expected known entries only, found drop",
        ),
    ],
)
def test_an_edited_config_is_one_line(tmp_path, change, words):
    """A file that is no training's configuration is named, with the entry that is wrong."""
    config = settings.resolve(networks.get("baseline"), manifest(), settings.defaults())
    artefacts.write_json(tmp_path / runs.CONFIG, {**config.document(), **change})
    with pytest.raises(UserError, match=words) as raised:
        runs.read_config(tmp_path)
    assert str(raised.value).startswith(str(tmp_path / runs.CONFIG))


def test_an_earlier_config_that_names_no_network_we_had(tmp_path):
    """Schema 1 of a network that the toolkit did not have is refused, not guessed."""
    old = artefacts.read_json(FIXTURES / "current" / "run" / "networks" / "baseline" / runs.CONFIG)
    artefacts.write_json(tmp_path / runs.CONFIG, {**old, "network": "mine"})
    with pytest.raises(UserError, match="unknown one for 'mine'"):
        runs.read_config(tmp_path)


def test_earlier_predictions_are_brought_along():
    """They say what was done: the predictive, the kind under its name of today, and what its uncertainty measures."""
    old = {"method": "auxiliary_feat", "kind": "confidence", "networks": {}}
    found = former.predictions(old)
    assert (found["predictive"], found["kind"], found["measure"]) == ("AuxiliaryFeatures", "error", "error probability")
    for method in methods.parse(["all"]):  # the rest came later
        found = former.predictions({"method": method.name, "kind": method.kind})
        assert found["predictive"] == method.predictive_name and found["measure"] == method.measure
    assert former.predictions(found) == found


def test_differences_are_named_by_their_place():
    """In nested documents too, and in lists of documents; equal ones differ in nothing."""
    old = {"a": {"b": 1, "c": [1, 2]}, "d": [{"e": 1}, {"e": 2}]}
    new = {"a": {"b": 2, "c": [1, 2]}, "d": [{"e": 1}, {"e": 3}]}
    expected = "a.b 1 (there) against 2 (asked for), d.1.e 2 (there) against 3 (asked for)"
    assert artefacts.difference(old, new) == expected
    assert artefacts.difference(old, json.loads(json.dumps(old))) == ""


@pytest.mark.parametrize("dataset", ["brats", "isic"])
def test_earlier_records_do_not_follow_the_table_of_tasks(dataset, monkeypatch):
    """Nor do the networks trained on them: an edited row leaves task and identity of what was written before."""
    folder, network = FIXTURES / "current" / dataset, FIXTURES / "current" / "run" / "networks" / "baseline"
    before, config = records.read_manifest(folder), runs.read_config(network)
    changed = {name: msgspec.structs.replace(task, frame=(7, 9), axis=1) for name, task in tasks.TASKS.items()}
    monkeypatch.setattr(tasks, "TASKS", changed)
    after = records.read_manifest(folder)
    assert after.task == before.task and after.identity == before.identity
    assert runs.read_config(network) == config


def test_todays_tasks_are_those_of_earlier_files():
    """Until a row of the table is changed on purpose, an old file and a new one mean the same."""
    assert {name: tasks.TASKS[name] for name in former_tasks.TASKS} == former_tasks.TASKS


def edited(config, change):
    """The document with some entries of it, or of its task or network, changed; {"task.frame": value}."""
    document = json.loads(json.dumps(config))
    for place, value in change.items():
        *parents, entry = place.split(".")
        inner = document
        for parent in parents:
            inner = inner[parent]
        inner[entry] = value
    return document


EDITS = [
    {"task.frame": [36, 36]},
    {"task.channels": [{"name": name, "normalise": "minmax", "outside": 0.0} for name in ("red", "green", "blue")]},
    {"network.dropout": 0.5},
    {"network.center": True},
    {"streams": 1},
    {"precision": "bfloat16"},
    {"epochs": 3},
    {"records": "0" * 64},
]


@pytest.mark.parametrize("change", EDITS, ids=lambda change: next(iter(change)))
def test_an_edited_configuration_is_refused(isic_run, isic_data, train, tmp_path, change):
    """Whatever entry of a finished training's config.json is changed: prediction, training, export and study say so."""
    from tfunc.learning import settings as chosen
    from tfunc.maps import predict
    from tfunc.maps.options import Options
    from tfunc.serving import export
    from tfunc.study.jobs import TrainJob

    run = shutil.copytree(isic_run, tmp_path / "run")
    path = runs.network_dir(run, "baseline") / runs.CONFIG
    artefacts.write_json(path, edited(artefacts.read_json(path), change))
    data, method = records.read_manifest(isic_data), methods.get("baseline")
    job = TrainJob("train_baseline", (), 1.0, networks.get("baseline"), data, chosen.defaults())
    for use in (
        lambda: predict.predict_split(method, "isic", isic_data, run, "test", Options(), say=print),
        lambda: predict_one(method, "isic", isic_data, run, tmp_path / "maps", Options()),
        lambda: export.export(method, "isic", run, tmp_path / "export", Options()),
        lambda: train("baseline", "isic", isic_data, run),
        lambda: train("center", "isic", isic_data, tmp_path / "other", init_from=path.parent),
        lambda: job.is_done(run),
    ):
        with pytest.raises(
            UserError, match=r"config\.json.*its training wrote, found an edited file; restore"
        ) as raised:
            use()
        assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "other").exists() and not (run / "predictions").exists()


def test_how_a_configuration_is_written_does_not_matter(isic_run, isic_data, train, tmp_path):
    """Other spaces and another order of its entries are the same configuration."""
    run = shutil.copytree(isic_run, tmp_path / "run")
    path = runs.network_dir(run, "baseline") / runs.CONFIG
    document = artefacts.read_json(path)
    path.write_text(json.dumps(dict(reversed(document.items()))))
    assert trained.load(run, "baseline", "isic").config == runs.read_config(runs.network_dir(isic_run, "baseline"))
    train("baseline", "isic", isic_data, run)


def test_maps_know_the_configuration_that_they_were_made_with(isic_run, isic_data, tmp_path):
    """Of a network of an earlier version, which vouches for its weights only: maps of an edited one are others.

    Maps of an earlier version, which do not say, still count.
    """
    from tfunc.maps import predict
    from tfunc.maps.options import Options

    run = shutil.copytree(isic_run, tmp_path / "run")
    network, where = runs.network_dir(run, "baseline"), (methods.get("baseline"), "isic", isic_data, run, "test")
    done = artefacts.read_json(network / runs.FINISHED)
    del done["config_sha256"]
    artefacts.write_json(network / runs.FINISHED, done)
    folder, said = predict.predict_split(*where, Options(), say=print), []
    document = artefacts.read_json(network / runs.CONFIG)
    artefacts.write_json(network / runs.CONFIG, edited(document, {"network.dropout": 0.5}))
    with pytest.raises(UserError, match=r"configurations\.baseline"):
        predict.predict_split(*where, Options(), say=print)
    for path in (folder / runs.CONFIG, folder / runs.PREDICTED):
        artefacts.write_json(path, {k: v for k, v in artefacts.read_json(path).items() if k != "configurations"})
    predict.predict_split(*where, Options(), say=said.append)
    assert "finished already" in said[0]
