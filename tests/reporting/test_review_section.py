"""Whom to review first: review.csv, failures.csv and companions.csv, and the report's first section, without a script too."""

import base64
import io
import json

import browser
import msgspec
import numpy as np
import pytest
from made_up_maps import read_csv, serial, without_pdf
from PIL import Image

from data_prep import convert
from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.phantom import write as phantom
from data_prep.readers import nifti
from tfunc import runs
from tfunc.reporting import publish, report, thumbnails
from tfunc.scoring import risk_coverage, triage
from tfunc.scoring.spread import Spread, write
from tfunc.scoring.truth import RecordsTruth

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Records of 24 phantom photographs, ten of them in valid, enough to choose a score on."""
    place = tmp_path_factory.mktemp("photographs")
    phantom.write("isic", place / "raw", subjects=24, shape=(32, 48), seed=3)
    names = [phantom.subject_id("isic", index) for index in range(24)]
    split = {"train": names[:4], "valid": names[4:14], "test": names[14:]}
    (place / "split.json").write_text(json.dumps(split))
    options = {"image_size": (32, 48), "intensity": "unit"}
    where = "isic", place / "raw", place / "data", options
    convert.convert(*where, split_files=[str(place / "split.json")], say=lambda line: None)
    return place / "data"


@pytest.fixture(scope="module")
def folder(photographs, tmp_path_factory):
    """The evaluation of a run of photographs whose maps are the better the surer they are, with validation maps."""
    run_dir, truth = tmp_path_factory.mktemp("review"), RecordsTruth(str(photographs))
    rng = np.random.default_rng(0)
    for method in ("baseline", "ensemble"):
        for split in ("test", "valid"):
            names = [entry.name for entry in truth.manifest.split(split)]
            maps_dir = runs.predictions_dir(run_dir, method, split)
            for name in names:
                label, noise = truth.read(name).label, rng.random()
                probability = np.clip(0.9 * label + 4 * noise * (rng.random(label.shape) - 0.45), 0, 1)
                probability = probability.astype(np.float32)
                nifti.write_map(maps_dir / f"{name}_probability.nii.gz", probability, None)
                nifti.write_map(maps_dir / f"{name}_prediction.nii.gz", (probability > 0.5).astype(np.uint8), None)
                if method == "ensemble":
                    write(
                        maps_dir,
                        name,
                        {truth.task.regions[0].name: Spread(np.array([90.0, 100 + 50 * noise]), 1 - noise / 2)},
                    )
            facts = {"method": method, "kind": "probability", "subjects": names, "networks": {}}
            artefacts.write_json(maps_dir / runs.PREDICTED, {**facts, "records": truth.manifest.identity})
    request = publish.Request(run_dir / "evaluation", "isic")
    with pytest.MonkeyPatch.context() as patch:
        without_pdf(patch)
        return publish.evaluate_run(request, run_dir, photographs, ["baseline", "ensemble"], serial).folder


def test_failures(folder):
    """A row for each method and score; areas are those of subjects.csv's columns; scores of samples only where there are some."""
    subjects, rows = read_csv(folder / "subjects.csv"), read_csv(folder / "failures.csv")
    assert len({one["dice"] for one in subjects}) > 10 and all(float(row["random"]) > 0.01 for row in rows)
    assert {row["score"] for row in rows if row["method"] == "baseline"} == {
        row["score"] for row in rows if row["method"] == "ensemble"
    } - {"volume_variation", "pairwise_dice"}
    for row in rows:
        if row["score"] != "combination":
            own = [one for one in subjects if one["method"] == row["method"]]
            scores = [float(one[f"score_{row['score']}"]) for one in own]
            expected = risk_coverage.risk_coverage(scores, [1 - float(one["dice"]) for one in own])
            for name in ("aurc", "augrc", "eaurc", "random", "oracle"):
                assert float(row[name]) == pytest.approx(expected[name], abs=1e-12)
            assert float(row["aurc_low"]) <= float(row["aurc"]) <= float(row["aurc_high"])


def test_the_list(folder):
    """Each method's subjects once, the least sure first, ranks from 1."""
    rows = read_csv(folder / "review.csv")
    for method in ("baseline", "ensemble"):
        own = [row for row in rows if row["method"] == method]
        assert [int(row["rank"]) for row in own] == list(range(1, len(own) + 1))
        values = [float(row["score_value"]) for row in own]
        assert values == sorted(values, reverse=True) and len({row["subject"] for row in own}) == len(own)
        assert all(row["slice"] == "1" for row in own)
        assert all(float(row["predicted_dice_low"]) <= float(row["predicted_dice"]) for row in own)


def test_what_ranks_was_chosen_on_validation(folder):
    """One score of each method is marked as chosen, and the list is by it; the page says on how many subjects."""
    chosen = {row["method"]: row["score"] for row in read_csv(folder / "failures.csv") if row["chosen"] == "1"}
    assert set(chosen) == {"baseline", "ensemble"}
    assert all(row["score"] == chosen[row["method"]] for row in read_csv(folder / "review.csv"))
    page = (folder / report.NAME).read_text(encoding="utf-8")
    assert page.count("chosen on 10 validation subjects") == 2 and "no Dice is predicted" not in page
    assert page.count("chosen on validation</span>") == 2


def test_a_new_patient_is_judged_as_the_list_judges(folder):
    """The kept fits say of a subject's scores what review.csv says of that subject; of maps of other networks nothing."""
    run_dir, subjects = folder.parent, read_csv(folder / "subjects.csv")
    made_by = {"networks": {}, "samples": None, "draws": None, "streams": None}
    for method in ("baseline", "ensemble"):
        ((region, fit),) = (known := triage.known(run_dir, method, made_by)).fits.items()
        rows = {row["subject"]: row for row in read_csv(folder / "review.csv") if row["method"] == method}
        assert known.failure == 0.7 and len(rows) == 10
        for own in (one for one in subjects if one["method"] == method):
            row = rows[own["subject"]]
            judged = triage.judge(known, region, {name: float(own[f"score_{name}"]) for name in fit.names}, 9)
            found = [judged.predicted, judged.low, judged.high]
            assert found == pytest.approx([float(row[f"predicted_dice{end}"]) for end in ("", "_low", "_high")])
            assert judged.wanted == (judged.predicted < 0.7 or float(row["score_value"]) > fit.highest)
    other = triage.known(run_dir, "baseline", {**made_by, "samples": 5})
    assert not other.fits and "samples None (there) against 5 (asked for)" in other.why
    assert "chose no score of baseline_mc" in triage.known(run_dir, "baseline_mc", made_by).why


def test_what_is_judged_without_more():
    """An empty segmentation is flagged by itself; of a score that lacks, or without a fit, nothing is said but why."""

    def judged(scores, voxels=5, **other):
        return triage.judge(triage.Known(**{"fits": {"whole": LINE}, "failure": 0.7, **other}), "whole", scores, voxels)

    assert judged({"top": 0.1}, 0).wanted is True
    low, far = judged({"top": 0.35}), judged({"top": 0.45}, failure=0.5)
    assert (low.predicted, low.low, low.high) == pytest.approx((0.65, 0.55, 0.75)) and "below 0.7" in low.why
    assert far.wanted is True and "less sure than all 10 subjects" in far.why  # its Dice is predicted where nobody was
    assert judged({"top": 0.2}).wanted is False
    for one in (judged({"top": 0.1}, fits={}), judged(None), judged({"top": None})):
        assert one.wanted is None and one.predicted is None and one.why


LINE = triage.Fit(
    score="top", names=("top",), mean=(0.0,), scale=(1.0,), weights=(-1.0,), intercept=1.0, highest=0.4, dice_width=0.1,
    coverage=0.9, subjects=10,
)  # fmt: skip


def test_a_score_that_ranked_backwards_judges_nobody():
    """The surest were the worst in its validation set: no Dice is predicted, and nobody flagged for being unsure."""
    known = triage.Known(fits={"whole": msgspec.structs.replace(LINE, weights=(1.0,), intercept=0.5)}, failure=0.7)
    judged = triage.judge(known, "whole", {"top": 0.45}, 5)
    assert judged.wanted is None and judged.predicted is None and "backwards" in judged.why


def test_a_former_evaluations_fits_do_not_stay(tmp_path):
    """A file is there even of none, so that evaluations of before are known; one of another form says so and stops nothing."""
    fits = triage.Fits(failure=0.7, methods={"baseline": triage.OfMethod(made_by={}, regions={"whole": LINE})})
    folder = runs.evaluation_dir(tmp_path)
    triage.write(folder, fits)
    assert triage.read(triage.stored_at(tmp_path)) == fits
    triage.write(folder, triage.Fits(failure=0.7, methods={}))
    assert triage.read(triage.stored_at(tmp_path)).methods == {}
    artefacts.write_document(folder / triage.NAME, {"schema": 2, "failure": 0.7, "methods": {}})
    with pytest.raises(UserError, match="evaluate again"):
        triage.read(triage.stored_at(tmp_path))
    assert "evaluate again" in triage.known(tmp_path, "baseline", {}).why


@pytest.mark.parametrize(
    "change",
    [
        {"names": ("top", "patch")}, {"names": (), "mean": (), "scale": (), "weights": ()}, {"weights": (1e300,)},
        {"scale": (0.0,)}, {"dice_width": -0.1}, {"coverage": 1.5}, {"subjects": 0},
    ],
)  # fmt: skip
def test_what_no_fit_gives_is_refused(change, tmp_path):
    """In a line that names the file and the place, before anything is computed from it."""
    fit = {**msgspec.to_builtins(LINE), **change}
    document = {"schema": 1, "failure": 0.7, "methods": {"baseline": {"made_by": {}, "regions": {"whole": fit}}}}
    artefacts.write_document(triage.stored_at(tmp_path), document)
    with pytest.raises(UserError, match=r"review.json: methods.baseline.regions.whole: expected .*; evaluate again"):
        triage.read(triage.stored_at(tmp_path))


def test_companions(folder):
    """Means of subjects.csv's columns by method, with an interval; how many distances are penalties."""
    subjects = read_csv(folder / "subjects.csv")
    for row in read_csv(folder / "companions.csv"):
        own = [float(one["hd95"]) for one in subjects if one["method"] == row["method"]]
        assert float(row["hd95"]) == pytest.approx(np.mean(own)) and row["penalties"] == "0"
        assert float(row["hd95_low"]) <= float(row["hd95"]) <= float(row["hd95_high"])


def test_it_follows_the_summary(folder):
    """The list stands before all tables, and whether to trust it behind it: a row and a picture a subject; no script."""
    page = (folder / report.NAME).read_text(encoding="utf-8")
    main = page[page.index("<main>") :]
    order = [main.index(f'<section id="{name}"') for name in ("in-short", "review", "failures", "table1")]
    assert order == sorted(order)
    section = main[order[1] : order[2]]
    listed = read_csv(folder / "review.csv")
    assert section.count('<table class="review">') == 2 and section.count("<details open>") == 1
    assert section.count('alt="worst slice of') == min(len(listed) // 2, 12)
    assert "<script" not in section and 'alt="mean Dice of what is left' in section
    first = [row["subject"] for row in listed if row["rank"] == "1"]
    assert all(name in section for name in first)
    assert "0 % is no order, 100 % the best order of these subjects" in page


@pytest.fixture
def tab(tmp_path):
    program = browser.find()
    if program is None:
        pytest.skip(f"none of {', '.join(browser.PROGRAMS)} is installed")
    page = browser.Page(program, tmp_path / "profile")
    yield page
    page.close()


@pytest.mark.parametrize("scripts", [True, False])
def test_in_a_browser(folder, tab, scripts):
    """On a phone nothing is wider than the screen, a list opens by keyboard, and without a script everything is there."""
    tab("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    tab("Emulation.setScriptExecutionDisabled", value=not scripts)
    tab.open((folder / report.NAME).as_uri())
    tab("Emulation.setScriptExecutionDisabled", value=False)  # so that the test may look
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.evaluate("document.querySelectorAll('#review details').length") == 2
    assert tab.evaluate("[...document.querySelectorAll('#review img')].every((one) => one.naturalWidth > 0)")
    assert tab.evaluate("document.querySelectorAll('#review img').length") >= 2
    tab.evaluate("document.querySelectorAll('#review summary')[1].focus()")
    tab.press("Enter")
    tab.wait("document.querySelectorAll('#review details')[1].open")
    assert tab.complaints == []


def test_thumbnails_show_outline_and_doubt():
    """The outline is blue, what is unsure turns orange, the rest is the image; large slices become small."""
    image, inside = np.full((200, 300), 0.5, np.float32), np.zeros((200, 300), bool)
    inside[50:100, 50:100] = True
    uncertainty = np.zeros((200, 300))
    uncertainty[0, 0] = 1
    picture = thumbnails.drawn(image, uncertainty, inside)
    assert tuple(picture[50, 50]) == (0x56, 0xB4, 0xE9) and tuple(picture[150, 150]) == (128, 128, 128)
    assert picture[0, 0, 0] > 200 and picture[0, 0, 2] < 50
    small = Image.open(io.BytesIO(base64.b64decode(thumbnails.encoded(picture).partition(",")[2])))
    assert small.format == "PNG" and max(small.size) == thumbnails.SIDE and small.size[0] > small.size[1]
