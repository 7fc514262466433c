"""A recalibration is that of its voxels, counted otherwise; it is made once, remade when its maps change, never on test."""

import dataclasses
import json
import math

import msgspec
import numpy as np
import pytest
from made_up_maps import serial
from made_up_run import CALIBRATION, METHOD, write_run

from data_prep import records
from data_prep.base import artefacts
from data_prep.base.errors import NotReady, UserError
from tfunc import runs
from tfunc.scoring import (
    calibration_voxels,
    conformal,
    evaluate,
    metrics,
    odds,
    recalibrate,
    recalibration,
    ridge,
    sources,
    temperature,
)
from tfunc.scoring.truth import RecordsTruth

DATASETS = ("brats", "brats_regions")


@pytest.fixture(scope="session")
def calibrated(made_once, calibration_data):
    """{task: (run, `Recalibrated`)} of made-up maps that are too sure."""

    def make(folder):
        for name, data in calibration_data.items():
            write_run(folder / name, data)
            run(folder / name, data, name)

    folder = made_once("calibrated", make)
    return {name: (folder / name, recalibration.stored(folder / name, METHOD)) for name in DATASETS}


def run(run_dir, data_dir, dataset="brats", method=METHOD, split="calibration", said=None, **more):
    say = (said if said is not None else []).append
    return recalibrate.recalibrate(run_dir, data_dir, dataset, method, serial, split, say=say, **more)


def voxels_of(run_dir, data_dir, dataset):
    """[`Voxels`] of all calibration subjects."""
    truth = RecordsTruth(str(data_dir))
    maps = sources.run_maps(run_dir, dataset, METHOD, "calibration", truth)
    return maps, truth, [calibration_voxels.read(truth, maps, name) for name in maps.subjects]


@pytest.mark.parametrize("dataset", DATASETS)
def test_temperature_of_the_set(calibrated, calibration_data, dataset):
    """The set's temperature is that of all its voxels inside the mask at once; each subject's likewise, of its own."""
    run_dir, found = calibrated[dataset]
    _, _, every = voxels_of(run_dir, calibration_data[dataset], dataset)

    def exact(some):
        label = np.concatenate([one.within(one.label) for one in some])
        parts = [[one.within(channel) for channel in one.channels] for one in some]
        channels = [np.concatenate(part) for part in zip(*parts, strict=True)]
        probability = channels[0] if len(channels) == 1 else np.stack(channels, axis=-1)
        return temperature.temperature(label, probability=probability)

    expected = exact(every)
    assert found.temperature.temperature == pytest.approx(expected.temperature, rel=1e-5)
    assert found.temperature.likelihood == pytest.approx(expected.likelihood, abs=1e-6)
    assert found.temperature.before == pytest.approx(expected.before, abs=1e-6)
    assert expected.temperature > 1.3  # they are too sure
    for name, one in zip(found.subjects, every, strict=True):
        assert found.temperatures[name].temperature == pytest.approx(exact([one]).temperature, rel=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("dataset", DATASETS)
def test_calibration_is_the_evaluations(calibrated, calibration_data, dataset):
    """ECE before and after is, subject by subject, what evaluation finds on the same maps, as written and at the temperature."""
    run_dir, found = calibrated[dataset]
    maps, truth, _ = voxels_of(run_dir, calibration_data[dataset], dataset)
    for way, chosen in (("before", None), ("temperature", found.temperature.temperature)):
        read = dataclasses.replace(maps, temperature=chosen)
        with serial(0) as pool:
            evaluated = evaluate.evaluate([read], truth, pool, say=lambda line: None)
        own = found.calibration[way]
        np.testing.assert_allclose(list(own.by_subject.values()), evaluated.scores[METHOD]["ece"], rtol=1e-6)
        assert own.subjects == pytest.approx(float(evaluated.scores[METHOD].mean("ece")), rel=1e-6)
        regions = evaluated.regions or {"whole": evaluated}
        for name, one in regions.items():
            pooled = metrics.calibration(one.scores[METHOD].pooled)
            assert own.regions[name].dataset == pytest.approx(
                metrics.calibration_error(one.scores[METHOD].pooled), rel=1e-6
            )
            assert list(own.curves[name].count) == pooled.count.tolist()
    after, before = found.calibration["temperature"], found.calibration["before"]
    assert after.dataset < before.dataset and after.subjects < before.subjects
    assert found.calibration["isotonic"].dataset < 0.005  # fitted on these very voxels


def test_subjects_temperatures_are_left_out(calibrated, calibration_data):
    """The temperature of a subject is predicted by the others alone; the errors are those of log T, each left out."""
    run_dir, found = calibrated["brats"]
    _, _, every = voxels_of(run_dir, calibration_data["brats"], "brats")
    features = np.array([calibration_voxels.features(one) for one in every])
    values = np.log([found.temperatures[name].temperature for name in found.subjects])
    left_out = ridge.left_out(features, values)
    np.testing.assert_allclose(
        [math.log(found.temperatures[name].left_out) for name in found.subjects], left_out, rtol=1e-6
    )
    others = [np.delete(values, index).mean() for index in range(len(values))]
    assert found.by_subject.error == pytest.approx(np.sqrt(np.mean((left_out - values) ** 2)))
    assert found.by_subject.constant_error == pytest.approx(np.sqrt(np.mean((others - values) ** 2)))
    whole = ridge.Ridge(*(np.array(getattr(found.by_subject, name)) for name in ("mean", "scale", "weights")),
                        found.by_subject.intercept, found.by_subject.lowest, found.by_subject.highest)  # fmt: skip
    assert whole.predict(features[0]) == pytest.approx(ridge.fit(features, values).predict(features[0]))


@pytest.mark.parametrize("dataset", DATASETS)
def test_guarantees_by_counting(calibrated, calibration_data, dataset):
    """Thresholds and widths are those of the voxels counted one by one, in every region, on probabilities as predicted."""
    run_dir, found = calibrated[dataset]
    _, _, every = voxels_of(run_dir, calibration_data[dataset], dataset)
    for index, region in enumerate(every[0].task.regions):
        parts = [list(one.regions(one.channels))[index] for one in every]
        lesions = [p[label] for _, p, label, _ in parts if label.any()]
        own = found.guarantees[region.name]
        assert own.lesions == len(lesions)
        for one in own.thresholds:
            if one.needed > len(lesions):
                assert one.threshold is None and one.needed == math.ceil(round(1 / one.alpha - 1, 9))
                continue

            def risk(threshold, lesions=lesions):
                missed = [(p < np.float32(threshold)).mean() for p in lesions]
                return (sum(missed) + 1) / (len(lesions) + 1)

            assert risk(one.threshold) <= one.bound + 1e-9 <= one.alpha + 2e-9
            later = odds.thresholds()[np.searchsorted(odds.thresholds(), np.float32(one.threshold), side="right") + 3]
            assert risk(later) > one.alpha - 0.01  # the largest there is, but for what cells round off
        true = np.array([label.sum() for _, _, label, _ in parts])
        made = np.array([made.sum() for _, _, _, made in parts])
        residuals = np.sort(np.abs(np.log((true + 100) / (made + 100))))
        assert own.volume.width == pytest.approx(residuals[math.ceil(0.9 * 13) - 1])
        assert own.volume.coverage == pytest.approx(math.ceil(0.9 * 13) / 13) and own.volume.subjects == CALIBRATION
        dices = [2 * (label & made).sum() / max(label.sum() + made.sum(), 1) for _, _, label, made in parts]
        dices = [1 if not (label | made).any() else dice for dice, (*_, label, made) in zip(dices, parts, strict=True)]
        expected = [2 * p[made].sum() / (p.sum() + made.sum()) if p.any() else 1 for _, p, _, made in parts]
        assert own.dice.width == pytest.approx(np.sort(np.abs(np.subtract(dices, expected)))[math.ceil(0.9 * 13) - 1])


def test_alphas_and_intervals_that_are_asked_for(calibrated):
    """What was not fitted or can't be certified is refused in a line; an interval is of the segmented volume."""
    _, found = calibrated["brats"]
    assert found.threshold("whole", 0.2) == found.guarantees["whole"].thresholds[2].threshold
    with pytest.raises(UserError, match=r"expected 19 subjects with a lesion, .* found 12; these allow 0.0769 or more"):
        found.threshold("whole", 0.05)
    with pytest.raises(
        UserError, match=r"one of 0.05, 0.1, 0.2; .*--calibration_split=calibration --alphas=0.05,0.1,0.15,0.2"
    ):
        found.threshold("whole", 0.15)
    low, high = found.volume("whole", 200)
    assert (low, high) == conformal.volume_interval(200, found.guarantees["whole"].volume.width)


def test_few_subjects(calibration_data, tmp_path):
    """One subject: a temperature, no regression, no guarantee; the interval is unbounded, null in the file, which is no NaN."""
    write_run(tmp_path, calibration_data["brats"], "valid")
    found = run(tmp_path, calibration_data["brats"], split="valid").found
    assert found.approximate and found.by_subject is None and "by_subject" not in found.calibration
    assert all(one.threshold is None for one in found.guarantees["whole"].thresholds)
    assert found.guarantees["whole"].volume.width is None and found.guarantees["whole"].volume.coverage == 1
    assert found.volume("whole", 100) == (0, None)
    assert recalibration.stored(tmp_path, METHOD) == found


def test_made_once_and_remade(calibration_data, tmp_path):
    """The same asked again is found; maps that were predicted again make it out of date; other settings are refused."""
    data = calibration_data["brats"]
    write_run(tmp_path, data)
    first = run(tmp_path, data)
    assert first.fresh and not first.found.approximate and first.found.split == "calibration"
    assert not run(tmp_path, data).fresh
    with pytest.raises(UserError, match=r"alphas \[0.05, 0.1, 0.2\] \(there\) against \[0.3\] \(asked for\); .*remove"):
        run(tmp_path, data, alphas=(0.3,))
    index = runs.predictions_dir(tmp_path, METHOD, "calibration") / runs.PREDICTED
    artefacts.write_json(index, {**artefacts.read_json(index), "seed": 21})
    said = []
    assert run(tmp_path, data, said=said).fresh and "out of date" in said[0]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"split": "test"}, "a split that chose nothing, of calibration, valid, found one on which all is judged"),
        ({"split": "train"}, "found one on which networks were trained"),
        ({"split": "heldout"}, "found one without labels of its own"),
        ({"split": "other"}, r"a split with subjects \(calibration, valid\), found none"),
        ({"method": "aleatoric"}, "a method whose map is a probability .*found maps of kind sigma"),
        ({"method": "auxiliary_feat"}, "found maps of kind error"),
        ({"alphas": (1.5,)}, "--alphas: expected shares between 0 and 1"),
    ],
)
def test_refused(calibrated, calibration_data, changes, match):
    """Never on test or train, never for a sigma or an error, in one line."""
    with pytest.raises(UserError, match=match):
        run(calibrated["brats"][0], calibration_data["brats"], **changes)


def test_predictions_come_first(calibration_data, tmp_path):
    """Without the split's maps, or with some, the command that makes them is named."""
    data = calibration_data["brats"]
    with pytest.raises(NotReady, match=r"launch/predict.py --method=baseline_mc --dataset=brats --split=calibration"):
        run(tmp_path, data)
    names = [entry.name for entry in records.read_manifest(data).split("calibration")]
    write_run(tmp_path, data, only=names[:5])
    with pytest.raises(NotReady, match=r"found 5 of 12; run .*--samples=3 --seed=20"):
        run(tmp_path, data)


def test_a_recalibration_is_of_its_networks(calibrated, tmp_path):
    """It is applied to maps of the same weights, samples and draws only; a missing one names its command."""
    run_dir, found = calibrated["brats"]
    made = dict(found.made_by)
    assert recalibration.require(run_dir, METHOD, "brats", {**made, "seed": 3}) == found
    with pytest.raises(NotReady, match=r"one of other weights; run `python launch/recalibrate.py --method=baseline_mc"):
        recalibration.require(run_dir, METHOD, "brats", {**made, "networks": {"baseline": "1" * 64}})
    with pytest.raises(UserError, match=r"samples 3 \(there\) against 20 \(asked for\); predict as those were"):
        recalibration.require(run_dir, METHOD, "brats", {**made, "samples": 20})
    with pytest.raises(NotReady, match="the recalibration of baseline_mc, found none; run"):
        recalibration.require(tmp_path, METHOD, "brats", made)


@pytest.mark.parametrize(
    ("change", "match"), [({"schema": 2}, "schema 1, found 2"), ({"alphas": "x"}, "alphas: expected array, found str")]
)
def test_another_form_is_refused(calibrated, tmp_path, change, match):
    """A file of a later version, or one that was edited into another form, is refused by name."""
    run_dir, _ = calibrated["brats"]
    document = artefacts.read_json(recalibration.path(run_dir, METHOD))
    artefacts.write_json(recalibration.path(tmp_path, METHOD), {**document, **change})
    with pytest.raises(UserError, match=match):
        recalibration.stored(tmp_path, METHOD)
    assert json.loads(msgspec.json.encode(recalibration.stored(run_dir, METHOD))) == document


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("temperature", "temperature"), 0, "a temperature of 0"),
        (("temperature", "temperature"), -1, "a temperature of -1"),
        (("temperature", "temperature"), float("nan"), "NaN, which is no number in JSON"),
        (("method",), "baseline", "one of baseline"),
        (("subjects",), [], "no subjects"),
        (("calibration",), {}, "no calibration called before"),
        (("guarantees", "whole", "thresholds", 0, "threshold"), 7, "a threshold of whole outside"),
        (("guarantees", "whole", "volume", "width"), -1, "an interval of whole"),
    ],
)
def test_an_edited_file_is_refused(calibrated, tmp_path, where, value, message):
    """Numbers that no fit gives, and another method's file, are one line that says what to do, not maps at that temperature."""
    document = msgspec.to_builtins(calibrated["brats"][1])
    inner = document
    for key in where[:-1]:
        inner[key] = list(inner[key]) if isinstance(inner[key], tuple) else inner[key]
        inner = inner[key]
    inner[where[-1]] = value
    file = recalibration.path(tmp_path, METHOD)
    file.parent.mkdir()
    file.write_text(json.dumps(document))
    with pytest.raises(UserError, match=f"{message}.*(recalibrate again|remove it or make it anew)"):
        recalibration.stored(tmp_path, METHOD)
