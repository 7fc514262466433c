"""The report of several classes: one chooser for all, numbers of each part, and voxels that give them in a browser."""

import json
import re

import nibabel
import numpy as np
import pytest
from made_up_classes import softmax
from made_up_maps import read_csv, serial, undrawn, without_pdf, write

from data_prep import convert
from data_prep.base import artefacts, notices, pool
from data_prep.phantom import write as phantom
from data_prep.readers import nifti
from tfunc import runs
from tfunc.reporting import class_layers, class_voxels, coarse_maps, pictures, publish, report, tensorboard, viewer
from tfunc.scoring import sources
from tfunc.scoring.counts import THRESHOLDS
from tfunc.scoring.evaluate import evaluate
from tfunc.scoring.truth import RecordsTruth

KINDS = {"baseline": "probability", "auxiliary_feat": "error", "aleatoric": "sigma"}
NAMES = ["mean", "whole", "core", "enhancing", "classes"]


@pytest.fixture(scope="module")
def data_dir(brats_raw, made_once):
    """The phantom's records by regions: three classes beside the background."""

    def make(folder):
        names = [phantom.subject_id("brats", index) for index in range(7)]
        split = folder / "split.json"
        split.write_text(json.dumps({"train": names[:3], "valid": names[3:5], "test": names[5:]}))
        convert.convert("brats_regions", brats_raw, folder / "data", split_files=[str(split)], say=lambda line: None)

    return made_once("reported_regions", make) / "data"


def predict(run_dir, data_dir, split="test"):
    """Made-up maps of every kind of a split's subjects, as a network's: -> the truth."""
    truth, rng = RecordsTruth(str(data_dir)), np.random.default_rng(0)
    values = np.array(truth.task.values, np.uint8)
    names = [entry.name for entry in truth.manifest.split(split)]
    for method, kind in KINDS.items():
        folder = runs.predictions_dir(run_dir, method, split)
        for name in names:
            subject = truth.subject(name)
            near = np.where(subject.image.any(axis=-1), 1.2, 0.05)
            channels = softmax(subject.label, rng, noise=near, sure=3.5)
            prediction = channels.argmax(axis=0)
            affine = nifti.read_header(subject.source).affine
            write(folder / f"{name}_prediction.nii.gz", values[prediction], affine)
            doubt = (1 - channels.max(axis=0)) * rng.random(subject.label.shape)
            write(folder / f"{name}_uncertainty.nii.gz", doubt.astype(np.float32), affine)
            write(folder / f"{name}_probability.nii.gz", channels, affine)
        artefacts.write_json(folder / "predictions.json", {"kind": kind, "subjects": names})
    return truth


@pytest.fixture(scope="module")
def run(data_dir, tmp_path_factory):
    """(the evaluation's folder, `Finished`, `Evaluated`, the truth) of made-up maps."""
    run_dir = tmp_path_factory.mktemp("by_regions")
    truth = predict(run_dir, data_dir)
    with pytest.MonkeyPatch.context() as patch:
        undrawn(patch)
        request = publish.Request(run_dir / "evaluation", "brats_regions")
        finished = publish.evaluate_run(request, run_dir, data_dir, list(KINDS), serial)
    with pool.executor(1) as workers:
        evaluated = evaluate([sources.run_maps(run_dir, "brats_regions", m) for m in KINDS], truth, workers)
    return run_dir / "evaluation", finished, evaluated, truth


def page_data(folder):
    return json.loads(re.search(r'id="data">(.*?)</script>', (folder / report.NAME).read_text(encoding="utf-8"))[1])


def test_every_part_is_in_the_page(run):
    """A table, notes, curves and subjects of each part; the numbers are those of the files, and the first part's stand first."""
    folder, finished, *_ = run
    text, found = (folder / report.NAME).read_text(encoding="utf-8"), page_data(folder)
    assert text.count("<select data-choose>") == 6 and text.count('data-part="4" hidden') == 5
    assert [part["title"] for part in found["parts"]] == [
        "mean over regions", "whole tumour", "tumour core", "enhancing tumour", "class map",
    ]  # fmt: skip
    assert found["methods"] == found["parts"][0]["methods"]
    rows = {(row["region"], row["method"], row["subject"]): row for row in read_csv(folder / "subjects.csv")}
    for name, part in zip(NAMES, found["parts"], strict=True):
        summary = finished.summary
        of = summary if name == "mean" else summary["classes"] if name == "classes" else summary["regions"][name]
        for method in part["methods"]:
            cells = of["methods"][method["name"]]["table1"]
            at = f"{cells['ue']['threshold']:.2f}"
            for index, subject in enumerate(found["subjects"]):
                row = rows[name, method["name"], subject]
                assert method["subjects"]["dice"][index] == float(row["dice"])
                assert method["subjects"]["ue"][index] == float(row[f"ue_{at}"])
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_voxels_give_the_counts(run):
    """Inside and outside the crop, each view's voxels add up to the counts of its part."""
    _, _, evaluated, truth = run
    name = evaluated.subjects[0]
    packed = viewer.pack(evaluated, truth, name)
    arrays = {key: viewer.unpack(text) for key, text in packed.arrays.items()}
    for index, maps in enumerate(evaluated.maps):
        own = maps.kind == "probability"
        for view in (None, 0, 1, 2):
            level = arrays[class_voxels.key("map", index, view if own else None)].astype(int) % 16
            segmented, label = arrays[f"seg-{index}"], arrays["truth"]
            if view is None:
                found, target, of = segmented != label, np.zeros(len(label), int), evaluated.classes
            else:
                region = evaluated.task.regions[view]
                found, target = np.isin(segmented, region.classes), np.isin(label, region.classes)
                of = evaluated.regions[region.name]
            total = np.array(packed.entry["outside"][class_voxels.key("", index, view)])
            np.add.at(total, level * 4 + found * 2 + target, 1)
            np.testing.assert_array_equal(total, of.counts[maps.method][name].uncertainty.sum(axis=1).ravel())
        coarse = [key for key in arrays if key.startswith(f"prob-{index}")]
        assert coarse == ([] if own else [f"prob-{index}-{region}" for region in range(3)])
    assert len(arrays) == 2 + 3 + 4 + 2 * (
        1 + 3
    )  # truth, image, classes, levels of one probability, two uncertainties with theirs


def test_a_probability_that_does_not_fit_is_left_out(run, tmp_path):
    """Beside an uncertainty of several classes: other channels than classes, said; the evaluation does without it."""
    _, _, evaluated, truth = run
    name, task = evaluated.subjects[0], evaluated.task
    moved = sources.Maps("odd", "error", str(tmp_path), (name,))
    found = truth.read(name)
    with notices.gathered() as said:
        assert coarse_maps.arrays(moved, 0, name, found, task) == {} and not said.remarks
        odd = np.zeros((2, *found.label.shape), np.float32)
        write(tmp_path / f"{name}_probability.nii.gz", odd, found.space.affine)
        assert coarse_maps.arrays(moved, 0, name, found, task) == {}
    assert "leaves it out" in json.dumps(said.remarks)


@pytest.mark.long
def test_thresholds_of_the_validation_set(run, data_dir, tmp_path, monkeypatch):
    """Chosen there for each part by itself, and named in each table."""
    undrawn(monkeypatch)
    for split in ("test", "valid"):
        predict(tmp_path, data_dir, split)
    names = {"mean": "table1.csv", **{name: f"table1_{name}.csv" for name in NAMES[1:]}}
    requests = {
        "valid": publish.Request(tmp_path / "on_valid", "brats_regions", split="valid"),
        "test": publish.Request(tmp_path / "chosen", "brats_regions", threshold_split="valid"),
    }
    for request in requests.values():
        publish.evaluate_run(request, tmp_path, data_dir, list(KINDS), serial)
    for file in names.values():
        valid, test = ({row["method"]: row for row in read_csv(tmp_path / at / file)} for at in ("on_valid", "chosen"))
        assert {m: row["ue_threshold"] for m, row in valid.items()} == {
            m: row["ue_threshold"] for m, row in test.items()
        }


def test_tensorboard_has_regions(run):
    """A trial of each method on the mean, on each region and on the class map, of what each of them has."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tensorboard.write(run[1])

    def tags(*place):
        return set(EventAccumulator(str(folder.joinpath("methods", *place))).Reload().Tags()["tensors"])

    for place in ((), ("whole",), ("core",), ("enhancing",)):
        assert "when evaluated/dice" in tags("baseline", *place) and "when evaluated/ue" in tags("aleatoric", *place)
    assert "when evaluated/ece_top" in tags("aleatoric", "classes")
    assert "when evaluated/ece_class" in tags("baseline", "classes")
    assert "when evaluated/ece_class" not in tags("aleatoric", "classes")  # undefined


@pytest.mark.long
def test_pictures_by_region(data_dir, tmp_path, monkeypatch):
    """Figure 1 of each region and of the top label, each region's lesions, and an overlay in the regions' colours."""
    without_pdf(monkeypatch)
    predict(tmp_path, data_dir)
    request = publish.Request(tmp_path / "evaluation", "brats_regions")
    finished = publish.evaluate_run(request, tmp_path, data_dir, ["baseline"], serial)
    stems = {path.stem for path in finished.pictures if path.suffix == ".png"}
    figures = {f"figure1{name}" for name in ("", "_whole", "_core", "_enhancing", "_classes")}
    figures |= {f"lesions_{name}" for name in ("whole", "core", "enhancing")}
    assert stems == figures | {"thresholds", "calibration", "overlay", "failures", "review"} and all(
        p.exists() for p in finished.pictures
    )
    text = finished.report.read_text(encoding="utf-8")
    assert "Figure 1 of tumour core" in text and "tumour core. Lesions over all subjects" in text
    assert not publish.evaluate_run(request, tmp_path, data_dir, ["baseline"], serial).fresh


def test_the_window_of_a_picture():
    """A channel's window where there is one; else percentiles, of all voxels where what lies outside is not 0."""
    import msgspec

    from data_prep.tasks import TASKS, Channel, Window

    image = np.concatenate([np.full(500, -1000.0), np.linspace(-160, 240, 500), np.zeros(100)])
    task = TASKS["brats"]

    def windowed(**channel):
        return pictures.windowed(
            image, msgspec.structs.replace(task, channels=(Channel("ct", "ct", **channel),), show=("ct",))
        )

    found = windowed(outside=-1000.0, window=Window(-160.0, 240.0, 40.0, 80.0))
    np.testing.assert_allclose(found, np.clip((image + 160) / 400, 0, 1), atol=1e-6)
    assert windowed(outside=-1000.0)[:500].max() == 0 and 0.75 < windowed(outside=-1000.0)[-1] < 0.85
    np.testing.assert_array_equal(pictures.windowed(image, task), pictures.windowed(image))  # 0 is what lies outside


# ------------------------------------------------------------------------------------------------------------- browser


def ready(tab, **state):
    """Waits until the viewer shows this state: parts of [subject, method, slice, threshold, part]."""
    parts = ["subject", "method", "slice", "threshold", "part"]
    shown = "(document.getElementById('open-viewer').dataset.ready || '').split(' ')"
    tests = [f"{shown}[{parts.index(name)}] === '{value}'" for name, value in state.items()]
    tab.wait(" && ".join([f"{shown}.length === 5", *tests]))


def opened(tab, path, address=""):
    tab.complaints.clear(), tab.loads.clear()
    tab.open("about:blank")
    tab.open(path.as_uri() + address)
    ready(tab)


def number(tab, name):
    value = tab.evaluate(f"document.getElementById('{name}').dataset.value")
    return float(value) if value else None


def test_numbers_in_the_browser(run, tab):
    """At every part, method and some thresholds: the numbers of subjects.csv, another picture, and no complaint."""
    folder = run[0]
    opened(tab, folder / report.NAME)
    rows = {(row["region"], row["method"], row["subject"]): row for row in read_csv(folder / "subjects.csv")}
    subject, methods = tab.evaluate("data.viewer[0].name"), tab.evaluate("data.methods.map((method) => method.name)")
    seen = set()
    for part, name in enumerate(NAMES):
        for method, title in enumerate(methods):
            for index in (1, 5):
                tab.evaluate(f"change({{part: {part}, method: {method}, threshold: {index}}})")
                ready(tab, part=part, method=method, threshold=index)
                row = rows["classes" if name == "mean" else name, title, subject]
                at = f"{THRESHOLDS[index]:.2f}"
                assert number(tab, "dice") == float(row["dice"])
                corrected = row[f"corrected_dice_{at}"]
                assert number(tab, "corrected") == (float(corrected) if corrected else None)
                assert number(tab, "overlap") == (float(row[f"ue_{at}"]) if row[f"ue_{at}"] else None)
            seen.add(tab.evaluate("document.getElementById('view-0').toDataURL()"))
        shown = "[...document.querySelectorAll('#table1 [data-part]:not([hidden])')].map((one) => one.dataset.part)"
        assert set(tab.evaluate(shown)) == {str(part)}
        assert (
            tab.evaluate("[...document.querySelectorAll('select[data-choose]')].map((one) => one.value)")
            == [str(part)] * 6
        )
    assert len(seen) >= 8 and tab.complaints == []
    assert tab.evaluate("document.querySelectorAll('#region-colours i').length") == 3


def test_the_chooser_and_the_address(run, tab):
    """The chooser changes all; the address names the region, and opens with it."""
    opened(tab, run[0] / report.NAME)
    tab.evaluate(
        "const one = document.querySelector('#subjects select[data-choose]'); one.value = '2';"
        "one.dispatchEvent(new Event('change'))"
    )
    ready(tab, part=2)
    tab.wait("location.hash.includes('region=tumour+core')")
    opened(tab, run[0] / report.NAME, "#region=enhancing%20tumour")
    ready(tab, part=3)
    assert "enhancing tumour" in tab.evaluate("document.getElementById('state').textContent")
    tab.evaluate("change({part: 0, measure: 'bnf'})")
    ready(tab, part=0)
    tab.evaluate("change({part: 4})")  # a class map has no such curve
    ready(tab, part=4)
    assert tab.evaluate("state.measure") == "ue" and tab.complaints == []


def test_volumes_and_classes_in_the_browser(run, tab):
    """Each region's voxels of segmentation and label, cropped ones included; a voxel's classes by name; probability by region."""
    folder, _, evaluated, truth = run
    opened(tab, folder / report.NAME)
    name = tab.evaluate("data.viewer[0].name")
    label, regions = truth.read(name).label, truth.task.regions
    names = [one.name for one in truth.task.classes]
    at = "(state.slice * volume.about.shape[1] + state.row) * volume.about.shape[2] + state.column"
    for method, title in enumerate(tab.evaluate("data.methods.map((method) => method.name)")):
        (maps,) = [one for one in evaluated.maps if one.method == title]
        found = class_layers.read(maps, name, truth.read(name), truth.task)
        prediction = found.voxels.prediction
        for part in (0, 2):
            tab.evaluate(f"change({{part: {part}, method: {method}}})")
            ready(tab, part=part, method=method)
            shown = "[...document.querySelectorAll('#sizes tbody td')].map((one) => Number(one.dataset.voxels))"
            expected = [np.isin(one, region.classes).sum() for region in regions for one in (prediction, label)]
            assert tab.evaluate(shown) == expected
            (z, y, x), (low, high) = tab.evaluate(f"[fileIndex(position()), probabilityAt({at}) ?? [null, null]]")
            words = tab.evaluate("document.getElementById('here').textContent")
            assert words.endswith(f"segmented as {names[prediction[z, y, x]]}, labelled {names[label[z, y, x]]}")
            offered = tab.evaluate("[...document.getElementById('overlay').options].map((one) => one.value)")
            assert ("probability" in offered) == (part == 2) == (low is not None)
            if low is not None:  # in the file the class is last, and the axes are NIfTI's
                every = nibabel.load(folder.parent / f"predictions/{title}/{name}_probability.nii.gz").dataobj[x, y, z]
                assert low - 1e-6 <= every[list(regions[1].classes)].sum() <= high + 1e-6
                assert maps.kind != "probability" or low - 1e-6 <= found.probability(1, z)[y, x] <= high + 1e-6
    assert tab.complaints == []
