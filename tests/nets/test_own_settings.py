"""A user's settings of Keras change nothing of ours: neither in our programs nor where tfunc is a library of another's."""

import hashlib
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import ROOT

from data_prep.base.errors import UserError
from tfunc import networks
from tfunc.nets import own_settings, stack, trained

DOCUMENT = {"floatx": "float16", "epsilon": 1e-3, "backend": "jax", "image_data_format": "channels_first"}
PROGRAM = """
from data_prep.base import processes
{start}
import sys; sys.path.insert(0, {tests!r})
import test_own_settings
print(test_own_settings.made())
"""


def made(learning_rate=1e-8):
    """What a training begins with: a digest of its initial weights, and the optimizer's learning rate as it is stored."""
    model = trained.build(networks.get("baseline"), 4, start_filters=2, depth=1, seed=3)
    optimizer = stack.adam(learning_rate, 1e-8, model.trainable_variables)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(value).tobytes() for value in model.get_weights()))
    dtypes = {value.dtype.name for value in model.get_weights()}
    return digest.hexdigest(), sorted(dtypes), float(optimizer.learning_rate), model.compute


START, LIBRARY = "processes.start_tensorflow()", "import tfunc.nets"


@pytest.mark.long
@pytest.mark.parametrize(
    ("start", "document"),
    # in a library's process Keras itself refuses the second, before anything of ours runs
    [
        (START, json.dumps(DOCUMENT)),
        (START, '{"floatx": "int3"}'),
        (START, "{"),
        (LIBRARY, json.dumps(DOCUMENT)),
        (LIBRARY, "{"),
    ],
)
def test_keras_json_and_backend_of_the_user(tmp_path, start, document):
    """Neither keras.json, sound or broken, nor KERAS_BACKEND reaches a process of ours; a library's imports stand it too."""
    (tmp_path / "keras.json").write_text(document)
    environment = {**os.environ, "KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "torch", "KERAS_NNX_ENABLED": "1"}
    program = PROGRAM.format(start=start, tests=str(ROOT / "tests" / "nets"))
    found = subprocess.run(
        [sys.executable, "-c", program], env={**environment, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}, text=True,
        capture_output=True, cwd=ROOT,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-2000:]
    assert found.stdout.splitlines()[-1] == str(made())
    assert (tmp_path / "keras.json").read_text() == document


@pytest.mark.long
def test_started_from_two_threads_at_once(tmp_path):
    """As a cluster's worker may: both find it started, and the process's own KERAS_HOME is what it was."""
    code = """
import os, threading
from data_prep.base import processes
def start():
    processes.start_tensorflow()
    import keras, tensorflow
    assert keras.backend.floatx() == "float32" and tensorflow.constant(1).numpy() == 1
    done.append("started")
done = []
threads = [threading.Thread(target=start) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*done, os.environ.get("KERAS_HOME"))
"""
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_HOME"}
    for own in ({}, {"KERAS_HOME": str(tmp_path)}):
        command = [sys.executable, "-c", code]
        ended = subprocess.run(command, env={**environment, **own}, cwd=ROOT, capture_output=True, text=True)
        assert ended.stdout.split() == ["started", "started", own.get("KERAS_HOME", "None")], ended.stderr[-2000:]


def test_a_library_in_a_process_with_its_own_settings():
    """Mixed precision, float16 and channels first of the process stay what they are, and no network of ours follows them."""
    expected = made()
    assert expected[1:] == (["float32"], pytest.approx(1e-8), "float32")
    before = keras.backend.floatx(), keras.backend.image_data_format(), own_settings._policy()
    keras.backend.set_floatx("float16")
    keras.backend.set_image_data_format("channels_first")
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        assert made() == expected
        assert keras.backend.floatx() == "float16" and keras.backend.image_data_format() == "channels_first"
        assert own_settings._policy().name == "mixed_float16"
    finally:
        keras.backend.set_floatx(before[0])
        keras.backend.set_image_data_format(before[1])
        keras.mixed_precision.set_global_policy(before[2])


def test_another_backend_is_said(monkeypatch):
    """Keras that was imported with another backend can't be helped: one line, with what to do."""
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax", raising=False)
    with pytest.raises(UserError, match="Keras' backend: expected tensorflow, found jax; set KERAS_BACKEND=tensorflow"):
        made()
