"""An evaluation for TensorBoard, beside its training: the tables' means as scalars, the pictures as images."""

from __future__ import annotations

import pathlib
import shutil

from data_prep.base import artefacts
from tfunc.reporting.publish import Finished

NAME = "tensorboard"  # the folder, in the evaluation's


def is_written(finished: Finished) -> bool:
    """Whether they are there, whole: a kill after an evaluation's last file may have come before them."""
    return (finished.folder / NAME).is_dir()


def write(finished: Finished) -> pathlib.Path:
    """Writes the tables' means and the PNG pictures into `<evaluation>/tensorboard`, in place of what was there -> it.

    Of several classes `evaluation` is the mean over regions, `evaluation_<region>` each of them, `evaluation_classes` the class
    map.
    """
    import tensorflow as tf

    folder, summary = finished.folder / NAME, finished.summary
    parts = {"evaluation": summary["methods"]}
    parts |= {f"evaluation_{name}": of["methods"] for name, of in summary.get("regions", {}).items()}
    if "classes" in summary:
        parts["evaluation_classes"] = summary["classes"]["methods"]
    shutil.rmtree(folder, ignore_errors=True)
    with artefacts.folder_aside(folder) as aside, tf.summary.create_file_writer(str(aside)).as_default(step=0):
        for part, methods in parts.items():
            for method, found in methods.items():
                for name, cell in found["table1"].items():
                    if cell["mean"] is not None:
                        tf.summary.scalar(f"{part}/{name}/{method}", cell["mean"])
                if found["dataset_ece"] is not None:
                    tf.summary.scalar(f"{part}/dataset_ece/{method}", found["dataset_ece"])
        for picture in finished.pictures:
            if picture.suffix == ".png":
                image = tf.io.decode_png(picture.read_bytes(), channels=3)
                tf.summary.image(f"evaluation/{picture.stem}", image[tf.newaxis])
    return folder
