"""What a clinic asks of one patient, inside the graph: volumes by class, and the mean uncertainty of what was found."""

from __future__ import annotations

import tensorflow as tf

SUMMARY = {
    "predicted_volume": tf.TensorSpec([], tf.int64),
    "expected_volume": tf.TensorSpec([], tf.float32),
    "mean_uncertainty": tf.TensorSpec([], tf.float32),
}


def specs(classes: int) -> dict[str, tf.TensorSpec]:
    """What `summary` gives of a task of so many classes."""
    if classes == 2:
        return SUMMARY
    by_class = {"class_volumes": tf.int64, "expected_class_volumes": tf.float32}
    return {**SUMMARY, **{name: tf.TensorSpec([classes], dtype) for name, dtype in by_class.items()}}


def summary(maps: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Of maps [depth, height, width], the segmentation's of class indices. Sums are float64: float32 can't count past
    16,777,216."""
    inside = maps["prediction"] > 0
    voxels = tf.math.count_nonzero(inside)
    total = tf.reduce_sum(tf.cast(inside, tf.float64) * tf.cast(maps["uncertainty"], tf.float64))
    found = {
        "predicted_volume": voxels,
        "mean_uncertainty": tf.where(voxels > 0, tf.cast(total / tf.cast(voxels, tf.float64), tf.float32), -1.0),
    }
    probability = maps["probability"]
    if probability.shape.rank == 3:
        return {**found, "expected_volume": tf.cast(tf.reduce_sum(tf.cast(probability, tf.float64)), tf.float32)}
    rows = tf.reduce_sum(probability, 2)  # a row's sum is exact enough, and float64 of all would be twice the maps
    expected = tf.reduce_sum(tf.cast(rows, tf.float64), [0, 1])
    counts = [tf.math.count_nonzero(maps["prediction"] == index) for index in range(probability.shape[-1])]
    return {
        **found,
        "expected_volume": tf.cast(tf.reduce_sum(expected[1:]), tf.float32),
        "class_volumes": tf.stack(counts),
        "expected_class_volumes": tf.cast(expected, tf.float32),
    }
