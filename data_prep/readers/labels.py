"""Raw labels of a volume, and what they mean: one reader and one rule, for preparing and for evaluating.

The rule, of each file: a label map says it; else the file's name, where that tells a known set (`label_sets`); else 0 and
one other number are background and foreground. Anything else is refused, since a guess would be scored as truth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep import task_rules
from data_prep.base import notices
from data_prep.base.errors import UserError
from data_prep.readers import label_sets, nifti
from data_prep.tasks import Task

ROUNDING = 1e-3  # what writing labels as scaled integers, or as float32, may take a whole number away from itself
MOST = task_rules.MOST_LABEL
LONGEST = 9  # digits of a number that may be a label
IMAGE = 64  # distinct numbers from which on a file is an image rather than labels


@dataclasses.dataclass(frozen=True)
class Rule:
    """What is known of labels beside their files.

    label_map: {raw label: 0 or 1}, 0 implied, or None.  ignore: the raw label that counts nowhere, or None.
    dataset: the data set that the files are of, or None where nobody said it.  parts: whether it matters which part of the
    tumour a number is, and not only that it is tumour.
    """

    label_map: Mapping[int, int] | None = None
    ignore: int | None = None
    dataset: str | None = None
    parts: bool = False

    def check(self) -> None:
        """Raises `UserError` for a map to other numbers than 0 and 1, and for an ignored label that it maps too.

        Where 0 is ignored, background is no longer what it implies, so a map must name both.
        """
        for label, target in (self.label_map or {}).items():
            if int(target) not in (0, 1):
                raise UserError(
                    "--label_map", expected="each label mapped to 0 or 1", found=str(dict(self.label_map or {}))
                )
            if self.ignore is not None and int(label) == self.ignore:
                expected = f"{label} mapped or ignored"
                raise UserError("--ignore_label", expected=expected, found="both", do="leave it out of --label_map")
        if self.ignore == 0 and {int(target) for target in (self.label_map or {}).values()} != {0, 1}:
            found = "none" if self.label_map is None else str(dict(self.label_map))
            expected = "a --label_map of background and foreground beside it, since 0 is neither then"
            raise UserError("--ignore_label=0", expected=expected, found=found, do="say it, as --label_map=1:0,2:1")

    def document(self) -> dict[str, Any]:
        """What of it was asked for and makes other numbers, as plain JSON types; empty where nothing was."""
        label_map = None if self.label_map is None else {str(raw): target for raw, target in self.label_map.items()}
        asked = {"label_map": label_map, "ignore_label": self.ignore}
        return {name: value for name, value in asked.items() if value is not None}


PLAIN = Rule()  # nothing is known but the files


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What a file's labels mean.

    foreground: uint8 {0, 1}.  counted: bool, or None for all; the rest counts nowhere.
    """

    foreground: NDArray[np.uint8]
    counted: NDArray[np.bool_] | None


def read(header: nifti.Header) -> np.ndarray:
    """Raw labels uint8 [depth, height, width] of a file; `UserError` for what are no labels, or labels beyond 255."""
    labels = whole(nifti.read_array(header), header.path)
    if labels.dtype != np.uint8:
        raise UserError(header.path, expected="labels 0 to 255", found=f"0 to {labels.max()}", do="repair it")
    return labels


def whole(array: np.ndarray, path: object) -> np.ndarray:
    """An array's numbers as labels, uint8, or uint16 where they are beyond 255.

    Whole numbers in a floating-point file are labels too (BraTS 2023), and within `ROUNDING` of one is one, said once.
    Raises `UserError` naming `path` for negative numbers, fractions, and numbers beyond `MOST`.
    """
    lowest, highest = array.min(), array.max()
    if not (lowest >= -ROUNDING and highest <= MOST + ROUNDING):  # also for NaN
        found = f"{lowest:g} to {highest:g}"
        raise UserError(path, expected=f"whole numbers as labels, 0 to {MOST}", found=found, do="repair it")
    narrow = np.uint8 if highest < 255.5 else np.uint16
    if (labels := array.astype(narrow)).dtype == array.dtype or (lowest >= 0 and (labels == array).all()):
        return labels
    labels = np.rint(array) if array.dtype.kind == "f" else array
    if array.dtype.kind == "f":
        gap = np.abs(labels - array)
        worst = gap.argmax()
        if gap.flat[worst] > ROUNDING:
            raise UserError(
                path,
                expected="whole numbers as labels",
                found=f"{array.flat[worst]:g}",
                do="resample labels by nearest neighbour, not by interpolation",
            )
        if gap.flat[worst] > 0:
            line = f"{path}: labels such as {array.flat[worst]:.9g} are read as the whole numbers that rounding took them from"
            notices.once("rounded labels", line)
    return labels.astype(narrow)


def counts(raw_label: np.ndarray) -> dict[int, int]:
    """{number: how many voxels} of raw labels (uint8 or uint16)."""
    labelled, ones = int(np.count_nonzero(raw_label)), int(np.count_nonzero(raw_label == 1))
    if labelled == ones:  # a mask, as most: without a copy of what is labelled
        return {value: count for value, count in enumerate((raw_label.size - ones, ones)) if count}
    inside = raw_label[raw_label != 0]  # few of all, so that only few are counted one by one
    found = np.bincount(inside, minlength=1)
    found[0] = raw_label.size - inside.size
    return {int(value): int(found[value]) for value in np.flatnonzero(found)}


def of_classes(label: np.ndarray, task: Task) -> list[int]:
    """How many voxels each of a task's classes has, in order, of their indices; those that are ignored count nowhere."""
    found = counts(label)
    return [found.get(index, 0) for index in range(len(task.classes))]


def meaning(raw_label: np.ndarray, path: object, rule: Rule, what: str = "labels") -> Meaning:
    """The `Meaning` of a file's raw labels (`whole`) by the rule above; their numbers are kept for the line that says them.

    what: they are, for that line. Raises `UserError` naming `path` for labels whose meaning nothing tells.
    """
    found = counts(raw_label)
    notices.values(what, found)
    counted = None if rule.ignore is None or rule.ignore not in found else raw_label != rule.ignore
    present = set(found) - {rule.ignore}
    if not present:
        raise UserError(path, expected="voxels that count", found=f"the ignored label {rule.ignore} everywhere")
    if rule.label_map is not None:
        return Meaning(mapped(raw_label, present, rule.label_map, path), counted)
    _require_known(present, path, rule, what)
    foreground = raw_label != 0 if counted is None else (raw_label != 0) & counted
    return Meaning(foreground.astype(np.uint8), counted)


def inside(raw_label: np.ndarray, path: object) -> NDArray[np.uint8]:
    """uint8 {0, 1} of a mask of what is inside, which holds 0 and at most one other number; else `UserError`."""
    found = counts(raw_label)
    notices.values("masks", found)
    if len(set(found) - {0}) > 1:
        raise UserError(
            path, expected="a mask of 0 and one other number", found=_found(found), do="threshold it yourself"
        )
    return (raw_label != 0).astype(np.uint8)


def require_same(noticed: notices.Notices) -> None:
    """Raises `UserError` where files of a set, each of 0 and one other number, do not have the same one."""
    for what, files in noticed.chosen.items():
        if len(files) > 1:
            (first, one), (second, other) = sorted(files.items())[:2]
            found = f"{first} in {one} and {second} in {other}"
            do = label_sets.map_to_type(dict.fromkeys(files))
            raise UserError(what, expected="one foreground number in all files, or a map", found=found, do=do)


def _require_known(present, path, rule, what):
    """Refuses labels whose meaning neither the name nor their being two tells."""
    known = label_sets.known(path, rule.dataset)
    if known is not None and rule.parts and known.own_parts:
        expected = "a --label_map of its numbers to the classes 1 necrosis, 2 edema, 3 enhancing"
        raise UserError(
            path, expected=expected, found=f"none, and {known.title} has parts of its own", do=known.own_parts
        )
    if known is not None:
        if known.accepts(present):
            return
        expected = f"labels of {' or '.join(map(listed, known.sets))}, those of {known.title}"
        raise UserError(path, expected=expected, found=_found(present), do=known.advice(present))
    if len(present - {0}) > 1:
        do = "give the file of labels" if len(present) > IMAGE else label_sets.map_to_type(dict.fromkeys(present))
        raise UserError(path, expected="labels of 0 and one other number, or a map", found=_found(present), do=do)
    if present != {0}:
        notices.choice(what, max(present), path)


def mapped(raw_label: np.ndarray, present: Iterable[int], label_map: Mapping, path: object) -> np.ndarray:
    """uint8 {0, 1}, of the shape of `raw_label`: what `label_map` ({raw label: 0 or 1}, 0 implied) says.

    present: the numbers that it must cover; `UserError` naming `path` where it does not.
    """
    mapping = {0: 0, **{int(raw): int(target) for raw, target in label_map.items()}}
    if not set(mapping.values()) <= {0, 1}:
        raise UserError("--label_map", expected="each label mapped to 0 or 1", found=str(label_map))
    if not set(present) <= set(mapping):
        expected = f"labels of --label_map, {listed(mapping)}"
        raise UserError(path, expected=expected, found=_found(present), do="add the missing ones")
    table = np.zeros(MOST + 1, np.uint8)
    table[[raw for raw, target in mapping.items() if target and 0 <= raw <= MOST]] = 1
    return table[raw_label]


def _found(present):
    present = list(present)
    return f"{len(present)} numbers, as an image has: {listed(present)}" if len(present) > IMAGE else listed(present)


def parse_map(text: str | None, most: int = 255, classes: int = 2) -> dict[int, int] | None:
    """{raw label: class} of the flag `1:1,2:1,4:0`; None for None. Raises `UserError` for other text.

    most: the highest raw label that there may be. classes: how many classes there are, the background counted.
    """
    if text is None:
        return None
    pairs = [pair.split(":") for pair in text.split(",")]
    targets = [str(target) for target in range(classes)]
    for pair in pairs:
        known = len(pair) == 2 and pair[0].strip().isdecimal() and len(pair[0].strip()) <= LONGEST
        if not known or pair[1].strip() not in targets:
            which = "0 or 1" if classes == 2 else f"its class, 0 to {classes - 1}"
            raise UserError(f"--label_map={text}", expected=f"raw label and {which}, as 1:1,2:1,4:0")
    found = {int(raw): int(target) for raw, target in pairs}
    if len(found) < len(pairs):
        raise UserError(f"--label_map={text}", expected="each raw label once")
    if max(found) > most or found.get(0):
        raise UserError(f"--label_map={text}", expected=f"raw labels from 1 to {most}, and 0 as background")
    return found


def listed(labels: Iterable[int]) -> str:
    """Labels as an error shows them: `{0, 1, 4}`."""
    labels = sorted(labels)
    return "{" + ", ".join(map(str, labels[:12])) + (", …" if len(labels) > 12 else "") + "}"


def said(found: notices.Notices, what: str, meant: str = "foreground", rule: Rule | None = None) -> list[str]:
    """The line that says which numbers the files of `what` hold, none where there was none.

    meant: what the numbers but 0 are, where neither a map nor an ignored label says otherwise.
    """
    if what not in found.found:
        return []
    rule, numbers = rule or Rule(), dict(sorted(found.found[what].items()))
    targets = {label: int(label != 0) for label in numbers}
    targets.update({int(raw): int(target) for raw, target in (rule.label_map or {}).items()})
    inside = [str(label) for label in numbers if targets[label] and label != rule.ignore]
    parts = [", ".join(f"{label} in {count:,}" for label, count in list(numbers.items())[:12])]
    if found.chosen.get(what) and len(numbers) <= 2 + (rule.ignore in numbers):
        parts.append("two numbers are binary")
    parts.append(f"{meant}: {', '.join(inside[:12]) or 'none'}")
    if rule.ignore is not None:
        parts.append(f"ignored: {rule.ignore}" + ("" if rule.ignore in numbers else ", which does not occur"))
    files = f"{found.files[what]} file{'s' * (found.files[what] != 1)}"
    return [f"{what} of {files}, numbers and their voxels: {'; '.join(parts)}"]
