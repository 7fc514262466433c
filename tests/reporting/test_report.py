"""The report: self-contained, escaped, exact in Python, and in a real browser working by keys and pointer."""

import dataclasses
import html
import html.parser
import json
import re

import nibabel
import numpy as np
import pytest
from made_up_maps import maps_of, read_csv, serial, undrawn

from data_prep.base import artefacts, pool
from data_prep.base.errors import UserError
from data_prep.readers import nifti
from data_prep.readers.labels import Rule
from data_prep.tasks import TASKS
from tfunc import kinds, runs
from tfunc.reporting import parts, provenance, publish, report, viewer, words
from tfunc.reporting.summary import summary
from tfunc.scoring import sources, statistics
from tfunc.scoring.binary import count
from tfunc.scoring.counts import THRESHOLDS, empty_counts
from tfunc.scoring.evaluate import Evaluated, evaluate
from tfunc.scoring.truth import FolderTruth, RecordsTruth

KINDS = {"baseline": "probability", "auxiliary_feat": "error", "aleatoric": "sigma", "ours": "probability"}
EVIL = "<img src=x onerror=document.title='caught'>&amp;\"'"
AFFINES = {  # voxel axes toward right, anterior; and toward left, posterior as BraTS has them
    "RAS": np.diag([1, 2, 3, 1.0]),
    "LPS": np.diag([-1, -2, 3, 1.0]),
}


@pytest.fixture(scope="module")
def run(brats_data, tmp_path_factory):
    """The evaluation of made-up maps of the records' test subjects: (folder, Evaluated, truth)."""
    run_dir, truth = tmp_path_factory.mktemp("report"), RecordsTruth(str(brats_data))
    names = [entry.name for entry in truth.manifest.split("test")]
    rng, methods = np.random.default_rng(0), {**KINDS}
    del methods["ours"]
    for method, kind in methods.items():
        folder = runs.predictions_dir(run_dir, method)
        for name in names:
            subject = truth.subject(name)
            for part, array in maps_of(subject.label, rng).items():
                nifti.write_map(folder / f"{name}_{part}.nii.gz", array, subject.header)
        artefacts.write_json(folder / "predictions.json", {"kind": kind, "subjects": names})
    with pytest.MonkeyPatch.context() as patch:
        undrawn(patch)
        request = publish.Request(run_dir / "evaluation", "brats")
        publish.evaluate_run(request, run_dir, brats_data, list(methods), serial)
    with pool.executor(1) as workers:
        evaluated = evaluate([sources.run_maps(run_dir, "brats", m) for m in methods], truth, workers)
    return run_dir / "evaluation", evaluated, truth


def make_folders(folder, affine=AFFINES["LPS"], names=("case_1", EVIL), shape=(5, 40, 30)):
    """Maps and labels as anyone could have them, all kinds, and the Maps that find them."""
    rng = np.random.default_rng(1)
    for index, name in enumerate(names):
        label = np.zeros(shape, np.uint8)
        label[1:4, 15:22, 10 + index : 17] = 1
        maps = maps_of(label, rng)
        maps["prediction"][2, 12, 7] = 1  # a false positive away from the label
        for path, array in (
            (folder / "labels" / f"{name}_seg.nii.gz", label),
            *((folder / "methods" / m / f"{name}_{part}.nii.gz", a) for m in KINDS for part, a in maps.items()),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array.T, affine), path)
    for method, kind in KINDS.items():
        artefacts.write_json(folder / "methods" / method / "predictions.json", {"kind": kind, "subjects": list(names)})
    return sources.folder_maps(folder / "methods"), FolderTruth(str(folder / "labels"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The evaluation of folders of which one subject's name is markup."""
    folder = tmp_path_factory.mktemp("folders")
    all_maps, truth = make_folders(folder)
    with pytest.MonkeyPatch.context() as patch:
        undrawn(patch)
        publish.evaluate_folders(publish.Request(folder / "out"), all_maps, truth, serial)
    return folder / "out"


class Parsed(html.parser.HTMLParser):
    """Every tag with its attributes, and the text of each script and style."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts = [], {}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, text):
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if tag in ("script", "style"):
            self.texts.setdefault(attributes.get("id", tag), text)


# -------------------------------------------------------------------------------------------------------------- Python


def test_self_contained(run):
    """Nothing in the file points outside it, and its policy allows only its own script and style, by their hashes."""
    parsed = Parsed(run[0] / "report.html")
    for tag, attributes in parsed.tags:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,")), (tag, name)
        assert tag not in ("link", "iframe", "object", "embed", "base") and not any(a[:2] == "on" for a in attributes)
        assert "style" not in attributes
    assert not re.search(r"url\(|@import|https?:", parsed.texts["style"])
    (policy,) = [a["content"] for t, a in parsed.tags if t == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy
    for name in ("style", "script"):
        assert f"{name}-src '{report._hash(parsed.texts[name])}'" in policy
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", parsed.texts["script"])


def test_figures_are_inline(run, tmp_path):
    """PNG pictures stand in the page with captions; PDF ones don't."""
    for name in ("figure1.png", "figure1.pdf"):
        (tmp_path / name).write_bytes(b"picture")
    images = report._images([tmp_path / "figure1.png", tmp_path / "figure1.pdf"])
    assert list(images) == ["figure1"] and images["figure1"].endswith("cGljdHVyZQ==")
    content = artefacts.read_json(run[0] / "summary.json")
    made = words.pictures(images, content)
    assert "most under-confident" in made and made.count("<img") == 1


def test_names_are_escaped(folders, tmp_path):
    """A subject and a dataset named like markup come out as text, and JSON can't end its script element."""
    parsed = Parsed(folders / "report.html")
    assert not [tag for tag, attributes in parsed.tags if "onerror" in attributes]
    assert all(
        attributes["src"].startswith("data:image/png;base64,") for tag, attributes in parsed.tags if tag == "img"
    )
    assert EVIL in json.loads(parsed.texts["data"])["subjects"]
    text = report.script_json({"a": "</script><!--"})
    assert "<" not in text and json.loads(text) == {"a": "</script><!--"}


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", AFFINES)
def test_voxels_come_back(tmp_path, kind, side):
    """Each map unpacks to its levels and segmentation, the truth to the label, shown with the patient's right left."""
    all_maps, truth = make_folders(tmp_path, AFFINES[side], names=("a",))
    with pool.executor(1) as workers:
        evaluated = evaluate(all_maps, truth, workers)
    packed = viewer.pack(evaluated, truth, "a")
    index = [maps.method for maps in evaluated.maps].index(kind)
    maps, label = evaluated.maps[index], truth.read("a").label
    score, prediction = maps.read("a", truth.read("a"))
    uncertainty = kinds.KINDS[maps.kind].uncertainty_map(score, kinds.KINDS[maps.kind].limits(score, maps.sigma_range))
    box = np.s_[0:5, 4:30, 0:25]  # what is segmented and a margin of 8, within the volume
    flip = np.s_[:, ::-1, ::-1] if side == "RAS" else np.s_[:]
    codes = viewer.unpack(packed.arrays[f"map-{index}"]).reshape(packed.entry["shape"])
    np.testing.assert_array_equal(codes % 16, sum(uncertainty > t for t in THRESHOLDS)[box][flip])
    np.testing.assert_array_equal(codes // 16 % 2, prediction[box][flip])
    np.testing.assert_array_equal(viewer.unpack(packed.arrays["truth"]), (label[box][flip] != 0).ravel())
    at = [o + s * np.arange(n) for (o, s), n in zip(packed.entry["file"], packed.entry["shape"], strict=True)]
    np.testing.assert_array_equal(prediction[np.ix_(*at)], codes // 16 % 2)  # the file's indices
    first = packed.entry["planes"][0]
    assert first["sides"] == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    assert packed.entry["voxel"] == 6 and first["aspect"] == 2


def test_cropped_voxels_are_counted(run, tmp_path):
    """What lies outside the crop and what lies inside add up to the evaluation's counts, of every method."""
    all_maps, truth = make_folders(tmp_path, names=("a",))
    with pool.executor(1) as workers:
        evaluated = evaluate(all_maps, truth, workers)
    records = run[2]
    for of, where, name in ((evaluated, truth, "a"), (run[1], records, run[1].subjects[0])):
        packed = viewer.pack(of, where, name)
        target = viewer.unpack(packed.arrays["truth"])
        for index, maps in enumerate(of.maps):
            codes = viewer.unpack(packed.arrays[f"map-{index}"])
            total = np.array(packed.entry["outside"][index])
            assert total.sum() > 0
            np.add.at(total, (codes % 16).astype(int) * 4 + codes // 16 % 2 * 2 + target, 1)
            np.testing.assert_array_equal(total, of.counts[maps.method][name].uncertainty.sum(axis=1).ravel())


def test_ignored_voxels_are_marked(tmp_path):
    """They have a level beyond all, so that the page leaves them out; what is left adds up to the evaluation's counts."""
    all_maps, truth = make_folders(tmp_path, names=("a",))
    path = tmp_path / "labels" / "a_seg.nii.gz"
    label = np.asarray(nibabel.load(path).dataobj).T.copy()
    ignored = np.random.default_rng(2).random(label.shape) < 0.2
    label[ignored] = 9
    nibabel.save(nibabel.Nifti1Image(label.T, AFFINES["LPS"]), path)
    truth = dataclasses.replace(truth, rule=Rule(ignore=9))
    with pool.executor(1) as workers:
        evaluated = evaluate(all_maps, truth, workers)
    packed = viewer.pack(evaluated, truth, "a")
    target = viewer.unpack(packed.arrays["truth"])
    for index, maps in enumerate(evaluated.maps):
        codes = viewer.unpack(packed.arrays[f"map-{index}"])
        counted = codes != viewer.IGNORED
        assert 0.7 < counted.mean() < 0.9 and not target[~counted].any()
        total = np.array(packed.entry["outside"][index])
        assert total.min() >= 0
        np.add.at(total, ((codes % 16).astype(int) * 4 + codes // 16 % 2 * 2 + target)[counted], 1)
        np.testing.assert_array_equal(total, evaluated.counts[maps.method]["a"].uncertainty.sum(axis=1).ravel())
        assert total.sum() == (~ignored).sum()


def test_the_picture(run):
    """The image under the maps is the first modality of the crop, and all of the brain is in it."""
    _, evaluated, truth = run
    name = evaluated.maps[0].subjects[1]
    subject = truth.subject(name)
    packed = viewer.pack(evaluated, truth, name)
    image = viewer.unpack(packed.arrays["image"]).reshape(packed.entry["shape"])
    where = np.nonzero(subject.image.any(axis=-1))
    flair = subject.image[..., 0][tuple(np.s_[w.min() : w.max() + 1] for w in where)]
    middle = np.abs(flair - np.median(flair[flair > 0])) < 0.5 * flair.std()
    assert image.shape == flair.shape and np.corrcoef(image[middle], flair[middle])[0, 1] > 0.99  # 64 grey levels
    assert packed.entry["first"] == where[0].min() and packed.entry["depth"] == 16


def test_a_photograph(isic_data, tmp_path):
    """A photograph is there whole, in its colours, without sides."""
    truth = RecordsTruth(str(isic_data))
    name = truth.manifest.split("test")[0].name
    subject = truth.subject(name)
    for part, array in maps_of(subject.label, np.random.default_rng(0)).items():
        nifti.write_map(tmp_path / f"{name}_{part}.nii.gz", array[0], None)
    artefacts.write_json(tmp_path / "predictions.json", {"kind": "probability", "subjects": [name]})
    with pool.executor(1) as workers:
        evaluated = evaluate(sources.folder_maps(tmp_path), truth, workers)
    packed = viewer.pack(evaluated, truth, name)
    np.testing.assert_array_equal(viewer.unpack(packed.arrays["image"]), subject.image.ravel())
    assert packed.entry["shape"] == subject.label.shape and packed.entry["channels"] == 3
    (plane,) = packed.entry["planes"]
    assert plane["sides"] is None and not np.any(packed.entry["outside"])


def test_changed_maps_are_refused(tmp_path):
    """Maps that are written anew between counting and packing would show other numbers than the table's."""
    all_maps, truth = make_folders(tmp_path, names=("a",))
    with pool.executor(1) as workers:
        evaluated = evaluate(all_maps, truth, workers)
    path = tmp_path / "methods" / "baseline" / "a_prediction.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((30, 40, 5), np.uint8), AFFINES["LPS"]), path)
    with pytest.raises(UserError, match=r"baseline.*the maps just evaluated"):
        viewer.pack(evaluated, truth, "a")


def test_who_is_shown(run):
    """Figure 1's subjects first, then by Dice; as many as the bytes allow, and the page says so."""
    dice = np.array([0.5, 0.9, 0.2, 0.7, 0.8])
    scores = {"a": statistics.Scores(tuple("vwxyz"), {"dice": dice}, empty_counts())}
    chosen = viewer.choose(scores, {"S1": "w", "S2": "x"}, ("under", "over"))
    assert list(chosen.items()) == [
        ("w", "S1, under, highest Dice"),
        ("x", "S2, over, lowest Dice"),
        ("y", "median Dice"),
        ("v", ""),
        ("z", ""),
    ]
    _, evaluated, truth = run
    names = dict.fromkeys(evaluated.maps[0].subjects, "")
    both = list(viewer.pack_all(evaluated, truth, names))
    assert [one.entry["name"] for one in both] == list(names)
    room = both[0].size + both[1].size - 1
    assert len(list(viewer.pack_all(evaluated, truth, names, room))) == 1
    assert list(viewer.pack_all(evaluated, truth, names, 10)) == []


def test_numbers_are_those_of_subjects_csv(run):
    """The subjects' table holds subjects.csv's numbers, at the thresholds that Table 1 chose."""
    found = json.loads(Parsed(run[0] / "report.html").texts["data"])
    cells = artefacts.read_json(run[0] / "summary.json")["methods"]
    rows = {(row["method"], row["subject"]): row for row in read_csv(run[0] / "subjects.csv")}
    for method in found["methods"]:
        table = cells[method["name"]]["table1"]
        ue, bnf = (f"{table[name]['threshold']:.2f}" for name in ("ue", "bnf"))
        columns = {"dice": "dice", "ece": "ece", "ue": f"ue_{ue}", "corrected": f"corrected_dice_{bnf}"}
        for name, column in columns.items():
            expected = [float(rows[method["name"], subject][column]) for subject in found["subjects"]]
            assert method["subjects"][name] == expected
    assert found["thresholds"] == [f"{t:.2f}" for t in THRESHOLDS]


def test_written_with_each_evaluation(tmp_path, monkeypatch):
    """An evaluation without its report is not finished; the same inputs give the same bytes."""
    undrawn(monkeypatch)
    inputs = make_folders(tmp_path, names=("a", "b"))
    first = publish.evaluate_folders(publish.Request(tmp_path / "out"), *inputs, serial)
    page = first.report.read_bytes()
    assert not publish.evaluate_folders(publish.Request(tmp_path / "out"), *inputs, serial).fresh
    first.report.unlink()
    assert publish.evaluate_folders(publish.Request(tmp_path / "out"), *inputs, serial).fresh
    assert first.report.read_bytes() == page and not list((tmp_path / "out").glob(".partial*"))


def test_undefined_and_later_and_published():
    """Undefined cells are dashes, later methods stand below a line, the paper's values beside ours."""
    rng = np.random.default_rng(0)
    target = rng.random((2, 60)) < 0.4
    counts = {"baseline": {}, "ours": {}, "empty": {}}
    for index in range(2):
        score = np.clip(0.6 * target[index] + 0.4 * rng.random(60), 0, 1)
        for method in ("baseline", "ours"):
            counts[method][f"s{index}"] = count(score, "probability", score > 0.5, target[index])
        zero = np.zeros(60)
        counts["empty"][f"s{index}"] = count(zero, "probability", zero, zero)
    scores = {name: statistics.scores(of) for name, of in counts.items()}
    maps = tuple(sources.Maps(name, "probability", ".", ("s0", "s1")) for name in counts)
    evaluated = Evaluated(maps, scores, counts)
    (part,) = parts.parts(evaluated, None, "brats")
    asked = {"dataset": "brats", "complete": True, "threshold_split": "test", "settings": {"figure_subjects": []}}
    asked |= {"inputs": {}, "provenance": provenance.provenance(maps)}
    content = summary([part], asked, {"S1": "s0"}, TASKS["brats"])
    text = html.unescape("".join(report.page([part], {"": ["a note"]}, content, {}, [], [], TASKS["brats"])))
    assert "on BraTS" in text and "inside the mask (BraTS: raw t2 above 0)" in text
    assert "paper 0.432 (" in text and "rings: the paper's values" in text and '<section id="figures"' not in text
    assert text.count("class=first-later") == 1 and text.count("not in the paper, unranked") == 2
    assert "undefined everywhere" in text and "0 of 2 subjects are in this file" in text
    assert "U-E is undefined in places for empty" in text and "the whole test set" in text


# ------------------------------------------------------------------------------------------------------------- browser


def ready(tab, **state):
    """Waits until the viewer shows this state: parts of [subject, method, slice, threshold]."""
    parts = ["subject", "method", "slice", "threshold"]
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


def pixels(tab, view):
    """What is drawn in the first canvas with this overlay, as a data URL."""
    tab.evaluate(f"change({{overlay: '{view}'}})")
    return tab.evaluate("document.getElementById('view-0').toDataURL()")


def test_opens_quietly(run, tab):
    """A file URL opens with no error, no warning, nothing blocked and nothing loaded."""
    opened(tab, run[0] / "report.html")
    tab.evaluate("new Promise(requestAnimationFrame)")
    assert tab.complaints == []
    assert {url.partition(":")[0] for url in tab.loads} <= {"file", "about", "data"}
    assert sum(url.startswith("file:") for url in tab.loads) == 1
    drawn = tab.evaluate(
        "new Set(document.getElementById('view-0').getContext('2d').getImageData(0,0,200,200).data).size"
    )
    assert drawn > 20


@pytest.mark.long
def test_slider_changes_picture_and_number(run, tab):
    """Arrow keys on the slider: at each threshold and method another picture, and the numbers of subjects.csv."""
    opened(tab, run[0] / "report.html")
    rows = {(row["method"], row["subject"]): row for row in read_csv(run[0] / "subjects.csv")}
    subject = tab.evaluate("data.viewer[0].name")
    for method, name in enumerate(tab.evaluate("data.methods.map((method) => method.name)")):
        tab.evaluate(f"change({{method: {method}, threshold: 0}})")
        ready(tab, method=method, threshold=0)
        tab.evaluate("document.getElementById('threshold').focus()")
        pictures = {view: [] for view in ("uncertainty", "removed")}
        for index, threshold in enumerate(THRESHOLDS):
            ready(tab, method=method, threshold=index)
            row = rows[name, subject]
            assert number(tab, "dice") == float(row["dice"])
            assert number(tab, "corrected") == float(row[f"corrected_dice_{threshold:.2f}"])
            overlap = row[f"ue_{threshold:.2f}"]  # undefined in places
            assert number(tab, "overlap") == (float(overlap) if overlap else None)
            assert tab.evaluate("document.getElementById('threshold-text').textContent") == f"{threshold:.2f}"
            for view, of in pictures.items():
                of.append(pixels(tab, view))
            tab.press("ArrowRight")
        assert len(set(pictures["uncertainty"])) >= 9 and len(set(pictures["removed"])) >= 6
    assert tab.complaints == []


def test_pointer_on_the_slider(run, tab):
    """A press on the middle of the colour scale chooses the threshold whose border lies there."""
    opened(tab, run[0] / "report.html")
    tab.evaluate("document.getElementById('threshold').scrollIntoView({block: 'center'})")
    box = tab.evaluate("JSON.stringify(document.getElementById('colours').getBoundingClientRect())")
    box = json.loads(box)
    for index in (2, 5, 9):
        x, y = box["x"] + box["width"] * (index + 1) / 12, box["y"] + box["height"] / 2
        for kind in ("mousePressed", "mouseReleased"):
            tab.mouse(kind, x, y, button="left", clickCount=1)
        ready(tab, threshold=index)


def test_views_by_keys_and_wheel(run, tab):
    """In the views: arrows, wheel and letters; the slice moves, stops at the ends, and the picture follows."""
    opened(tab, run[0] / "report.html")
    start, last = tab.evaluate("[data.viewer[0].start, data.viewer[0].shape[0] - 1]")
    tab.evaluate("document.getElementById('stage').focus()")
    before = pixels(tab, "none")
    tab.press("ArrowUp")
    ready(tab, slice=start + 1)
    assert pixels(tab, "none") != before
    tab.press("ArrowDown")
    ready(tab, slice=start)
    assert pixels(tab, "none") == before
    tab.press("g", 71)
    assert pixels(tab, "none") != before
    tab.press("m", 77)
    ready(tab, method=1)
    tab.press("End", 35)
    ready(tab, slice=last)
    tab.evaluate("document.getElementById('stage').scrollIntoView()")
    tab.mouse("mouseWheel", 300, 200, deltaX=0, deltaY=100)
    ready(tab, slice=last - 1)
    here = tab.evaluate("document.getElementById('here').textContent")
    tab.mouse("mouseMoved", 300, 150)
    tab.wait(f"document.getElementById('here').textContent !== {json.dumps(here)}")


def test_address(run, tab):
    """The address restores subject, method, slice and threshold, and is written when they change; nonsense is ignored."""
    opened(tab, run[0] / "report.html")
    name, first = tab.evaluate("[data.viewer[1].name, data.viewer[1].first]")
    opened(tab, run[0] / "report.html", f"#subject={name}&method=aleatoric&slice={first + 4}&threshold=0.95")
    method = tab.evaluate("data.methods.findIndex((method) => method.name === 'aleatoric')")
    ready(tab, subject=1, method=method, slice=3, threshold=10)
    row = next(r for r in read_csv(run[0] / "subjects.csv") if (r["method"], r["subject"]) == ("aleatoric", name))
    assert number(tab, "corrected") == float(row["corrected_dice_0.95"])
    tab.evaluate("document.getElementById('stage').focus()")
    tab.press("ArrowLeft")
    tab.wait("location.hash.endsWith('threshold=0.90')")
    assert f"subject={name}" in tab.evaluate("location.hash")
    opened(tab, run[0] / "report.html", "#subject=nobody&method=none&slice=x&threshold=7")
    ready(tab, subject=0, method=0)
    assert tab.complaints == []


def test_subject_table(run, tab):
    """Headers sort both ways and say so; a press on a row opens that subject in the viewer."""
    opened(tab, run[0] / "report.html")
    column = "[...document.querySelectorAll('#subject-table tbody tr')].map((row) => row.cells[1].textContent)"
    up = tab.evaluate(column)
    assert up == sorted(up)
    tab.evaluate("document.querySelector('[data-sort=dice]').focus()")
    tab.press("Enter")
    assert tab.evaluate(column) == up[::-1]
    assert tab.evaluate("document.querySelector('[aria-sort=descending] button').dataset.sort") == "dice"
    name = tab.evaluate("data.viewer[1].name")
    tab.evaluate(
        f"[...document.querySelectorAll('#subject-table tbody tr')].find((row) => row.textContent.includes('{name}')).click()"
    )
    ready(tab, subject=1)
    tab.evaluate(
        "document.getElementById('find').value = 'no such'; document.getElementById('find').dispatchEvent(new Event('input'))"
    )
    assert tab.evaluate("document.getElementById('found').textContent") == "0 of 2"


def test_curves(run, tab):
    """Arrow keys on the curves read off the means of thresholds.csv."""
    opened(tab, run[0] / "report.html")
    tab.evaluate("document.getElementById('chart').focus()")
    for _ in range(3):
        tab.press("ArrowRight")
    shown = tab.evaluate("[...document.querySelectorAll('#readout tbody tr')].map((row) => row.cells[2].textContent)")
    rows = [row for row in read_csv(run[0] / "thresholds.csv") if row["threshold"] == "0.20"]
    assert shown == [f"{float(row['ue']):.3f}" for row in rows]


def test_definitions(run, tab):
    """A column's definition shows while its header has the focus or the pointer, and hides on Escape."""
    opened(tab, run[0] / "report.html")
    visible = "getComputedStyle(document.getElementById('tip-ue')).visibility === 'visible'"
    assert not tab.evaluate(visible)
    tab.evaluate("document.querySelector('[aria-describedby=tip-ue]').focus()")
    assert tab.evaluate(visible)
    assert "overlap (Dice) of the errors" in tab.evaluate("document.getElementById('tip-ue').textContent")
    tab.press("Escape")
    assert not tab.evaluate(visible)
    tab.evaluate("document.activeElement.blur()")
    box = json.loads(
        tab.evaluate("JSON.stringify(document.querySelector('[aria-describedby=tip-ue]').getBoundingClientRect())")
    )
    tab.mouse("mouseMoved", box["x"] + 5, box["y"] + 5)
    tab.wait(visible)
    right = "document.getElementById('tip-ue').getBoundingClientRect().right <= document.documentElement.clientWidth"
    assert tab.evaluate(right)


def test_markup_in_names_is_text(folders, tab):
    """A subject named like markup is shown as its name; its script does not run; without an image there are views."""
    opened(tab, folders / "report.html")
    assert tab.evaluate(
        "[...document.querySelectorAll('#subject-table th')].some((cell) => cell.textContent === data.subjects[0])"
    )
    tab.evaluate(f"change({{subject: data.viewer.findIndex((one) => one.name === {json.dumps(EVIL)}), slice: 0}})")
    tab.wait("document.getElementById('state').textContent.includes('<img')")
    assert tab.evaluate("[...document.querySelectorAll('img')].every((one) => one.src.startsWith('data:image/png'))")
    assert "caught" not in tab.evaluate("document.title") and tab.complaints == []
