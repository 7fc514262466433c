"""An evaluation for TensorBoard, beside its training: Table 1's means as scalars, the pictures as images."""

from __future__ import annotations

import pathlib
import shutil

from tfunc.reporting.publish import Finished


def write(finished: Finished) -> pathlib.Path:
    """Writes the table's means and the PNG pictures into `<evaluation>/tensorboard`, in place of what was there -> it."""
    import tensorflow as tf

    folder = finished.folder / "tensorboard"
    shutil.rmtree(folder, ignore_errors=True)
    with tf.summary.create_file_writer(str(folder)).as_default(step=0):
        for method, found in finished.summary["methods"].items():
            for name, cell in found["table1"].items():
                if cell["mean"] is not None:
                    tf.summary.scalar(f"evaluation/{name}/{method}", cell["mean"])
            if found["dataset_ece"] is not None:
                tf.summary.scalar(f"evaluation/dataset_ece/{method}", found["dataset_ece"])
        for picture in finished.pictures:
            if picture.suffix == ".png":
                image = tf.io.decode_png(picture.read_bytes(), channels=3)
                tf.summary.image(f"evaluation/{picture.stem}", image[tf.newaxis])
    return folder
