"""A method at the temperature of its recalibration, in the served graph: what `predict --recalibrated` writes."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from data_prep.base.errors import UserError
from tfunc.maps import predict as prediction
from tfunc.maps import recalibrated
from tfunc.methods import Method
from tfunc.nets import classes
from tfunc.nets import trained as models
from tfunc.serving.description import Description

Maps = dict[str, tf.Tensor]
Predictive = Callable[[tf.Tensor, tf.Tensor], Maps]


def of_run(
    method: Method,
    dataset: str,
    run_dir: pathlib.Path | str,
    trained: Sequence[models.Trained],
    options: prediction.Options,
) -> dict[str, Any]:
    """What a description says of a method's recalibration: `temperature`, `fitted_on` and `approximate`.

    Raises `UserError` for slices that are resampled, whose temperature acts after they are brought back, which a server does
    not do, and what `maps.recalibrated.of_method` raises.
    """
    task = trained[0].config.task
    if task.spacing is not None:
        found = f"{task.name}, whose slices are resampled on their way to the networks and back"
        do = "export it without, or use predict --recalibrated"
        raise UserError("--recalibrated", expected="a task whose maps are served on their own grid", found=found, do=do)
    made = prediction.document(method, options, trained)
    document = recalibrated.of_method(run_dir, dataset, method.name, task, made).document()
    return {name: document[name] for name in ("temperature", "fitted_on", "approximate")}


def at_temperature(predictive: Predictive, description: Description) -> Predictive:
    """The predictive with its probability at the description's temperature, and the entropy of that.

    The segmentation stays, and so does what is said of the samples: their mutual information is of the samples as drawn.
    """
    if description.recalibrated is None:
        return predictive
    chosen = float(description.recalibrated["temperature"])

    def maps(images: tf.Tensor, seeds: tf.Tensor) -> Maps:
        found = predictive(images, seeds)
        probability = classes.at_temperature(found["probability"], chosen)
        return {**found, "probability": probability, "uncertainty": classes.entropy(probability)}

    return maps
