"""The report's viewer: planes as radiologists look at them, what is said under the cursor, and what removal costs.

What the page says is held against the files themselves, read anew with nibabel.
"""

import itertools
import json
import re

import nibabel
import numpy as np
import pytest
from made_up_maps import maps_of, read_csv, serial, undrawn

from data_prep.base import artefacts, notices
from data_prep.readers import nifti
from data_prep.tasks import TASKS, Channel, Window
from tfunc import kinds, runs
from tfunc.reporting import coarse_maps, planes, publish, removal, report, viewer
from tfunc.scoring import sources, statistics
from tfunc.scoring.counts import THRESHOLDS, empty_counts
from tfunc.scoring.evaluate import evaluate
from tfunc.scoring.truth import RecordsTruth

KINDS = {"baseline": "probability", "baseline_mc": "probability", "auxiliary_feat": "error", "aleatoric": "sigma"}
OFF = len(THRESHOLDS)


@pytest.fixture(scope="module")
def run(brats_data, tmp_path_factory):
    """(the evaluation's folder, the run, `Evaluated`, the truth): one method has mutual information, one no probability."""
    run_dir, truth = tmp_path_factory.mktemp("viewed"), RecordsTruth(str(brats_data))
    names, rng = [entry.name for entry in truth.manifest.split("test")], np.random.default_rng(0)
    for method, kind in KINDS.items():
        folder = runs.predictions_dir(run_dir, method)
        for name in names:
            subject = truth.subject(name)
            made = maps_of(subject.label, rng)
            made["prediction"][rng.random(subject.label.shape) < 0.01] ^= 1  # false ones, against the probability
            if method == "baseline_mc":
                made["mutual_information"] = (made["uncertainty"] * 0.3).astype(np.float32)
            if method == "auxiliary_feat":
                del made["probability"]
            for part, array in made.items():
                nifti.write_map(folder / f"{name}_{part}.nii.gz", array, subject.header)
        artefacts.write_json(folder / "predictions.json", {"kind": kind, "subjects": names})
    with pytest.MonkeyPatch.context() as patch:
        undrawn(patch)
        publish.evaluate_run(publish.Request(run_dir / "evaluation", "brats"), run_dir, brats_data, list(KINDS), serial)
    with serial(None) as workers:
        evaluated = evaluate([sources.run_maps(run_dir, "brats", method) for method in KINDS], truth, workers)
    return run_dir / "evaluation", run_dir, evaluated, truth


def in_file(run_dir, method, name, part):
    """A map as nibabel reads it, [x, y, z]."""
    return np.asarray(nibabel.load(runs.predictions_dir(run_dir, method) / f"{name}_{part}.nii.gz").dataobj)


# -------------------------------------------------------------------------------------------------------------- Python

TURNS = [
    np.column_stack([np.eye(3)[axis] * sign * size for axis, sign, size in zip(order, signs, (1, 2, 3), strict=True)])
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.mark.parametrize("turn", range(len(TURNS)))
def test_planes_of_every_orientation(turn):
    """In each of the 48 ways a file's axes can lie: letters stand where millimetres say, and the planes across the slices have
    the head up, the front up or left, and the patient's right on the left; a voxel is as tall as its millimetres."""
    affine = np.eye(4)
    affine[:3, :3] = TURNS[turn]
    found = planes.orientation(affine)
    assert found.voxel == pytest.approx(6)
    file_axis = {0: 2, 1: 1, 2: 0}  # of an array's axis
    ends = {"L": -1, "R": 1, "P": -1, "A": 1, "I": -1, "S": 1}
    world = {"L": 0, "R": 0, "P": 1, "A": 1, "I": 2, "S": 2}
    turned = (1, *found.steps)
    every = planes.planes(found)
    assert sorted(plane["name"] for plane in every) == ["axial", "coronal", "sagittal"]
    for plane in every:
        sizes = []
        for side, end in ((plane["across"], "right"), (plane["down"], "bottom")):
            step = turned[side["axis"]] * (-1 if side["reversed"] else 1)
            moves = affine[:3, file_axis[side["axis"]]] * step  # mm in the world for a step right or down
            letter = plane["sides"][end]
            assert moves[world[letter]] * ends[letter] > 0 and np.count_nonzero(moves) == 1
            sizes.append(np.abs(moves).sum())
        assert plane["aspect"] == pytest.approx(sizes[1] / sizes[0])
        through = np.abs(affine[:3, file_axis[plane["through"]]]).argmax()
        assert plane["name"] == ("sagittal", "coronal", "axial")[through]
        if plane["through"] != 0:
            assert plane["sides"]["right"] == {"axial": "L", "coronal": "L", "sagittal": "P"}[plane["name"]]
            assert plane["sides"]["bottom"] == {"axial": "P", "coronal": "I", "sagittal": "I"}[plane["name"]]


def test_planes_without_directions():
    """Nothing is turned or named where nobody says which way is which."""
    every = planes.planes(planes.orientation(None))
    assert [plane["name"] for plane in every] == ["slices", "rows", "columns"]
    assert all(plane["sides"] is None and plane["aspect"] == 1 for plane in every)
    assert not any(plane[side]["reversed"] for plane in every for side in ("down", "across"))


def test_a_probability_is_in_its_step():
    """Level and side of a half say between which two bounds a probability lies; no step is wider than 0.14."""
    bounds = np.array(coarse_maps.bounds())
    assert len(bounds) == len(THRESHOLDS) + 2 and (np.diff(bounds) > 0).all() and np.diff(bounds).max() < 0.14
    probability = np.random.default_rng(0).random((4, 50, 50))
    codes = coarse_maps.sided(probability)
    level, above = codes % coarse_maps.SIDE, codes // coarse_maps.SIDE == 1
    low, high = bounds[level], bounds[level + 1]
    smaller = np.where(above, 1 - probability, probability)
    assert (smaller >= low - 1e-9).all() and (smaller <= high + 1e-9).all()
    assert len(np.unique(codes)) == 24 and (above == (probability > 0.5)).all()


def test_what_lies_beside_the_maps(run, tmp_path):
    """A method without a map has no array of it; mutual information is within half a step; one of another shape is left out."""
    _, run_dir, evaluated, truth = run
    name = evaluated.subjects[0]
    packed = viewer.pack(evaluated, truth, name)
    extra = {key for key in packed.arrays if key.startswith(("prob", "mutual"))}
    order = [maps.method for maps in evaluated.maps]
    assert extra == {f"prob-{order.index('aleatoric')}", f"mutual-{order.index('baseline_mc')}"}
    (maps,) = [one for one in evaluated.maps if one.method == "baseline_mc"]
    arrays = coarse_maps.arrays(maps, 5, name, truth.read(name))
    found = in_file(run_dir, "baseline_mc", name, "mutual_information").T
    np.testing.assert_allclose(arrays["mutual-5"] / coarse_maps.STEPS, found, atol=0.5 / coarse_maps.STEPS + 1e-6)
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((2, 2, 2), np.float32), None), tmp_path / f"{name}_mutual_information.nii.gz"
    )
    moved = sources.Maps("odd", "probability", str(tmp_path), (name,))
    with notices.gathered() as said:
        assert coarse_maps.arrays(moved, 0, name, truth.read(name)) == {}
    assert "leaves it out" in json.dumps(said.remarks)


def test_removal_is_counted_by_hand():
    """Mean change, rises and falls at each threshold; nothing where nothing is corrected."""
    dice = np.array([0.5, 0.8, 0.7])
    corrected = dice[:, None] + np.array([[0.1], [-0.4], [0.0]]) * np.linspace(1, 0.5, OFF)
    values = {"dice": dice, "corrected_dice": corrected}
    found = removal.removal(statistics.Scores(tuple("abc"), values, empty_counts()))
    assert found["change"][0] == pytest.approx(-0.1) and found["change"][-1] == pytest.approx(-0.05)
    assert found["rises"] == [1] * OFF and found["falls"] == [1] * OFF and found["dice"] == pytest.approx(2 / 3)
    assert removal.removal(None) is None
    assert removal.removal(statistics.Scores(("a",), {"dice": dice[:1]}, empty_counts())) is None


def test_what_greys_stand_for(run):
    """The stored grey, by its low and high, is the file's value within half a step; CT's is in Hounsfield units."""
    import msgspec

    _, _, evaluated, truth = run
    name = evaluated.subjects[0]
    packed = viewer.pack(evaluated, truth, name)
    grey, shape = packed.entry["grey"], packed.entry["shape"]
    image = viewer.unpack(packed.arrays["image"]).reshape(shape)
    said = grey["low"] + (grey["high"] - grey["low"]) * image / 255
    flair = truth.subject(name).image[..., 0]
    at = [origin + step * np.arange(size) for (origin, step), size in zip(packed.entry["file"], shape, strict=True)]
    real = np.clip(flair[np.ix_(*at)], grey["low"], grey["high"])
    assert np.abs(said - real).max() <= grey["step"] * 0.5 + (grey["high"] - grey["low"]) / 255 and grey["unit"] == ""
    ct = Channel("ct", "ct", outside=-1024.0, window=Window(-160.0, 240.0, 40.0, 80.0))
    task = msgspec.structs.replace(TASKS["brats"], channels=(ct,), show=("ct",))
    assert viewer._scale(np.zeros((2, 3, 4)), task) == {
        "low": -160.0, "high": 240.0, "step": 400 / 63, "unit": "HU"
    }  # fmt: skip


def test_all_subjects_are_offered():
    """More than a dozen are chosen; bytes alone are a limit."""
    names = tuple(f"s{index:02}" for index in range(40))
    scores = {"a": statistics.Scores(names, {"dice": np.linspace(0.2, 0.9, 40)}, empty_counts())}
    assert set(viewer.choose(scores, {"S1": "s07"})) == set(names)


# ------------------------------------------------------------------------------------------------------------- browser


READY = "(document.getElementById('open-viewer').dataset.ready || '')"


def opened(tab, run, address=""):
    tab.complaints.clear()
    tab.open("about:blank")
    tab.open((run[0] / report.NAME).as_uri() + address)
    tab.wait(READY)


def said(tab, name):
    return tab.evaluate(f"document.getElementById('{name}').textContent")


def shown(tab, index=0):
    return tab.evaluate(f"document.getElementById('view-{index}').toDataURL()")


def press_at(tab, index, right, down):
    """A press in a view, at shares of its width and height."""
    tab.evaluate(f"document.getElementById('view-{index}').scrollIntoView({{block: 'center'}})")
    box = json.loads(tab.evaluate(f"JSON.stringify(document.getElementById('view-{index}').getBoundingClientRect())"))
    for kind in ("mousePressed", "mouseReleased"):
        tab.mouse(kind, box["x"] + box["width"] * right, box["y"] + box["height"] * down, button="left", clickCount=1)


def test_values_under_the_cursor_are_the_files(run, tab):
    """At places in the volume the page names the file's voxel, and its image, uncertainty, probability and mutual information."""
    _, run_dir, evaluated, truth = run
    opened(tab, run)
    about = tab.evaluate("data.viewer[0]")
    name, rng = about["name"], np.random.default_rng(1)
    label = truth.subject(name).label.T != 0
    flair = truth.subject(name).image[..., 0].T
    for index, method in enumerate(tab.evaluate("data.methods.map((one) => one.name)")):
        (maps,) = [one for one in evaluated.maps if one.method == method]
        score, prediction = maps.read(name, truth.read(name))
        level = kinds.KINDS[maps.kind].uncertainty_map(score, kinds.KINDS[maps.kind].limits(score, maps.sigma_range)).T
        for place in [rng.integers(0, about["shape"]).tolist() for _ in range(12)]:
            slice_, row, column = place
            tab.evaluate(f"change({{method: {index}, slice: {slice_}, row: {row}, column: {column}}})")
            tab.wait(f"{READY}.startsWith('0 {index} {slice_} ')")
            words = said(tab, "here")
            x, y, z = (int(one) - 1 for one in re.search(r"voxel (\d+), (\d+), (\d+)", words).groups())
            expected = [o + s * i for (o, s), i in zip(about["file"], place, strict=True)]
            assert [z, y, x] == expected
            low, high = map(float, re.search(r"uncertainty ([\d.]+) to ([\d.]+)", words).groups())
            assert low <= level[x, y, z] <= high
            kind = [["background", "missed"], ["false positive", "correct"]]
            assert words.endswith(kind[int(prediction.T[x, y, z])][int(label[x, y, z])])
            grey = about["grey"]
            value = float(re.search(r"image ≈ (-?[\d.]+)", words)[1])
            real = np.clip(flair[x, y, z], grey["low"], grey["high"])
            assert abs(value - real) <= grey["step"] * 0.5 + (grey["high"] - grey["low"]) / 255 + 1
            if method == "auxiliary_feat":
                assert "probability" not in words
            else:
                low, high = map(float, re.search(r"probability ([\d.]+) to ([\d.]+)", words).groups())
                assert low - 6e-4 <= in_file(run_dir, method, name, "probability")[x, y, z] <= high + 6e-4
            found = re.search(r"mutual information ≈ ([\d.]+)", words)
            assert (found is not None) == (method == "baseline_mc")
            if found:
                real = in_file(run_dir, method, name, "mutual_information")[x, y, z]
                assert abs(float(found[1]) - real) <= 0.5 / 64 + 6e-4
    assert tab.complaints == []


def test_planes_are_linked(run, tab):
    """A press in one plane moves all three to its voxel; the address brings it back; each plane has its millimetres' shape."""
    opened(tab, run, "#threshold=off")
    about = tab.evaluate("data.viewer[0]")
    assert [plane["name"] for plane in about["planes"]] == ["axial", "coronal", "sagittal"]
    before = [shown(tab, index) for index in range(3)]
    assert len(set(before)) == 3
    for index, plane in enumerate(about["planes"]):
        press_at(tab, index, 0.3, 0.7)
        state = tab.evaluate("[state.slice, state.row, state.column]")
        for side, share in ((plane["across"], 0.3), (plane["down"], 0.7)):
            size = about["shape"][side["axis"]]
            expected = int(size * share)
            expected = size - 1 - expected if side["reversed"] else expected
            assert abs(state[side["axis"]] - expected) <= 1
        style = f"document.getElementById('view-{index}').style"
        width, height = tab.evaluate(f"[parseFloat({style}.width), parseFloat({style}.height)]")
        across, down = (about["shape"][plane[side]["axis"]] for side in ("across", "down"))
        assert width / height == pytest.approx(across / (down * plane["aspect"]), rel=1e-3)
    after = [shown(tab, index) for index in range(3)]
    assert all(one != other for one, other in zip(before, after, strict=True))
    tab.wait("location.hash.includes('at=')")
    address, place = tab.evaluate("[location.hash, [state.slice, state.row, state.column]]")
    opened(tab, run, address)
    assert tab.evaluate("[state.slice, state.row, state.column]") == place
    assert said(tab, "here").startswith("Here: voxel ") and tab.complaints == []
    letters = tab.evaluate(
        "[...document.querySelectorAll('#stage figure')].map((one) => ['left', 'right', 'top', 'bottom']"
        ".map((side) => one.querySelector('.side.' + side).textContent).join(''))"
    )
    assert letters == ["RLAP", "RLSI", "APSI"]


def test_opens_with_nothing_removed(run, tab):
    """No voxel is removed at opening, by any method; a link may set a threshold, and off is in the address again."""
    opened(tab, run)
    for method in range(len(KINDS)):
        tab.evaluate(f"change({{method: {method}}})")
        tab.wait(f"{READY}.startsWith('0 {method} ')")
        plain, corrected, gain = tab.evaluate(
            "['dice', 'corrected', 'gain'].map((id) => Number(document.getElementById(id).dataset.value))"
        )
        assert plain == corrected and gain == 0
        assert "nothing is removed" in said(tab, "threshold-text") and said(tab, "overlap") == "–"
        removed = tab.evaluate(
            "[...document.querySelectorAll('#outcomes tbody tr')].slice(2, 4).map((row) => row.cells[2].textContent)"
        )
        assert removed == ["0", "0"]
    opened(tab, run, f"#subject={tab.evaluate('data.viewer[0].name')}&threshold=0.40")
    assert said(tab, "threshold-text") == "0.40" and tab.evaluate("document.getElementById('threshold').value") == "4"
    tab.evaluate("document.getElementById('threshold').focus()")
    for _ in range(OFF - 4):
        tab.press("ArrowRight")
    tab.wait("location.hash.endsWith('threshold=off')")
    assert tab.complaints == []


def test_what_removal_costs(run, tab):
    """Beside the threshold stand the mean change of Dice, its rises and its falls, of subjects.csv."""
    rows = read_csv(run[0] / "subjects.csv")
    opened(tab, run)
    for method, name in enumerate(tab.evaluate("data.methods.map((one) => one.name)")):
        own = [row for row in rows if row["method"] == name]
        for index in (0, 6, 10):
            tab.evaluate(f"change({{method: {method}, threshold: {index}}})")
            tab.wait(f"{READY}.startsWith('0 {method} ') && {READY}.split(' ')[3] === '{index}'")
            at = f"corrected_dice_{THRESHOLDS[index]:.2f}"
            change = np.array([float(row[at]) - float(row["dice"]) for row in own])
            words = said(tab, "removal")
            value = float(re.search(r"by ([−+±])([\d.]+)", words)[2]) * (-1 if "by −" in words else 1)
            assert value == pytest.approx(change.mean(), abs=6e-4)
            assert f"rises in {(change > 0).sum()}, falls in {(change < 0).sum()}" in words
            assert f"Over {len(own)} subjects" in words
    tab.evaluate("change({threshold: data.thresholds.length})")
    tab.wait(f"{READY}.split(' ')[3] === '{OFF}'")
    assert said(tab, "removal").startswith("Nothing is removed. Mean Dice of 2 subjects is ")


def test_overlays_and_contrast(run, tab):
    """Only what a method has is offered; overlay, opacity, level and window change the picture, and presets bring it back."""
    opened(tab, run)
    offered = "[...document.getElementById('overlay').options].map((one) => one.value)"
    names = tab.evaluate("data.methods.map((one) => one.name)")
    for method, name in enumerate(names):
        tab.evaluate(f"change({{method: {method}}})")
        tab.wait(f"{READY}.startsWith('0 {method} ')")
        has = {"baseline_mc": ["probability", "mutual"], "auxiliary_feat": []}.get(name, ["probability"])
        assert tab.evaluate(offered) == ["none", "uncertainty", *has, "removed"]
    tab.evaluate(f"change({{method: {names.index('baseline_mc')}, threshold: 1}})")
    tab.wait(f"{READY}.startsWith('0 {names.index('baseline_mc')} ') && {READY}.split(' ')[3] === '1'")
    give = "(id, value, event) => Object.assign($(id), { value }).dispatchEvent(new Event(event))"
    drawn = {}
    for name in tab.evaluate(offered):
        tab.evaluate(f"({give})('overlay', '{name}', 'change')")
        drawn[name] = shown(tab)
    assert len(set(drawn.values())) == 5
    tab.evaluate(f"change({{method: {names.index('auxiliary_feat')}, overlay: 'mutual'}})")  # which it has not
    tab.wait(f"{READY}.startsWith('0 {names.index('auxiliary_feat')} ')")
    assert tab.evaluate("document.getElementById('overlay').value") == "uncertainty"
    before = shown(tab)
    tab.evaluate("change({opacity: 10})")
    assert shown(tab) != before
    tab.evaluate("change({opacity: 70})")
    assert shown(tab) == before
    tab.evaluate(f"({give})('level', 60, 'input')")
    assert shown(tab) != before and tab.evaluate("document.getElementById('preset').value") == "own"
    tab.evaluate(f"({give})('preset', 'bright', 'change')")
    bright = shown(tab)
    tab.evaluate(f"({give})('preset', 'full', 'change')")
    assert bright != before and shown(tab) == before
    assert "64 greys" in said(tab, "stored") and tab.complaints == []


def test_volumes(run, tab):
    """Segmentation and ground truth of the whole volume, cropped voxels included, in voxels and mL."""
    _, run_dir, _, truth = run
    opened(tab, run)
    name = tab.evaluate("data.viewer[0].name")
    label = truth.subject(name).label != 0
    millilitres = np.prod(nibabel.load(truth.subject(name).source).header.get_zooms()[:3]) / 1000
    for method, title in enumerate(tab.evaluate("data.methods.map((one) => one.name)")):
        tab.evaluate(f"change({{method: {method}, threshold: 0}})")
        tab.wait(f"{READY}.startsWith('0 {method} ') && {READY}.split(' ')[3] === '0'")
        cells = tab.evaluate(
            "[...document.querySelectorAll('#sizes tbody td')].map((one) => [Number(one.dataset.voxels), one.textContent])"
        )
        segmented = (in_file(run_dir, title, name, "prediction") != 0).sum()
        for (voxels, text), expected in zip(cells, (segmented, label.sum()), strict=True):
            assert voxels == expected and float(text) == pytest.approx(expected * millilitres, abs=0.051)


def test_keys_wheel_and_tab(run, tab):
    """P marks the plane that arrows move through, letters choose; the wheel moves the plane below it; Tab passes the stage."""
    opened(tab, run)
    tab.evaluate("document.getElementById('stage').focus(); change({row: 10, column: 12})")
    slice_ = tab.evaluate("state.slice")
    marked = "[...document.querySelectorAll('#stage figure')].findIndex((one) => one.classList.contains('active'))"
    assert tab.evaluate(marked) == 0
    for plane, expected in ((1, [slice_, 9, 12]), (2, [slice_, 9, 13])):
        tab.press("p", 80)
        assert tab.evaluate(marked) == plane
        tab.press("ArrowUp")
        assert tab.evaluate("[state.slice, state.row, state.column]") == expected
    tab.press("p", 80)
    tab.press("ArrowUp")
    assert tab.evaluate("state.slice") == slice_ + 1
    tab.press("o", 79)
    assert tab.evaluate("state.overlay") == "probability"
    with_cross = shown(tab)
    tab.press("x", 88)
    assert shown(tab) != with_cross and not tab.evaluate("document.getElementById('show-cross').checked")
    tab.evaluate("document.getElementById('view-1').scrollIntoView({block: 'center'})")
    box = json.loads(tab.evaluate("JSON.stringify(document.getElementById('view-1').getBoundingClientRect())"))
    row = tab.evaluate("state.row")
    tab.mouse("mouseWheel", box["x"] + 20, box["y"] + 20, deltaX=0, deltaY=100)
    tab.wait(f"state.row === {row + 1}")
    stops = []
    tab.evaluate("document.getElementById('overlay').focus()")
    for _ in range(9):
        tab.press("Tab", 9)
        stops.append(tab.evaluate("document.activeElement.id"))
    assert stops == [
        "opacity", "show-truth", "show-segmentation", "show-cross", "zoom", "stage", "preset", "level", "width",
    ]  # fmt: skip
    assert tab.complaints == []


def test_windows_of_ct(run, tab):
    """CT's usual windows are offered where what is stored holds them, and are in Hounsfield units; never without the unit."""
    opened(tab, run)
    give = "(grey) => { volume.about.grey = grey; draw(); return [...$('preset').options].map((one) => one.value) }"
    plain = ["full", "middle", "bright"]
    assert tab.evaluate(f"({give})({{ low: -1400, high: 1500, step: 46, unit: '' }})") == plain
    assert tab.evaluate(f"({give})({{ low: -160, high: 240, step: 6.3, unit: 'HU' }})") == [*plain, "soft"]
    assert tab.evaluate(f"({give})({{ low: -1400, high: 1500, step: 46, unit: 'HU' }})") == [
        *plain, "soft", "lung", "bone",
    ]  # fmt: skip
    for name, level, width in (("soft", 40, 400), ("lung", -600, 1500), ("bone", 300, 1500)):
        tab.evaluate(f"usePreset('{name}'); draw()")
        assert said(tab, "level-text") == f"{level} HU" and said(tab, "width-text") == f"{width} HU"
        ends = tab.evaluate(
            "(() => { const { low, high } = volume.about.grey; const grey = windowed();"
            " return [0, 255].map((end) => low + (high - low) * (end ? grey.indexOf(255) : grey.lastIndexOf(0)) / 255) })()"
        )
        assert ends == pytest.approx([level - width / 2, level + width / 2], abs=2 * 2900 / 255)
    assert "in 64 greys between -1400 and 1500 HU" in said(tab, "stored") and tab.complaints == []


@pytest.mark.long
@pytest.mark.parametrize("width", (390, 1280))
@pytest.mark.parametrize("scheme", ("light", "dark"))
def test_small_and_dark(run, tab, width, scheme):
    """Nothing is wider than a phone, where the views stand one below the other; a dark page complains of nothing."""
    tab.size(width, 844)
    tab("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    try:
        opened(tab, run)
        tab.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
        boxes = json.loads(
            tab.evaluate(
                "JSON.stringify([0, 1, 2].map((at) => document.getElementById('view-' + at).getBoundingClientRect()))"
            )
        )
        assert all(box["width"] > 60 and box["right"] <= width for box in boxes)
        stacked = boxes[0]["bottom"] <= boxes[1]["top"] and boxes[1]["bottom"] <= boxes[2]["top"]
        assert stacked == (width == 390)
        every = "[...document.querySelectorAll('#viewer *')]"
        wide = f"{every}.filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.id)"
        assert tab.evaluate(wide) == []
        dark = "getComputedStyle(document.querySelector('.panel')).backgroundColor"
        assert tab.evaluate(dark) == ("rgb(244, 246, 248)" if scheme == "light" else "rgb(29, 34, 38)")
        assert tab.complaints == []
    finally:
        tab("Emulation.clearDeviceMetricsOverride")
        tab("Emulation.setEmulatedMedia", features=[])


def test_without_scripts_and_on_paper(run, tab):
    """Without JavaScript the section says why it is empty; on paper the three planes are there."""
    tab("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab("Page.navigate", url=(run[0] / report.NAME).as_uri())
        tab.wait("document.readyState === 'complete' && document.getElementById('viewer') !== null")
        assert "JavaScript, which is off" in tab.evaluate("document.getElementById('viewer').innerText")
        assert tab.evaluate("document.getElementById('stage').offsetParent === null")
    finally:
        tab("Emulation.setScriptExecutionDisabled", value=False)
    opened(tab, run)
    tab("Emulation.setEmulatedMedia", media="print")
    try:
        heights = tab.evaluate(
            "[0, 1, 2].map((at) => document.getElementById('view-' + at).getBoundingClientRect().height)"
        )
        assert all(height > 40 for height in heights)
        assert "JavaScript" not in tab.evaluate("document.getElementById('viewer').innerText")
    finally:
        tab("Emulation.setEmulatedMedia", media="")
