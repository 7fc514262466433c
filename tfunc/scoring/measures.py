"""The one table of measures. CSV files, Table 1 in each form, the report, TensorBoard and docs list what stands here.

A measure is a function of `Counts` and what people need to read its numbers. docs/howto/new_metric.md adds one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from tfunc.scoring import margin, metrics


@dataclasses.dataclass(frozen=True)
class Measure:
    """A row of `MEASURES`.

    name: of its column in table1.csv, thresholds.csv and summary.json.  title: in tables for people.
    function: `Counts` of a subject -> its value, NaN where undefined; [11], one for each threshold, if `by_threshold`. In the
        table of a class map it takes a `ClassMap`.
    definition: half a sentence on what is printed.
    direction: which values are better: the `higher`, the `lower`, or those close to `zero`.
    scale, digits: a value is printed times `scale`, rounded to `digits`.
    table1: whether it is a column of Table 1.
    curve: its title among the report's curves, for one by threshold; empty where it has none.
    column: of subjects.csv, where that is not its name: what a subject has is not always what the mean over subjects is called.
    undefined: what an undefined value counts as in means over subjects; None: it is skipped.
    note: half a sentence on its special cases.
    """

    name: str
    title: str
    function: Callable[[Any], Any]
    definition: str
    direction: Literal["higher", "lower", "zero"] = "higher"
    scale: int = 1
    digits: int = 3
    by_threshold: bool = False
    table1: bool = False
    curve: str = ""
    column: str = ""
    undefined: float | None = None
    note: str = ""

    @property
    def subject_column(self) -> str:
        """The name of its column in subjects.csv, without the threshold."""
        return self.column or self.name

    def printed(self, value: float) -> float:
        """The value as the paper prints it: scaled and rounded."""
        return float(np.round(value * self.scale, self.digits))

    def cost(self, value: Any) -> Any:
        """A number, or an array of them, that is the lower the better the value is."""
        return {"higher": np.negative, "lower": np.positive, "zero": np.abs}[self.direction](value)

    def sentence(self) -> str:
        """The definition and which values are better, without a full stop."""
        better = {"higher": "higher is better", "lower": "lower is better", "zero": "0 is best"}
        return f"{self.definition}; {better[self.direction]}"


MEASURES = {
    measure.name: measure
    for measure in (
        Measure(
            "ece",
            "ECE %",
            metrics.calibration_error,
            "expected calibration error, mean over subjects",
            direction="lower",
            scale=100,
            table1=True,
            note="inside the mask{inside}; all else over the whole volume",
        ),
        Measure(
            "ue",
            "U-E",
            metrics.error_overlap,
            "overlap (Dice) of the errors and the uncertain voxels, mean over subjects",
            by_threshold=True,
            table1=True,
            curve="U-E, uncertainty-error overlap",
            note="undefined where there are neither errors nor uncertain voxels; averages skip undefined values",
        ),
        Measure(
            "bnf",
            "BnF",
            metrics.benefits,
            "share of subjects whose Dice rises without the uncertain voxels",
            digits=2,
            by_threshold=True,
            table1=True,
            curve="BnF, share of benefiting subjects",
            column="benefit",
            note="bnf is a higher corrected Dice, bnf_inequality the paper's FPU TP > TPU (TP + FP + FN); an empty target "
            "whose false positives all vanish counts for the first only",
        ),
        Measure(
            "bnf_inequality",
            "BnF ineq.",
            metrics.benefits_inequality,
            "share of subjects with FPU TP > TPU (TP + FP + FN), the paper's condition; false for empty targets",
            digits=2,
            by_threshold=True,
            table1=True,
            column="benefit_inequality",
        ),
        Measure(
            "dice",
            "Dice",
            metrics.dice,
            "Dice coefficient of the segmentation, mean over subjects",
            table1=True,
            note="1 where target and segmentation are both empty; corrected Dice likewise",
        ),
        Measure("accuracy", "accuracy", metrics.accuracy, "share of voxels that are segmented rightly"),
        Measure(
            "confidence_gap",
            "confidence gap",
            metrics.confidence_gap,
            "mean signed calibration gap over non-empty bins; above 0 is under-confident",
            direction="zero",
        ),
        Measure(
            "corrected_dice",
            "corrected Dice",
            metrics.corrected_dice,
            "Dice after setting the uncertain voxels to background, mean over subjects",
            by_threshold=True,
            curve="corrected Dice",
        ),
        Measure(
            "error_precision",
            "error precision",
            metrics.error_precision,
            "share of the uncertain voxels that are errors, mean over subjects",
            by_threshold=True,
            curve="error precision",
            undefined=1.0,
            note="undefined for a zero denominator, as is error recall; their curves take 1 there, as the reference does",
        ),
        Measure(
            "error_recall",
            "error recall",
            metrics.error_recall,
            "share of the errors that are uncertain, mean over subjects",
            by_threshold=True,
            curve="error recall",
            undefined=1.0,
        ),
        Measure(
            "corrected_accuracy",
            "corrected accuracy",
            metrics.corrected_accuracy,
            "accuracy after setting the uncertain voxels to background, mean over subjects",
            by_threshold=True,
        ),
        Measure(
            "accuracy_benefit",
            "accuracy benefit",
            metrics.accuracy_benefits,
            "share of subjects with FPU > TPU, the paper's condition for a better accuracy",
            by_threshold=True,
        ),
        Measure(
            "ece_near",
            "ECE near %",
            metrics.near_calibration_error,
            f"expected calibration error of the voxels at most {margin.VOXELS} from the target, mean over subjects",
            direction="lower",
            scale=100,
            note="where no mask says inside what calibration is measured; undefined where the target is empty",
        ),
    )
}


def table1(table: Mapping[str, Measure] | None = None) -> list[Measure]:
    """The columns of Table 1, in order; or those of another table of measures."""
    return [measure for measure in (MEASURES if table is None else table).values() if measure.table1]


def curves(table: Mapping[str, Measure] | None = None) -> list[Measure]:
    """The measures with a curve over the thresholds in the report, in order; or those of another table of measures."""
    return [measure for measure in (MEASURES if table is None else table).values() if measure.curve]


def over_thresholds() -> list[Measure]:
    """The columns of thresholds.csv: what has a curve or, by threshold, a column of Table 1."""
    return [measure for measure in MEASURES.values() if measure.by_threshold and (measure.curve or measure.table1)]
