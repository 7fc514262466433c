"""Figures show the numbers that the tables hold, in every form, for one subject as for many."""

import os
import subprocess
import sys

import matplotlib
import numpy as np
from conftest import ROOT

from data_prep.tasks import TASKS
from tfunc import methods
from tfunc.reporting import drawing, figures, overlays
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
    figure = figures.figure1(found.scores, found.counts, {"S1": "s2", "S2": "s0"}, task=TASKS["isic"])
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


def test_many_methods_have_panels_of_their_own():
    """Of more than five each has its own curve in colour, the same numbers, before the others in grey."""
    found = study(methods=("baseline", "center", "ensemble", "aleatoric", "a", "b"))
    axes = figures.thresholds_figure(found.scores).axes
    assert len(axes) == 18
    order = list(drawing.styles(found.scores))
    for column, method in enumerate(order):
        own = lines(axes[column])
        assert list(own) == [title(method)] and len(axes[column].lines) == 7
        np.testing.assert_array_equal(own[title(method)].get_ydata(), found.scores[method].mean("ue"))
        np.testing.assert_array_equal(axes[6 + column].lines[-1].get_ydata(), found.scores[method].mean("bnf"))
    assert len(figures.thresholds_figure(study().scores).axes) == 3


def test_subjects_are_counted_in_whole_numbers():
    """No tick of the subjects' axis lies between two of them, and the panels say whose they are."""
    for subjects in (1, 4, 22):
        levels, gaps = figures.calibration_figure(study(subjects).scores).axes
        assert all(float(tick).is_integer() for tick in gaps.get_xticks())
    assert gaps.get_title(loc="left") == "each subject, 2 methods" and levels.get_title(loc="left") == "each method"
    _, gaps = figures.calibration_figure(study(methods=("aleatoric",)).scores).axes
    assert gaps.get_title(loc="left") == "each subject, aleatoric"


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
    figure = figures.figure1(evaluated.scores, counts, {"S1": "s$^0"})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [r"a\$b^{", " _mine", "R^2_\\$\\frac\\$"]


def test_nothing_to_show():
    """Empty targets and predictions, where overlaps are undefined, still draw."""
    found = study(2, empty=True)
    for figure in (
        figures.figure1(found.scores, found.counts, {}),
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
