"""nnU-Net's splits_final.json: the folds of a cross-validation that others have trained by already."""

from __future__ import annotations

import pathlib
from collections.abc import Collection
from typing import Annotated

import msgspec

from data_prep.base import documents
from data_prep.base.artefacts import read_json
from data_prep.base.errors import UserError
from data_prep.base.names import LONGEST

FILE = "splits_final.json"

Folds = tuple[dict[str, tuple[str, ...]], ...]
_Cases = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class _Fold(msgspec.Struct):
    train: _Cases
    val: _Cases


_File = Annotated[list[_Fold], msgspec.Meta(min_length=1)]


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
    content = documents.typed(read_json(path), _File, path, "copy nnU-Net's file again, or remove it")
    for index, fold in enumerate(content):
        named = [*fold.train, *fold.val]
        if strange := [name for name in named if name not in cases]:
            more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
            do = "add the case, or correct the file, or remove it for folds by seed"
            raise UserError(
                path,
                expected="labelled cases of the data",
                found=f"{strange[0][:LONGEST]}{more} in fold {index}",
                do=do,
            )
        if both := sorted(set(fold.train) & set(fold.val)):
            found = f"{both[0][:LONGEST]} in fold {index}"
            raise UserError(path, expected="no case in both parts of a fold", found=found, do="correct the file")
    return tuple({"train": tuple(fold.train), "valid": tuple(fold.val)} for fold in content)
