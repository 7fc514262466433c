"""What predictions say of themselves, and whether they are there: predictions.json, and the JSON beside one patient's maps.

No TensorFlow here: the study recognises what prediction has written by the functions that prediction uses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from data_prep.base import artefacts
from data_prep.map_files import About
from tfunc import __version__, former, kinds, runs, shapes
from tfunc.methods import Method
from tfunc.nets import engine


def document(
    method: Method,
    drawn: dict[str, int | str | bool | None],
    precision: str,
    networks: dict[str, str],
    configurations: dict[str, str],
    own_engine: str = engine.TENSORFLOW,
    **more: object,
) -> runs.Document:
    """What a method's maps depend on. drawn: `Options.drawn`. networks: {name: checksum of its weights}.

    own_engine: what runs them. configurations: {name: checksum of what maps depend on in its config.json}. more: where the
    subjects come from.
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
        "engine": own_engine,
        "networks": networks,
        "configurations": configurations,
        **more,
    }


def about(asked: runs.Document) -> About:
    """What the headers of maps say of what made them. asked: a `document`, of whose networks' checksums one digest is kept."""
    several = list(asked["networks"].values())
    digest = several[0] if len(several) == 1 else hashlib.sha256("".join(several).encode()).hexdigest()
    return About(f"tfunc {__version__}, {asked['method']}, networks {digest[:12]}", unit=asked["kind"] != "sigma")


def read(path: runs.Path) -> runs.Document:
    """What a folder of predictions was begun with, or one patient's maps were made with; raises `UserError` for another shape."""
    return artefacts.read_document(path, shapes.Begun, "restore the file, or choose another folder")


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
    stored: runs.Document,
    asked: runs.Document,
    before: dict[str, set[str]],
    kept: set[str],
    is_same: Callable[[str], bool],
) -> bool:
    """Whether maps of a run differ from those asked for by nothing but weights that its networks have no more.

    Such maps are of no use: a network was prolonged, or its folder was removed and it was trained again, as we advise
    where one learnt from former weights; so what its config.json says of it may be another, too. Nothing else may be.

    before: {network: checksums of the weights it had before it was prolonged}.  kept: checksums of all weights in the
    run, whatever the name: those that only moved are not gone, and their maps are left alone.
    """
    made, now = stored.get("networks"), asked["networks"]
    if not isinstance(made, dict) or set(made) != set(now):
        return False
    other = {name for name in made if made[name] != now[name]}
    if not other or any(made[name] in kept and made[name] not in before.get(name, ()) for name in other):
        return False
    as_now = {**stored, "networks": now}
    if isinstance(known := stored.get("configurations"), dict):
        as_now["configurations"] = {**known, **{name: asked["configurations"][name] for name in other}}
    return not difference(as_now, asked, is_same)


def is_done(folder: runs.Path, asked: runs.Document, is_same: Callable[[str], bool]) -> bool:
    """Whether a folder holds the maps of a whole split, as asked for."""
    stored = runs.read_predictions(folder)
    return stored is not None and bool(stored.get("complete")) and not difference(stored, asked, is_same)
