"""A study several times, from other seeds: the jobs of all of them, and how much the numbers of Table 1 differ.

The first time is the study itself, in its own run folder; each other one has a run of its own in `<run_dir>/seeds/<seed>`, whose
trainings take that seed. All else, the seed of samples included, is the same, so what differs is what training leaves to chance.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from data_prep.base import artefacts
from data_prep.base.errors import UserError
from data_prep.records import Manifest
from tfunc import runs, shapes
from tfunc.learning import settings as chosen
from tfunc.learning.settings import Settings
from tfunc.methods import Method
from tfunc.reporting import forms, table1
from tfunc.scoring import measures
from tfunc.scoring.measures import Measure
from tfunc.study.jobs import Job
from tfunc.study.plan import plan

FOLDER = "seeds"  # of the run: the runs of the other seeds
TABLE = "seeds"  # .csv and .md, in the run's evaluation


@dataclasses.dataclass(frozen=True)
class SeedJob(Job):
    """A job of the study from another seed, which lies in its own run. job: as that study has it."""

    job: Job
    seed: int

    @property
    def program(self) -> str:
        """See `Job`."""
        return self.job.program

    def flags(self, run_dir: pathlib.Path) -> list[str]:
        """See `Job`."""
        own = run_folder(run_dir, self.seed)
        found = [*self.job.flags(own), f"--run_dir={own}"]
        return [*found, f"--seed={self.seed}"] if self.program == "train" else found

    def is_done(self, run_dir: pathlib.Path) -> bool:
        """See `Job`."""
        return self.job.is_done(run_folder(run_dir, self.seed))

    def part_done(self, run_dir: pathlib.Path) -> float:
        """See `Job`."""
        return self.job.part_done(run_folder(run_dir, self.seed))


def run_folder(run_dir: runs.Path, seed: int) -> pathlib.Path:
    """The run of a seed that isn't the study's own."""
    return pathlib.Path(run_dir) / FOLDER / str(seed)


def of(settings: Settings, count: int) -> list[int]:
    """The seeds of `count` studies, the first the study's own; raises `UserError` for one that no training can have."""
    first = settings["seed"]
    if first + count - 1 > chosen.LARGEST_SEED:
        raise UserError(f"--seeds={count}", expected=f"seeds below {chosen.LARGEST_SEED + 1}, beginning at {first}")
    return list(range(first, first + count))


def jobs(
    manifest: Manifest, methods: Sequence[Method], settings: Settings, seeds: Sequence[int], *how: Any
) -> list[Job]:
    """The jobs of the study and of it again from each other seed. how: the rest of `plan`'s arguments."""
    found = plan(manifest, methods, settings, *how)
    for seed in seeds[1:]:
        for job in plan(manifest, methods, {**settings, "seed": seed}, *how):
            needs = tuple(_name(need, seed) for need in job.needs)
            found.append(SeedJob(_name(job.name, seed), needs, job.cost, job, seed))
    return found


def _name(job, seed):
    return f"seed{seed}_{job}"


Found = dict[str, dict[str, list[float]]]  # {method: {measure: a value from each seed}}


def read(run_dir: runs.Path, methods: Iterable[str], seeds: Sequence[int]) -> Found:
    """What each seed's evaluation says of the methods: means over subjects, NaN where undefined.

    seeds: the first is the run's own. Raises `UserError` for an evaluation that isn't there or lacks a method.
    """
    folders = [pathlib.Path(run_dir), *(run_folder(run_dir, seed) for seed in seeds[1:])]
    found: Found = {name: {measure.name: [] for measure in measures.table1()} for name in methods}
    for folder in folders:
        path = runs.evaluation_dir(folder) / runs.EVALUATED
        evaluated = artefacts.read_document(path, shapes.Summary, "evaluate again")["methods"]
        for name, columns in found.items():
            if name not in evaluated:
                raise UserError(path, expected=f"an evaluation of {name}", found=f"one of {', '.join(evaluated)}")
            for measure, values in columns.items():
                mean = _mean(path, evaluated, name, measure)
                values.append(float("nan") if mean is None else mean)
    return found


def _mean(path, evaluated, name, measure):
    """A cell of an evaluation's Table 1, None where it is undefined."""
    cell = evaluated[name].get("table1", {}).get(measure)
    if cell is None:
        raise UserError(path, expected=f"{measure} of {name}", found="none", do="evaluate again")
    return cell.get("mean")


@dataclasses.dataclass(frozen=True)
class Spread:
    """Over seeds: mean, standard deviation (of a sample: n - 1) and range, NaN where a seed's value is undefined."""

    mean: float
    deviation: float
    lowest: float
    highest: float


def spread(values: Sequence[float]) -> Spread:
    """The spread of one value from each of two seeds or more."""
    array = np.asarray(values, np.float64)
    return Spread(float(array.mean()), float(array.std(ddof=1)), float(array.min()), float(array.max()))


def csv_text(found: Found, seeds: Sequence[int]) -> str:
    """A line for each method and measure: unrounded, ECE as a fraction, with every seed's own value."""
    lines: list[list[Any]] = [["method", "measure", "seeds", "mean", "sd", "lowest", "highest"]]
    lines[0] += [f"seed_{seed}" for seed in seeds]
    for name, columns in found.items():
        for measure, values in columns.items():
            of_all = dataclasses.astuple(spread(values))
            lines.append([name, measure, len(seeds), *map(forms.number, [*of_all, *values])])
    return forms.rows_text(lines)


def markdown(found: Found, seeds: Sequence[int]) -> str:
    """A row for each method: mean ± standard deviation and the range of each column of Table 1."""
    columns = measures.table1()
    lines = ["| method | " + " | ".join(f"{m.title} {forms.arrow(m)}" for m in columns) + " |"]
    lines.append("| --- |" + " ---: |" * len(columns))
    for name, by_measure in found.items():
        cells = [_cell(m, spread(by_measure[m.name])) for m in columns]
        lines.append(f"| {forms.markdown_text(table1.title(name))} | {' | '.join(cells)} |")
    note = (
        f"Mean ± standard deviation [range] over {len(seeds)} trainings, from the seeds {seeds[0]} to {seeds[-1]}: what Table 1"
        " would say another time, of the same subjects. Its own intervals are over subjects, of one training."
        f" {forms.with_threshold()} at the threshold that each training's evaluation chose."
    )
    return "\n".join([*lines, "", note]) + "\n"


def _cell(measure: Measure, found: Spread) -> str:
    if np.isnan(found.mean):
        return "–"
    values = (f"{value * measure.scale:.{measure.digits}f}" for value in dataclasses.astuple(found))
    return "{} ± {} [{}, {}]".format(*values)


def write(run_dir: runs.Path, methods: Iterable[str], seeds: Sequence[int]) -> Mapping[str, pathlib.Path]:
    """Writes seeds.csv and seeds.md into the run's evaluation, from the evaluations of all seeds; {ending: file}."""
    found, folder = read(run_dir, methods, seeds), runs.evaluation_dir(run_dir)
    texts = {"csv": csv_text(found, seeds), "md": markdown(found, seeds)}
    paths = {ending: folder / f"{TABLE}.{ending}" for ending in texts}
    for ending, text in texts.items():
        artefacts.write_text(paths[ending], text)
    return paths
