"""The run folder: where each artefact lies, and whether it is finished and of the same configuration."""

import pathlib

from data_prep.base import artefacts
from data_prep.base.errors import NotReady, UserError

CONFIG = "config.json"
FINISHED = "finished.json"
WEIGHTS = "best.weights.h5"
PREDICTED = "predictions.json"  # of a folder of predictions, written last
EVALUATED = "summary.json"  # of an evaluation, written last
HELD_OUT = "heldout"  # the split name under which a cross-validated network's predictions of its own fold are kept
# settings that older folders don't name, and what those were made with
CAME_LATER = {"average_weights": False, "augment": "none"}


def network_dir(run_dir, network):
    return pathlib.Path(run_dir) / "networks" / network


def predictions_dir(run_dir, method, split="test"):
    """`predictions/<method>` for the test split, `predictions/<method>@<split>` for others."""
    return pathlib.Path(run_dir) / "predictions" / (method if split == "test" else f"{method}@{split}")


def evaluation_dir(run_dir):
    return pathlib.Path(run_dir) / "evaluation"


def completed(found, asked):
    """The configuration `found`, with those entries of `asked` that came after it was written."""
    return {**{name: value for name, value in CAME_LATER.items() if name in asked}, **found}


def claim(folder, config, what):
    """Writes `config.json` into a new folder; in an existing one it must be the same.

    Returns True where there was one already. Raises `UserError` naming the first differences.
    """
    path = pathlib.Path(folder) / CONFIG
    if not path.exists():
        artefacts.write_json(path, config)
        return False
    difference = artefacts.difference(completed(artefacts.read_json(path), config), config)
    if difference:
        raise UserError(
            path,
            expected=f"the same configuration of {what}",
            found=difference,
            do="ask for the same, or choose another --run_dir",
        )
    return True


def finished(folder):
    """The content of `finished.json`, or None while the folder is unfinished."""
    path = pathlib.Path(folder) / FINISHED
    return artefacts.read_json(path) if path.exists() else None


def require_network(run_dir, network, command):
    """Configuration and `finished.json` of a trained network; raises `NotReady` naming the command that trains it."""
    folder = network_dir(run_dir, network)
    done = finished(folder)
    if done is None:
        found = "an unfinished one" if folder.is_dir() else "none"
        raise NotReady(folder, expected=f"the trained network {network}", found=found, do=f"run `{command}`")
    weights = folder / WEIGHTS
    if not weights.exists() or artefacts.sha256(weights) != done["weights_sha256"]:
        found = "another file" if weights.exists() else "no file"
        raise UserError(weights, expected="the weights that training wrote", found=found, do=f"remove {folder}; train")
    return artefacts.read_json(folder / CONFIG), done
