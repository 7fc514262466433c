"""`tfunc.evaluate`: anyone's maps against anyone's labels, as `evaluate --predictions` does it, from Python."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from data_prep.base import mirrors, pool
from data_prep.base.errors import UserError
from data_prep.readers.labels import Rule
from tfunc.api import arguments
from tfunc.reporting import publish
from tfunc.scoring import asked, layouts, sources
from tfunc.scoring.truth import FolderTruth, several

Path = pathlib.Path | str


class Evaluation:
    """An evaluation: its numbers, and where its tables, pictures and report lie.

    folder: as `evaluate --out_dir` writes it.  methods: {method: {measure: mean over subjects}}, of Table 1.  summary: all of
    summary.json.  markdown: Table 1.  report: the page to open in a browser.  doubt: why it may not be of the files that are
    there now, where the folder could not be written; else empty.
    """

    def __init__(self, finished: publish.Finished):
        self.folder: pathlib.Path = finished.folder
        found = finished.summary["methods"].items()
        self.methods: dict[str, dict[str, float]] = {
            name: {measure: cell["mean"] for measure, cell in one["table1"].items()} for name, one in found
        }
        self.summary: dict[str, Any] = finished.summary
        self.markdown: str = finished.markdown
        self.doubt: str = finished.doubt
        self.report: pathlib.Path = finished.report

    def __repr__(self) -> str:
        return f"<Evaluation of {', '.join(self.methods)} in {self.folder}>"

    def _repr_markdown_(self) -> str:
        """For Jupyter: Table 1."""
        return self.markdown


@arguments.named
def evaluate(
    predictions: Path,
    labels: Path,
    images: Path | None = None,
    out_dir: Path | None = None,
    *,
    masks: Path | None = None,
    kind: str | None = None,
    regions: Mapping[str, Sequence[int]] | None = None,
    label_map: Mapping[int, int] | None = None,
    ignore_label: int | None = None,
    workers: int = 1,
) -> Evaluation:
    """Evaluates a folder of maps, or of method folders, against a folder of labels; writes tables, pictures and a report.

    Folders are paths or URLs. predictions: `<subject>_{probability|uncertainty, prediction}.nii.gz`, or nnU-Net's `.npz`.
    labels: `<subject>.nii.gz`, or with a usual ending. images: `<subject>.nii.gz` or nnU-Net's `<subject>_0000.nii.gz`, shown in
    the report; no number needs them. out_dir: where the files go; None: a new temporary folder, which stays. masks: calibration
    is measured inside. kind: `probability`, `error` or `sigma`, where the predictions don't say it. regions: {name: raw labels}
    of several classes. label_map: {raw label: 0 or 1} of two. ignore_label: voxels that count nowhere. workers: processes.

    Raises `UserError` naming the file or the argument at fault. An evaluation of the same files that is there already is read.

        >>> found = tfunc.evaluate("demo/run/predictions/baseline_mc", "labels", label_map={1: 1, 2: 1, 4: 1})
        labels of 2 files, numbers and their voxels: 0 in ...; foreground: 1, 2, 4
        >>> 0 <= found.methods["baseline_mc"]["dice"] <= 1, found.report.name
        (True, 'report.html')
    """
    if not isinstance(workers, int) or workers < 1:
        raise UserError("workers", expected="1 or more", found=repr(workers))
    task, truth = _truth(labels, masks, images, regions, label_map, ignore_label)
    all_maps = sources.folder_maps(at := pathlib.Path(mirrors.here(predictions)), kind)
    truth.check(all_maps[0].subjects)
    _tell_left_out(at, all_maps)
    if truth.classes is None:
        for line in sources.softmaxes(all_maps):
            arguments.warn(line)
    folder = mirrors.here(out_dir) if out_dir is not None else pathlib.Path(tempfile.mkdtemp(prefix="tfunc-"))

    @contextlib.contextmanager
    def make_pool(size: int) -> Iterator[Executor]:
        with pool.executor(workers, tensorflow=False) as executor:
            yield executor

    found = Evaluation(publish.evaluate_folders(publish.Request(out_dir=folder), all_maps, truth, make_pool, task))
    if found.doubt:
        arguments.warn(f"{folder} can't be written, and {found.doubt}: another out_dir evaluates them")
    return found


def _tell_left_out(folder, all_maps):
    """A warning where a folder of maps has method folders beside them; who gives `--layout` to the program chooses there."""
    one = pathlib.Path(all_maps[0].folder) == folder and not all_maps[0].places
    if one and (others := layouts.with_maps(folder)):
        names = ", ".join(path.name for path in others[:3])
        do = "give a folder that holds method folders and no maps, or each by itself"
        arguments.warn(f"{folder}: its own maps are evaluated, as one method, and those in {names} are left out: {do}")


def _truth(labels, masks, images, regions, label_map, ignore_label):
    """(the task of several classes or of one region, or None; where labels lie and what they mean)."""
    for name, value in (("regions", regions), ("label_map", label_map)):
        if value is not None and not isinstance(value, Mapping):
            raise UserError(name, expected="a dictionary", found=repr(value))
    if label_map is not None:
        whole = arguments.whole
        label_map = {whole("label_map", raw): whole("label_map", target) for raw, target in label_map.items()}
    ignore_label = None if ignore_label is None else arguments.whole("ignore_label", ignore_label)
    task, rule = None, Rule(label_map, ignore_label)
    if regions is not None:
        if label_map is not None:
            raise UserError("label_map", expected="no regions, which say the labels already", found="both")
        for name, raw in regions.items():
            if not isinstance(raw, (list, tuple)):
                raise UserError("regions", expected="a list of raw labels for each", found=f"{name}: {raw!r}")
        numbers = {name: [str(arguments.whole("regions", one)) for one in raw] for name, raw in regions.items()}
        text = ";".join(f"{name}:{','.join(raw)}" for name, raw in numbers.items())
        task = asked.task_of_regions(text, ignore_label)
    rule.check()
    classes = several(task)
    if task is not None and classes is None:
        rule = asked.rule_of(task)
    masks, images = (None if path is None else str(mirrors.here(path)) for path in (masks, images))
    return task, FolderTruth(str(mirrors.here(labels)), masks, rule, classes, images)
