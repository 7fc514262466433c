"""Split files: JSON in three forms, read with every check, and fitted to the subjects that are there.

| form | content |
| --- | --- |
| flat | {"train": [names], "valid": …, "test": …} |
| ensemble | each key a list of k lists, alike in valid and test for all k |
| cv | each key a list of k lists, with another valid list in each fold |

null or a missing key stands for the official split. A flat file may name further sets, such as `calibration`: subjects that no
network sees and nothing is judged on.
"""

from __future__ import annotations

import difflib
import itertools
import pathlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.base import artefacts
from data_prep.base.errors import UserError

PARTS = ("train", "valid", "test")
FORMS = ("flat", "ensemble", "cv")
TAKEN = ("predict", "heldout")  # names of sets that mean something else

Names = tuple[str, ...]


def read_all(paths: Sequence[pathlib.Path | str]) -> dict[str, dict[str, Any]]:
    """{form: content} of several split files, as `read_split_file` has them; raises `UserError` for a form twice."""
    forms: dict[str, dict[str, Any]] = {}
    for path in paths:
        form, content = read_split_file(path)
        if form in forms:
            raise UserError(
                path, expected=f"one split file of each form ({', '.join(FORMS)})", found=f"a second {form}"
            )
        forms[form] = content
    return forms


def read_split_file(path: pathlib.Path | str) -> tuple[str, dict[str, Any]]:
    """Reads one split file; returns its form and content.

    The content is a dict of lists of names, or lists of k such lists, or None for null. Raises `UserError` for
    anything else, naming the file.
    """
    content = artefacts.read_json(path)
    if isinstance(content, list) and content and all(isinstance(fold, dict) and "val" in fold for fold in content):
        do = "put it beside the raw data, where its folds are found, or write flat lists of train, valid and test"
        raise UserError(
            path, expected="a split of the whole data", found="nnU-Net's folds of a cross-validation", do=do
        )
    expected = "an object with train and, where wanted, valid and test: each a list of names or a list of such lists"
    if not (isinstance(content, dict) and content.get("train")):
        raise UserError(path, expected=expected, found=_brief(content))
    further = [name for name in content if name not in PARTS]
    content = {part: _composed(content.get(part)) for part in (*PARTS, *further)}
    nested = isinstance(content["train"], list) and all(isinstance(item, list) for item in content["train"])
    _check_further(path, further, nested)
    if nested:
        k = len(content["train"])
        for part in PARTS[1:]:
            content[part] = [None] * k if content[part] is None else content[part]
        lists = [(part, item) for part in PARTS for item in _each(path, part, content[part], k)]
    else:
        lists = list(content.items())
    for part, names in lists:
        _check_names(path, part, names, optional=part in PARTS[1:])
    if not nested:
        return "flat", content
    if all(valid == content["valid"][0] for valid in content["valid"]):
        if any(test != content["test"][0] for test in content["test"]):
            raise UserError(
                path, expected="one test list for all members", found="lists that differ, as valid's do not"
            )
        return "ensemble", content
    if None in content["valid"]:
        raise UserError(path, expected="a valid list in each fold", found="null in some")
    return "cv", content


def _check_further(path, names, nested):
    """Names of sets beside train, valid and test, which a flat file alone may have."""
    for name in names:
        meant = difflib.get_close_matches(name, PARTS, 1, 0.65)
        if nested or meant or name in TAKEN or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            expected = "train, valid and test" + (
                "" if nested else ", and sets of other names in small letters, as calibration"
            )
            do = f"did you mean {meant[0]}?" if meant else None
            raise UserError(path, expected=expected, found=_brief(name), do=do)


def _composed(value):
    """Names in Unicode's composed form, as readers give them, whichever form they were typed in."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    return [_composed(item) for item in value] if isinstance(value, list) else value


def _each(path, part, lists, k):
    if not isinstance(lists, list) or len(lists) != k:
        raise UserError(path, expected=f"{k} lists in {part}, as in train", found=_brief(lists))
    return lists


def _check_names(path, part, names, optional):
    if names is None and optional:
        return
    if not (isinstance(names, list) and names and all(isinstance(name, str) and name for name in names)):
        raise UserError(path, expected=f"subject names in {part}", found=_brief(names))
    if len(set(names)) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise UserError(path, expected=f"each subject once in a list of {part}", found=f"{twice} twice")


def without_missing(
    forms: dict[str, dict[str, Any]], known: set[str], where: str, allow_missing: bool, notes: list[str]
) -> dict[str, dict[str, Any]]:
    """The forms without the names that the data does not have (`known`), if that is allowed, and a note of it.

    Raises `UserError` naming some of them if not.
    """

    def fitting(value):
        if value is None or isinstance(value, str):
            return value
        return [fitting(item) for item in value if not isinstance(item, str) or item in known]

    named = list(dict.fromkeys(name for content in forms.values() for name in _names(list(content.values()))))
    missing = [name for name in named if name not in known]
    if not missing:
        return forms
    if not allow_missing:
        first = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        found = f"{len(missing)} of {len(named)} that are not ({first})"
        do = "give --allow_missing to leave them out"
        raise UserError(where, expected="subjects that are in the data", found=found, do=do)
    notes.append(f"left out, as they are not in the data: {len(missing)} of {len(named)} subjects in {where}")
    return {form: {part: fitting(value) for part, value in content.items()} for form, content in forms.items()}


def _names(value):
    if isinstance(value, str):
        yield value
    elif value is not None:
        for item in value:
            yield from _names(item)


def members(forms: Mapping[str, dict[str, Any]]) -> tuple[Names, ...] | None:
    """Training subjects of each ensemble member, or None without an ensemble's file."""
    return tuple(map(tuple, forms["ensemble"]["train"])) if "ensemble" in forms else None


def folds(forms: Mapping[str, dict[str, Any]]) -> tuple[dict[str, Names], ...] | None:
    """{"train": names, "valid": names} of each fold, or None without a cross-validation file."""
    if "cv" not in forms:
        return None
    pairs = zip(forms["cv"]["train"], forms["cv"]["valid"], strict=True)
    return tuple({"train": tuple(train), "valid": tuple(valid)} for train, valid in pairs)


def main_split(
    forms: Mapping[str, dict[str, Any]], official: Mapping[str, list[str]], fold: int | None, where: str
) -> dict[str, list[str]]:
    """The own split of the data: the flat file's, else the union of an ensemble's members, else that of one fold.

    official: names of each part of the official split, which null stands for. Raises `UserError`.
    """
    if fold is not None and set(forms) != {"cv"}:
        raise UserError("--split_fold", expected="a cross-validation file alone in --split_file", found=where)
    if "flat" in forms:
        lists = forms["flat"]
    elif "ensemble" in forms:
        content = forms["ensemble"]
        union = list(dict.fromkeys(itertools.chain(*content["train"])))
        lists = {"train": union, "valid": content["valid"][0], "test": content["test"][0]}
    else:
        content, fold = forms["cv"], fold or 0
        if not 0 <= fold < len(content["train"]):
            raise UserError(f"--split_fold={fold}", expected=f"0 to {len(content['train']) - 1}, the folds of {where}")
        lists = {part: content[part][fold] for part in PARTS}
    if lists["valid"] is None and not official["valid"]:
        found = "null for valid, which stands for an official validation set that the data does not have"
        raise UserError(where, expected="validation subjects", found=found)
    return {part: official[part] if names is None else list(names) for part, names in lists.items()}


def further(parts: Mapping[str, object]) -> list[str]:
    """The names of sets beside train, valid and test and those to predict, in their order."""
    return [name for name in parts if name not in (*PARTS, *TAKEN)]


def refuse_unfit(
    where: str,
    parts: Mapping[str, list[str]],
    members: tuple[Names, ...] | None,
    folds: tuple[dict[str, Names], ...] | None,
    labelled: Mapping[str, bool],
) -> None:
    """No subject that a network trains on may be one that it is judged on, and whoever trains needs labels.

    labelled: of each subject of the data, whether it has a label. Raises `UserError` naming the first that does not fit.
    """
    train, known = set(parts["train"]), {*parts["train"], *parts["valid"]}
    _refuse_overlap(where, "train", train, "valid", parts["valid"])
    _refuse_overlap(where, "train", train, "test", parts["test"])
    for name in further(parts):
        for part in PARTS:
            _refuse_overlap(where, part, parts[part], name, parts[name])
    lists: list[tuple[str, Sequence[str], set[str]]]
    lists = [(name, parts[name], set(parts[name])) for name in further(parts)]
    lists += [("train", parts["train"], train), ("valid", parts["valid"], known)]
    lists += [(f"member {index}", names, train) for index, names in enumerate(members or ())]
    for index, fold in enumerate(folds or ()):
        _refuse_overlap(where, f"train of fold {index}", fold["train"], f"valid of fold {index}", fold["valid"])
        lists += [(f"{part} of fold {index}", names, known) for part, names in fold.items()]
    for title, names, allowed in lists:
        if not names:
            raise UserError(where, expected=f"subjects of the data in {title}", found="none")
        for name in names:
            if not labelled[name]:
                raise UserError(where, expected=f"labelled subjects in {title}", found=f"{name}, which has no label")
            if name not in allowed:
                expected = f"{title} within train{'' if allowed is train else ' and valid'} of the data's own split"
                raise UserError(where, expected=expected, found=f"{name}, which is not in it")
    if folds:
        refuse_uncovered(where, parts["train"], folds)


def refuse_uncovered(
    where: object, train: Sequence[str], folds: Sequence[Mapping[str, Sequence[str]]], do: str = "complete the file"
) -> None:
    """Each training subject must be held out by a fold: the auxiliary networks learn from what a fold's network, which
    never saw it, makes of it. Raises `UserError` naming some that none holds out."""
    held_out = {name for fold in folds for name in fold["valid"]}
    if missing := [name for name in train if name not in held_out]:
        shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        expected = "each training subject in the valid list of a fold"
        raise UserError(where, expected=expected, found=f"{len(missing)} in none ({shown})", do=do)


def _refuse_overlap(where, first, names, second, others):
    both = sorted(set(names).intersection(others))
    if both:
        raise UserError(where, expected=f"no subject in both {first} and {second}", found=", ".join(both[:3]))


def _brief(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
