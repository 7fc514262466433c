"""What the paper and its authors' code did, by data set: the published Table 1 and the recipes of the trainings.

A. Jungo and M. Reyes, "Assessing Reliability and Challenges of Uncertainty Estimations for Medical Image Segmentation",
MICCAI 2019. Any other data set has no published values and takes the default recipe.
"""

from __future__ import annotations

import dataclasses

# Table 1 by data set and method: ECE %, U-E, BnF, Dice, as printed; ranks follow from the values.
COLUMNS = ("ece", "ue", "bnf", "dice")
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
class Recipe:
    """How the networks of a data set are trained.

    epochs: of every network.  quirk_epochs: of networks that the reference's code trained for another number, by name
    or by `ensemble` and `cv` for all members and folds; only under --reference_quirks.
    smoothed: whether the validation Dice of a segmentation is (2I + 1) / (P + T + 1), the reference's on photographs.
    quirk_keeps_last: objectives whose last epoch the reference kept, not their best; only under --reference_quirks.
    quirk_one_fold: objectives that the reference trained on fold 0 only; only under --reference_quirks.
    folds_of: the splits that the cross-validation divides.  stratified: whether folds are stratified by grade.
    """

    epochs: int = 50
    quirk_epochs: dict[str, int] = dataclasses.field(default_factory=dict)
    smoothed: bool = False
    quirk_keeps_last: tuple[str, ...] = ()
    quirk_one_fold: tuple[str, ...] = ()
    folds_of: tuple[str, ...] = ("train",)
    stratified: bool = False


RECIPES = {
    "brats": Recipe(
        quirk_epochs={"ensemble": 100, "cv": 100, "auxiliary_feat": 100},
        folds_of=("train", "valid"),
        stratified=True,
    ),
    # beyond the paper: the same subjects, folds and grades, and none of the reference's quirks
    "brats_regions": Recipe(folds_of=("train", "valid"), stratified=True),
    "isic": Recipe(
        epochs=100,
        smoothed=True,
        quirk_keeps_last=("auxiliary_feat", "auxiliary_segm"),
        quirk_one_fold=("auxiliary_segm",),
    ),
}


def recipe(dataset: str) -> Recipe:
    """The recipe of a data set: the paper's where it is one of its two, else the default."""
    return RECIPES.get(dataset, Recipe())


def complete(dataset: str | None, subjects: int) -> bool:
    """Whether that many test subjects are the paper's whole test set of the data set, so that its values compare."""
    return subjects == TEST_SUBJECTS.get(dataset or "")
