"""Which of the evaluated subjects had a part in what is evaluated: in its thresholds, its best epochs, its training.

A cross-validation's file may make one set of validation and test; a table must then not say that the test set chose nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterable, Sequence

from data_prep.base.errors import UserError
from data_prep.records import Manifest
from tfunc import networks, runs
from tfunc.methods import METHODS


@dataclasses.dataclass(frozen=True)
class Shared:
    """How many of the evaluated subjects are among others: of the set that chose the thresholds, where that is another
    (`choosing` is its size), of the sets that chose the networks' best epochs, and of the training subjects.

    The last two are of the methods' network that shares most. Another scan of a subject's patient counts as the subject;
    scans: whether any is among them for that alone.
    """

    thresholds: int = 0
    choosing: int = 0
    best_epoch: int = 0
    trained: int = 0
    scans: bool = False


def shared(
    manifest: Manifest,
    run_dir: pathlib.Path,
    methods: Iterable[str],
    evaluated: Sequence[str],
    choosing: Sequence[str] | None = None,
) -> Shared:
    """What `evaluated` share with others. choosing: the subjects that chose the thresholds, where they are another set.

    A network's own configuration says what it was trained on and which epoch it keeps; where the run has none of it, the
    records' training and validation sets are meant.
    """
    these, others, scans = set(evaluated), set(choosing or ()), False

    def among(group):
        """How many of the evaluated are in a group, by their patients."""
        nonlocal scans
        patients = {manifest.patients.get(name, name) for name in group}
        found = {name for name in these if manifest.patients.get(name, name) in patients}
        scans = scans or bool(found - group)
        return len(found)

    best_epoch = trained = 0
    for name in dict.fromkeys(name for method in methods for name in _networks(run_dir, method)):
        training, validation = _sets(manifest, run_dir, name)
        trained = max(trained, among(training))
        best_epoch = max(best_epoch, among(validation))
    return Shared(among(others), len(others), best_epoch, trained, scans)


def _networks(run_dir, method):
    """Names of a method's networks; all members or folds that the run has."""
    for name in METHODS[method].networks if method in METHODS else ():
        if name not in networks.FAMILIES:
            yield name
            continue
        make = networks.FAMILIES[name]
        config = _config(run_dir, make(0, 1).name)
        yield from (make(index, 1).name for index in range(config.network.count if config else 1))


def _sets(manifest, run_dir, name):
    """(training subjects, subjects that chose the best epoch) of a network."""
    config = _config(run_dir, name)
    train, valid = ({entry.name for entry in manifest.split(split)} for split in ("train", "valid"))
    if config is None:
        return train, valid
    with contextlib.suppress(UserError):  # the records may have other members or folds than it was trained on
        train, valid = map(set, networks.subjects(config.network, manifest, config.reference_quirks))
    return train, valid if config.keeps == "best" else set()


def _config(run_dir, name):
    folder = runs.network_dir(run_dir, name)
    return runs.read_config(folder) if (folder / runs.CONFIG).exists() else None
