"""Which subject is trained on, validated on and tested on: by seed, by the official layout, or by split files.

Everything here works on names; nothing is read but the split files. Choices by seed sort by a checksum of seed and
name, so they depend on no random generator's version, and hold still when the raw folder's order changes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from data_prep import patients as people
from data_prep import split_files as files
from data_prep.base.errors import UserError
from data_prep.split_files import PARTS, Names

PREDICT = "predict"  # subjects without ground truth
NAMES = (*PARTS, PREDICT)


class Source(Protocol):
    """What a reader says of a subject before it is read: its name, its files, whether it has labels, what its layout tells.

    image: what it is named after in errors. paths: every file that is read, labels too.
    """

    @property
    def name(self) -> str: ...
    @property
    def image(self) -> str: ...
    @property
    def paths(self) -> tuple[str, ...]: ...
    @property
    def labelled(self) -> bool: ...
    @property
    def grade(self) -> str | None: ...
    @property
    def split(self) -> str | None: ...


@dataclasses.dataclass(frozen=True)
class Assignment:
    """Who is where.

    parts: a tuple of names for each of `train`, `valid`, `test` and `predict`, in the order they are stored, and for each
    further set that a split file names.
    members: training subjects of each ensemble member, or None. folds: of each cross-validation fold a dict with
    `train` and `valid`, or None. notes: lines to show the user.
    """

    parts: dict[str, Names]
    members: tuple[Names, ...] | None = None
    folds: tuple[dict[str, Names], ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all parts, in the order in which they are stored."""
        return (*NAMES, *files.further(self.parts))

    def splits(self) -> dict[str, Names]:
        """dict from name to the tuple of its splits. A subject may be in valid and test, never in train and another."""
        found: dict[str, list[str]] = {}
        for part in self.names:
            for name in self.parts.get(part, ()):
                found.setdefault(name, []).append(part)
        return {name: tuple(parts) for name, parts in found.items()}


def shuffled(names: Iterable[str], seed: int) -> list[str]:
    """The names in an order that depends on `seed` and the names alone."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def largest_remainder(total: int, weights: Sequence[float]) -> list[int]:
    """Shares `total` in proportion to `weights`, as whole numbers that add up to it; ties go to the first."""
    exact = [total * weight / sum(weights) for weight in weights]
    shares = [int(share) for share in exact]
    for index in sorted(range(len(weights)), key=lambda i: shares[i] - exact[i])[: total - sum(shares)]:
        shares[index] += 1
    return shares


def counts(total: int, ratio: Sequence[float], unit: str = "labelled subject", read_as: str = "") -> list[int]:
    """Subjects for each part, in proportion to `ratio`, none empty. Raises `UserError` below one subject a part.

    unit: what is counted, for the message. read_as: how names were read as patients, where they were.
    """
    if total < len(ratio):
        raise UserError(
            f"{total} {unit}{'s' * (total != 1)}",
            expected=f"at least {len(ratio)}, to fill every split",
            found=f"names read so: {read_as}" if read_as else None,
            do=("say with --patients=FILE.csv whose they are, or " if read_as else "")
            + "say with --split_file which are for train, valid and test (a subject may be in valid and test)",
        )
    shares = largest_remainder(total, ratio)
    while 0 in shares:
        shares[shares.index(max(shares))] -= 1
        shares[shares.index(0)] += 1
    return shares


def by_seed(
    names: Iterable[str],
    ratio: Sequence[float],
    seed: int,
    grades: Mapping[str, str | None] | None = None,
    patients: Mapping[str, str] | None = None,
) -> list[list[str]]:
    """Splits `names` into as many lists as `ratio` has entries, each shuffled; stratified where `grades` are given.

    grades: dict from name to grade, or None. Each grade is spread over the parts in proportion, as far as whole
    numbers allow, while the parts keep the sizes that `ratio` asks for.
    patients: dict from name to patient, or None. Patients are split and not subjects: theirs stay together, and `ratio`
    and grades are of patients.
    """
    names = list(names)
    units = people.grouped(names, patients)
    order = shuffled(units, seed)
    alone = len(units) == len(names)
    read_as = "" if alone else people.read_as(names, patients or {})
    sizes = counts(len(order), ratio, "labelled subject" if alone else "patient", read_as)
    by_grade: dict[str | None, list[str]] = {}
    for name in order:
        by_grade.setdefault(grades[name] if grades else None, []).append(name)
    strata = [by_grade[grade] for grade in sorted(by_grade, key=str)]
    parts = []
    for size in reversed(sizes[1:]):  # the first, train, keeps what is left
        taken: set[str] = set()
        for stratum, share in zip(strata, largest_remainder(size, [len(stratum) for stratum in strata]), strict=True):
            taken.update(stratum[:share])
            del stratum[:share]
        parts.append([name for name in order if name in taken])
    kept = set(itertools.chain(*strata))
    parts = [[name for name in order if name in kept], *reversed(parts)]
    return [[name for unit in part for name in units[unit]] for part in parts]


def assign(
    sources: Sequence[Source],
    ratio: Sequence[float],
    seed: int = 100,
    split_files: Sequence[pathlib.Path | str] = (),
    split_fold: int | None = None,
    allow_missing: bool = False,
    patients: Mapping[str, str] | None = None,
) -> Assignment:
    """Splits the subjects found.

    sources: objects with name, grade, split and labelled. ratio: (train, valid, test) for the seeded split.
    split_files: paths, at most one of each form (see `split_files.py`). split_fold: which fold is the data
    set's split where a cross-validation file stands alone. patients: {subject: patient}; what is split here never
    divides a patient, and what files or the layout divide is noted. Returns an `Assignment`; raises `UserError`.
    """
    if split_files:
        found = _from_files(sources, split_files, split_fold, allow_missing)
    else:
        found = _made(sources, ratio, seed, split_fold, allow_missing, patients)
    return dataclasses.replace(found, notes=(*found.notes, *warnings(found, patients)))


def _made(sources, ratio, seed, split_fold, allow_missing, patients):
    """The layout's own split, or one by seed."""
    unlabelled = tuple(source.name for source in sources if not source.labelled)
    labelled = [source for source in sources if source.labelled]
    if split_fold is not None:
        raise UserError("--split_fold", expected="a cross-validation file given with --split_file", found="none")
    notes: tuple[str, ...] = ("--allow_missing changes nothing without --split_file",) if allow_missing else ()
    if not labelled:
        parts: dict[str, list[str]] = {part: [] for part in PARTS}
    elif all(source.split for source in labelled):
        parts, more = _official(labelled, ratio, seed, patients)
        notes += more
    else:
        notes += _unused(labelled)
        names = [source.name for source in labelled]
        grades = {source.name: source.grade for source in labelled} if all(s.grade for s in labelled) else None
        parts = dict(zip(PARTS, by_seed(names, ratio, seed, grades, patients), strict=True))
    return Assignment(_tuples({**parts, PREDICT: unlabelled}), notes=(*notes, *_unlabelled_note(unlabelled)))


def _unused(labelled):
    """Notes on what only some subjects have, so that a split by seed cannot use it."""
    graded, placed = sum(bool(one.grade) for one in labelled), sum(bool(one.split) for one in labelled)
    notes = []
    if 0 < graded < len(labelled):
        notes.append(
            f"{len(labelled) - graded} of {len(labelled)} labelled subjects have no grade: grades do not divide them"
        )
    if placed > 0:
        without = len(labelled) - placed
        notes.append(f"the layout's own sets are not kept: {without} of {len(labelled)} labelled subjects are in none")
    return tuple(notes)


def _official(labelled, ratio, seed, patients):
    """The layout's own sets; what it lacks (ISIC 2016 has no validation set) is held out of its training set."""
    parts = _official_names(labelled)
    weight = dict(zip(PARTS, ratio, strict=True))
    lacking = [part for part in PARTS[1:] if not parts[part]]
    if not parts["train"]:
        raise UserError(
            "the official training set", expected="labelled subjects", found="none", do="add it, or give --split_file"
        )
    if not lacking:
        return parts, ()
    chosen = by_seed(parts["train"], [weight[part] for part in ("train", *lacking)], seed, None, patients)
    parts.update(zip(("train", *lacking), chosen, strict=True))
    sizes = " and ".join(f"{len(parts[part])} for {part}" for part in lacking)
    return parts, (f"the layout has no labelled {' or '.join(lacking)} set: {sizes} held out of the training set",)


def _from_files(sources, paths, fold, allow_missing):
    """Reads the split files and fits them to the subjects found."""
    where, notes = ", ".join(map(str, paths)), []
    labelled = {source.name: source.labelled for source in sources}
    forms = files.without_missing(files.read_all(paths), set(labelled), where, allow_missing, notes)
    parts = files.main_split(forms, _official_names(sources), fold, where)
    members, folds = files.members(forms), files.folds(forms)
    files.refuse_unfit(where, parts, members, folds, labelled)
    parts["test"] = [name for name in parts["test"] if labelled[name]]
    parts[PREDICT] = [name for name in labelled if not labelled[name]]
    left = set(labelled).difference(*parts.values())
    if left:
        notes.append(f"left out, as they are not in {where}: {len(left)} labelled subjects of the data")
    notes += [f"no subject is in {part}" for part in PARTS if not parts[part]]
    return Assignment(_tuples(parts), members, folds, (*notes, *_unlabelled_note(parts[PREDICT])))


def _official_names(sources):
    return {part: [source.name for source in sources if source.labelled and source.split == part] for part in PARTS}


def divided(found: Assignment, patients: Mapping[str, str] | None) -> dict[str, list[str]]:
    """{which two sets, as `train and test`: the patients that have subjects in both}, of sets that one learns from.

    What is made here divides nobody; the layout's own split or a split file may.
    """
    pairs = [("train", "valid"), ("train", "test"), *(("train", name) for name in files.further(found.parts))]
    lists = [(f"{a} and {b}", found.parts.get(a, ()), found.parts.get(b, ())) for a, b in pairs]
    for index, fold in enumerate(found.folds or ()):
        lists.append((f"train and valid of fold {index}", fold["train"], fold["valid"]))
    both = {title: people.divided(first, second, patients) for title, first, second in lists}
    return {title: named for title, named in both.items() if named}


def shared(found: Assignment) -> str:
    """What is wrong with validation subjects that are tested too, since they chose the epoch; empty where there are none."""
    valid, test = set(found.parts.get("valid", ())), set(found.parts.get("test", ()))
    if not (both := len(valid & test)):
        return ""
    return (
        f"{both} of {len(test)} test subjects are validation subjects too: the best epoch, and thresholds of"
        " --threshold_split=valid, are chosen on subjects that are tested"
    )


def warnings(found: Assignment, patients: Mapping[str, str] | None) -> tuple[str, ...]:
    """The lines of an assignment's notes that say what of it makes scores look better than they are."""
    lines = []
    for title, both in divided(found, patients).items():
        shown = ", ".join(both[:3]) + (", …" if len(both) > 3 else "")
        lines.append(f"{len(both)} patients have scans in both {title} ({shown}): scores will look too good")
    return tuple(f"warning: {line}" for line in (*lines, shared(found)) if line)


def _unlabelled_note(unlabelled):
    return (f"subjects without a label, kept for prediction: {len(unlabelled)}",) if unlabelled else ()


def _tuples(parts):
    return {part: tuple(names) for part, names in parts.items()}
