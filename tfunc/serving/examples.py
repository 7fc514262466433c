"""Examples of TensorFlow Serving's configuration files, beside the versions of an export."""

from __future__ import annotations

import pathlib

from data_prep.base import artefacts

MODEL_CONFIG = """\
# tensorflow_model_server --model_config_file=models.config
# Here the container has this folder, the one with the numbered versions, at /models/{model}.
model_config_list {{
  config {{
    name: "{model}"
    base_path: "/models/{model}"
    model_platform: "tensorflow"
  }}
}}
"""
BATCHING = """\
# tensorflow_model_server --enable_batching --batching_parameters_file=batching.config
# Requests to one signature are joined along the batch where their other sizes agree. Leave padding off: a volume that is
# padded with zeros has another mean and deviation.
max_batch_size {{ value: {rows} }}
batch_timeout_micros {{ value: 5000 }}
max_enqueued_batches {{ value: 100 }}
num_batch_threads {{ value: {threads} }}
pad_variable_length_inputs: false
"""


def write(export_dir: pathlib.Path, model: str) -> None:
    """Examples of the server's configuration files; one that is there may have been edited, and stays."""
    for name, template in (("models.config", MODEL_CONFIG), ("batching.config", BATCHING)):
        path = export_dir / name
        if not path.exists():
            artefacts.write_text(path, template.format(model=model, rows=16, threads=2))
