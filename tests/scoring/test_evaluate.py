"""The numbers of an evaluation: those of the metrics, in any number of processes, of the same subjects."""

import dataclasses
import os
import pickle
from typing import ClassVar

import numpy as np
import pytest
from made_up_maps import evaluate_study, make_study, read_csv, undrawn, write

from data_prep.base import pool
from data_prep.base.errors import NotReady, UserError
from tfunc import kinds
from tfunc.reporting import files
from tfunc.scoring import metrics, sources
from tfunc.scoring.binary import count
from tfunc.scoring.counts import THRESHOLDS, empty_counts
from tfunc.scoring.evaluate import evaluate, map_range
from tfunc.scoring.truth import FolderTruth


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    undrawn(monkeypatch)


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_folder_of_maps(tmp_path, kind):
    """The numbers in subjects.csv and calibration.csv are those of `metrics` on the arrays, masks and ranges applied."""
    arrays = make_study(tmp_path)
    finished = evaluate_study(tmp_path, kind)
    everything = np.stack([of["uncertainty"] for of in arrays.values()])
    sigma_range = [float(str(everything.min())), float(str(everything.max()))]
    assert finished.summary["methods"]["maps"]["sigma_range"] == (sigma_range if kind == "sigma" else None)
    rows, curves = read_csv(tmp_path / "out" / "subjects.csv"), read_csv(tmp_path / "out" / "calibration.csv")
    assert [row["subject"] for row in rows] == list(arrays) and {row["method"] for row in rows} == {"maps"}
    pooled = empty_counts()
    for row, of in zip(rows, arrays.values(), strict=True):
        score = of[kinds.KINDS[kind].entry]
        counts = count(score, kind, of["prediction"], of["label"], of["mask"], sigma_range)
        pooled = pooled + counts
        outcome = metrics.outcome(counts)
        assert float(row["dice"]) == metrics.dice(counts)
        assert float(row["ece"]) == metrics.calibration_error(counts)
        assert [int(row[name]) for name in ("tp", "fp", "tn", "fn")] == [outcome.tp, outcome.fp, outcome.tn, outcome.fn]
        for index, t in enumerate(THRESHOLDS):
            assert int(row[f"fpu_{t:.2f}"]) == outcome.fpu[index]
            overlap = row[f"ue_{t:.2f}"]
            assert (float(overlap) if overlap else np.nan) == pytest.approx(
                metrics.error_overlap(counts)[index], rel=0, nan_ok=True
            )
    together = [row for row in curves if row["subject"] == "all"]
    assert [int(row["count"]) for row in together] == metrics.calibration(pooled).count.tolist()
    assert len(curves) == 10 * (len(arrays) + 1)


def test_a_given_sigma_range(tmp_path):
    """--sigma_range is used and kept; a sigma beyond it names the file."""
    make_study(tmp_path)
    assert evaluate_study(tmp_path, "sigma", sigma_range=(0.0, 9.0)).summary["methods"]["maps"]["sigma_range"] == [0, 9]
    with pytest.raises(UserError, match=r"case_0_uncertainty\.nii\.gz.*given range"):
        make_study(tmp_path / "b")
        evaluate_study(tmp_path / "b", "sigma", sigma_range=(0.0, 0.5))


def test_methods_need_the_same_subjects(tmp_path):
    """Methods are compared on the same subjects only."""
    make_study(tmp_path)
    one = sources.Maps("a", "probability", str(tmp_path / "maps"), ("case_0", "case_1"))
    two = sources.Maps("b", "probability", str(tmp_path / "maps"), ("case_0",))
    with pytest.raises(NotReady, match="case_1"), pool.executor(1) as workers:
        evaluate([one, two], FolderTruth(str(tmp_path / "labels")), workers)


def test_a_subject_named_all(tmp_path):
    """`all` is the data set's name in calibration.csv: a subject of that name would lose its rows, and is refused."""
    make_study(tmp_path)
    for folder in ("labels", "masks", "maps"):
        for path in (tmp_path / folder).glob("case_1*"):
            path.rename(path.with_name(path.name.replace("case_1", "all")))
    with pytest.raises(UserError, match="maps: expected subjects' names, found 'all'"):
        evaluate_study(tmp_path)


@pytest.mark.long
def test_processes_give_the_same(tmp_path):
    """Two processes give the counts that one gives, in the same order; a worker's error comes back whole."""
    make_study(tmp_path, subjects=5)
    maps = sources.folder_maps(tmp_path / "maps", "sigma")
    truth = FolderTruth(str(tmp_path / "labels"))
    with pool.executor(1) as workers:
        one = evaluate(maps, truth, workers)
    with pool.executor(2) as workers:
        two = evaluate(maps, truth, workers)
        assert list(files.subjects_lines(one)) == list(files.subjects_lines(two))
        write(tmp_path / "maps" / "case_3_uncertainty.nii.gz", np.full((4, 9, 7), np.nan))
        with pytest.raises(UserError, match="case_3_uncertainty"):
            evaluate(maps, truth, workers)
        with pytest.raises(UserError, match="a worker process died"):
            list(pool.results(workers, os._exit, [1]))


def test_results_are_bounded_and_in_order():
    """No more than `ahead` calls are under way, and results keep the items' order."""
    taken = []

    def items():
        for index in range(20):
            taken.append(index)
            yield index

    results = pool.results(pool.Serial(), str, items(), ahead=1)
    assert next(results) == "0" and len(taken) == 1
    assert list(results) == [str(index) for index in range(1, 20)]
    with pytest.raises(ZeroDivisionError):
        list(pool.results(pool.Serial(), lambda x: 1 / x, [1, 0, 1]))


def test_what_a_worker_is_sent_does_not_grow_with_the_subjects(tmp_path):
    """One subject's item of a set of three, and of one that says it has ten thousand more: as many bytes."""

    class Sent(pool.Serial):
        sizes: ClassVar[list] = []

        def submit(self, function, /, *args):
            self.sizes.append(len(pickle.dumps(args)))
            return super().submit(function, *args)

    make_study(tmp_path)
    truth = FolderTruth(str(tmp_path / "labels"))
    (maps,) = sources.folder_maps(tmp_path / "maps", "sigma")
    first = maps.subjects[0]
    many = dataclasses.replace(maps, subjects=(first, *(f"case_{number}" for number in range(10_000))))
    evaluate([sources.only(maps, [first])], truth, Sent())
    evaluate([sources.only(many, [first])], truth, Sent())
    with pytest.raises(UserError):  # what is not there; the first one was counted
        list(pool.results(Sent(), map_range, ((many.alone(name), truth, name) for name in many.subjects)))
    assert len(Sent.sizes) >= 5 and max(Sent.sizes) < 2 * min(Sent.sizes)
