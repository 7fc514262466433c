"""What a training shows: a line an epoch in log.csv, and in TensorBoard its numbers, settings and pictures."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from data_prep import tasks
from data_prep.base import artefacts
from tfunc import runs
from tfunc.learning.slices import Slices
from tfunc.nets import classes
from tfunc.runs import Config

EXAMPLES = 3  # validation subjects shown
LOG = "log.csv"
INTERNAL = (
    "schema",
    "records",
    "streams",
    "train_subjects",
    "kept_epochs",
)  # of a configuration: nobody compares trials by them
LEGEND = (
    "Each row of panels is one validation subject in its slice with most foreground, from left to right: the first channel of "
    "the image; the ground truth; what the network segments; its uncertainty (normalised entropy; white is unsure)."
)

History = list[dict[str, Any]]


class Monitor:
    """Writes one training's log and events into its network's folder. Used as a context while the training runs.

    valid: the validation slices. show: of the objective, batch -> (map of probabilities, target).
    """

    def __init__(
        self,
        folder: runs.Path,
        config: Config,
        valid: Slices,
        show: Callable[[dict[str, tf.Tensor]], tuple[tf.Tensor, tf.Tensor]],
    ):
        self.folder, self.config, self.valid, self.show = folder, config, valid, show
        self.examples: dict[str, np.ndarray] | None = None

    def __enter__(self) -> Monitor:
        self.writer = tf.summary.create_file_writer(str(self.folder))
        self.writer.set_as_default()
        self._settings()
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def _settings(self):
        """The training's settings, for TensorBoard's HParams page, beside the Dice that they led to."""
        from tensorboard.plugins.hparams import api  # here: its import takes a second

        network, dataset = self.config.network.name, self.config.task.name
        plain = {
            name.replace("_", " "): value
            for name, value in self.config.document().items()
            if isinstance(value, (str, int, float, bool)) and name not in INTERNAL
        }
        api.hparams({"network": network, "dataset": dataset, **plain}, trial_id=f"{dataset}/{network}")

    def epoch(self, history: History) -> None:
        """Writes the log, and the numbers and pictures of the history's last epoch."""
        write_log(self.folder, history)
        entry = history[-1]
        for name in ("loss", "valid_loss", "valid_dice"):
            tf.summary.scalar(name, entry[name], step=entry["epoch"])
        title = "image, truth, prediction, uncertainty"
        tf.summary.image(title, self.overlays(), step=entry["epoch"], max_outputs=EXAMPLES, description=LEGEND)
        self.writer.flush()

    def overlays(self) -> tf.Tensor:
        """float32 [subjects, height, 4 * width, 1] in [0, 1]: some slices, each beside what the network makes of it."""
        if self.examples is None:
            self.examples = fullest_slices(self.valid.first(EXAMPLES))
        probability, target = self.show({name: tf.constant(values) for name, values in self.examples.items()})
        image = self.examples["image"][..., 0]
        low, high = image.min(axis=(1, 2), keepdims=True), image.max(axis=(1, 2), keepdims=True)
        target = tf.cast(target, tf.uint8)
        shown = [tf.where(target == tasks.IGNORED, tf.zeros_like(target), target), classes.segmentation(probability)]
        last = probability.shape[-1] - 1 if classes.has_classes(probability) else 1  # the brightest class
        panels = [
            (image - low) / np.maximum(high - low, 1e-6),
            *(tf.cast(index, tf.float32) / last for index in shown),
            classes.entropy(probability),
        ]
        return tf.concat(panels, axis=2)[..., tf.newaxis]


def write_log(folder: runs.Path, history: History) -> None:
    """Writes log.csv whole: a line an epoch."""
    columns = list(history[0])
    lines = [",".join(columns), *(",".join(repr(entry[name]) for name in columns) for entry in history)]
    artefacts.write_text(pathlib.Path(folder) / LOG, "\n".join(lines) + "\n")


def fullest_slices(slices: Slices) -> dict[str, np.ndarray]:
    """The slice with the most foreground of each subject, as one batch of NumPy arrays."""
    found: dict[int, tuple[int, dict[str, np.ndarray]]] = {}
    for batch in slices.in_order(16).as_numpy_iterator():
        for row, subject in enumerate(batch["subject"]):
            label = batch["label"][row]
            area = int(((label > 0) & (label != tasks.IGNORED)).sum())
            if subject not in found or area > found[subject][0]:
                found[subject] = area, {name: values[row] for name, values in batch.items()}
    rows = [row for _, (_, row) in sorted(found.items())]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
