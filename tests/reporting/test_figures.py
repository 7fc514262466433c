"""Figures show the numbers that the tables hold, in every form, for one subject as for many."""

import itertools
import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from conftest import ROOT

from data_prep.tasks import TASKS
from tfunc import methods
from tfunc.reporting import drawing, figures, overlays, reliability
from tfunc.reporting.table1 import title
from tfunc.scoring import metrics, sources, statistics
from tfunc.scoring.binary import count
from tfunc.scoring.evaluate import Evaluated


def study(subjects=4, methods=("baseline", "aleatoric", "ours"), empty=False, seed=0):
    """`Evaluated` of made-up images."""
    rng, counts = np.random.default_rng(seed), {}
    for method in methods:
        counts[method] = {}
        for index in range(subjects):
            target = np.zeros((12, 12), bool) if empty else rng.random((12, 12)) < 0.3
            score = np.zeros((12, 12)) if empty else np.clip(0.7 * target + 0.3 * rng.random((12, 12)), 0, 1)
            counts[method][f"s{index}"] = count(score, "probability", score > 0.5, target)
    maps = tuple(sources.Maps(method, "probability", ".", tuple(counts[method])) for method in methods)
    return Evaluated(maps, {m: statistics.scores(of) for m, of in counts.items()}, counts)


def lines(axes, labelled=True):
    return {line.get_label(): line for line in axes.lines if not labelled or not line.get_label().startswith("_")}


def test_figure1_holds_the_counts():
    """Each curve is its method's calibration, of the pooled voxels and of each subject; counts stand below."""
    found = study()
    figure = reliability.figure1(found.scores, found.counts, {"S1": "s2", "S2": "s0"}, task=TASKS["isic"])
    top, below = figure.axes[:3], figure.axes[3:]
    assert [axes.get_title(loc="left").split("\n")[0] for axes in top] == ["D  ISIC data set", "S1  s2", "S2  s0"]
    for method, of in found.scores.items():
        for axes, counts in zip(top, (of.pooled, found.counts[method]["s2"], found.counts[method]["s0"]), strict=True):
            curve = metrics.calibration(counts)
            line = lines(axes)[title(method)]
            np.testing.assert_array_equal(line.get_xdata(), curve.mean_probability[curve.count > 0])
            np.testing.assert_array_equal(line.get_ydata(), curve.positive_fraction[curve.count > 0])
    drawn = below[0].patches[0].get_data().values
    pooled = metrics.calibration(found.scores["baseline"].pooled).count
    np.testing.assert_array_equal(np.nan_to_num(drawn), pooled)


def test_supplementary_figures_hold_the_means():
    """Threshold curves are the means over subjects; the classes' shares stand in the legend."""
    found = study()
    overlap, benefit, trade = figures.thresholds_figure(found.scores).axes
    of = found.scores["baseline"]
    np.testing.assert_array_equal(lines(overlap)["baseline"].get_ydata(), of.mean("ue"))
    np.testing.assert_array_equal(benefit.lines[0].get_ydata(), of.mean("bnf"))
    np.testing.assert_array_equal(trade.lines[0].get_xydata().T, (of.mean("error_precision"), of.mean("error_recall")))
    levels, gaps = figures.calibration_figure(found.scores).axes
    assert lines(levels)["mean of subjects"].get_xdata()[0] == 100 * of.mean("ece")
    under = statistics.miscalibration(found.scores).under
    assert f"under-confident {100 * under:.0f} %" in [text.get_text() for text in gaps.get_legend().get_texts()]


def test_thousands_of_subjects_are_one_shape(monkeypatch):
    """Not a rectangle each, of the same heights in the same places, and the axis holds them all."""
    scores = study(12).scores
    bars = figures.calibration_figure(scores).axes[1]
    heights = {round(bar.get_x() + 0.45): bar.get_height() for bar in bars.patches if bar.get_x() > 0}
    monkeypatch.setattr(figures, "BARS", 2)
    shapes = figures.calibration_figure(scores).axes[1]
    assert len(bars.patches) == 12 + 3 and len(shapes.patches) < 12
    filled = [path for one in shapes.collections for path in one.get_paths()]
    few = {round(bar.get_x() + 0.45): bar.get_height() for bar in shapes.patches if bar.get_x() > 0}
    assert len(few) < len(heights) == len(set(heights.values())) == 12

    def reaches(row, height):
        return any(path.contains_point((row, height)) for path in filled)

    for row, height in heights.items():
        assert few.get(row) == height or (reaches(row, 0.999 * height) and not reaches(row, 1.001 * height)), row
    assert shapes.get_ylim() == pytest.approx(bars.get_ylim()) and shapes.get_xlim() == bars.get_xlim()


def test_legends_are_read_by_rows():
    """matplotlib fills columns: handed over so, each row holds the next entries, and only the last may be short."""
    for number, most in ((9, 8), (8, 8), (3, 8), (10, 4), (1, 8), (17, 8)):
        order, columns = drawing.by_rows(number, most)
        assert sorted(order) == list(range(number)) and columns <= most
        heights = [len(range(column, number, columns)) for column in range(columns)]
        grid, taken = {}, iter(order)
        for column, height in enumerate(heights):
            grid |= {(row, column): next(taken) for row in range(height)}
        assert [grid[place] for place in sorted(grid)] == list(range(number))
        assert heights == [-(-(number - column) // columns) for column in range(columns)]


def gaps(line):
    """The curves that one line holds, broken by NaN between them."""
    points = line.get_xydata()
    return np.split(points, np.flatnonzero(np.isnan(points[:, 0])) + 1)[:-1]


def test_many_methods_have_panels_of_their_own():
    """Of more than four each has its own curve in colour, the same numbers, before the others in grey."""
    found = study(methods=("baseline", "center", "ensemble", "aleatoric", "a", "b"))
    axes = figures.thresholds_figure(found.scores).axes
    assert len(axes) == 18
    order = list(drawing.styles(found.scores))
    for column, method in enumerate(order):
        own = lines(axes[column])
        assert list(own) == [title(method)] and len(axes[column].lines) == 2
        assert axes[column].get_title() == title(method)
        np.testing.assert_array_equal(gaps(axes[column].lines[0])[0][:-1, 1], found.scores["baseline"].mean("ue"))
        np.testing.assert_array_equal(own[title(method)].get_ydata(), found.scores[method].mean("ue"))
        np.testing.assert_array_equal(axes[6 + column].lines[-1].get_ydata(), found.scores[method].mean("bnf"))
    assert len(figures.thresholds_figure(study(methods=order[:4]).scores).axes) == 3


def test_figure1_of_many_methods_is_small_panels():
    """A row of the data set and of each subject by a column a method: its own counts in colour, everyone's in grey, its name."""
    names = ("baseline", "center", "ensemble", "aleatoric", "a", "b")
    found = study(methods=names)
    figure = reliability.figure1(found.scores, found.counts, {"S1": "s2", "S2": "s0"}, ("why", ""), TASKS["isic"])
    order = list(drawing.styles(found.scores))
    assert len(figure.axes) == 2 * 3 * 6 and not figure.legends
    headings = [text.get_text() for text in figure.texts][:3]
    assert headings == ["D  ISIC data set, all subjects pooled", "S1  s2, why", "S2  s0"]
    for row, of in enumerate(({m: s.pooled for m, s in found.scores.items()}, *(_of(found, s) for s in ("s2", "s0")))):
        every = [metrics.calibration(of[method]) for method in order]
        for column, (method, curve) in enumerate(zip(order, every, strict=True)):
            above, below = figure.axes[2 * (6 * row + column) :][:2]
            used = curve.count > 0
            assert above.get_title() == title(method) and list(lines(above)) == [title(method)]
            own = lines(above)[title(method)]
            np.testing.assert_array_equal(
                own.get_xydata().T, (curve.mean_probability[used], curve.positive_fraction[used])
            )
            assert own.get_color() == drawing.styles(order)[method]["color"]
            (diagonal, grey) = (line for line in above.lines if line is not own)
            assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]] and len(gaps(grey)) == 6
            for other, drawn in zip(every, gaps(grey), strict=True):
                np.testing.assert_array_equal(drawn[:-1, 1], other.positive_fraction[other.count > 0])
            np.testing.assert_array_equal(np.nan_to_num(below.patches[0].get_data().values), curve.count)
            assert above.get_xlim() == above.get_ylim() == (-0.02, 1.02)
            assert below.get_ylim() == (0.8, 2 * max(one.count.max() for one in every))
    assert len(reliability.figure1(*_few(found, 4), {}).axes) == 2


def _of(found, subject):
    return {method: of[subject] for method, of in found.counts.items()}


def _few(found, number):
    return tuple(dict(list(of.items())[:number]) for of in (found.scores, found.counts))


def test_very_many_methods_stand_in_blocks():
    """Never more panels beside each other than names are read above; blocks are as full as each other, none is left out."""
    for number in (1, 5, 9, 10, 12, 19):
        names = [f"m{index}" for index in range(number)]
        blocks = drawing.blocks(names)
        assert [name for block in blocks for name in block] == names
        assert len(blocks) == -(-number // 9) and max(map(len, blocks)) - min(map(len, blocks)) < len(blocks)
    found = study(2, [f"method_{index}" for index in range(11)])
    figure = reliability.figure1(found.scores, found.counts, {"S1": "s0"})
    above = figure.axes[::2]
    assert len(above) == 22 and len({round(axes.get_position().x0, 6) for axes in above}) == 6
    assert sorted({axes.get_title() for axes in above}) == sorted(map(title, found.scores))
    boxes = [axes.get_position() for axes in figure.axes]
    assert not any(a.overlaps(b) for at, a in enumerate(boxes) for b in boxes[:at])
    assert len(figures.thresholds_figure(found.scores).axes) == 33


def test_names_above_small_panels_fit():
    """With nine beside each other no name reaches into the next panel's, and a name without end is cut."""
    paper = [name for name, method in methods.METHODS.items() if method.in_paper]
    found = study(2, (*paper, "a_method_of_my_own_with_a_name_that_does_not_end_so_soon"))
    for figure in (reliability.figure1(found.scores, found.counts, {}), figures.thresholds_figure(found.scores)):
        figure.draw_without_rendering()
        titles = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
        assert len(titles) == 9
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(titles))


def test_subjects_are_counted_in_whole_numbers():
    """No tick of the subjects' axis lies between two of them, and the panels say whose they are."""
    for subjects in (1, 4, 22):
        levels, gaps = figures.calibration_figure(study(subjects).scores).axes
        assert all(float(tick).is_integer() for tick in gaps.get_xticks())
    assert gaps.get_title(loc="left") == "each subject, 2 methods" and levels.get_title(loc="left") == "each method"
    _, gaps = figures.calibration_figure(study(methods=("aleatoric",)).scores).axes
    assert gaps.get_title(loc="left") == "each subject, aleatoric"


@pytest.mark.long
def test_made_up_data_stand_above_a_figure(tmp_path):
    """Inside the block each figure is headed, outside it none, and the picture is another."""
    drawn = []

    def draw():
        drawn.append(figures.calibration_figure(study().scores))
        return drawn[-1]

    with drawing.headed("made-up data"):
        drawing.save(tmp_path, "a", draw)
    drawing.save(tmp_path, "b", draw)
    assert drawn[0].get_suptitle() == "made-up data" and drawn[1].get_suptitle() == ""
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


@pytest.mark.long
def test_every_form_is_written(tmp_path):
    """PNG and PDF of each figure, also for a single subject."""
    paths = figures.write_all(tmp_path, study(1, ("ours",)), {"S1": "s0"}, by_rule=True, task=None)
    assert sorted(path.name for path in paths) == sorted(path.name for path in tmp_path.iterdir())
    assert {path.suffix for path in paths} == {".png", ".pdf"} and len(paths) == 6


def test_equal_data_gives_equal_files(tmp_path):
    """A PDF holds no date: drawn twice, the bytes are the same."""
    found = study(2)
    first, second = (
        drawing.save(tmp_path / name, "calibration", figures.calibration_figure, found.scores, endings=("pdf",))
        for name in ("a", "b")
    )
    assert first[0].read_bytes() == second[0].read_bytes()


ODD = {
    "text.usetex": True, "savefig.bbox": "tight", "figure.dpi": 20, "savefig.dpi": 20, "font.size": 40, "svg.fonttype": "none",
    "axes.unicode_minus": False, "savefig.format": "svg", "axes.prop_cycle": "cycler('color', ['r'])", "font.family": "serif",
    "figure.facecolor": "black", "axes.grid": True, "lines.antialiased": False, "image.origin": "lower", "path.simplify": False,
    "savefig.transparent": True, "axes.xmargin": 0.4, "figure.constrained_layout.h_pad": 1.0, "legend.frameon": True,
}  # fmt: skip
DRAWS = """
import sys; sys.path[:0] = [{tests!r}, {reporting!r}]
import test_figures
test_figures.draw(sys.argv[1])
"""


def draw(folder):
    """Every figure that needs no records, in every form -> their bytes by name."""
    paths = figures.write_all(folder, study(2), {"S1": "s0"}, by_rule=True, task=None)
    return {path.name: path.read_bytes() for path in paths}


@pytest.mark.long
def test_the_users_matplotlib_changes_nothing(tmp_path):
    """Odd settings of the process, a matplotlibrc and a backend that needs a display: the same bytes, and theirs stay."""
    expected = draw(tmp_path / "plain")
    with matplotlib.rc_context(ODD):
        before = dict(matplotlib.rcParams)
        assert draw(tmp_path / "odd") == expected
        assert dict(matplotlib.rcParams) == before
    (tmp_path / "matplotlibrc").write_text("".join(f"{name}: {value}\n" for name, value in ODD.items()))
    program = DRAWS.format(tests=str(ROOT / "tests"), reporting=str(ROOT / "tests" / "reporting"))
    for backend in ("QtAgg", "module://no.such.module"):
        environment = {**os.environ, "MPLBACKEND": backend, "PYTHONPATH": str(ROOT)}
        environment.pop("DISPLAY", None)
        command = [sys.executable, "-c", program, str(tmp_path / backend[:5])]
        subprocess.run(
            command, cwd=tmp_path, env=environment, check=True
        )  # matplotlib reads the folder's own matplotlibrc
        found = {path.name: path.read_bytes() for path in (tmp_path / backend[:5]).iterdir()}
        assert found == expected


def test_names_are_no_formulas(tmp_path):
    """Dollars, carets and backslashes of a method's or subject's name are drawn, and a first underscore hides no method."""
    evaluated = study(1, ("a$b^{", "_mine", "R^2_$\\frac$"))
    counts = {method: {"s$^0": of["s0"]} for method, of in evaluated.counts.items()}
    evaluated = Evaluated(evaluated.maps, evaluated.scores, counts)
    figures.write_all(tmp_path, evaluated, {"S1": "s$^0"}, by_rule=False, task=None)
    figure = reliability.figure1(evaluated.scores, counts, {"S1": "s$^0"})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [r"a\$b^{", " _mine", "R^2_\\$\\frac\\$"]


def test_nothing_to_show():
    """Empty targets and predictions, where overlaps are undefined, still draw."""
    found = study(2, empty=True)
    for figure in (
        reliability.figure1(found.scores, found.counts, {}),
        figures.thresholds_figure(found.scores),
        figures.calibration_figure(found.scores),
    ):
        figure.draw_without_rendering()


def test_styles_tell_all_methods_apart():
    """Every method of the paper, and several more, has its own combination of colour, line and marker."""
    paper_rows = [name for name, method in methods.METHODS.items() if method.in_paper]
    look = drawing.styles([*reversed(paper_rows), "a", "b", "c", "d"])
    assert list(look)[:8] == paper_rows and len({tuple(one.values()) for one in look.values()}) == 12


def test_the_crop_holds_what_is_used():
    """The overlay's crop is a square inside the picture that contains every used pixel, also at its corners."""
    for corner in ((0, 0), (59, 79), (30, 40)):
        used = np.zeros((60, 80), bool)
        used[corner] = True
        rows, columns = overlays._box(used)
        assert used[rows, columns].any() and rows.stop - rows.start == columns.stop - columns.start == 24
        assert 0 <= rows.start < rows.stop <= 60 and 0 <= columns.start < columns.stop <= 80
    assert used[overlays._box(np.zeros((60, 80), bool))].shape == (60, 80)
    assert overlays._box(np.ones((60, 80), bool))[0] == slice(0, 60)
