"""Where an evaluation's numbers come from: program, data, networks and their checksums, seeds, versions, how to cite it."""

from __future__ import annotations

import contextlib
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from data_prep.base.errors import UserError
from tfunc import __version__, runs
from tfunc.reporting.table1 import title
from tfunc.reporting.templates import filled
from tfunc.scoring.sources import Maps

SOFTWARE = "tfunc: voxel-wise uncertainty for medical image segmentation, in TensorFlow"  # as CITATION.cff has them
AUTHORS = "The tfunc developers"
PAPER = (
    "Jungo, Alain; Reyes, Mauricio: Assessing Reliability and Challenges of Uncertainty Estimations for Medical Image "
    "Segmentation. Medical Image Computing and Computer Assisted Intervention (MICCAI 2019)"
)
DOI = "10.1007/978-3-030-32245-8_6"
OF_PREDICTIONS = ("samples", "seed", "precision", "engine")


def provenance(all_maps: Sequence[Maps], command: str = "", run_dir: pathlib.Path | None = None) -> dict[str, Any]:
    """What of it stands in no other entry of summary.json, as plain JSON types.

    command: as it was typed, empty where none was.  run_dir: the networks' run, whose seeds are read; None for anyone's maps.
    """
    made = {maps.method: _made(maps.folder) for maps in all_maps}
    networks: dict[str, dict[str, Any]] = {}
    for document in made.values():
        for name, checksum in (document.get("networks") or {}).items():
            networks[name] = {"sha256": checksum, "seed": _seed(run_dir, name)}
    return {
        "command": command,
        "versions": {"tfunc": __version__, "python": platform.python_version(), "numpy": np.__version__},
        "predictions": {
            method: {entry: document.get(entry) for entry in OF_PREDICTIONS} for method, document in made.items()
        },
        "networks": networks,
    }


def _made(folder):
    """What predictions say of themselves; nothing of those of another program that do not."""
    with contextlib.suppress(UserError):
        return runs.read_predictions(folder) or {}
    return {}


def _seed(run_dir, network):
    """That a network was trained with, or None where its configuration is not there any more."""
    if run_dir is None or not (runs.network_dir(run_dir, network) / runs.CONFIG).exists():
        return None
    with contextlib.suppress(UserError):
        return runs.read_config(runs.network_dir(run_dir, network)).seed
    return None


def section(summary: Mapping[str, Any]) -> Markup:
    """The report's section. summary: what summary.json says, `provenance` among it."""
    said = summary["provenance"]
    return filled(
        "provenance.html",
        said=said,
        rows=[(title(method), made) for method, made in said["predictions"].items()],
        records=summary["inputs"].get("records"),
        made_up=summary.get("made_up", False),
        split=summary.get("split", "test"),
        threshold_split=summary["threshold_split"],
        cite=f"{AUTHORS}: {SOFTWARE}. Version {said['versions']['tfunc']}.",
        paper=f"{PAPER}. doi:{DOI}",
    )
