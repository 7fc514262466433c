"""What a reader finds, each subject under a name that can be a file's and that no other has."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from data_prep.base import names
from data_prep.base.errors import Faults, UserError

_DO = "rename it: its maps are called after it"


def sources(find: Callable[[], Sequence[Any]]) -> tuple[list[Any], dict[str, UserError]]:
    """(the `Source`s that `find` returns, {name: `UserError`} of subjects that can't be used).

    A subject whose name cannot be a file's can't be used, nor the second of two whose names differ by case or Unicode form
    only. Raises what `find` raises where nothing is found at all, and the one fault where no subject is left.
    """
    faults: dict[str, UserError] = {}
    try:
        listed = find()
    except Faults as error:
        listed, faults = error.found, dict(error.faults)
        if not listed:
            raise
    kept: list[Any] = []
    there: dict[str, str] = {}
    for source in listed:
        where = os.path.dirname(source.image) if names.wrong(source.name) else source.image
        try:
            names.checked(source.name, "a subject", where, _DO)
        except UserError as error:
            faults[names.shown(source.name)] = error
            continue
        other = there.setdefault(names.folded(source.name), source.name)
        if other != source.name:
            faults[source.name] = names.alike(source.name, other, source.image)
            continue
        kept.append(source)
    if listed and not kept:
        raise Faults(faults) if len(faults) > 1 else next(iter(faults.values()))
    return kept, faults
