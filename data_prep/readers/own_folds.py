"""nnU-Net's splits_final.json: the folds of a cross-validation that others have trained by already."""

from __future__ import annotations

import pathlib
from collections.abc import Collection
from typing import Any

from data_prep.base.artefacts import read_json
from data_prep.base.errors import UserError

FILE = "splits_final.json"

Folds = tuple[dict[str, tuple[str, ...]], ...]


def place(folder: pathlib.Path) -> pathlib.Path | None:
    """Where the file lies: in the raw folder, or in nnUNet_preprocessed/<name> beside nnUNet_raw; None where it does not."""
    own = folder.resolve()
    candidates = (own / FILE, own.parent.parent / "nnUNet_preprocessed" / own.name / FILE)
    return next((path for path in candidates if path.is_file()), None)


def read(folder: pathlib.Path, cases: Collection[str]) -> Folds | None:
    """The folds, each a dict with `train` and `valid`; None without the file.

    cases: names of the labelled cases. Raises `UserError` naming the file for another form, for a case that is not there and
    for one in both parts of a fold.
    """
    path = place(folder)
    if path is None:
        return None
    content = read_json(path)
    if not isinstance(content, list) or not content or not all(map(_is_fold, content)):
        expected = 'a list of folds, each {"train": [cases], "val": [cases]}'
        raise UserError(path, expected=expected, found=_brief(content), do="copy nnU-Net's file again, or remove it")
    for index, fold in enumerate(content):
        named = [*fold["train"], *fold["val"]]
        if strange := [name for name in named if name not in cases]:
            more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
            do = "add the case, or correct the file, or remove it for folds by seed"
            raise UserError(
                path, expected="labelled cases of the data", found=f"{strange[0]}{more} in fold {index}", do=do
            )
        if both := sorted(set(fold["train"]) & set(fold["val"])):
            found = f"{both[0]} in fold {index}"
            raise UserError(path, expected="no case in both parts of a fold", found=found, do="correct the file")
    return tuple({"train": tuple(fold["train"]), "valid": tuple(fold["val"])} for fold in content)


def _is_fold(fold: Any) -> bool:
    return isinstance(fold, dict) and all(
        isinstance(fold.get(part), list) and fold[part] and all(isinstance(name, str) for name in fold[part])
        for part in ("train", "val")
    )


def _brief(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
