"""Exports a method as a SavedModel for TensorFlow Serving: one folder, probability and uncertainty from one request.

    python launch/export.py --method=baseline_mc --dataset=brats

Writes <export_dir>/<version>/ with the signatures serving_default, describe, seeded (sampled methods), subject and
subject_bytes (volumes), encoded and encoded_full (photographs), and warm-up requests. Without --version it is version 1; a
version that is there with the same configuration stays, with another it is refused. Takes some seconds a network.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

from launch import early

early.settle(__name__)

from absl import flags

from data_prep.base import processes
from data_prep.base.errors import UserError
from launch import ceilings, program, settings
from tfunc import methods
from tfunc.maps.options import Options

FLAGS = flags.FLAGS
flags.DEFINE_enum("method", None, list(methods.METHODS), "which method", required=True)
flags.DEFINE_string("dataset", None, "which data set: the name that it was prepared under", required=True)
flags.DEFINE_string("run_dir", None, "folder of the run (default runs/<dataset>)")
flags.DEFINE_string("data_dir", None, "records that the networks must have been trained on (default: not checked)")
flags.DEFINE_string("export_dir", None, "where the versions go (default <run_dir>/export/<method>)")
flags.DEFINE_integer(
    "version",
    None,
    "number of the version (default: 1, or the newest there is)",
    lower_bound=1,
    upper_bound=ceilings.VERSION,
)
flags.DEFINE_integer("samples", 20, "passes of a sampled method", lower_bound=1, upper_bound=ceilings.PASSES)
flags.DEFINE_integer("seed", 20, "of the samples, where a request gives none", lower_bound=0, upper_bound=ceilings.SEED)
flags.DEFINE_bool("stratified", None, "MC dropout's masks stratified over the samples (default: not)")
flags.DEFINE_list("sigma_range", None, "MIN,MAX that become 0 and 1, for a sigma (default: the evaluation's)")
flags.DEFINE_bool("recalibrated", False, "serve probabilities at the temperature that launch/recalibrate.py fitted")


def main() -> None:
    if FLAGS.version is not None and FLAGS.version < 1:
        raise UserError(f"--version={FLAGS.version}", expected="1 or more")
    options = Options(
        samples=FLAGS.samples, seed=FLAGS.seed, recalibrated=FLAGS.recalibrated, stratified=FLAGS.stratified
    )
    processes.start_tensorflow()
    from tfunc.serving import export

    dataset = settings.dataset()
    folder = export.export(
        methods.get(FLAGS.method),
        dataset,
        settings.run_dir(),
        FLAGS.export_dir or settings.run_dir() / "export" / FLAGS.method,
        options,
        FLAGS.version,
        settings.sigma_range(FLAGS.sigma_range),
        FLAGS.data_dir,
    )
    model = export.model_name(dataset, FLAGS.method)
    volume = program.quoted(f"{folder.parent.resolve()}:/models/{model}")
    print(f"{FLAGS.method}: SavedModel in {folder}")
    print(f"next: docker run -p 8500:8500 -p 8501:8501 -v {volume} -e MODEL_NAME={model} tensorflow/serving")


if __name__ == "__main__":
    program.run(main)
