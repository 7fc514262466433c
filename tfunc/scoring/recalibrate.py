"""The way in: a method's written probabilities and labels of a split that chose nothing -> `Recalibration`, written to its run.

What is computed is `calibration_set`'s, the file's form `recalibration`'s. NumPy only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from data_prep.base import artefacts, locks, room
from data_prep.base.errors import UserError
from tfunc import __version__, methods, runs
from tfunc.kinds import KINDS
from tfunc.scoring import calibration_set, overlap, recalibration, sources
from tfunc.scoring.recalibration import Recalibration
from tfunc.scoring.truth import RecordsTruth

ALPHAS = (0.05, 0.1, 0.2)
ASSUMED = "patients are exchangeable: the next one is drawn as the calibration subjects were"
NOT_CALIBRATING = ("train", "test", "predict", runs.HELD_OUT)
MakePool = Callable[[int], contextlib.AbstractContextManager[Executor]]  # bytes of all maps -> where subjects are read


@dataclasses.dataclass(frozen=True)
class Recalibrated:
    """A recalibration on disk. fresh: whether this call made it."""

    path: pathlib.Path
    found: Recalibration
    fresh: bool


def require_method(name: str) -> None:
    """Raises `UserError` for a method whose map is no probability: it has no temperature."""
    method = methods.get(name)
    if not KINDS[method.kind].segments:
        able = ", ".join(one.name for one in methods.METHODS.values() if KINDS[one.kind].segments)
        expected = f"a method whose map is a probability ({able})"
        raise UserError(f"--method={name}", expected=expected, found=f"maps of kind {method.kind}")


def recalibrate(
    run_dir: runs.Path,
    data_dir: runs.Path,
    dataset: str,
    method: str,
    make_pool: MakePool,
    split: str = "valid",
    alphas: Sequence[float] = ALPHAS,
    say: Callable[[str], object] = print,
) -> Recalibrated:
    """Fits a method of a run on its predictions of a split, or finds that done.

    say: called with each line for the user. Raises `NotReady` naming the command that predicts; `UserError` for a method
    without probabilities, a split that networks were trained or are tested on, and a recalibration of other settings.
    """
    require_method(method)
    manifest = runs.read_records(data_dir, dataset)
    _require_split(split, manifest)
    truth = RecordsTruth(str(data_dir))
    maps = sources.run_maps(run_dir, dataset, method, split, truth)
    truth.check(maps.subjects)
    shared = overlap.shared(manifest, pathlib.Path(run_dir), [method], maps.subjects)
    _require_unseen(f"--calibration_split={split}", method, maps.subjects, manifest, shared)
    alphas = tuple(sorted({_checked(alpha) for alpha in alphas}))
    predictions = artefacts.sha256(pathlib.Path(maps.folder) / runs.PREDICTED)
    settings = {"split": split, "alphas": list(alphas)}
    file = recalibration.path(run_dir, method)

    def there():
        known = _find(run_dir, method, settings)
        is_of_these = known is not None and known.predictions == predictions
        return known, Recalibrated(file, known, fresh=False) if is_of_these else None

    known, done = there()
    if done is not None:
        return done
    if known is not None:
        say(f"{file}: out of date, its maps were predicted again since; it is made anew")
    with locks.held(file.parent, "a recalibration", of=file.name):
        if (done := there()[1]) is not None:  # by another process, meanwhile
            return done
        room.require_place(file)
        with make_pool(sum(maps.path(name).stat().st_size for name in maps.subjects)) as pool:
            computed = calibration_set.fit(maps, truth, pool, alphas, say)
        whole = _whole(method, dataset, maps, split, manifest, alphas, shared, predictions, computed)
        return Recalibrated(recalibration.write(run_dir, whole), whole, fresh=True)


def _whole(method, dataset, maps, split, manifest, alphas, shared, predictions, computed):
    """What was computed, with what it is of."""
    return Recalibration(
        method=method,
        dataset=dataset,
        split=split,
        alphas=alphas,
        approximate=split == "valid" or shared.best_epoch > 0,
        assumed=ASSUMED,
        subjects=maps.subjects,
        records=manifest.identity,
        predictions=predictions,
        made_by=recalibration.made_by(runs.read_predictions(maps.folder) or {}),
        version=__version__,
        **computed,
    )


def _checked(alpha):
    if not 0 < alpha < 1:
        raise UserError("--alphas", expected="shares between 0 and 1, as 0.05,0.1", found=f"{alpha:g}")
    return float(alpha)


def _require_split(split, manifest):
    known = sorted({name for entry in manifest.subjects for name in entry.splits} - {*NOT_CALIBRATING})
    if split in NOT_CALIBRATING:
        why = {"train": "on which networks were trained", "test": "on which all is judged"}
        found = f"one {why[split]}" if split in why else "one without labels of its own"
        expected = f"a split that chose nothing, of {', '.join(known)}"
        raise UserError(f"--calibration_split={split}", expected=expected, found=found)
    if split not in known:
        expected = f"a split with subjects ({', '.join(known)})"
        raise UserError(f"--calibration_split={split}", expected=expected, found="none")


def _require_unseen(where, method, subjects, manifest, shared):
    """Refuses subjects that networks were trained on, and those that are tested on."""
    if shared.trained:
        found = f"{shared.trained} that its networks were trained on"
        raise UserError(where, expected=f"subjects that {method} never saw", found=found)
    if both := sorted({*subjects} & {entry.name for entry in manifest.split("test")}):
        raise UserError(where, expected="no subject of the test split", found=f"{both[0]}, which is in both")


def _find(run_dir, method, asked):
    """The recalibration that is there, of whichever maps; raises `UserError` for one of other settings."""
    known, file = recalibration.stored(run_dir, method), recalibration.path(run_dir, method)
    if known is None:
        return None
    settings = {"split": known.split, "alphas": list(known.alphas)}
    if different := artefacts.difference(settings, asked):
        do = f"ask for the same, or remove {file}"
        raise UserError(file, expected="a recalibration with the same settings", found=different, do=do)
    return known
