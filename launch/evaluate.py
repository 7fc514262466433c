"""Evaluates predictions: Dice, calibration, uncertainty-error overlap, corrections; Table 1 and the figures.

A run's predictions, all methods that have any:

    python launch/evaluate.py --dataset=brats

Anyone's NIfTI maps, one folder of them, a folder of method folders, or a folder for each subject:

    python launch/evaluate.py --predictions=DIR --labels=DIR [--masks=DIR] --kind=probability --out_dir=DIR

A label's voxels are 0 and one other number, or what the names of BraTS' files tell; else `--label_map=1:1,2:1,4:0` says
which numbers are foreground. `--ignore_label=N` leaves voxels out of everything.

Several classes: `--dataset` names the prepared records whose classes and regions the labels have, or `--regions=whole:1,2,4;
core:1,4` says them by raw labels. The probability is then a softmax of all classes, 4-D, or nnU-Net's `CASE.npz`. Every region
has its table, their mean is Table 1, and the class map has one of its own.

`--kind` says what the maps are: `probability` of the foreground, in `<subject>_probability.nii.gz`; `error`, an error
probability, or `sigma`, in `<subject>_uncertainty.nii.gz` with `<subject>_prediction.nii.gz` beside it.

About a second per BraTS subject and method. Writes subjects.csv, calibration.csv, thresholds.csv, supplementary.csv,
table1.{csv,md,tex}, summary.json, figure1, thresholds and calibration (PNG and PDF), overlay.png, and report.html, which
shows all of it and the voxels of some subjects in a browser.
"""

import dataclasses
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from launch import early

early.settle(__name__)

from absl import flags

from data_prep import tasks
from data_prep.base.errors import UserError, command
from data_prep.readers import labels
from launch import ceilings, program, settings, workers
from tfunc import kinds, runs
from tfunc.methods import METHODS, RECALIBRATED, parse, recalibrated_of
from tfunc.reporting import publish, tensorboard
from tfunc.scoring import asked, class_files, layouts, recalibration, sources
from tfunc.scoring.companions import TOLERANCE
from tfunc.scoring.failure import FAILURE
from tfunc.scoring.findings import Distances
from tfunc.scoring.truth import FolderTruth, several

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "dataset", None, "Which data set's run to evaluate: the name that it was prepared under. With --predictions, a name or "
    "folder of prepared records, whose classes and regions the labels have."
)  # fmt: skip
flags.DEFINE_string("run_dir", None, "The run; by default runs/<dataset>.")
flags.DEFINE_string("data_dir", None, "The prepared records; by default data/<dataset>.")
flags.DEFINE_list("methods", ["all"], f"`all` that have predictions, or some of {', '.join(METHODS)}.")
flags.DEFINE_enum(
    "threshold_split", "test", ["test", "valid"],
    "Which subjects choose the thresholds of U-E and BnF: `test`, the paper's way, or `valid`, which needs predictions "
    "with --split=valid.",
)  # fmt: skip
flags.DEFINE_enum(
    "split", "test", ["test", "valid", "train"],
    "Of a run: whose predictions to score; another than test goes to <run_dir>/evaluation@<split>.",
)  # fmt: skip
flags.DEFINE_list(
    "subjects", [], "Score only these, by name; of a run, into a folder of their own beside its evaluation."
)
flags.DEFINE_list("figure_subjects", [], "Subjects for Figure 1, up to three; by default chosen by their calibration.")
flags.DEFINE_bool(
    "recalibrated", False, "Of a run: also a row for each method that was recalibrated, of the same probabilities at its "
    "temperature; nothing is written twice.",
)  # fmt: skip
flags.DEFINE_string("predictions", None, "A folder of maps, or of method folders, to evaluate in place of a run.")
flags.DEFINE_string(
    "labels",
    None,
    "With --predictions: folder of <subject>.nii.gz or <subject>-seg, _seg, _label, _mask, or of folders by subject.",
)
flags.DEFINE_string("masks", None, "With --predictions: folder of masks; calibration is measured inside. Named alike.")
flags.DEFINE_string(
    "images", None, "With --predictions: folder of <subject>.nii.gz or <subject>_0000.nii.gz for the report."
)
flags.DEFINE_string(
    "label_map", None, "With --predictions: which numbers of the labels are foreground, as 1:1,2:1,4:0; by default those "
    "that the files' names tell, or the one number beside 0."
)  # fmt: skip
flags.DEFINE_integer(
    "ignore_label", None, "With --predictions: voxels of this number in the labels count nowhere; elsewhere a "
    "segmentation of it is background. For 0, --label_map names background and foreground.",
    lower_bound=0, upper_bound=ceilings.LABEL,
)  # fmt: skip
flags.DEFINE_enum(
    "kind", None, list(kinds.NAMES), "With --predictions: what the maps are; confidence is error's old name."
)
flags.DEFINE_enum(
    "layout", "auto", layouts.LAYOUTS,
    "With --predictions: what the folders in it are, methods or subjects (as MONAI's separate_folder); auto looks inside.",
)  # fmt: skip
flags.DEFINE_string(
    "regions", None, "With --predictions, in place of --dataset: the regions by their raw labels, as whole:1,2,4;core:1,4. "
    "The softmax has a channel for 0 and one for each label, in rising order."
)  # fmt: skip
flags.DEFINE_enum(
    "activation", "auto", class_files.ACTIVATIONS,
    "With --predictions of several classes: whether the channels are a softmax of the classes or sigmoids of the regions; "
    "auto takes as many channels as regions that do not add up to 1 for sigmoids.",
)  # fmt: skip
flags.DEFINE_float(
    "failure_dice", FAILURE, "A segmentation with a lower Dice has failed, in failures.csv and the report."
)
flags.DEFINE_bool("surfaces", True, "Whether distances of surfaces are measured: HD95, surface Dice, lesion-wise.")
flags.DEFINE_float("surface_tolerance", TOLERANCE, "Of the surface Dice, in mm; of photographs in pixels.")
flags.DEFINE_list("sigma_range", None, "With --kind=sigma: MIN,MAX that become 0 and 1; by default the set's own.")
flags.DEFINE_string(
    "out_dir", None, "Where the files go; by default <run_dir>/evaluation; required with --predictions."
)
workers.define()
flags.adopt_module_key_flags(workers)


def main() -> None:
    """Evaluates what the flags say and prints Table 1 and where everything lies; raises `UserError`."""
    if len(FLAGS.figure_subjects) > 3:
        raise UserError("--figure_subjects", expected="at most three", found=str(len(FLAGS.figure_subjects)))
    if not 0 < FLAGS.failure_dice <= 1:
        raise UserError(f"--failure_dice={FLAGS.failure_dice:g}", expected="a Dice above 0, at most 1")
    if not 0 <= FLAGS.surface_tolerance < math.inf:
        raise UserError(f"--surface_tolerance={FLAGS.surface_tolerance:g}", expected="0 or more, in mm")
    if not FLAGS.methods:
        raise UserError("--methods", expected="`all`, or names of methods", found="none")
    finished = _folders() if FLAGS.predictions else _run()
    if not FLAGS.predictions and not finished.doubt and (finished.fresh or not tensorboard.is_written(finished)):
        print(f"TensorBoard: tensorboard --logdir={program.quoted(tensorboard.write(finished))}")
    if not finished.fresh:
        print(f"{finished.folder} already holds this evaluation; nothing to do.")
    if finished.doubt:
        print(f"But it can't be written here, and {finished.doubt}: --out_dir=DIR evaluates what is there now.")
    print(f"\n{finished.markdown}")
    if regions := finished.summary.get("regions"):
        names = [*regions, *(["classes"] if "classes" in finished.summary else [])]
        print("Tables by region:", ", ".join(f"table1_{name}.md" for name in names))
    print("Pictures:", *(f"  {path}" for path in finished.pictures if path.suffix == ".png"), sep="\n")
    for name, found in finished.summary["methods"].items():
        if count := found.get("penalties"):
            print(
                f"{name}: {count} subjects of which either label or segmentation is empty: HD95 is the image's diagonal"
            )
    print(f"Tables and counts: {finished.folder}")
    print(f"Report: open {program.quoted(finished.report)}")
    if not FLAGS.predictions and (
        rest := [method.name for method in parse(["all"]) if method.name not in finished.summary["methods"]]
    ):
        print(f"next: {program.typed(command('train', method=rest[0], dataset=settings.dataset()))}")


def _run():
    if not FLAGS.dataset:
        raise UserError(
            "flags",
            expected=f"--dataset={'|'.join(tasks.TASKS)} or another that was prepared, or --predictions=DIR and --labels=DIR",
            found="neither",
        )
    for name in (
        "labels", "masks", "images", "label_map", "ignore_label", "kind", "sigma_range", "layout", "regions", "activation",
    ):  # fmt: skip
        if getattr(FLAGS, name) not in (None, "", "auto"):
            raise UserError(f"--{name}", expected="--predictions beside it", do="a run knows this itself")
    run_dir, data_dir, dataset = settings.run_dir(), settings.data_dir(), settings.dataset()
    names = _names(run_dir, dataset)
    folder = runs.evaluation_dir(run_dir, FLAGS.split, sorted(set(FLAGS.subjects)))
    return publish.evaluate_run(_request(folder, dataset), run_dir, data_dir, names, _pool)


def _names(run_dir, dataset):
    """The methods, and behind them those that are read at the temperature of their recalibration."""
    scaled = [name for name in FLAGS.methods if recalibrated_of(name)]  # a table that has them is asked for again
    names = [name for name in FLAGS.methods if name not in scaled]
    if names == ["all"]:
        names = sources.available_methods(run_dir, dataset, FLAGS.split)
    elif names or not scaled:
        names = [method.name for method in parse(names)]
    if FLAGS.recalibrated:
        scaled += [f"{name}{RECALIBRATED}" for name in recalibration.available(run_dir, dataset, names)]
    return [*names, *dict.fromkeys(scaled)]


def _folders():
    for name in ("labels", "out_dir"):
        if not getattr(FLAGS, name):
            raise UserError("--predictions", expected=f"--{name}=DIR beside it", found="none")
    if FLAGS.recalibrated:
        raise UserError(
            "--recalibrated", expected="a run (--dataset)", found="--predictions, which has no recalibration"
        )
    if FLAGS.threshold_split != "test":
        raise UserError("--threshold_split", expected="a run (--dataset)", found="--predictions, which has one set")
    if FLAGS.split != "test":
        raise UserError(
            f"--split={FLAGS.split}", expected="a run (--dataset)", found="--predictions, which has no splits"
        )
    task, truth = _truth()
    all_maps = sources.folder_maps(FLAGS.predictions, FLAGS.kind, FLAGS.layout)
    all_maps = [dataclasses.replace(maps, activation=FLAGS.activation) for maps in all_maps]
    print(sources.understood(FLAGS.predictions, all_maps))
    if truth.classes is None:
        print(*(f"{line}\n" for line in sources.softmaxes(all_maps)), sep="", end="")
    if FLAGS.methods != ["all"]:
        all_maps = [maps for maps in all_maps if maps.method in FLAGS.methods]
        if missing := set(FLAGS.methods) - {maps.method for maps in all_maps}:
            raise UserError(FLAGS.predictions, expected=f"a folder {min(missing)}", found="none")
    if FLAGS.subjects:
        all_maps = [sources.only(maps, FLAGS.subjects) for maps in all_maps]
    return publish.evaluate_folders(_request(None, FLAGS.dataset), all_maps, truth, _pool, task)


def _truth():
    """(what is segmented or None, where labels are) of --dataset, --regions, --label_map and --ignore_label."""
    if FLAGS.dataset and FLAGS.regions:
        raise UserError("--regions", expected="no --dataset, which says them already", found="both")
    rule = labels.Rule(labels.parse_map(FLAGS.label_map, labels.MOST), FLAGS.ignore_label, None)
    rule.check()
    task = asked.task_of_records(FLAGS.dataset, FLAGS.data_dir) if FLAGS.dataset else None
    if FLAGS.regions:
        task = asked.task_of_regions(FLAGS.regions, FLAGS.ignore_label)
    classes = several(task)
    if classes is not None:
        given = "--label_map" if FLAGS.label_map else "--ignore_label" if FLAGS.ignore_label and FLAGS.dataset else None
        if given:
            found = f"{len(classes.classes)} classes of {classes.name}"
            do = "name the label in the data set's own labels, or give --regions in place of --dataset"
            raise UserError(given, expected="labels of two classes", found=found, do=do)
        return task, FolderTruth(FLAGS.labels, FLAGS.masks, classes=classes, images=FLAGS.images)
    if FLAGS.dataset in tasks.TASKS:
        rule = dataclasses.replace(rule, dataset=FLAGS.dataset)
    elif task is not None and rule == labels.PLAIN:
        rule = asked.rule_of(task)
    return task, FolderTruth(FLAGS.labels, FLAGS.masks, rule, images=FLAGS.images)


def _request(out_dir, dataset):
    return publish.Request(
        out_dir=pathlib.Path(FLAGS.out_dir or out_dir),
        dataset=dataset,
        threshold_split=FLAGS.threshold_split,
        figure_subjects=tuple(FLAGS.figure_subjects),
        sigma_range=settings.sigma_range(FLAGS.sigma_range),
        split=FLAGS.split,
        subjects=tuple(sorted(set(FLAGS.subjects))),
        failure=FLAGS.failure_dice,
        distances=Distances(FLAGS.surfaces, FLAGS.surface_tolerance),
        command=program.started(),
    )


def _pool(size):
    """Where the counting runs; asked for only where there is something to count."""
    return settings.counting_pool(size, FLAGS.workers, FLAGS.scheduler)


if __name__ == "__main__":
    program.run(main)
