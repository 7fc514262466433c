"""The data doctor on runs: nothing is said of a clean one; what is damaged, outdated or unfinished is found, with its command."""

import json
import shutil

import h5py
import nibabel
import numpy as np
import pytest
from conftest import ROOT
from made_up_maps import serial, undrawn

from data_prep import map_files, records
from data_prep.base import artefacts, leftovers, pool
from data_prep.base.errors import UserError
from tfunc import methods, runs
from tfunc.check import run
from tfunc.maps import predict, recalibrated
from tfunc.maps.options import Options
from tfunc.reporting import publish
from tfunc.scoring import recalibrate, recalibration

QUIET = {"say": lambda line: None}
METHOD = "baseline"


@pytest.fixture(scope="module")
def whole(brats_run, brats_data, tmp_path_factory):
    """A run whose baseline predicted, was recalibrated and evaluated, and whose aleatoric network predicted."""
    run_dir = shutil.copytree(brats_run, tmp_path_factory.mktemp("whole") / "run")
    for split in ("valid", "test"):
        predict.predict_split(methods.get(METHOD), "brats", brats_data, run_dir, split, Options(), **QUIET)
    predict.predict_split(methods.get("aleatoric"), "brats", brats_data, run_dir, "test", Options(), **QUIET)
    recalibrate.recalibrate(run_dir, brats_data, "brats", METHOD, serial, **QUIET)
    recalibrated.rewrite_split(METHOD, "brats", brats_data, run_dir, "test", **QUIET)
    with pytest.MonkeyPatch.context() as patch:
        undrawn(patch)
        request = publish.Request(runs.evaluation_dir(run_dir))
        publish.evaluate_run(request, run_dir, brats_data, [METHOD, f"{METHOD}_recalibrated"], serial)
    return run_dir


@pytest.fixture
def place(whole, tmp_path):
    """A copy of it, to be broken."""
    return shutil.copytree(whole, tmp_path / "run")


def checked(folder, data=None):
    """(severity, kind, line) of each finding. data: the folder of records that it should be of."""
    manifest = None if data is None else records.read_manifest(data)
    found, _ = run.check(folder, pool.Serial(), manifest=manifest)
    return [(one.severity, one.kind, str(one.error)) for one in found]


def only(folder, data=None):
    said = checked(folder, data)
    assert len(said) == 1, said
    return said[0]


def network(folder, name=METHOD):
    return runs.network_dir(folder, name)


def maps(folder, name=METHOD, split="test"):
    return runs.predictions_dir(folder, name, split)


def subject(folder):
    return runs.read_predictions(maps(folder))["subjects"][0]


def edited(path, change):
    """Changes a document so that it vouches for what it says now."""
    document = artefacts.read_json(path)
    change(document)
    artefacts.write_document(path, document)


@pytest.mark.long
def test_a_clean_run_has_no_findings(whole, brats_data):
    """With its records beside it and without; what was looked at is counted."""
    assert checked(whole) == [] == checked(whole, brats_data)
    _, counts = run.check(whole, pool.Serial())
    assert counts == {"networks": 2, "predicted_subjects": 8, "evaluations": 1}


def test_a_folder_that_is_no_run(tmp_path):
    """One line, whether it is there or not."""
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="the folder of a run"):
            run.check(folder, pool.Serial())


@pytest.mark.parametrize("stack", ["addons", "current"])
def test_runs_of_earlier_versions(stack):
    """What they lack is noted, and nothing of it is a fault."""
    fixtures = ROOT / "tests" / "fixtures" / "stacks" / stack
    said = checked(fixtures / "run", fixtures / "isic")
    assert {(severity, kind) for severity, kind, _ in said} == {("note", "earlier version")}
    assert any("no seal" in line for *_, line in said)
    said = checked(fixtures / "unfinished")
    assert ("note", "unfinished") in {(severity, kind) for severity, kind, _ in said}
    assert {severity for severity, *_ in said} == {"note"}


# Networks


def test_other_weights(place):
    """A byte of them; they can't be had again but by training."""
    path = network(place) / runs.WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    severity, kind, line = only(place)
    assert (severity, kind) == ("error", "damaged network")
    assert str(path) in line and f"remove {network(place)}, then run `python launch/train.py --method={METHOD}" in line


def test_no_weights(place):
    """Gone."""
    (network(place) / runs.WEIGHTS).unlink()
    assert "no file" in only(place)[2]


def test_weights_that_are_not_finite(place):
    """Vouched for, and of no use."""
    path = network(place) / runs.WEIGHTS
    with h5py.File(path, "r+") as file:
        found = []
        file.visititems(
            lambda name, entry: found.append(name) if isinstance(entry, h5py.Dataset) and entry.size else None
        )
        array = file[found[0]][()]
        array.flat[0] = np.nan
        file[found[0]][...] = array
    edited(network(place) / runs.FINISHED, lambda document: document.update(weights_sha256=artefacts.sha256(path)))
    said = checked(place)
    assert ("error", "not finite") in {(severity, kind) for severity, kind, _ in said}
    assert {kind for _, kind, _ in said} == {"not finite", "out of date"}  # the maps are of other weights then


def test_an_edited_configuration(place):
    """Whether or not it says so itself."""
    path = network(place) / runs.CONFIG
    edited(path, lambda document: document.update(epochs=99))
    severity, kind, line = only(place)
    assert (severity, kind) == ("error", "damaged network") and str(path) in line and "edited" in line


@pytest.mark.parametrize("name", [runs.CONFIG, runs.FINISHED])
def test_a_document_that_is_none(place, name):
    """Cut off in the middle."""
    path = network(place) / name
    path.write_text(path.read_text()[:40])
    said = [one for one in checked(place) if one[1] == "damaged network"]
    assert len(said) == 1 and str(path) in said[0][2] and "train.py" in said[0][2]


def test_a_state_that_is_gone(place):
    """A finished training can't go on from it; its weights are whole."""
    next(network(place).glob("resume-*.npz")).unlink()
    severity, kind, line = only(place)
    assert (severity, kind) == ("warning", "state") and "init_from" in line


def test_an_unfinished_training(place):
    """A note with its command; one whose state is damaged can't go on."""
    (network(place, "aleatoric") / runs.FINISHED).unlink()
    said = checked(place)
    assert [(severity, kind) for severity, kind, _ in said] == [("note", "unfinished")]
    assert "train.py --method=aleatoric --dataset=brats" in said[0][2]
    next(network(place, "aleatoric").glob("resume-*.npz")).write_bytes(b"")
    assert ("error", "damaged network") in {(severity, kind) for severity, kind, _ in checked(place)}


def test_one_that_diverged(place):
    """A warning: its loss was not finite."""
    (network(place, "aleatoric") / runs.FINISHED).unlink()
    artefacts.write_document(network(place, "aleatoric") / "diverged.json", {"found": "NaN"})
    assert only(place)[:2] == ("warning", "diverged")


def test_other_records(place, isic_data):
    """All that was made from others than those that are given."""
    said = checked(place, isic_data)
    found = [line for severity, kind, line in said if (severity, kind) == ("error", "other records")]
    assert len(found) >= 2 + 3 + 1 + 1  # networks, predictions, recalibration, evaluation


def test_it_learnt_from_another(place):
    """An auxiliary network knows which weights its base had."""
    folder = shutil.copytree(network(place), network(place, "auxiliary_feat"))
    edited(folder / runs.CONFIG, lambda document: document.update(learns_from={METHOD: "0" * 64}))
    content = artefacts.read_json(folder / runs.CONFIG)
    edited(folder / runs.FINISHED, lambda document: document.update(config_sha256=runs.checksum(content)))
    severity, kind, line = only(place)
    assert (severity, kind) == ("warning", "out of date") and "former weights" in line and str(folder) in line


# Maps


def test_a_map_that_is_gone(place):
    """Named with the command that makes what is missing."""
    path = map_files.path(maps(place), subject(place), "uncertainty")
    path.unlink()
    said = [line for severity, kind, line in checked(place) if (severity, kind) == ("error", "damaged maps")]
    assert len(said) == 1 and str(path) in said[0]
    assert "python launch/predict.py --method=baseline --dataset=brats" in said[0]


def test_a_damaged_map(place):
    """gzip's checksum tells."""
    path = map_files.path(maps(place), subject(place), "probability")
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    severity, kind, line = only(place)
    assert (severity, kind) == ("error", "damaged maps") and str(path) in line and "remove it, then run" in line


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("probability", np.nan, "NaN or infinite"),
        ("probability", 1.5, "1.5"),
        ("uncertainty", -0.5, "-0.5"),
        ("prediction", 9, "9"),
    ],
)
def test_numbers_that_can_not_be(place, name, value, words):
    """Not finite, outside of what the kind allows, labels that the task lacks."""
    path = map_files.path(maps(place), subject(place), name)
    image = nibabel.load(path)
    array = np.asarray(image.dataobj).copy()
    array[0, 0, 0] = value
    path.unlink()
    nibabel.save(nibabel.Nifti1Image(array, image.affine, image.header), path)
    severity, kind, line = only(place)
    assert (severity, kind) == ("error", "map out of range") and str(path) in line and words in line


def test_sigma_is_not_bounded(place):
    """An aleatoric map is finite and from 0 on."""
    path = map_files.path(maps(place, "aleatoric"), subject(place), "uncertainty")
    image = nibabel.load(path)
    path.unlink()
    nibabel.save(nibabel.Nifti1Image(np.full(image.shape, 40, np.float32), image.affine, image.header), path)
    assert checked(place) == []


def test_a_map_that_lies_elsewhere(place, brats_data):
    """All three moved: only the records know."""
    for name in map_files.MAPS:
        path = map_files.path(maps(place), subject(place), name)
        image = nibabel.load(path)
        array, affine = np.asarray(image.dataobj).copy(), image.affine.copy()
        affine[0, 3] += 5
        path.unlink()
        nibabel.save(nibabel.Nifti1Image(array, affine), path)
    assert checked(place) == []
    severity, kind, line = only(place, brats_data)
    assert (severity, kind) == ("error", "damaged maps") and "the affine of" in line


def test_predictions_by_former_weights(place):
    """Of a network that was trained on since."""
    edited(maps(place, "aleatoric") / runs.PREDICTED, lambda document: document["networks"].update(aleatoric="0" * 64))
    severity, kind, line = only(place)
    assert (severity, kind) == ("warning", "out of date") and "predict.py --method=aleatoric" in line


def test_unfinished_predictions(place):
    """Stopped before their predictions.json, and of a part of the split."""
    (maps(place, "aleatoric") / runs.PREDICTED).unlink()
    severity, kind, line = only(place)
    assert (severity, kind) == ("note", "unfinished") and "predict.py --method=aleatoric" in line


def test_a_part_of_a_split(place):
    """Complete is what it says of itself; a map that it does not list is noted."""

    def change(document):
        document["subjects"].pop()
        document["complete"] = False

    edited(maps(place, "aleatoric") / runs.PREDICTED, change)
    assert {(severity, kind) for severity, kind, _ in checked(place)} == {
        ("note", "unfinished"),
        ("note", "not listed"),
    }


def test_predictions_that_say_nothing(place):
    """No kind, no subjects, no JSON."""
    path = maps(place, "aleatoric") / runs.PREDICTED
    edited(path, lambda document: document.pop("kind"))
    assert only(place)[:2] == ("error", "damaged maps")
    path.write_text("{")
    severity, _, line = only(place)
    assert severity == "error" and f"remove {path}, then run `python launch/predict.py" in line


def test_recalibrated_maps_of_former_ones(place):
    """What they were made from is another file since; so are the recalibration's and the evaluation's."""
    edited(maps(place) / runs.PREDICTED, lambda document: document.update(note="predicted again"))
    said = checked(place)
    assert {(severity, kind) for severity, kind, _ in said} == {("warning", "out of date")}
    lines = " ".join(line for *_, line in said)
    assert "--recalibrated=true" in lines and "evaluate.py" in lines
    edited(maps(place, split="valid") / runs.PREDICTED, lambda document: document.update(note="predicted again"))
    assert any("recalibrate.py" in line for *_, line in checked(place))


# Evaluations and recalibrations


def test_a_damaged_evaluation(place):
    """Each of its files has a checksum; the command is what makes it again."""
    folder = runs.evaluation_dir(place)
    (folder / "subjects.csv").write_text("edited")
    (folder / "table1.md").unlink()
    said = checked(place)
    assert [(severity, kind) for severity, kind, _ in said] == [("error", "damaged evaluation")] * 2
    again = f"`python launch/evaluate.py --dataset=brats --methods={METHOD} --recalibrated=true`"
    assert all(again in line for *_, line in said)
    assert any("another file" in line for *_, line in said) and any("no file" in line for *_, line in said)


def test_an_evaluation_by_another_version(place):
    """A note; so is one without today's tables."""

    def change(document):
        document["version"] = "0.0.1"
        document["files"].pop("review.csv")

    edited(runs.evaluation_dir(place) / runs.EVALUATED, change)
    (runs.evaluation_dir(place) / "review.csv").unlink()
    said = checked(place)
    assert [(severity, kind) for severity, kind, _ in said] == [("note", "earlier version")] * 2
    assert any("0.0.1" in line for *_, line in said) and any("review.csv" in line for *_, line in said)


def test_an_unfinished_evaluation(place):
    """Without its summary."""
    (runs.evaluation_dir(place) / runs.EVALUATED).unlink()
    severity, kind, line = only(place)
    assert (severity, kind) == ("note", "unfinished") and "evaluate.py --dataset=brats" in line


def test_a_damaged_recalibration(place):
    """Cut off; the evaluation that shows it is then of another."""
    path = recalibration.path(place, METHOD)
    path.write_text(path.read_text()[:100])
    said = checked(place)
    assert ("error", "damaged recalibration") in {(severity, kind) for severity, kind, _ in said}
    assert ("warning", "out of date") in {(severity, kind) for severity, kind, _ in said}


def test_documents_without_a_seal(place):
    """As earlier versions wrote them: notes."""
    for path in (maps(place, "aleatoric") / runs.PREDICTED, runs.evaluation_dir(place) / runs.EVALUATED):
        path.write_text(json.dumps(artefacts.read_json(path)))
    said = checked(place)
    assert [(severity, kind) for severity, kind, _ in said] == [("note", "earlier version")] * 2


def test_what_killed_processes_left(place):
    """Anywhere below; what a living process writes is left alone."""
    gone = maps(place) / leftovers.partial("S_probability.nii.gz").replace(f"-{leftovers.os.getpid()}-", "-999999999-")
    gone.write_bytes(b"")
    (
        network(place) / leftovers.partial("x").replace(f"-{leftovers.os.getpid()}-", f"-{leftovers.os.getppid()}-")
    ).touch()
    severity, kind, line = only(place)
    assert (severity, kind) == ("note", "left behind") and str(gone) in line


def test_runs_of_further_seeds(place):
    """They lie inside the first, and are looked at like it."""
    shutil.copytree(network(place), place / "seeds" / "21" / "networks" / METHOD)
    (place / "seeds" / "21" / "networks" / METHOD / runs.WEIGHTS).unlink()
    severity, _, line = only(place)
    assert severity == "error" and str(place / "seeds" / "21") in line


@pytest.mark.long
@pytest.mark.parametrize("value", [7, [], {"a": 1}, None])
def test_documents_of_any_form(place, value):
    """Without a seal they may hold anything; whoever looks at them says so and looks at the rest."""
    for path in (
        *place.glob("networks/baseline/*.json"),
        *place.glob("predictions/*/*.json"),
        *place.glob("*/summary.json"),
    ):
        whole = path.read_bytes()
        document = artefacts.read_json(path)
        for name in sorted(document):
            if name in ("networks", "settings", "inputs", "learns_from", "subjects", "kept_sha256", "methods", "files"):
                path.write_text(json.dumps({**document, name: value}))
                assert all(line.startswith(str(place)) for _, _, line in checked(place))
        path.write_bytes(whole)
    assert checked(place) == []
