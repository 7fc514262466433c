"""Cross-validation's folds and the ensemble's blocks, where no split file says them: of consecutive subjects, in order.

What is made here never divides a patient.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from data_prep import patients as people
from data_prep.base.errors import UserError


def k_folds(
    names: Iterable[str],
    k: int,
    grades: Iterable[str | None] | None = None,
    patients: Mapping[str, str] | None = None,
) -> list[dict[str, list[str]]]:
    """Cross-validation in `k` folds without shuffling: a list of {"train": names, "valid": names}.

    names: in order. grades: one for each name, to stratify by, or None for consecutive blocks. Equal to scikit-learn's
    `StratifiedKFold(k, shuffle=False)` and `KFold(k)`, which made the paper's folds. patients: {subject: patient}; the
    subjects of one go to the fold of the first.
    """
    names = list(names)
    units = people.grouped(names, patients)
    if not 2 <= k <= len(units):
        what = "subjects" if len(units) == len(names) else "patients"
        raise UserError(f"{k} folds", expected=f"2 to {len(units)}, the number of {what}")
    if grades is None:
        folds = [index for index, block in enumerate(_blocks(list(units), k)) for _ in block]
    else:
        of_name = dict(zip(names, grades, strict=True))
        folds = _stratified([of_name[unit] for unit in units], k)
    fold_of = {name: fold for fold, group in zip(folds, units.values(), strict=True) for name in group}
    return [
        {
            "train": [name for name in names if fold_of[name] != index],
            "valid": [name for name in names if fold_of[name] == index],
        }
        for index in range(k)
    ]


def _stratified(grades, k):
    """The fold of each subject. Grades count in order of appearance; of the subjects sorted by grade, every k-th one
    says how many of its grade a fold gets, and each fold takes that many in order."""
    appearance = {grade: index for index, grade in enumerate(dict.fromkeys(grades))}
    ordered = sorted(appearance[grade] for grade in grades)
    queues = {
        grade: iter([fold for fold in range(k) for _ in range(ordered[fold::k].count(index))])
        for grade, index in appearance.items()
    }
    return [next(queues[grade]) for grade in grades]


def leave_out_blocks(names: Iterable[str], members: int, patients: Mapping[str, str] | None = None) -> list[list[str]]:
    """Training subjects of each ensemble member: member i leaves out the i-th consecutive block of max(10, members).

    With the paper's ten members each trains on 90 %. With fewer subjects than blocks the last blocks are empty, and
    nothing is left out; a single subject is never left out. patients: {subject: patient}; blocks are then of patients.
    """
    names = list(names)
    units = people.grouped(names, patients)
    blocks = _blocks(list(units), max(10, members))[:members]
    left_out = [{name for unit in block for name in units[unit]} for block in blocks]
    return [[name for name in names if name not in out] or names for out in left_out]


def _blocks(names, number):
    """Consecutive blocks whose sizes differ by at most one, the larger first."""
    size, larger = divmod(len(names), number)
    ends = [index * size + min(index, larger) for index in range(number + 1)]
    return [names[start:end] for start, end in itertools.pairwise(ends)]
