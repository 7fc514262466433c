"""What a training shows in TensorBoard: its numbers, its settings, and pictures of validation slices."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfunc.learning import losses

EXAMPLES = 3  # validation subjects shown


class Monitor:
    """Writes one training's events into its network's folder. Used as a context while the training runs.

    valid: the validation `Slices`. show: of the objective, batch -> (probability, target).
    """

    def __init__(self, folder, config, valid, show):
        self.folder, self.config, self.valid, self.show = folder, config, valid, show
        self.examples = None

    def __enter__(self):
        self.writer = tf.summary.create_file_writer(str(self.folder))
        self.writer.set_as_default()
        self._settings()
        return self

    def __exit__(self, *_):
        self.writer.close()

    def _settings(self):
        """The training's settings, for TensorBoard's HParams page, beside the Dice that they led to."""
        from tensorboard.plugins.hparams import api  # here: its import takes a second

        plain = (str, int, float, bool)
        values = {n: v for n, v in dataclasses.asdict(self.config).items() if isinstance(v, plain) and n != "records"}
        api.hparams(values, trial_id=f"{self.config.dataset}/{self.config.network}")

    def epoch(self, entry):
        """Writes one epoch's `entry` of the history, and the pictures."""
        for name in ("loss", "valid_loss", "valid_dice"):
            tf.summary.scalar(name, entry[name], step=entry["epoch"])
        title = "image, truth, prediction, uncertainty"
        tf.summary.image(title, self.overlays(), step=entry["epoch"], max_outputs=EXAMPLES)
        self.writer.flush()

    def overlays(self):
        """float32 [subjects, height, 4 * width, 1] in [0, 1]: some slices, each beside what the network makes of it."""
        if self.examples is None:
            self.examples = fullest_slices(self.valid.first(EXAMPLES))
        probability, target = self.show({name: tf.constant(values) for name, values in self.examples.items()})
        image = self.examples["image"][..., 0]
        low, high = image.min(axis=(1, 2), keepdims=True), image.max(axis=(1, 2), keepdims=True)
        panels = [
            (image - low) / np.maximum(high - low, 1e-6),
            tf.cast(target, tf.float32),
            tf.cast(probability > 0.5, tf.float32),
            losses.binary_entropy(probability),
        ]
        return tf.concat(panels, axis=2)[..., tf.newaxis]


def fullest_slices(slices):
    """The slice with the most foreground of each subject, as one batch of NumPy arrays."""
    found = {}
    for batch in slices.in_order(16).as_numpy_iterator():
        for row, subject in enumerate(batch["subject"]):
            area = int(batch["label"][row].sum())
            if subject not in found or area > found[subject][0]:
                found[subject] = area, {name: values[row] for name, values in batch.items()}
    rows = [row for _, (_, row) in sorted(found.items())]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
