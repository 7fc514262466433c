"""What a training runs on is said and recorded; a GPU that was given and is not there is refused or said."""

import pytest
import tensorflow as tf

from data_prep.base import artefacts
from data_prep.base.errors import UserError
from tfunc.nets import devices


@pytest.fixture
def no_gpu(monkeypatch):
    """A machine on which TensorFlow sees no GPU, and nothing set."""
    monkeypatch.setattr(devices, "logical", lambda kind: [])
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    for name in ("CUDA_VISIBLE_DEVICES", "TFUNC_GPUS_COUNTED", *devices.CHANGING):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_in_words(no_gpu):
    """The default strategy's device, and those that were named; a GPU that CUDA_VISIBLE_DEVICES names is missed."""
    assert devices.described(tf.distribute.get_strategy()) == ["CPU:0"]
    no_gpu.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.described(tf.distribute.OneDeviceStrategy("CPU:0")) == ["CPU:0"]
    no_gpu.setenv("CUDA_VISIBLE_DEVICES", "2")
    (said,) = devices.described(tf.distribute.get_strategy())
    assert said == "CPU:0 (CUDA_VISIBLE_DEVICES=2 names a GPU, but TensorFlow sees none)"
    assert devices.unseen() in said
    no_gpu.setenv("TFUNC_GPUS_COUNTED", "3")
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES=2: expected the GPU that the study gave, found none"):
        devices.described(tf.distribute.get_strategy())


def test_a_gpus_model(no_gpu):
    """A GPU is named with what it is."""
    no_gpu.setattr(devices, "logical", lambda kind: ["one"])
    no_gpu.setattr(tf.config, "list_physical_devices", lambda kind: ["first", "second"])
    no_gpu.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"device_name": f"the {gpu}"})
    assert devices.described(tf.distribute.get_strategy()) == ["GPU:0 (the first)"]


def test_each_start_of_a_training_is_recorded(no_gpu, tmp_path):
    """A line a process: from which step on, on what, under which settings that change TensorFlow's arithmetic."""
    devices.record(tmp_path, tf.distribute.get_strategy(), 0)
    no_gpu.setenv("NVIDIA_TF32_OVERRIDE", "0")
    devices.record(tmp_path, tf.distribute.get_strategy(), 7)
    first, second = artefacts.read_json(tmp_path / "devices.json")["trained_on"]
    assert first["devices"] == ["CPU:0"] and first["from_step"] == 0 and first["environment"] == {}
    assert second["from_step"] == 7 and second["environment"] == {"NVIDIA_TF32_OVERRIDE": "0"}
    assert first["tensorflow"] == tf.__version__
