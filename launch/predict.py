"""Writes a method's segmentation, probability and uncertainty: of a split, or of one new patient.

    python launch/predict.py --method=aleatoric --dataset=brats
    python launch/predict.py --method=baseline_mc --dataset=brats --input=patient_folder --out_dir=maps

Subjects that are written already are left alone. `--input` needs a trained run only: no records, no labels.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from absl import flags

from data_prep import records, tasks
from data_prep.base import processes as workers
from data_prep.base.errors import UserError
from launch import program, settings
from tfunc import methods

FLAGS = flags.FLAGS
flags.DEFINE_enum("method", None, list(methods.METHODS), "which method")
flags.DEFINE_string("network", None, "with --split=heldout: a network of the cross-validation, such as cv_0")
settings.define_dataset()
flags.adopt_module_key_flags(settings)
flags.DEFINE_string("split", "test", "which subjects: test, valid, train, or predict (those without labels)")
flags.DEFINE_list("subjects", None, "only these subjects, by name")
flags.DEFINE_string("input", None, "one new patient: a folder with the four modalities, or an image")
flags.DEFINE_string("out_dir", None, "where the maps of --input go")
flags.DEFINE_integer("samples", 20, "passes of a sampled method")
flags.DEFINE_integer("seed", 20, "of the samples' dropout masks")
flags.DEFINE_integer("batch_size", 16, "slices a batch; the maps do not depend on it")
flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "of the convolutions")
flags.DEFINE_bool("full_size", False, "ISIC: also write PNG maps at the photograph's own size")


def main():
    workers.start_tensorflow()
    from tfunc.maps import predict as prediction
    from tfunc.nets import devices

    if FLAGS.network:
        _held_out()
        return
    if not FLAGS.method:
        raise UserError("--method", expected=f"one of {', '.join(methods.METHODS)}", found="none")
    method = methods.get(FLAGS.method)
    run_dir = settings.run_dir()
    if bool(FLAGS.input) != bool(FLAGS.out_dir):
        raise UserError("--input and --out_dir", expected="both or neither")
    if FLAGS.full_size and FLAGS.dataset != "isic":
        raise UserError("--full_size", expected="--dataset=isic", found=FLAGS.dataset)
    if FLAGS.batch_size < 1:
        raise UserError(f"--batch_size={FLAGS.batch_size}", expected="1 or more")
    if FLAGS.samples < 1:
        raise UserError(f"--samples={FLAGS.samples}", expected="1 or more")
    if not 0 <= FLAGS.seed < 2**31:
        raise UserError(f"--seed={FLAGS.seed}", expected="0 or more, below 2147483648")
    options = _options()
    if FLAGS.input:
        reader = tasks.find(FLAGS.dataset).load_reader()
        subject, maps = prediction.predict_input(
            method, FLAGS.dataset, reader, FLAGS.input, run_dir, FLAGS.out_dir, options
        )
        if maps is None:
            print(f"{subject.name}: finished already; maps in {FLAGS.out_dir}")
            return
        share = maps["prediction"].mean()
        print(f"{subject.name}: {maps['prediction'].sum():,} foreground voxels ({share:.2%}); maps in {FLAGS.out_dir}")
        return
    strategy = devices.strategy(FLAGS.devices)
    folder = prediction.predict_split(
        method, FLAGS.dataset, settings.data_dir(), run_dir, FLAGS.split, options, FLAGS.subjects, strategy
    )
    print(f"{method.name}: maps in {folder}")
    print(f"next: python launch/evaluate.py --dataset={FLAGS.dataset}{settings.given()}")


def _options():
    from tfunc.maps import predict as prediction

    return prediction.Options(FLAGS.samples, FLAGS.seed, FLAGS.batch_size, FLAGS.precision, FLAGS.full_size)


def _held_out():
    """Predicts the fold that a cross-validated network never saw."""
    from tfunc import networks
    from tfunc.maps import predict as prediction
    from tfunc.nets import devices
    from tfunc.nets import trained as models
    from tfunc.study import run as study

    if FLAGS.split != "heldout" or FLAGS.method or FLAGS.input:
        raise UserError("--network", expected="--split=heldout beside it, and neither --method nor --input")
    manifest = records.read_manifest(settings.data_dir())
    config = models.load(settings.run_dir(), FLAGS.network, FLAGS.dataset).config
    network = networks.get(FLAGS.network, count=config["count"])
    _, names = networks.subjects(network, manifest, config["reference_quirks"])
    folder = prediction.predict_split(
        study.network_method(network.name),
        FLAGS.dataset,
        settings.data_dir(),
        settings.run_dir(),
        FLAGS.split,
        _options(),
        names,
        devices.strategy(FLAGS.devices),
    )
    print(f"{network.name}: maps of its held-out fold in {folder}")


if __name__ == "__main__":
    program.run(main)
