"""Subjects -> counts -> files: what `launch/evaluate.py` runs, on a run's predictions or on anyone's folders.

Each subject is counted once for all methods, in a worker, and only its counts come back, so memory is flat in the
number of subjects. Everything written is a function of these counts.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil

import numpy as np

from data_prep.base import artefacts
from data_prep.base import pool as engine
from data_prep.base.errors import NotReady, UserError
from data_prep.base.progress import Progress
from tfunc import __version__
from tfunc.methods import METHODS
from tfunc.reporting import figures, report
from tfunc.scoring import metrics, sources
from tfunc.scoring import statistics as tables

POLICY = {
    "dice": "1 where target and segmentation are both empty; corrected Dice likewise",
    "ue": "undefined where there are neither errors nor uncertain voxels; averages skip undefined values",
    "precision and recall": "undefined for a zero denominator; their curve takes 1 there, as the reference does",
    "bnf": "bnf is a higher corrected Dice, bnf_inequality the paper's FPU TP > TPU (TP + FP + FN); an empty target "
    "whose false positives all vanish counts for the first only",
    "ece": "inside the mask (BraTS: raw t2 above 0); all else over the whole volume",
    "constant": "a constant error probability or sigma range is an error, where the reference scores NaN",
}
POOLED = "all"  # calibration.csv's name of the data set, so no subject's


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """maps: `Maps` with their sigma ranges; scores: {method: tables.Scores}; counts: {method: {subject: Counts}}."""

    maps: tuple
    scores: dict
    counts: dict


# ------------------------------------------------------------------------------------------------------------ counting


def map_range(task):
    """(lowest, highest) of one map. task: (Maps, subject)."""
    maps, subject = task
    with _naming(maps, subject):
        return metrics.value_range(maps.score(subject)[0])


def count_subject(task):
    """{method: Counts} of one subject. task: (truth, list of Maps, subject)."""
    truth_of, all_maps, subject = task
    truth = truth_of.read(subject)
    counts = {}
    for maps in all_maps:
        score, prediction = maps.read(subject, truth)
        with _naming(maps, subject):
            counts[maps.method] = metrics.count(score, maps.kind, prediction, truth.label, truth.mask, maps.sigma_range)
    return counts


@contextlib.contextmanager
def _naming(maps, subject):
    try:
        yield
    except metrics.MapError as error:
        expected = {
            "probability": "foreground probabilities in [0, 1]",
            "confidence": "error probabilities that vary",
            "sigma": f"finite sigmas{f' in {maps.sigma_range}' if maps.sigma_range else ''}",
        }[maps.kind]
        do = f"predict again, or leave {maps.method} out"
        raise UserError(maps.path(subject), expected=expected, found=f"{error}", do=do) from None


def evaluate(all_maps, truth, pool, sigma_range=None):
    """Counts every subject of every method on the Executor `pool` -> `Evaluated`.

    A sigma is first rescaled over the whole set: to `sigma_range` where it is given, else to the range found in one
    pass more over its maps. Raises `UserError` where methods have other subjects or a subject has no label.
    """
    subjects = _common_subjects(all_maps)
    truth.check(subjects)
    all_maps = tuple(_with_range(maps, pool, sigma_range) for maps in all_maps)
    counts = {maps.method: {} for maps in all_maps}
    tasks = ((truth, all_maps, subject) for subject in subjects)
    with Progress("evaluate", len(subjects), " subjects") as progress:
        for subject, of in zip(subjects, engine.results(pool, count_subject, tasks), strict=True):
            for method, one in of.items():
                counts[method][subject] = one
            progress.advance()
    return Evaluated(all_maps, {method: tables.scores(of) for method, of in counts.items()}, counts)


def _common_subjects(all_maps):
    names = [maps.method for maps in all_maps]
    if len(set(names)) < len(names):
        raise UserError("methods", expected="one folder each", found=", ".join(names))
    first = all_maps[0]
    if POOLED in first.subjects:
        found = f"{POOLED!r}, which stands for the whole set in calibration.csv"
        raise UserError(first.folder, expected="subjects' names", found=found, do="rename its files")
    for maps in all_maps[1:]:
        if odd := set(first.subjects) ^ set(maps.subjects):
            name = min(odd)
            without = maps if name in first.subjects else first
            expected = f"{name}, which {(first if without is maps else maps).folder} has"
            do = "methods are compared on the same subjects: predict the rest, or leave one out with --methods"
            raise NotReady(without.folder, expected=expected, found="no map of it", do=do)
    return first.subjects


def _with_range(maps, pool, sigma_range):
    if maps.kind != "sigma":
        return maps
    if sigma_range is None:
        tasks = ((maps, subject) for subject in maps.subjects)
        sigma_range = metrics.common_range(engine.results(pool, map_range, tasks))
    return dataclasses.replace(maps, sigma_range=tuple(sigma_range))


# --------------------------------------------------------------------------------------------------------------- files


def subjects_lines(evaluated):
    """Rows of subjects.csv: one a method and subject. An undefined value is an empty cell."""
    plain = ("dice", "ece", "accuracy")
    outcomes = ("tp", "fp", "tn", "fn")
    by_threshold = {
        "ue": metrics.error_overlap,
        "error_precision": metrics.error_precision,
        "error_recall": metrics.error_recall,
        "corrected_dice": metrics.corrected_dice,
        "corrected_accuracy": metrics.corrected_accuracy,
        "benefit": metrics.benefits,
        "benefit_inequality": metrics.benefits_inequality,
        "accuracy_benefit": metrics.accuracy_benefits,
    }
    uncertain = ("tpu", "fpu", "tnu", "fnu")
    columns = [f"{name}_{t:.2f}" for t in metrics.THRESHOLDS for name in (*by_threshold, *uncertain)]
    lines = [["method", "subject", *plain, *outcomes, "confidence_gap", *columns]]
    for method, counts in evaluated.counts.items():
        for subject, of in counts.items():
            outcome = metrics.outcome(of)
            values = [metrics.dice(of), metrics.calibration_error(of), metrics.accuracy(of)]
            values += [getattr(outcome, name) for name in outcomes] + [metrics.confidence_gap(of)]
            table = [function(of) for function in by_threshold.values()] + [getattr(outcome, u) for u in uncertain]
            values += [column[index] for index in range(len(metrics.THRESHOLDS)) for column in table]
            lines.append([method, subject, *map(tables.number, values)])
    return lines


def calibration_lines(evaluated):
    """Rows of calibration.csv: ten bins for every method and subject, and for the data set as subject `all`."""
    lines = [["method", "subject", "bin", "count", "mean_probability", "positive_fraction"]]
    for method, counts in evaluated.counts.items():
        for subject, of in {**counts, POOLED: evaluated.scores[method].pooled}.items():
            curve = metrics.calibration(of)
            for index in range(metrics.BINS):
                values = curve.count[index], curve.mean_probability[index], curve.positive_fraction[index]
                lines.append([method, subject, index, *map(tables.number, values)])
    return lines


def threshold_lines(evaluated):
    """Rows of thresholds.csv: each method's means over subjects at each of the eleven thresholds."""
    lines = [
        ["method", "threshold", "ue", "bnf", "bnf_inequality", "corrected_dice", "error_precision", "error_recall"]
    ]
    for method, of in evaluated.scores.items():
        precision, recall = tables.precision_recall(of)
        columns = [tables.mean(v) for v in (of.ue, of.benefit, of.inequality, of.corrected_dice)] + [precision, recall]
        for index, threshold in enumerate(metrics.THRESHOLDS):
            lines.append([method, f"{threshold:.2f}", *(tables.number(column[index]) for column in columns)])
    return lines


def supplement_lines(evaluated):
    """Rows of supplementary.csv: mean-subject ECE against the data set's, in %, three digits, as in the supplement."""
    lines = [["method", "ece_mean_subject_percent", "ece_dataset_percent", "confidence_gap_dataset"]]
    for method, of in evaluated.scores.items():
        percents = [np.round(100 * v, 3) for v in (tables.mean(of.ece), metrics.calibration_error(of.pooled))]
        lines.append([method, *map(tables.number, [*percents, metrics.confidence_gap(of.pooled)])])
    return lines


def summary(evaluated, rows, about, examples):
    """What summary.json says; `about` are the entries about the evaluation itself. NaN becomes null."""
    miscalibration = tables.miscalibration(evaluated.scores)
    methods = {}
    for maps in evaluated.maps:
        of, row = evaluated.scores[maps.method], next(row for row in rows if row.method == maps.method)
        methods[maps.method] = {
            "title": row.title,
            "kind": maps.kind,
            "ranked": row.ranked,
            "subjects": row.subjects,
            "sigma_range": maps.sigma_range,
            "table1": {name: dataclasses.asdict(cell) for name, cell in row.cells.items()},
            "accuracy": tables.mean(of.accuracy),
            "dataset_ece": metrics.calibration_error(of.pooled),
            "dataset_confidence_gap": metrics.confidence_gap(of.pooled),
            "undefined_ue": np.isnan(of.ue).sum(axis=0).tolist(),
        }
    return _json(
        {
            "version": __version__,
            **about,
            "thresholds": list(metrics.THRESHOLDS),
            "methods": methods,
            "miscalibration": {name: getattr(miscalibration, name) for name in ("threshold", "under", "over")},
            "figure1_subjects": dict(examples),
            "columns": {m.name: {"title": m.title, "definition": m.definition} for m in tables.METRICS},
            "policy": POLICY,
        }
    )


def _json(value):
    """Plain JSON types: NaN to None, NumPy scalars to Python's."""
    if isinstance(value, dict):
        return {name: _json(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


@dataclasses.dataclass(frozen=True)
class Finished:
    """An evaluation on disk: its folder, Table 1 as Markdown, pictures, and whether this call had anything to do."""

    folder: pathlib.Path
    markdown: str
    pictures: tuple
    summary: dict
    fresh: bool

    @property
    def report(self):
        return self.folder / report.NAME


def write(evaluated, folder, about, truth, chosen=None, published=None, examples=None):
    """Writes every file of an evaluation but summary.json, each atomically -> (Markdown table, pictures, summary).

    Of a run, whose records hold the images, also the overlays.
    """
    folder = pathlib.Path(folder)
    rows = tables.table1(evaluated.scores, chosen, published)
    notes = _notes(rows, about, published)
    markdown = tables.markdown(rows, notes)
    for name, lines in (
        ("subjects.csv", subjects_lines(evaluated)),
        ("calibration.csv", calibration_lines(evaluated)),
        ("thresholds.csv", threshold_lines(evaluated)),
        ("supplementary.csv", supplement_lines(evaluated)),
    ):
        artefacts.write_text(folder / name, tables.rows_text(lines))
    artefacts.write_text(folder / "table1.csv", tables.csv_text(rows))
    artefacts.write_text(folder / "table1.md", markdown)
    artefacts.write_text(folder / "table1.tex", tables.latex(rows, " ".join(notes)))
    by_rule = examples is None
    if by_rule:
        examples = dict(zip(("S1", "S2", "S3"), tables.example_subjects(evaluated.scores), strict=False))
    pictures = figures.write_all(folder, evaluated, examples, by_rule, about["dataset"] or "")
    image_of = truth.subject if isinstance(truth, sources.RecordsTruth) else None
    if image_of:
        pictures = (*pictures, *figures.overlay(folder, evaluated, truth, examples))
    text = summary(evaluated, rows, about, examples)
    report.write(folder, evaluated, rows, notes, text, pictures, truth, image_of)
    return markdown, pictures, text


def named_examples(names, subjects):
    """{"S1": name, ...} for --figure_subjects; raises `UserError` for a subject that wasn't evaluated."""
    for name in names:
        if name not in subjects:
            raise UserError("--figure_subjects", expected="evaluated subjects", found=repr(name))
    return {f"S{index}": name for index, name in enumerate(names, 1)}


def _notes(rows, about, published):
    split, unpredicted = about["threshold_split"], about["unpredicted"]
    ranked = sum(row.ranked for row in rows)
    way = "as in the paper" if split == "test" else "so the test set chose nothing"
    notes = [
        f"Mean over {rows[0].subjects} subjects (rank among {ranked} methods), 95 % bootstrap interval over subjects. "
        f"U-E and BnF at the threshold named, best per method on the {split} set, {way}."
    ]
    if published:
        notes.append("Values marked paper are those published for this data set, with their ranks.")
    if unpredicted:
        labels = rows[0].subjects + unpredicted
        notes.append(f"{unpredicted} of {labels} labels have no prediction: their subjects are not in this table.")
    return notes


# ---------------------------------------------------------------------------------------------------------------- runs


@dataclasses.dataclass(frozen=True)
class Request:
    """What the user asked for; what of it another evaluation in the same folder may not differ in is `settings`."""

    out_dir: pathlib.Path
    dataset: str | None = None
    threshold_split: str = "test"
    figure_subjects: tuple = ()
    sigma_range: tuple | None = None

    @property
    def settings(self):
        names = ("dataset", "threshold_split", "figure_subjects", "sigma_range")
        return json.loads(json.dumps({name: getattr(self, name) for name in names}))


def available_methods(run_dir, dataset):
    """Methods of the table that have finished predictions of the test set; `NotReady` where none has."""
    names = [name for name in METHODS if (sources.prediction_folder(run_dir, name) / "predictions.json").exists()]
    if not names:
        sources.run_maps(run_dir, dataset, next(iter(METHODS)))
    return names


def evaluate_run(request, run_dir, data_dir, names, make_pool):
    """Evaluates a run's methods `names` on its test split and writes `request.out_dir` -> `Finished`.

    make_pool: bytes of all maps -> context manager of an Executor.
    """
    splits = sorted({"test", request.threshold_split})
    truth = sources.RecordsTruth(str(data_dir))
    all_maps = {
        split: [sources.run_maps(run_dir, request.dataset, name, split, truth) for name in names] for split in splits
    }
    inputs = _inputs([maps for split in splits for maps in all_maps[split]])
    inputs["records"] = artefacts.sha256(truth.manifest.path)
    if there := _finished(request, names, inputs):
        return there
    with make_pool(_size(all_maps["test"])) as pool:
        evaluated = evaluate(all_maps["test"], truth, pool)
        chosen = None
        if request.threshold_split != "test":
            other = evaluate(all_maps[request.threshold_split], truth, pool)
            chosen = {method: tables.thresholds(of) for method, of in other.scores.items()}
    return _finish(request, evaluated, inputs, chosen, truth)


def evaluate_folders(request, all_maps, truth, make_pool):
    """Evaluates maps from anywhere against a `FolderTruth` and writes `request.out_dir` -> `Finished`."""
    _check_range(request.sigma_range, all_maps)
    inputs = _inputs(all_maps)
    inputs["truth"] = truth.state(all_maps[0].subjects)
    inputs["unpredicted"] = truth.unpredicted(all_maps[0].subjects)
    if there := _finished(request, [maps.method for maps in all_maps], inputs):
        return there
    with make_pool(_size(all_maps)) as pool:
        evaluated = evaluate(all_maps, truth, pool, request.sigma_range)
    return _finish(request, evaluated, inputs, None, truth)


def _check_range(sigma_range, all_maps):
    if sigma_range is None:
        return
    if not np.isfinite(sigma_range).all():
        found = ",".join(f"{limit:g}" for limit in sigma_range)
        raise UserError("--sigma_range", expected="two finite numbers", found=found)
    kinds = {maps.kind for maps in all_maps}
    if "sigma" not in kinds:
        raise UserError("--sigma_range", expected="maps of --kind=sigma", found=" and ".join(sorted(kinds)))


def _size(all_maps):
    return sum(maps.path(name).stat().st_size for maps in all_maps for name in maps.subjects)


def _inputs(all_maps):
    """{folder and kind: digest of its files, segmentations included}: what an evaluation was computed from."""
    return {
        f"{pathlib.Path(maps.folder).absolute()} {maps.kind}": sources.state(
            [path for name in maps.subjects for path in maps.files(name)]
        )
        for maps in all_maps
    }


def _finished(request, names, inputs):
    """The evaluation that is there, if it is of the same inputs; raises `UserError` for other settings.

    Other inputs (a method more, maps predicted again) make it out of date, and it is computed anew. Fewer methods would
    throw rows away, and are refused, as is a file where the folder should be: all before anything is counted.
    """
    folder = request.out_dir
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise UserError(
            nearest, expected="a folder to write to, or nothing", found="a file", do="use another --out_dir"
        )
    if not (folder / "summary.json").exists():
        return None
    there = artefacts.read_json(folder / "summary.json")
    do = f"use another --out_dir, or remove {folder}"
    if difference := artefacts.difference(there["settings"], request.settings):
        raise UserError(folder, expected="an evaluation with the same settings", found=difference, do=do)
    if missing := [name for name in there["methods"] if name not in names]:
        raise UserError(folder, expected=f"{', '.join(missing)} among the methods, as evaluated before", do=do)
    files = [folder / name for name in ("table1.md", "subjects.csv", report.NAME, *there["pictures"])]
    if there["inputs"] != inputs or there["version"] != __version__ or not all(path.exists() for path in files):
        return None
    pictures = tuple(folder / name for name in there["pictures"])
    os.utime(folder / "summary.json")  # it holds for the predictions as they are now, and a study compares the times
    return Finished(folder, (folder / "table1.md").read_text(encoding="utf-8"), pictures, there, fresh=False)


def _finish(request, evaluated, inputs, chosen, truth):
    """Writes the files, summary.json last."""
    folder, subjects = request.out_dir, evaluated.maps[0].subjects
    complete = len(subjects) == tables.TEST_SUBJECTS.get(request.dataset)
    about = {
        "dataset": request.dataset,
        "subjects": len(subjects),
        "complete": complete,
        "unpredicted": inputs.get("unpredicted", 0),
        "threshold_split": request.threshold_split,
        "settings": request.settings,
        "inputs": inputs,
    }
    examples = named_examples(request.figure_subjects, subjects) if request.figure_subjects else None
    (folder / "summary.json").unlink(missing_ok=True)  # from here on the old files are being replaced
    published = request.dataset if complete else None
    markdown, pictures, text = write(evaluated, folder, about, truth, chosen, published, examples)
    text["pictures"] = [picture.name for picture in pictures]
    artefacts.write_json(folder / "summary.json", text)
    return Finished(folder, markdown, tuple(pictures), text, fresh=True)


# --------------------------------------------------------------------------------------------------------- TensorBoard


def tensorboard(finished):
    """Writes the table's means as scalars and the PNG pictures as images into `<evaluation>/tensorboard`."""
    import tensorflow as tf

    folder = finished.folder / "tensorboard"
    shutil.rmtree(folder, ignore_errors=True)
    with tf.summary.create_file_writer(str(folder)).as_default(step=0):
        for method, of in finished.summary["methods"].items():
            for name, cell in of["table1"].items():
                if cell["mean"] is not None:
                    tf.summary.scalar(f"evaluation/{name}/{method}", cell["mean"])
            if of["dataset_ece"] is not None:
                tf.summary.scalar(f"evaluation/dataset_ece/{method}", of["dataset_ece"])
        for picture in finished.pictures:
            if picture.suffix == ".png":
                image = tf.io.decode_png(picture.read_bytes(), channels=3)
                tf.summary.image(f"evaluation/{picture.stem}", image[tf.newaxis])
    return folder
