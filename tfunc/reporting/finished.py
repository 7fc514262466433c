"""What an evaluation is asked for, and whether it is there: of the same settings, and computed from the same files."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from data_prep.base import artefacts, leftovers, names, stores
from data_prep.base.errors import UserError
from tfunc import __version__, runs, shapes
from tfunc.kinds import Limits
from tfunc.reporting import report
from tfunc.reporting.summary import upgrade
from tfunc.scoring import volumes
from tfunc.scoring.evaluate import WITH_DISTANCES
from tfunc.scoring.failure import FAILURE
from tfunc.scoring.findings import Distances
from tfunc.scoring.overlap import Shared
from tfunc.scoring.sources import Maps
from tfunc.scoring.truth import AnyTruth, RecordsTruth

NOTHING = Shared()
# the tables of every evaluation of today; one of an earlier version lacks some
TABLES = (
    "subjects.csv", "calibration.csv", "thresholds.csv", "supplementary.csv", "failures.csv", "review.csv",
    "companions.csv", "lesions.csv", "lesion_curves.csv", "comparisons.csv", "sample_sizes.csv", "review.json",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Request:
    """What the user asked for.

    out_dir: the folder to write to.  dataset: whose published values may stand beside ours, or None.  threshold_split:
    `test`, the evaluated subjects themselves, or `valid`: who chooses the thresholds.  figure_subjects: of Figure 1, chosen
    by rule where there are none.  sigma_range: (lowest, highest) that become 0 and 1, in place of the range found.
    split: of a run, whose subjects are evaluated.  subjects: some of them by name; all where there are none.
    failure: a lower Dice has failed.  distances: what is asked for of those of surfaces.  command: as it was typed, and
    run_dir: of a run, for what the report says of where it comes from.
    """

    out_dir: pathlib.Path
    dataset: str | None = None
    threshold_split: str = "test"
    figure_subjects: tuple[str, ...] = ()
    sigma_range: Limits | None = None
    split: str = "test"
    subjects: tuple[str, ...] = ()
    failure: float = FAILURE
    distances: Distances = WITH_DISTANCES
    command: str = ""
    run_dir: pathlib.Path | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What another evaluation in the same folder may not differ in, as plain JSON types."""
        entries = ["dataset", "threshold_split", "figure_subjects", "sigma_range"]
        entries += [name for name in ("split", "subjects", "failure") if getattr(self, name) != getattr(Request, name)]
        found = {name: getattr(self, name) for name in entries}
        if self.distances != WITH_DISTANCES:
            found["distances"] = dataclasses.asdict(self.distances)
        return json.loads(json.dumps(found))

    @property
    def choosing(self) -> str | None:
        """The split that chooses the thresholds, or None where the evaluated subjects do."""
        return None if self.threshold_split in ("test", self.split) else self.threshold_split


@dataclasses.dataclass(frozen=True)
class Finished:
    """An evaluation on disk.

    markdown: Table 1.  pictures: paths.  summary: what summary.json says.  fresh: whether this call had anything to do.
    doubt: why it may not be of the files that are there now, where it could not be made anew.
    """

    folder: pathlib.Path
    markdown: str
    pictures: tuple[pathlib.Path, ...]
    summary: dict[str, Any]
    fresh: bool
    doubt: str = ""

    @property
    def report(self) -> pathlib.Path:
        """The file to open in a browser."""
        return self.folder / report.NAME


def is_done(
    evaluation_dir: pathlib.Path, methods: Sequence[str], threshold_split: str, predictions: Sequence[pathlib.Path]
) -> bool:
    """Whether an evaluation is of at least these methods, with that threshold split, and of these predictions.

    predictions: the predictions.json it rests on, which must all exist. This is what a study asks before it starts the
    command, which then compares the maps themselves. Raises `UserError` for a summary.json that can't be read.
    """
    path = pathlib.Path(evaluation_dir) / runs.EVALUATED
    if not path.exists():
        return False
    found = read(path, shapes.Asked)
    if missing_tables(path.parent):
        return False
    known, written = found.get("inputs", {}).get("predictions"), path.stat().st_mtime
    for index in map(pathlib.Path, predictions):
        if not index.exists():
            return False
        if known is None and index.stat().st_mtime > written:  # an earlier version kept no checksums
            return False
        if known is not None and known.get(index.parent.name) != artefacts.sha256(index):
            return False
    if not set(found["methods"]) >= set(methods) or found["settings"]["threshold_split"] != threshold_split:
        return False
    return not damaged(path.parent, found)


def size(all_maps: Sequence[Maps]) -> int:
    """Bytes of all maps that are scored."""
    return sum(maps.path(name).stat().st_size for maps in all_maps for name in maps.subjects)


def inputs(all_maps: Sequence[Maps], state: Callable[..., str] = volumes.state) -> dict[str, Any]:
    """{folder and kind: digest of its files, segmentations included}: what an evaluation was computed from."""
    found: dict[str, Any] = {}
    for maps in all_maps:
        files = [path for name in maps.subjects for path in maps.files(name)]
        found[f"{stores.shown(pathlib.Path(maps.folder).absolute())} {maps.kind}"] = state(files)
    scaled = {maps.method: [maps.temperature, maps.fitted_on] for maps in all_maps if maps.temperature is not None}
    return {**found, "recalibrated": scaled} if scaled else found


def find(
    request: Request,
    methods: Sequence[str],
    inputs: dict[str, Any],
    truth: AnyTruth,
    shared: Shared = NOTHING,
    former: Callable[[], dict[str, Any]] = dict,
) -> Finished | None:
    """The evaluation that is there, if it is of the same inputs; raises `UserError` for other settings.

    Other inputs (a method more, maps predicted again) make it out of date, and it is computed anew, unless its folder can
    only be read: then it is shown, with the doubt. Fewer methods would throw rows away, and are refused, as is a file where
    the folder should be: all before anything is counted.
    """
    folder = request.out_dir
    leftovers.sweep_once(folder)
    if not (folder / runs.EVALUATED).exists():
        return None
    stored = upgrade(read(folder / runs.EVALUATED, shapes.Done))
    do = f"use another --out_dir, or remove {folder}"
    if difference := artefacts.difference(stored["settings"], request.settings):
        raise UserError(folder, expected="an evaluation with the same settings", found=difference, do=do)
    if missing := [name for name in stored["methods"] if name not in methods]:
        raise UserError(folder, expected=f"{', '.join(missing)} among the methods, as evaluated before", do=do)
    doubt = "" if stored["version"] == __version__ else f"it was made by version {stored['version']} of the toolkit"
    if not _same_inputs(stored["inputs"], inputs, truth, former):
        doubt = "the files that it was computed from lay elsewhere or were others"
    if stored.get("shared", dataclasses.asdict(NOTHING)) != dataclasses.asdict(shared):
        doubt = "its notes do not say which subjects had a part in the thresholds or networks"
    if not doubt and (lacking := missing_tables(folder)):
        doubt = f"it lacks {', '.join(lacking)}, as those of earlier versions do"
    if not doubt and (others := damaged(folder, stored)):
        doubt = f"{others[0]} is not as it was written"
    if doubt and (os.access(folder, os.W_OK) or {*methods} != {*stored["methods"]}):
        return None
    pictures = tuple(folder / name for name in stored["pictures"])
    if not all(path.exists() for path in (folder / "table1.md", folder / report.NAME, *pictures)):
        return None
    return Finished(folder, (folder / "table1.md").read_text(encoding="utf-8"), pictures, stored, False, doubt)


def read(path: pathlib.Path, form: type) -> dict[str, Any]:
    """A summary.json of this form whose names are those of files in its folder; raises `UserError`."""
    do = "remove it and evaluate again"
    document = artefacts.read_document(path, form, do)
    names.require(document["methods"], "a method", path, do)
    for name in (*document.get("pictures", ()), *document.get("files", ())):
        names.inside(name, path, do)
    return document


def missing_tables(folder: pathlib.Path) -> list[str]:
    """Which of the `TABLES` are not there."""
    return [name for name in TABLES if not (folder / name).exists()]


def damaged(folder: pathlib.Path, stored: dict[str, Any]) -> list[str]:
    """Which of the files that an evaluation wrote are gone or others; earlier versions did not say which they wrote."""
    listed = stored.get("files", {})
    return [name for name in listed if not (folder / name).exists() or artefacts.sha256(folder / name) != listed[name]]


def require_folder(folder: pathlib.Path) -> None:
    """Raises `UserError` where a file is in the way of an evaluation's folder."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        expected = "a folder to write to, or nothing"
        raise UserError(nearest, expected=expected, found="a file", do="use another --out_dir")


def _same_inputs(stored, inputs, truth, former):
    """Equal; of a run and an earlier version, by the digests and the name of records that it had. former: -> these digests."""
    if not isinstance(truth, RecordsTruth):
        return stored == inputs
    if truth.manifest.is_same(stored.get("records")):
        stored = {**stored, "records": inputs["records"]}
    if "predictions" in stored:
        return stored == inputs
    return stored == {**former(), "records": inputs["records"]}
