"""Every JSON document that is read, ours and the user's: by the function that programs read it with, and used as they use it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import shutil

import made_up
import own_folders
import whole_inputs
from harness import Target
from mutations import bytes_of, json_of

from data_prep import datasets, grid, manifest, parts, preparation, shards, split_files, splits
from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.phantom import write as phantom
from data_prep.readers import decathlon, nnunet, own_folds
from tfunc import networks, runs
from tfunc.learning import claim, settings
from tfunc.maps import artefact
from tfunc.reporting import finished, summary
from tfunc.scoring import recalibration, sources, spread, triage
from tfunc.study import jobs, seeds

METHOD = whole_inputs.METHOD


def all_of(place: pathlib.Path) -> list[Target]:
    """The targets. place: a folder of the process's own, in which whole inputs are made and damaged ones written."""
    return [*_of_records(place), *_of_networks(place), *_of_maps(place), *_of_users(place)]


def _written(path: pathlib.Path, act):
    """Writes the bytes to `path` and then acts."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def one(given):
        path.write_bytes(given)
        return act()

    return one


def _of_records(place):
    own, isic = whole_inputs.folders(place)["records"], whole_inputs.FIXTURES / "isic"
    copies = {name: place / "damaged" / name for name in ("own", "isic")}
    for copy, source in zip(copies.values(), (own, isic), strict=True):
        shutil.copytree(source, copy, dirs_exist_ok=True)

    def read(folder):
        found = manifest.read_manifest(folder)
        asked = {"raw_dir": "x", "seed": 1}
        for entry in found.subjects:
            found.subject(entry.name)
        preparation.still_skipped(found, [], folder)
        for network in ("ensemble_0", "cv_0"):
            with contextlib.suppress(UserError):  # too few
                networks.subjects(networks.get(network), found, False)
        settings.resolve(networks.get("baseline"), found, settings.defaults())
        assert len(found.identity) == 64 and found.patients is not None and found.split("train") is not None
        with contextlib.suppress(UserError):  # another configuration
            preparation.require_same(found, asked)
        return found

    for name, folder in copies.items():
        documents = (whole_inputs.read(folder / "dataset.json"),)
        yield Target(
            f"dataset.json of records ({name})",
            json_of(*documents),
            _written(folder / "dataset.json", lambda f=folder: read(f)),
        )
    at, plan, request, shard, part = whole_inputs.begun(place)

    def joined(given):
        again = place / "damaged" / "begun"
        shutil.rmtree(again, ignore_errors=True)
        shutil.copytree(at, again)
        (again / shards.PARTS / f"{plan[0].name}.json").write_bytes(given)
        shards.shard_done(plan[0], again)
        shards.made(plan[:1], again, ()).noticed.lines()
        return shards.take_apart(plan, again, request)

    yield Target("JSON of a shard", json_of(shard), joined)
    yield Target("part", bytes_of(part), _part(place / "damaged" / "parts"))
    head = json.loads(artefacts_head(part))
    yield Target("head of a part", json_of(head), _part_head(place / "damaged" / "heads", part))
    asked = {"schema_version": 2, "dataset": "own", "raw_dir": "x", "seed": 100, "split_file": "", "subjects": "5 (a)"}
    path = place / "damaged" / "claim" / preparation.PREPARE
    yield Target("prepare.json", json_of(asked), _written(path, lambda: preparation.check(path.parent, asked)))


def artefacts_head(part):
    """The first record of a part."""
    import io

    from data_prep import tf_example

    return next(tf_example.records(io.BytesIO(part)))


def _part(folder):
    def act(given):
        folder.mkdir(parents=True, exist_ok=True)
        parts.path(folder, "a").write_bytes(given)
        return parts.whole(parts.path(folder, "a"))

    return act


def _part_head(folder, part):
    """A document whose own checksums are right."""
    from data_prep import tf_example

    rest = part[len(b"".join(tf_example.framed(artefacts_head(part)))) :]

    def act(given):
        folder.mkdir(parents=True, exist_ok=True)
        parts.path(folder, "a").write_bytes(b"".join(tf_example.framed(given)) + rest)
        found = parts.whole(parts.path(folder, "a"))
        next(parts.read(folder, parts.Place("a.part", 0, 0)))
        return found

    return act


def _of_networks(place):
    run = place / "damaged" / "run"
    shutil.copytree(whole_inputs.FIXTURES / "run", run, dirs_exist_ok=True)
    folder = runs.network_dir(run, "baseline")
    facts = made_up.manifest()

    def read_config():
        found = runs.read_config(folder)
        runs.configuration(run, "baseline")
        asked = settings.resolve(networks.get("baseline"), facts, settings.defaults())
        runs.difference(found, asked, facts.is_same)
        assert found.document() and found.smallest and found.input is not None and found.dtype_policy
        found.task.load_reader()
        assert found.task.values and found.task.class_of
        return claim.as_begun(folder, asked, settings.defaults())

    whole = whole_inputs.read(folder / "config.json"), whole_inputs.config()
    yield Target(
        "config.json of a network",
        json_of(*whole),
        _both(folder / "config.json", read_config, folder / "finished.json"),
    )

    other = place / "damaged" / "run2"
    shutil.copytree(whole_inputs.FIXTURES / "run", other, dirs_exist_ok=True)
    done = runs.network_dir(other, "baseline") / "finished.json"

    def of_finished():
        runs.all_weights(other)
        runs.weights_checksum(other, "baseline")
        return runs.require_network(other, "baseline", runs.Command("train"))

    yield Target("finished.json", json_of(*whole_inputs.finished()), _written(done, of_finished))
    under_way = place / "damaged" / "run3" / "networks" / "baseline"
    shutil.copytree(whole_inputs.FIXTURES / "unfinished" / "networks" / "baseline", under_way, dirs_exist_ok=True)

    def of_resume():
        job = jobs.TrainJob("train", (), 1.0, networks.get("baseline"), facts, settings.defaults())
        job.part_done(under_way.parents[1])
        claim.release(under_way, claim.Diverged("loss"))
        (under_way / claim.DIVERGED).unlink(missing_ok=True)
        claim.require_state(under_way, {"state_sha256": artefacts.sha256(under_way / runs.RESUME)}, "brats")

    yield Target("resume.json", json_of(*whole_inputs.resume()), _written(under_way / "resume.json", of_resume))


def _both(path, act, without):
    """The same with another file out of the way, which would vouch for the first."""

    def one(given):
        without.unlink(missing_ok=True)
        path.write_bytes(given)
        return act()

    return one


def _of_maps(place):
    run = place / "damaged" / "run4"
    shutil.copytree(whole_inputs.FIXTURES / "run", run, dirs_exist_ok=True)
    index = runs.predictions_dir(run, METHOD) / "predictions.json"
    before = whole_inputs.read(index)

    def of_predictions():
        try:
            sources.run_maps(run, "isic", METHOD)
            recalibration.made_by(runs.read_predictions(index.parent) or {})
        finally:
            artefact.is_done(index.parent, whole_inputs.predictions(), lambda identity: False)
        return runs.require_current(run, index.parent, runs.Command("predict"))

    yield Target("predictions.json", json_of(before, whole_inputs.predictions()), _written(index, of_predictions))
    patient = place / "damaged" / "patient.json"

    def of_patient():
        stored = artefact.read(patient)
        artefact.is_outdated(stored, whole_inputs.predictions(), {"baseline": set()}, set(), lambda identity: False)
        artefacts.difference(stored.get("read_as", {}), {"order": "LPS"})
        return artefact.difference(stored, whole_inputs.predictions())

    yield Target("JSON of a patient's maps", json_of(whole_inputs.patient()), _written(patient, of_patient))
    evaluated = runs.evaluation_dir(run) / "summary.json"

    def of_summary():
        folder = evaluated.parent
        (folder / "table1.md").write_text("| a |")
        finished.is_done(folder, [METHOD], "test", [index])
        jobs.EvaluateJob("evaluate", (), 1.0, (METHOD,), "test", ()).flags(run)
        stored = summary.upgrade(finished.read(evaluated, finished.shapes.Done))
        finished.damaged(folder, stored)
        artefacts.difference(stored["settings"], finished.Request(folder).settings)
        seeds.read(run, [METHOD], [1])
        finished.find(finished.Request(folder), [METHOD], {}, None)

    yield Target("summary.json", json_of(whole_inputs.summary()), _written(evaluated, of_summary))
    fitted = recalibration.path(run, METHOD)

    def of_recalibration():
        found = recalibration.stored(run, METHOD)
        with contextlib.suppress(UserError):  # of other maps
            recalibration.require(run, METHOD, "isic", whole_inputs.predictions())
        for region in found.guarantees:
            found.volume(region, 100.0), found.threshold(region, 0.1)
        return found.fitted_on, found.command()

    yield Target("recalibration", json_of(whole_inputs.recalibration()), _written(fitted, of_recalibration))
    fits = triage.stored_at(run)

    def of_fits():
        for fit in triage.read(fits).methods.values():
            for name in fit.regions:
                known = triage.Known(fits=fit.regions)
                json.dumps(dataclasses.asdict(triage.judge(known, name, {"top": 0.3}, 5)), allow_nan=False)

    yield Target("review.json", json_of(whole_inputs.fits()), _written(fits, of_fits))
    drawn = {"schema": spread.SCHEMA, "regions": {"whole": {"voxels": [1.0, 2.0], "pairwise_dice": 0.5}}}
    volumes = spread.path(place / "damaged", "a")
    yield Target(
        "volumes of samples", json_of(drawn), _written(volumes, lambda: spread.read(volumes.parent, "a", ["whole"]))
    )


def _of_users(place):
    made = whole_inputs.folders(place)
    for name, reader in (("nnunet", nnunet), ("decathlon", decathlon)):
        folder = place / "damaged" / made[name].name
        shutil.copytree(made[name], folder, dirs_exist_ok=True)

        def read(folder=folder, reader=reader):
            task, _ = datasets.find(str(folder), None)
            found = reader.find(folder)
            reader.folds(folder)
            return splits.assign(found, task.ratio)

        yield Target(
            f"dataset.json ({name})",
            json_of(whole_inputs.read(folder / "dataset.json")),
            _written(folder / "dataset.json", read),
        )
    folder = place / "damaged" / "with_words"
    shutil.copytree(made["nnunet"], folder, dirs_exist_ok=True)
    words = {
        "title": "Own", "unit": "voxels", "channels": {"CT": {"normalise": "zscore", "outside": -1000}},
        "classes": {"1": "organ"},
        "regions": [{"name": "all", "title": "All", "classes": ["organ", 2]}], "inside": {"channel": "CT", "above": -900},
        "ignore": None, "trained": "all", "axis": 2, "spacing": [1.5, 1.5], "frame": [16, 16], "ratio": [3, 1, 1], "per_shard": 2,
        "show": ["CT"],
    }  # fmt: skip

    def with_words():
        task, _ = datasets.find(str(folder), None)
        task = grid.fitted(task, {"a": grid.Place((5, 12, 10), own_folders.AFFINE)})
        if any(one.normalise == "ct" for one in task.channels):  # its window is measured first
            return task
        return nnunet.load(nnunet.find(folder)[0], {}, task)

    yield Target("tfunc.json", json_of(words), _written(folder / "tfunc.json", with_words))
    names = [f"case_{index:02d}" for index in range(5)]
    folds = [{"train": names[1:], "val": names[:1]}, {"train": names[:1], "val": names[1:]}]
    path = place / "damaged" / "folds" / own_folds.FILE
    yield Target("splits_final.json", json_of(folds), _written(path, lambda: own_folds.read(path.parent, names)))
    flat = {"train": names[:3], "valid": names[3:4], "test": names[4:], "calibration": None}
    nested = {"train": [names[:2], names[1:3]], "valid": [[names[2]], [names[0]]], "test": [[names[4]], [names[4]]]}
    several = {"train": [names[:2], names[1:3]], "valid": [[names[3]]] * 2, "test": None}
    split, found = place / "damaged" / "split.json", nnunet.find(made["nnunet"])

    def of_split():
        split_files.read_all([split])
        return splits.assign(found, (3, 1, 1), split_files=[split], allow_missing=True)

    yield Target("split file", json_of(flat, nested, several), _written(split, of_split))
    drawn = place / "damaged" / "phantom"
    phantom.write("isic", drawn, subjects=3, shape=(16, 16), seed=1)
    told = whole_inputs.read(drawn / "phantom.json")
    yield Target(
        "phantom.json",
        json_of(told),
        _written(drawn / "phantom.json", lambda: phantom.write("isic", drawn, 3, (16, 16), 1)),
    )
