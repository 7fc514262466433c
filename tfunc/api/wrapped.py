"""`tfunc.wrap`: anyone's Keras segmentation model with the methods that need no training of their own.

wrapped = tfunc.wrap(model, method="baseline_mc")
maps = wrapped.predict(images, samples=20)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data_prep.base import processes
from data_prep.base.errors import UserError
from tfunc import metrics

if TYPE_CHECKING:
    import keras

METHODS = ("baseline", "baseline_mc", "tta", "ensemble")


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayMaps:
    """Maps of a batch of images.

    prediction: uint8 [batch, height, width], the index of the class.  probability: float32 of that shape, of the foreground of
    two classes; of more [batch, height, width, classes].  uncertainty: its normalised entropy, float32 [batch, height, width] in
    [0, 1].  mutual_information: likewise, None of a single pass.
    """

    prediction: NDArray[np.uint8]
    probability: NDArray[np.float32]
    uncertainty: NDArray[np.float32]
    mutual_information: NDArray[np.float32] | None


def wrap(
    model: keras.Model | Sequence[keras.Model],
    method: str = "baseline_mc",
    *,
    outputs: str = "auto",
    batch_size: int = 16,
) -> Wrapped:
    """A trained Keras model, or several as an ensemble, that predicts with uncertainty.

    model: maps float images [batch, height, width, channels], prepared as it was trained on them, to logits or probabilities
    [batch, height, width, classes], or of one channel for two classes. Its weights, its batch normalisation and its states are
    not touched. method: `baseline` (one pass), `baseline_mc` (its dropout layers live), `tta` (flipped, turned and scaled
    images) or `ensemble`. outputs: `logits` or `probability`; `auto` reads the last layer's activation. batch_size: images at a
    time.

    Raises `UserError` for another method, a model of another form, and MC dropout of a model without dropout.

        >>> images = keras.Input((None, None, 1))
        >>> features = keras.layers.Dropout(0.2)(keras.layers.Conv2D(4, 3, padding="same", activation="relu")(images))
        >>> model = keras.Model(images, keras.layers.Conv2D(3, 1, activation="softmax")(features))
        >>> maps = tfunc.wrap(model, "baseline_mc").predict(np.ones((3, 16, 16, 1)), samples=4)
        >>> maps.probability.shape, maps.uncertainty.shape
        ((3, 16, 16, 3), (3, 16, 16))
    """
    processes.start_quietly()
    from tfunc.nets.foreign import ForeignNetwork

    models = list(model) if isinstance(model, (list, tuple)) else [model]
    if method not in METHODS:
        raise UserError("method", expected=f"one of {', '.join(METHODS)}", found=repr(method))
    if not models or (method != "ensemble" and len(models) > 1):
        raise UserError("model", expected=f"one model for {method}", found=str(len(models)))
    if batch_size < 1:
        raise UserError("batch_size", expected="1 or more", found=str(batch_size))
    networks = [ForeignNetwork(one, outputs) for one in models]
    if len({one.classes for one in networks}) > 1:
        found = ", ".join(str(one.classes) for one in networks)
        raise UserError("model", expected="members of one number of classes", found=found)
    if method == "baseline_mc" and not networks[0].dropouts:
        raise UserError(
            "model", expected="layers of dropout for baseline_mc", found="none", do="use tta or an ensemble"
        )
    return Wrapped(networks, method, batch_size)


class Wrapped:
    """Models with a method; `wrap` makes one. classes: how many, the background included."""

    def __init__(self, networks: list[Any], method: str, batch_size: int):
        self.method: str = method
        self.batch_size: int = batch_size
        self.classes: int = networks[0].classes
        self._networks = networks
        self._graphs: dict[int, Any] = {}

    def __repr__(self) -> str:
        count = len(self._networks)
        return f"<Wrapped {self.method} of {count} model{'s' * (count != 1)}, {self.classes} classes>"

    def predict(self, images: ArrayLike, samples: int = 20, seed: int = 20) -> ArrayMaps:
        """The maps of images [batch, height, width, channels], prepared as in the model's training.

        samples: passes of `baseline_mc` and `tta`. seed: of them, 0 or more; each sample is one network, or one view, for all
        images, so a volume's slices belong together. Raises `UserError` for another shape and for numbers out of range.
        """
        import tensorflow as tf

        array = np.asarray(images, np.float32)
        if array.ndim != 4 or 0 in array.shape:
            raise UserError("images", expected="[batch, height, width, channels]", found=f"shape {array.shape}")
        if samples < 1 or not 0 <= seed < 2**63:
            raise UserError("samples, seed", expected="1 or more, and 0 or more", found=f"{samples} and {seed}")
        if not np.isfinite(array).all():
            raise UserError("images", expected="finite numbers", found="NaN or infinity")
        for network in self._networks:
            network.require(array.shape)
        run, seeds = self._graph(samples), tf.constant([[seed, 0]], tf.int64)
        parts = [
            {name: values.numpy() for name, values in run(array[start : start + self.batch_size], seeds).items()}
            for start in range(0, len(array), self.batch_size)
        ]
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if not np.isfinite(found["probability"]).all():
            raise UserError("model", expected="finite outputs", found="NaN or infinity", do="look at its weights")
        mutual = found.get("mutual_information")
        return ArrayMaps(found["prediction"], found["probability"], found["uncertainty"], mutual)

    def evaluate(
        self, images: ArrayLike, labels: ArrayLike, samples: int = 20, seed: int = 20, threshold: float = 0.5
    ) -> dict[str, float]:
        """How good the segmentation is, how calibrated, and whether the uncertainty finds its errors; all images together.

        labels: whole numbers [batch, height, width], the index of the class. threshold: above which a voxel is uncertain, in
        [0, 1]. Returns {`dice_<class>`, `ece_<class>` for each class but the background, `uncertainty_error`}; each in [0, 1],
        NaN where it is not defined.
        """
        maps, target = self.predict(images, samples, seed), np.asarray(labels)
        if target.shape != maps.prediction.shape or target.dtype.kind not in "biu" or not self._has(target):
            expected = f"classes 0 to {self.classes - 1}, of shape {maps.prediction.shape}"
            raise UserError("labels", expected=expected, found=f"{target.dtype} of shape {target.shape}")
        found: dict[str, float] = {}
        for index in range(1, self.classes):
            probability = maps.probability if self.classes == 2 else maps.probability[..., index]
            found[f"dice_{index}"] = metrics.dice(maps.prediction == index, target == index)
            found[f"ece_{index}"] = metrics.ece(np.clip(probability, 0, 1), target == index)
        errors, uncertainty = maps.prediction != target, np.clip(maps.uncertainty, 0, 1)
        found["uncertainty_error"] = metrics.uncertainty_error(uncertainty, errors, np.zeros_like(errors), threshold)
        return found

    def _has(self, labels):
        return labels.min() >= 0 and labels.max() < self.classes

    def _graph(self, samples):
        """The traced method for so many samples."""
        from tfunc.nets.graphs import graph

        if samples not in self._graphs:
            self._graphs[samples] = graph(_predictive(self.method, self._networks, samples))
        return self._graphs[samples]


def _predictive(method: str, networks: list[Any], samples: int) -> Any:
    import tensorflow as tf

    from tfunc import methods
    from tfunc.maps import predictives, sampled
    from tfunc.maps.options import Options
    from tfunc.nets import classes

    if method != "baseline_mc":
        return predictives.of(methods.get(method))(networks, Options(samples=samples))
    (network,) = networks

    def monte_carlo(images: tf.Tensor, seeds: tf.Tensor) -> Mapping[str, tf.Tensor]:
        def sample(index):
            drawn = tf.random.experimental.stateless_fold_in(seeds[0], index)
            return classes.probability(network.sampled(images, drawn)), 1.0

        return sampled.mean_maps(sample, samples, images, network.classes)

    return monte_carlo
