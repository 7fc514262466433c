"""What predictions say of themselves, and whether they are there: predictions.json, and the JSON beside one patient's maps.

No TensorFlow here: the study recognises what prediction has written by the functions that prediction uses.
"""

from __future__ import annotations

from collections.abc import Callable

from data_prep.base import artefacts
from tfunc import former, kinds, runs
from tfunc.methods import Method


def document(
    method: Method, drawn: dict[str, int | None], precision: str, networks: dict[str, str], **more: object
) -> runs.Document:
    """What a method's maps depend on. drawn: `Options.drawn`. networks: {name: checksum of its weights}.

    more: where the subjects come from.
    """
    kind = kinds.get(method.kind)
    return {
        "schema": former.SCHEMA,
        "method": method.name,
        "predictive": method.predictive_name,
        "kind": kind.name,
        "measure": kind.measure,
        "uncertainty": kind.raw,
        **drawn,
        "precision": precision,
        "networks": networks,
        **more,
    }


def difference(
    stored: runs.Document, asked: runs.Document, is_same: Callable[[str], bool] = lambda records: False
) -> str:
    """One phrase naming the first entries of `asked` that are others in what is stored, or an empty string.

    stored: of any schema; what an old one can't say counts as asked for. is_same: whether an identity of records means
    those that are asked for.
    """
    found = former.predictions(stored)
    rest = {name: found.get(name, asked[name] if former.is_old(stored) else None) for name in asked}
    if "records" in asked and is_same(str(rest["records"])):
        rest["records"] = asked["records"]
    return artefacts.difference(rest, asked)


def is_done(folder: runs.Path, asked: runs.Document, is_same: Callable[[str], bool]) -> bool:
    """Whether a folder holds the maps of a whole split, as asked for."""
    stored = runs.read_predictions(folder)
    return stored is not None and bool(stored.get("complete")) and not difference(stored, asked, is_same)
