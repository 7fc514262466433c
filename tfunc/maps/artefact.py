"""What predictions say of themselves, and whether they are there: predictions.json, and the JSON beside one patient's maps.

No TensorFlow here: the study recognises what prediction has written by the functions that prediction uses.
"""

from __future__ import annotations

from collections.abc import Callable

from data_prep.base import artefacts
from tfunc import former, kinds, runs
from tfunc.methods import Method


def document(
    method: Method,
    drawn: dict[str, int | None],
    precision: str,
    networks: dict[str, str],
    configurations: dict[str, str],
    **more: object,
) -> runs.Document:
    """What a method's maps depend on. drawn: `Options.drawn`. networks: {name: checksum of its weights}.

    configurations: {name: checksum of what maps depend on in its config.json}. more: where the subjects come from.
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
        "configurations": configurations,
        **more,
    }


def difference(
    stored: runs.Document, asked: runs.Document, is_same: Callable[[str], bool] = lambda records: False
) -> str:
    """One phrase naming the first entries of `asked` that are others in what is stored, or an empty string.

    stored: of any schema; what an older one can't say counts as asked for. is_same: whether an identity of records means
    those that are asked for.
    """
    found = former.predictions(stored)
    unsaid = set(asked) if former.is_old(stored) else {"configurations"}
    rest = {name: found.get(name, asked[name] if name in unsaid else None) for name in asked}
    if "records" in asked and is_same(str(rest["records"])):
        rest["records"] = asked["records"]
    return artefacts.difference(rest, asked)


def is_outdated(
    stored: runs.Document, asked: runs.Document, before: dict[str, set[str]], is_same: Callable[[str], bool]
) -> bool:
    """Whether maps differ from those asked for by nothing but weights that a network had before it was prolonged.

    before: {network: checksums of the weights it had}.
    """
    made = stored.get("networks")
    if not isinstance(made, dict) or made == asked["networks"] or set(made) != set(asked["networks"]):
        return False
    weights = {name: asked[name] for name in ("networks", "configurations")}
    known = all(made[name] in {asked["networks"][name], *before.get(name, ())} for name in made)
    return known and not difference({**stored, **weights}, asked, is_same)


def is_done(folder: runs.Path, asked: runs.Document, is_same: Callable[[str], bool]) -> bool:
    """Whether a folder holds the maps of a whole split, as asked for."""
    stored = runs.read_predictions(folder)
    return stored is not None and bool(stored.get("complete")) and not difference(stored, asked, is_same)
