"""From subjects' counts to Table 1: means, chosen thresholds, ranks, bootstrap intervals, and its three forms.

The rules are the reference code's (section 6 of its description): means over subjects that skip undefined values;
thresholds of U-E and BnF chosen separately, the lowest of equals; values rounded first, then ranked densely.
"""

import csv
import dataclasses
import io

import numpy as np

from tfunc.methods import METHODS
from tfunc.scoring import metrics

RESAMPLES = 1000
SEED = 0

# The paper's rows in the paper's order: name, title.
PAPER_ROWS = {
    "baseline": "baseline",
    "center": "center",
    "baseline_mc": "baseline+MC",
    "center_mc": "center+MC",
    "ensemble": "ensemble",
    "auxiliary_feat": "auxiliary feat.",
    "auxiliary_segm": "auxiliary segm.",
    "aleatoric": "aleatoric",
}
# The paper's Table 1, by dataset and method: ECE %, U-E, BnF, Dice. Ranks follow from the values.
PUBLISHED = {
    "brats": {
        "baseline": (0.925, 0.432, 0.39, 0.874),
        "center": (1.758, 0.409, 0.5, 0.866),
        "baseline_mc": (0.9, 0.433, 0.36, 0.874),
        "center_mc": (1.233, 0.433, 0.27, 0.868),
        "ensemble": (0.919, 0.433, 0.32, 0.879),
        "auxiliary_feat": (0.923, 0.427, 0.48, 0.874),
        "auxiliary_segm": (0.925, 0.412, 0.48, 0.874),
        "aleatoric": (1.134, 0.054, 0.06, 0.872),
    },
    "isic": {
        "baseline": (7.256, 0.424, 0.26, 0.814),
        "center": (9.415, 0.411, 0.27, 0.78),
        "baseline_mc": (7.36, 0.428, 0.24, 0.813),
        "center_mc": (8.766, 0.428, 0.17, 0.794),
        "ensemble": (7.131, 0.431, 0.31, 0.831),
        "auxiliary_feat": (7.216, 0.421, 0.33, 0.814),
        "auxiliary_segm": (7.212, 0.433, 0.27, 0.814),
        "aleatoric": (7.837, 0.058, 0.12, 0.82),
    },
}
TEST_SUBJECTS = {"brats": 160, "isic": 600}  # how many the paper's table averages over


@dataclasses.dataclass(frozen=True)
class Metric:
    """A column. `score` is the field of `Scores`; [subjects, 11] fields get a threshold. Printed: scale and digits."""

    name: str
    title: str
    score: str
    scale: int
    digits: int
    lower_is_better: bool
    definition: str

    def printed(self, value):
        """The value as the paper prints it: scaled and rounded."""
        return float(np.round(value * self.scale, self.digits))


METRICS = (
    Metric("ece", "ECE %", "ece", 100, 3, True, "expected calibration error, mean over subjects"),
    Metric("ue", "U-E", "ue", 1, 3, False, "overlap (Dice) of the errors and the uncertain voxels, mean over subjects"),
    Metric("bnf", "BnF", "benefit", 1, 2, False, "share of subjects whose Dice rises without the uncertain voxels"),
    Metric(
        "bnf_inequality",
        "BnF ineq.",
        "inequality",
        1,
        2,
        False,
        "share of subjects with FPU TP > TPU (TP + FP + FN), the paper's condition; false for empty targets",
    ),
    Metric("dice", "Dice", "dice", 1, 3, False, "Dice coefficient of the segmentation, mean over subjects"),
)
_PUBLISHED_ORDER = ("ece", "ue", "bnf", "dice")


@dataclasses.dataclass(frozen=True)
class Scores:
    """One method on one set: float64 fields by subject [S], or by subject and threshold [S, 11]; NaN is undefined.

    gap: `metrics.confidence_gap`.  pooled: `metrics.Counts` of all subjects together.
    """

    subjects: tuple
    dice: np.ndarray
    ece: np.ndarray
    accuracy: np.ndarray
    gap: np.ndarray
    ue: np.ndarray
    error_precision: np.ndarray
    error_recall: np.ndarray
    corrected_dice: np.ndarray
    benefit: np.ndarray
    inequality: np.ndarray
    pooled: metrics.Counts


def scores(counts):
    """{subject: Counts} -> `Scores`, in the order of the dictionary."""

    def each(function):
        return np.array([function(one) for one in counts.values()], np.float64)

    return Scores(
        subjects=tuple(counts),
        dice=each(metrics.dice),
        ece=each(metrics.calibration_error),
        accuracy=each(metrics.accuracy),
        gap=each(metrics.confidence_gap),
        ue=each(metrics.error_overlap),
        error_precision=each(metrics.error_precision),
        error_recall=each(metrics.error_recall),
        corrected_dice=each(metrics.corrected_dice),
        benefit=each(metrics.benefits),
        inequality=each(metrics.benefits_inequality),
        pooled=sum(counts.values(), metrics.empty_counts()),
    )


def mean(values):
    """Mean over axis 0 of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    number = defined.sum(axis=0)
    total = np.where(defined, values, 0).sum(axis=0)
    return np.divide(total, number, out=np.full(np.shape(total), np.nan), where=number > 0)[()]


def best_threshold(values):
    """Index of the threshold with the highest mean over subjects, the lowest of equals. values: [S, 11]."""
    means = mean(values)
    return int(np.argmax(np.where(np.isnan(means), -np.inf, means)))


def thresholds(of):
    """{column: index of its best threshold} for a method's `Scores`."""
    return {m.name: best_threshold(getattr(of, m.score)) for m in METRICS if getattr(of, m.score).ndim == 2}


@dataclasses.dataclass(frozen=True)
class Cell:
    """Mean over subjects, 95 % bootstrap interval, threshold (where the metric has one), rank, published value."""

    mean: float
    low: float
    high: float
    threshold: float | None = None
    rank: int | None = None
    published: float | None = None
    published_rank: int | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """A method's row: cells by column name. Rows that are not `ranked` stand below the line."""

    method: str
    title: str
    ranked: bool
    subjects: int
    cells: dict


def table1(by_method, chosen=None, published=None):
    """Rows of Table 1: the paper's methods in its order, ranked among themselves, then others.

    by_method: {method: Scores}.  chosen: {method: thresholds(...)}, where they were chosen on another set; by default
    on the same subjects, which is the paper's way and favours every method.  published: a dataset's name to show the
    paper's values. Where no method is the paper's, all are ranked.
    """
    in_paper = [name for name in PAPER_ROWS if name in by_method]
    order = in_paper + [name for name in by_method if name not in PAPER_ROWS]
    ranked = set(in_paper or order)
    rows = [_row(name, by_method[name], (chosen or {}).get(name), name in ranked) for name in order]
    for metric in METRICS:
        _rank(rows, metric)
    return [_with_published(row, published) for row in rows] if published else rows


def title(method):
    """How the table names a method: the paper's title, ours for later methods, else the name itself."""
    return PAPER_ROWS.get(method) or (METHODS[method].title if method in METHODS else method)


def _row(name, of, chosen, ranked):
    chosen = chosen or thresholds(of)
    cells = {}
    for metric in METRICS:
        values = getattr(of, metric.score)
        index = chosen[metric.name] if values.ndim == 2 else None
        if index is None:
            cells[metric.name] = Cell(float(mean(values)), *interval(values))
        else:
            cells[metric.name] = Cell(
                float(mean(values)[index]), *interval(values[:, index]), metrics.THRESHOLDS[index]
            )
    return Row(name, title(name), ranked, len(of.subjects), cells)


def interval(values, resamples=RESAMPLES, seed=SEED):
    """95 % percentile bootstrap interval of the mean over subjects, undefined values skipped: (low, high)."""
    rng = np.random.default_rng(seed)
    means = mean(values[rng.integers(0, len(values), (len(values), resamples))])
    means = means[~np.isnan(means)]
    return tuple(float(v) for v in np.percentile(means, (2.5, 97.5))) if means.size else (float("nan"),) * 2


def dense_ranks(values, lower_is_better):
    """Ranks 1, 2, ... in which equal values share one and none is left out; None for NaN."""
    sign = 1 if lower_is_better else -1
    distinct = sorted({sign * value for value in values if not np.isnan(value)})
    return [None if np.isnan(value) else distinct.index(sign * value) + 1 for value in values]


def _rank(rows, metric):
    among = [row for row in rows if row.ranked]
    ranks = dense_ranks([metric.printed(row.cells[metric.name].mean) for row in among], metric.lower_is_better)
    for row, rank in zip(among, ranks, strict=True):
        row.cells[metric.name] = dataclasses.replace(row.cells[metric.name], rank=rank)


def _with_published(row, dataset):
    values = PUBLISHED[dataset].get(row.method)
    if values is None:
        return row
    cells = dict(row.cells)
    for column, name in enumerate(_PUBLISHED_ORDER):
        metric = next(m for m in METRICS if m.name == name)
        everyone = [of[column] for of in PUBLISHED[dataset].values()]
        rank = dict(zip(everyone, dense_ranks(everyone, metric.lower_is_better), strict=True))[values[column]]
        cells[name] = dataclasses.replace(cells[name], published=values[column], published_rank=rank)
    return dataclasses.replace(row, cells=cells)


# --------------------------------------------------------------------------------------------------------------- forms


def cell_text(metric, cell):
    """`0.925 (4)`, the paper's form; a dash where undefined, no rank below the line."""
    if np.isnan(cell.mean):
        return "–"
    return f"{metric.printed(cell.mean)}" + (f" ({cell.rank})" if cell.rank else "")


def interval_text(metric, cell):
    """`[0.871, 0.978]`, or nothing where undefined."""
    if np.isnan(cell.low):
        return ""
    return f"[{cell.low * metric.scale:.{metric.digits}f}, {cell.high * metric.scale:.{metric.digits}f}]"


def threshold_text(cell):
    """` at 0.40` for a metric that has a threshold, else nothing."""
    return "" if cell.threshold is None or np.isnan(cell.mean) else f" at {cell.threshold:.2f}"


def _published_text(cell):
    return "" if cell.published is None else f"{cell.published} ({cell.published_rank})"


def csv_text(rows):
    """Table 1 as CSV: unrounded means (ECE as a fraction), interval, rank, threshold and the paper's printed value."""
    names = ("mean", "low", "high", "rank", "threshold", "published")
    header = ["method", "title", "ranked", "subjects"]
    header += [m.name if name == "mean" else f"{m.name}_{name}" for m in METRICS for name in names]
    lines = [header]
    for row in rows:
        values = [getattr(row.cells[m.name], name) for m in METRICS for name in names]
        lines.append([row.method, row.title, int(row.ranked), row.subjects, *map(number, values)])
    return rows_text(lines)


def rows_text(lines):
    """Rows as CSV text."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()


def number(value):
    """A CSV cell: integers as they are, floats with 17 digits where needed, empty for None and NaN."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, (int, np.integer, np.bool_)) else repr(float(value))


def arrow(metric):
    return "↓" if metric.lower_is_better else "↑"


def markdown(rows, notes=()):
    """Table 1 as Markdown: best in bold; interval, threshold and the paper's value in the cells; notes below."""
    lines = ["| method | " + " | ".join(f"{m.title} {arrow(m)}" for m in METRICS) + " |"]
    lines.append("| --- |" + " ---: |" * len(METRICS))
    for index, row in enumerate(rows):
        if index and rows[index - 1].ranked and not row.ranked:
            lines.append("| *not in the paper, unranked* |" + " |" * len(METRICS))
        cells = []
        for m in METRICS:
            cell, text = row.cells[m.name], cell_text(m, row.cells[m.name])
            text = f"**{text}**" if cell.rank == 1 else text
            text += f"{threshold_text(cell)} {interval_text(m, cell)}"
            text += f"; paper {_published_text(cell)}" if cell.published is not None else ""
            cells.append(text.strip())
        lines.append(f"| {row.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" + "".join(f"\n{note}\n" for note in notes)


_TEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "%_&#${}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"},
        **{"[": "{[}", "*": "{*}"},  # the end of the line before would take them for its own
    }
)


def latex(rows, caption=""):
    """Table 1 as a LaTeX table environment without packages: best in bold, a line above the unranked methods.

    A method has two lines, values with thresholds and intervals, and a third of the paper's values where there are any.
    """
    arrows = {True: r"$\downarrow$", False: r"$\uparrow$"}
    head = " & ".join(["", *(f"{m.title.translate(_TEX)} {arrows[m.lower_is_better]}" for m in METRICS)])
    body = []
    for index, row in enumerate(rows):
        if index and rows[index - 1].ranked and not row.ranked:
            body.append(r"\hline")
        body += [" & ".join(line) + r" \\" for line in _latex_lines(row)]
    lines = [r"\begin{table}", r"\centering", r"\small", r"\setlength{\tabcolsep}{4pt}"]
    lines += [rf"\caption{{{caption.translate(_TEX)}}}", rf"\begin{{tabular}}{{l{'r' * len(METRICS)}}}"]
    lines += [r"\hline", head + r" \\", r"\hline"]
    return "\n".join([*lines, *body, r"\hline", r"\end{tabular}", r"\end{table}"]) + "\n"


def _latex_lines(row):
    """The two or three lines of a method, as lists of cells."""
    values, intervals, published = [row.title.translate(_TEX)], [""], [r"{\scriptsize paper}"]
    for m in METRICS:
        cell = row.cells[m.name]
        text = cell_text(m, cell).translate(_TEX)
        text = rf"\textbf{{{text}}}" if cell.rank == 1 else text
        values.append(f"{text} {_small(threshold_text(cell))}".rstrip())
        intervals.append(_small(interval_text(m, cell)))
        published.append(_small(_published_text(cell)))
    return [values, intervals] + ([published] if any(published[1:]) else [])


def _small(text):
    return rf"{{\scriptsize {text.strip()}}}" if text else ""


# ------------------------------------------------------------------------------------------------ supplementary numbers


def precision_recall(of):
    """Mean error precision and recall over subjects, float64 [11] each; an undefined one counts 1, as in the reference.

    Precision is undefined where no voxel is uncertain, recall where the segmentation has no error.
    """
    return tuple(mean(np.where(np.isnan(values), 1.0, values)) for values in (of.error_precision, of.error_recall))


@dataclasses.dataclass(frozen=True)
class Miscalibration:
    """Shares of subjects by the sign of their mean calibration gap, averaged over methods.

    gaps: {subject: gap}.  threshold: beyond it a subject counts as under- (above) or over-confident (below).
    """

    threshold: float
    under: float
    over: float
    gaps: dict


def miscalibration(by_method):
    """Under- and over-confident subjects as the reference counts them (section 7 of its description).

    The threshold is the 90th percentile, over methods, of the data set's signed gap; a negative one, with which the two
    classes would overlap, is taken as 0. Only the paper's methods count where there are any.
    """
    chosen = [of for name, of in by_method.items() if name in PAPER_ROWS] or list(by_method.values())
    dataset = [gap for gap in (metrics.confidence_gap(of.pooled) for of in chosen) if not np.isnan(gap)]
    threshold = max(float(np.percentile(dataset, 90)), 0.0) if dataset else float("nan")
    gaps = mean(np.stack([of.gap for of in chosen]))
    defined = gaps[~np.isnan(gaps)]
    return Miscalibration(
        threshold,
        float(np.mean(defined > threshold)) if defined.size else float("nan"),
        float(np.mean(defined < -threshold)) if defined.size else float("nan"),
        dict(zip(chosen[0].subjects, (float(gap) for gap in gaps), strict=True)),
    )


def example_subjects(by_method):
    """(most under-confident, most over-confident, best calibrated) subject names, by averages over methods.

    The first two have the highest and lowest mean gap, the third the lowest mean ECE of the subjects that are left;
    with fewer than three subjects, fewer names.
    """
    of = list(by_method.values())
    gaps = mean(np.stack([one.gap for one in of]))
    error = mean(np.stack([one.ece for one in of]))
    left = [index for index in range(len(gaps)) if not (np.isnan(gaps[index]) or np.isnan(error[index]))]
    chosen = []
    for key in (lambda i: -gaps[i], lambda i: gaps[i], lambda i: error[i]):
        if left:
            chosen.append(min(left, key=key))
            left.remove(chosen[-1])
    return tuple(of[0].subjects[index] for index in chosen)
