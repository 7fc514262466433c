"""A file of events for TensorBoard, by TensorBoard's own messages, without TensorFlow: its import takes longer than a report."""

from __future__ import annotations

import io
import os
import pathlib
import socket
import time
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from data_prep import tf_example

VERSION = "brain.Event:2"  # of the format, which the first event of a file names


class EventFile:
    """Writes events of step 0 into a new file of a folder; a context manager. What it writes is what `tf.summary` would."""

    def __init__(self, folder: pathlib.Path) -> None:
        """folder: made where it is not there; nobody else writes a file of this process's in it in this second."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.0.v2"
        self._file: BinaryIO = open(folder / name, "xb")  # noqa: SIM115 - closed as its context ends
        self._write(file_version=VERSION)

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def text(self, tag: str, markdown: str) -> None:
        """A text."""
        from tensorboard.plugins.text import metadata

        self._value(tag, metadata.create_summary_metadata(None, None), np.array(markdown.encode(), object))

    def scalar(self, tag: str, value: float) -> None:
        """A number, kept as float32."""
        from tensorboard.plugins.scalar import metadata

        self._value(tag, metadata.create_summary_metadata(None, None), np.float32(value))

    def image(self, tag: str, picture: NDArray[np.uint8], description: str = "") -> None:
        """A picture [height, width, 3]. description: its legend, Markdown."""
        from PIL import Image
        from tensorboard.plugins.image import metadata

        height, width = picture.shape[:2]
        png = io.BytesIO()
        Image.fromarray(picture).save(png, "PNG")
        content = [str(width).encode(), str(height).encode(), png.getvalue()]
        made = metadata.create_summary_metadata(None, description)
        self._value(tag, made, np.array(content, object))

    def columns(self, names: list[str], metrics: Mapping[str, str]) -> None:
        """What the HParams page has columns for: names of hyperparameters, and {tag of a scalar: title}."""
        from tensorboard.plugins.hparams import summary_v2  # `api` has the same, and imports TensorFlow

        titled = [summary_v2.Metric(tag, display_name=title) for tag, title in metrics.items()]
        asked = [summary_v2.HParam(name) for name in names]
        self._write(summary=summary_v2.hparams_config_pb(asked, titled))

    def trial(self, values: Mapping[str, str], name: str) -> None:
        """A row of the HParams page: {hyperparameter: value}; its metrics are this folder's scalars."""
        from tensorboard.plugins.hparams import summary_v2

        self._write(summary=summary_v2.hparams_pb(dict(values), trial_id=name))

    def _value(self, tag, metadata, value):
        from tensorboard.compat.proto import summary_pb2
        from tensorboard.util import tensor_util

        summary = summary_pb2.Summary()
        summary.value.add(tag=tag, metadata=metadata, tensor=tensor_util.make_tensor_proto(value))
        self._write(summary=summary)

    def _write(self, **of: Any) -> None:
        from tensorboard.compat.proto import event_pb2

        event = event_pb2.Event(wall_time=time.time(), **of).SerializeToString()
        self._file.writelines(tf_example.framed(event))
