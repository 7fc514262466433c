"""Trained networks: their weights, configuration and state as the training wrote them, and what they were made from."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.base.findings import Finding, finding
from data_prep.records import Manifest
from tfunc import networks, runs
from tfunc.learning import claim
from tfunc.nets import weight_numbers

DAMAGED = "damaged network"


def check(folder: pathlib.Path, dataset: str, manifest: Manifest | None = None) -> Iterator[Finding]:
    """The findings on the network of a folder. dataset: for commands. manifest: of the records that it should be made from."""
    train = networks.training_command(folder.name, dataset)
    anew = ("remove ", str(folder), ", then run ", train)
    if not (folder / runs.CONFIG).exists():
        if any(path.name != ".lock" for path in folder.iterdir()):
            yield finding("note", "unfinished", folder, found="a training that had not begun", do=train)
        return
    try:
        done, config = runs.finished(folder), runs.read_config(folder)
    except UserError as error:
        yield Finding("error", DAMAGED, instead(error, anew))
        return
    train = networks.training_command(folder.name, config.task.name)
    anew = ("remove ", str(folder), ", then run ", train)
    for name in (runs.CONFIG, runs.FINISHED):
        yield from unsealed(folder / name)
    if manifest is not None and not manifest.is_same(config.records):
        yield other_records(
            folder / runs.CONFIG, manifest, "train into another --run_dir, or give the --data_dir of its own"
        )
    if done is None:
        yield from _unfinished(folder, train)
        return
    yield from _weights(folder, done, anew)
    yield from _state(folder, done, dataset)
    yield from _learnt_from(folder, config, anew)


def _unfinished(folder, train):
    if (folder / claim.DIVERGED).exists():
        do = "train with a smaller --learning_rate, or another --seed"
        yield finding("warning", "diverged", folder, found="a training whose loss was not finite", do=do)
        return
    if not (folder / runs.RESUME).exists():
        yield finding("note", "unfinished", folder, found="a training without a saved state", do=train)
        return
    yield finding("note", "unfinished", folder, found="a training that was stopped", do=train)
    try:
        found = claim.damaged_state(folder)
    except UserError as error:
        yield Finding("error", DAMAGED, error)
        return
    if found:
        state = folder / runs.RESUME
        do = f"remove {state} to train from the start"
        yield finding("error", DAMAGED, state, expected="the state that was saved", found=found, do=do)


def _weights(folder, done, anew):
    """Each file of weights against its checksum, and whether its numbers are finite."""
    for name, checksum in {runs.WEIGHTS: done["weights_sha256"], **done.get("kept_sha256", {})}.items():
        path = folder / name
        try:
            runs.require_weights(path, checksum)
            strange = weight_numbers.not_finite(path)
        except UserError as error:
            yield Finding("error", DAMAGED, instead(error, anew))
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            yield finding("error", DAMAGED, path, expected="weights", found=str(error).splitlines()[0], do=anew)
        else:
            if strange:
                seen = f"NaN or infinity in {strange}"
                yield finding("error", "not finite", path, expected="finite weights", found=seen, do=anew)


def _state(folder, done, dataset):
    """Whether it can go on to more epochs."""
    try:
        claim.require_state(folder, done, dataset)
    except UserError as error:
        earlier = "state_sha256" not in done
        yield Finding("note" if earlier else "warning", "earlier version" if earlier else "state", error)


def _learnt_from(folder, config, anew):
    """Whether the networks that it learnt from are still those that are there."""
    for name, checksum in config.learns_from.items():
        own = runs.network_dir(folder.parents[1], name)
        if not isinstance(checksum, str) or not (own / runs.FINISHED).exists():
            continue
        try:
            now = (runs.finished(own) or {}).get("weights_sha256")
        except UserError:  # said of that network
            continue
        if now != checksum:
            expected, seen = f"a network that learnt from {name} as it is now", "one that learnt from former weights"
            yield finding("warning", "out of date", folder, expected=expected, found=seen, do=anew)


# What is said of all artefacts of a run alike


def instead(error: UserError, do: object) -> UserError:
    """The error with another remedy, that of the artefact as a whole."""
    where, expected, found, _ = error.arguments
    return UserError(where, expected=expected, found=found, do=do)  # type: ignore[arg-type]


def unsealed(path: pathlib.Path) -> Iterator[Finding]:
    """A note where a document was written before documents vouched for themselves. It is there and can be read."""
    if path.exists() and not artefacts.is_sealed(path):
        found = "no seal: an earlier version wrote it, so it does not vouch for itself"
        yield finding("note", "earlier version", path, found=found)


def other_records(path: pathlib.Path, manifest: Manifest, do: str) -> Finding:
    """The error of an artefact that other records were the source of."""
    expected = f"what was made from {manifest.path} (identity {manifest.identity[:12]}…)"
    return finding("error", "other records", path, expected=expected, found="other records' identity", do=do)
