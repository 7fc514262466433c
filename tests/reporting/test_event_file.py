"""Events for TensorBoard: what we write is what TensorFlow writes, and TensorFlow is not needed for it."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from tfunc.reporting.event_file import EventFile

PICTURE = np.random.default_rng(0).integers(0, 255, (5, 7, 3)).astype(np.uint8)
MEANS = {"when evaluated/dice": 0.8125, "when evaluated/ue": 0.1}


def ours(folder):
    with EventFile(folder) as events:
        events.columns(["method"], {"when evaluated/dice": "Dice"})
        events.trial({"method": "MC dropout"}, "baseline_mc/")
        events.text("table", "| a |\n| é |")
        events.image("picture", PICTURE, "*legend*")
        for tag, value in MEANS.items():
            events.scalar(tag, value)


def tensorflows(folder):
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    with tf.summary.create_file_writer(str(folder)).as_default(step=0):
        api.hparams_config([api.HParam("method")], [api.Metric("when evaluated/dice", display_name="Dice")])
        api.hparams({"method": "MC dropout"}, trial_id="baseline_mc/")
        tf.summary.text("table", "| a |\n| é |")
        tf.summary.image("picture", PICTURE[None], description="*legend*")
        for tag, value in MEANS.items():
            tf.summary.scalar(tag, value)


def events_of(folder):
    """[(step, file version, summary)] as TensorFlow reads them, without times, and pictures as pixels."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import plugin_data_pb2

    (file,) = folder.iterdir()
    assert file.name.startswith("events.out.tfevents.") and file.name.endswith(".v2")
    found = []
    for event in tf.compat.v1.train.summary_iterator(str(file)):
        assert event.wall_time > 1e9
        values = []
        for value in event.summary.value:
            plugin, array = value.metadata.plugin_data, tf.make_ndarray(value.tensor)
            content, metadata = plugin.content, value.metadata
            if plugin.plugin_name == "hparams":
                content = plugin_data_pb2.HParamsPluginData.FromString(content)
                content.experiment.time_created_secs = content.session_start_info.start_time_secs = 0
            if plugin.plugin_name == "images":
                array = [*array[:2], tf.io.decode_png(array[2]).numpy().tolist()]
            metadata.plugin_data.content = b""
            values.append((value.tag, str(metadata), content, np.asarray(array, object).tolist()))
        found.append((event.step, event.file_version, values))
    return found


def test_they_are_tensorflows(tmp_path):
    """Tags, plugins, descriptions, tensors: the same, in the same order."""
    ours(tmp_path / "ours")
    tensorflows(tmp_path / "theirs")
    mine, theirs = events_of(tmp_path / "ours"), events_of(tmp_path / "theirs")
    assert len(mine) == 7 and mine == theirs


def test_without_tensorflow(tmp_path):
    """A process that has only written events has not imported it."""
    code = "import pathlib, sys, test_event_file as own; own.ours(pathlib.Path(sys.argv[1])); print('tensorflow' in sys.modules)"
    folder = str(tmp_path / "events")
    path = {"PYTHONPATH": ":".join(one for one in sys.path if one)}
    ended = subprocess.run([sys.executable, "-c", code, folder], env=path, capture_output=True, text=True)
    assert ended.stdout == "False\n", ended.stderr


@pytest.mark.long
def test_an_evaluation_of_a_run_needs_none(brats_run, brats_data, launch, tmp_path):
    """Nor any of its other steps: from maps to tables, pictures and the report, where TensorFlow cannot be imported."""
    run = shutil.copytree(brats_run, tmp_path / "run")
    where = "--dataset=brats", f"--data_dir={brats_data}", f"--run_dir={run}"
    assert launch("predict", "--method=baseline", *where).code == 0
    code = (
        "import runpy, sys\nsys.modules['tensorflow'] = None\nsys.argv.pop(0)\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    program = str(ROOT / "launch" / "evaluate.py")
    command = [sys.executable, "-c", code, program, *where, "--methods=baseline", "--workers=1"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert (run / "evaluation" / "report.html").exists() and list((run / "evaluation" / "tensorboard").glob("events.*"))


def test_a_file_is_never_written_over(tmp_path, monkeypatch):
    """Two of the same second in one folder: the second is refused."""
    monkeypatch.setattr("time.time", lambda: 1e9)
    ours(tmp_path)
    with pytest.raises(FileExistsError):
        ours(tmp_path)
