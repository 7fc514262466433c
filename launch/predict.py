"""Writes a method's segmentation, probability and uncertainty: of a split, or of one new patient.

    python launch/predict.py --method=aleatoric --dataset=brats
    python launch/predict.py --method=baseline_mc --dataset=brats --input=patient_folder --out_dir=maps

Subjects that are written already, from the same files, are left alone. `--input` needs a trained run only: no records, no labels.
"""

import contextlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from launch import early

early.settle(__name__)

from absl import flags

from data_prep import records, splits, tasks
from data_prep.base import pool, processes
from data_prep.base.errors import UserError, command
from launch import ceilings, program, settings, workers
from tfunc import methods
from tfunc.maps import dicom_seg, options
from tfunc.nets import engine, precision

FLAGS = flags.FLAGS
flags.DEFINE_enum("method", None, list(methods.METHODS), "which method")
flags.DEFINE_string("network", None, "with --split=heldout: a network of the cross-validation, such as cv_0")
settings.define_dataset()
flags.adopt_module_key_flags(settings)
flags.DEFINE_string("split", "test", "which subjects: test, valid, train, or predict (those without labels)")
flags.DEFINE_list("subjects", None, "only these subjects, by name")
flags.DEFINE_string(
    "input",
    None,
    "new patients: a folder with a patient's files, NIfTI or DICOM series, or of such folders; an image; one of the raw data, as "
    "imagesTs; a pattern",
)
flags.DEFINE_list(
    "modalities", None, "with --input of one patient: its files, as flair=a.nii.gz,t1=b.nii.gz, …; in DICOM each series by its "
    "folder, number or description",
)  # fmt: skip
flags.DEFINE_string("out_dir", None, "where the maps of --input go")
flags.DEFINE_integer("samples", 20, "passes of a sampled method", lower_bound=1, upper_bound=ceilings.PASSES)
flags.DEFINE_integer("seed", 20, "of the samples' dropout masks", lower_bound=0, upper_bound=ceilings.SEED)
flags.DEFINE_enum(
    "draws", None, ["subject", "slice"],
    "what shares the masks of one sample: a whole subject, or each slice by itself (default: as the maps' folder was begun; "
    "a new one by subject)",
)  # fmt: skip
flags.DEFINE_bool(
    "stratified", None, "MC dropout: the masks of a channel stratified over the samples, which settles sooner than independent "
    "draws (default: as the maps' folder was begun; a new one not)",
)  # fmt: skip
flags.DEFINE_integer(
    "batch_size",
    16,
    "slices a batch; the maps do not depend on it, but for rounding",
    lower_bound=1,
    upper_bound=ceilings.TRAINING["batch_size"],
)
flags.DEFINE_enum(
    "precision", precision.DEFAULT, precision.OF_MAPS,
    "of the convolutions; auto: as the maps' folder was begun, in a new one bfloat16 where the processor or GPU is fast in it, "
    "else float32",
)  # fmt: skip
flags.DEFINE_enum(
    "engine", engine.TENSORFLOW, engine.ENGINES,
    "runs the networks, on the processor; openvino needs the package openvino, the maps are TensorFlow's to rounding",
)  # fmt: skip
workers.define("this process alone")
flags.adopt_module_key_flags(workers)
flags.DEFINE_bool("allow_negative", False, "with --input: take volumes that look normalised as they are")
flags.DEFINE_enum("names", None, ["nnunet"], "write the segmentation also as nnU-Net names it, CASE.nii.gz")
flags.DEFINE_bool(
    "recalibrated", False, "at the temperature that launch/recalibrate.py fitted; of a split from the maps that are written, "
    "into predictions/<method>_recalibrated",
)  # fmt: skip
flags.DEFINE_float(
    "outer", None, "with --recalibrated: also <subject>_outer.nii.gz, a mask that misses at most this share of a lesion, in "
    "expectation over patients",
)  # fmt: skip
flags.DEFINE_bool(
    "dicom_seg", False, "with --input of DICOM series: also <subject>_prediction.dcm, a DICOM Segmentation, which names the "
    "patient as the images do",
)  # fmt: skip
flags.DEFINE_bool(
    "mutual_information", False, "of a method that averages several predictions: also <subject>_mutual_information.nii.gz, which "
    "the report's viewer shows",
)  # fmt: skip
flags.DEFINE_bool("full_size", False, "photographs: also write PNG maps at the photograph's own size")


def main() -> None:
    asked = _checked()
    processes.start_tensorflow()
    if FLAGS.recalibrated and not FLAGS.input:
        _rewrite()
        return
    from tfunc.maps import artefact, patient, predict, unprepared
    from tfunc.nets import devices

    where = settings.dataset(), settings.data_dir(), settings.run_dir()
    if note := devices.unseen():
        print(f"predicts on the CPU: {note}")
    if FLAGS.network:
        strategy = devices.strategy(FLAGS.devices)
        folder = predict.predict_held_out(FLAGS.network, *where, asked, strategy, elsewhere=_elsewhere())
        print(f"{FLAGS.network}: maps of its held-out fold in {folder}")
        return
    method = methods.get(FLAGS.method)
    if FLAGS.input:
        places = _input(), settings.run_dir(), FLAGS.out_dir
        more = settings.data_dir(), _modalities(), FLAGS.allow_negative
        for subject, maps in unprepared.predict_inputs(method, settings.dataset(), *places, asked, *more):
            said = patient.line(artefact.read(pathlib.Path(FLAGS.out_dir) / f"{subject.name}.json"))
            if maps is None:
                print(f"{subject.name}: finished already, {said}; maps in {FLAGS.out_dir}")
                continue
            inside = maps["prediction"] != 0
            count = f"{inside.sum():,} foreground voxels ({inside.mean():.2%})"
            print(f"{subject.name}: {count}, {said}; maps in {FLAGS.out_dir}")
        return
    strategy = devices.strategy(FLAGS.devices)
    chosen = FLAGS.split, asked, FLAGS.subjects
    folder = predict.predict_split(method, *where, *chosen, strategy, elsewhere=_elsewhere())
    print(f"{method.name}: maps in {folder}")
    if FLAGS.split != splits.PREDICT:  # without labels there is nothing to evaluate
        print(f"next: {program.typed(command('evaluate', dataset=settings.dataset()))}")


def _elsewhere():
    """The workers that were asked for, None where this process predicts."""
    from tfunc.maps import predict
    from tfunc.nets import devices as here

    if not FLAGS.scheduler and (FLAGS.workers or 1) == 1:
        return None
    if not FLAGS.scheduler and here.logical("GPU"):
        expected, do = "1 where TensorFlow sees a GPU, all of whose memory each process would take", "leave it out"
        raise UserError(f"--workers={FLAGS.workers}", expected=expected, do=do)
    devices = tuple(FLAGS.devices) if FLAGS.devices else None
    return predict.Elsewhere(lambda: pool.executor(FLAGS.workers, FLAGS.scheduler), devices)


def _rewrite() -> None:
    """The maps of a split at their temperature, from those that are written."""
    from tfunc.maps import recalibrated

    where = settings.dataset(), settings.data_dir(), settings.run_dir()
    folder = recalibrated.rewrite_split(FLAGS.method, *where, FLAGS.split, FLAGS.outer)
    print(f"{FLAGS.method}, recalibrated: maps in {folder}")


def _input() -> str:
    """The path of --input, which may be a folder of the raw data that the records were made from."""
    if not pathlib.Path(FLAGS.input).exists():
        with contextlib.suppress(UserError):
            raw_dir = records.read_manifest(settings.data_dir()).configuration.get("raw_dir", "")
            if (there := pathlib.Path(raw_dir) / FLAGS.input).exists():
                return str(there)
    return str(FLAGS.input)


def _modalities() -> dict[str, str] | None:
    """{channel: file} of --modalities; raises `UserError` for another form."""
    pairs = [pair.partition("=") for pair in FLAGS.modalities or ()]
    if any(not (name and file) for name, _, file in pairs) or len({name for name, _, _ in pairs}) < len(pairs):
        expected = "each channel once with its file, as flair=a.nii.gz,t1=b.nii.gz"
        raise UserError("--modalities", expected=expected, found=",".join(FLAGS.modalities))
    return {name: file for name, _, file in pairs} or None


def _checked() -> options.Options:
    """What is asked for; raises `UserError` for flags that do not go together, before TensorFlow is imported."""
    if FLAGS.network:
        if FLAGS.split != "heldout" or FLAGS.method or FLAGS.input:
            raise UserError("--network", expected="--split=heldout beside it, and neither --method nor --input")
    elif not FLAGS.method:
        raise UserError("--method", expected=f"one of {', '.join(methods.METHODS)}", found="none")
    if bool(FLAGS.input) != bool(FLAGS.out_dir):
        raise UserError("--input and --out_dir", expected="both or neither")
    if FLAGS.modalities and not FLAGS.input:
        raise UserError("--modalities", expected="--input beside it")
    if FLAGS.dicom_seg:
        if not FLAGS.input:
            raise UserError("--dicom_seg", expected="--input of DICOM series beside it", do="leave it out")
        dicom_seg.package()
    if FLAGS.full_size and not settings.task().is_photograph:
        photographs = [f"--dataset={task.name}" for task in tasks.TASKS.values() if task.is_photograph]
        raise UserError("--full_size", expected=" or ".join(photographs), found=FLAGS.dataset)
    if FLAGS.allow_negative and not (FLAGS.input and "allow_negative" in tasks.options(settings.task())):
        raise UserError("--allow_negative", expected="--input with a patient's volumes beside it", do="leave it out")
    _check_recalibrated()
    if (FLAGS.scheduler or FLAGS.workers) and (FLAGS.input or FLAGS.recalibrated):
        found = "--input" if FLAGS.input else "--recalibrated"
        raise UserError("--workers and --scheduler", expected="a split of prepared records", found=found)
    options.check_seed(FLAGS.seed)
    asked = options.Options(
        FLAGS.samples,
        FLAGS.seed,
        FLAGS.batch_size,
        FLAGS.precision,
        FLAGS.full_size,
        names=FLAGS.names or "",
        draws=FLAGS.draws,
        recalibrated=FLAGS.recalibrated,
        outer=FLAGS.outer,
        stratified=FLAGS.stratified,
        engine=FLAGS.engine,
        dicom_seg=FLAGS.dicom_seg,
        mutual_information=FLAGS.mutual_information,
    )
    engine.require(FLAGS.engine)
    if FLAGS.method:
        asked.stratified_of(methods.get(FLAGS.method))
    return asked


def _check_recalibrated() -> None:
    """Raises `UserError` for flags that do not go with --recalibrated, or need it."""
    if FLAGS.outer is not None and not FLAGS.recalibrated:
        raise UserError("--outer", expected="--recalibrated beside it")
    if FLAGS.recalibrated and FLAGS.network:
        raise UserError("--recalibrated", expected="a method", found=f"--network={FLAGS.network}")
    if FLAGS.recalibrated and FLAGS.mutual_information:
        do = "leave one of them out: it is of the probabilities as they were drawn"
        raise UserError("--mutual_information", expected="maps without --recalibrated", found="both", do=do)
    others = [name for name in ("full_size", "names", "subjects", "stratified") if getattr(FLAGS, name)]
    others += ["engine"] if FLAGS.engine != engine.TENSORFLOW else []
    if FLAGS.recalibrated and others and not FLAGS.input:
        found, do = f"--{others[0]}, of a split", "leave it out: written maps are read, all of them"
        raise UserError("--recalibrated", expected="--input, or a split alone", found=found, do=do)


if __name__ == "__main__":
    program.run(main)
