"""The report's summary and provenance: what it says in words is what the tables say in numbers, whichever way they point."""

import dataclasses
import html
import pathlib
import re
from types import SimpleNamespace

import made_up_report
import numpy as np
import pytest
from made_up_maps import evaluate_study, make_study, read_csv, serial, undrawn

from data_prep.base import artefacts, made_up
from tfunc.reporting import benefits, in_short, provenance, remarks
from tfunc.reporting.in_short import Gain
from tfunc.reporting.table1 import Cell, Row
from tfunc.scoring import measures
from tfunc.scoring.failure import Detection
from tfunc.scoring.patients import Patients
from tfunc.scoring.review import Reviewed

ROOT = pathlib.Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A whole evaluation of made-up maps of phantom patients, without figures."""
    with pytest.MonkeyPatch.context() as patch:
        undrawn(patch)
        return made_up_report.evaluate(tmp_path_factory.mktemp("in_short"), serial).folder


def text_of(page):
    """The page as it is read: without scripts and tags."""
    page = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def reviewed(dice):
    """`Patients` of one method whose list has subjects of these Dice, in this order."""
    listed = [Reviewed(f"s{at}", at + 1, "mean_inside", 1, 0, 0, 0, 0, 0, 0, one) for at, one in enumerate(dice)]
    return Patients((), {"a": None}, {"a": listed}, "a", 0.7, 0)


def test_review_sentence():
    """3 of 22: the mean of the other 19, of the same without the three lowest, and the direction, whichever it is."""
    dice = np.linspace(0.4, 0.9, 22)
    found = in_short.gain(reviewed(dice))
    assert dataclasses.astuple(found) == pytest.approx((3, 22, dice.mean(), dice[3:].mean(), dice[3:].mean()))
    assert f"Review 3 of 22 and the mean Dice of the rest rises from {dice.mean():.3f} to {dice[3:].mean():.3f}." in (
        found.sentence()
    )
    backwards = in_short.gain(reviewed(dice[::-1]))
    assert "falls from 0.650" in backwards.sentence() and backwards.best == pytest.approx(dice[3:].mean())
    assert "stays at 0.500" in in_short.gain(reviewed([0.5] * 9)).sentence()
    assert in_short.gain(reviewed([0.5] * 3)) is None


def test_summary_is_of_the_tables(folder):
    """The sentence's numbers are those of review.csv, the best method that of table1.csv, and the data are called made up."""
    text = text_of((folder / "report.html").read_text())
    rows = read_csv(folder / "table1.csv")
    best = max(rows, key=lambda row: float(row["dice"]))
    assert f"Segments best {best['title']}: mean Dice {float(best['dice']):.3f}" in text
    lists = {}
    for row in read_csv(folder / "review.csv"):
        lists.setdefault(row["method"], []).append(float(row["dice"]))
    sentences = {Gain(2, 12, np.mean(d), np.mean(d[2:]), np.mean(sorted(d)[2:])).sentence() for d in lists.values()}
    assert any(sentence in text for sentence in sentences)
    assert "12 patients of the test set of BraTS." in text and "Made-up data." in text
    page = (folder / "report.html").read_text()
    assert "<title>Voxel-wise uncertainty on BraTS (made-up data)</title>" in page


def test_order_of_the_page(folder):
    """What a reader needs first stands first; without JavaScript the notice before all of it."""
    page = (folder / "report.html").read_text()
    order = [
        "in-short",
        "review",
        "failures",
        "viewer",
        "table1",
        "calibration",
        "subjects",
        "thresholds",
        "notes",
        "provenance",
    ]
    places = [page.index(f'<section id="{name}"') for name in order]
    assert places == sorted(places)
    assert re.search(r"<body>\s*<noscript>", page)


def test_data_that_nobody_marked(tmp_path, monkeypatch):
    """Of folders without a mark the report says neither made-up nor real; with one it says it."""
    undrawn(monkeypatch)
    make_study(tmp_path)
    first = evaluate_study(tmp_path)
    assert not first.summary["made_up"] and made_up.WORDS not in (first.folder / "report.html").read_text()
    assert "Nothing marks these data as made up." in first.report.read_text()
    (tmp_path / made_up.MARK).write_text("{}")
    first.report.unlink()
    assert "(made-up data)</title>" in evaluate_study(tmp_path).report.read_text()


def test_benefit_and_harm(folder):
    """Whose Dice rises and falls, and by how much, recomputed from subjects.csv; the best mean over all thresholds."""
    page = (folder / "report.html").read_text()
    subjects, cells = read_csv(folder / "subjects.csv"), artefacts.read_json(folder / "summary.json")["methods"]
    section = page[page.index('<section id="thresholds"') :]
    for method, of in cells.items():
        threshold = of["table1"]["bnf"]["threshold"]
        own = [row for row in subjects if row["method"] == method]
        change = [float(row[f"corrected_dice_{threshold:.2f}"]) - float(row["dice"]) for row in own]
        rises, falls = sum(one > 0 for one in change), sum(one < 0 for one in change)
        row = re.search(rf'<tr><th scope="row">{re.escape(of["title"])}</th>(.*?)</tr>', section).group(1)
        shown = re.findall(r"<td[^>]*>([^<]*)", row)
        assert shown[:4] == [f"{threshold:.2f}", str(rises), str(falls), str(len(own) - rises - falls)]
        assert shown[4].strip() == f"{np.mean(change):+.3f}".replace("-", "−")
        assert rises / len(own) == pytest.approx(of["table1"]["bnf"]["mean"])


def test_no_threshold_helps():
    """The sentence names who has none, and all where it is all."""
    one = benefits.Benefit("a", "A", 0.5, 1, 2, 0, -0.1, -0.2, 0.0, -0.01, 0.95, True)
    other = dataclasses.replace(one, method="b", title="B", best=0.02)
    assert benefits.never([other]) == ""
    assert benefits.never([one, other]) == "No threshold raises the mean Dice of A."
    assert "any method" in benefits.never([one])


def rows_of(*dice):
    cells = {m.name: Cell(0.5, 0.4, 0.6, 0.3 if m.by_threshold else None, 1) for m in measures.table1()}
    return [Row(f"m{at}", f"M{at}", True, 2, {**cells, "dice": Cell(one, 0, 1)}) for at, one in enumerate(dice)]


def test_unlike_dice_is_said():
    """Only where methods' Dice is more than 0.05 apart; an undefined one has no part in it."""
    assert remarks.unlike_dice(rows_of(0.8, 0.85)) == "" and remarks.unlike_dice(rows_of(0.8, float("nan"))) == ""
    said = remarks.unlike_dice(rows_of(0.21, 0.8, float("nan")))
    assert "from 0.210 (M0) to 0.800 (M1)" in said and "not comparable" in said


def test_provenance(folder):
    """Versions, split, seeds, each network's checksum and the records' identity stand in the page, as in summary.json."""
    said = artefacts.read_json(folder / "summary.json")
    page = (folder / "report.html").read_text()
    section = page[page.index('<section id="provenance"') :]
    assert len(said["provenance"]["networks"]) >= 3
    for name, one in said["provenance"]["networks"].items():
        assert f'<th scope="row">{name}</th>' in section and one["sha256"] in section
    assert said["inputs"]["records"] in section and said["provenance"]["versions"]["numpy"] in section
    assert said["provenance"]["predictions"]["ensemble"]["seed"] == 20 and provenance.DOI in section


def test_a_command_is_text(folder):
    """A command that looks like markup is shown as it was typed."""
    summary = artefacts.read_json(folder / "summary.json")
    summary["provenance"]["command"] = "evaluate --out_dir='<img src=x>'"
    assert "&lt;img src=x&gt;" in provenance.section(summary) and "<img" not in provenance.section(summary)


def test_citation_is_that_of_the_file():
    """What the report says to cite is what CITATION.cff says."""
    said = (ROOT / "CITATION.cff").read_text()
    for text in (
        provenance.SOFTWARE,
        provenance.AUTHORS,
        provenance.DOI,
        "Medical Image Computing and Computer Assisted",
    ):
        assert text in said
    for word in re.findall(r"title: (.+)|family-names: (.+)|year: (.+)", said):
        assert "".join(word).strip('"') in provenance.SOFTWARE + provenance.PAPER


def test_backwards_scores_are_called_so(folder):
    """Each score whose rank correlation with 1 - Dice is negative says so in its cell, and none else."""
    page = (folder / "report.html").read_text()
    section = page[page.index('<section id="failures"') : page.index('<section id="viewer"')]
    negative = [row for row in read_csv(folder / "failures.csv") if row["spearman"] and float(row["spearman"]) < 0]
    assert negative and section.count("ranks backwards, correlation") == len(negative)
    sure = [
        row for row in negative if float(row["spearman_high"]) < 0
    ]  # the summary names those that chance does not make
    assert ("Ranks backwards" in page) == bool(sure)


def detection(spearman, closed, width=0.1):
    """Of a score with intervals of that width to both sides."""
    values = {"spearman": spearman, "closed": closed}
    low, high = ({name: value + way * width for name, value in values.items()} for way in (-1, 1))
    return Detection("baseline", "top", 20, 2, values, low, high, None)


@pytest.mark.parametrize(
    ("spearman", "closed", "said"),
    [
        (-0.13, 0.12, "No: it ranks backwards here"),
        (0.34, -0.2, "No: it is no better than no order"),
        (0.3, 0.05, "Not certain: it goes 5 %"),
        (0.6, 0.5, "Yes: it goes 50 %"),
    ],
)
def test_whether_a_score_ranks(spearman, closed, said):
    """Backwards is what its rank correlation says, here as in the lists and their cells."""
    assert in_short._ranks(detection(spearman, closed)).startswith(said)


def test_what_ranks_backwards_is_named_where_it_is_sure():
    """One correlation below 0 with its whole interval, one that may be chance."""
    listed = SimpleNamespace(dice=0.8, score="top")
    found = SimpleNamespace(
        reviews={"baseline": [listed]}, first="baseline", chosen={}, of=lambda method: [],
        detections=[detection(-0.5, -0.5), detection(-0.05, -0.5)],
    )  # fmt: skip
    said = dict(in_short._patients(found))
    assert said["Ranks backwards"].startswith("1 of 2 scores")


@pytest.mark.parametrize(
    ("ever", "said"), [(True, "of 0 subjects rises and that of 4 falls"), (False, "above any threshold")]
)
def test_harm_stands_beside_benefit(monkeypatch, ever, said):
    """Where nobody gains at the chosen threshold those who lose are said all the same, unless no threshold helps anybody."""
    one = benefits.Benefit("m0", "M0", 0.5, 0, 4, 0, -0.1, -0.2, 0.0, -0.01, 0.95, ever)
    monkeypatch.setattr(benefits, "benefits", lambda part: [one])
    ((_, text),) = in_short._thresholds(SimpleNamespace(rows=rows_of(0.8)))
    assert said in text


def test_no_expected_volume_is_shown(folder):
    """The sum of the probabilities, which a floor in the background dominates, stands in subjects.csv alone."""
    rows = read_csv(folder / "subjects.csv")
    assert all(float(row["expected_volume"]) > 0 for row in rows)
    page = (folder / "report.html").read_text()
    assert "expected volume" not in page and "expected_volume" not in page
